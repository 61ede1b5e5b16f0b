/* tests/unit/linkstate/test_bad_input.c — everything that neighbours may send wrong: refused, counted once,
 * noticed once with the neighbour's number, nothing changed; and any number of times without growing. */
#include "tests/unit/linkstate/net.h"

#include <malloc.h>

/* --- Accounting: every allocation of the program under test goes through here (-Wl,--wrap) ----------------
 */

static int64_t live_bytes, live_objects;
void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
void __real_free(void *p);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);
void __wrap_free(void *p);

static void *account(void *p, int by)
{
    live_objects += p != NULL ? by : 0;
    live_bytes += p != NULL ? by * (int64_t)malloc_usable_size(p) : 0;
    return p;
}

void *__wrap_malloc(size_t n)
{
    return account(__real_malloc(n), 1);
}

void *__wrap_calloc(size_t n, size_t size)
{
    return account(__real_calloc(n, size), 1);
}

void *__wrap_realloc(void *p, size_t n)
{
    (void)account(p, -1);
    void *now = __real_realloc(p, n);
    return account(now != NULL ? now : p, 1) == now ? now : NULL;
}

void __wrap_free(void *p)
{
    __real_free(account(p, -1));
}

/* --- The engine under test: "b", with neighbours "a" (0), "c" (1), and "d" (2), which never said HELLO
 * -------- */

enum { A, C, D, PEERS, LIFETIME_S = 365 * 86400 };
struct bad {
    struct ls *ls;
    uint32_t self;
    struct buf cert, first, now, body; /* records of "a": the first one, the one that is held */
    struct buf own_first;
    ms_t now_ms;
};

static void record_of(const char *group, uint32_t key, struct ls_version v, unsigned cost, struct buf *header,
                      struct buf *body)
{
    struct record_connector c = {
        .name = SPAN("x"), .cost = (uint8_t)cost, .up = true, .weight = 1, .priorities = RECORD_PRIORITY_ALL};
    struct record r = {.master = SPAN("r"), .connectors = &c, .nconnectors = 1};
    struct ls_crypto crypto;
    struct buf cert;
    sim_crypto(&crypto, &key);
    buf_init(&cert, CERT_MAX);
    buf_init(header, LSA_HEADER_MAX);
    buf_init(body, RECORD_MAX);
    sim_cert(key, span_cstr(group), &cert);
    assert_int_equal(record_emit(&r, body), ERR_OK);
    assert_int_equal(lsa_seal(span_cstr(group), &v, buf_span(body), buf_span(&cert), &crypto, header),
                     ERR_OK);
    buf_done(&cert);
}

static struct ls_output step(struct bad *b, struct ls_event ev)
{
    struct ls_output out;
    ev.now_ms = b->now_ms;
    assert_int_equal(ls_step(b->ls, &ev, &out), ERR_OK);
    return out;
}

static struct ls_output receive(struct bad *b, uint32_t peer, struct span bytes)
{
    return step(b, (struct ls_event){.type = LS_RECV, .peer = peer, .bytes = bytes});
}

static void emit(const struct ls_message *m, struct buf *out)
{
    buf_init(out, LS_MESSAGE_MAX);
    assert_int_equal(ls_message_emit(m, out), ERR_OK);
}

static struct ls_output say(struct bad *b, uint32_t peer, const struct ls_message *m)
{
    struct buf bytes;
    emit(m, &bytes);
    struct ls_output out = receive(b, peer, buf_span(&bytes));
    buf_done(&bytes);
    return out;
}

static struct ls_message hello(const char *group)
{
    return (struct ls_message){.type = LS_MSG_HELLO,
                               .min_version = LS_PROTOCOL_MIN,
                               .max_version = LS_PROTOCOL_MAX,
                               .organization = SPAN("sim"),
                               .group = span_cstr(group),
                               .router = SPAN("r"),
                               .instance = 7,
                               .answer = true};
}

static void advertise_bytes(struct span header, struct span body, uint32_t age_s, struct buf *out)
{
    struct buf list;
    struct ls_advert ad = {age_s, header, body};
    buf_init(&list, LS_MESSAGE_MAX);
    assert_int_equal(ls_advert_add(&list, &ad), ERR_OK);
    emit(&(struct ls_message){.type = LS_MSG_ADVERTISE, .list = buf_span(&list)}, out);
    buf_done(&list);
}

