/* tests/unit/router/test_speaker.c — what a master does when Redis refuses what it writes: nobody hears of a
 * version that is not saved, and what failed is asked for again. The store and the carrier are replaced
 * (-Wl,--wrap). */
#include "router/core.h"
#include "tests/unit/check.h"

#include <string.h>

#define TEXT_KEY "0000000000000000000000000000000000000000000000000000000000000001"
enum { ANSWERS = 8 };
struct ask { /* a request that is not answered yet */
    routing_done_fn *saved;
    routing_published_fn *published;
    void *arg;
};
struct world {
    struct router r;
    struct config *conf;
    struct ask save, publish;
    enum err answers[ANSWERS]; /* to the next writes, by themselves; then ERR_OK */
    unsigned saves, publishes, sent;
    unsigned sent_unsaved; /* records that left while Redis did not have their version */
    char version[64], saved[64];
    struct timer *turn, *limit;
    struct carrier_ops ops;
    unsigned want_saves, want_publishes;
};
static struct world *world;

/* --- In place of the store and the carrier -------------------------------------------------------------- */

enum err __wrap_routing_save(struct routing *r, const struct routing_seat *seat, struct span version,
                             struct span config, routing_done_fn *done, void *arg);
enum err __wrap_routing_publish(struct routing *r, const struct routing_seat *seat, bool notify,
                                struct buf *bytes, routing_published_fn *done, void *arg);
enum err __wrap_routing_events_put(struct routing *r, const struct routing_seat *seat,
                                   const struct routing_event *list, size_t n, routing_done_fn *done,
                                   void *arg);
enum err __wrap_carrier_new(const struct carrier_conf *conf, struct carrier **ret, struct errctx *ec);
void __wrap_carrier_free(struct carrier *c);
bool __wrap_carrier_send(struct carrier *c, uint32_t neighbour, struct span message);

enum err __wrap_routing_save(struct routing *r, const struct routing_seat *seat, struct span version,
                             struct span config, routing_done_fn *done, void *arg)
{
    (void)r, (void)seat, (void)config;
    assert_null(world->save.saved); /* one at a time */
    world->save = (struct ask){.saved = done, .arg = arg};
    (void)snprintf(world->version, sizeof world->version, SPAN_FMT, SPAN_ARG(version));
    world->saves++;
    timer_set(world->turn, 1);
    return ERR_OK;
}

enum err __wrap_routing_publish(struct routing *r, const struct routing_seat *seat, bool notify,
                                struct buf *bytes, routing_published_fn *done, void *arg)
{
    (void)r, (void)seat, (void)notify;
    assert_null(world->publish.published);
    world->publish = (struct ask){.published = done, .arg = arg};
    world->publishes++;
    buf_done(bytes);
    timer_set(world->turn, 1);
    return ERR_OK;
}

enum err __wrap_routing_events_put(struct routing *r, const struct routing_seat *seat,
                                   const struct routing_event *list, size_t n, routing_done_fn *done,
                                   void *arg)
{
    (void)r, (void)seat, (void)list, (void)n, (void)done, (void)arg;
    return ERR_OK;
}

enum err __wrap_carrier_new(const struct carrier_conf *conf, struct carrier **ret, struct errctx *ec)
{
    (void)ec;
    world->ops = *conf->ops;
    *ret = NULL;
    return ERR_OK;
}

void __wrap_carrier_free(struct carrier *c)
{
    (void)c;
}

bool __wrap_carrier_send(struct carrier *c, uint32_t neighbour, struct span message)
{
    char own[64];
    (void)c, (void)neighbour, (void)message;
    version_text(ls_own_version(world->r.ls), own);
    world->sent++;
    world->sent_unsaved += strcmp(own, world->saved) != 0;
    return true;
}

static enum err next_answer(void)
{
    enum err e = world->answers[0];
    memmove(world->answers, world->answers + 1, (ANSWERS - 1) * sizeof world->answers[0]);
    return e;
}

