/* tests/unit/node/test_extensions.c — what is offered, and the words that switch it off. */
#include "tests/unit/check.h"

#include "node/extensions.h"

#include <string.h>

static struct config *disabling(const char *words, struct errctx *ec)
{
    char yaml[512];
    struct config *c = NULL;
    (void)snprintf(yaml, sizeof yaml, "virtual_servers: [{name: v, disable_extensions: [%s]}]", words);
    return config_parse(span_cstr(yaml), "t", "/", NULL, &c, NULL, ec) == ERR_OK ? c : NULL;
}

/* The configuration knows every keyword, and none besides. */
static void test_extensions__the_configuration_knows_them(void **state)
{
    static const char *const keywords[] = {
#define X(id, keyword, what) keyword,
        EXTENSIONS(X)
#undef X
    };
    static const char *const others[] = {"ETRN", "VRFY", "AUTH", "TURN", "X"};
    struct errctx ec = {{0}};
    (void)state;
    CHECK_EACH (keywords, k) {
        struct config *c = disabling(*k, &ec);
        if (c == NULL)
            fail_msg("%s", ec.msg);
        unsigned offered = extensions_offered(&config_root(c)->virtual_servers.items[0], true);
        assert_int_equal(offered >> check_i & 1, 0);
        config_unref(c);
    }
    CHECK_EACH (others, o) {
        assert_null(disabling(*o, &ec));
        assert_non_null(strstr(ec.msg, "unknown extension"));
    }
}

int main(void)
{
    return CHECK_RUN(cmocka_unit_test(test_extensions__the_configuration_knows_them));
}