static struct ls_output advertise(struct bad *b, uint32_t peer, struct span header, struct span body)
{
    struct buf bytes;
    advertise_bytes(header, body, 0, &bytes);
    struct ls_output out = receive(b, peer, buf_span(&bytes));
    buf_done(&bytes);
    return out;
}

static void bad_init(struct bad *b)
{
    struct ls_crypto crypto;
    struct buf header, body;
    *b = (struct bad){.self = 1, .now_ms = 1000};
    buf_init(&b->cert, CERT_MAX);
    sim_crypto(&crypto, &b->self);
    sim_cert(b->self, SPAN("b"), &b->cert);
    struct ls_options o = {.organization = SPAN("sim"),
                           .group = SPAN("b"),
                           .router = SPAN("r"),
                           .cert = buf_span(&b->cert),
                           .instance = 1,
                           .lifetime_ms = (ms_t)LIFETIME_S * 1000};
    sim_org_key(o.org_key);
    b->ls = ls_new(&o, &crypto, b->now_ms);
    assert_non_null(b->ls);
    for (uint32_t p = 0; p < PEERS; p++) {
        static const char *const names[PEERS] = {"a", "c", "d"};
        uint32_t number;
        assert_int_equal(ls_peer_add(b->ls, span_cstr(names[p]), &number), ERR_OK);
        (void)step(b, (struct ls_event){.type = LS_CARRIER_UP, .peer = p});
    }
    record_of("b", 1, (struct ls_version){1, 0, 0, 1}, 1, &b->own_first, &body);
    (void)step(b, (struct ls_event){.type = LS_ORIGINATE, .bytes = buf_span(&body), .level = LS_LEVEL_MAJOR});
    (void)step(b, (struct ls_event){.type = LS_ORIGINATE, .bytes = buf_span(&body), .level = LS_LEVEL_MINOR});
    buf_done(&body);
    struct ls_message m = hello("a");
    (void)say(b, A, &m);
    m = hello("c");
    (void)say(b, C, &m);
    record_of("a", 0, (struct ls_version){1, 0, 0, 1}, 1, &b->first, &b->body);
    (void)advertise(b, A, buf_span(&b->first), buf_span(&b->body));
    buf_done(&b->body);
    record_of("a", 0, (struct ls_version){1, 1, 0, 2}, 2, &b->now, &b->body);
    (void)advertise(b, A, buf_span(&b->now), buf_span(&b->body));
    record_of("c", 2, (struct ls_version){1, 0, 0, 1}, 1, &header, &body);
    (void)advertise(b, C, buf_span(&header), buf_span(&body));
    buf_done(&header);
    buf_done(&body);
    assert_int_equal(ls_table(b->ls)->records, 3);
}

static void bad_done(struct bad *b)
{
    ls_free(b->ls);
    buf_done(&b->cert);
    buf_done(&b->first);
    buf_done(&b->now);
    buf_done(&b->body);
    buf_done(&b->own_first);
}

/* --- The messages -----------------------------------------------------------------------------------------
 */

/* Another header for a record of "a", changed in one byte of the part that `what` names. */
static void changed(const struct bad *b, const char *what, struct buf *out)
{
    struct lsa lsa;
    buf_init(out, LSA_HEADER_MAX);
    assert_int_equal(buf_add(out, buf_span(&b->now)), ERR_OK);
    assert_int_equal(lsa_parse(buf_span(out), &lsa), ERR_OK);
    size_t version = 1 + 1 + lsa.group.len, digest = version + 4 + 4 + 4 + 8 + 4;
    size_t at = strcmp(what, "format") == 0        ? 0
                : strcmp(what, "version") == 0     ? version + 3
                : strcmp(what, "body") == 0        ? digest
                : strcmp(what, "certificate") == 0 ? (size_t)(lsa.cert.bytes.ptr - out->ptr) + 20
                                                   : out->len - 1;
    out->ptr[at] = (char)(out->ptr[at] ^ 2);
    if (strcmp(what, "body") == 0) /* else it would not be news */
        out->ptr[version + 3] = (char)(out->ptr[version + 3] ^ 2);
    if (strcmp(what, "unsigned") == 0)
        memset(out->ptr + out->len - LS_SIG_LEN, 0, LS_SIG_LEN);
    if (strcmp(what, "unsigned") == 0 || strcmp(what, "signature") == 0)
        out->ptr[version + 3] = (char)(out->ptr[version + 3] ^ 2);
}

