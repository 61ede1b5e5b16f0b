/* node/session_impl.h — what the files of the session share; nobody else includes it.
 *
 *   session.c           life, time, the one setter of the state, replies
 *   session_feed.c      lines, the walk through the verb table
 *   session_commands.c  verbs that carry no mail
 *   session_mail.c      MAIL, RCPT, DATA, BDAT
 *   session_body.c      octets of a body, end of data, commit */
#pragma once
#include "node/extensions.h"
#include "node/session.h"
#include "node/txn.h"

enum {
    SESSION_OUTPUT_MAX = 32768,
    SESSION_OUTPUT_HIGH = 1024, /* replies waiting to be sent: no more commands are read */
    SESSION_HELO_MAX = 255,
};
struct session {
    const struct session_conf *conf;
    const struct session_ops *ops;
    void *arg;
    struct txn *txn; /* V1 */
    struct buf out;
    char *helo, *name, *tls_version, *tls_cipher; /* NULL: none */
    struct ip_addr client;
    ms_t now_ms, wall_ms;
    ms_t started_ms, since_ms, input_ms; /* the session; the state or last command; the last octet */
    ms_t blocked_ms;                     /* since when `blocked` */
    uint64_t mail_bytes;                 /* of all bodies */
    uint64_t chunk_left;                 /* ST_CHUNK: octets to come */
    uint32_t errors, messages;
    unsigned offered;            /* EXT_ of the virtual server; STARTTLS gone once TLS is active */
    enum session_state state;    /* written by session_enter() alone */
    enum session_state back;     /* ST_CHUNK without V1: where it came from */
    enum reply_id chunk_refusal; /* ST_CHUNK: the answer behind its octets, or REPLY_NONE */
    enum reply_id violation;     /* V3: the answer to input before the output has left, or REPLY_NONE */
    bool has_client, client_relays, esmtp, tls;
    bool timed, chunk_last, blocked, skip_line, draining;
    bool tls_reply_due; /* ST_TLS: the turn is not over, 220 was not said */
};

void session_enter(struct session *s, enum session_state next);
void session_reply(struct session *s, enum reply_id id, struct span arg);
void session_refuse(struct session *s, enum reply_id id, struct span arg); /* a reply that counts as error */
void session_close(struct session *s, enum reply_id id);                   /* the last reply */
void session_end_txn(struct session *s); /* frees it; the caller sets the state */
enum reply_id session_store_reply(enum err e);
uint64_t session_max_size(const struct session *s);
uint64_t session_max_rcpts(const struct session *s);

/* session_mail.c, session_body.c */
void session_open_body(struct session *s, bool stuffed); /* the refusal, if any, is in the txn */
void session_refuse_body(struct session *s, enum reply_id why);
size_t session_body(struct session *s, struct span in); /* ST_DATA, ST_CHUNK */
void session_chunk_over(struct session *s);

void session_ehlo(struct session *s, struct span args);
void session_helo(struct session *s, struct span args);
void session_mail(struct session *s, struct span args);
void session_rcpt(struct session *s, struct span args);
void session_data(struct session *s, struct span args);
void session_bdat(struct session *s, struct span args);
void session_bdat_refuse(struct session *s, struct span args, enum reply_id why);
void session_rset(struct session *s, struct span args);
void session_noop(struct session *s, struct span args);
void session_quit(struct session *s, struct span args);
void session_help(struct session *s, struct span args);
void session_vrfy(struct session *s, struct span args);
void session_expn(struct session *s, struct span args);
void session_etrn(struct session *s, struct span args);
void session_starttls(struct session *s, struct span args);
