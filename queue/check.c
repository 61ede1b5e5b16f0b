#include "queue/check.h"

#include "queue/check_kind.h"
#include "queue/names.h"
#include "queue/queue_name.h"
#include "queue/redis_link.h"
#include "queue/redis_reply.h"
#include "queue/redis_slot.h"
#include "queue/tally.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SCAN_PAGE = 1000, MEMBERS_MAX = 1000, CURSOR_MAX = 32 };
enum { FOREIGN_MAX = 4096 /* a longer name of somebody else is left alone */ };

enum phase { COUNTERS, KEYS, SUMS, KEYS_AGAIN, SUMS_AGAIN, IN_HAND, SLOTS };
struct check {
    struct check_conf conf;
    struct check_result result;
    struct timer *pause;
    struct deferred end;
    enum err failed;
    char why[200], sem_tag[REDIS_TAG_MAX], cursor[CURSOR_MAX];
    enum phase phase;
    unsigned asked;        /* partitions of a phase that goes through them */
    struct tally *tallies; /* of each partition */
    bool scanned;          /* no further page */
    struct names page;     /* keys, sorted: runs of one partition and kind */
    size_t run, next;      /* the run: page[run .. next) */
    unsigned partition;    /* of the run, `partitions`: the slots'; when all runs are over, of inf */
    const struct check_kind *kind;
    bool typed;     /* the types of the run's keys were asked for */
    size_t part;    /* of the run, to be checked next */
    size_t walking; /* which key of the run is being listed */
    char walk_cursor[CURSOR_MAX];
    bool walked;          /* its last page is here */
    struct names entries; /* what was listed, checked up to `entry` */
    size_t entry;
    struct names more;    /* asked for by the script */
    struct names members; /* with slots */
};

static void step(struct check *c);

/* --- Ending -------------------------------------------------------------------------------------- */

void check_free(struct check *c)
{
    if (c == NULL)
        return;
    timer_free(c->pause);
    deferred_disarm(&c->end);
    struct names *lists[] = {&c->page, &c->entries, &c->more, &c->members};
    for (size_t i = 0; i < ARRAY_LEN(lists); i++)
        names_done(lists[i]);
    free(c->tallies);
    free(c);
}

static void end_now(void *arg)
{
    struct check *c = arg;
    for (unsigned i = 0; i < c->conf.partitions; i++)
        c->result.moved += c->tallies[i].state == TALLY_MOVED;
    c->conf.done(c->conf.arg, c->failed, &c->result,
                 c->failed == ERR_OK ? ""
                 : c->why[0] != '\0' ? c->why
                                     : err_text(c->failed));
    check_free(c);
}

/* At the end of the turn: never before check_start() returns. */
static void end(struct check *c, enum err e, const char *why)
{
    c->failed = e;
    (void)snprintf(c->why, sizeof c->why, "%s", why);
    deferred_arm(c->conf.loop, &c->end);
}

/* --- Asking -------------------------------------------------------------------------------------- */

static void on_pause(void *arg)
{
    step(arg);
}

static void next_step(struct check *c)
{
    if (c->conf.pause_ms > 0)
        timer_set(c->pause, c->conf.pause_ms);
    else
        step(c);
}

static struct redis_request *request(struct check *c, redis_done_fn *done)
{
    struct redis_request *rq = redis_request_new(done, c);
    if (rq == NULL) {
        end(c, ERR_NOMEM, "");
        return NULL;
    }
    rq->flags = REQUEST_RESEND | REQUEST_WAIT;
    rq->give_up_ms = ms_after(loop_now(c->conf.loop), c->conf.patience_ms);
    return rq;
}

static bool refused(struct check *c, enum err e, const char *why)
{
    if (e != ERR_OK)
        end(c, e == ERR_UNKNOWN ? ERR_AGAIN : e, why);
    return e != ERR_OK;
}

static struct span tag_of(const struct check *c)
{
    return c->partition < c->conf.partitions ? c->conf.tags[c->partition] : span_cstr(c->sem_tag);
}

