/* mirrors worker/targets.c. A case is one line: the hop, the answers, and the list or the failure.
 *
 *   MX answers     "10 a, 10 b, 20 c"; "-" no MX record; "!" NXDOMAIN; "?" temporary; "." null MX
 *   addresses      "a=192.0.2.1 2001:db8::1, b=!": one entry a host, in the order of the plan */
#include "tests/unit/check.h"

#include "worker/targets.h"

static struct span next_word(struct span *rest, char sep)
{
    struct span head;

    if (!span_cut(*rest, sep, &head, rest))
        *rest = SPAN("");
    return span_trim(head);
}

static struct dns_answer plain_answer(struct span text)
{
    struct dns_answer a = {.exists = true, .ttl_ms = 60000};

    if (span_eq(text, SPAN("!")))
        a.exists = false;
    if (span_eq(text, SPAN("?"))) {
        a.err = ERR_TIMEOUT;
        memcpy(a.why, "no answer", 10);
    }
    return a;
}

static void answer_mx(struct targets_plan *plan, const struct targets_spec *spec, struct span text,
                      enum targets_ask *ask)
{
    struct dns_answer a = plain_answer(text);
    struct dns_mx mx[8] = {0};

    a.mx = mx;
    if (span_eq(text, SPAN(".")))
        a.n = 1;
    else if (text.len > 1)
        for (struct span rest = text, one; rest.len > 0; a.n++) {
            struct span pref, host;
            uint64_t value;

            one = next_word(&rest, ',');
            assert_true(span_cut(one, ' ', &pref, &host));
            assert_true(span_to_u64(pref, 65535, &value));
            mx[a.n].preference = (uint16_t)value;
            memcpy(mx[a.n].host, host.ptr, host.len);
        }
    *ask = targets_mx(plan, spec, &a);
}

static void answer_addresses(struct targets_plan *plan, struct span text)
{
    for (size_t host = 0; host < plan->nhosts; host++) {
        struct span one = next_word(&text, ','), name, list;
        struct dns_answer a;
        struct ip_addr addrs[16];

        if (plan->hosts[host].answered)
            continue;
        assert_true(span_cut(one, '=', &name, &list));
        check_span(span_cstr(plan->hosts[host].name), name);
        a = plain_answer(list);
        a.addrs = addrs;
        while (list.len > 1)
            assert_int_equal(ip_parse(next_word(&list, ' '), &addrs[a.n++]), ERR_OK);
        targets_addresses(plan, host, &a);
    }
}

static void list_text(const struct targets_plan *plan, uint64_t seed, struct buf *out)
{
    struct targets_list list;
    struct rng rng;
    char text[ENDPOINT_TEXT_MAX];

    rng_seed(&rng, seed);
    targets_list(plan, &rng, &list);
    buf_clear(out);
    for (size_t i = 0; i < list.n; i++) {
        ip_endpoint_text(&list.items[i].endpoint, text);
        assert_int_equal(buf_addf(out, "%s%s", i == 0 ? "" : " ", text), ERR_OK);
    }
}

