/* tests/fuzz/fuzz_dns.c — answers, names and hosts files: whatever comes in, only names of hosts come out.
 * The first byte chooses: 0 a name, 1 a hosts file, else an answer to a question of that type. */
/* links: io */
#include "common/io/dns_internal.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(condition)                                                                                   \
    do {                                                                                                     \
        if (!(condition))                                                                                    \
            abort();                                                                                         \
    } while (0)

static void try_name(struct span in)
{
    char once[DNS_NAME_MAX], twice[DNS_NAME_MAX];
    if (dns_name_prepare(in, once, NULL) != ERR_OK)
        return;
    REQUIRE(dns_name_valid(span_cstr(once)));
    REQUIRE(dns_name_prepare(span_cstr(once), twice, NULL) == ERR_OK && strcmp(once, twice) == 0);
}

static void try_hosts(struct span in)
{
    struct ip_addr found[4];
    struct dns_hosts *h = dns_hosts_parse(in);
    REQUIRE(h != NULL);
    REQUIRE(dns_hosts_find(h, "a.example", found, 4) <= 4);
    dns_hosts_free(h);
}

static void try_answer(struct span in, enum dns_type type)
{
    struct dns_records *r = malloc(sizeof *r);
    REQUIRE(r != NULL);
    dns_records_init(r);
    (void)!dns_packet_read(in, type, r, NULL);
    REQUIRE(r->n <= DNS_ANSWERS_MAX);
    for (size_t i = 0; type == DNS_TYPE_MX && i < r->n; i++) {
        REQUIRE(r->mx[i].host[0] == '\0' || dns_name_valid(span_cstr(r->mx[i].host)));
        REQUIRE(i == 0 || r->mx[i - 1].preference <= r->mx[i].preference);
    }
    if (type == DNS_TYPE_PTR && r->n > 0)
        REQUIRE(dns_name_valid(span_cstr(r->name)));
    free(r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const enum dns_type types[] = {DNS_TYPE_A, DNS_TYPE_AAAA, DNS_TYPE_MX, DNS_TYPE_PTR};
    if (size == 0)
        return 0;
    struct span in = span_of((const char *)data + 1, size - 1);
    if (data[0] == 0)
        try_name(in);
    else if (data[0] == 1)
        try_hosts(in);
    else
        try_answer(in, types[data[0] % ARRAY_LEN(types)]);
    return 0;
}
