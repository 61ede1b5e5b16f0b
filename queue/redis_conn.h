/* queue/redis_conn.h — one connection to one Redis server: logs in, writes requests in order, matches
 * replies to them, notices silence. What to do about errors is its owner's business (queue/redis_link.h).
 *
 *   CONNECTING ──opened──> LOGIN (AUTH, SELECT, CLIENT SETNAME) ──ok──> READY ──> CLOSED
 *                             └──────────── refused, silent, closed ───────────────^
 *
 * Lifetimes: requests that are pending when the connection closes are its owner's again:
 * redis_conn_take(). Callbacks may free the connection. Every wait has an end: a reply that is late by
 * command_timeout closes the connection (once the loop itself was not the one who slept), and an idle
 * connection is asked with PING. */
#pragma once
#include "common/io/conn.h"
#include "queue/redis_request.h"

struct redis_conn;

enum {
    REDIS_REPLY_MAX = 64 << 20, /* bytes of one reply, and of what arrives before it is complete */
    REDIS_PING_MS = 5000,       /* idle that long: is the server still there? */
};
struct redis_login {
    const char *username; /* "" : the default user */
    const char *password; /* "" : none */
    const char *name;     /* CLIENT SETNAME: letters, digits and -_.: */
    unsigned db;
};
struct redis_conn_ops {
    void (*ready)(void *arg); /* logged in: requests go out from here on; earlier ones follow now */
    /* Every command of the head request is answered: rq is the owner's again. refused: an error reply
     * among them (rq->error). reply: the last one, borrowed. */
    void (*answered)(void *arg, struct redis_request *rq, const struct redisReply *reply);
    void (*push)(void *arg, const struct redisReply *message); /* pub/sub; NULL: none expected */
    void (*closed)(void *arg, enum err e, const char *why);
};

enum err redis_conn_open(struct loop *l, const struct conn_target *target, const struct redis_login *login,
                         ms_t command_timeout_ms, const struct redis_conn_ops *ops, void *arg,
                         struct redis_conn **ret, struct errctx *ec) MUST_USE;
void redis_conn_free(struct redis_conn *rc); /* frees pending requests without a word; NULL is a no-op */

/* Takes rq. Never calls back before returning. A request sent while connecting waits for the login. */
void redis_conn_send(struct redis_conn *rc, struct redis_request *rq);
/* What was not answered, in order of sending; rq->sent says whether it was written. */
struct redis_request *redis_conn_take(struct redis_conn *rc);
size_t redis_conn_pending(const struct redis_conn *rc);   /* requests not yet answered */
size_t redis_conn_unwritten(const struct redis_conn *rc); /* bytes that the kernel has not taken */
