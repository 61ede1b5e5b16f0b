#include "common/log.h"
#include "router/carrier_int.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

enum { PAUSE_FIRST_MS = 100, PAUSE_MAX_MS = 5000, CONNECT_MS = 5000 };

struct dial_row {
    enum dial_state next; /* DIAL_IGNORE (0): without meaning here */
    void (*act)(struct dial *d);
};

const char *dial_state_name(enum dial_state s)
{
    static const char *const names[] = {"?", "waiting", "resolving", "connecting", "open"};
    return (unsigned)s < DIAL__COUNT ? names[s] : "?";
}

static void dial_event(struct dial *d, enum dial_event ev);

static void say_why(struct dial *d, const char *why)
{
    (void)snprintf(d->why, sizeof d->why, "%s", why);
}

/* --- Actions of the table --------------------------------------------------------------------------- */

/* The monitor is told to stop before its reader goes: ZeroMQ's reaper would wait for ever to tell a reader
 * that is gone about the end of the connection, and give back no closed socket any more. */
static void drop(struct dial *d)
{
    if (d->link.s != NULL)
        (void)zmq_socket_monitor(d->link.s, NULL, 0);
    zsock_close(&d->link);
    zsock_close(&d->monitor);
    dns_cancel(d->query);
    d->query = NULL;
}

static void wait_a_while(struct dial *d)
{
    drop(d);
    d->attempt++;
    timer_set(d->timer, d->pause_ms);
    d->pause_ms = d->pause_ms * 2 > PAUSE_MAX_MS ? PAUSE_MAX_MS : d->pause_ms * 2;
}

/* It worked before: the same address and key, soon. */
static void come_back(struct dial *d)
{
    metric_inc(&d->c->metrics->lost);
    d->pause_ms = PAUSE_FIRST_MS;
    drop(d);
    timer_set(d->timer, d->pause_ms);
    d->c->neighbours[d->neighbour].open--;
    carrier_changed(d->c, d->neighbour);
}

static void opened(struct dial *d)
{
    d->heard_ms = loop_now(d->c->loop);
    d->pause_ms = PAUSE_FIRST_MS;
    d->why[0] = '\0';
    timer_cancel(d->timer);
    metric_inc(&d->c->metrics->opened);
    d->c->neighbours[d->neighbour].open++;
    carrier_changed(d->c, d->neighbour);
}

static void on_addresses(void *arg, const struct dns_answer *answer)
{
    struct dial *d = arg;
    d->query = NULL;
    d->naddrs = answer->n < DIAL_ADDRS_MAX ? answer->n : DIAL_ADDRS_MAX;
    if (answer->err != ERR_OK || answer->n == 0) {
        say_why(d, answer->err != ERR_OK ? answer->why : "its name has no address");
        dial_event(d, DEV_NONE);
        return;
    }
    memcpy(d->addrs, answer->addrs, d->naddrs * sizeof d->addrs[0]);
    dial_event(d, DEV_ADDRESSES);
}

static void ask(struct dial *d)
{
    struct ip_addr literal;
    metric_inc(&d->c->metrics->dials);
    timer_set(d->timer,
              (ms_t)4 * CONNECT_MS); /* for the answer of the resolver, which has a time-out of its own */
    if (ip_parse(span_cstr(d->host), &literal) == ERR_OK) {
        d->addrs[0] = literal;
        d->naddrs = 1;
        dial_event(d, DEV_ADDRESSES);
        return;
    }
    if (dns_ask_addresses(d->c->dns, span_cstr(d->host), on_addresses, d, &d->query) != ERR_OK) {
        d->query = NULL;
        say_why(d, "its name cannot be asked for now");
        dial_event(d, DEV_NONE);
    }
}

/* --- The socket ------------------------------------------------------------------------------------- */

