/* Asks questions through common/io/dns.h, all at once, and prints the answers in the order of the questions:
 *   dns_ask SERVER TIMEOUT_MS (mx NAME | addr NAME | ptr ADDRESS)...
 * A line reads "OK yes 10 mx1.a.example 20 mx2.a.example", "OK no", "DNS", "TIMEOUT", "PARSE". */
#include "common/io/dns.h"

#include "common/buf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LINE_MAX_BYTES = 1 << 16 };

struct question {
    struct run *run;
    struct buf line;
};
struct run {
    struct loop *loop;
    struct dns *dns;
    struct question *questions;
    size_t left;
};

static void answered(void *arg, const struct dns_answer *a)
{
    struct question *q = arg;
    (void)!buf_addf(&q->line, "%s", err_name(a->err));
    if (a->err == ERR_OK)
        (void)!buf_addf(&q->line, " %s", a->exists ? "yes" : "no");
    for (size_t i = 0; i < a->n; i++) {
        char text[IP_TEXT_MAX];
        if (a->mx != NULL) {
            (void)!buf_addf(&q->line, " %u %s", a->mx[i].preference, a->mx[i].host);
        } else if (a->name != NULL) {
            (void)!buf_addf(&q->line, " %s", a->name);
        } else {
            ip_text(&a->addrs[i], text);
            (void)!buf_addf(&q->line, " %s", text);
        }
    }
    if (--q->run->left == 0)
        loop_stop(q->run->loop);
}

static enum err ask(struct question *q, const char *kind, const char *name)
{
    struct dns *d = q->run->dns;
    struct ip_addr a;
    if (strcmp(kind, "mx") == 0)
        return dns_ask_mx(d, span_cstr(name), answered, q, NULL);
    if (strcmp(kind, "addr") == 0)
        return dns_ask_addresses(d, span_cstr(name), answered, q, NULL);
    if (strcmp(kind, "ptr") != 0 || ip_parse(span_cstr(name), &a) != ERR_OK)
        return ERR_PARSE;
    return dns_ask_reverse(d, &a, answered, q, NULL);
}

static int run(struct run *r, char **words, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        r->questions[i].run = r;
        buf_init(&r->questions[i].line, LINE_MAX_BYTES);
        enum err e = ask(&r->questions[i], words[2 * i], words[2 * i + 1]);
        if (e != ERR_OK) {
            (void)fprintf(stderr, "cannot ask for %s: %s\n", words[2 * i + 1], err_text(e));
            return 1;
        }
    }
    loop_run(r->loop);
    for (size_t i = 0; i < n; i++) {
        (void)puts(buf_cstr(&r->questions[i].line));
        buf_done(&r->questions[i].line);
    }
    return 0;
}

int main(int argc, char **argv)
{
    uint64_t timeout_ms;
    struct errctx ec;
    struct run r = {.left = argc < 5 ? 0 : (size_t)(argc - 3) / 2};
    if (r.left == 0 || argc % 2 == 0 || !span_to_u64(span_cstr(argv[2]), UINT32_MAX, &timeout_ms)) {
        (void)fprintf(stderr, "usage: %s SERVER TIMEOUT_MS (mx NAME | addr NAME | ptr ADDRESS)...\n",
                      argv[0]);
        return 2;
    }
    r.loop = loop_new();
    r.questions = calloc(r.left, sizeof *r.questions);
    if (r.loop == NULL || r.questions == NULL)
        return 1;
    if (dns_new(r.loop, &argv[1], 1, timeout_ms, 1 << 20, &r.dns, &ec) != ERR_OK) {
        (void)fprintf(stderr, "%s\n", ec.msg);
        return 1;
    }
    int code = run(&r, argv + 3, r.left);
    dns_free(r.dns);
    free(r.questions);
    loop_free(r.loop);
    return code;
}
