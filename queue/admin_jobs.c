/* Going through jobs. Per partition: which lists hold what the filter may find, then each list page by
 * page; one message is asked for directly. The scripts filter by bytes, which may find too much; here the
 * decoded job decides. */
#include "queue/admin_int.h"

#include "queue/queue_name.h"

#include <stdlib.h>
#include <string.h>

enum { PAGE = 50, PAGE_HEAD = 2, ROW_FIELDS = 12, SCAN_PAGE = 500, WORKER_FIELDS = 3 };

/* --- Does the filter find it? -------------------------------------------------------------------- */

static bool contains(struct span s, struct span part)
{
    for (size_t at = 0; at + part.len <= s.len; at++) {
        if (span_ieq(span_first(span_from(s, at), part.len), part))
            return true;
    }
    return false;
}

static bool to_somebody_like(const struct job *job, struct span part)
{
    for (size_t i = 0; i < job->nrcpts; i++) {
        if (contains(job->rcpts[i].address, part))
            return true;
    }
    return false;
}

static bool finds(const struct admin_walk *w, const struct admin_job *j)
{
    const struct admin_filter *f = &w->filter;
    ms_t age = j->now_ms > j->arrival_ms ? j->now_ms - j->arrival_ms : 0;
    return (f->places & j->place) != 0 &&
           (f->domain.len == 0 ||
            (span_ieq(f->domain, j->job.domain) && (f->any_class || f->klass == j->job.klass))) &&
           (f->sender.len == 0 || contains(j->env.sender, f->sender)) &&
           (f->rcpt.len == 0 || to_somebody_like(&j->job, f->rcpt)) && age >= f->min_age_ms &&
           (f->max_age_ms == 0 || age <= f->max_age_ms) &&
           span_has_prefix(span_of(j->id.id, MSGID_LEN), span_cstr(w->prefix));
}

static void look_at(struct admin_walk *w, const struct admin_raw *raw)
{
    struct admin_job j;
    if (w->stopped || !msgid_valid(raw->id))
        return;
    admin_job_read(raw, &j);
    if (finds(w, &j)) {
        w->matched++;
        if (!w->hooks->job(w, &j) || (w->filter.limit != 0 && w->matched == w->filter.limit))
            w->stopped = true;
    }
    admin_job_done(&j);
}

/* --- Pages --------------------------------------------------------------------------------------- */

static void next_partition(struct admin_walk *w);

struct span admin_walk_source(const struct admin_walk *w)
{
    return w->one_message || w->source >= w->sources.count ? SPAN("") : names_at(&w->sources, w->source);
}

static bool set_cursor(struct admin_walk *w, struct span cursor)
{
    if (cursor.len > WALK_CURSOR_MAX)
        return false;
    if (cursor.len > 0)
        memcpy(w->cursor, cursor.ptr, cursor.len);
    w->cursor[cursor.len] = '\0';
    return true;
}

static void read_row(const struct redisReply *reply, size_t at, struct admin_raw *ret)
{
    *ret = (struct admin_raw){.id = reply_text_at(reply, at),
                              .index = reply_u64_at(reply, at + 1, 0),
                              .place = reply_text_at(reply, at + 2),
                              .score = reply_u64_at(reply, at + 3, 0),
                              .arrival_ms = reply_u64_at(reply, at + 4, 0),
                              .interrupted = reply_u64_at(reply, at + 5, 0),
                              .flags = reply_text_at(reply, at + 6),
                              .why = reply_text_at(reply, at + 7),
                              .queue = reply_text_at(reply, at + 8),
                              .envelope = reply_text_at(reply, at + 9),
                              .descriptor = reply_text_at(reply, at + 10),
                              .job = reply_text_at(reply, at + 11),
                              .now_ms = reply_u64_at(reply, 0, 0)};
}

