/* tests/integration/ls_peer.c — a router of a neighbour that misbehaves on request.
 *
 *   ls_peer KEYFILE SERVER_KEY URL ORGANIZATION GROUP INSTANCE
 *
 * Connects with CURVE and does what each line of standard input says:
 *   hello [MIN MAX]   HELLO, with these versions
 *   raw HEX           these bytes
 *   repeat N HEX      these bytes so many times
 *   parts             a message of two parts
 *   big N             N zero bytes
 *   many N            an ADVERTISE of N records
 *   replay            the ADVERTISE that was kept first, again
 *   alter WHAT        the same with its record's version, format, certificate or signature changed
 *   wait TYPE         until such a message arrives (10 s at most); prints "TYPE" or "nothing"
 *   newer             until an ADVERTISE with a higher version than the kept one arrives (10 s at most)
 *   mute              what arrives is not answered any more
 *   silent MS         reads for so long; prints what arrives
 * Messages that arrive are printed by their type. HELLO, DIGEST and BUCKETS are answered as by a router that
 * holds nothing, so that the adjacency comes up, stays up, and brings the other's records. */
#include "linkstate/message.h"
#include "router/keys.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <zmq.h>

struct peer {
    void *s;
    struct span organization, group;
    uint64_t instance;
    bool mute;
    struct buf kept; /* the first ADVERTISE */
    struct ls_version kept_version, last_version;
};

static void say(struct peer *p, const struct ls_message *m)
{
    struct buf out;
    buf_init(&out, LS_MESSAGE_MAX);
    if (ls_message_emit(m, &out) == ERR_OK)
        (void)zmq_send(p->s, out.ptr, out.len, 0);
    buf_done(&out);
}

static void hello(struct peer *p, unsigned min, unsigned max, bool answer)
{
    struct ls_message m = {.type = LS_MSG_HELLO,
                           .min_version = (uint8_t)min,
                           .max_version = (uint8_t)max,
                           .organization = p->organization,
                           .group = p->group,
                           .router = SPAN("peer"),
                           .instance = p->instance,
                           .answer = answer};
    say(p, &m);
}

/* What a router with an empty table says to keep the adjacency, and to be told everything. */
static void answer(struct peer *p, const struct ls_message *m)
{
    char all[LS_BUCKETS / 8];
    memset(all, 0xff, sizeof all);
    struct ls_message summary = {.type = LS_MSG_SUMMARY, .bitmap = span_of(all, sizeof all)};
    struct ls_message digest = {.type = LS_MSG_DIGEST};
    if (m->type == LS_MSG_HELLO && !m->answer)
        hello(p, LS_PROTOCOL_MIN, LS_PROTOCOL_MAX, true);
    else if (m->type == LS_MSG_DIGEST)
        say(p, &digest);
    else if (m->type == LS_MSG_BUCKETS)
        say(p, &summary);
}

static void keep(struct peer *p, const struct ls_message *m, struct span bytes)
{
    struct rd r = rd_open(m->list);
    struct ls_advert ad;
    struct lsa lsa;
    if (!ls_advert_next(&r, &ad) || lsa_parse(ad.header, &lsa) != ERR_OK)
        return;
    p->last_version = lsa.version;
    if (p->kept.len == 0 && buf_add(&p->kept, bytes) == ERR_OK)
        p->kept_version = lsa.version;
}

/* The type of what arrived; LS_MSG_NONE: nothing in time, or not a message. */
static enum ls_message_type receive(struct peer *p, int wait_ms)
{
    zmq_msg_t msg;
    struct ls_message m;
    struct errctx ec;
    enum ls_message_type type = LS_MSG_NONE;
    zmq_pollitem_t item = {.socket = p->s, .events = ZMQ_POLLIN};
    if (zmq_poll(&item, 1, wait_ms) <= 0)
        return LS_MSG_NONE;
    zmq_msg_init(&msg);
    if (zmq_msg_recv(&msg, p->s, ZMQ_DONTWAIT) >= 0 &&
        ls_message_parse(span_of(zmq_msg_data(&msg), zmq_msg_size(&msg)), &m, &ec) == ERR_OK) {
        type = m.type;
        if (type == LS_MSG_ADVERTISE)
            keep(p, &m, span_of(zmq_msg_data(&msg), zmq_msg_size(&msg)));
        if (!p->mute)
            answer(p, &m);
    }
    zmq_msg_close(&msg);
    return type;
}

