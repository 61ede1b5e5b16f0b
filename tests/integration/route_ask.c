/* Where a node or a worker would send mail, by a configuration and a published table:
 *   route_ask CONFIGURATION TABLE DOMAIN...
 * A line for each domain reads "hop CONNECTOR COST TARGET...", "local", "wait" or "none". */
#include "common/config/config.h"
#include "linkstate/route.h"

#include <stdio.h>
#include <stdlib.h>

enum { TABLE_MAX = 48 << 20 };

static enum err read_file(const char *path, struct buf *out)
{
    char piece[65536];
    size_t n;
    enum err e = ERR_OK;
    FILE *f = fopen(path, "rb");
    if (f == NULL)
        return ERR_IO;
    while (e == ERR_OK && (n = fread(piece, 1, sizeof piece, f)) > 0)
        e = buf_add(out, span_of(piece, n));
    if (ferror(f) != 0)
        e = ERR_IO;
    (void)fclose(f);
    return e;
}

static void say(const struct route *r)
{
    static const char *const words[] = {[ROUTE_LOCAL] = "local",
                                        [ROUTE_NEXT_HOP] = "hop",
                                        [ROUTE_UNREACHABLE] = "wait",
                                        [ROUTE_NONE] = "none"};
    (void)printf("%s", words[r->kind]);
    if (r->kind == ROUTE_NEXT_HOP) {
        (void)printf(" %s %u", r->connector->name, (unsigned)r->cost);
        for (size_t i = 0; i < r->ntargets; i++)
            (void)printf(" %s", r->targets[i]);
    }
    (void)puts("");
}

int main(int argc, char **argv)
{
    char *const no_environment[] = {NULL};
    struct config *conf = NULL;
    struct route_table *table = NULL;
    struct errctx ec = {""};
    struct buf bytes, problems;
    buf_init(&bytes, TABLE_MAX);
    buf_init(&problems, 65536);
    if (argc < 4)
        return 2;
    enum err e = config_load(argv[1], no_environment, &conf, &problems, &ec);
    if (e == ERR_OK)
        e = read_file(argv[2], &bytes);
    if (e == ERR_OK)
        e = route_table_published(conf, buf_span(&bytes), &table, &ec);
    if (e != ERR_OK) {
        (void)fprintf(stderr, "%s: %s %s\n", err_text(e), ec.msg, buf_cstr(&problems));
        return 1;
    }
    for (int i = 3; i < argc; i++) {
        struct route route;
        route_lookup(table, span_cstr(argv[i]), 0, &route);
        say(&route);
    }
    route_table_unref(table);
    config_unref(conf);
    buf_done(&bytes);
    buf_done(&problems);
    return 0;
}