static void of_changed(const struct bad *b, const char *what, struct buf *out)
{
    struct buf header;
    changed(b, what, &header);
    advertise_bytes(buf_span(&header), buf_span(&b->body), 0, out);
    buf_done(&header);
}

static void signed_by(const char *group, uint32_t key, struct ls_version v, struct buf *out)
{
    struct buf header, body;
    record_of(group, key, v, 3, &header, &body);
    advertise_bytes(buf_span(&header), buf_span(&body), 0, out);
    buf_done(&header);
    buf_done(&body);
}

static void m_garbage(const struct bad *b, struct buf *out)
{
    (void)b;
    buf_init(out, 100);
    assert_int_equal(buf_add(out, SPAN("EHLO a.example\r\n")), ERR_OK);
}

static void m_empty(const struct bad *b, struct buf *out)
{
    (void)b;
    buf_init(out, 100);
}

static void m_truncated(const struct bad *b, struct buf *out)
{
    struct ls_message m = hello("a");
    (void)b;
    emit(&m, out);
    out->len--;
}

static void m_longer(const struct bad *b, struct buf *out)
{
    struct ls_message m = hello("a");
    (void)b;
    emit(&m, out);
    assert_int_equal(buf_add(out, SPAN("x")), ERR_OK);
}

static void m_wrong_version(const struct bad *b, struct buf *out)
{
    struct ls_message m = hello("a");
    (void)b;
    emit(&m, out);
    out->ptr[2] = LS_PROTOCOL_MAX + 1;
}

static void m_oversized(const struct bad *b, struct buf *out)
{
    (void)b;
    buf_init(out, LS_MESSAGE_MAX + 1);
    assert_int_equal(buf_reserve(out, LS_MESSAGE_MAX + 1), ERR_OK);
    memset(out->ptr, 0, LS_MESSAGE_MAX + 1);
    out->len = LS_MESSAGE_MAX + 1;
}

static void m_no_common_version(const struct bad *b, struct buf *out)
{
    struct ls_message m = hello("a");
    (void)b;
    m.min_version = m.max_version = LS_PROTOCOL_MAX + 1;
    emit(&m, out);
}

static void m_older_versions(const struct bad *b, struct buf *out)
{
    struct ls_message m = hello("a");
    (void)b;
    m.min_version = m.max_version = LS_PROTOCOL_MIN - 1;
    emit(&m, out);
}

static void m_organization(const struct bad *b, struct buf *out)
{
    struct ls_message m = hello("a");
    (void)b;
    m.organization = SPAN("other");
    emit(&m, out);
}

static void m_our_name(const struct bad *b, struct buf *out)
{
    struct ls_message m = hello("b");
    (void)b;
    emit(&m, out);
}

static void m_early(const struct bad *b, struct buf *out)
{
    advertise_bytes(buf_span(&b->now), buf_span(&b->body), 0, out);
}

static void m_reordered(const struct bad *b, struct buf *out)
{
    advertise_bytes(buf_span(&b->first), SPAN(""), 0, out); /* after the second one */
}

static void m_replayed_own(const struct bad *b, struct buf *out)
{
    advertise_bytes(buf_span(&b->own_first), SPAN(""), 0, out);
}

static void m_too_old(const struct bad *b, struct buf *out)
{
    struct buf header, body;
    (void)b;
    record_of("e", 4, (struct ls_version){1, 0, 0, 1}, 1, &header, &body);
    advertise_bytes(buf_span(&header), buf_span(&body), LIFETIME_S, out);
    buf_done(&header);
    buf_done(&body);
}

static void m_header(const struct bad *b, struct buf *out)
{
    advertise_bytes(span_first(buf_span(&b->now), b->now.len - 1), buf_span(&b->body), 0, out);
}

static void m_record_format(const struct bad *b, struct buf *out)
{
    of_changed(b, "format", out);
}