static void read_page(struct admin_op *op, const struct redisReply *reply)
{
    struct admin_walk *w = (struct admin_walk *)op;
    struct admin_raw raw;
    struct span source = admin_walk_source(w);
    for (size_t at = PAGE_HEAD; at + ROW_FIELDS <= reply_count(reply); at += ROW_FIELDS) {
        read_row(reply, at, &raw);
        raw.partition = w->partition;
        if (span_has_prefix(source, SPAN("c:")))
            raw.worker = span_from(source, 2);
        look_at(w, &raw);
    }
    if (!set_cursor(w, reply_text_at(reply, 1))) {
        admin_end(op, ERR_BACKEND, "a page of jobs has no end");
        return;
    }
    w->hooks->page_end(w);
}

static void read_message(struct admin_op *op, const struct redisReply *reply)
{
    struct admin_walk *w = (struct admin_walk *)op;
    struct admin_raw raw;
    uint64_t last = reply_u64_at(reply, 4, 0);
    for (size_t at = SHOW_HEAD; at + SHOW_FIELDS <= reply_count(reply); at += SHOW_FIELDS) {
        admin_show_row(reply, at, span_of(w->prefix, MSGID_LEN), w->partition, &raw);
        look_at(w, &raw);
    }
    w->first_job += SHOW_PAGE;
    if (w->first_job > last)
        w->stopped = true;
    w->hooks->page_end(w);
}

static void ask_message(struct admin_walk *w)
{
    struct redis_request *rq =
        admin_script(&w->op, read_message, SCRIPT_SHOW, w->op.a->tags[w->partition], 3);
    if (rq == NULL)
        return;
    redis_arg_str(rq, w->prefix);
    redis_arg_u64(rq, w->first_job);
    redis_arg_u64(rq, SHOW_PAGE);
    admin_send(&w->op, rq);
}

void admin_walk_page(struct admin_walk *w)
{
    struct redis_request *rq = admin_script(&w->op, read_page, SCRIPT_JOBS, w->op.a->tags[w->partition], 8);
    if (rq == NULL)
        return;
    redis_arg(rq, admin_walk_source(w));
    redis_arg_str(rq, w->cursor);
    redis_arg_u64(rq, PAGE);
    redis_arg(rq, w->filter.sender);
    redis_arg(rq, w->filter.rcpt);
    redis_arg_str(rq, w->prefix);
    redis_arg_u64(rq, w->filter.min_age_ms);
    redis_arg_u64(rq, w->filter.max_age_ms);
    admin_send(&w->op, rq);
}

static void begin_list(struct admin_walk *w)
{
    if (w->hooks->list != NULL)
        w->hooks->list(w);
    else
        admin_walk_page(w);
}

void admin_walk_on(struct admin_walk *w)
{
    if (w->stopped) {
        admin_end(&w->op, ERR_OK, "");
    } else if (w->one_message) {
        ask_message(w);
    } else if (w->cursor[0] != '\0') {
        admin_walk_page(w);
    } else if (++w->source < w->sources.count) {
        begin_list(w);
    } else {
        next_partition(w);
    }
}

/* --- The lists of a partition --------------------------------------------------------------------- */

static void list_next(struct admin_walk *w);

static void scanned(struct admin_op *op, const struct redisReply *reply)
{
    struct admin_walk *w = (struct admin_walk *)op;
    const struct redisReply *page = reply_at(reply, 1);
    for (size_t i = 0; i + 1 < reply_count(page); i += 2) {
        struct span name = reply_text_at(page, i), domain;
        uint32_t klass;
        char source[2 + QUEUE_NAME_BYTES] = "q:";
        (void)queue_name_read(name, &domain, &klass);
        if (name.len == 0 || name.len >= QUEUE_NAME_BYTES ||
            (w->filter.domain.len > 0 && !span_ieq(domain, w->filter.domain)))
            continue;
        memcpy(source + 2, name.ptr, name.len);
        if (names_add(&w->sources, span_of(source, 2 + name.len)) != ERR_OK) {
            admin_end(op, ERR_NOMEM, "");
            return;
        }
    }
    if (!set_cursor(w, reply_text_at(reply, 0)) || strcmp(w->cursor, "0") == 0) {
        w->cursor[0] = '\0';
        w->listing++;
    }
    list_next(w);
}

