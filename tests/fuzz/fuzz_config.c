/* links: config */
/* Any bytes as bridgehead.yaml: refused with a reason, or accepted, shown, and accepted again as the same. A
 * first line "#X=y" is the environment variable BRIDGEHEAD_X. */
#include "common/config/config.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool ok)
{
    if (!ok)
        abort();
}

static void check_shown(const struct config *c)
{
    struct buf once, twice;
    struct config *back;
    buf_init(&once, 64 << 20);
    buf_init(&twice, 64 << 20);
    if (config_show(c, &once) == ERR_OK) {
        require(config_parse(buf_span(&once), "shown", "/base", NULL, &back, NULL, NULL) == ERR_OK);
        require(config_show(back, &twice) == ERR_OK && span_eq(buf_span(&once), buf_span(&twice)));
        require(config_restart_needed(c, back, &twice) == ERR_OK && twice.len == once.len);
        config_unref(back);
    }
    buf_done(&once);
    buf_done(&twice);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span in = span_of((const char *)data, size), first, rest;
    char *env[2] = {NULL, NULL};
    struct config *c;
    struct buf problems;
    struct errctx ec = {{0}};
    if (span_has_prefix(in, SPAN("#")) && span_cut(in, '\n', &first, &rest) && first.len < 300) {
        char variable[320];
        (void)snprintf(variable, sizeof variable, "BRIDGEHEAD_" SPAN_FMT, SPAN_ARG(span_from(first, 1)));
        env[0] = span_dup(span_cstr(variable));
    }
    buf_init(&problems, 1 << 20);
    enum err e = config_parse(in, "fuzz", "/base", env, &c, &problems, &ec);
    if (e == ERR_OK) {
        require(problems.len == 0);
        check_shown(c);
        config_unref(c);
    } else {
        require(ec.msg[0] != '\0' && (e == ERR_NOMEM || problems.len > 0));
        for (size_t i = 0; i < problems.len; i++)
            require(problems.ptr[i] == '\n' || (unsigned char)problems.ptr[i] >= 0x20);
    }
    buf_done(&problems);
    free(env[0]);
    return 0;
}
