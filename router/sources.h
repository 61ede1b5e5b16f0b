/* router/sources.h — source bridgeheads: which of the workers that connectors list are alive, as found out
 * and as announced. A function of events and time: no I/O, no clock.
 *
 * A connector that lists some, none of which is alive, is announced DOWN, and UP again with the first of
 * them: that raises the minor version, other changes the user version. Changes cause no more announcements an
 * hour than a connector may (router.damping.floods_per_hour). Until it is known who is alive everybody is. */
#pragma once
#include "common/config/config.h"
#include "linkstate/damping.h"
#include "linkstate/engine.h"

struct sources;
struct sources *sources_new(void); /* NULL: out of memory */
void sources_free(struct sources *s);
/* The names that connectors list; those that were there keep what is known of them. ERR_NOMEM. root is
 * borrowed until the next call. */
enum err sources_configure(struct sources *s, const struct conf_root *root) MUST_USE;
bool sources_any(const struct sources *s); /* somebody is listed: ask who is alive */
/* Who is alive: all at once. */
void sources_begin(struct sources *s);
void sources_alive(struct sources *s, struct span name);
void sources_end(struct sources *s);
/* Whether something should be announced now, and at which level. */
bool sources_due(const struct sources *s, ms_t now_ms, enum ls_level *ret);
void sources_told(struct sources *s, ms_t now_ms);            /* a record was made */
bool sources_up(const struct sources *s, struct span source); /* unknown ones are */
/* Lists some, and none of them is alive. */
bool sources_gone(const struct sources *s, const struct conf_connector *c);
