/* worker/filepool.h — a few threads for file calls that block, so that the loop never does.
 *
 * Jobs run in the order of submission, as many at a time as there are threads; done() is called in the
 * loop's thread, once for every job, and never before filepool_submit() returns. A job and what it points at
 * belong to the thread from submission until done(). The owners of jobs bound their number. */
#pragma once
#include "common/io/loop.h"

struct filepool;
struct file_job { /* embedded in what the owner hands over; only run and done are the owner's to set */
    void (*run)(struct file_job *job);  /* in a thread of the pool */
    void (*done)(struct file_job *job); /* in the loop */
    struct file_job *next;
};
/* NULL: out of memory or threads. */
struct filepool *filepool_new(struct loop *l, unsigned threads);
/* Waits so long for the jobs that are running; those that wait, and all done() calls, are dropped: the owners
 * free their jobs afterwards. Returns how many threads hang in a job: what they have in hand stays theirs for
 * as long as the process lives, and so does the pool. NULL is a no-op. */
unsigned filepool_free(struct filepool *p, ms_t patience_ms);
void filepool_submit(struct filepool *p, struct file_job *job);
