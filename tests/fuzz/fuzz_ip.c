/* tests/fuzz/fuzz_ip.c — what is accepted prints as something that reads back the same. */
/* links: common */
#include "common/ip.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(condition)                                                                                   \
    do {                                                                                                     \
        if (!(condition))                                                                                    \
            abort();                                                                                         \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span in = span_of((const char *)data, size);
    struct ip_addr addr, back;
    struct ip_net net;
    struct ip_endpoint e, e_back;
    char text[ENDPOINT_TEXT_MAX];
    if (ip_parse(in, &addr) == ERR_OK) {
        ip_text(&addr, text);
        REQUIRE(ip_parse(span_cstr(text), &back) == ERR_OK && ip_eq(&addr, &back));
    }
    if (ip_net_parse(in, &net) == ERR_OK)
        REQUIRE(ip_net_has(&net, &net.base) && net.bits <= (net.base.v6 ? 128 : 32));
    if (ip_endpoint_parse(in, 25, &e) == ERR_OK) {
        ip_endpoint_text(&e, text);
        REQUIRE(ip_endpoint_parse(span_cstr(text), 0, &e_back) == ERR_OK);
        REQUIRE(ip_eq(&e.addr, &e_back.addr) && e.port == e_back.port);
    }
    return 0;
}