static bool keep(struct check *c, struct names *in, struct span s)
{
    enum err e = names_add(in, s);
    if (e != ERR_OK)
        end(c, e, "");
    return e == ERR_OK;
}

static bool read_findings(struct check *c, unsigned partition, const struct redisReply *reply)
{
    static const struct span mark = SPAN_INIT(" (mended)");
    for (size_t i = 0; i < reply_count(reply); i++) {
        struct span text = reply_text_at(reply, i);
        if (partition < c->conf.partitions && tally_read(&c->tallies[partition], text))
            continue;
        if (span_has_prefix(text, SPAN("MORE "))) {
            if (!keep(c, &c->more, span_from(text, 5)))
                return false;
            continue;
        }
        bool mended = span_has_isuffix(text, mark);
        c->result.findings++;
        c->result.mended += mended;
        c->conf.finding(c->conf.arg, partition, span_first(text, text.len - (mended ? mark.len : 0)), mended);
    }
    return true;
}

static bool is_wrong_type(const struct redis_request *rq, enum err e)
{
    return e != ERR_OK && span_has_prefix(buf_span(&rq->error), SPAN("WRONGTYPE"));
}

/* A key holds what somebody else wrote. Its own finding says so; what needed it could not be looked at. */
static bool wrong_type(struct check *c, const struct redis_request *rq, enum err e)
{
    if (!is_wrong_type(rq, e))
        return false;
    c->result.findings++;
    c->conf.finding(
        c->conf.arg, c->partition,
        SPAN("I12 - keys beside one of a wrong type could not be checked: again after the repair"), false);
    return true;
}

static void checked(void *arg, struct redis_request *rq, enum err e, const struct redisReply *reply,
                    const char *why)
{
    struct check *c = arg;
    if (wrong_type(c, rq, e) || (!refused(c, e, why) && read_findings(c, c->partition, reply)))
        next_step(c);
}

/* Of what is only counted: the keys are looked at elsewhere. */
static void counted(void *arg, struct redis_request *rq, enum err e, const struct redisReply *reply,
                    const char *why)
{
    struct check *c = arg;
    if (!is_wrong_type(rq, e)) {
        checked(arg, rq, e, reply, why);
        return;
    }
    c->tallies[c->partition].state = TALLY_MOVED;
    next_step(c);
}

/* Checks list[from .. to) as `part`; the first `skip` bytes of each are not part of the name. */
static void check_names(struct check *c, const char *part, const struct names *list, size_t from, size_t to,
                        size_t skip)
{
    struct redis_request *rq = request(c, strcmp(part, "n") == 0 ? counted : checked);
    if (rq == NULL)
        return;
    redis_script(rq, SCRIPT_CHECK, tag_of(c), 2 + (to - from));
    redis_arg_u64(rq, c->conf.repair);
    redis_arg_str(rq, part);
    for (size_t i = from; i < to; i++)
        redis_arg(rq, span_from(names_at(list, i), skip));
    redis_link_send(c->conf.link, rq);
}

/* --- What a key is ------------------------------------------------------------------------------- */

/* The partition, or `partitions` for the slots, and what follows its tag. False: somebody else's key. */
static bool owner(const struct check *c, struct span key, unsigned *ret_partition, struct span *ret_rest)
{
    struct span tag;
    if (!check_key_cut(key, &tag, ret_rest))
        return false;
    unsigned i = 0;
    while (i < c->conf.partitions && !span_eq(tag, c->conf.tags[i]))
        i++;
    *ret_partition = i;
    return i < c->conf.partitions || span_eq(tag, span_cstr(c->sem_tag));
}

/* How much of the key stands before its name. */
static size_t before_name(const struct check *c)
{
    return tag_of(c).len + 1 + c->kind->prefix.len;
}

static bool in_run(const struct check *c, struct span key)
{
    unsigned partition;
    struct span rest;
    return owner(c, key, &partition, &rest) && partition == c->partition &&
           (partition == c->conf.partitions || check_kind_of(rest) == c->kind);
}

