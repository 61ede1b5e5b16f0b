/* tests/unit/node/test_txn.c — mirrors node/txn.c */
#include "node/txn.h"

#include "tests/unit/check.h"

static struct txn *begin(void)
{
    static const struct mail_params params = {.envid = SPAN_INIT("QQ314")};
    struct address sender;
    assert_int_equal(address_parse(SPAN("a@client.test"), false, &sender, NULL), ERR_OK);
    struct txn *t = txn_new(&sender, &params);
    assert_non_null(t);
    check_span(txn_sender(t), SPAN("a@client.test"));
    check_span(txn_envid(t), SPAN("QQ314"));
    return t;
}

static enum err add(struct txn *t, struct span text, const char *orcpt)
{
    static const struct rcpt_params none = {.orcpt = SPAN_INIT("")};
    struct rcpt_params params = none;
    struct address a;
    struct buf domain;
    assert_int_equal(address_parse(text, true, &a, NULL), ERR_OK);
    params.orcpt = span_cstr(orcpt);
    params.notify = orcpt[0] != '\0' ? NOTIFY_DELAY : 0;
    buf_init(&domain, ADDRESS_DOMAIN_MAX);
    assert_int_equal(domain_normalize(a.domain, &domain), ERR_OK);
    enum err e = txn_add(t, &a, buf_span(&domain), span_eq(buf_span(&domain), SPAN("local.test")), &params);
    buf_done(&domain);
    return e;
}

static void test_txn__one_mailbox_is_one_recipient(void **state)
{
    struct txn *t = begin();
    (void)state;
    assert_int_equal(add(t, SPAN("b@x.test"), "rfc822;old@x.test"), ERR_OK);
    assert_int_equal(add(t, SPAN("b@X.TEST"), ""), ERR_EXISTS);
    assert_int_equal(add(t, SPAN("\"b\"@x.test"), ""), ERR_EXISTS);
    assert_int_equal(add(t, SPAN("B@x.test"), ""), ERR_OK);
    assert_int_equal(add(t, SPAN("\"b b\"@x.test"), ""), ERR_OK);
    assert_int_equal(add(t, SPAN("\"b\\ b\"@x.test"), ""), ERR_EXISTS);
    assert_int_equal(add(t, SPAN("b@y.test"), ""), ERR_OK);
    assert_int_equal(t->nrcpts, 4);
    check_span(txn_first_recipient(t), SPAN("b@x.test"));
    txn_free(t);
}

static void test_txn__jobs_hold_every_recipient_once(void **state)
{
    enum { RCPTS = 64000, DOMAINS = 640 };
    static bool seen[RCPTS];
    static const struct txn_expiry expiry = {1000, 2000};
    struct txn *t = begin();
    struct txn_jobs j;
    char text[64];
    (void)state;
    for (int round = 0; round < 2; round++)
        for (int i = 0; i < RCPTS; i++) {
            int n = snprintf(text, sizeof text, "u%d@d%d.test", i, i % DOMAINS);
            assert_int_equal(add(t, span_of(text, (size_t)n), ""), round == 0 ? ERR_OK : ERR_EXISTS);
        }
    assert_true(txn_memory(t) < RCPTS * 150);
    assert_int_equal(txn_jobs_init(&j, t, 7, 5000, &expiry), ERR_OK);
    assert_int_equal(j.njobs, DOMAINS);
    for (size_t i = 0; i < j.njobs; i++) {
        const struct job *job = j.commits[i].job;
        assert_int_equal(job->klass, 7);
        assert_int_equal(job->expire_ms, 7000);
        assert_int_equal(job->nrcpts, RCPTS / DOMAINS);
        for (size_t k = 0; k < job->nrcpts; k++) {
            struct span local, domain;
            uint64_t u;
            assert_true(span_cut(job->rcpts[k].address, '@', &local, &domain));
            check_span(domain, job->domain);
            assert_true(span_to_u64(span_from(local, 1), RCPTS - 1, &u));
            assert_false(seen[u]);
            seen[u] = true;
        }
    }
    txn_jobs_done(&j);
    txn_free(t);
}

static void test_txn__jobs_are_cut_at_their_limit(void **state)
{
    static const struct txn_expiry expiry = {1000, 2000};
    static const size_t sizes[] = {100, 100, 1, 1};
    struct txn *t = begin();
    struct txn_jobs j;
    char text[64];
    (void)state;
    for (int i = 0; i < 201; i++) {
        int n = snprintf(text, sizeof text, "u%d@local.test", i);
        assert_int_equal(add(t, span_of(text, (size_t)n), ""), ERR_OK);
    }
    assert_int_equal(add(t, SPAN("last@x.test"), "rfc822;first@x.test"), ERR_OK);
    assert_int_equal(txn_jobs_init(&j, t, 0, 0, &expiry), ERR_OK);
    assert_int_equal(j.njobs, ARRAY_LEN(sizes));
    for (size_t i = 0; i < j.njobs; i++)
        assert_int_equal(j.jobs[i].nrcpts, sizes[i]);
    assert_int_equal(j.jobs[0].expire_ms, 1000);
    assert_int_equal(j.jobs[3].expire_ms, 2000);
    check_span(j.jobs[3].rcpts[0].address, SPAN("last@x.test"));
    check_span(j.jobs[3].rcpts[0].orcpt, SPAN("rfc822;first@x.test"));
    assert_int_equal(j.jobs[3].rcpts[0].notify, NOTIFY_DELAY);
    txn_jobs_done(&j);
    txn_free(t);
}

int main(void)
{
    return CHECK_RUN(cmocka_unit_test(test_txn__one_mailbox_is_one_recipient),
                     cmocka_unit_test(test_txn__jobs_hold_every_recipient_once),
                     cmocka_unit_test(test_txn__jobs_are_cut_at_their_limit));
}
