#include "queue/member.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { WORD_MAX = 128 };

static const struct {
    struct span key;
    size_t offset;
    bool number;
} words[] = {
#define WORD(member, number)                                                                                 \
    {                                                                                                        \
        SPAN_INIT(#member), offsetof(struct member_facts, member), number                                    \
    }
    WORD(role, false),    WORD(host, false), WORD(version, false),   WORD(pid, true),
    WORD(since_ms, true), WORD(total, true), WORD(per_minute, true), WORD(open, true),
#undef WORD
};

static enum err add_word(struct buf *out, struct span s)
{
    enum err e = ERR_OK;
    for (size_t i = 0; e == ERR_OK && i < s.len && i < WORD_MAX; i++) {
        char c = s.ptr[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                     (c != '\0' && strchr("._:-", c) != NULL);
        e = buf_addc(out, plain ? c : '_');
    }
    return e;
}

enum err member_write(const struct member_facts *f, struct buf *out)
{
    enum err e = ERR_OK;
    for (size_t i = 0; e == ERR_OK && i < ARRAY_LEN(words); i++) {
        const char *at = (const char *)f + words[i].offset;
        struct span text;
        uint64_t n;
        e = buf_addf(out, "%s" SPAN_FMT "=", i > 0 ? " " : "", SPAN_ARG(words[i].key));
        if (e == ERR_OK && words[i].number) {
            memcpy(&n, at, sizeof n);
            e = buf_addf(out, "%" PRIu64, n);
        } else if (e == ERR_OK) {
            memcpy(&text, at, sizeof text);
            e = add_word(out, text);
        }
    }
    return e;
}

static void read_word(struct member_facts *f, struct span key, struct span value)
{
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        char *at = (char *)f + words[i].offset;
        uint64_t n;
        if (!span_eq(key, words[i].key))
            continue;
        if (!words[i].number)
            memcpy(at, &value, sizeof value);
        else if (span_to_u64(value, UINT64_MAX, &n))
            memcpy(at, &n, sizeof n);
    }
}

void member_read(struct span text, struct member_facts *ret)
{
    struct span word, key, value;
    *ret = (struct member_facts){.role = SPAN("")};
    while (text.len > 0) {
        (void)span_cut(text, ' ', &word, &text);
        if (span_cut(word, '=', &key, &value))
            read_word(ret, key, value);
    }
}

void member_name(const char *given, char out[MEMBER_NAME_MAX + 1])
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    char host[256] = "";
    if (given[0] == '\0' && gethostname(host, sizeof host - 1) == 0)
        given = host;
    (void)snprintf(out, MEMBER_NAME_MAX + 1, "%s", given[0] != '\0' ? given : "member");
    for (char *c = out; *c != '\0'; c++)
        if (strchr(letters, *c) == NULL)
            *c = '-';
}