/* Who holds slots is looked at in the end. */
static bool note_member(struct check *c, struct span key)
{
    struct span rest;
    unsigned partition;
    if (!owner(c, key, &partition, &rest) || partition < c->conf.partitions ||
        !span_has_prefix(rest, SPAN("h:")) || c->members.count >= MEMBERS_MAX)
        return true;
    return keep(c, &c->members, span_from(rest, 2));
}

/* Counting again takes the messages of the partitions that differed. */
static bool counts_again(const struct check *c)
{
    return c->partition < c->conf.partitions && c->kind->counts &&
           c->tallies[c->partition].state == TALLY_DIFFERS;
}

/* Makes the next run of the page; false: none is left. */
static bool next_run(struct check *c)
{
    struct span rest;
    uint64_t once = c->phase == KEYS;
    for (c->run = c->next; c->run < c->page.count; c->run++) {
        struct span key = names_at(&c->page, c->run);
        c->result.keys += once;
        if (!owner(c, key, &c->partition, &rest))
            continue;
        c->kind = c->partition < c->conf.partitions ? check_kind_of(rest) : &check_kind_other;
        if (!once && !counts_again(c))
            continue;
        if (!note_member(c, key))
            return false;
        break;
    }
    if (c->run >= c->page.count)
        return false;
    for (c->next = c->run + 1; c->next < c->page.count && c->next - c->run < c->kind->names; c->next++) {
        if (!in_run(c, names_at(&c->page, c->next)))
            break;
        if (!note_member(c, names_at(&c->page, c->next)))
            return false;
        c->result.keys += once;
    }
    c->part = once ? 0 : CHECK_PARTS_MAX - 1; /* again: "n" alone */
    c->typed = !once;
    c->walking = c->run;
    c->walk_cursor[0] = '\0';
    c->walked = false;
    return true;
}

/* --- What is in a key ---------------------------------------------------------------------------- */

static bool set_cursor(char cursor[CURSOR_MAX], struct span s)
{
    if (s.len == 0 || s.len >= CURSOR_MAX)
        return false;
    memcpy(cursor, s.ptr, s.len);
    cursor[s.len] = '\0';
    return true;
}

static void listed(void *arg, struct redis_request *rq, enum err e, const struct redisReply *reply,
                   const char *why)
{
    struct check *c = arg;
    const struct redisReply *page = reply_at(reply, 1);
    char entry[QUEUE_NAME_BYTES + FOREIGN_MAX];
    if (e != ERR_OK && wrong_type(c, rq, e)) {
        c->walked = true;
        step(c);
        return;
    }
    if (refused(c, e, why))
        return;
    struct span name = span_from(names_at(&c->page, c->walking), before_name(c));
    names_clear(&c->entries);
    c->entry = 0;
    for (size_t i = 0; i + 1 < reply_count(page); i += 2) {
        struct span s = reply_text_at(page, i);
        if (s.len + name.len + 2 > sizeof entry)
            continue; /* not one of ours, and nothing asks for it */
        int n = c->kind->named
                    ? snprintf(entry, sizeof entry, SPAN_FMT " " SPAN_FMT, SPAN_ARG(s), SPAN_ARG(name))
                    : snprintf(entry, sizeof entry, SPAN_FMT, SPAN_ARG(s));
        if (!keep(c, &c->entries, span_of(entry, (size_t)n)))
            return;
    }
    c->walked = !set_cursor(c->walk_cursor, reply_text_at(reply, 0)) || strcmp(c->walk_cursor, "0") == 0;
    step(c);
}

static void list_entries(struct check *c)
{
    struct redis_request *rq = request(c, listed);
    if (rq == NULL)
        return;
    redis_command(rq, 5);
    redis_arg_str(rq, c->kind->walk);
    redis_arg(rq, names_at(&c->page, c->walking));
    redis_arg_str(rq, c->walk_cursor[0] == '\0' ? "0" : c->walk_cursor);
    redis_arg_str(rq, "COUNT");
    redis_arg_u64(rq, CHECK_NAMES_MAX);
    redis_link_send(c->conf.link, rq);
}

