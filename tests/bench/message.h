/* tests/bench/message.h — the messages that smtp_load sends and smtp_sink recognises.
 *
 * Each carries "X-Load-Id: <id> <sum>": a number of its own, and the sum of its body (all octets after the
 * empty line, line ends included) in hexadecimal. Up to 64 KiB the body is text of a made-up language
 * that compresses like real mail of that size (about 2:1 with zstd -1); above, it is base64 of noise. Some
 * lines begin with a dot. */
#pragma once
#include <stddef.h>
#include <stdint.h>

#define MESSAGE_ID_FIELD "X-Load-Id:"
enum { MESSAGE_HEADER_MAX = 512 };

/* A sum of octets that does not depend on the pieces in which they come; starts as {0}. It finds damage, not
 * malice. */
struct body_sum {
    uint64_t value, octets;
    uint64_t pending; /* octets that do not fill a word yet */
    unsigned pending_len;
};
void body_sum_add(struct body_sum *sum, const char *data, size_t len);
uint64_t body_sum_get(const struct body_sum *sum);

struct body {
    char *plain; /* as it is stored, and as BDAT carries it */
    size_t plain_len;
    char *stuffed; /* with dots doubled (RFC 5321 4.5.2), as DATA carries it */
    size_t stuffed_len;
    uint64_t sum;
};

/* A body that makes the whole message about `size` octets long. Never freed: the tools live as long as they.
 */
struct body body_make(size_t size, uint64_t *random);
/* The header of message `id`, the empty line included; returns its length (< MESSAGE_HEADER_MAX). */
size_t message_header(char out[MESSAGE_HEADER_MAX], uint64_t id, uint64_t run, const struct body *body);