static void m_version_raised(const struct bad *b, struct buf *out)
{
    of_changed(b, "version", out);
}

static void m_body_exchanged(const struct bad *b, struct buf *out)
{
    of_changed(b, "body", out);
}

static void m_certificate(const struct bad *b, struct buf *out)
{
    of_changed(b, "certificate", out);
}

static void m_signature(const struct bad *b, struct buf *out)
{
    of_changed(b, "signature", out);
}

static void m_unsigned(const struct bad *b, struct buf *out)
{
    of_changed(b, "unsigned", out);
}

/* A true header, another body than it promises. */
static void m_wrong_body(const struct bad *b, struct buf *out)
{
    struct buf header, body;
    record_of("a", 0, (struct ls_version){2, 0, 0, 3}, 3, &header, &body);
    advertise_bytes(buf_span(&header), buf_span(&b->body), 0, out);
    buf_done(&header);
    buf_done(&body);
}

static void m_body_that_is_none(const struct bad *b, struct buf *out)
{
    struct ls_crypto crypto;
    struct ls_version v = {2, 0, 0, 3};
    struct buf header, cert;
    uint32_t key = 0;
    (void)b;
    sim_crypto(&crypto, &key);
    buf_init(&header, LSA_HEADER_MAX);
    buf_init(&cert, CERT_MAX);
    sim_cert(key, SPAN("a"), &cert);
    assert_int_equal(lsa_seal(SPAN("a"), &v, SPAN("junk"), buf_span(&cert), &crypto, &header), ERR_OK);
    advertise_bytes(buf_span(&header), SPAN("junk"), 0, out);
    buf_done(&header);
    buf_done(&cert);
}

static void m_second_key(const struct bad *b, struct buf *out)
{
    (void)b;
    signed_by("a", 9, (struct ls_version){9, 0, 0, 9}, out);
}

static void m_our_second_key(const struct bad *b, struct buf *out)
{
    (void)b;
    signed_by("b", 9, (struct ls_version){9, 0, 0, 9}, out);
}

/* Same key, same version, other bytes: the one that sorts first loses, so of many at least some are refused.
 * Which of them, the engine and this test find out by the same comparison. */
static void m_one_version_two_records(const struct bad *b, struct buf *out)
{
    for (unsigned cost = 3; cost < 50; cost++) {
        struct buf header, body;
        record_of("a", 0, (struct ls_version){1, 1, 0, 2}, cost, &header, &body);
        bool less = span_cmp(buf_span(&header), buf_span(&b->now)) < 0;
        if (less)
            advertise_bytes(buf_span(&header), buf_span(&body), 0, out);
        buf_done(&header);
        buf_done(&body);
        if (less)
            return;
    }
    fail_msg("no header sorts before the one that is held");
}

struct bad_case {
    const char *what;
    void (*make)(const struct bad *b, struct buf *out);
    enum ls_counter counter;
    uint32_t peer;
    bool ends; /* the adjacency */
};
/* clang-format off */
static const struct bad_case cases[] = {
    {"malformed: no message at all",           m_garbage,                 LS_C_MALFORMED, A, true},
    {"malformed: empty",                       m_empty,                   LS_C_MALFORMED, A, true},
    {"truncated",                              m_truncated,               LS_C_MALFORMED, A, true},
    {"longer than it says",                    m_longer,                  LS_C_MALFORMED, A, true},
    {"oversized",                              m_oversized,               LS_C_MALFORMED, A, true},
    {"wrong version of messages",              m_wrong_version,           LS_C_MALFORMED, A, true},
    {"no version in common",                   m_no_common_version,       LS_C_MISPLACED, A, true},
    {"only older versions",                    m_older_versions,          LS_C_MISPLACED, A, true},
    {"another organization",                   m_organization,            LS_C_MISPLACED, A, true},
    {"two groups with one name: a neighbour",  m_our_name,                LS_C_MISPLACED, A, true},
    {"reordered: before HELLO",                m_early,                   LS_C_MISPLACED, D, false},
    {"reordered: an older record later",       m_reordered,               LS_C_STALE,     A, false},
    {"replayed by another neighbour",          m_reordered,               LS_C_STALE,     C, false},
    {"replayed: our own",                      m_replayed_own,            LS_C_STALE,     A, false},
    {"beyond its lifetime",                    m_too_old,                 LS_C_STALE,     A, false},
    {"malformed header",                       m_header,                  LS_C_MALFORMED, A, false},
    {"wrong version of records",               m_record_format,           LS_C_MALFORMED, A, false},
    {"another body than the signed one",       m_wrong_body,              LS_C_MALFORMED, A, false},
    {"a signed body that is no record",        m_body_that_is_none,       LS_C_MALFORMED, A, false},
    {"wrongly signed: version",                m_version_raised,          LS_C_FORGED,    A, false},
    {"wrongly signed: digest of the body",     m_body_exchanged,          LS_C_FORGED,    A, false},
    {"wrongly signed: certificate",            m_certificate,             LS_C_FORGED,    A, false},
    {"wrongly signed: signature",              m_signature,               LS_C_FORGED,    C, false},
    {"unsigned",                               m_unsigned,                LS_C_FORGED,    A, false},
    {"two groups with one name: two keys",     m_second_key,              LS_C_CONFLICT,  C, false},
    {"two groups with one name: ours",         m_our_second_key,          LS_C_CONFLICT,  C, false},
    {"two records with one version",           m_one_version_two_records, LS_C_CONFLICT,  C, false},
};
/* clang-format on */
static const enum ls_counter refusals[] = {LS_C_STALE,    LS_C_MALFORMED, LS_C_FORGED,
                                           LS_C_CONFLICT, LS_C_TOO_MANY,  LS_C_MISPLACED};

