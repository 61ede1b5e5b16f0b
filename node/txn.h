/* node/txn.h — one mail transaction: reverse-path, recipients, what was seen of the body.
 *
 * Made by MAIL, destroyed by RSET, EHLO, refusal or commit; memory grows with the recipients alone.
 * The same mailbox twice is one recipient. Pure. */
#pragma once
#include "common/address.h"
#include "common/buf.h"
#include "node/dot.h"
#include "node/header.h"
#include "node/params.h"
#include "node/replies.h"
#include "queue/store.h"

struct txn_rcpt { /* texts lie in txn.text: the address, then orcpt */
    uint32_t at, hash;
    uint32_t domain; /* index of txn.domains */
    uint16_t address_len, local_len, orcpt_len;
    uint8_t notify;
};
struct txn_domain {
    uint32_t at, hash; /* normalized, in txn.text */
    uint32_t count;    /* recipients */
    uint16_t len;
    bool local; /* delivered here: other expiry */
};
struct txn_index { /* open addressing over txn.rcpts or txn.domains; slots hold index + 1 */
    uint32_t *slots;
    uint32_t cap; /* power of two, or 0 */
};
struct txn {
    struct buf text; /* sender, envid, visited, recipients, domains */
    struct mail_params params;
    uint32_t sender_len, envid_len, visited_len;
    struct txn_rcpt *rcpts;
    struct txn_domain *domains;
    uint32_t nrcpts, rcpts_cap, ndomains, domains_cap;
    struct txn_index by_rcpt, by_domain;

    /* the body */
    struct dot dot;
    struct header_scan header;
    struct buf lead;       /* to be written before more of the input: Received, an inserted CRLF */
    size_t lead_at;        /* how much of it was taken */
    size_t plain;          /* octets at the head of the input that were scanned already */
    uint64_t size;         /* octets taken, without our own Received */
    uint64_t seen;         /* octets read, refused ones included */
    ms_t body_started_ms;  /* later by the time for which the queue took nothing */
    bool open;             /* the body is being uploaded */
    enum reply_id refusal; /* the answer at the end of the body, or REPLY_NONE */
};

struct txn *txn_new(const struct address *sender, const struct mail_params *params); /* NULL: no memory */
void txn_free(struct txn *t);                                                        /* NULL is a no-op */
struct span txn_sender(const struct txn *t);
struct span txn_envid(const struct txn *t);
struct span txn_visited(const struct txn *t);
size_t txn_memory(const struct txn *t); /* octets held: what a memory limit counts */

/* domain: normalized. ERR_EXISTS: already there, nothing changed. ERR_NOMEM, ERR_TOOBIG. */
enum err txn_add(struct txn *t, const struct address *rcpt, struct span domain, bool local,
                 const struct rcpt_params *params) MUST_USE;
struct span txn_first_recipient(const struct txn *t); /* "local@domain"; "" when there is none */

/* The recipients as jobs: one per destination domain and JOB_RCPTS_MAX recipients. */
struct txn_jobs {
    struct commit_job *commits;
    struct job *jobs;
    struct recipient *rcpts;
    size_t njobs;
};
struct txn_expiry {
    ms_t local_ms, remote_ms;
};
enum err txn_jobs_init(struct txn_jobs *j, const struct txn *t, uint32_t klass, ms_t wall_ms,
                       const struct txn_expiry *expiry) MUST_USE; /* ERR_NOMEM; borrows from t */
void txn_jobs_done(struct txn_jobs *j);
