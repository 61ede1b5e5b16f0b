#include "common/io/conn_internal.h"

/* A record carries at most 16 KiB; more than this much ciphertext ahead of the kernel is no use. */
enum { RECORD_MAX = 16384, WIRE_AHEAD = 8 * RECORD_MAX };

/* Runs the handshake as far as it goes; what follows it in cipher is for the caller. */
static bool shake(struct conn *c, struct span *cipher)
{
    struct errctx ec;
    struct evbuffer *wire = conn_wire(c);
    if (wire == NULL) {
        conn_close(c, ERR_NOMEM, "no memory for the TLS handshake");
        return false;
    }
    enum err e = tls_handshake(c->tls, cipher, wire, &ec);
    conn_flush(c); /* also the alert that tells the peer why */
    if (c->state == CONN_CLOSED)
        return false;
    if (e != ERR_OK && e != ERR_AGAIN)
        conn_close(c, e, ec.msg);
    if (e != ERR_OK)
        return false;
    conn_established(c);
    return c->state == CONN_OPEN; /* else what follows in cipher is of no interest */
}

void conn_tls_kick(struct conn *c)
{
    struct span nothing = SPAN("");
    (void)shake(c, &nothing);
}

void conn_tls_input(struct conn *c, struct span cipher)
{
    struct errctx ec;
    char *scratch = c->loop->scratch;
    if (c->state == CONN_SHAKING && !shake(c, &cipher))
        return;
    size_t kept = conn_kept_to_scratch(c), n = 0;
    struct evbuffer *wire = conn_wire(c);
    if (wire == NULL) {
        conn_close(c, ERR_NOMEM, "no memory for TLS");
        return;
    }
    enum err e = tls_decrypt(c->tls, cipher, scratch + kept, LOOP_SCRATCH - kept, &n, wire, &ec);
    if (evbuffer_get_length(wire) > 0)
        deferred_arm_flush(c->loop, &c->flush); /* key update, alert */
    else
        conn_trim(&c->wire);
    if (n > 0)
        conn_offer(c, span_of(scratch, kept + n));
    if (c->state != CONN_OPEN)
        return;
    c->tls_ended = e == ERR_OK;
    if (c->tls_ended && !c->paused)
        conn_end_of_input(c);
    else if (e != ERR_OK && e != ERR_AGAIN)
        conn_fail(c, e, ec.msg);
}

enum err conn_tls_output(struct conn *c, struct errctx *ec)
{
    struct evbuffer *wire = conn_wire(c);
    if (wire == NULL)
        return err_set(ec, ERR_NOMEM, "no memory for TLS");
    for (;;) {
        size_t left = evbuffer_get_length(c->plain);
        if (left == 0 || evbuffer_get_length(wire) >= WIRE_AHEAD)
            return ERR_OK;
        /* Full records: many small replies become one, large borrowed blocks are not copied twice. */
        ev_ssize_t want = left < RECORD_MAX ? (ev_ssize_t)left : RECORD_MAX;
        const unsigned char *p = evbuffer_pullup(c->plain, want);
        if (p == NULL)
            return err_set(ec, ERR_NOMEM, "no memory for TLS");
        enum err e = tls_encrypt(c->tls, span_of((const char *)p, (size_t)want), wire, ec);
        if (e != ERR_OK)
            return e;
        (void)evbuffer_drain(c->plain, (size_t)want);
    }
}

enum err conn_start_tls(struct conn *c, struct tls_context *tls, bool server, const char *name)
{
    if (c->state != CONN_OPEN || c->tls != NULL)
        return ERR_STATE;
    c->tls = tls_open(tls, server, name);
    if (c->tls == NULL)
        return ERR_NOMEM;
    conn_drop_input(c);
    conn_set_state(c, CONN_SHAKING);
    conn_watch(c);
    deferred_arm(c->loop, &c->later);
    return ERR_OK;
}

void conn_tls_info(const struct conn *c, struct conn_tls_info *ret)
{
    *ret = (struct conn_tls_info){.active = false};
    if (c->tls != NULL && c->state != CONN_SHAKING)
        tls_describe(c->tls, ret);
}
