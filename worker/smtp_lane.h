/* worker/smtp_lane.h — what smtp_lane.c and smtp_end.c share; no other part of the worker
 * includes it.
 *
 * smtp_lane.c moves bytes while a session lasts; smtp_end.c decides what follows its end: the same target
 * again, the next one, or the end of the lane. */
#pragma once
#include "worker/client.h"
#include "worker/core.h"

struct smtp_lane {
    struct lane lane;
    struct conn *conn;
    struct client *client; /* NULL: connecting, or over */
    struct targets_plan plan;
    struct targets_list list;
    struct targets_search search;
    bool no_tls;       /* the handshake with this target failed; the policy is opportunistic */
    bool closed;       /* the connection is closed */
    bool moving;       /* this target is no good for the parcel in hand */
    bool quitting;     /* the link wants the lane to end */
    bool greeted;      /* the router was told that this target answers */
    bool over;         /* the session ended in order: only the end of the connection is awaited */
    uint64_t progress; /* of the client, when the time-out was set */
    uint64_t stage;    /* of the client, and since when */
    ms_t stage_ms;
    unsigned session_sent, again;
    enum failure lost; /* of a connection that was never opened */
    char lost_why[128];
    struct body_piece *piece;
    uint8_t index[JOB_RCPTS_MAX]; /* recipient of the transaction -> of the job */
    size_t nindex;
    struct recipient *rcpts; /* of the transaction */
    struct buf visited;      /* of the transaction: XVISITED */
    struct verdict folded;   /* of the targets tried */
    bool have_folded;
    char why[LINK_ERROR_MAX];
    struct deferred work;
};

/* smtp_lane.c */
const struct target *smtp_target(const struct smtp_lane *s);
void smtp_target_text(const struct smtp_lane *s, char *out, size_t size);
void smtp_connect_target(struct smtp_lane *s);
void smtp_drop_session(struct smtp_lane *s); /* connection and client are gone */

/* tell.c: to the router, of a target that a connector names; text: why not. */
void smtp_tell(const struct smtp_lane *s, bool ok, const char *text);

/* smtp_end.c */
void smtp_not_connected(struct smtp_lane *s); /* the connection could not be made */
void smtp_ended(struct smtp_lane *s);         /* the client has said CLOSED */
void smtp_give_back(struct smtp_lane *s);     /* the parcel: nothing more is tried now */
void smtp_end_lane(struct smtp_lane *s);
