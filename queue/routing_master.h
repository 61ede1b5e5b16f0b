/* queue/routing_master.h — the lease of the master router and what only its holder may write. For router/.
 *
 *   STANDBY ──routing_take(): nobody has it, or its time is over──> MASTER ──routing_renew()──> MASTER
 *      ^                                                              │ ERR_STALE from any call, the end of
 * the └──────────────────────────────────────────────────────────────┘ lease by the own clock,
 * routing_leave()
 *
 * Every write carries the token of the lease; Redis refuses one that is not the newest (ERR_STALE), so a
 * master that slept through the end of its lease can write nothing, whatever it believes. Conventions as in
 * queue/routing.h. */
#pragma once
#include "queue/routing.h"

enum { ROUTING_SEAT_MAX = 96 };
struct routing_seat {
    char router[ROUTING_SEAT_MAX + 1]; /* unique: name and instance */
    uint64_t token;                    /* 0: standby */
};

struct routing_lease {
    uint64_t token;     /* 0: somebody else is master */
    struct span holder; /* who */
    ms_t left_ms;       /* of its lease */
    ms_t since_ms;
};
typedef void routing_lease_fn(void *arg, enum err e, const struct routing_lease *lease, const char *why);
/* Also says that this router lives. info: what others are shown (at most 256 bytes). */
enum err routing_take(struct routing *r, const struct routing_seat *seat, ms_t lease_ms, struct span info,
                      routing_lease_fn *done, void *arg) MUST_USE;
enum err routing_renew(struct routing *r, const struct routing_seat *seat, ms_t lease_ms, struct span info,
                       routing_done_fn *done, void *arg) MUST_USE;
enum err routing_leave(struct routing *r, const struct routing_seat *seat, routing_done_fn *done,
                       void *arg) MUST_USE;

/* What the master before left: its record's version ("" : none, else "major.minor.user.sequence"), the digest
 * of the configuration it was made from, and the states of connectors. */
struct routing_left {
    struct span version, config;
};
typedef bool routing_left_link_fn(void *arg, const struct routing_link *k);
typedef void routing_left_fn(void *arg, enum err e, const struct routing_left *left, const char *why);
enum err routing_load(struct routing *r, const struct routing_seat *seat, routing_left_link_fn *each,
                      routing_left_fn *done, void *arg) MUST_USE;
/* Refused when it would go back. */
enum err routing_save(struct routing *r, const struct routing_seat *seat, struct span version,
                      struct span config, routing_done_fn *done, void *arg) MUST_USE;

/* Takes bytes' memory. notify: a new version; else only what is kept for the next master is renewed. */
typedef void routing_published_fn(void *arg, enum err e, uint64_t version, const char *why);
enum err routing_publish(struct routing *r, const struct routing_seat *seat, bool notify, struct buf *bytes,
                         routing_published_fn *done, void *arg) MUST_USE;
/* state "" : the connector is gone. done may be NULL here and below. */
enum err routing_link_put(struct routing *r, const struct routing_seat *seat, const struct routing_link *k,
                          routing_done_fn *done, void *arg) MUST_USE;
enum err routing_adjacencies_put(struct routing *r, const struct routing_seat *seat,
                                 const struct routing_adjacency *list, size_t n, routing_done_fn *done,
                                 void *arg) MUST_USE;
enum { ROUTING_EVENTS_AT_ONCE = 100 };
enum err routing_events_put(struct routing *r, const struct routing_seat *seat,
                            const struct routing_event *list, size_t n, routing_done_fn *done,
                            void *arg) MUST_USE;

/* Reports of workers since the last call, the last of each target; each is handed out once. */
typedef bool routing_report_fn(void *arg, const struct routing_report *report);
enum err routing_reports_take(struct routing *r, const struct routing_seat *seat, routing_report_fn *each,
                              routing_done_fn *done, void *arg) MUST_USE;
/* Overrides in force. */
struct routing_word {
    struct span connector, by, reason;
    enum routing_override word;
    ms_t until_ms, now_ms;
};
typedef bool routing_word_fn(void *arg, const struct routing_word *w);
enum err routing_words(struct routing *r, routing_word_fn *each, routing_done_fn *done, void *arg) MUST_USE;
/* Questions since the last call; each is handed out once, to be answered within a minute. */
struct routing_question {
    struct span id;
    enum routing_verb verb;
    struct span argument;
};
typedef bool routing_question_fn(void *arg, const struct routing_question *q);
enum err routing_questions_take(struct routing *r, const struct routing_seat *seat, routing_question_fn *each,
                                routing_done_fn *done, void *arg) MUST_USE;
enum err routing_answer_put(struct routing *r, const struct routing_seat *seat, struct span id, enum err code,
                            struct span answer, routing_done_fn *done, void *arg) MUST_USE;

/* Hints, each may be lost: 'm' another master, 'r' reports, 'w' overrides, 'q' questions, 't' a table. */
typedef void routing_say_fn(void *arg, char what);
void routing_on_say(struct routing *r, routing_say_fn *fn, void *arg);
enum err routing_metrics(const struct routing *r, struct buf *out) MUST_USE; /* Prometheus text */
