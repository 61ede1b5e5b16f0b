#include "tests/bench/message.h"

#include <endian.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "tests/bench/net.h"

enum { WORDS = 1500, LINE = 72, BASE64_ABOVE = 64 * 1024, HEADER_ESTIMATE = 225 };

/* One step for eight octets: what the tools do with a body is time that the servers do not have. */
static uint64_t mix(uint64_t sum, uint64_t word)
{
    sum = (sum ^ word) * UINT64_C(0x9e3779b97f4a7c15);
    return sum ^ sum >> 29;
}

void body_sum_add(struct body_sum *sum, const char *data, size_t len)
{
    sum->octets += len;
    for (; len > 0 && sum->pending_len > 0; data++, len--) {
        sum->pending |= (uint64_t)(unsigned char)*data << 8 * sum->pending_len;
        sum->pending_len = (sum->pending_len + 1) % 8;
        if (sum->pending_len == 0) {
            sum->value = mix(sum->value, sum->pending);
            sum->pending = 0;
        }
    }
    for (; len >= 8; data += 8, len -= 8) {
        uint64_t word;
        memcpy(&word, data, sizeof(word));
        sum->value = mix(sum->value, le64toh(word));
    }
    for (; len > 0; data++, len--)
        sum->pending |= (uint64_t)(unsigned char)*data << 8 * sum->pending_len++;
}

uint64_t body_sum_get(const struct body_sum *sum)
{
    return mix(mix(sum->value, sum->pending), sum->octets);
}

/* A word of syllables; the same number always gives the same word. */
static size_t word(char *out, uint64_t which)
{
    static const char consonants[] = "tnrslcdmpbgfvhkwj", vowels[] = "eaoiu";
    uint64_t state = which * 7919 + 17;
    size_t len = 0;
    draw(&state);
    for (uint64_t syllables = 1 + draw(&state) % 4; syllables > 0; syllables--) {
        out[len++] = consonants[draw(&state) % (sizeof(consonants) - 1)];
        out[len++] = vowels[draw(&state) % (sizeof(vowels) - 1)];
        if (draw(&state) % 3 == 0)
            out[len++] = consonants[draw(&state) % 6];
    }
    return len;
}

/* A line without its end; words near the start of the dictionary are frequent, as in any language. */
static size_t text_line(char *out, uint64_t *random)
{
    size_t len = 0;
    while (len < LINE - 16) {
        uint64_t pick = draw(random) % WORDS;
        len += word(out + len, draw(random) % (pick + 1));
        out[len++] = ' ';
    }
    return len - 1;
}

static size_t base64_line(char *out, uint64_t *random)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < LINE; i++)
        out[i] = digits[draw(random) & 63];
    return LINE;
}

struct body body_make(size_t size, uint64_t *random)
{
    size_t want = size > HEADER_ESTIMATE + 2 ? size - HEADER_ESTIMATE : 2;
    struct body body = {.plain = must_alloc(NULL, want + 2), .stuffed = must_alloc(NULL, 2 * want + 2)};
    bool text = size <= BASE64_ABOVE;
    for (unsigned n = 1; body.plain_len < want; n++) {
        char line[LINE + 32];
        size_t len = text ? text_line(line, random) : base64_line(line, random);
        size_t room = want - body.plain_len;
        if (n % 16 == 0)
            line[0] = '.';
        if (len + 2 > room)
            len = room > 2 ? room - 2 : 0;
        memcpy(line + len, "\r\n", 2);
        if (line[0] == '.')
            body.stuffed[body.stuffed_len++] = '.';
        memcpy(body.stuffed + body.stuffed_len, line, len + 2);
        memcpy(body.plain + body.plain_len, line, len + 2);
        body.stuffed_len += len + 2;
        body.plain_len += len + 2;
    }
    struct body_sum sum = {0};
    body_sum_add(&sum, body.plain, body.plain_len);
    body.sum = body_sum_get(&sum);
    return body;
}

size_t message_header(char out[MESSAGE_HEADER_MAX], uint64_t id, uint64_t run, const struct body *body)
{
    int len = snprintf(out, MESSAGE_HEADER_MAX,
                       MESSAGE_ID_FIELD " %" PRIu64 " %016" PRIx64 "\r\n"
                                        "From: Load <load@load.example>\r\n"
                                        "To: undisclosed-recipients:;\r\n"
                                        "Subject: message %" PRIu64 " of run %" PRIx64 "\r\n"
                                        "Date: Mon, 06 Jan 2025 10:00:00 +0000\r\n"
                                        "Message-ID: <%" PRIu64 ".%" PRIx64 "@load.example>\r\n\r\n",
                       id, body->sum, id, run, id, run);
    return (size_t)len;
}
