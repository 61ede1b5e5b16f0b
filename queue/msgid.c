#include "queue/msgid.h"

#include <stdio.h>
#include <string.h>

enum { TIME_BITS = 42, COUNTER_BITS = 24, CHAR_BITS = 5 };
static const char alphabet[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

void msgid_source_init(struct msgid_source *s, uint64_t seed)
{
    *s = (struct msgid_source){
        .front = (uint16_t)(seed >> 32 & ((1u << MSGID_FRONT_BITS) - 1)),
        .counter = (uint32_t)(seed & ((1u << COUNTER_BITS) - 1)),
    };
}

/* Writes the low n * 5 bits of v. */
static void write_base32(char *out, size_t n, uint64_t v)
{
    while (n-- > 0) {
        out[n] = alphabet[v & ((1u << CHAR_BITS) - 1)];
        v >>= CHAR_BITS;
    }
}

void msgid_next(struct msgid_source *s, ms_t wall_ms, struct msgid *ret)
{
    /* A clock that steps back must not make an old id again: the source keeps its own time. */
    if (wall_ms > s->last_ms)
        s->last_ms = wall_ms;
    s->counter = (s->counter + 1) & ((1u << COUNTER_BITS) - 1);
    if (s->counter == 0)
        s->last_ms++;
    uint64_t ms = s->last_ms & ((UINT64_C(1) << TIME_BITS) - 1);
    uint64_t low = (uint64_t)s->front << COUNTER_BITS | s->counter; /* 38 bits below the time's 42 */
    write_base32(ret->id, 8, ms >> 2);
    write_base32(ret->id + 8, 8, ms << 38 | low);
    ret->id[MSGID_LEN] = '\0';
    ret->partition = 0;
}

static int digit_of(char c)
{
    if (c >= 'a' && c <= 'z')
        c = (char)(c - 'a' + 'A');
    if (c == 'O')
        c = '0';
    if (c == 'I' || c == 'L')
        c = '1';
    const char *at = c == '\0' ? NULL : strchr(alphabet, c);
    return at == NULL ? -1 : (int)(at - alphabet);
}

void msgid_text(const struct msgid *m, char out[MSGID_TEXT_MAX])
{
    (void)snprintf(out, MSGID_TEXT_MAX, "%02u-%s", (unsigned)m->partition, m->id);
}

enum err msgid_parse(struct span s, struct msgid *ret)
{
    struct span number, id;
    uint64_t partition;
    if (!span_cut(s, '-', &number, &id) || number.len > 4 || id.len != MSGID_LEN ||
        !span_to_u64(number, PARTITIONS_MAX - 1, &partition))
        return ERR_PARSE;
    struct msgid m = {.partition = (uint16_t)partition};
    for (size_t i = 0; i < MSGID_LEN; i++) {
        int digit = digit_of(id.ptr[i]);
        if (digit < 0)
            return ERR_PARSE;
        m.id[i] = alphabet[digit];
    }
    *ret = m;
    return ERR_OK;
}

bool msgid_valid(struct span id)
{
    if (id.len != MSGID_LEN)
        return false;
    for (size_t i = 0; i < MSGID_LEN; i++) {
        if (id.ptr[i] == '\0' || strchr(alphabet, id.ptr[i]) == NULL)
            return false;
    }
    return true;
}

ms_t msgid_time_ms(const struct msgid *m)
{
    uint64_t v = 0;
    for (size_t i = 0; i < 9; i++) {
        int digit = digit_of(m->id[i]);
        v = v << CHAR_BITS | (uint64_t)(digit < 0 ? 0 : digit);
    }
    return v >> 3; /* 45 bits read, the time is the first 42 */
}
