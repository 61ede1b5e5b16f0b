/* cli/sim_files.h — the topology of a simulation from files: configurations, one of each group, each in a
 * file of its own or several in one, separated by lines of `---`. Lifetimes: the simulation borrows the
 * configurations: free it before sim_files_done(). */
#pragma once
#include "cli/cli.h"
#include "linkstate/sim.h"

struct sim_files {
    struct config **confs;
    size_t n, cap;
};
/* The whole file; on failure tells why. An exit code. */
int sim_read_file(struct cli *cli, const char *path, struct buf *out);
/* Builds what the files say; on failure tells what is wrong on standard error. An exit code. */
int sim_files_load(struct cli *cli, const char *const *paths, size_t n, struct sim *s, struct sim_files *ret);
void sim_files_done(struct sim_files *f); /* idempotent */
