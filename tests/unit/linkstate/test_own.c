/* tests/unit/linkstate/test_own.c — a group's own record: its version only rises, whatever others hold and
 * whatever goes wrong (L3). One engine, "g0", whose only neighbour "g1" is this test. */
#include "tests/unit/linkstate/net.h"

struct own {
    struct ls *ls;
    uint32_t key;
    bool no_signing;
    struct ls_crypto honest;
    struct buf cert, body;
    ms_t now_ms;
};

static bool sign(void *self, struct span bytes, uint8_t ret[LS_SIG_LEN])
{
    struct own *o = self;
    return !o->no_signing && o->honest.sign(&o->key, bytes, ret);
}

static struct ls *engine(struct own *o)
{
    struct ls_crypto crypto = o->honest;
    struct ls_options opts = {.organization = SPAN("sim"),
                              .group = SPAN("g0"),
                              .router = SPAN("r1"),
                              .cert = buf_span(&o->cert),
                              .instance = 1};
    uint32_t peer;
    crypto.sign = sign;
    crypto.self = o;
    sim_org_key(opts.org_key);
    struct ls *ls = ls_new(&opts, &crypto, o->now_ms);
    assert_non_null(ls);
    assert_int_equal(ls_peer_add(ls, SPAN("g1"), &peer), ERR_OK);
    return ls;
}

static void own_init(struct own *o)
{
    struct record r = {.master = SPAN("r1")};
    *o = (struct own){.key = 0, .now_ms = 1000};
    sim_crypto(&o->honest, &o->key);
    buf_init(&o->cert, CERT_MAX);
    buf_init(&o->body, RECORD_MAX);
    sim_cert(0, SPAN("g0"), &o->cert);
    assert_int_equal(record_emit(&r, &o->body), ERR_OK);
    o->ls = engine(o);
}

static void own_done(struct own *o)
{
    ls_free(o->ls);
    buf_done(&o->cert);
    buf_done(&o->body);
}

static enum err step(struct own *o, struct ls_event ev, struct ls_output *out)
{
    ev.now_ms = o->now_ms;
    return ls_step(o->ls, &ev, out);
}

static enum err originate(struct own *o, struct span body, enum ls_level level)
{
    struct ls_output out;
    return step(o, (struct ls_event){.type = LS_ORIGINATE, .bytes = body, .level = level}, &out);
}

static struct ls_output said(struct own *o, const struct ls_message *m)
{
    struct buf bytes;
    struct ls_output out;
    buf_init(&bytes, LS_MESSAGE_MAX);
    assert_int_equal(ls_message_emit(m, &bytes), ERR_OK);
    assert_int_equal(step(o, (struct ls_event){.type = LS_RECV, .bytes = buf_span(&bytes)}, &out), ERR_OK);
    buf_done(&bytes);
    return out;
}

static void neighbour_up(struct own *o)
{
    (void)said(o, &(struct ls_message){.type = LS_MSG_HELLO,
                                       .min_version = LS_PROTOCOL_MIN,
                                       .max_version = LS_PROTOCOL_MAX,
                                       .organization = SPAN("sim"),
                                       .group = SPAN("g1"),
                                       .router = SPAN("r1"),
                                       .instance = 1,
                                       .answer = true});
}

/* A record of ours, signed with our key, that the neighbour holds. */
static struct ls_output brought(struct own *o, struct ls_version v)
{
    struct buf header, list;
    buf_init(&header, LSA_HEADER_MAX);
    buf_init(&list, LS_MESSAGE_MAX);
    assert_int_equal(lsa_seal(SPAN("g0"), &v, buf_span(&o->body), buf_span(&o->cert), &o->honest, &header),
                     ERR_OK);
    struct ls_advert ad = {0, buf_span(&header), buf_span(&o->body)};
    assert_int_equal(ls_advert_add(&list, &ad), ERR_OK);
    struct ls_output out = said(o, &(struct ls_message){.type = LS_MSG_ADVERTISE, .list = buf_span(&list)});
    buf_done(&header);
    buf_done(&list);
    return out;
}

static void check_version(const struct own *o, uint32_t major, uint32_t minor, uint32_t user, uint64_t seq)
{
    const struct ls_version *v = ls_own_version(o->ls), want = {major, minor, user, seq};
    if (ls_version_cmp(v, &want) != 0)
        fail_msg("%u.%u.%u#%llu", v->major, v->minor, v->user, (unsigned long long)v->seq);
}

/* Its memory is gone, also the persisted one; neighbours remember it before it has said a word. */
static void test_own__the_first_record_goes_beyond_what_neighbours_hold(void **state)
{
    struct own o;
    (void)state;
    own_init(&o);
    neighbour_up(&o);
    (void)brought(&o, (struct ls_version){5, 3, 2, 9});
    assert_int_equal(originate(&o, buf_span(&o.body), LS_LEVEL_MINOR), ERR_OK);
    check_version(&o, 5, 4, 2, 10);
    own_done(&o);
}