/* Names of dom, fz or inf: queues that have mail are in one of them. */
static void scan(struct admin_walk *w, const char *command, struct span key)
{
    struct redis_request *rq = admin_request(&w->op, scanned);
    if (rq == NULL)
        return;
    redis_command(rq, 5);
    redis_arg_str(rq, command);
    redis_arg_pair(rq, w->op.a->tags[w->partition], key);
    redis_arg_str(rq, w->cursor[0] == '\0' ? "0" : w->cursor);
    redis_arg_str(rq, "COUNT");
    redis_arg_u64(rq, SCAN_PAGE);
    admin_send(&w->op, rq);
}

static void read_workers(struct admin_op *op, const struct redisReply *reply)
{
    struct admin_walk *w = (struct admin_walk *)op;
    for (size_t at = 1; at + WORKER_FIELDS <= reply_count(reply); at += WORKER_FIELDS) {
        struct span name = reply_text_at(reply, at);
        char source[2 + 64] = "c:";
        if (name.len == 0 || name.len > sizeof source - 2)
            continue;
        memcpy(source + 2, name.ptr, name.len);
        if (names_add(&w->sources, span_of(source, 2 + name.len)) != ERR_OK) {
            admin_end(op, ERR_NOMEM, "");
            return;
        }
    }
    w->listing++;
    list_next(w);
}

static void ask_workers(struct admin_walk *w)
{
    struct redis_request *rq =
        admin_script(&w->op, read_workers, SCRIPT_WORKERS, w->op.a->tags[w->partition], 0);
    if (rq != NULL)
        admin_send(&w->op, rq);
}

static enum err add_known(struct admin_walk *w)
{
    enum err e = ERR_OK;
    char source[2 + QUEUE_NAME_BYTES] = "q:";
    if ((w->filter.places & ADMIN_QUEUED) != 0 && w->filter.domain.len > 0 && !w->filter.any_class) {
        size_t n = queue_name_write(w->filter.domain, w->filter.klass, source + 2);
        e = names_add(&w->sources, span_of(source, 2 + n));
    }
    if (e == ERR_OK && (w->filter.places & ADMIN_BADMAIL) != 0)
        e = names_add(&w->sources, SPAN("bad"));
    if (e == ERR_OK && (w->filter.places & ADMIN_QUARANTINE) != 0)
        e = names_add(&w->sources, SPAN("qz"));
    return e != ERR_OK ? e : names_sort(&w->sources);
}

enum { LIST_DOM, LIST_FZ, LIST_INF, LIST_WORKERS, LIST_END };

static void list_next(struct admin_walk *w)
{
    bool all = (w->filter.places & ADMIN_QUEUED) != 0 && (w->filter.domain.len == 0 || w->filter.any_class);
    bool hands = (w->filter.places & ADMIN_IN_HAND) != 0;
    if (w->listing <= LIST_INF && !all)
        w->listing = LIST_WORKERS;
    if (w->listing == LIST_WORKERS && !hands)
        w->listing = LIST_END;
    switch (w->listing) {
    case LIST_DOM:
        scan(w, "ZSCAN", SPAN("dom"));
        return;
    case LIST_FZ:
        scan(w, "HSCAN", SPAN("fz"));
        return;
    case LIST_INF:
        scan(w, "HSCAN", SPAN("inf"));
        return;
    case LIST_WORKERS:
        ask_workers(w);
        return;
    }
    if (add_known(w) != ERR_OK) {
        admin_end(&w->op, ERR_NOMEM, "");
    } else if (w->sources.count > 0) {
        begin_list(w);
    } else {
        next_partition(w);
    }
}

static void begin_partition(struct admin_walk *w)
{
    names_clear(&w->sources);
    w->source = w->listing = 0;
    w->cursor[0] = '\0';
    list_next(w);
}

static void next_partition(struct admin_walk *w)
{
    if (w->one_partition || ++w->partition == w->op.a->partitions)
        admin_end(&w->op, ERR_OK, "");
    else
        begin_partition(w);
}

/* --- Beginning and ending ------------------------------------------------------------------------ */

