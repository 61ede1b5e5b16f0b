/* cli/supervisor.h — `bridgehead run`: everything on one machine, as children of one process.
 *
 * A child's life (rows in supervisor.c):
 *
 *      start         answers / runs           exits
 *   WAITING ---> STARTING -------> RUNNING ----------> BACKOFF ---> STARTING
 *                                     |   stopping
 *                                     +----------> STOPPING ---> STOPPED
 *
 * Redis first; when it answers, the daemons. A child that dies is started again after a pause that
 * doubles from 100 ms to 10 s. One that has never begun its work and says six times in a row that it cannot
 * (its address is taken, a file cannot be read, Redis refuses its settings) ends all of them, in order, with
 * its reason and its exit code: what starts us again knows better when, and who should hear of it. SIGTERM:
 * node and router, then worker, then Redis, each when the one before has gone. SIGHUP goes to the daemons.
 * Should this process be killed outright, the kernel sends SIGTERM to every child, so that nothing runs on
 * unattended; a lock in data_dir that Redis holds as well keeps a second Redis from the same files until the
 * first has gone. */
#pragma once
#include "common/config/config.h"

/* Runs until the end; the exit code: CLI_OK, CLI_CONFIG, CLI_START. config_path is handed to the children. */
int supervisor_run(struct config *conf, const char *config_path);