/* Answers what was asked, as Redis does: after the call. */
static void on_turn(void *arg)
{
    struct ask save = world->save, publish = world->publish;
    (void)arg;
    world->save = world->publish = (struct ask){NULL, NULL, NULL};
    if (save.saved != NULL) {
        enum err e = next_answer();
        if (e == ERR_OK)
            (void)snprintf(world->saved, sizeof world->saved, "%s", world->version);
        save.saved(save.arg, e, e == ERR_OK ? "" : "refused by the test");
    }
    if (publish.published != NULL) {
        enum err e = next_answer();
        publish.published(publish.arg, e, 1, e == ERR_OK ? "" : "refused by the test");
    }
    if (world->saves >= world->want_saves && world->publishes >= world->want_publishes)
        loop_stop(world->r.loop);
}

static void on_limit(void *arg)
{
    (void)arg;
    fail_msg("waited in vain: %u saves of %u, %u publications of %u", world->saves, world->want_saves,
             world->publishes, world->want_publishes);
}

/* Until so many were asked for and answered. */
static void run_until(unsigned saves, unsigned publishes)
{
    world->want_saves = saves;
    world->want_publishes = publishes;
    timer_set(world->limit, 30000);
    loop_run(world->r.loop);
}

/* --- The master ----------------------------------------------------------------------------------------- */

static void on_depose(void *arg)
{
    (void)arg;
}

static int setup(void **state)
{
    static const char *const text = "organization: example\n"
                                    "routing_group:\n"
                                    "  name: hq\n"
                                    "  organization_key: \"" TEXT_KEY "\"\n"
                                    "  key_file: g.key\n"
                                    "  transport_key_file: t.key\n"
                                    "  neighbours: [{group: far, keys: [\"" TEXT_KEY "\"]}]\n";
    struct key_file org;
    struct errctx ec = {""};
    struct lsdb none;
    world = calloc(1, sizeof *world);
    assert_non_null(world);
    struct router *r = &world->r;
    if (config_parse(span_cstr(text), "test.yaml", "/", NULL, &world->conf, NULL, &ec) != ERR_OK)
        fail_msg("%s", ec.msg);
    r->root = config_root(world->conf);
    r->loop = loop_new();
    r->health = health_new();
    r->sources = sources_new();
    assert_true(r->health != NULL && r->sources != NULL);
    (void)snprintf(r->name, sizeof r->name, "r1");
    r->state = ROUTER_MASTER;
    r->lease_until_ms = UINT64_MAX;
    deferred_init(&r->depose, on_depose, NULL);
    world->turn = timer_new(r->loop, on_turn, NULL);
    world->limit = timer_new(r->loop, on_limit, NULL);
    assert_int_equal(key_make(KEY_ORGANIZATION, SPAN("example"), SPAN(""), &org, &ec), ERR_OK);
    assert_int_equal(key_make(KEY_GROUP, SPAN("example"), SPAN("hq"), &r->group_key, &ec), ERR_OK);
    assert_int_equal(key_certify(&r->group_key, &org, 1, &ec), ERR_OK);
    memcpy(r->org_key, org.public_, sizeof r->org_key);
    lsdb_init(&none);
    assert_int_equal(health_configure(r->health, r->root, loop_now(r->loop)), ERR_OK);
    if (speaker_start(r, &none, &ec) != ERR_OK)
        fail_msg("%s", ec.msg);
    *state = world;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    deferred_disarm(&world->r.depose);
    speaker_stop(&world->r);
    health_free(world->r.health);
    sources_free(world->r.sources);
    timer_free(world->turn);
    timer_free(world->limit);
    loop_free(world->r.loop);
    config_unref(world->conf);
    free(world);
    return 0;
}

static void neighbour_says(const struct ls_message *m)
{
    struct buf bytes;
    buf_init(&bytes, LS_MESSAGE_MAX);
    assert_int_equal(ls_message_emit(m, &bytes), ERR_OK);
    (void)world->ops.received(&world->r, 0, buf_span(&bytes));
    buf_done(&bytes);
}

/* Every new record is for it from then on. */
static void neighbour_up(void)
{
    neighbour_says(&(struct ls_message){.type = LS_MSG_HELLO,
                                        .min_version = LS_PROTOCOL_MIN,
                                        .max_version = LS_PROTOCOL_MAX,
                                        .organization = SPAN("example"),
                                        .group = SPAN("far"),
                                        .router = SPAN("r"),
                                        .instance = 1,
                                        .answer = true});
}

