/* The administrator's view of a store that a real one filled. */
#include "queue/admin.h"
#include "queue/queue_name.h"
#include "queue/redis_slot.h"
#include "tests/conformance/real.h"

#include <string.h>

struct seen { /* what callbacks were told */
    struct world *w;
    bool done;
    enum err e;
    uint64_t n, findings, mended, told_mended, moved;
    char last[400], queues[400];
    struct msgid id;
    struct admin_result result;
    struct admin_status status;
    struct buf body;
};

static struct admin *admin;

static void await(struct seen *s)
{
    for (int turns = 0; !s->done; turns++) {
        assert_true(turns < 20000);
        real_turn(s->w);
    }
    s->done = false;
}

static int setup(void **state)
{
    static struct world w;
    struct errctx ec = {""};
    w = (struct world){.backend = NULL};
    if (real_setup(&w) != 0)
        return -1;
    struct real *r = w.own;
    if (admin_open(r->loop[0], r->conf, 5000, &admin, &ec) != ERR_OK)
        fail_msg("%s", ec.msg);
    *state = &w;
    return 0;
}

static int teardown(void **state)
{
    admin_free(admin);
    return real_teardown(*state);
}

static void committed(void *arg, enum err e, const struct msgid *id, const char *why)
{
    struct seen *s = arg;
    (void)why;
    assert_int_equal(e, ERR_OK);
    s->id = *id;
    s->done = true;
}

static void nothing(void *arg)
{
    (void)arg;
}

static void done(void *arg, enum err e, const char *why)
{
    struct seen *s = arg;
    s->e = e;
    (void)snprintf(s->last, sizeof s->last, "%s", why);
    s->done = true;
}

static void counted(void *arg, enum err e, uint64_t n, const char *why)
{
    struct seen *s = arg;
    s->n = n;
    done(arg, e, why);
}

static void put_job(struct world *w, struct seen *s, const struct job *job, struct span body, ms_t delay_ms)
{
    struct envelope env = {.sender = SPAN("sender@example.net")};
    struct commit_job cj = {job, delay_ms};
    struct upload *u = store_upload(w->store[0], NULL, nothing, NULL);
    s->w = w;
    assert_non_null(u);
    while (body.len > 0) {
        size_t taken = 0;
        enum err e = upload_write(u, body, &taken);
        assert_true(e == ERR_OK || e == ERR_AGAIN);
        body = span_from(body, taken);
        real_turn(w);
    }
    assert_int_equal(upload_commit(u, &env, &cj, 1, committed, s), ERR_OK);
    await(s);
}

static void put(struct world *w, struct seen *s, const char *domain, const char *rcpt, struct span body,
                ms_t delay_ms)
{
    struct recipient to = {.address = span_cstr(rcpt)};
    struct job job = {.domain = span_cstr(domain), .rcpts = &to, .nrcpts = 1};
    put_job(w, s, &job, body, delay_ms);
}

static bool on_queue(void *arg, const struct admin_queue *q)
{
    struct seen *s = arg;
    size_t n = strlen(s->queues);
    (void)snprintf(s->queues + n, sizeof s->queues - n, SPAN_FMT "/%s/%u ", SPAN_ARG(q->domain),
                   admin_queue_state_name(q->state), (unsigned)q->waiting);
    return true;
}

static void queues_are_listed_once(void **state)
{
    struct seen s = {.last = ""};
    for (int i = 0; i < 5; i++)
        put(*state, &s, "b.example", "u@b.example", SPAN("x"), 0);
    put(*state, &s, "a.example", "u@a.example", SPAN("x"), 3600000);
    assert_int_equal(admin_freeze(admin, SPAN("c.example"), 0, SPAN("root"), SPAN("why"), counted, &s),
                     ERR_OK);
    await(&s);
    assert_int_equal(s.n, WORLD_PARTITIONS);
    assert_int_equal(admin_queues(admin, on_queue, done, &s), ERR_OK);
    await(&s);
    assert_int_equal(s.e, ERR_OK);
    assert_string_equal(s.queues, "a.example/Scheduled/1 b.example/Ready/5 c.example/Frozen/0 ");
    assert_int_equal(admin_thaw(admin, SPAN("c.example"), 0, counted, &s), ERR_OK);
    await(&s);
    assert_int_equal(s.n, WORLD_PARTITIONS);
}