struct picture {
    struct ls_sum sum, buckets[LS_BUCKETS];
    struct ls_version own;
    uint32_t records, connectors;
    size_t nslots;
    uint64_t refused[LS_C__COUNT];
};

static void picture(const struct bad *b, struct picture *ret)
{
    const struct lsdb *db = ls_table(b->ls);
    memset(ret, 0, sizeof *ret); /* pictures are compared by their bytes */
    ret->sum = db->sum;
    ret->own = *ls_own_version(b->ls);
    ret->records = db->records;
    ret->connectors = db->connectors;
    ret->nslots = db->nslots;
    memcpy(ret->buckets, db->buckets, sizeof ret->buckets);
    CHECK_EACH (refusals, c)
        ret->refused[*c] = ls_counters(b->ls)[*c];
}

static void test_bad_input__each_is_refused_counted_and_noticed_once(void **state)
{
    (void)state;
    CHECK_EACH (cases, c) {
        struct bad b;
        struct buf bytes;
        struct picture before, after;
        struct ls_peer_info info;
        print_message("%s\n", c->what);
        bad_init(&b);
        c->make(&b, &bytes);
        picture(&b, &before);
        struct ls_output out = receive(&b, c->peer, buf_span(&bytes));
        picture(&b, &after);
        before.refused[c->counter]++;
        assert_memory_equal(&before, &after, sizeof before);
        assert_int_equal(out.nnotices, 1);
        assert_int_equal(out.notices_dropped, 0);
        assert_int_equal(out.notices[0].counter, c->counter);
        assert_int_equal(out.notices[0].peer, c->peer);
        assert_true(out.notices[0].text[0] != '\0');
        assert_false(out.table_changed || out.own_changed);
        for (size_t i = 0; i < out.nsends; i++) /* an answer to it at most: nobody else hears of it */
            assert_int_equal(out.sends[i].peer, c->peer);
        assert_true(ls_peer_info(b.ls, c->peer, &info));
        assert_int_equal(info.state == ADJ_DOWN, c->ends);
        for (uint32_t p = A; p <= C; p++) {
            assert_true(ls_peer_info(b.ls, p, &info));
            assert_true(p == c->peer || info.state == ADJ_SYNC || info.state == ADJ_FULL);
        }
        buf_done(&bytes);
        bad_done(&b);
    }
}

