#include "common/log.h"
#include "router/carrier_int.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

/* What is larger than a message may be is refused by the engine, which counts it and names the neighbour; of
 * what is larger than this ZeroMQ ends the connection before it is in memory. */
enum { REFUSED_MAX = 4 * LS_MESSAGE_MAX };
enum { BIND_AGAIN_MS = 250, REFUSAL_LOG_MS = 1000, HANDSHAKE_MS = 10000, ZAP_FRAMES = 7, FRAME_MAX = 512 };

/* --- Sockets on the loop ---------------------------------------------------------------------------- */

static void pump_now(void *arg)
{
    struct zsock *z = arg;
    if (z->s != NULL)
        z->pump(z->arg);
}

enum err zsock_watch(struct zsock *z, struct loop *l, loop_fn *pump, void *arg)
{
    int fd = -1;
    size_t size = sizeof fd;
    z->loop = l;
    z->pump = pump;
    z->arg = arg;
    deferred_init(&z->again, pump_now, z);
    if (zmq_getsockopt(z->s, ZMQ_FD, &fd, &size) != 0)
        return ERR_IO;
    z->watch = watch_fd(l, fd, pump_now, z);
    return z->watch == NULL ? ERR_NOMEM : ERR_OK;
}

void zsock_close(struct zsock *z)
{
    if (z->watch != NULL) {
        deferred_disarm(&z->again);
        watch_free(z->watch);
    }
    if (z->s != NULL)
        (void)zmq_close(z->s);
    *z = (struct zsock){.s = NULL};
}

static bool has_events(const struct zsock *z)
{
    int events = 0;
    size_t size = sizeof events;
    return z->s != NULL && zmq_getsockopt(z->s, ZMQ_EVENTS, &events, &size) == 0 &&
           (events & ZMQ_POLLIN) != 0;
}

void zsock_used(struct zsock *z)
{
    if (z->watch != NULL && has_events(z))
        deferred_arm(z->loop, &z->again);
}

void *carrier_socket(struct carrier *c, int type)
{
    void *s = zmq_socket(c->zmq, type);
    int zero = 0, one = 1, many = WAITING_MESSAGES, handshake = HANDSHAKE_MS;
    int beat = (int)(c->hello_ms / 2 < 50 ? 50 : c->hello_ms / 2), dead = (int)(c->hello_ms * 2);
    int64_t largest = REFUSED_MAX;
    if (s == NULL)
        return NULL;
    bool ok = zmq_setsockopt(s, ZMQ_LINGER, &zero, sizeof zero) == 0 &&
              zmq_setsockopt(s, ZMQ_IPV6, &one, sizeof one) == 0 &&
              zmq_setsockopt(s, ZMQ_SNDHWM, &many, sizeof many) == 0 &&
              zmq_setsockopt(s, ZMQ_RCVHWM, &many, sizeof many) == 0 &&
              zmq_setsockopt(s, ZMQ_HANDSHAKE_IVL, &handshake, sizeof handshake) == 0 &&
              zmq_setsockopt(s, ZMQ_HEARTBEAT_IVL, &beat, sizeof beat) == 0 &&
              zmq_setsockopt(s, ZMQ_HEARTBEAT_TIMEOUT, &dead, sizeof dead) == 0 &&
              zmq_setsockopt(s, ZMQ_MAXMSGSIZE, &largest, sizeof largest) == 0 &&
              zmq_setsockopt(s, ZMQ_CURVE_PUBLICKEY, c->key.public_, SIGN_KEY_LEN) == 0 &&
              zmq_setsockopt(s, ZMQ_CURVE_SECRETKEY, c->key.secret, SIGN_KEY_LEN) == 0;
    if (ok)
        return s;
    (void)zmq_close(s);
    return NULL;
}

/* --- Admission (ZAP, RFC 27 of ZeroMQ) ---------------------------------------------------------------- */