/* --- Pages of keys ------------------------------------------------------------------------------- */

static void scanned(void *arg, struct redis_request *rq, enum err e, const struct redisReply *reply,
                    const char *why)
{
    struct check *c = arg;
    const struct redisReply *keys = reply_at(reply, 1);
    (void)rq;
    if (refused(c, e, why))
        return;
    names_clear(&c->page);
    c->run = c->next = 0;
    for (size_t i = 0; i < reply_count(keys); i++) {
        if (!keep(c, &c->page, reply_text_at(keys, i)))
            return;
    }
    c->scanned = !set_cursor(c->cursor, reply_text_at(reply, 0)) || strcmp(c->cursor, "0") == 0;
    e = names_sort(&c->page);
    if (e != ERR_OK)
        end(c, e, "");
    else
        step(c);
}

static void scan(struct check *c)
{
    char pattern[2 * NAMESPACE_MAX + 16] = "{";
    size_t n = 1;
    struct redis_request *rq = request(c, scanned);
    if (rq == NULL)
        return;
    for (const char *s = c->conf.ns; *s != '\0' && n + 12 < sizeof pattern; s++) {
        if (strchr("*?[]\\^", *s) != NULL)
            pattern[n++] = '\\';
        pattern[n++] = *s;
    }
    (void)snprintf(pattern + n, sizeof pattern - n, c->phase == KEYS ? ".*" : ".p*}:m:*");
    redis_command(rq, 6);
    redis_arg_str(rq, "SCAN");
    redis_arg_str(rq, c->cursor[0] == '\0' ? "0" : c->cursor);
    redis_arg_str(rq, "MATCH");
    redis_arg_str(rq, pattern);
    redis_arg_str(rq, "COUNT");
    redis_arg_u64(rq, SCAN_PAGE);
    redis_link_send(c->conf.link, rq);
}

/* --- The counters (I9) --------------------------------------------------------------------------- */

static void ask_tally(struct check *c, unsigned partition, const char *question)
{
    c->partition = partition;
    struct redis_request *rq = request(c, counted);
    if (rq == NULL)
        return;
    redis_script(rq, SCRIPT_CHECK, tag_of(c), 3);
    redis_arg_u64(rq, c->conf.repair);
    redis_arg_str(rq, "st");
    redis_arg_str(rq, question);
    redis_link_send(c->conf.link, rq);
}

/* The next partition of this state gets its sums judged; false: there is none. */
static bool judge_next(struct check *c, enum tally_state state)
{
    while (c->asked < c->conf.partitions && c->tallies[c->asked].state != state)
        c->asked++;
    if (c->asked == c->conf.partitions)
        return false;
    struct tally *t = &c->tallies[c->asked];
    char question[TALLY_QUESTION_MAX];
    tally_question(t, question);
    t->state = TALLY_JUDGED; /* unless the answer says otherwise */
    ask_tally(c, c->asked++, question);
    return true;
}

/* The sums that differ are counted once more: SCAN may have given a key twice. False: all fit. */
static bool count_again(struct check *c)
{
    bool any = false;
    for (unsigned i = 0; i < c->conf.partitions; i++) {
        c->tallies[i].messages = c->tallies[i].jobs = 0;
        any = any || c->tallies[i].state == TALLY_DIFFERS;
    }
    return any;
}

/* --- The slots ----------------------------------------------------------------------------------- */

static void slots_checked(void *arg, struct redis_request *rq, enum err e, const struct redisReply *reply,
                          const char *why)
{
    struct check *c = arg;
    if (wrong_type(c, rq, e) || (!refused(c, e, why) && read_findings(c, c->conf.partitions, reply)))
        end(c, ERR_OK, "");
}

