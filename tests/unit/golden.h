/* tests/unit/golden.h — what a function prints, compared with a file that people review.
 *
 * GOLDEN_UPDATE=1 in the environment rewrites the files; the difference is then read like code. */
#pragma once
#include "common/buf.h"
#include "tests/unit/check.h"

#include <stdlib.h>

enum { GOLDEN_MAX = 1 << 20 };

static inline void golden_path(const char *name, char *path, size_t size)
{
    snprintf(path, size, "%s/%s", TESTS_DIR, name);
}

static inline void golden_read(const char *name, struct buf *out)
{
    char path[1024];
    golden_path(name, path, sizeof(path));
    FILE *f = fopen(path, "rb");
    if (f == NULL)
        return;
    char block[4096];
    size_t n;
    while ((n = fread(block, 1, sizeof(block), f)) > 0)
        assert_int_equal(buf_add(out, span_of(block, n)), ERR_OK);
    fclose(f);
}

/* name is relative to tests/. Fails at the first line that differs. */
static inline void check_golden(const char *name, struct span got)
{
    struct buf want;
    buf_init(&want, GOLDEN_MAX);
    if (getenv("GOLDEN_UPDATE") != NULL) {
        char path[1024];
        golden_path(name, path, sizeof(path));
        FILE *f = fopen(path, "wb");
        assert_non_null(f);
        assert_int_equal(fwrite(got.ptr, 1, got.len, f), got.len);
        assert_int_equal(fclose(f), 0);
    }
    golden_read(name, &want);
    struct span g = got, w = buf_span(&want), gl, wl;
    for (unsigned line = 1; g.len > 0 || w.len > 0; line++) {
        (void)span_cut(g, '\n', &gl, &g);
        (void)span_cut(w, '\n', &wl, &w);
        if (!span_eq(gl, wl))
            fail_msg("tests/%s:%u\n  got  '" SPAN_FMT "'\n  want '" SPAN_FMT
                     "'\n(GOLDEN_UPDATE=1 accepts it)",
                     name, line, SPAN_ARG(gl), SPAN_ARG(wl));
    }
    assert_int_equal(got.len, want.len);
    buf_done(&want);
}
