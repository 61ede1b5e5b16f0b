/* tests/unit/common/io/test_conn_random.c — everything an owner may do, in random order, on many
 * connections at a time, plain and TLS.
 *
 *   R1  the bytes that arrive are a prefix of the bytes written, in order
 *   R2  all of them arrive, also after conn_finish(), unless one end was freed or the reader finished
 *   R3  `closed` comes at most once and nothing after it; nothing comes after conn_free()
 *   R4  every borrowed block is released exactly once
 *   R5  in the end nothing makes the loop spin */
/* clang-format off */
#include "tests/unit/common/io/ends.h"
#include "tests/unit/common/io/certs.h"
/* clang-format on */
#include "common/rng.h"

#include <netinet/in.h>

enum { PAIRS = 12, STEPS = 400, BLOCK = 30000 };

struct side {
    struct world *w;
    struct side *peer;
    struct conn *c;
    struct tls_context *tls;
    bool server, opened, secured, closed, finished, freed;
    bool cut; /* freed before it was closed */
    size_t written, read;
    size_t left; /* offered last, but not consumed */
};

struct world {
    struct loop *loop;
    struct rng rng;
    struct side sides[2 * PAIRS];
    struct tls_context *client, *server;
    size_t borrowed, released;
};

static char stream[65536 + BLOCK]; /* byte i of any stream is stream[i % 65536] */

static struct certs certs;

static void on_release(const void *ptr, size_t len, void *arg)
{
    struct world *w = arg;
    (void)ptr;
    (void)len;
    w->released++;
}

static void act_free(struct side *s)
{
    s->cut = !s->closed;
    s->freed = true;
    conn_free(s->c);
    s->c = NULL;
}

static void act_write(struct side *s)
{
    size_t n = (size_t)rng_below(&s->w->rng, rng_below(&s->w->rng, 2) == 0 ? 100 : BLOCK);
    struct span bytes = span_of(stream + s->written % 65536, n);
    bool borrow = rng_below(&s->w->rng, 3) == 0;
    s->w->borrowed += borrow;
    enum err e = borrow ? conn_write_ref(s->c, bytes, on_release, s->w) : conn_write(s->c, bytes);
    assert_int_equal(e, s->closed || s->finished ? ERR_STATE : ERR_OK);
    if (e == ERR_OK)
        s->written += n;
}

static void act_finish(struct side *s)
{
    conn_finish(s->c, 1000000);
    s->finished = true;
}

/* What may happen to a connection at any time, also inside its callbacks. */
static void act(struct side *s)
{
    if (s->c == NULL || !s->opened)
        return;
    uint64_t what = rng_below(&s->w->rng, 100);
    if (what < 45)
        act_write(s);
    else if (what < 60)
        conn_pause(s->c);
    else if (what < 85)
        conn_resume(s->c);
    else if (what < 90)
        conn_set_timeout(s->c, rng_below(&s->w->rng, 2) * 1000000);
    else if (what < 92)
        act_finish(s);
    else if (what < 93)
        act_free(s);
}

static void maybe_act(struct side *s)
{
    if (rng_below(&s->w->rng, 4) == 0)
        act(s);
}

static void check_alive(const struct side *s)
{
    assert_false(s->freed || s->closed);
}

static void on_opened(void *arg)
{
    struct side *s = arg;
    check_alive(s);
    assert_false(s->opened);
    s->opened = true;
    if (s->tls != NULL)
        assert_int_equal(conn_start_tls(s->c, s->tls, s->server, s->server ? NULL : "mx.example.org"),
                         ERR_OK);
    maybe_act(s);
}

static size_t on_received(void *arg, struct span bytes)
{
    struct side *s = arg;
    check_alive(s);
    assert_true(s->opened && (s->tls == NULL || s->secured) && !s->finished && bytes.len > 0);
    size_t n = rng_below(&s->w->rng, 2) == 0 ? bytes.len : (size_t)rng_below(&s->w->rng, bytes.len + 1);
    for (size_t done = 0; done < n;) {
        size_t at = (s->read + done) % 65536, piece = 65536 - at < n - done ? 65536 - at : n - done;
        assert_memory_equal(bytes.ptr + done, stream + at, piece); /* R1 */
        done += piece;
    }
    s->read += n;
    s->left = bytes.len - n;
    maybe_act(s);
    return n;
}

static void on_drained(void *arg)
{
    check_alive(arg);
    maybe_act(arg);
}

static void on_secured(void *arg)
{
    struct side *s = arg;
    check_alive(s);
    assert_true(s->tls != NULL && !s->secured);
    s->secured = true;
    maybe_act(s);
}

static void on_closed(void *arg, enum err e, const char *why)
{
    struct side *s = arg;
    check_alive(s); /* R3 */
    s->closed = true;
    if (e != ERR_OK && !s->peer->cut)
        fail_msg("closed %s: %s", err_name(e), why);
    if (rng_below(&s->w->rng, 2) == 0)
        act_free(s);
}

static const struct conn_ops ops = {on_opened, on_received, on_drained, on_secured, on_closed};

