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

/* An extension without the one that it builds on would be a promise that cannot be kept. */
static void test_extensions__what_builds_on_another_goes_with_it(void **state)
{
    static const struct {
        const char *off;
        unsigned gone;
    } cases[] = {
        {"CHUNKING", EXT_CHUNKING | EXT_BINARYMIME}, /* RFC 3030 3 */
        {"8BITMIME", EXT_8BITMIME | EXT_SMTPUTF8},   /* RFC 6531 3.1 */
        {"BINARYMIME", EXT_BINARYMIME},
        {"SMTPUTF8", EXT_SMTPUTF8},
    };
    struct errctx ec = {{0}};
    (void)state;
    CHECK_EACH (cases, k) {
        struct config *c = disabling(k->off, &ec);
        assert_non_null(c);
        unsigned all = (1u << EXT__COUNT) - 1;
        assert_int_equal(extensions_offered(&config_root(c)->virtual_servers.items[0], true), all & ~k->gone);
        config_unref(c);
    }
}

int main(void)
{
    return CHECK_RUN(cmocka_unit_test(test_extensions__the_configuration_knows_them),
                     cmocka_unit_test(test_extensions__what_builds_on_another_goes_with_it));
}