static const struct neighbour *owner_of(const struct carrier *c, const char *key, size_t len, uint32_t *ret)
{
    for (uint32_t i = 0; len == SIGN_KEY_LEN && i < c->nneighbours; i++)
        for (size_t k = 0; k < c->neighbours[i].nkeys; k++)
            if (memcmp(c->neighbours[i].keys[k], key, SIGN_KEY_LEN) == 0) {
                *ret = i;
                return &c->neighbours[i];
            }
    return NULL;
}

/* One line for a refusal; of a flood of them one a second, then their number. */
static void log_refusal(struct carrier *c, const char *address, const char *key, size_t len)
{
    char print[KEY_PRINT_LEN + 1] = "none";
    struct log_scratch scratch;
    if (c->refusals_paused) {
        c->refusals_unlogged++;
        return;
    }
    if (len == SIGN_KEY_LEN)
        key_print((const uint8_t *)key, print);
    log_warn("router.refused", "key=%s peer=%s text='no neighbour has this key'", print,
             log_text(&scratch, span_cstr(address)));
    c->refusals_paused = true;
    timer_set(c->refusals, REFUSAL_LOG_MS);
}

static void tell_refusals(void *arg)
{
    struct carrier *c = arg;
    if (c->refusals_unlogged > 0)
        log_warn("router.refused", "more=%u text='no neighbour has these keys'", c->refusals_unlogged);
    c->refusals_unlogged = 0;
    c->refusals_paused = false;
}

static void answer_zap(struct carrier *c, char frames[ZAP_FRAMES][FRAME_MAX], const size_t *lens)
{
    uint32_t number = 0;
    char user[16] = "";
    bool curve = lens[5] == 5 && memcmp(frames[5], "CURVE", 5) == 0;
    const struct neighbour *n = curve ? owner_of(c, frames[6], lens[6], &number) : NULL;
    const char *code = n != NULL ? "200" : "400", *text = n != NULL ? "OK" : "unknown key";
    if (n != NULL) {
        metric_inc(&c->metrics->admitted);
        (void)snprintf(user, sizeof user, "%" PRIu32, number);
        log_info("router.admitted", "neighbour=%s peer=%s", n->group, frames[3]);
    } else {
        metric_inc(&c->metrics->refused);
        log_refusal(c, frames[3], frames[6], lens[6]);
    }
    (void)zmq_send(c->zap.s, "1.0", 3, ZMQ_SNDMORE | ZMQ_DONTWAIT);
    (void)zmq_send(c->zap.s, frames[1], lens[1], ZMQ_SNDMORE | ZMQ_DONTWAIT);
    (void)zmq_send(c->zap.s, code, 3, ZMQ_SNDMORE | ZMQ_DONTWAIT);
    (void)zmq_send(c->zap.s, text, strlen(text), ZMQ_SNDMORE | ZMQ_DONTWAIT);
    (void)zmq_send(c->zap.s, user, strlen(user), ZMQ_SNDMORE | ZMQ_DONTWAIT);
    (void)zmq_send(c->zap.s, "", 0, ZMQ_DONTWAIT);
}

static void pump_zap(void *arg)
{
    struct carrier *c = arg;
    while (c->zap.s != NULL) {
        char frames[ZAP_FRAMES][FRAME_MAX];
        size_t lens[ZAP_FRAMES] = {0}, n = 0;
        int more = 1;
        memset(frames, 0, sizeof frames);
        while (more) {
            char spare[FRAME_MAX];
            char *at = n < ZAP_FRAMES ? frames[n] : spare;
            int got = zmq_recv(c->zap.s, at, FRAME_MAX - 1, ZMQ_DONTWAIT);
            size_t size = sizeof more;
            if (got < 0)
                return;
            if (n < ZAP_FRAMES)
                lens[n] = (size_t)got < FRAME_MAX - 1 ? (size_t)got : FRAME_MAX - 1;
            n++;
            if (zmq_getsockopt(c->zap.s, ZMQ_RCVMORE, &more, &size) != 0)
                return;
        }
        answer_zap(c, frames, lens);
    }
}