static void world_init(struct world *w, uint64_t seed)
{
    struct errctx ec;
    memset(w, 0, sizeof *w);
    rng_seed(&w->rng, seed);
    w->loop = loop_new();
    assert_int_equal(tls_server_new(certs.mx, certs.mx_key, TLS_MIN_12, &w->server, &ec), ERR_OK);
    assert_int_equal(tls_client_new(certs.ca, true, &w->client, &ec), ERR_OK);
    for (size_t i = 0; i < ARRAY_LEN(w->sides); i += 2) {
        int fds[2];
        bool tls = rng_below(&w->rng, 2) == 0;
        socket_pair(fds);
        for (size_t k = 0; k < 2; k++) {
            struct side *s = &w->sides[i + k];
            *s = (struct side){.w = w, .peer = &w->sides[i + 1 - k], .server = k == 0};
            s->tls = !tls ? NULL : s->server ? w->server : w->client;
            s->c = conn_accept(w->loop, fds[k], NULL, &ops, s);
            conn_set_high_water(s->c, (size_t)rng_below(&w->rng, 100000));
        }
    }
}

/* R2: the survivors only read until everything has arrived. */
static void settle(struct world *w)
{
    for (int i = 0; i < 3000; i++) {
        for (size_t k = 0; k < ARRAY_LEN(w->sides); k++)
            if (w->sides[k].c != NULL)
                conn_resume(w->sides[k].c);
        run_turns(w->loop, 1);
    }
    for (size_t k = 0; k < ARRAY_LEN(w->sides); k++) {
        struct side *s = &w->sides[k];
        assert_true(s->read <= s->peer->written);
        if (!s->cut && !s->finished && !s->peer->cut)
            assert_int_equal(s->read + s->left, s->peer->written);
    }
}

static void play(uint64_t seed)
{
    struct world w;
    world_init(&w, seed);
    for (int i = 0; i < STEPS; i++) {
        act(&w.sides[rng_below(&w.rng, ARRAY_LEN(w.sides))]);
        if (rng_below(&w.rng, 3) == 0)
            run_turns(w.loop, 1);
    }
    settle(&w);
    check_quiet(w.loop); /* R5 */
    for (size_t k = 0; k < ARRAY_LEN(w.sides); k++)
        if (w.sides[k].c != NULL)
            act_free(&w.sides[k]);
    assert_int_equal(w.released, w.borrowed); /* R4 */
    tls_unref(w.client);
    tls_unref(w.server);
    loop_free(w.loop);
}

static void test_conn_random__keeps_its_promises(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof stream; i++)
        stream[i] = (char)((i % 65536) * 31 + (i % 65536) / 251);
    for (uint64_t seed = 1; seed <= 40; seed++)
        play(seed);
}

/* --- descriptors come and go ----------------------------------------------------------------- */

enum { VISITS = 3000, CROWD = 40 };

struct house {
    struct loop *loop;
    struct conn_target at;
    struct rng rng;
    unsigned begun, greeted, gone;
};
struct visit {
    struct house *h;
    struct conn *c;
};

static void visit_start(struct house *h);

static size_t host_received(void *arg, struct span bytes)
{
    struct visit *v = arg;
    (void)v;
    return bytes.len;
}

static void host_closed(void *arg, enum err e, const char *why)
{
    struct visit *v = arg;
    (void)e;
    (void)why;
    conn_free(v->c);
    free(v);
}

static const struct conn_ops host_ops = {.received = host_received, .closed = host_closed};

static void host_accepted(void *arg, int fd, const struct ip_endpoint *peer)
{
    struct visit *v = calloc(1, sizeof *v);
    (void)peer;
    v->h = arg;
    v->c = conn_accept(v->h->loop, fd, NULL, &host_ops, v);
    assert_int_equal(conn_write(v->c, SPAN("220\r\n")), ERR_OK);
    if (rng_below(&v->h->rng, 2) == 0)
        conn_finish(v->c, 10000);
}

static void guest_leaves(struct visit *v)
{
    struct house *h = v->h;
    conn_free(v->c);
    free(v);
    if (++h->gone == VISITS)
        loop_stop(h->loop);
    if (h->begun < VISITS)
        visit_start(h); /* takes the descriptor that was just given back */
}

static size_t guest_received(void *arg, struct span bytes)
{
    struct visit *v = arg;
    check_span(bytes, SPAN("220\r\n"));
    v->h->greeted++;
    guest_leaves(v);
    return bytes.len;
}

static void guest_closed(void *arg, enum err e, const char *why)
{
    (void)why;
    assert_int_equal(e, ERR_OK);
    guest_leaves(arg);
}

static const struct conn_ops guest_ops = {.received = guest_received, .closed = guest_closed};

static void visit_start(struct house *h)
{
    struct visit *v = calloc(1, sizeof *v);
    struct errctx ec;
    v->h = h;
    h->begun++;
    assert_int_equal(conn_connect(h->loop, &h->at, &guest_ops, v, &v->c, &ec), ERR_OK);
}

static void test_conn_random__descriptors_are_reused_at_once(void **state)
{
    struct house h = {.loop = loop_new()};
    struct listener *ln;
    struct errctx ec;
    (void)state;
    rng_seed(&h.rng, 1);
    assert_int_equal(ip_endpoint_parse(SPAN("127.0.0.1:0"), 0, &h.at.endpoint), ERR_OK);
    assert_int_equal(listener_open(h.loop, &h.at.endpoint, false, host_accepted, &h, &ln, &ec), ERR_OK);
    assert_true(listener_address(ln, &h.at.endpoint));
    for (int i = 0; i < CROWD; i++)
        visit_start(&h);
    loop_run(h.loop);
    assert_int_equal(h.greeted, VISITS);
    check_quiet(h.loop); /* the hosts' ends have gone too */
    listener_close(ln);
    loop_free(h.loop);
}

static int set_up(void **state)
{
    (void)state;
    certs_init(&certs);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    certs_done(&certs);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_conn_random__keeps_its_promises),
        cmocka_unit_test(test_conn_random__descriptors_are_reused_at_once),
    };
    alarm(110);
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
