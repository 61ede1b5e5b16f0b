/* worker/resolve.h — asks the questions of a target plan (worker/targets.h), all hosts at a time. */
#pragma once
#include "worker/targets.h"

struct resolve;
/* plan is borrowed for the call. */
typedef void resolve_fn(void *arg, const struct targets_plan *plan);
/* spec and what it points at are borrowed until done(), which is called exactly once and never before
 * this returns, unless resolve_free() comes first. NULL: out of memory. dns NULL: every name fails for now.
 */
struct resolve *resolve_new(struct loop *l, struct dns *dns, const struct targets_spec *spec,
                            resolve_fn *done, void *arg);
void resolve_free(struct resolve *r); /* cancels; also to be called after, or in, done(); NULL is a no-op */