static void check_slots(struct check *c)
{
    struct redis_request *rq = request(c, slots_checked);
    if (rq == NULL)
        return;
    redis_script(rq, SCRIPT_SLOTCHECK, span_cstr(c->sem_tag), 1 + c->members.count);
    redis_arg_u64(rq, c->conf.repair);
    for (size_t i = 0; i < c->members.count; i++)
        redis_arg(rq, names_at(&c->members, i));
    redis_link_send(c->conf.link, rq);
}

/* --- The order of it all ------------------------------------------------------------------------- */

/* One question of the run; false: the run is over. */
static bool step_in_run(struct check *c)
{
    if (c->kind == NULL)
        return false;
    if (!c->typed) {
        c->typed = true;
        check_names(c, "type", &c->page, c->run, c->next, tag_of(c).len + 1);
        return true;
    }
    if (c->part < CHECK_PARTS_MAX && c->kind->parts[c->part] != NULL) {
        check_names(c, c->kind->parts[c->part++], &c->page, c->run, c->next, before_name(c));
        return true;
    }
    if (c->entry < c->entries.count) {
        size_t from = c->entry, left = c->entries.count - from;
        c->entry += left < CHECK_NAMES_MAX ? left : CHECK_NAMES_MAX;
        check_names(c, c->kind->entry, &c->entries, from, c->entry, 0);
        return true;
    }
    if (c->walked) {
        c->walking++;
        c->walked = false;
        c->walk_cursor[0] = '\0';
    }
    if (c->kind->walk == NULL || c->walking >= c->next)
        return false;
    list_entries(c);
    return true;
}

static void enter(struct check *c, enum phase phase)
{
    c->phase = phase;
    c->asked = 0;
    c->kind = NULL;
    c->scanned = false;
    c->cursor[0] = '\0';
    names_clear(&c->page);
    c->run = c->next = 0;
}

/* Nothing of a page is left: asks the next question of the phase; false: it is over. */
static bool step_in_phase(struct check *c)
{
    switch (c->phase) {
    case COUNTERS:
        if (c->asked < c->conf.partitions) {
            ask_tally(c, c->asked++, "read");
            return true;
        }
        return false;
    case KEYS:
    case KEYS_AGAIN:
        if (c->scanned)
            return false;
        c->kind = NULL;
        scan(c);
        return true;
    case SUMS:
        return judge_next(c, TALLY_OPEN);
    case SUMS_AGAIN:
        return judge_next(c, TALLY_DIFFERS);
    case IN_HAND:
        if (c->asked == c->conf.partitions)
            return false;
        c->partition = c->asked++;
        check_names(c, "inf", &c->page, 0, 0, 0);
        return true;
    case SLOTS:
        break;
    }
    check_slots(c); /* ends it */
    return true;
}

static void step(struct check *c)
{
    if (c->more.count > 0) { /* same partition: the answer came just now */
        struct names more = c->more;
        names_init(&c->more);
        check_names(c, "m", &more, 0, more.count < CHECK_NAMES_MAX ? more.count : CHECK_NAMES_MAX, 0);
        names_done(&more);
        return;
    }
    if (step_in_run(c))
        return;
    if (next_run(c)) {
        step(c);
        return;
    }
    while (c->failed == ERR_OK && !step_in_phase(c)) {
        bool fit = c->phase == SUMS && !count_again(c);
        enter(c, fit ? IN_HAND : c->phase + 1);
    }
}

struct check *check_start(const struct check_conf *conf)
{
    struct check *c = calloc(1, sizeof *c);
    if (c == NULL)
        return NULL;
    c->conf = *conf;
    deferred_init(&c->end, end_now, c);
    struct names *lists[] = {&c->page, &c->entries, &c->more, &c->members};
    for (size_t i = 0; i < ARRAY_LEN(lists); i++)
        names_init(lists[i]);
    (void)snprintf(c->sem_tag, sizeof c->sem_tag, "{%s.sem}", conf->ns);
    c->pause = timer_new(conf->loop, on_pause, c);
    c->tallies = calloc(conf->partitions, sizeof *c->tallies);
    if (c->pause == NULL || c->tallies == NULL) {
        check_free(c);
        return NULL;
    }
    step(c);
    return c;
}
