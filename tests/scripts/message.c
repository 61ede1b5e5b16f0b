#include "tests/scripts/message.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { VALUE_MAX = 1 << 26 };

static int hex(char c)
{
    const char *digits = "0123456789abcdef";
    const char *at = c == '\0' ? NULL : strchr(digits, c >= 'A' && c <= 'F' ? c + 32 : c);
    return at == NULL ? -1 : (int)(at - digits);
}

enum err script_unescape(struct span s, struct buf *out)
{
    static const char from[] = "rnt\\\"", to[] = "\r\n\t\\\"";
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        if (c == '\\') {
            if (++i == s.len)
                return ERR_PARSE;
            const char *at = strchr(from, s.ptr[i]);
            if (s.ptr[i] != '\0' && at != NULL) {
                c = to[at - from];
            } else if (s.ptr[i] == 'x' && s.len - i > 2 && hex(s.ptr[i + 1]) >= 0 && hex(s.ptr[i + 2]) >= 0) {
                c = (char)(hex(s.ptr[i + 1]) * 16 + hex(s.ptr[i + 2]));
                i += 2;
            } else {
                return ERR_PARSE;
            }
        }
        enum err e = buf_addc(out, c);
        if (e != ERR_OK)
            return e;
    }
    return ERR_OK;
}

/* The message as the script sees it: our own trace header, and what is below. */
struct view {
    struct envelope env;
    struct buf to, notify, orcpt, text; /* text: scratch of one value */
    size_t jobs;
    ms_t expire_ms; /* of the first job, from its arrival */
    struct span trace, body;
};

static void list_add(struct buf *list, bool first, struct span s)
{
    if ((!first && buf_addc(list, ',') != ERR_OK) || buf_add(list, s) != ERR_OK)
        abort();
}

static void add_job(struct view *v, const struct job *job)
{
    for (size_t i = 0; i < job->nrcpts; i++) {
        const struct recipient *r = &job->rcpts[i];
        char notify[8];
        bool first = v->to.len == 0;
        (void)snprintf(notify, sizeof notify, "%u", r->notify);
        list_add(&v->to, first, r->address);
        list_add(&v->notify, first, span_cstr(notify));
        list_add(&v->orcpt, first, r->orcpt);
    }
    if (v->jobs++ == 0)
        v->expire_ms = job->expire_ms - job->first_ms;
}

static void split_trace(struct view *v, struct span whole)
{
    size_t at = 0;
    while (at < whole.len) {
        const char *lf = memchr(whole.ptr + at, '\n', whole.len - at);
        at = lf == NULL ? whole.len : (size_t)(lf + 1 - whole.ptr);
        if (at < whole.len && whole.ptr[at] != '\t')
            break;
    }
    v->trace = span_first(whole, at);
    v->body = span_from(whole, at);
}

static bool look(const struct fake_store *db, size_t index, struct view *v)
{
    struct fake_job_view j;
    struct msgid last = {.id = ""};
    size_t message = 0;
    bool found = false;
    for (size_t i = 0; fake_store_job(db, i, &j); i++) {
        if (i > 0 && strcmp(last.id, j.id.id) != 0)
            message++;
        last = j.id;
        struct job job;
        if (message != index)
            continue;
        if (envelope_decode(j.env, &v->env) != ERR_OK || job_decode(j.blob, &job) != ERR_OK)
            abort();
        add_job(v, &job);
        job_done(&job);
        if (!found)
            split_trace(v, j.body);
        found = true;
    }
    return found;
}

static struct span number(struct view *v, uint64_t n)
{
    if (buf_addf(&v->text, "%" PRIu64, n) != ERR_OK)
        abort();
    return buf_span(&v->text);
}