static void test_targets__follow_the_mail_exchangers(void **state)
{
    /* clang-format off */
    static const struct {
        const char *domain, *mx, *addresses, *want; /* want: the list, or the status */
        enum failure failure;
    } cases[] = {
        {"one.example", "10 a", "a=192.0.2.1", "192.0.2.1:25", FAILURE_NONE},
        {"v6.example", "10 a", "a=192.0.2.1 2001:db8::1", "[2001:db8::1]:25 192.0.2.1:25", FAILURE_NONE},
        {"order.example", "10 a,20 b", "a=192.0.2.1,b=192.0.2.2", "192.0.2.1:25 192.0.2.2:25", FAILURE_NONE},
        {"a-only.example", "-", "a-only.example=192.0.2.9", "192.0.2.9:25", FAILURE_NONE},
        {"bare.example", "-", "bare.example=-", "5.1.2", FAILURE_NO_DOMAIN},
        {"none.example", "!", "", "5.1.2", FAILURE_NO_DOMAIN},
        {"null.example", ".", "", "5.1.10", FAILURE_NULL_MX},
        {"slow.example", "?", "", "4.4.3", FAILURE_DNS},
        {"gone.example", "10 a", "a=!", "5.1.2", FAILURE_NO_DOMAIN},
        {"half.example", "10 a,20 b", "a=?,b=192.0.2.2", "192.0.2.2:25", FAILURE_NONE},
        {"soft.example", "10 a,20 b", "a=?,b=!", "4.4.3", FAILURE_DNS},
        {"loop.example", "10 a,20 MX.own.example,30 c", "a=192.0.2.1", "192.0.2.1:25", FAILURE_NONE},
        {"loops.example", "10 mx.own.example,20 b", "", "5.4.6", FAILURE_LOOP},
        {"equal.example", "10 mx.own.example,10 b", "", "5.4.6", FAILURE_LOOP},
        {"[192.0.2.7]", "", "", "192.0.2.7:25", FAILURE_NONE},
        {"[IPv6:2001:db8::7]", "", "", "[2001:db8::7]:25", FAILURE_NONE},
        {"[2001:db8::7]", "", "", "5.1.2", FAILURE_NO_DOMAIN},
        {"[IPv6:192.0.2.7]", "", "", "5.1.2", FAILURE_NO_DOMAIN},
        {"[]", "", "", "5.1.2", FAILURE_NO_DOMAIN},
        {"", "", "", "5.1.2", FAILURE_NO_DOMAIN},
    };
    /* clang-format on */
    static const struct span self[] = {SPAN_INIT("other.own.example"), SPAN_INIT("mx.own.example")};
    struct buf out;
    (void)state;
    buf_init(&out, 4096);
    CHECK_EACH (cases, c) {
        struct targets_spec spec = {
            .kind = TARGETS_DNS, .domain = span_cstr(c->domain), .port = 25, .self = self, .nself = 2};
        struct targets_plan plan;
        enum targets_ask ask = targets_begin(&plan, &spec);

        assert_int_equal(ask, c->mx[0] == '\0' ? TARGETS_ASK_NOTHING : TARGETS_ASK_MX);
        if (ask == TARGETS_ASK_MX)
            answer_mx(&plan, &spec, span_cstr(c->mx), &ask);
        assert_int_equal(ask, c->addresses[0] == '\0' ? TARGETS_ASK_NOTHING : TARGETS_ASK_ADDRESSES);
        answer_addresses(&plan, span_cstr(c->addresses));
        assert_true(targets_ready(&plan));
        assert_int_equal(plan.failure, c->failure);
        if (strchr(c->addresses, '?') != NULL) /* soon asked again */
            assert_int_equal(plan.ttl_ms, TARGETS_TTL_MIN_MS);
        if (c->failure == FAILURE_NONE) {
            list_text(&plan, 1, &out);
            check_span(buf_span(&out), span_cstr(c->want));
        } else {
            check_span(span_cstr(failure_status(plan.failure)), span_cstr(c->want));
            assert_true(plan.why[0] != '\0');
        }
    }
    buf_done(&out);
}

static void test_targets__wait_for_every_host(void **state)
{
    struct targets_spec spec = {.kind = TARGETS_DNS, .domain = SPAN("x.example"), .port = 25};
    struct dns_mx mx[] = {{.preference = 1, .host = "a"}, {.preference = 2, .host = "b"}};
    struct ip_addr addr = {.bytes = {192, 0, 2, 1}};
    struct dns_answer a = {.exists = true, .n = 2, .mx = mx, .ttl_ms = 1};
    struct targets_plan plan;
    (void)state;
    assert_int_equal(targets_begin(&plan, &spec), TARGETS_ASK_MX);
    assert_int_equal(targets_mx(&plan, &spec, &a), TARGETS_ASK_ADDRESSES);
    a = (struct dns_answer){.exists = true, .n = 1, .addrs = &addr, .ttl_ms = 3600000};
    targets_addresses(&plan, 1, &a);
    assert_false(targets_ready(&plan));
    targets_addresses(&plan, 0, &a);
    assert_true(targets_ready(&plan));
    assert_int_equal(plan.ttl_ms, TARGETS_TTL_MIN_MS);
}

/* Of 192.0.2.1, .2 and .3 the first two begin alike often, the third is always the last. */
static void check_first_two_share(const struct targets_plan *plan)
{
    unsigned first[2] = {0, 0};
    struct buf out;
    buf_init(&out, 4096);
    for (uint64_t seed = 0; seed < 200; seed++) {
        list_text(plan, seed, &out);
        assert_true(span_has_isuffix(buf_span(&out), SPAN(" 192.0.2.3:25")));
        first[span_has_prefix(buf_span(&out), SPAN("192.0.2.1")) ? 0 : 1]++;
    }
    assert_true(first[0] > 60 && first[1] > 60);
    buf_done(&out);
}