static long now_ms(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void wait_for(struct peer *p, const char *type)
{
    long end = now_ms() + 10000;
    enum ls_message_type got = LS_MSG_NONE;
    while (now_ms() < end && strcmp(ls_message_name(got), type) != 0)
        got = receive(p, 100);
    printf("%s\n", got == LS_MSG_NONE ? "nothing" : ls_message_name(got));
}

static void wait_newer(struct peer *p)
{
    long end = now_ms() + 10000;
    while (now_ms() < end && ls_version_cmp(&p->last_version, &p->kept_version) <= 0)
        (void)receive(p, 100);
    printf("%s\n", ls_version_cmp(&p->last_version, &p->kept_version) > 0 ? "newer" : "nothing");
}

static void send_raw(struct peer *p, const char *hex)
{
    char bytes[4096];
    size_t n = 0;
    unsigned v;
    for (; n < sizeof bytes && sscanf(hex + 2 * n, "%2x", &v) == 1; n++)
        bytes[n] = (char)v;
    (void)zmq_send(p->s, bytes, n, 0);
}

static void send_big(struct peer *p, size_t n)
{
    char *bytes = calloc(1, n);
    if (bytes != NULL)
        (void)zmq_send(p->s, bytes, n, 0);
    free(bytes);
}

/* One ADVERTISE of n records, none of which can be parsed. */
static void send_many(struct peer *p, size_t n)
{
    struct buf list;
    struct ls_advert ad = {0, SPAN("hh"), SPAN("b")};
    struct ls_message m = {.type = LS_MSG_ADVERTISE};
    buf_init(&list, LS_MESSAGE_MAX);
    while (n-- > 0 && ls_advert_add(&list, &ad) == ERR_OK)
        continue;
    m.list = buf_span(&list);
    say(p, &m);
    buf_done(&list);
}

/* The first record of what was kept. Before it: head 8, tag and length of the part 5, age 4, lengths 2 and 4.
 */
static void alter(struct peer *p, const char *what)
{
    enum { LENGTH = 8 + 5 + 4, HEADER = LENGTH + 2 + 4 };
    const unsigned char *b = (const unsigned char *)p->kept.ptr;
    if (p->kept.len < HEADER + 2)
        return;
    size_t len = (size_t)b[LENGTH] << 8 | b[LENGTH + 1], version = HEADER + 2 + b[HEADER + 1];
    size_t certificate = version + 4 + 4 + 4 + 8 + 4 + 32 + 2 + 10;
    size_t at = strcmp(what, "format") == 0        ? HEADER
                : strcmp(what, "version") == 0     ? version + 3
                : strcmp(what, "certificate") == 0 ? certificate
                                                   : HEADER + len - 20;
    size_t n = strcmp(what, "signature") == 0 ? 20 : 1; /* the greater part of a signature is missing */
    if (at + n > p->kept.len)
        return;
    for (size_t i = 0; i < n; i++)
        p->kept.ptr[at + i] = (char)(p->kept.ptr[at + i] ^ 2);
    (void)zmq_send(p->s, p->kept.ptr, p->kept.len, 0);
    for (size_t i = 0; i < n; i++)
        p->kept.ptr[at + i] = (char)(p->kept.ptr[at + i] ^ 2);
}

static void obey(struct peer *p, char *line)
{
    unsigned min = LS_PROTOCOL_MIN, max = LS_PROTOCOL_MAX;
    line[strcspn(line, "\n")] = '\0';
    if (strncmp(line, "hello", 5) == 0) {
        (void)sscanf(line + 5, "%u %u", &min, &max);
        hello(p, min, max, false);
    } else if (strncmp(line, "raw ", 4) == 0) {
        send_raw(p, line + 4);
    } else if (strncmp(line, "repeat ", 7) == 0) {
        char *hex;
        int linger = 10000; /* all of it arrives */
        (void)zmq_setsockopt(p->s, ZMQ_LINGER, &linger, sizeof linger);
        for (unsigned long n = strtoul(line + 7, &hex, 10); n > 0; n--)
            send_raw(p, hex + 1);
    } else if (strcmp(line, "parts") == 0) {
        (void)zmq_send(p->s, "one", 3, ZMQ_SNDMORE);
        (void)zmq_send(p->s, "two", 3, 0);
    } else if (strncmp(line, "big ", 4) == 0) {
        send_big(p, strtoul(line + 4, NULL, 10));
    } else if (strncmp(line, "many ", 5) == 0) {
        send_many(p, strtoul(line + 5, NULL, 10));
    } else if (strcmp(line, "replay") == 0) {
        (void)zmq_send(p->s, p->kept.ptr, p->kept.len, 0);
    } else if (strncmp(line, "alter ", 6) == 0) {
        alter(p, line + 6);
    } else if (strncmp(line, "wait ", 5) == 0) {
        wait_for(p, line + 5);
    } else if (strcmp(line, "mute") == 0) {
        p->mute = true;
    } else if (strcmp(line, "newer") == 0) {
        wait_newer(p);
    } else if (strncmp(line, "silent ", 7) == 0) {
        for (long end = now_ms() + strtol(line + 7, NULL, 10); now_ms() < end;) {
            enum ls_message_type type = receive(p, 20);
            if (type != LS_MSG_NONE)
                printf("%s\n", ls_message_name(type));
        }
    }
    (void)fflush(stdout);
}

int main(int argc, char **argv)
{
    struct key_file key;
    struct errctx ec = {""};
    uint8_t server[SIGN_KEY_LEN];
    char line[9000];
    int linger = 200;
    if (argc != 7 || !key_text_parse(span_cstr(argv[2]), server) ||
        key_file_read(argv[1], &key, &ec) != ERR_OK) {
        (void)fprintf(stderr, "ls_peer KEYFILE SERVER_KEY URL ORGANIZATION GROUP INSTANCE: %s\n", ec.msg);
        return 2;
    }
    void *ctx = zmq_ctx_new();
    struct peer p = {.s = zmq_socket(ctx, ZMQ_DEALER),
                     .organization = span_cstr(argv[4]),
                     .group = span_cstr(argv[5]),
                     .instance = strtoull(argv[6], NULL, 10)};
    buf_init(&p.kept, LS_MESSAGE_MAX);
    if (zmq_setsockopt(p.s, ZMQ_CURVE_SERVERKEY, server, sizeof server) != 0 ||
        zmq_setsockopt(p.s, ZMQ_CURVE_PUBLICKEY, key.public_, SIGN_KEY_LEN) != 0 ||
        zmq_setsockopt(p.s, ZMQ_CURVE_SECRETKEY, key.secret, SIGN_KEY_LEN) != 0 ||
        zmq_setsockopt(p.s, ZMQ_LINGER, &linger, sizeof linger) != 0 || zmq_connect(p.s, argv[3]) != 0) {
        (void)fprintf(stderr, "%s\n", zmq_strerror(zmq_errno()));
        return 2;
    }
    while (fgets(line, sizeof line, stdin) != NULL)
        obey(&p, line);
    (void)zmq_close(p.s);
    (void)zmq_ctx_term(ctx);
    buf_done(&p.kept);
    key_file_wipe(&key);
    return 0;
}
