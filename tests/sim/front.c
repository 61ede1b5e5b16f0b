#include "tests/sim/front.h"

#include "node/intake.h"
#include "node/session.h"

struct door { /* a session of the node */
    struct door *next;
    struct front *front;
    struct session *session;
    struct intake intake;
    struct wire_end wire;
    struct buf kept;
    bool over;
};
struct front {
    struct sim *sim;
    const struct session_conf *conf;
    struct store *store;
    struct intake_budget budget;
    struct node_metrics metrics;
    struct door *doors;
    uint64_t tick;
};

/* --- The node's side -------------------------------------------------------------------------------- */

static enum err op_ready(void *arg)
{
    return intake_ready(&((struct door *)arg)->intake);
}
static enum err op_memory(void *arg, size_t bytes)
{
    return intake_memory(&((struct door *)arg)->intake, bytes);
}
static enum err op_open(void *arg, struct msgid *ret_id)
{
    return intake_open(&((struct door *)arg)->intake, ret_id);
}
static enum err op_write(void *arg, struct span bytes, size_t *ret_taken)
{
    return intake_write(&((struct door *)arg)->intake, bytes, ret_taken);
}
static void op_abort(void *arg)
{
    intake_abort(&((struct door *)arg)->intake);
}
static enum err op_commit(void *arg, const struct envelope *env, const struct commit_job *jobs, size_t njobs)
{
    return intake_commit(&((struct door *)arg)->intake, env, jobs, njobs);
}
static enum err op_etrn(void *arg, struct span domain)
{
    (void)arg, (void)domain;
    return ERR_NOTFOUND;
}
static void op_event(void *arg, enum session_event ev, enum reply_id reply, struct span text)
{
    (void)arg, (void)ev, (void)reply, (void)text;
}
static const struct session_ops session_ops = {.ready = op_ready,
                                               .memory = op_memory,
                                               .open = op_open,
                                               .write = op_write,
                                               .abort = op_abort,
                                               .commit = op_commit,
                                               .etrn = op_etrn,
                                               .event = op_event};

static void tell_time(struct door *d)
{
    const struct clock *clock = &d->front->sim->clock.clock;
    session_time(d->session, clock_mono(clock), clock_wall(clock));
}

static void door_close(struct door *d)
{
    session_free(d->session);
    d->session = NULL;
    intake_done(&d->intake);
    wire_close(&d->wire);
    d->over = true; /* freed by the tick */
}

static void door_turn(struct door *d)
{
    size_t before;
    tell_time(d);
    do {
        wire_send(d->wire, session_output(d->session));
        session_sent(d->session);
        if (session_want(d->session) == SESSION_CLOSE) {
            door_close(d);
            return;
        }
        before = d->kept.len;
        buf_drop_front(&d->kept, session_feed(d->session, buf_span(&d->kept)));
    } while (d->kept.len != before || session_output(d->session).len > 0);
}

static void on_unblocked(void *arg)
{
    struct door *d = arg;
    session_unblock(d->session);
    door_turn(d);
}
static void on_committed(void *arg, enum err e, const struct msgid *id)
{
    struct door *d = arg;
    tell_time(d);
    session_committed(d->session, e, id);
    door_turn(d);
}
static const struct intake_owner intake_owner = {on_unblocked, on_committed};

static void door_received(void *arg, struct span bytes)
{
    struct door *d = arg;
    SIM_MUST(d->front->sim, buf_add(&d->kept, bytes) == ERR_OK);
    door_turn(d);
}
static void door_closed(void *arg)
{
    door_close(arg);
}
static const struct wire_ops door_ops = {door_received, door_closed};

void front_accept(struct front *f, struct wire *w, int side)
{
    static struct ip_addr localhost = {.bytes = {127, 0, 0, 1}};
    struct session_client who = {.addr = &localhost};
    struct door *d = calloc(1, sizeof(*d));
    SIM_MUST(f->sim, d != NULL);
    d->front = f;
    buf_init(&d->kept, SIZE_MAX / 2);
    intake_init(&d->intake, f->store, &f->budget, &f->metrics, &f->sim->clock.clock, &intake_owner, d);
    d->session = session_new(f->conf, &who, &session_ops, d);
    SIM_MUST(f->sim, d->session != NULL);
    d->wire = wire_attach(w, side, &door_ops, d);
    d->next = f->doors;
    f->doors = d;
    tell_time(d);
    session_start(d->session, SPAN(""));
    door_turn(d);
}

static void free_doors(struct front *f, bool all)
{
    for (struct door **at = &f->doors; *at != NULL;) {
        struct door *d = *at;
        if (!all && !d->over) {
            at = &d->next;
            continue;
        }
        if (!d->over)
            door_close(d);
        *at = d->next;
        buf_done(&d->kept);
        free(d);
    }
}

/* --- The node --------------------------------------------------------------------------------------- */

static void tick(void *arg)
{
    struct front *f = arg;
    for (struct door *d = f->doors; d != NULL; d = d->next) {
        if (d->over || session_deadline(d->session) > f->sim->clock.now_ms)
            continue;
        tell_time(d);
        session_tick(d->session);
        door_turn(d);
    }
    free_doors(f, false);
    f->tick = sim_after(f->sim, 1000, tick, f);
}

struct front *front_new(struct sim *s, const struct session_conf *conf)
{
    struct front *f = calloc(1, sizeof(*f));
    SIM_MUST(s, f != NULL);
    *f = (struct front){.sim = s, .conf = conf, .store = fake_store_open(s->db)};
    f->budget.limit = 64 << 20;
    f->tick = sim_after(s, 1000, tick, f);
    return f;
}

void front_crash(struct front *f)
{
    free_doors(f, true);
    store_free(f->store);
    f->store = fake_store_open(f->sim->db);
}

void front_free(struct front *f)
{
    sim_cancel(f->sim, f->tick);
    free_doors(f, true);
    store_free(f->store);
    free(f);
}
