/* cli/cmd_fsck.c — queue fsck: what is wrong in the store, what was mended, and what is to be done. */
#include "cli/commands.h"
#include "cli/remote.h"
#include "cli/table.h"
#include "common/plural.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

/* A mend may need another: a job that is queued again counts in its queue. */
enum {
    PASSES_MAX = 3,
    INVARIANTS = 13,
    TEXT_MAX = 2000,
    LISTED_MAX = 1000 /* in JSON; the rest is counted */
};

/* The invariants of queue/lua/README.md, in the words of somebody who has to act on them. */
static const char *const meanings[INVARIANTS + 1] = {
    [1] =
        "without its body a message is lost, and badmail when tried: `queue delete ID`, `badmail delete ID`",
    [2] = "every delivery is in exactly one place: a queue, a worker's hands, badmail or quarantine",
    [3] = "a message knows how many deliveries it has left",
    [4] = "what is in hand is in the hands of a worker that is known, once",
    [5] = "workers look at every queue that has mail",
    [6] = "deliveries in hand are counted for each queue",
    [7] = "what has ended is not here any more",
    [8] = "deliveries that were put back are counted for each queue by age",
    [9] = "the counters of messages and deliveries, which `status` shows, fit what is there",
    [10] = "a queue is skipped for good only when it is frozen",
    [11] = "connection slots in use are what their holders say",
    [12] = "keys hold what Bridgehead wrote; what else was found is moved out of its way, to a key alien:...",
    [13] = "messages that are frozen one by one are listed as such",
};

struct fsck {
    struct remote r;
    struct admin_check_result result;
    bool json;
    /* Of JSON, each with its bound: what was mended, in any pass; what is left, found anew by each. */
    json_t *mended, *left;
    bool seen[INVARIANTS + 1];
};

/* --- A finding: "07: I2 D24AJ9TG8017T1J6.1 is nowhere (mended)" ------------------------------------------
 */

/* The names of messages as every other command takes them: with their partition. */
static struct span full_name(struct span where, struct span name, char out[64])
{
    struct msgid id;
    struct span head, job;
    (void)span_cut(name, '.', &head, &job);
    int n = snprintf(out, 64, SPAN_FMT "-" SPAN_FMT, SPAN_ARG(span_first(where, 8)),
                     SPAN_ARG(span_first(head, MSGID_LEN + 1)));
    if (msgid_parse(span_of(out, (size_t)n), &id) != ERR_OK)
        return name;
    if (job.len > 0)
        n += snprintf(out + n, 64 - (size_t)n, " (delivery " SPAN_FMT ")", SPAN_ARG(span_first(job, 8)));
    return span_of(out, (size_t)n);
}

static void add_json(struct fsck *f, struct span where, uint64_t number, struct span text, bool mended)
{
    json_t *list = mended ? f->mended : f->left;
    struct buf line;
    if (json_array_size(list) >= LISTED_MAX)
        return;
    buf_init(&line, 4 * TEXT_MAX + 1);
    if (buf_add_escaped(&line, text) == ERR_OK)
        (void)json_array_append_new(list, json_pack("{s:s%, s:I, s:s%, s:b}", "partition", where.ptr,
                                                    where.len, "invariant", (json_int_t)number, "text",
                                                    line.ptr, line.len, "mended", mended));
    buf_done(&line);
}

static void print_line(struct span where, struct span invariant, struct span text)
{
    struct buf line;
    buf_init(&line, 4 * TEXT_MAX + 1);
    if (buf_add_escaped(&line, text) == ERR_OK)
        (void)printf(SPAN_FMT ": " SPAN_FMT " %s\n", SPAN_ARG(where), SPAN_ARG(invariant), buf_cstr(&line));
    buf_done(&line);
}

static void on_finding(void *arg, struct span finding, bool mended)
{
    struct fsck *f = ((struct remote *)arg)->user;
    struct span where, invariant, name, what;
    char id[64], text[TEXT_MAX];
    uint64_t number = 0;
    (void)span_cut(finding, ' ', &where, &finding);
    where = span_first(where, where.len > 0 ? where.len - 1 : 0);
    (void)span_cut(finding, ' ', &invariant, &finding);
    (void)span_cut(finding, ' ', &name, &what);
    if (span_to_u64(span_from(invariant, invariant.len > 0), INVARIANTS, &number))
        f->seen[number] = true;
    name = full_name(where, name, id);
    int n = snprintf(text, sizeof text, SPAN_FMT " " SPAN_FMT "%s", SPAN_ARG(span_first(name, 700)),
                     SPAN_ARG(span_first(what, 700)), mended ? " (mended)" : "");
    struct span said = span_of(text, (size_t)n);
    if (f->json)
        add_json(f, where, number, said, mended);
    else
        print_line(where, invariant, said);
}

