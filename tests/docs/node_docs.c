/* Prints the generated pages of the node: node_docs replies|verbs. */
#include "node/replies.h"
#include "node/verbs.h"

#include <stdio.h>

static const struct {
    const char *name;
    enum err (*print)(struct buf *out);
} pages[] = {{"replies", replies_docs}, {"verbs", verbs_docs}};

int main(int argc, char **argv)
{
    struct buf out;
    buf_init(&out, 1 << 20);
    for (size_t i = 0; argc == 2 && i < ARRAY_LEN(pages); i++)
        if (span_eq(span_cstr(argv[1]), span_cstr(pages[i].name)) && pages[i].print(&out) == ERR_OK)
            (void)fwrite(out.ptr, 1, out.len, stdout);
    bool printed = out.len > 0;
    buf_done(&out);
    return printed ? 0 : 2;
}