static enum err copy(char to[WALK_TEXT_MAX + 1], struct span *s)
{
    if (s->len > WALK_TEXT_MAX)
        return ERR_TOOBIG;
    if (s->len > 0)
        memcpy(to, s->ptr, s->len);
    to[s->len] = '\0';
    *s = span_of(to, s->len);
    return ERR_OK;
}

/* "07-01JD..." names the partition; what follows may be the beginning of an id only. */
static enum err read_id(struct admin_walk *w, struct span id)
{
    struct span number, rest;
    uint64_t n;
    struct msgid whole;
    if (id.len == 0)
        return ERR_OK;
    if (msgid_parse(id, &whole) == ERR_OK) {
        w->one_message = w->one_partition = true;
        w->partition = whole.partition;
        memcpy(w->prefix, whole.id, MSGID_LEN);
        return ERR_OK;
    }
    if (span_cut(id, '-', &number, &rest)) {
        if (!span_to_u64(number, PARTITIONS_MAX - 1, &n))
            return ERR_PARSE;
        w->one_partition = true;
        w->partition = (unsigned)n;
        id = rest;
    }
    if (id.len > MSGID_LEN)
        return ERR_PARSE;
    for (size_t i = 0; i < id.len; i++)
        w->prefix[i] = (char)(id.ptr[i] >= 'a' && id.ptr[i] <= 'z' ? id.ptr[i] - 'a' + 'A' : id.ptr[i]);
    return ERR_OK;
}

bool admin_is_id(struct span text)
{
    struct admin_walk w = {.filter = {.places = 0}};
    return read_id(&w, text) == ERR_OK;
}

static enum err read_filter(struct admin_walk *w, const struct admin_filter *f)
{
    w->filter = *f;
    w->first_job = 1;
    names_init(&w->sources);
    if (w->filter.places == 0)
        w->filter.places = ADMIN_QUEUED;
    struct span *texts[] = {&w->filter.domain, &w->filter.sender, &w->filter.rcpt};
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        if (copy(w->texts[i], texts[i]) != ERR_OK)
            return ERR_TOOBIG;
    }
    return read_id(w, f->id);
}

static void say_nothing(struct admin_op *op, enum err e, const char *why)
{
    (void)op, (void)e, (void)why;
}

enum err admin_walk_init(struct admin_walk *w, const struct admin_walk_hooks *hooks,
                         const struct admin_filter *f)
{
    static const struct admin_op_kind refused = {NULL, say_nothing, admin_walk_release, false};
    w->hooks = hooks;
    enum err e = read_filter(w, f);
    if (e != ERR_OK) {
        w->op.kind = &refused;
        admin_end(&w->op, e, "");
    }
    return e;
}

void admin_walk_begin(struct admin_op *op)
{
    struct admin_walk *w = (struct admin_walk *)op;
    if (w->one_partition && w->partition >= op->a->partitions)
        admin_end(op, ERR_OK, "");
    else if (w->one_message)
        ask_message(w);
    else
        begin_partition(w);
}

void admin_walk_release(struct admin_op *op)
{
    names_done(&((struct admin_walk *)op)->sources);
}

/* --- Listing ------------------------------------------------------------------------------------- */

struct list {
    struct admin_walk walk;
    admin_job_fn *each;
    admin_done_fn *done;
    void *arg;
};

static bool list_job(struct admin_walk *w, const struct admin_job *j)
{
    struct list *l = (struct list *)w;
    return l->each(l->arg, j);
}

static void list_finish(struct admin_op *op, enum err e, const char *why)
{
    struct list *l = (struct list *)op;
    l->done(l->arg, e, why);
}

enum err admin_jobs(struct admin *a, const struct admin_filter *f, admin_job_fn *each, admin_done_fn *done,
                    void *arg)
{
    static const struct admin_walk_hooks hooks = {NULL, list_job, admin_walk_on};
    static const struct admin_op_kind kind = {admin_walk_begin, list_finish, admin_walk_release, false};
    struct list *l = (struct list *)admin_op_new(a, sizeof *l, &kind);
    if (l == NULL)
        return ERR_NOMEM;
    l->each = each;
    l->done = done;
    l->arg = arg;
    return admin_walk_init(&l->walk, &hooks, f);
}
