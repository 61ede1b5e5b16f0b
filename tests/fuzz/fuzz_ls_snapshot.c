/* links: linkstate config */
/* A published table that parses is walked to its end and holds what was said of it. */
#include "linkstate/snapshot.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ls_snapshot s;
    struct ls_snapshot_entry entry;
    struct errctx ec;
    struct ls_snapshot_floor floor;
    uint32_t n = 0, floors = 0;
    uint64_t generation = 0;
    if (ls_snapshot_parse(span_of((const char *)data, size), &s, &ec) != ERR_OK)
        return 0;
    struct rd r = rd_open(s.barred);
    while (ls_snapshot_next_floor(&r, &floor)) {
        if (floor.lsa.group.len == 0 || (floor.body.len != 0 && floor.body.len != floor.lsa.body_len))
            abort();
        floors++;
    }
    if (r.bad || floors != s.floors || s.barred.len + s.bytes.len > size)
        abort();
    r = rd_open(s.bytes);
    while (ls_snapshot_next(&r, &entry)) {
        if (entry.body.len == 0 || entry.body.len > RECORD_MAX || entry.lsa.group.len == 0)
            abort();
        generation += (uint64_t)entry.lsa.version.major + entry.lsa.version.minor;
        n++;
    }
    if (r.bad || n != s.records || generation != s.generation)
        abort();
    return 0;
}