static enum err open_zap(struct carrier *c)
{
    c->zap.s = zmq_socket(c->zmq, ZMQ_REP);
    if (c->zap.s == NULL || zmq_bind(c->zap.s, "inproc://zeromq.zap.01") != 0)
        return ERR_IO;
    return zsock_watch(&c->zap, c->loop, pump_zap, c);
}

/* --- Who is up ---------------------------------------------------------------------------------------- */

static void set_up(struct carrier *c, uint32_t number, bool up)
{
    struct neighbour *n = &c->neighbours[number];
    if (n->up == up || c->no_callbacks)
        return;
    n->up = up;
    log_info("router.carrier", "neighbour=%s state=%s", n->group, up ? "up" : "down");
    (up ? c->ops.up : c->ops.down)(c->arg, number);
}

void carrier_changed(struct carrier *c, uint32_t number)
{
    const struct neighbour *n = &c->neighbours[number];
    set_up(c, number, n->open > 0 || n->route_len > 0);
}

void carrier_received(struct carrier *c, uint32_t number, struct span message)
{
    metric_inc(&c->metrics->received);
    unsigned checks = c->no_callbacks ? 0 : c->ops.received(c->arg, number, message);
    c->checks_left -= checks < c->checks_left ? checks : c->checks_left;
}

bool carrier_may_read(struct carrier *c)
{
    ms_t now = loop_now(c->loop); /* another one every turn in which anything was verified */
    if (now != c->checks_ms) {
        c->checks_ms = now;
        c->checks_left = CARRIER_CHECKS;
    }
    if (!c->paused && c->checks_left == 0) {
        c->paused = true;
        timer_set(c->more, 1);
    }
    return !c->paused;
}

static struct dial *best_dial(struct carrier *c, uint32_t number)
{
    struct dial *best = NULL;
    for (size_t i = 0; i < c->ndials; i++) {
        struct dial *d = &c->dials[i];
        if (d->neighbour == number && d->state == DIAL_OPEN && (best == NULL || d->heard_ms > best->heard_ms))
            best = d;
    }
    return best;
}

/* Back over the admitted connection that it spoke on last. */
static bool send_back(struct carrier *c, uint32_t number, struct span message)
{
    struct neighbour *n = &c->neighbours[number];
    if (n->route_len == 0)
        return false;
    bool sent = zmq_send(c->server.s, n->route, n->route_len, ZMQ_SNDMORE | ZMQ_DONTWAIT) >= 0;
    bool gone = !sent && zmq_errno() == EHOSTUNREACH;
    sent = sent && zmq_send(c->server.s, message.ptr, message.len, ZMQ_DONTWAIT) >= 0;
    zsock_used(&c->server);
    if (gone)
        n->route_len = 0;
    return sent;
}

bool carrier_send(struct carrier *c, uint32_t number, struct span message)
{
    struct dial *d = best_dial(c, number);
    struct neighbour *n = &c->neighbours[number];
    bool back_first = n->route_len > 0 && (d == NULL || n->route_heard_ms > d->heard_ms + 3 * c->hello_ms);
    bool sent = back_first && send_back(c, number, message);
    if (!sent && d != NULL)
        sent = dial_send(d, message);
    if (!sent && !back_first)
        sent = send_back(c, number, message);
    if (!sent)
        metric_inc(&c->metrics->dropped);
    return sent;
}

/* --- Ends of admitted connections --------------------------------------------------------------------- *
 * ZeroMQ does not say why one ended, and it ends one itself when a message is larger than REFUSED_MAX. Which
 * neighbour's it was is known by the descriptor, once something was heard on it. */

static void note_owner(struct carrier *c, int fd, uint32_t number)
{
    enum { FDS_MAX = 1 << 20 };
    if (fd < 0 || fd >= FDS_MAX)
        return;
    if ((size_t)fd >= c->nowners) {
        size_t n = (size_t)fd + 64;
        uint16_t *p = realloc(c->owners, n * sizeof *p);
        if (p == NULL)
            return; /* its end is not told */
        memset(p + c->nowners, 0, (n - c->nowners) * sizeof *p);
        c->owners = p;
        c->nowners = n;
    }
    c->owners[fd] = (uint16_t)(number + 1);
}

