/* router/health.h — which connectors of this group are UP: what workers and probes found out, damped; and the
 * words of administrators, which count for more. A function of events and time: no I/O, no clock.
 *
 * A connector fails only while none of its targets answers; one that finds its targets by DNS never fails.
 * States and penalties: linkstate/damping.h. Between two glitch retries, or two probes, further failures tell
 * nothing new; a success always does.
 *
 * Names are copied; spans in what is handed out are good until the next call that changes something. */
#pragma once
#include "common/config/config.h"
#include "linkstate/damping.h"
#include "queue/routing.h"

struct health;
struct health *health_new(void); /* NULL: out of memory */
void health_free(struct health *h);
/* The connectors of a configuration; those that were there keep what is known of them. ERR_NOMEM. */
enum err health_configure(struct health *h, const struct conf_root *root, ms_t now_ms) MUST_USE;
/* What the master before left; unknown connectors and targets are ignored. now_ms is monotonic, wall_ms the
 * clock that k's times are of. */
void health_restore(struct health *h, const struct routing_link *k, ms_t now_ms, ms_t wall_ms);

/* Each returns whether an announced state changed: originate. */
bool health_report(struct health *h, const struct routing_report *r, ms_t now_ms, ms_t wall_ms);
/* All overrides in force; what is not among them is taken back. */
bool health_words_begin(struct health *h);
void health_word(struct health *h, struct span connector, enum routing_override word, ms_t until_ms,
                 struct span by, struct span reason);
bool health_words_end(struct health *h, ms_t wall_ms);
bool health_tick(struct health *h, ms_t now_ms, ms_t wall_ms);

bool health_up(const struct health *h, struct span connector); /* unknown ones are */
size_t health_down(const struct health *h);                    /* announced DOWN */
/* States of targets travel in the group's record too. They alone cause no more than one record in a glitch
 * interval, and none while their connector has no room: due() says when, told() that a record was made.
 * Unknown targets are UP. */
bool health_target_up(const struct health *h, struct span connector, struct span target);
bool health_targets_due(struct health *h, ms_t now_ms);
void health_targets_told(struct health *h, ms_t now_ms);

/* A connector whose targets should be tried now, each once until health_probed(): it is not UP, or it is and
 * one of them is not, which nobody may use any more. NULL: none. */
struct health_connector;
struct health_connector *health_probe_due(struct health *h, ms_t now_ms);
struct health_connector *health_find(struct health *h, struct span connector); /* NULL: unknown, or by DNS */
struct span health_name(const struct health_connector *c);
uint16_t health_port(const struct health_connector *c);
size_t health_targets(const struct health_connector *c);
struct span health_target(const struct health_connector *c, size_t i);
void health_probing(struct health *h, struct health_connector *c);
void health_probed(struct health *h, struct span connector); /* all its targets were tried */
ms_t health_next(const struct health *h); /* when to tick or to probe; UINT64_MAX: no need */

/* A connector whose state changed since it was last handed out; false: none. targets: room for 64. */
bool health_changed(struct health *h, ms_t now_ms, ms_t wall_ms, struct routing_link *ret,
                    struct routing_target *targets);
/* Why it went UP or DOWN, for people: what was found out, or whose word it is and his reason. */
const char *health_why(const struct health *h, struct span connector);