static void test_own__what_was_taken_over_is_gone_beyond(void **state)
{
    struct own o;
    struct lsdb table;
    (void)state;
    own_init(&o);
    for (int i = 0; i < 3; i++)
        assert_int_equal(originate(&o, buf_span(&o.body), LS_LEVEL_MAJOR), ERR_OK);
    assert_int_equal(lsdb_copy(ls_table(o.ls), &table), ERR_OK);
    ls_free(o.ls);
    o.ls = engine(&o);
    assert_int_equal(ls_adopt(o.ls, &table, o.now_ms), ERR_OK);
    lsdb_done(&table);
    check_version(&o, 3, 0, 0, 3);
    neighbour_up(&o);
    struct ls_output out = brought(&o, (struct ls_version){3, 0, 0, 8}); /* before it has said a word */
    assert_true(out.own_changed);
    check_version(&o, 3, 0, 0, 9);
    own_done(&o);
}

/* A body that is none, a key that does not sign: nothing changes, and the version that was not made is made
 * later. */
static void test_own__a_failure_leaves_the_version(void **state)
{
    struct own o;
    struct ls_sum sum;
    (void)state;
    own_init(&o);
    assert_int_equal(originate(&o, buf_span(&o.body), LS_LEVEL_MAJOR), ERR_OK);
    sum = ls_table(o.ls)->sum;
    assert_int_equal(originate(&o, SPAN("junk"), LS_LEVEL_MAJOR), ERR_PARSE);
    check_version(&o, 1, 0, 0, 1);
    o.no_signing = true;
    assert_int_equal(originate(&o, buf_span(&o.body), LS_LEVEL_MAJOR), ERR_DENIED);
    check_version(&o, 1, 0, 0, 1);
    assert_true(ls_sum_eq(sum, ls_table(o.ls)->sum));
    o.no_signing = false;
    assert_int_equal(originate(&o, buf_span(&o.body), LS_LEVEL_MAJOR), ERR_OK);
    check_version(&o, 2, 0, 0, 2);
    own_done(&o);
}

/* A refresh that fails is tried again after a while, not in a busy loop. */
static void test_own__a_refresh_that_fails_is_tried_again(void **state)
{
    enum { REFRESH_MS = 600000 };
    struct own o;
    struct ls_output out;
    (void)state;
    own_init(&o);
    assert_int_equal(originate(&o, buf_span(&o.body), LS_LEVEL_MAJOR), ERR_OK);
    o.no_signing = true;
    o.now_ms += REFRESH_MS;
    unsigned wakes = 0;
    for (ms_t end = o.now_ms + 60000; o.now_ms < end; wakes++) {
        assert_int_equal(step(&o, (struct ls_event){.type = LS_TICK}, &out), ERR_OK);
        assert_true(out.wake_at_ms > o.now_ms);
        o.now_ms = out.wake_at_ms;
    }
    assert_in_range(wakes, 2, 60);
    check_version(&o, 1, 0, 0, 1);
    o.no_signing = false;
    o.now_ms += 60000;
    assert_int_equal(step(&o, (struct ls_event){.type = LS_TICK}, &out), ERR_OK);
    check_version(&o, 1, 0, 0, 2);
    own_done(&o);
}

/* Another one signs for our name and always knows better: outbid ever later, but no later than a refresh. */
static void test_own__a_rival_is_outbid_within_a_refresh(void **state)
{
    enum { REFRESH_MS = 600000 };
    struct own o;
    struct ls_output out;
    (void)state;
    own_init(&o);
    assert_int_equal(originate(&o, buf_span(&o.body), LS_LEVEL_MAJOR), ERR_OK);
    neighbour_up(&o);
    ms_t last = o.now_ms, longest = 0;
    uint64_t steps = 0;
    while (o.now_ms < (ms_t)6 * 3600 * 1000) {
        neighbour_up(&o);
        uint64_t theirs = ls_own_version(o.ls)->seq + 5;
        (void)brought(&o, (struct ls_version){1, 0, 0, theirs});
        assert_int_equal(step(&o, (struct ls_event){.type = LS_TICK}, &out), ERR_OK);
        if (ls_own_version(o.ls)->seq > theirs) {
            longest = o.now_ms - last > longest ? o.now_ms - last : longest;
            last = o.now_ms;
            steps++;
        }
        o.now_ms += 1000;
    }
    assert_in_range(longest, REFRESH_MS / 2, REFRESH_MS + 2000);
    assert_in_range(steps, 30, 80);
    own_done(&o);
}

int main(void)
{
    return CHECK_RUN(cmocka_unit_test(test_own__the_first_record_goes_beyond_what_neighbours_hold),
                     cmocka_unit_test(test_own__what_was_taken_over_is_gone_beyond),
                     cmocka_unit_test(test_own__a_failure_leaves_the_version),
                     cmocka_unit_test(test_own__a_refresh_that_fails_is_tried_again),
                     cmocka_unit_test(test_own__a_rival_is_outbid_within_a_refresh));
}