static void connection_ended(struct carrier *c, int fd)
{
    if (fd < 0 || (size_t)fd >= c->nowners || c->owners[fd] == 0)
        return;
    const struct neighbour *n = &c->neighbours[c->owners[fd] - 1];
    c->owners[fd] = 0;
    metric_inc(&c->metrics->ended);
    log_info("router.ended",
             "neighbour=%s text='its connection ended: it closed it, the network did, or a message had more "
             "than %d bytes'",
             n->group, REFUSED_MAX);
}

/* A monitor's message: event (2), value (4), both in host order; then the address. false: nothing is there.
 */
static bool read_event(void *monitor, uint16_t *ret_what, int32_t *ret_value)
{
    uint8_t event[6] = {0};
    char address[256];
    if (monitor == NULL || zmq_recv(monitor, event, sizeof event, ZMQ_DONTWAIT) < 0)
        return false;
    (void)zmq_recv(monitor, address, sizeof address, ZMQ_DONTWAIT);
    memcpy(ret_what, event, sizeof *ret_what);
    memcpy(ret_value, event + sizeof *ret_what, sizeof *ret_value);
    return true;
}

static void pump_ends(void *arg)
{
    struct carrier *c = arg;
    uint16_t what;
    int32_t fd;
    for (int n = 0; n < WAITING_MESSAGES && read_event(c->monitor.s, &what, &fd); n++)
        if (what == ZMQ_EVENT_DISCONNECTED)
            connection_ended(c, fd);
    zsock_used(&c->monitor);
}

static enum err open_monitor(struct carrier *c)
{
    char name[64];
    (void)snprintf(name, sizeof name, "inproc://ends-%p", (void *)c);
    if (zmq_socket_monitor(c->server.s, name, ZMQ_EVENT_DISCONNECTED) != 0)
        return ERR_IO;
    c->monitor.s = zmq_socket(c->zmq, ZMQ_PAIR);
    if (c->monitor.s == NULL || zmq_connect(c->monitor.s, name) != 0 ||
        zsock_watch(&c->monitor, c->loop, pump_ends, c) != ERR_OK)
        return ERR_IO;
    zsock_used(&c->monitor);
    return ERR_OK;
}

/* --- Listening ---------------------------------------------------------------------------------------- */

static void take_message(struct carrier *c, const uint8_t *route, size_t route_len, zmq_msg_t *m, bool whole)
{
    const char *user = zmq_msg_gets(m, "User-Id");
    uint64_t number;
    if (user == NULL || !span_to_u64(span_cstr(user), c->nneighbours - 1, &number))
        return; /* cannot be: ZAP names the owner of the key of every connection */
    struct neighbour *n = &c->neighbours[number];
    memcpy(n->route, route, route_len);
    n->route_len = route_len;
    n->route_heard_ms = loop_now(c->loop);
    note_owner(c, zmq_msg_get(m, ZMQ_SRCFD), (uint32_t)number);
    set_up(c, (uint32_t)number, true);
    carrier_received(c, (uint32_t)number, whole ? span_of(zmq_msg_data(m), zmq_msg_size(m)) : SPAN(""));
}

/* false: nothing is there. */
static bool read_one(struct carrier *c)
{
    uint8_t route[ROUTE_MAX];
    zmq_msg_t m;
    int len = zmq_recv(c->server.s, route, sizeof route, ZMQ_DONTWAIT), more = 0;
    size_t size = sizeof more;
    if (len < 0)
        return false;
    if (zmq_getsockopt(c->server.s, ZMQ_RCVMORE, &more, &size) != 0 || !more)
        return true;
    zmq_msg_init(&m);
    if (zmq_msg_recv(&m, c->server.s, ZMQ_DONTWAIT) < 0) {
        zmq_msg_close(&m);
        return true;
    }
    bool whole = !zmq_msg_more(&m);
    for (more = !whole; more;) { /* nobody sends parts: refused as malformed */
        zmq_msg_t part;
        zmq_msg_init(&part);
        more = zmq_msg_recv(&part, c->server.s, ZMQ_DONTWAIT) >= 0 && zmq_msg_more(&part);
        zmq_msg_close(&part);
    }
    take_message(c, route, (size_t)len < sizeof route ? (size_t)len : sizeof route, &m, whole);
    zmq_msg_close(&m);
    return true;
}