/* Every beginning of every type of message. */
static void test_bad_input__each_beginning_of_a_message_is_refused(void **state)
{
    struct bad b;
    char blob[LS_BUCKETS * 8] = {0};
    (void)state;
    bad_init(&b);
    for (int type = LS_MSG_HELLO; type < LS_MSG__COUNT; type++) {
        struct ls_item item = {.group = SPAN("a")};
        struct buf list, bytes;
        struct ls_message m = hello("a");
        buf_init(&list, LS_MESSAGE_MAX);
        if (type == LS_MSG_ADVERTISE) {
            struct ls_advert ad = {0, buf_span(&b.now), buf_span(&b.body)};
            assert_int_equal(ls_advert_add(&list, &ad), ERR_OK);
        } else {
            assert_int_equal(ls_item_add(&list, &item), ERR_OK);
        }
        m.type = (enum ls_message_type)type;
        m.buckets = span_of(blob, sizeof blob);
        m.bitmap = span_of(blob, LS_BUCKETS / 8);
        m.list = buf_span(&list);
        m.text = SPAN("bye");
        emit(&m, &bytes);
        for (size_t n = 0; n < bytes.len; n++) {
            struct picture before, after;
            picture(&b, &before);
            struct ls_output out = receive(&b, A, span_first(buf_span(&bytes), n));
            picture(&b, &after);
            before.refused[LS_C_MALFORMED]++;
            assert_memory_equal(&before, &after, sizeof before);
            assert_int_equal(out.nnotices, 1);
            b.now_ms += 60001; /* the pause is over */
        }
        buf_done(&list);
        buf_done(&bytes);
    }
    bad_done(&b);
}

/* In the pause after a violation all is refused, with a count and a notice each; after it the neighbour is
 * heard. */
static void test_bad_input__the_pause_refuses_everything(void **state)
{
    struct bad b;
    struct ls_peer_info info;
    (void)state;
    bad_init(&b);
    (void)receive(&b, A, SPAN("junk"));
    for (uint64_t n = 1; n <= 100; n++) {
        struct ls_message m = hello("a");
        struct ls_output out = say(&b, A, &m);
        assert_int_equal(out.nnotices, 1);
        assert_int_equal(out.notices[0].peer, A);
        assert_int_equal(ls_counters(b.ls)[LS_C_MISPLACED], n);
        assert_int_equal(out.nsends, 0);
    }
    b.now_ms += 60000;
    struct ls_message m = hello("a");
    assert_int_equal(say(&b, A, &m).nnotices, 0);
    assert_true(ls_peer_info(b.ls, A, &info));
    assert_int_equal(info.state, ADJ_SYNC);
    bad_done(&b);
}

/* A number that no neighbour has: an error of the caller, nothing changes. Who has no key is refused by the
 * carrier (tests/integration/test_bad_input.py). */
static void test_bad_input__an_unknown_neighbour_is_refused(void **state)
{
    struct bad b;
    struct picture before, after;
    struct ls_output out;
    (void)state;
    bad_init(&b);
    picture(&b, &before);
    struct ls_event ev = {.type = LS_RECV, .now_ms = b.now_ms, .peer = PEERS, .bytes = SPAN("x")};
    assert_int_equal(ls_step(b.ls, &ev, &out), ERR_NOTFOUND);
    assert_int_equal(out.nsends, 0);
    picture(&b, &after);
    assert_memory_equal(&before, &after, sizeof before);
    bad_done(&b);
}

/* A clock that steps back stands still; one that leaps on by years ends what has grown old and breaks
 * nothing. */
static void test_bad_input__clocks_that_jump(void **state)
{
    struct bad b;
    struct picture before, after;
    struct ls_peer_info info;
    (void)state;
    bad_init(&b);
    b.now_ms += 1000;
    (void)step(&b, (struct ls_event){.type = LS_TICK});
    picture(&b, &before);
    b.now_ms = 5;
    struct ls_output out = step(&b, (struct ls_event){.type = LS_TICK});
    assert_int_equal(out.nsends, 0);
    assert_true(out.wake_at_ms > 2000);
    picture(&b, &after);
    assert_memory_equal(&before, &after, sizeof before);
    assert_true(ls_peer_info(b.ls, A, &info));
    assert_int_equal(info.state, ADJ_SYNC);

    b.now_ms = 2000 + (ms_t)LIFETIME_S * 2000;
    out = step(&b, (struct ls_event){.type = LS_TICK});
    assert_int_equal(ls_table(b.ls)->records, 1); /* the others have not refreshed theirs for so long */
    assert_int_equal(ls_counters(b.ls)[LS_C_EXPIRED], 2);
    assert_true(out.table_changed && out.own_changed); /* its own was due */
    assert_int_equal(ls_own_version(b.ls)->major, before.own.major);
    assert_true(out.wake_at_ms > b.now_ms && out.wake_at_ms <= b.now_ms + 60000);
    assert_true(ls_peer_info(b.ls, A, &info));
    assert_int_equal(info.state, ADJ_DOWN);

    b.now_ms = UINT64_MAX; /* and to the end of time */
    (void)step(&b, (struct ls_event){.type = LS_TICK});
    struct ls_message m = hello("a");
    (void)say(&b, A, &m);
    assert_int_equal(ls_table(b.ls)->records, 1);
    bad_done(&b);
}