static void neighbour_asks_for_ours(void)
{
    struct ls_item item = {.group = SPAN("hq")};
    struct buf list;
    buf_init(&list, 1000);
    assert_int_equal(ls_item_add(&list, &item), ERR_OK);
    neighbour_says(&(struct ls_message){.type = LS_MSG_REQUEST, .list = buf_span(&list)});
    buf_done(&list);
}

static void test_speaker__a_save_that_failed_is_asked_for_again(void **state)
{
    static const enum err errors[] = {ERR_AGAIN, ERR_BACKEND, ERR_FULL,  ERR_IO,
                                      ERR_NOMEM, ERR_UNKNOWN, ERR_STATE, ERR_DENIED};
    (void)state;
    neighbour_up();
    speaker_originate(&world->r, LS_LEVEL_MAJOR);
    run_until(1, 1);
    assert_true(world->sent > 0);
    CHECK_EACH (errors, e) {
        unsigned saves = world->saves, publishes = world->publishes, sent = world->sent;
        print_message("%s\n", err_name(*e));
        world->answers[0] = *e;
        speaker_originate(&world->r, LS_LEVEL_MINOR);
        run_until(saves + 2, publishes);
        assert_true(world->sent > sent); /* then it leaves */
        assert_string_equal(world->saved, world->version);
        assert_int_equal(world->r.state, ROUTER_MASTER);
    }
    assert_int_equal(world->sent_unsaved, 0);
}

/* A version that came meanwhile is saved in place of the one that failed, and one save is enough. */
static void test_speaker__the_newest_is_saved(void **state)
{
    (void)state;
    neighbour_up();
    speaker_originate(&world->r, LS_LEVEL_MAJOR);
    run_until(1, 1);
    world->answers[0] = world->answers[1] = world->answers[2] = ERR_BACKEND;
    unsigned sent = world->sent;
    speaker_originate(&world->r, LS_LEVEL_MINOR);
    run_until(2, 1);
    neighbour_asks_for_ours(); /* between two attempts */
    assert_int_equal(world->sent, sent);
    speaker_originate(&world->r, LS_LEVEL_MINOR);
    assert_int_equal(world->sent, sent);
    run_until(5, 1);
    char own[64];
    version_text(ls_own_version(world->r.ls), own);
    assert_string_equal(world->saved, own);
    assert_true(world->sent > sent);
    assert_int_equal(world->sent_unsaved, 0);
    assert_int_equal(world->saves, 5);
}

static void test_speaker__a_deposed_one_saves_nothing_more(void **state)
{
    (void)state;
    neighbour_up();
    speaker_originate(&world->r, LS_LEVEL_MAJOR);
    run_until(1, 1);
    unsigned sent = world->sent;
    world->answers[0] = ERR_STALE;
    speaker_originate(&world->r, LS_LEVEL_MINOR);
    run_until(2, 1);
    assert_int_equal(world->r.state, ROUTER_STANDBY);
    speaker_originate(&world->r, LS_LEVEL_MINOR);
    assert_int_equal(world->saves, 2);
    assert_int_equal(world->sent, sent);
}

static void test_speaker__a_publication_that_failed_is_made_again(void **state)
{
    (void)state;
    world->answers[1] = ERR_BACKEND; /* the save is answered first */
    world->answers[2] = ERR_FULL;
    speaker_originate(&world->r, LS_LEVEL_MAJOR);
    run_until(1, 3);
    assert_int_equal(world->saves, 1);
    assert_int_equal(metric_get(&world->r.m.published), 1);
    assert_int_equal(world->publishes, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_speaker__a_save_that_failed_is_asked_for_again, setup, teardown),
        cmocka_unit_test_setup_teardown(test_speaker__the_newest_is_saved, setup, teardown),
        cmocka_unit_test_setup_teardown(test_speaker__a_deposed_one_saves_nothing_more, setup, teardown),
        cmocka_unit_test_setup_teardown(test_speaker__a_publication_that_failed_is_made_again, setup,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
