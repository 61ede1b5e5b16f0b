/* worker/report.h — makes a delivery status notification (queue/dsn.h) and commits it with the finish.
 *
 *   head ──written──> original ──streamed from the queue, chunk by chunk──> tail ──> parcel_finish()
 *     any failure: the upload is given up and the job finishes without the report: who was to be
 *     returned stays in the job and is tried again, and who has it stays to be reported, see
 *     settle_without_report(); when no report can ever be made (too large, a sender without a domain) it is
 *     badmail, see settle_unreportable().
 *     A report that is in the queue already, and that the next server does not take for its octets of 8
 *     bits, is written anew by report_convert(): through queue/dsn_seven.h, it is its own original.
 *     lost behind parcel_finish(): the store records settle_apart() instead */
#pragma once
#include "common/err.h"

enum { REPORT_RETRY_MS = 60000 }; /* until one that could not be made, or was lost, is made again */

struct parcel;
struct report;
/* Makes the report of p->settlement and finishes with it; calls parcel_finish(). Errors: nothing was begun.
 */
enum err report_start(struct parcel *p) MUST_USE;
/* Makes one of 7 bits of the report that p is, when settle_may_convert(), and finishes with it. Errors: as
 * above.
 */
enum err report_convert(struct parcel *p) MUST_USE;
/* Changes p->settlement accordingly. */
void report_failed(struct parcel *p, enum err e);
