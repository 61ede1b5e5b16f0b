/* tests/unit/common/config/test_durability.c — mirrors common/config/durability.c */
#include "tests/unit/check.h"

#include "common/config/durability.h"

static void test_durability__parse(void **state)
{
    static const struct {
        const char *in;
        enum err err;
        enum durability_kind kind;
        unsigned replicas;
    } cases[] = {
        {"fsync", ERR_OK, DURABILITY_FSYNC, 0},
        {"all", ERR_OK, DURABILITY_ALL, 0},
        {"replicas:all", ERR_OK, DURABILITY_ALL, 0},
        {"replicas:1", ERR_OK, DURABILITY_REPLICAS, 1},
        {"replicas: 16", ERR_OK, DURABILITY_REPLICAS, 16},
        {"replicas:17", ERR_PARSE, 0, 0},
        {"replicas:0", ERR_PARSE, 0, 0},
        {"replicas:", ERR_PARSE, 0, 0},
        {"replicas", ERR_PARSE, 0, 0},
        {"fsync:1", ERR_PARSE, 0, 0},
        {"all:", ERR_PARSE, 0, 0},
        {"FSYNC", ERR_PARSE, 0, 0},
        {"", ERR_PARSE, 0, 0},
    };
    (void)state;
    CHECK_EACH (cases, c) {
        struct durability d = {0};
        assert_int_equal(durability_parse(span_cstr(c->in), &d, NULL), c->err);
        assert_int_equal(d.kind, c->kind);
        assert_int_equal(d.replicas, c->replicas);
    }
}

int main(void)
{
    return CHECK_RUN(cmocka_unit_test(test_durability__parse));
}
