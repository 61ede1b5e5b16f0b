/* tests/bench/ls_table.c — a published table as large as wanted, with true signatures, to standard output.
 *
 *   ls_table ORGANIZATION_KEYFILE GROUPS CONNECTORS
 *
 * Groups g00000, g00001 ... with keys of their own, certified by the organization; a tree reaches everybody,
 * then random connectors. Same arguments, same topology. */
#include "common/rng.h"
#include "linkstate/snapshot.h"
#include "router/keys.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_MAX_ = 16, COST_MAX = 10 };

struct edge {
    uint32_t from, to;
    uint8_t cost;
};

static _Noreturn void stop(const char *what, const char *why)
{
    (void)fprintf(stderr, "%s: %s\n", what, why);
    exit(1);
}

static int by_source(const void *a, const void *b)
{
    const struct edge *x = a, *y = b;
    if (x->from != y->from)
        return x->from < y->from ? -1 : 1;
    return (x->to > y->to) - (x->to < y->to);
}

static struct edge *make_edges(uint32_t groups, uint32_t connectors)
{
    struct rng rng;
    struct edge *e = calloc(connectors, sizeof *e);
    if (e == NULL)
        stop("edges", "out of memory");
    rng_seed(&rng, 1);
    for (uint32_t i = 0; i < connectors; i++) {
        uint32_t to = i + 1 < groups ? i + 1 : (uint32_t)rng_below(&rng, groups);
        uint32_t from = (uint32_t)rng_below(&rng, i + 1 < groups ? to : groups);
        e[i] = (struct edge){from, to, (uint8_t)(1 + rng_below(&rng, COST_MAX))};
    }
    qsort(e, connectors, sizeof *e, by_source);
    return e;
}

static void body_of(uint32_t group, const struct edge *e, size_t n, struct buf *out)
{
    struct record_connector *list = calloc(n + 1, sizeof *list);
    struct record_host *hosts = calloc(n + 1, sizeof *hosts);
    char(*text)[4][32] = calloc(n + 1, sizeof *text);
    char domain[32];
    if (list == NULL || hosts == NULL || text == NULL)
        stop("record", "out of memory");
    int len = snprintf(domain, sizeof domain, "g%05u.example", group);
    struct record_space own = {span_of(domain, (size_t)len), 1};
    list[0] = (struct record_connector){.name = SPAN(RECORD_LOCAL_CONNECTOR),
                                        .type = RECORD_SMTP,
                                        .cost = 1,
                                        .up = true,
                                        .weight = 1,
                                        .priorities = RECORD_PRIORITY_ALL,
                                        .spaces = &own,
                                        .nspaces = 1};
    for (size_t i = 0; i < n; i++) {
        (void)snprintf(text[i][0], sizeof text[i][0], "c%05zu", i);
        (void)snprintf(text[i][1], sizeof text[i][1], "g%05u", e[i].to);
        (void)snprintf(text[i][2], sizeof text[i][2], "mx.g%05u.example:25", e[i].to);
        hosts[i] = (struct record_host){span_cstr(text[i][2]), true};
        list[i + 1] = (struct record_connector){.name = span_cstr(text[i][0]),
                                                .type = RECORD_ROUTING_GROUP,
                                                .to_group = span_cstr(text[i][1]),
                                                .cost = e[i].cost,
                                                .up = true,
                                                .weight = 1,
                                                .priorities = RECORD_PRIORITY_ALL,
                                                .targets = &hosts[i],
                                                .ntargets = 1};
    }
    struct record r = {.master = SPAN("r1"), .connectors = list, .nconnectors = n + 1};
    if (record_emit(&r, out) != ERR_OK)
        stop("record", "cannot be emitted");
    free(list);
    free(hosts);
    free(text);
}

static void put(struct lsdb *db, const struct key_file *org, uint32_t group, struct span body)
{
    char name[NAME_MAX_];
    struct key_file key;
    struct errctx ec = {""};
    struct ls_crypto crypto;
    struct buf header;
    struct lsa lsa;
    const struct lsdb_slot *slot;
    struct ls_version v = {1, 0, 0, 1};
    (void)snprintf(name, sizeof name, "g%05u", group);
    buf_init(&header, LSA_HEADER_MAX);
    if (key_make(KEY_GROUP, span_cstr(org->organization), span_cstr(name), &key, &ec) != ERR_OK ||
        key_certify(&key, org, 1, &ec) != ERR_OK)
        stop("key", ec.msg);
    key_crypto(&key, &crypto);
    struct span cert = span_of((const char *)key.cert_bytes, key.cert_len);
    if (lsa_seal(span_cstr(name), &v, body, cert, &crypto, &header) != ERR_OK ||
        lsa_parse(buf_span(&header), &lsa) != ERR_OK ||
        lsdb_put(db, &lsa, body, 1, &crypto, &slot, &ec) != ERR_OK)
        stop("record", ec.msg);
    key_file_wipe(&key);
    buf_done(&header);
}

int main(int argc, char **argv)
{
    uint64_t groups = 0, connectors = 0;
    struct key_file org;
    struct errctx ec = {""};
    struct lsdb db;
    struct buf body, out;
    if (argc != 4 || !span_to_u64(span_cstr(argv[2]), LSDB_GROUPS_MAX, &groups) ||
        !span_to_u64(span_cstr(argv[3]), LSDB_CONNECTORS_MAX, &connectors) || groups < 2 ||
        connectors + 1 < groups)
        stop("usage", "ls_table ORGANIZATION_KEYFILE GROUPS CONNECTORS");
    if (key_file_read(argv[1], &org, &ec) != ERR_OK)
        stop(argv[1], ec.msg);
    struct edge *edges = make_edges((uint32_t)groups, (uint32_t)connectors);
    size_t at = 0;
    lsdb_init(&db);
    buf_init(&body, RECORD_MAX);
    buf_init(&out, LS_SNAPSHOT_MAX);
    for (uint32_t g = 0; g < groups; g++) {
        size_t first = at;
        while (at < connectors && edges[at].from == g)
            at++;
        buf_clear(&body);
        body_of(g, &edges[first], at - first, &body);
        put(&db, &org, g, buf_span(&body));
    }
    if (ls_snapshot_emit(&db, 1, &out, &ec) != ERR_OK)
        stop("table", ec.msg);
    bool ok = fwrite(out.ptr, 1, out.len, stdout) == out.len && fflush(stdout) == 0;
    free(edges);
    lsdb_done(&db);
    buf_done(&body);
    buf_done(&out);
    key_file_wipe(&org);
    return ok ? 0 : 1;
}