static struct span get_from(struct view *v)
{
    return v->env.sender;
}
static struct span get_to(struct view *v)
{
    return buf_span(&v->to);
}
static struct span get_notify(struct view *v)
{
    return buf_span(&v->notify);
}
static struct span get_orcpt(struct view *v)
{
    return buf_span(&v->orcpt);
}
static struct span get_jobs(struct view *v)
{
    return number(v, v->jobs);
}
static struct span get_body(struct view *v)
{
    return v->body;
}
static struct span get_size(struct view *v)
{
    return number(v, v->body.len);
}
static struct span get_trace(struct view *v)
{
    return v->trace;
}
static struct span get_envid(struct view *v)
{
    return v->env.envid;
}
static struct span get_visited(struct view *v)
{
    return v->env.visited;
}
static struct span get_ret(struct view *v)
{
    return number(v, (uint64_t)v->env.ret);
}
static struct span get_kind(struct view *v)
{
    static const char *const names[] = {"7BIT", "8BITMIME", "BINARYMIME"};
    return span_cstr(names[v->env.body]);
}
static struct span get_utf8(struct view *v)
{
    return v->env.smtputf8 ? SPAN("yes") : SPAN("no");
}
static struct span get_hops(struct view *v)
{
    return number(v, v->env.hops);
}
static struct span get_subject(struct view *v)
{
    return v->env.subject;
}
static struct span get_message_id(struct view *v)
{
    return v->env.message_id;
}
static struct span get_header_from(struct view *v)
{
    return v->env.header_from;
}
static struct span get_priority(struct view *v)
{
    static const char *const names[] = {
        [PRIORITY_NORMAL] = "normal", [PRIORITY_LOW] = "low", [PRIORITY_HIGH] = "high"};
    return span_cstr(names[v->env.priority]);
}
static struct span get_client(struct view *v)
{
    return v->env.client;
}
static struct span get_helo(struct view *v)
{
    return v->env.helo;
}
static struct span get_server(struct view *v)
{
    return v->env.virtual_server;
}
static struct span get_expire(struct view *v)
{
    return number(v, v->expire_ms);
}

static const struct {
    const char *key;
    struct span (*get)(struct view *v);
} keys[] = {
    {"from", get_from},
    {"to", get_to},
    {"notify", get_notify},
    {"orcpt", get_orcpt},
    {"jobs", get_jobs},
    {"body", get_body},
    {"size", get_size},
    {"trace", get_trace},
    {"envid", get_envid},
    {"visited", get_visited},
    {"ret", get_ret},
    {"kind", get_kind},
    {"utf8", get_utf8},
    {"hops", get_hops},
    {"subject", get_subject},
    {"message-id", get_message_id},
    {"header-from", get_header_from},
    {"priority", get_priority},
    {"client", get_client},
    {"helo", get_helo},
    {"server", get_server},
    {"expire", get_expire},
};

/* The next "key=value" or "key=\"value\"" of s. */
static bool next_pair(struct span *s, struct span *ret_key, struct buf *value)
{
    struct span text;
    buf_clear(value);
    *s = span_trim(*s);
    if (s->len == 0 || !span_cut(*s, '=', ret_key, s))
        return false;
    if (s->len == 0 || s->ptr[0] != '"') {
        (void)span_cut(*s, ' ', &text, s);
        return buf_add(value, text) == ERR_OK;
    }
    size_t end = 1;
    while (end < s->len && s->ptr[end] != '"')
        end += s->ptr[end] == '\\' ? 2 : 1;
    text = span_first(span_from(*s, 1), end - 1);
    *s = span_from(*s, end + 1);
    return script_unescape(text, value) == ERR_OK;
}

static void compare(struct view *v, struct span key, struct span want, struct buf *why)
{
    bool has = span_has_prefix(key, SPAN("has-")), lacks = span_has_prefix(key, SPAN("no-"));
    key = span_from(key, has ? 4 : lacks ? 3 : 0);
    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        if (!span_eq(key, span_cstr(keys[i].key)))
            continue;
        struct span got = keys[i].get(v);
        bool inside = got.len > 0 && memmem(got.ptr, got.len, want.ptr, want.len) != NULL;
        if (has || lacks ? inside != has : !span_eq(got, want))
            (void)!buf_addf(why, SPAN_FMT " is " SPAN_FMT "; ", SPAN_ARG(key),
                            SPAN_ARG(span_first(got, 600)));
        buf_clear(&v->text);
        return;
    }
    (void)!buf_addf(why, "no such key " SPAN_FMT, SPAN_ARG(key));
}

bool script_message(const struct fake_store *db, size_t index, struct span want, struct buf *why)
{
    struct view v = {.jobs = 0};
    struct buf value;
    struct span key;
    buf_init(&v.to, VALUE_MAX);
    buf_init(&v.notify, VALUE_MAX);
    buf_init(&v.orcpt, VALUE_MAX);
    buf_init(&v.text, VALUE_MAX);
    buf_init(&value, VALUE_MAX);
    if (!look(db, index, &v))
        (void)!buf_addf(why, "no message");
    else
        while (next_pair(&want, &key, &value))
            compare(&v, key, buf_span(&value), why);
    buf_done(&v.to);
    buf_done(&v.notify);
    buf_done(&v.orcpt);
    buf_done(&v.text);
    buf_done(&value);
    return why->len == 0;
}
