/* mirrors worker/body.c */
#include "tests/unit/check.h"

#include "tests/fakes/fake_clock.h"
#include "tests/fakes/fake_store.h"
#include "worker/body.h"

#include <stdlib.h>
#include <string.h>

struct fixture {
    struct fake_clock clock;
    struct fake_store *db;
    struct store *store;
    struct claim *claim;
    struct buf body;
    unsigned ready, gone;
};

static void on_expired(void *arg)
{
    (void)arg;
}

static void on_claim(void *arg, enum err e, struct claim *const *claims, size_t n)
{
    struct fixture *f = arg;

    assert_int_equal(e, ERR_OK);
    assert_int_equal(n, 1);
    f->claim = claims[0];
}

static void on_ready(void *arg)
{
    ((struct fixture *)arg)->ready++;
}

static void on_gone(void *arg)
{
    ((struct fixture *)arg)->gone++;
}

static void settle_down(struct fixture *f)
{
    while (fake_store_run(f->db) > 0)
        continue;
}

static void begin(struct fixture *f, size_t bytes)
{
    struct worker_info info = {"w", "h", "1"};
    struct envelope env = {.sender = SPAN("s@x")};
    struct recipient rcpt = {.address = SPAN("a@x")};
    struct job job = {.domain = SPAN("x"), .rcpts = &rcpt, .nrcpts = 1};
    struct commit_job commit = {.job = &job};
    struct msgid id;

    *f = (struct fixture){0};
    fake_clock_init(&f->clock);
    f->db = fake_store_new(&f->clock.clock, 1);
    f->store = fake_store_open(f->db);
    assert_int_equal(store_worker_open(f->store, &info, on_expired, f), ERR_OK);
    buf_init(&f->body, 1u << 20);
    for (size_t i = 0; i < bytes; i++)
        assert_int_equal(buf_addc(&f->body, (char)('a' + i % 23)), ERR_OK);
    fake_store_put(f->db, &env, &commit, 1, buf_span(&f->body), 0, &id);
    assert_int_equal(store_claim(f->store, 0, SPAN("x"), 0, 1, on_claim, f), ERR_OK);
    settle_down(f);
    assert_non_null(f->claim);
}

static void end(struct fixture *f)
{
    assert_int_equal(store_release(f->store, f->claim, 0), ERR_OK);
    store_free(f->store);
    fake_store_free(f->db);
    buf_done(&f->body);
}

/* Everything, as a connection would read it. */
static void read_all(struct fixture *f, struct body *b, struct buf *out)
{
    uint64_t offset = 0;

    for (;;) {
        struct body_piece *p;
        enum err e = body_next(b, offset, &p);
        size_t len;

        if (e == ERR_AGAIN) {
            assert_true(fake_store_run(f->db) > 0);
            continue;
        }
        assert_int_equal(e, ERR_OK);
        len = body_piece_span(p).len;
        assert_int_equal(buf_add(out, body_piece_span(p)), ERR_OK);
        body_piece_free(p);
        if (len == 0)
            return;
        offset += len;
    }
}

static void test_body__gives_all_bytes_any_number_of_times(void **state)
{
    static const size_t sizes[] = {1, 4096, CHUNK_BYTES, CHUNK_BYTES + 1, 5 * CHUNK_BYTES - 7};
    (void)state;
    CHECK_EACH (sizes, size) {
        struct fixture f;
        struct body *b;
        struct buf out;

        begin(&f, *size);
        b = body_new(f.store, f.claim, on_ready, &f);
        for (int round = 0; round < 3; round++) {
            buf_init(&out, 1u << 20);
            read_all(&f, b, &out);
            assert_true(span_eq(buf_span(&out), buf_span(&f.body)));
            buf_done(&out);
        }
        body_free(b, on_gone, &f);
        settle_down(&f);
        assert_int_equal(f.gone, 1);
        end(&f);
    }
}

static void test_body__starts_over_in_the_middle(void **state)
{
    struct fixture f;
    struct body *b;
    struct body_piece *p;
    struct buf out;
    (void)state;
    begin(&f, 4 * CHUNK_BYTES);
    b = body_new(f.store, f.claim, on_ready, &f);
    settle_down(&f);
    assert_int_equal(body_next(b, 0, &p), ERR_OK);
    body_piece_free(p); /* answers for the rest are on their way now */
    assert_int_equal(body_next(b, 7, &p), ERR_STATE);
    buf_init(&out, 1u << 20);
    read_all(&f, b, &out);
    assert_true(span_eq(buf_span(&out), buf_span(&f.body)));
    buf_done(&out);
    body_free(b, NULL, NULL);
    settle_down(&f);
    end(&f);
}

static void test_body__lets_the_claim_go_only_when_nothing_is_awaited(void **state)
{
    struct fixture f;
    struct body *b;
    (void)state;
    begin(&f, 4 * CHUNK_BYTES);
    b = body_new(f.store, f.claim, on_ready, &f);
    body_free(b, on_gone, &f);
    assert_int_equal(f.gone, 0);
    settle_down(&f);
    assert_int_equal(f.gone, 1);
    assert_int_equal(f.ready, 0);
    end(&f);
}

static void test_body__an_error_is_never_a_reason_to_wait(void **state)
{
    static const struct {
        enum err given, want;
    } cases[] = {{ERR_AGAIN, ERR_IO}, {ERR_NOTFOUND, ERR_NOTFOUND}, {ERR_PARSE, ERR_PARSE}};
    (void)state;
    CHECK_EACH (cases, c) {
        struct fixture f;
        struct body *b;
        struct body_piece *p;

        begin(&f, 10);
        fake_store_fail(f.db, FAKE_CHUNK, c->given, "on order", 1);
        b = body_new(f.store, f.claim, on_ready, &f);
        assert_int_equal(body_next(b, 0, &p), ERR_AGAIN);
        settle_down(&f);
        assert_int_equal(f.ready, 1);
        assert_int_equal(body_next(b, 0, &p), c->want);
        body_free(b, NULL, NULL);
        end(&f);
    }
}

int main(void)
{
    return CHECK_RUN(cmocka_unit_test(test_body__gives_all_bytes_any_number_of_times),
                     cmocka_unit_test(test_body__starts_over_in_the_middle),
                     cmocka_unit_test(test_body__lets_the_claim_go_only_when_nothing_is_awaited),
                     cmocka_unit_test(test_body__an_error_is_never_a_reason_to_wait));
}