/* --- Passes ------------------------------------------------------------------------------------------------
 */

static void on_checked(void *arg, enum err e, const struct admin_check_result *res, const char *why)
{
    struct remote *r = arg;
    struct fsck *f = r->user;
    if (e == ERR_OK)
        f->result = *res;
    remote_ended(r, e, why);
}

/* What the last pass leaves is left; what was mended before is counted with it. */
static int all_passes(struct fsck *f, bool repair)
{
    uint64_t mended = 0;
    for (int pass = 0; pass < PASSES_MAX; pass++) {
        if (f->json)
            (void)json_array_clear(f->left);
        else if (pass > 0)
            (void)printf("again, because what was mended may touch other things:\n");
        if (remote_asked(&f->r, admin_check(f->r.admin, repair, on_finding, on_checked, &f->r)))
            (void)remote_wait(&f->r);
        if (f->r.code != CLI_OK || f->result.mended == 0)
            break;
        mended += f->result.mended;
        f->result.findings -= f->result.mended;
        f->result.mended = 0;
    }
    f->result.findings += mended;
    f->result.mended = mended;
    return f->r.code;
}

/* --- The end -----------------------------------------------------------------------------------------------
 */

static void print_advice(const struct fsck *f, bool repair)
{
    const struct admin_check_result *res = &f->result;
    (void)printf("%" PRIu64 " key%s checked, %" PRIu64 " finding%s, %" PRIu64 " mended\n", res->keys,
                 plural(res->keys), res->findings, plural(res->findings), res->mended);
    if (res->moved > 0)
        (void)printf("mail moved in %" PRIu64 " partition%s meanwhile: their counters (I9, and I3 of "
                     "messages of more than 1,000 deliveries) were not judged\n",
                     res->moved, plural(res->moved));
    if (res->findings == 0)
        return;
    (void)printf("\nwhat ought to hold:\n");
    for (size_t i = 1; i <= INVARIANTS; i++)
        if (f->seen[i])
            (void)printf("  I%-2zu  %s\n", i, meanings[i]);
    if (res->findings > res->mended)
        (void)printf("%s\n", repair
                                 ? "\nWhat is not marked as mended is beyond repair here; the rest goes on "
                                   "without it."
                                 : "\nNothing was changed: `bridgehead queue fsck --repair` mends what can "
                                   "be mended, while mail flows.");
}

static int print_end(struct fsck *f, bool repair)
{
    const struct admin_check_result *res = &f->result;
    if (!f->json) {
        print_advice(f, repair);
        return CLI_OK;
    }
    for (size_t i = 0; i < json_array_size(f->mended) && json_array_size(f->left) < LISTED_MAX; i++)
        (void)json_array_append(f->left, json_array_get(f->mended, i));
    json_int_t left_out = (json_int_t)res->findings - (json_int_t)json_array_size(f->left);
    json_t *j =
        json_pack("{s:I, s:I, s:I, s:I, s:I, s:O}", "keys", (json_int_t)res->keys, "found",
                  (json_int_t)res->findings, "mended", (json_int_t)res->mended, "partitions_not_judged",
                  (json_int_t)res->moved, "findings_left_out", left_out, "findings", f->left);
    return json_print(j);
}

int cmd_queue_fsck(struct cli *cli)
{
    struct fsck f = {.json = cli->output == CLI_JSON};
    bool repair = cli_opt(cli, "repair") != NULL;
    f.mended = f.json ? json_array() : NULL;
    f.left = f.json ? json_array() : NULL;
    int code = remote_open(&f.r, cli);
    f.r.user = &f;
    if (code == CLI_OK)
        code = all_passes(&f, repair);
    if (code == CLI_OK)
        code = print_end(&f, repair);
    remote_close(&f.r);
    json_decref(f.mended);
    json_decref(f.left);
    return code == CLI_OK && f.result.findings > f.result.mended ? CLI_FAILED : code;
}
