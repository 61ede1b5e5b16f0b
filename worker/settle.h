/* worker/settle.h — from what became of every recipient to what becomes of the job. Pure.
 *
 * An attempt is one claimed job on its way: one struct outcome for every recipient of the job.
 *
 *   OPEN ──recorded: NEXT_TARGET, AGAIN──> OPEN        (goes on in this attempt)
 *   OPEN ──recorded: DONE, BOUNCE, RETRY_LATER──> SETTLED
 *   OPEN ──attempt_exhausted()──> SETTLED              (no target left: verdict_last())
 *
 * settle() looks at an attempt of which nothing more is to be expected, and decides:
 *   S1  a recipient that was delivered or returned is never tried again;
 *   S2  whoever is still waiting stays, unless the message is too old: then it is returned (4.4.7);
 *   S3  a report is made for whoever asked for one (RFC 3461 4.1), once, in the same step as S1;
 *   S4  no report about a message with a null sender: when nobody waits any more, it is badmail;
 *       until then its returned recipients stay in the job, marked by a code of 500 or more (nobody else
 *       in a job has one). But a report that only its octets of 8 bits keep from going on is made one of 7
 *       bits, with the same recipients (queue/dsn_seven.h);
 *   S5  an attempt that was stopped on this side before anything happened leaves no trace;
 *   S6  who was delivered to, and whose report of that is lost, stays in the job until it is made or the
 *       message is too old, marked by RECIPIENT_DELIVERED. */
#pragma once
#include "common/config/config.h"
#include "common/rng.h"
#include "queue/dsn.h"
#include "queue/store.h"
#include "worker/verdict.h"

enum { OUTCOME_TEXT_MAX = 400, OUTCOME_REMOTE_MAX = 256 };

struct outcome {
    bool open;    /* still to be sent in this attempt */
    bool tried;   /* verdict and what follows mean something */
    bool carried; /* returned in an earlier attempt (S4), or delivered (S6) */
    struct verdict verdict;
    enum step step;
    enum failure failure; /* NONE: there was a reply */
    uint16_t code;
    bool dsn_passed;
    char text[OUTCOME_TEXT_MAX];     /* "550 5.1.1 no such user", or what went wrong; untrusted */
    char remote[OUTCOME_REMOTE_MAX]; /* name of the server, "" : none was asked */
};

struct attempt {
    const struct claim *claim;
    struct outcome *outcomes; /* claim->job.nrcpts of them */
    size_t nopen;
};
enum err attempt_init(struct attempt *a, const struct claim *claim) MUST_USE; /* ERR_NOMEM */
void attempt_done(struct attempt *a);                                         /* idempotent */

/* What was said about a recipient, in the words of worker/client.h. */
struct attempt_result {
    struct verdict verdict;
    enum step step;
    enum failure failure;
    uint16_t code;
    struct span text;   /* reply without its code, or detail for people */
    struct span remote; /* name of the server */
    bool dsn_passed;
};
void attempt_record(struct attempt *a, size_t rcpt, const struct attempt_result *r);
/* The same for every open recipient. */
void attempt_record_all(struct attempt *a, const struct attempt_result *r);
/* No target is left for the open ones. */
void attempt_exhausted(struct attempt *a);
/* There are targets that were not asked, but not in this attempt: what others said of us does not count as
 * all of them saying it, so that nobody is returned for it. */
void attempt_stopped(struct attempt *a);
/* Whether nothing was said to or by any server about this job. */
bool attempt_untouched(const struct attempt *a);

struct settle_input {
    const struct attempt *attempt;
    const struct conf_retry *retry;
    bool local;             /* a local domain: limits of its own, DELIVERED instead of RELAYED */
    ms_t link_delay_ms;     /* until the link is tried again */
    struct span link_error; /* why the link does not work; "" : it does */
    ms_t now_ms;            /* Redis's wall clock */
};
struct settlement { /* borrows from the attempt, its claim and the input */
    bool untouched; /* S5: release the claim; all else is unset but delay_ms */
    enum finish_verb verb;
    struct job job; /* RETRY and BADMAIL: who is left; job.rcpts is the settlement's */
    ms_t delay_ms;
    bool problem;
    uint32_t delivered, bounced, deferred; /* recipients, of this attempt */
    const char *event;                     /* "delivered", "bounced", "deferred", "badmail" */
    struct span reason;
    bool converted;            /* settle_converted() */
    struct dsn_recipient *dsn; /* the report to be made, if ndsn > 0 */
    size_t ndsn;
};
/* ERR_NOMEM. */
enum err settle(const struct settle_input *in, struct rng *rng, struct settlement *ret) MUST_USE;
/* A report cannot be made for now: whoever it was about stays in the job instead, and is tried again. */
void settle_without_report(const struct settle_input *in, struct settlement *s, ms_t delay_ms);
/* The same as a settlement of its own, for a report that may yet be lost. ERR_NOMEM. */
enum err settle_apart(const struct settle_input *in, const struct settlement *s, ms_t delay_ms,
                      struct settlement *ret) MUST_USE;
/* Whether a report is badmail for its octets of 8 bits alone: the next server takes none, all recipients can
 * be named to it, and nobody was returned for another reason. */
bool settle_may_convert(const struct settle_input *in, const struct settlement *s);
/* It is there again, of 7 bits: this one is over, and s->job says for whom the other one is. */
void settle_converted(const struct settle_input *in, struct settlement *s);
/* No report can ever be made: like a null sender's (S4), so whoever was returned is badmail, once nobody
 * waits. */
void settle_unreportable(const struct settle_input *in, struct settlement *s);
/* Its body is gone or broken: nobody can deliver it, and a report could not show it. Whoever was not
 * delivered to is badmail, the returned among them. */
void settle_damaged(const struct settle_input *in, struct settlement *s);
void settlement_done(struct settlement *s); /* idempotent */