static void pump_server(void *arg)
{
    struct carrier *c = arg;
    pump_ends(c); /* first: a descriptor may be another connection's by now */
    for (int n = 0; n < WAITING_MESSAGES && c->server.s != NULL; n++)
        if (!carrier_may_read(c) || !read_one(c))
            return;
    zsock_used(&c->server);
}

static void read_more(void *arg)
{
    struct carrier *c = arg;
    c->paused = false;
    c->first = (c->first + 1) % (c->ndials + 1);
    for (size_t i = 0; i <= c->ndials; i++) {
        size_t who = (c->first + i) % (c->ndials + 1);
        if (who == c->ndials)
            pump_server(c);
        else
            dial_read(&c->dials[who]);
    }
}

static void try_bind(void *arg)
{
    struct carrier *c = arg;
    bool left = false;
    for (size_t i = 0; i < c->nbinds; i++) {
        if (c->binds[i][0] == '\0')
            continue;
        if (zmq_bind(c->server.s, c->binds[i]) == 0) {
            log_info("router.listening", "address=%s", c->binds[i]);
            c->binds[i][0] = '\0';
            continue;
        }
        left = true;
        if (!c->bind_logged)
            log_warn("router.listen", "address=%s text='cannot listen: %s; trying again'", c->binds[i],
                     zmq_strerror(zmq_errno()));
    }
    c->bind_logged = left;
    if (left)
        timer_set(c->bind_timer, BIND_AGAIN_MS);
    zsock_used(&c->server);
}

static enum err open_server(struct carrier *c, const struct conf_strs *listen, struct errctx *ec)
{
    int one = 1;
    c->binds = calloc(listen->count + 1, sizeof *c->binds);
    c->bind_timer = timer_new(c->loop, try_bind, c);
    c->more = timer_new(c->loop, read_more, c);
    c->refusals = timer_new(c->loop, tell_refusals, c);
    c->server.s = carrier_socket(c, ZMQ_ROUTER);
    if (c->binds == NULL || c->bind_timer == NULL || c->more == NULL || c->refusals == NULL ||
        c->server.s == NULL || zmq_setsockopt(c->server.s, ZMQ_CURVE_SERVER, &one, sizeof one) != 0 ||
        zmq_setsockopt(c->server.s, ZMQ_ROUTER_MANDATORY, &one, sizeof one) != 0 ||
        zmq_setsockopt(c->server.s, ZMQ_ZAP_DOMAIN, "routers", 7) != 0 ||
        zsock_watch(&c->server, c->loop, pump_server, c) != ERR_OK || open_monitor(c) != ERR_OK)
        return err_set(ec, ERR_IO, "no socket for other routers: %s", zmq_strerror(zmq_errno()));
    for (size_t i = 0; i < listen->count; i++) {
        struct span s = span_cstr(listen->items[i]);
        if (span_has_prefix(s, SPAN("tls://")))
            return err_set(ec, ERR_CONFIG,
                           "router.listen: '%s': routers encrypt with CURVE; leave out tls://",
                           listen->items[i]);
        (void)snprintf(c->binds[c->nbinds++], sizeof c->binds[0], "tcp://" SPAN_FMT, SPAN_ARG(s));
    }
    return ERR_OK;
}

/* --- Life --------------------------------------------------------------------------------------------- */