static void test_targets__spread_over_equal_preferences_only(void **state)
{
    struct targets_spec spec = {.kind = TARGETS_DNS, .domain = SPAN("x.example"), .port = 25};
    struct targets_plan plan;
    enum targets_ask ask;
    (void)state;
    assert_int_equal(targets_begin(&plan, &spec), TARGETS_ASK_MX);
    answer_mx(&plan, &spec, SPAN("10 a,10 b,20 c"), &ask);
    answer_addresses(&plan, SPAN("a=192.0.2.1,b=192.0.2.2,c=192.0.2.3"));
    assert_true(targets_ready(&plan));
    check_first_two_share(&plan);
}

/* RFC 8305 in small: when one family is broken, the second try is the other one. */
static void test_targets__families_come_in_turn(void **state)
{
    struct targets_spec spec = {.kind = TARGETS_DNS, .domain = SPAN("x.example"), .port = 25};
    struct targets_plan plan;
    struct targets_list list;
    enum targets_ask ask;
    (void)state;
    assert_int_equal(targets_begin(&plan, &spec), TARGETS_ASK_MX);
    answer_mx(&plan, &spec, SPAN("10 a"), &ask);
    answer_addresses(&plan, SPAN("a=192.0.2.1 192.0.2.2 192.0.2.3 2001:db8::1 2001:db8::2"));
    for (uint64_t seed = 0; seed < 20; seed++) {
        static const bool v6[] = {true, false, true, false, false};
        struct rng rng;
        rng_seed(&rng, seed);
        targets_list(&plan, &rng, &list);
        assert_int_equal(list.n, 5);
        for (size_t i = 0; i < 5; i++)
            assert_int_equal(list.items[i].endpoint.addr.v6, v6[i]);
    }
}

static void test_targets__equal_smart_hosts_are_shared(void **state)
{
    static char h[3][24] = {"192.0.2.1", "192.0.2.2", "192.0.2.3"};
    static char *const hosts[] = {h[0], h[1], h[2]};
    struct targets_spec spec = {.kind = TARGETS_NAMED, .named = hosts, .nnamed = 3, .nequal = 2, .port = 25};
    struct targets_plan plan;
    (void)state;
    assert_int_equal(targets_begin(&plan, &spec), TARGETS_ASK_NOTHING);
    check_first_two_share(&plan);
}

static void test_targets__smart_hosts_keep_their_order(void **state)
{
    static char h[5][24] = {"127.0.0.1:2526", "relay.example:587", "[::1]", "bad:port", "plain.example"};
    static char *const hosts[] = {h[0], h[1], h[2], h[3], h[4]};
    struct targets_spec spec = {.kind = TARGETS_NAMED, .named = hosts, .nnamed = 5, .port = 25};
    struct targets_plan plan;
    struct buf out;
    (void)state;
    buf_init(&out, 4096);
    assert_int_equal(targets_begin(&plan, &spec), TARGETS_ASK_ADDRESSES);
    answer_addresses(&plan, SPAN(",relay.example=192.0.2.5,,plain.example=!"));
    assert_true(targets_ready(&plan));
    list_text(&plan, 7, &out);
    check_span(buf_span(&out), SPAN("127.0.0.1:2526 192.0.2.5:587 [::1]:25"));
    spec.nnamed = 1;
    assert_int_equal(targets_begin(&plan, &spec), TARGETS_ASK_NOTHING);
    assert_true(targets_ready(&plan));
    spec.nnamed = 0;
    assert_int_equal(targets_begin(&plan, &spec), TARGETS_ASK_NOTHING);
    assert_int_equal(plan.failure, FAILURE_SMART_HOST_NAME);
    spec.named = hosts + 4;
    spec.nnamed = 1;
    assert_int_equal(targets_begin(&plan, &spec), TARGETS_ASK_ADDRESSES);
    answer_addresses(&plan, SPAN("plain.example=!"));
    assert_true(targets_ready(&plan));
    assert_int_equal(plan.failure, FAILURE_SMART_HOST_NAME); /* waits: 4.4.3 */
    buf_done(&out);
}

