#include "tests/sim/guest.h"

#include "worker/client.h"

struct guest {
    struct guest *next;
    struct guests *all;
    struct client *client;
    struct wire_end wire;
    uint64_t timer;
    unsigned left;
    size_t number;
    struct envelope env;
    struct recipient rcpts[LEDGER_RCPTS];
    struct buf text;
    bool over;
};
struct guests {
    struct sim *sim;
    struct ledger *ledger;
    struct front *front;
    const struct conf_client_timeouts *timeouts;
    struct guest *first;
};

static void guest_end(struct guest *g)
{
    sim_cancel(g->all->sim, g->timer);
    g->timer = 0;
    client_free(g->client);
    g->client = NULL;
    wire_close(&g->wire);
    g->over = true;
}

static void send_next(struct guest *g)
{
    struct guests *f = g->all;
    if (g->left == 0) {
        client_quit(g->client);
        return;
    }
    g->left--;
    g->number = ledger_invent(f->ledger);
    const struct ledger_message *m = &f->ledger->messages[g->number];
    buf_clear(&g->text);
    ledger_text(f->ledger, g->number, &g->text);
    g->env = (struct envelope){.sender = span_cstr(m->sender), .ret = (enum dsn_ret)sim_pick(f->sim, 0, 2)};
    for (size_t i = 0; i < m->nrcpts; i++)
        g->rcpts[i] =
            (struct recipient){.address = span_cstr(m->rcpts[i].address), .notify = m->rcpts[i].notify};
    struct client_message message = {&g->env, g->rcpts, m->nrcpts, g->text.len, SPAN("")};
    SIM_MUST(f->sim, client_send(g->client, &message) == ERR_OK);
}

static void note_results(struct guest *g)
{
    struct ledger_message *m = &g->all->ledger->messages[g->number];
    size_t n;
    const struct client_result *r = client_results(g->client, &n);
    SIM_MUST(g->all->sim, n == m->nrcpts);
    for (size_t i = 0; i < n; i++)
        m->rcpts[i].acknowledged |= r[i].verdict.action == VERDICT_DONE;
}

static void guest_pump(struct guest *g);
static void guest_timeout(void *arg)
{
    struct guest *g = arg;
    g->timer = 0;
    client_failed(g->client, FAILURE_TIMEOUT);
    guest_pump(g);
}

static void set_timer(struct guest *g)
{
    ms_t after_ms = client_timeout_ms(g->client);
    sim_cancel(g->all->sim, g->timer);
    g->timer = after_ms > 0 ? sim_after(g->all->sim, after_ms, guest_timeout, g) : 0;
}

static void guest_pump(struct guest *g)
{
    for (;;) {
        struct client_output o;
        while (client_output(g->client, &o))
            wire_send(g->wire, o.bytes);
        switch (client_event(g->client)) {
        case CLIENT_WAIT:
        case CLIENT_START_TLS:
            set_timer(g);
            return;
        case CLIENT_READY:
            send_next(g);
            break;
        case CLIENT_BODY: {
            struct span rest = span_from(buf_span(&g->text), client_body_offset(g->client));
            size_t n = sim_chance(g->all->sim, 700) ? rest.len : sim_pick(g->all->sim, 1, rest.len);
            SIM_MUST(g->all->sim, client_body(g->client, span_first(rest, n)) == ERR_OK);
            break;
        }
        case CLIENT_FINISHED:
            note_results(g);
            break;
        case CLIENT_CLOSED:
            guest_end(g);
            return;
        }
    }
}

static void guest_received(void *arg, struct span bytes)
{
    struct guest *g = arg;
    client_received(g->client, bytes);
    guest_pump(g);
}
static void guest_closed(void *arg)
{
    struct guest *g = arg;
    client_failed(g->client, FAILURE_LOST);
    guest_pump(g);
}
static const struct wire_ops guest_ops = {guest_received, guest_closed};

static void guest_cut(void *arg)
{
    struct guest *g = arg;
    if (!g->over && g->wire.wire != NULL)
        wire_cut(g->wire.wire);
}

void guests_offer(struct guests *f, unsigned n)
{
    struct guest *g = calloc(1, sizeof(*g));
    struct client_conf conf = {.hostname = SPAN("guest.sim"), .timeouts = f->timeouts};
    SIM_MUST(f->sim, g != NULL);
    g->all = f;
    g->left = n;
    buf_init(&g->text, SIZE_MAX / 2);
    g->client = client_new(&conf);
    SIM_MUST(f->sim, g->client != NULL);
    g->next = f->first;
    f->first = g;
    struct wire *w = wire_new(f->sim);
    g->wire = wire_attach(w, 1, &guest_ops, g);
    if (sim_fault(f->sim, 150))
        (void)sim_after(f->sim, sim_pick(f->sim, 0, 400), guest_cut, g);
    front_accept(f->front, w, 0);
}

struct guests *guests_new(struct ledger *l, struct front *f, const struct conf_client_timeouts *timeouts)
{
    struct guests *g = calloc(1, sizeof(*g));
    SIM_MUST(l->sim, g != NULL);
    *g = (struct guests){.sim = l->sim, .ledger = l, .front = f, .timeouts = timeouts};
    return g;
}

void guests_free(struct guests *g)
{
    while (g->first != NULL) {
        struct guest *one = g->first;
        g->first = one->next;
        if (!one->over)
            guest_end(one);
        buf_done(&one->text);
        free(one);
    }
    free(g);
}
