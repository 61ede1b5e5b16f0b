/* node/snapshot.h — one configuration as the loops of a node use it: immutable and counted.
 *
 * A reload, a changed certificate or a changed route table makes a new snapshot; sessions keep theirs
 * until they are between two transactions. Threads: ref/unref from any thread. */
#pragma once
#include "common/io/tls.h"
#include "node/session.h"

struct snapshot_server {
    struct session_conf session;
    struct tls_context *tls; /* NULL: no certificate */
    struct config *older;    /* not NULL: it was removed; its sessions go on with what this had */
    char hostname[256];
};
struct snapshot {
    struct config *config;
    struct route_table *routes;
    struct snapshot_server *servers; /* each for good in its place */
    size_t nservers;
    bool reverse_dns; /* of any server */
    unsigned refs;    /* private */
    uint64_t files;   /* private: what the certificate files looked like */
};
enum { SNAPSHOT_SERVERS_MAX = 1024 }; /* places of a process: servers of different names, also removed ones */
/* Sessions, listeners and limits know a virtual server by its place, so places stay: a later configuration
 * sets each server by its name, what it adds gets a place behind the others, what it lacks keeps its own for
 * the sessions that are left.
 *
 * Takes a reference of config; published: link state, for its routes (linkstate/route.h). A certificate that
 * cannot be used: the one of `previous` goes on serving, ec says what is wrong and ret is set all the same
 * (ERR_TLS); without a previous one it is an error and ret is not set. ERR_CONFIG, ERR_NOMEM; ERR_TOOBIG: no
 * place is left; ERR_PARSE, ERR_TOOBIG: published. */
enum err snapshot_new(struct config *config, const struct snapshot *previous, struct span published,
                      struct snapshot **ret, struct errctx *ec) MUST_USE;
/* The same as `previous` with other link state: no file is looked at. ERR_NOMEM, ERR_PARSE, ERR_TOOBIG. */
enum err snapshot_reroute(const struct snapshot *previous, struct span published, struct snapshot **ret,
                          struct errctx *ec) MUST_USE;
struct snapshot *snapshot_ref(struct snapshot *s);
void snapshot_unref(struct snapshot *s);               /* NULL is a no-op */
bool snapshot_files_changed(const struct snapshot *s); /* a certificate or key is another file by now */