static void pump_link(void *arg)
{
    struct dial *d = arg;
    zmq_msg_t m;
    for (int n = 0; d->link.s != NULL && n < WAITING_MESSAGES; n++) {
        int more = 0;
        if (!carrier_may_read(d->c))
            return;
        zmq_msg_init(&m);
        if (zmq_msg_recv(&m, d->link.s, ZMQ_DONTWAIT) < 0) {
            zmq_msg_close(&m);
            return;
        }
        struct span bytes = span_of(zmq_msg_data(&m), zmq_msg_size(&m));
        if (zmq_msg_more(&m)) { /* nobody sends parts: read to the end, then refused as malformed */
            bytes = SPAN("");
            do {
                zmq_msg_t part;
                zmq_msg_init(&part);
                more = zmq_msg_recv(&part, d->link.s, ZMQ_DONTWAIT) >= 0 && zmq_msg_more(&part);
                zmq_msg_close(&part);
            } while (more);
        }
        d->heard_ms = loop_now(d->c->loop);
        carrier_received(d->c, d->neighbour, bytes);
        zmq_msg_close(&m);
    }
    zsock_used(&d->link);
}

void dial_read(struct dial *d)
{
    pump_link(d);
}

static void pump_monitor(void *arg)
{
    struct dial *d = arg;
    bool is_open = false, is_over = false;
    while (d->monitor.s != NULL) {
        uint8_t event[6] = {0};
        char address[256];
        uint16_t what;
        if (zmq_recv(d->monitor.s, event, sizeof event, ZMQ_DONTWAIT) < 0)
            break;
        (void)zmq_recv(d->monitor.s, address, sizeof address, ZMQ_DONTWAIT);
        memcpy(&what, event, sizeof what);
        is_open = is_open || what == ZMQ_EVENT_HANDSHAKE_SUCCEEDED;
        if (what == ZMQ_EVENT_HANDSHAKE_FAILED_AUTH || what == ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL ||
            what == ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL) {
            say_why(d, "its key is another one, or it does not admit ours");
            is_over = true;
        } else if (what == ZMQ_EVENT_CLOSED || what == ZMQ_EVENT_DISCONNECTED) {
            if (d->why[0] == '\0')
                say_why(d, d->state == DIAL_OPEN || is_open ? "the connection ended" : "no connection");
            is_over = true;
        }
    }
    if (is_open)
        dial_event(d, DEV_OPENED);
    if (is_over)
        dial_event(d, DEV_FAILED);
}

static enum err open_socket(struct dial *d)
{
    struct carrier *c = d->c;
    const struct neighbour *n = &c->neighbours[d->neighbour];
    char at[ENDPOINT_TEXT_MAX], url[80], name[64];
    struct ip_endpoint to = {.addr = d->addrs[d->attempt / n->nkeys % d->naddrs], .port = d->port};
    int never = -1, one = 1;
    ip_endpoint_text(&to, at);
    (void)snprintf(url, sizeof url, "tcp://%s", at);
    /* A name of its own: the one before is only given back some time after it was closed. */
    (void)snprintf(name, sizeof name, "inproc://monitor-%p-%" PRIu64, (void *)d, ++c->monitors);
    d->link.s = carrier_socket(c, ZMQ_DEALER);
    if (d->link.s == NULL ||
        zmq_setsockopt(d->link.s, ZMQ_CURVE_SERVERKEY, n->keys[d->attempt % n->nkeys], SIGN_KEY_LEN) != 0 ||
        zmq_setsockopt(d->link.s, ZMQ_RECONNECT_IVL, &never, sizeof never) != 0 ||
        zmq_setsockopt(d->link.s, ZMQ_IMMEDIATE, &one, sizeof one) != 0 ||
        zmq_socket_monitor(d->link.s, name, ZMQ_EVENT_ALL) != 0)
        return ERR_NOMEM;
    d->monitor.s = zmq_socket(c->zmq, ZMQ_PAIR);
    if (d->monitor.s == NULL || zmq_connect(d->monitor.s, name) != 0 ||
        zsock_watch(&d->monitor, c->loop, pump_monitor, d) != ERR_OK ||
        zsock_watch(&d->link, c->loop, pump_link, d) != ERR_OK || zmq_connect(d->link.s, url) != 0)
        return ERR_NOMEM;
    zsock_used(&d->monitor);
    zsock_used(&d->link);
    return ERR_OK;
}

static void connect_(struct dial *d)
{
    timer_set(d->timer, CONNECT_MS);
    d->why[0] = '\0';
    if (open_socket(d) == ERR_OK)
        return;
    say_why(d, zmq_strerror(zmq_errno()));
    dial_event(d, DEV_FAILED);
}

bool dial_send(struct dial *d, struct span message)
{
    bool sent = zmq_send(d->link.s, message.ptr, message.len, ZMQ_DONTWAIT) >= 0;
    zsock_used(&d->link);
    return sent;
}

