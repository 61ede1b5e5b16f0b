/* cli/remote.h — one command's conversation with the shared queue: asks, waits, turns errors into exit codes.
 *
 *   struct remote r;
 *   int code = remote_open(&r, cli);
 *   if (code == CLI_OK && remote_asked(&r, admin_queues(r.admin, each, remote_done, &r)))
 *       code = remote_wait(&r);
 *   remote_close(&r);
 *
 * The first error is reported once, with what to do next. */
#pragma once
#include "cli/cli.h"
#include "common/io/loop.h"
#include "queue/admin.h"
#include "queue/routing.h"

struct route_table;

struct remote {
    struct cli *cli;
    struct loop *loop;
    struct admin *admin;     /* remote_open() */
    struct routing *routing; /* remote_open_routing() */
    int code;
    bool waiting;
    void *user; /* the command's own */
};
int remote_open(struct remote *r, struct cli *cli);
int remote_open_routing(struct remote *r, struct cli *cli); /* what routers say, instead of queues */
/* The routes as workers compute them: of the table that routers have published, or of the configuration alone
 * when there is none (*ret_version 0). After either of the above; remote_open() suffices. CLI_OK, or
 * reported. */
int remote_routes(struct remote *r, struct route_table **ret, uint64_t *ret_version);
int remote_need_admin(struct remote *r); /* after remote_open_routing(): queues and members, too */
void remote_close(struct remote *r);
/* False: the call failed at once; reported, r->code is set. */
bool remote_asked(struct remote *r, enum err e);
int remote_wait(struct remote *r); /* runs the loop until remote_ended() */
void remote_ended(struct remote *r, enum err e, const char *why);
void remote_done(void *arg, enum err e, const char *why); /* an admin_done_fn; arg: struct remote */
void remote_count(void *arg, enum err e, uint64_t n, const char *why); /* an admin_count_fn; n is not kept */

/* "example.com", or "example.com!1a" for a class other than 0: how a queue is written. */
enum err queue_name(struct span domain, uint32_t klass, struct buf *out) MUST_USE;
enum err queue_name_parse(struct span text, struct buf *ret_domain, uint32_t *ret_klass,
                          bool *ret_has_class) MUST_USE;
/* The options --sender --recipient --older-than --younger-than --id of a command, and a queue or a message id
 * as its only argument. ret_domain holds what f->domain borrows. CLI_OK, or CLI_USAGE when they say nothing
 * at all and
 * --all is missing (need_all), or are malformed. */
int remote_filter(struct cli *cli, bool need_all, struct buf *ret_domain, struct admin_filter *f);
/* Where a job is, for people: "queued", "frozen", "in hand". */
const char *remote_place(const struct admin_job *j);
bool remote_has_next(const struct admin_job *j); /* whether its time to be tried says anything */
struct span remote_sender(struct span sender);   /* "<>" when it is the null sender */
struct span remote_user(void);                   /* who gives the command; borrowed until the next call */
/* Whether the filter tells messages apart, rather than queues. */
bool remote_finds_messages(const struct admin_filter *f);
/* When nothing was found in what the command's argument names: CLI_OK for a queue that is there all the same
 * (frozen, or with all of its mail in hand); else reports CLI_NOTFOUND. */
int remote_queue_known(struct remote *r, const struct admin_filter *f);
extern const struct cli_optdesc find_opts[];                   /* also --all, --dry-run */
extern const struct cli_optdesc filter_opts[];                 /* and --reason */
extern const struct cli_optdesc freeze_opts[];                 /* and --messages */
enum err duration_parse(struct span text, ms_t *ret) MUST_USE; /* "90s" "10m" "2h" "3d" */