static enum err copy_neighbours(struct carrier *c, const struct conf_root *root, struct errctx *ec)
{
    size_t n = root->routing_group.neighbours.count;
    c->neighbours = calloc(n + 1, sizeof *c->neighbours);
    if (c->neighbours == NULL)
        return err_set(ec, ERR_NOMEM, "out of memory");
    for (size_t i = 0; i < n; i++) {
        const struct conf_neighbour *from = &root->routing_group.neighbours.items[i];
        struct neighbour *to = &c->neighbours[c->nneighbours++];
        (void)snprintf(to->group, sizeof to->group, "%s", from->group);
        to->keys = calloc(from->keys.count + 1, sizeof *to->keys);
        if (to->keys == NULL)
            return err_set(ec, ERR_NOMEM, "out of memory");
        for (size_t k = 0; k < from->keys.count; k++)
            if (key_text_parse(span_cstr(from->keys.items[k]), to->keys[to->nkeys]))
                to->nkeys++;
        if (to->nkeys == 0)
            return err_set(ec, ERR_CONFIG, "neighbour '%s' has no key", to->group);
    }
    return ERR_OK;
}

enum err carrier_new(const struct carrier_conf *conf, struct carrier **ret, struct errctx *ec)
{
    struct carrier *c = calloc(1, sizeof *c);
    if (c == NULL)
        return err_set(ec, ERR_NOMEM, "out of memory");
    c->loop = conf->loop;
    c->dns = conf->dns;
    c->metrics = conf->metrics;
    c->ops = *conf->ops;
    c->arg = conf->arg;
    c->key = *conf->key;
    c->hello_ms = conf->root->router.hello_ms;
    enum err e = copy_neighbours(c, conf->root, ec);
    if (e == ERR_OK)
        e = dials_new(c, conf->root, ec);
    c->zmq = e == ERR_OK ? zmq_ctx_new() : NULL;
    if (e == ERR_OK &&
        (c->zmq == NULL || zmq_ctx_set(c->zmq, ZMQ_MAX_SOCKETS, (int)(2 * c->ndials + 64)) != 0 ||
         open_zap(c) != ERR_OK))
        e = err_set(ec, ERR_IO, "ZeroMQ cannot be started: %s", zmq_strerror(zmq_errno()));
    if (e == ERR_OK)
        e = open_server(c, &conf->root->router.listen, ec);
    if (e != ERR_OK) {
        carrier_free(c);
        return e;
    }
    try_bind(c);
    dials_start(c);
    *ret = c;
    return ERR_OK;
}

void carrier_free(struct carrier *c)
{
    if (c == NULL)
        return;
    c->no_callbacks = true;
    dials_free(c);
    if (c->server.s != NULL) /* before its reader goes: carrier_dial.c, drop() */
        (void)zmq_socket_monitor(c->server.s, NULL, 0);
    zsock_close(&c->server);
    zsock_close(&c->monitor);
    zsock_close(&c->zap);
    timer_free(c->bind_timer);
    timer_free(c->more);
    tell_refusals(c);
    timer_free(c->refusals);
    if (c->zmq != NULL)
        (void)zmq_ctx_term(c->zmq);
    for (size_t i = 0; i < c->nneighbours; i++)
        free(c->neighbours[i].keys);
    free(c->neighbours);
    free(c->binds);
    free(c->owners);
    key_file_wipe(&c->key);
    free(c);
}

void carrier_describe(const struct carrier *c, uint32_t number, char out[160])
{
    const struct neighbour *n = &c->neighbours[number];
    const struct dial *last = NULL;
    for (size_t i = 0; i < c->ndials; i++)
        if (c->dials[i].neighbour == number && (last == NULL || c->dials[i].state == DIAL_OPEN))
            last = &c->dials[i];
    if (last != NULL && last->state == DIAL_OPEN)
        (void)snprintf(out, 160, "to %s:%u", last->host, (unsigned)last->port);
    else if (n->route_len > 0)
        (void)snprintf(out, 160, "it connected to us");
    else if (last != NULL)
        (void)snprintf(out, 160, "%s %s:%u%s%s", dial_state_name(last->state), last->host,
                       (unsigned)last->port, last->why[0] != '\0' ? ": " : "", last->why);
    else
        (void)snprintf(out, 160, "waiting for it to connect");
}