static void test_targets__are_bounded(void **state)
{
    struct targets_spec spec = {.kind = TARGETS_DNS, .domain = SPAN("x.example"), .port = 25};
    struct dns_mx mx[DNS_ANSWERS_MAX];
    struct ip_addr addrs[DNS_ANSWERS_MAX];
    struct dns_answer a = {.exists = true, .n = DNS_ANSWERS_MAX, .mx = mx, .addrs = addrs, .ttl_ms = 60000};
    struct targets_plan plan;
    struct targets_list list;
    struct rng rng;
    (void)state;
    for (size_t i = 0; i < DNS_ANSWERS_MAX; i++) {
        mx[i] = (struct dns_mx){.preference = 1, .host = "h"};
        addrs[i] = (struct ip_addr){.bytes = {192, 0, 2, (uint8_t)i}, .v6 = i % 2 == 1};
    }
    assert_int_equal(targets_begin(&plan, &spec), TARGETS_ASK_MX);
    assert_int_equal(targets_mx(&plan, &spec, &a), TARGETS_ASK_ADDRESSES);
    assert_int_equal(plan.nhosts, TARGETS_HOSTS_MAX);
    for (size_t i = 0; i < plan.nhosts; i++)
        targets_addresses(&plan, i, &a);
    assert_true(targets_ready(&plan));
    rng_seed(&rng, 1);
    targets_list(&plan, &rng, &list);
    assert_int_equal(list.n, TARGETS_MAX);
}

/* N next, A all tried, T out of time. */
static void test_targets__a_search_has_an_end(void **state)
{
    enum { MINUTE = 60000 };
    static const struct {
        size_t targets, at;
        unsigned minutes[6]; /* of the answers; the last one ends the search */
        const char *want;
    } cases[] = {
        {1, 0, {0}, "A"},           {1, 0, {99}, "A"},
        {3, 0, {0, 0, 0}, "NNA"},   {3, 0, {9, 9, 20}, "NNA"}, /* the last one was the last one */
        {32, 0, {4, 8, 12}, "NNT"}, {32, 0, {9, 10}, "NT"},
        {32, 0, {20, 21}, "NT"}, /* two are tried, whatever the first one took */
        {32, 30, {5, 10}, "NA"},    {4, 2, {30, 30}, "NA"},
    };
    (void)state;
    CHECK_EACH (cases, c) {
        struct targets_list list = {.n = c->targets};
        struct targets_search s = {.at = c->at};
        char got[8] = "";
        enum targets_next next;
        size_t n = 0;

        targets_search_begin(&s, 7 * MINUTE);
        do {
            next = targets_search_next(&s, &list, (7 + (ms_t)c->minutes[n]) * MINUTE);
            got[n++] = "NAT"[next];
            assert_int_equal(s.at, c->at + (next == TARGETS_NEXT ? n : n - 1));
        } while (next == TARGETS_NEXT && n < ARRAY_LEN(c->minutes));
        check_span(span_cstr(got), span_cstr(c->want));
        assert_true(s.at < list.n);
        targets_search_begin(&s, 100 * MINUTE); /* of the next job, on the target that works */
        if (s.at + 1 < list.n)
            assert_int_equal(targets_search_next(&s, &list, 200 * MINUTE), TARGETS_NEXT);
    }
}

static void test_targets__a_socket_needs_no_question(void **state)
{
    struct targets_spec spec = {.kind = TARGETS_UNIX, .unix_path = SPAN("/run/lmtp")};
    struct targets_plan plan;
    struct targets_list list;
    struct rng rng;
    (void)state;
    assert_int_equal(targets_begin(&plan, &spec), TARGETS_ASK_NOTHING);
    assert_true(targets_ready(&plan));
    assert_int_equal(plan.failure, FAILURE_NONE);
    rng_seed(&rng, 1);
    targets_list(&plan, &rng, &list);
    assert_int_equal(list.n, 1);
    check_span(span_cstr(list.items[0].unix_path), SPAN("/run/lmtp"));
}

int main(void)
{
    return CHECK_RUN(cmocka_unit_test(test_targets__follow_the_mail_exchangers),
                     cmocka_unit_test(test_targets__wait_for_every_host),
                     cmocka_unit_test(test_targets__spread_over_equal_preferences_only),
                     cmocka_unit_test(test_targets__families_come_in_turn),
                     cmocka_unit_test(test_targets__equal_smart_hosts_are_shared),
                     cmocka_unit_test(test_targets__smart_hosts_keep_their_order),
                     cmocka_unit_test(test_targets__are_bounded),
                     cmocka_unit_test(test_targets__a_search_has_an_end),
                     cmocka_unit_test(test_targets__a_socket_needs_no_question));
}