static bool on_job(void *arg, const struct admin_job *j)
{
    struct seen *s = arg;
    s->n++;
    s->id = j->id;
    assert_true(span_eq(j->env.sender, SPAN("sender@example.net")));
    assert_int_equal(j->job.nrcpts, 1);
    return true;
}

static void jobs_are_found_by_filter(void **state)
{
    struct seen s = {.last = ""};
    struct admin_filter filters[] = {{.limit = 0},
                                     {.domain = SPAN("b.example")},
                                     {.rcpt = SPAN("USER7@")},
                                     {.sender = SPAN("nobody")},
                                     {.limit = 3},
                                     {.places = ADMIN_BADMAIL | ADMIN_QUARANTINE | ADMIN_IN_HAND},
                                     {.domain = SPAN("a.example"), .any_class = true}};
    static const uint64_t expect[] = {30, 15, 1, 0, 3, 0, 15};
    for (int i = 0; i < 30; i++) {
        char rcpt[32];
        (void)snprintf(rcpt, sizeof rcpt, "user%d@x", i);
        put(*state, &s, i % 2 == 0 ? "a.example" : "b.example", rcpt, SPAN("x"), 0);
    }
    for (size_t i = 0; i < ARRAY_LEN(filters); i++) {
        s.n = 0;
        assert_int_equal(admin_jobs(admin, &filters[i], on_job, done, &s), ERR_OK);
        await(&s);
        assert_int_equal(s.e, ERR_OK);
        assert_int_equal(s.n, expect[i]);
    }
    char id[MSGID_TEXT_MAX];
    msgid_text(&s.id, id);
    struct admin_filter one = {.id = span_cstr(id)};
    s.n = 0;
    assert_int_equal(admin_jobs(admin, &one, on_job, done, &s), ERR_OK);
    await(&s);
    assert_int_equal(s.n, 1);
    assert_int_equal(admin_jobs(admin, &(struct admin_filter){.id = SPAN("x-1")}, on_job, done, &s),
                     ERR_PARSE);
}

static void edited(void *arg, enum err e, const struct admin_result *r, const char *why)
{
    ((struct seen *)arg)->result = *r;
    done(arg, e, why);
}

