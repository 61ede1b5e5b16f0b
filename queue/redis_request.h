/* queue/redis_request.h — one or more commands that are sent together, and who wants the answer.
 *
 * A request owns its bytes until it is answered, so that it can be sent again on another connection. A
 * body is borrowed by the kernel's queue while it is written (redis_request_unref()); nothing is copied.
 *
 *   BUILT ──send──> PENDING on a connection ──all replies──> done(): the owner frees it or sends it again
 *                      │ connection lost
 *                      └─> back to the link: sent again if REQUEST_RESEND, else done(ERR_UNKNOWN) */
#pragma once
#include "common/buf.h"
#include "common/clock.h"
#include "common/err.h"
#include "common/span.h"

struct redisReply;
struct redis_request;

/* Called once. With ERR_OK reply is the last command's, never an error reply. Else why says what happened,
 * for people; if an earlier command of the request was refused, that refusal counts. The request is freed
 * after the call, unless it was sent again in it. */
typedef void redis_done_fn(void *arg, struct redis_request *rq, enum err e, const struct redisReply *reply,
                           const char *why);

enum {
    REQUEST_BYTES_MAX = 4 << 20,
    REQUEST_RESEND = 1,  /* has the same effect however often it is executed */
    REQUEST_WAIT = 2,    /* waits for a connection (until give_up_ms) instead of failing with ERR_AGAIN */
    REQUEST_LENIENT = 4, /* a refusal is an answer like any other, also one that is fatal elsewhere */
};
struct redis_request {
    struct redis_request *next;
    redis_done_fn *done;
    void *arg;
    struct buf bytes; /* the commands, without the body */
    struct buf body;  /* goes in at bytes[body_at] */
    size_t body_at;
    unsigned commands, answered, flags, refs;
    unsigned tag, owner; /* its owner's */
    size_t retry_at; /* where in bytes the digit stands that says 1 when it may have been executed; 0: none */
    bool bad;        /* out of memory or too big while it was built */
    bool sent;       /* written to the connection that it is on */
    bool maybe_executed; /* a connection ended before it was answered */
    bool queued;         /* the link's: sent, or sent again in done() */
    enum err result;     /* the link's: what done() will be told */
    ms_t timeout_ms;     /* for the reply, beyond the connection's own; 0 */
    ms_t give_up_ms;     /* monotonic; UINT64_MAX: never */
    ms_t sent_ms;        /* when it was last sent */
    struct buf error;    /* first error reply, if any */
};

struct redis_request *redis_request_new(redis_done_fn *done, void *arg); /* NULL: out of memory */
void redis_request_unref(struct redis_request *rq);                      /* NULL is a no-op */

/* Building. Errors stick (rq->bad) and are reported when it is sent. */
void redis_command(struct redis_request *rq, size_t arguments); /* begins a command of so many arguments */
void redis_arg(struct redis_request *rq, struct span s);
void redis_arg_str(struct redis_request *rq, const char *s);
void redis_arg_u64(struct redis_request *rq, uint64_t v);
void redis_arg_retry(struct redis_request *rq); /* 0; redis_request_retry() makes it 1 */
void redis_request_retry(struct redis_request *rq);
/* Arguments that were encoded before, in the bytes of another request. */
void redis_args(struct redis_request *rq, const struct redis_request *encoded);
/* INFO, and CONFIG GET of the settings that queue/redis_check.h judges: lenient, for an ACL or a provider may
 * not allow it. */
void redis_command_info(struct redis_request *rq);
void redis_command_config(struct redis_request *rq);
/* "<a>:<b>" as one argument: keys. */
void redis_arg_pair(struct redis_request *rq, struct span a, struct span b);
/* Takes body's memory (it is empty afterwards); at most one a request. */
void redis_arg_body(struct redis_request *rq, struct buf *body);