/* Items that name groups nobody has: answered, not remembered. */
static void strangers(struct bad *b, unsigned round)
{
    static const enum ls_message_type types[] = {LS_MSG_ACK, LS_MSG_REQUEST, LS_MSG_SUMMARY};
    char all[LS_BUCKETS / 8] = {0};
    struct buf list;
    buf_init(&list, LS_MESSAGE_MAX);
    for (unsigned i = 0; i < 20; i++) {
        char name[24];
        (void)snprintf(name, sizeof name, "stranger%u-%u", round, i);
        struct ls_item item = {.group = span_cstr(name), .version = {1, 0, 0, round + 1}};
        assert_int_equal(ls_item_add(&list, &item), ERR_OK);
    }
    CHECK_EACH (types, type) {
        struct ls_message m = {.type = *type, .bitmap = span_of(all, sizeof all), .list = buf_span(&list)};
        (void)say(b, A, &m);
    }
    buf_done(&list);
}

static void all_of_them(struct bad *b, unsigned round)
{
    CHECK_EACH (cases, c) {
        struct ls_message m = hello(c->peer == A ? "a" : "c");
        struct buf bytes;
        if (c->peer != D)
            (void)say(b, c->peer, &m); /* after its pause it begins anew */
        c->make(b, &bytes);
        (void)receive(b, c->peer, buf_span(&bytes));
        buf_done(&bytes);
        b->now_ms += c->ends ? 60001 : 10;
        if (c->ends) /* whoever is alive goes on with its records */
            (void)advertise(b, C, buf_span(&b->now), buf_span(&b->body));
    }
    strangers(b, round);
    (void)step(b, (struct ls_event){.type = LS_TICK});
}

/* Many thousands of bad messages after the first thousand: not an object and not an octet more. */
static void test_bad_input__nothing_grows(void **state)
{
    enum { WARM = 40, ROUNDS = 1000 };
    struct bad b;
    int64_t bytes = 0, objects = 0;
    uint64_t refused = 0;
    (void)state;
    bad_init(&b);
    struct picture first;
    for (unsigned round = 0; round < WARM + ROUNDS; round++) {
        struct picture now;
        all_of_them(&b, round);
        if (round + 1 == WARM) {
            bytes = live_bytes;
            objects = live_objects;
            picture(&b, &first);
        }
        picture(&b, &now);
        assert_int_equal(now.records, 3);
    }
    struct picture last;
    picture(&b, &last);
    CHECK_EACH (refusals, c)
        refused += last.refused[*c] - first.refused[*c];
    print_message("%llu refused; %lld octets in %lld objects, then %lld in %lld\n",
                  (unsigned long long)refused, (long long)bytes, (long long)objects, (long long)live_bytes,
                  (long long)live_objects);
    assert_true(refused >= (uint64_t)ROUNDS * ARRAY_LEN(cases));
    assert_int_equal(live_objects, objects);
    assert_true(live_bytes <= bytes);
    bad_done(&b);
}

int main(void)
{
    return CHECK_RUN(cmocka_unit_test(test_bad_input__each_is_refused_counted_and_noticed_once),
                     cmocka_unit_test(test_bad_input__each_beginning_of_a_message_is_refused),
                     cmocka_unit_test(test_bad_input__the_pause_refuses_everything),
                     cmocka_unit_test(test_bad_input__an_unknown_neighbour_is_refused),
                     cmocka_unit_test(test_bad_input__clocks_that_jump),
                     cmocka_unit_test(test_bad_input__nothing_grows));
}
