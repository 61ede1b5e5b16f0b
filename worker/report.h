/* worker/report.h — makes a delivery status notification (queue/dsn.h) and commits it with the finish.
 *
 *   head ──written──> original ──streamed from the queue, chunk by chunk──> tail ──> parcel_finish()
 *     any failure: the upload is given up and the job finishes without the report, see
 *     settle_without_report(): who was to be returned stays in the job and is tried again */
#pragma once
struct parcel;
struct report;