static void jobs_are_changed(void **state)
{
    struct seen s = {.last = ""};
    for (int i = 0; i < 130; i++)
        put(*state, &s, "a.example", "u@a.example", SPAN("x"), 3600000);
    static const struct {
        enum admin_verb verb;
        bool dry_run;
        uint64_t matched, changed, refused;
    } rows[] = {
        {ADMIN_DELETE, true, 130, 130, 0},  {ADMIN_RETRY_NOW, false, 130, 130, 0},
        {ADMIN_FREEZE, true, 130, 130, 0},  {ADMIN_FREEZE, false, 130, 130, 0},
        {ADMIN_FREEZE, false, 0, 0, 0},     {ADMIN_RETRY_NOW, true, 130, 0, 130},
        {ADMIN_RETRY_NOW, false, 0, 0, 0},  {ADMIN_THAW, true, 130, 130, 0},
        {ADMIN_THAW, false, 130, 130, 0},   {ADMIN_THAW, false, 0, 0, 0},
        {ADMIN_RETURN, false, 130, 130, 0}, {ADMIN_REQUEUE, false, 130, 0, 130},
        {ADMIN_DELETE, false, 130, 130, 0}, {ADMIN_DELETE, false, 0, 0, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        assert_int_equal(admin_edit(admin, rows[i].verb, &(struct admin_filter){.domain = SPAN("a.example")},
                                    SPAN("test"), rows[i].dry_run, NULL, edited, &s),
                         ERR_OK);
        await(&s);
        assert_int_equal(s.e, ERR_OK);
        assert_int_equal(s.result.matched, rows[i].matched);
        assert_int_equal(s.result.changed, rows[i].changed);
        assert_int_equal(s.result.refused, rows[i].refused);
    }
}

static void claimed(void *arg, enum err e, struct claim *const *claims, size_t n)
{
    struct claim **ret = arg;
    assert_int_equal(e, ERR_OK);
    *ret = n > 0 ? claims[0] : NULL;
}

static struct claim *claim_soon(struct seen *s, const char *domain)
{
    struct claim *c = NULL;
    for (int turns = 0; c == NULL && turns < 20000; turns++) {
        struct claim *unset = (struct claim *)-1;
        c = unset;
        if (store_claim(s->w->store[0], s->id.partition, span_cstr(domain), 0, 10, claimed, &c) != ERR_OK)
            c = NULL;
        while (c == unset)
            real_turn(s->w);
        real_turn(s->w);
    }
    assert_non_null(c);
    return c;
}

/* A worker that sweeps a queue has all of it in hand for a moment: it comes back due all the same. */
static void retry_reaches_what_is_in_hand(void **state)
{
    static const struct worker_info info = {"worker", "host", "1"};
    static const struct admin_filter filters[] = {{.places = 0},
                                                  {.domain = SPAN_INIT("a.example"), .any_class = true}};
    struct seen s = {.last = ""};
    put(*state, &s, "a.example", "u@a.example", SPAN("x"), 0);
    assert_int_equal(store_worker_open(s.w->store[0], &info, nothing, NULL), ERR_OK);
    for (size_t i = 0; i < ARRAY_LEN(filters); i++) {
        struct claim *c = claim_soon(&s, "a.example");
        assert_int_equal(admin_edit(admin, ADMIN_RETRY_NOW, &filters[i], SPAN(""), false, NULL, edited, &s),
                         ERR_OK);
        await(&s);
        assert_int_equal(s.e, ERR_OK);
        assert_int_equal(store_release(s.w->store[0], c, 3600000), ERR_OK);
    }
    assert_int_equal(store_release(s.w->store[0], claim_soon(&s, "a.example"), 0), ERR_OK);
}

static bool on_message(void *arg, const struct admin_message *m)
{
    struct seen *s = arg;
    assert_int_equal(m->jobs_left, 1);
    s->findings = m->body.size_bytes;
    return true;
}

static bool on_bytes(void *arg, struct span bytes)
{
    assert_int_equal(buf_add(&((struct seen *)arg)->body, bytes), ERR_OK);
    return true;
}

static bool on_event(void *arg, const struct admin_event *ev)
{
    struct seen *s = arg;
    assert_true(span_eq(ev->event, SPAN("accepted")));
    s->n++;
    return true;
}

static void one_message(void **state)
{
    static char body[200000];
    struct seen s = {.last = ""};
    for (size_t i = 0; i < sizeof body; i++)
        body[i] = (char)(i * 7919 >> 3);
    buf_init(&s.body, sizeof body);
    put(*state, &s, "a.example", "u@a.example", span_of(body, sizeof body), 0);
    struct msgid id = s.id, other = s.id;
    assert_int_equal(admin_show(admin, &id, on_message, on_job, done, &s), ERR_OK);
    await(&s);
    assert_int_equal(s.e, ERR_OK);
    assert_int_equal(s.n, 1);
    assert_int_equal(s.findings, sizeof body);
    assert_int_equal(admin_body(admin, &id, on_bytes, done, &s), ERR_OK);
    await(&s);
    assert_int_equal(s.e, ERR_OK);
    assert_true(span_eq(buf_span(&s.body), span_of(body, sizeof body)));
    s.n = 0;
    assert_int_equal(admin_track(admin, &id, on_event, done, &s), ERR_OK);
    await(&s);
    assert_int_equal(s.e, ERR_OK);
    assert_int_equal(s.n, 1);
    other.partition = 99;
    assert_int_equal(admin_body(admin, &other, on_bytes, done, &s), ERR_OK);
    await(&s);
    assert_int_equal(s.e, ERR_NOTFOUND);
    buf_done(&s.body);
}

static void on_status(void *arg, enum err e, const struct admin_status *st, const char *why)
{
    struct seen *s = arg;
    s->status = *st;
    assert_true(st->redis.version.len > 0);
    assert_true(span_eq(st->redis.fsync, SPAN("always")));
    done(arg, e, why);
}

static bool on_member(void *arg, const struct admin_member *m)
{
    (void)m;
    ((struct seen *)arg)->n++;
    return true;
}

static bool on_link(void *arg, const struct admin_link *k)
{
    (void)k;
    ((struct seen *)arg)->n++;
    return true;
}

static void status_members_links(void **state)
{
    struct seen s = {.last = ""};
    put(*state, &s, "a.example", "u@a.example", SPAN("xyz"), 0);
    assert_int_equal(admin_status(admin, on_status, &s), ERR_OK);
    await(&s);
    assert_int_equal(s.e, ERR_OK);
    assert_int_equal(s.status.messages, 1);
    assert_int_equal(s.status.counters.bytes, 3);
    assert_true(s.status.redis.aof && s.status.redis.aof_write_ok && !s.status.redis.loading);
    assert_int_equal(store_link_failed(((struct world *)*state)->store[0], SPAN("mx"), 1, 60000, SPAN("no")),
                     ERR_OK);
    assert_int_equal(admin_members(admin, on_member, done, &s), ERR_OK);
    await(&s);
    assert_int_equal(s.n, 0);
    assert_int_equal(admin_links(admin, on_link, done, &s), ERR_OK);
    await(&s);
    assert_int_equal(s.n, 1);
    assert_int_equal(admin_link_reset(admin, SPAN("mx"), counted, &s), ERR_OK);
    await(&s);
    assert_int_equal(s.n, 1);
}

static void on_finding(void *arg, struct span text, bool mended)
{
    struct seen *s = arg;
    s->findings++;
    s->told_mended += mended;
    (void)snprintf(s->last, sizeof s->last, SPAN_FMT, SPAN_ARG(text));
}

static void on_checked(void *arg, enum err e, const struct admin_check_result *r, const char *why)
{
    struct seen *s = arg;
    s->n = r->keys;
    s->mended = r->mended;
    s->moved = r->moved;
    if (e != ERR_OK)
        print_error("check: %s\n", why);
    s->e = e;
    s->done = true;
}

/* Runs Lua with k[1] the key of this name in every partition, or the slots'. */
static void on_keys(struct world *w, const char *name, const char *command)
{
    char pattern[64], script[512], out[64] = "";
    (void)snprintf(pattern, sizeof pattern, "{%s.*}:g", ((struct real *)w->own)->namespace);
    (void)snprintf(
        script, sizeof script,
        "for _,g in ipairs(redis.call('KEYS',ARGV[1])) do local slots = string.find(g, '.sem}', 1, true) "
        "local k = string.sub(g,1,-2)..ARGV[2] "
        "if (slots and 1 or 0) == tonumber(ARGV[3]) and not string.find(g, '.cfg}', 1, true) then %s end end",
        command);
    bool slots = strchr("wdt", name[0]) != NULL && strlen(name) == 1;
    REDIS_ASK(&real_server, out, "EVAL", script, "0", pattern, name, slots || name[0] == 'l' ? "1" : "0");
    assert_string_equal(out, "");
}

static void check_store(struct seen *s, bool repair)
{
    s->findings = s->told_mended = 0;
    assert_int_equal(admin_check(admin, repair, on_finding, on_checked, s), ERR_OK);
    await(s);
    assert_int_equal(s->e, ERR_OK);
}

static void damage_is_found_and_mended(void **state)
{
    struct seen s = {.last = ""};
    struct world *w = *state;
    char script[300], out[64];
    for (int i = 0; i < 200; i++)
        put(*state, &s, "a.example", "u@a.example", SPAN("x"), 0);
    static const bool repair[] = {false, true, false};
    static const uint64_t expect[] = {4, 4, 0};
    assert_int_equal(admin_check(admin, false, on_finding, on_checked, &s), ERR_OK);
    await(&s);
    assert_int_equal(s.e, ERR_OK);
    assert_true(s.n > 400);
    assert_int_equal(s.findings, 0);
    /* A queue loses its entry in dom in every partition. */
    (void)snprintf(
        script, sizeof script,
        "for _,k in ipairs(redis.call('KEYS','{%s.p*}:dom')) do redis.call('DEL',k) end return 'x'",
        ((struct real *)w->own)->namespace);
    REDIS_ASK(&real_server, out, "EVAL", script, "0");
    assert_string_equal(out, "x");
    for (size_t i = 0; i < ARRAY_LEN(repair); i++) {
        s.findings = 0;
        assert_int_equal(admin_check(admin, repair[i], on_finding, on_checked, &s), ERR_OK);
        await(&s);
        assert_int_equal(s.e, ERR_OK);
        assert_int_equal(s.findings, expect[i]);
    }
    /* What is in a key is looked at, too: an entry of a queue that is no job. */
    on_keys(w, "q:a.example", "redis.call('ZADD',k,1,'0000000000000001.1')");
    for (size_t i = 0; i < ARRAY_LEN(repair); i++) {
        check_store(&s, repair[i]);
        assert_int_equal(s.findings, expect[i]);
    }
}

struct search {
    struct seen seen;
    const char *what;
    bool found;
};

static void on_search(void *arg, struct span text, bool mended)
{
    struct search *s = arg;
    (void)mended;
    s->seen.findings++;
    s->found = s->found || memmem(text.ptr, text.len, s->what, strlen(s->what)) != NULL;
}

static void on_searched(void *arg, enum err e, const struct admin_check_result *r, const char *why)
{
    on_checked(&((struct search *)arg)->seen, e, r, why);
}

/* Counters that do not fit what is there are found, in the partition where they do not, and mended. */
static void counters_are_found_and_mended(void **state)
{
    struct seen s = {.last = ""};
    for (int i = 0; i < 40; i++)
        put(*state, &s, "a.example", "u@a.example", SPAN("x"), 0);
    static const char *const damages[] = {
        "redis.call('HINCRBY',k,'accepted',2)",
        "redis.call('HINCRBY',k,'gone',1)",
        "redis.call('HINCRBY',k,'early',1)",
    };
    CHECK_EACH (damages, damage) {
        on_keys(*state, "st", *damage);
        for (int i = 0; i < 3; i++) {
            check_store(&s, i == 1);
            assert_int_equal(s.findings, i < 2 ? WORLD_PARTITIONS : 0);
            assert_int_equal(s.mended, i == 1 ? WORLD_PARTITIONS : 0);
            assert_int_equal(s.told_mended, s.mended);
            assert_int_equal(s.moved, 0);
            if (i == 0)
                assert_non_null(strstr(s.last, "I9 st says "));
        }
        assert_int_equal(admin_status(admin, on_status, &s), ERR_OK);
        await(&s);
        assert_int_equal(s.status.messages, 40);
        assert_int_equal(s.status.waiting_jobs, 40);
    }
}

/* Mail that comes while the store is checked is no finding, and its counters are left alone. */
static void counters_in_motion_are_not_judged(void **state)
{
    struct seen s = {.last = ""};
    for (int i = 0; i < 40; i++)
        put(*state, &s, "a.example", "u@a.example", SPAN("x"), 0);
    uint64_t moved = 0;
    for (int round = 0; round < 4; round++) {
        struct seen check = {.w = *state};
        assert_int_equal(admin_check(admin, round % 2 == 1, on_finding, on_checked, &check), ERR_OK);
        while (!check.done)
            put(*state, &s, "b.example", "u@b.example", SPAN("x"), 0);
        assert_int_equal(check.e, ERR_OK);
        assert_int_equal(check.findings, 0);
        moved += check.moved;
    }
    assert_true(moved > 0);
    check_store(&s, false);
    assert_int_equal(s.findings, 0);
    assert_int_equal(s.moved, 0);
}

/* Whatever key holds what somebody else wrote: it is named, moved away by the repair, and no message is lost.
 */
static void foreign_values_are_moved_away(void **state)
{
    static const char *const names[] = {"q:a.example", "dom", "hold", "fz", "inf",         "bad", "qz",
                                        "sp",          "wk",  "tok",  "ev", "a:a.example", "c:w", "fin:1",
                                        "w",           "d",   "t",    "ls", "l:mx",        "st"};
    struct seen s = {.last = ""};
    struct world *w = *state;
    for (int i = 0; i < 8; i++)
        put(w, &s, "a.example", "u@a.example", SPAN("x"), i % 2 == 0 ? 0 : 60000);
    CHECK_EACH (names, name) {
        char what[64];
        struct search found = {.seen = {.w = w}, .what = what};
        (void)snprintf(what, sizeof what, "I12 %s holds a ", *name);
        on_keys(w, *name,
                "redis.call('DEL',k) if ARGV[2] == 'tok' or ARGV[2] == 't' then redis.call('RPUSH',k,'x') "
                "else redis.call('SET',k,'x') end");
        for (int i = 0; i < 5; i++) { /* what is beside it can be looked at only when it is gone */
            found.seen.findings = 0;
            found.seen.done = false;
            assert_int_equal(admin_check(admin, i > 0 && i < 4, on_search, on_searched, &found), ERR_OK);
            await(&found.seen);
            assert_int_equal(found.seen.e, ERR_OK);
            if (i == 0 && !found.found)
                fail_msg("not found: %s", what);
        }
        if (found.seen.findings > 0)
            fail_msg("%s: still %u findings", *name, (unsigned)found.seen.findings);
    }
    s.n = 0;
    assert_int_equal(admin_status(admin, on_status, &s), ERR_OK);
    await(&s);
    assert_int_equal(s.status.messages, 8);
    on_keys(w, "",
            "for _,a in ipairs(redis.call('KEYS',string.gsub(k,'[{}]','?')..'alien:*')) do "
            "redis.call('DEL',a) end");
}

/* A job that is in no queue, and whose message has forgotten in which it belongs, goes where it was sent to.
 */
static void a_job_names_its_queue_itself(void **state)
{
#define LABEL "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz."
    static char address[301];
    static struct recipient rcpts[JOB_RCPTS_MAX];
    static const struct job jobs[] = {
        {.domain = SPAN_INIT("a.example"), .rcpts = rcpts, .nrcpts = 1},
        {.domain = SPAN_INIT("a.example"), .klass = 0x2a, .rcpts = rcpts, .nrcpts = 2, .attempts = 1},
        {.domain = SPAN_INIT(LABEL LABEL LABEL LABEL "example"),
         .klass = UINT32_MAX,
         .rcpts = rcpts,
         .nrcpts = JOB_RCPTS_MAX},
        {.domain = SPAN_INIT("newer.example"),
         .rcpts = rcpts,
         .nrcpts = 1,
         .unknown = SPAN_INIT("\x63\x01x")},
    };
    struct world *w = *state;
    memset(address, 'u', sizeof address - 1);
    for (size_t i = 0; i < JOB_RCPTS_MAX; i++)
        rcpts[i] = (struct recipient){.address = span_cstr(address), .notify = NOTIFY_FAILURE};
    CHECK_EACH (jobs, job) {
        struct seen s = {.last = ""};
        char name[QUEUE_NAME_BYTES], tag[REDIS_TAG_MAX], message[128], queue[512], home[512], want[512],
            out[64];
        put_job(w, &s, job, SPAN("x"), 0);
        (void)queue_name_write(job->domain, job->klass, name);
        redis_tag(((struct real *)w->own)->namespace, s.id.partition, WORLD_PARTITIONS, tag);
        (void)snprintf(message, sizeof message, "%s:m:%s", tag, s.id.id);
        (void)snprintf(queue, sizeof queue, "%s:q:%s", tag, name);
        (void)snprintf(want, sizeof want, "0:%s", name);
        REDIS_ASK(&real_server, out, "HSET", message, "q1", "garbage");
        REDIS_ASK(&real_server, out, "DEL", queue);
        check_store(&s, true);
        assert_true(s.mended >= 2 && s.mended == s.findings);
        REDIS_ASK(&real_server, home, "HGET", message, "q1");
        assert_string_equal(home, want);
        REDIS_ASK(&real_server, out, "ZCARD", queue);
        assert_string_equal(out, "1");
        check_store(&s, false);
        assert_int_equal(s.findings, 0);
    }
#undef LABEL
}

static void freeing_completes_what_is_under_way(void **state)
{
    struct seen s = {.last = ""};
    (void)state;
    assert_int_equal(admin_queues(admin, on_queue, done, &s), ERR_OK);
    assert_int_equal(admin_check(admin, false, on_finding, on_checked, &s), ERR_OK);
    admin_free(admin);
    admin = NULL;
    assert_true(s.done);
    assert_int_equal(s.e, ERR_CANCELED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(queues_are_listed_once, setup, teardown),
        cmocka_unit_test_setup_teardown(jobs_are_found_by_filter, setup, teardown),
        cmocka_unit_test_setup_teardown(retry_reaches_what_is_in_hand, setup, teardown),
        cmocka_unit_test_setup_teardown(jobs_are_changed, setup, teardown),
        cmocka_unit_test_setup_teardown(one_message, setup, teardown),
        cmocka_unit_test_setup_teardown(status_members_links, setup, teardown),
        cmocka_unit_test_setup_teardown(damage_is_found_and_mended, setup, teardown),
        cmocka_unit_test_setup_teardown(counters_are_found_and_mended, setup, teardown),
        cmocka_unit_test_setup_teardown(counters_in_motion_are_not_judged, setup, teardown),
        cmocka_unit_test_setup_teardown(foreign_values_are_moved_away, setup, teardown),
        cmocka_unit_test_setup_teardown(a_job_names_its_queue_itself, setup, teardown),
        cmocka_unit_test_setup_teardown(freeing_completes_what_is_under_way, setup, teardown),
    };
    redis_server_start(&real_server, NULL, false);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    redis_server_stop(&real_server);
    return failed;
}