/* --- The table -------------------------------------------------------------------------------------- */

#define ON(st, ev, nx, action) [DIAL_##st][DEV_##ev] = {DIAL_##nx, action}
/* clang-format off */
static const struct dial_row dial_fsm[DIAL__COUNT][DEV__COUNT] = {
    ON(WAITING,    START,     ASKING,     ask),
    ON(ASKING,     ADDRESSES, CONNECTING, connect_), ON(ASKING,     NONE,   WAITING, wait_a_while),
    ON(ASKING,     FAILED,    WAITING,    wait_a_while),
    ON(CONNECTING, OPENED,    OPEN,       opened),   ON(CONNECTING, FAILED, WAITING, wait_a_while),
    ON(OPEN,       FAILED,    WAITING,    come_back),
};
/* clang-format on */

/* The only writer of state after dials_new(). */
static void dial_event(struct dial *d, enum dial_event ev)
{
    const struct dial_row *row = &dial_fsm[d->state][ev];
    if (row->next == DIAL_IGNORE)
        return;
    log_debug("router.dial", "neighbour=%s endpoint=%s:%u from=%s to=%s why='%s'",
              d->c->neighbours[d->neighbour].group, d->host, (unsigned)d->port, dial_state_name(d->state),
              dial_state_name(row->next), d->why);
    d->state = row->next;
    row->act(d);
}

static void on_timer(void *arg)
{
    struct dial *d = arg;
    if (d->state == DIAL_WAITING) {
        dial_event(d, DEV_START);
        return;
    }
    say_why(d, "no answer in time");
    dial_event(d, DEV_FAILED);
}

/* --- Life ------------------------------------------------------------------------------------------- */

/* "host", "host:port", "192.0.2.1:691", "[2001:db8::1]:691" */
static bool parse_endpoint(struct span text, struct dial *d)
{
    struct ip_endpoint at;
    struct span host, port;
    uint64_t number = CARRIER_PORT;
    d->port = CARRIER_PORT;
    if (ip_endpoint_parse(text, CARRIER_PORT, &at) == ERR_OK) {
        ip_text(&at.addr, d->host);
        d->port = at.port;
        return true;
    }
    if (span_cut(text, ':', &host, &port) && (!span_to_u64(port, 65535, &number) || number == 0))
        return false;
    d->port = (uint16_t)number;
    return host.len > 0 && snprintf(d->host, sizeof d->host, SPAN_FMT, SPAN_ARG(host)) < (int)sizeof d->host;
}

enum err dials_new(struct carrier *c, const struct conf_root *root, struct errctx *ec)
{
    size_t n = 0;
    for (size_t i = 0; i < c->nneighbours; i++)
        n += root->routing_group.neighbours.items[i].endpoints.count;
    c->dials = calloc(n + 1, sizeof *c->dials);
    if (c->dials == NULL)
        return err_set(ec, ERR_NOMEM, "out of memory");
    for (uint32_t i = 0; i < c->nneighbours; i++) {
        const struct conf_strs *list = &root->routing_group.neighbours.items[i].endpoints;
        for (size_t k = 0; k < list->count; k++) {
            struct dial *d = &c->dials[c->ndials];
            *d = (struct dial){.c = c, .neighbour = i, .state = DIAL_WAITING, .pause_ms = PAUSE_FIRST_MS};
            if (!parse_endpoint(span_cstr(list->items[k]), d))
                return err_set(ec, ERR_CONFIG, "endpoint '%s' of neighbour '%s' is not host:port",
                               list->items[k], c->neighbours[i].group);
            d->timer = timer_new(c->loop, on_timer, d);
            if (d->timer == NULL)
                return err_set(ec, ERR_NOMEM, "out of memory");
            c->ndials++;
        }
    }
    return ERR_OK;
}

void dials_start(struct carrier *c)
{
    for (size_t i = 0; i < c->ndials; i++)
        timer_set(c->dials[i].timer, 0);
}

void dials_free(struct carrier *c)
{
    for (size_t i = 0; i < c->ndials; i++) {
        drop(&c->dials[i]);
        timer_free(c->dials[i].timer);
    }
    free(c->dials);
    c->dials = NULL;
    c->ndials = 0;
}
