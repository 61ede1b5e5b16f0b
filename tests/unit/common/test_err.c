/* tests/unit/common/test_err.c — mirrors common/err.c */
#include "tests/unit/check.h"

#include "common/err.h"

#include <string.h>

static void test_err__every_value_has_a_name_and_a_text(void **state)
{
    const struct {
        enum err e;
        const char *name, *text;
    } cases[] = {
#define X(id, text) {ERR_##id, #id, text},
        ERR_MAP(X)
#undef X
    };
    (void)state;
    assert_int_equal(ERR_OK, 0);
    CHECK_EACH (cases, c) {
        assert_string_equal(err_name(c->e), c->name);
        assert_string_equal(err_text(c->e), c->text);
    }
    assert_string_equal(err_name((enum err)9999), "?");
    assert_string_equal(err_text((enum err)9999), "unknown error");
}

static void test_err__details_are_set_and_wrapped(void **state)
{
    struct errctx ec;
    (void)state;
    assert_int_equal(err_set(&ec, ERR_IO, "open %s: %d", "x", 7), ERR_IO);
    assert_string_equal(ec.msg, "open x: 7");
    assert_int_equal(err_wrap(&ec, ERR_CONFIG, "load %s", "y"), ERR_CONFIG);
    assert_string_equal(ec.msg, "load y: open x: 7");
    assert_int_equal(err_set(NULL, ERR_IO, "nobody listens"), ERR_IO);
    assert_int_equal(err_wrap(NULL, ERR_IO, "nobody listens"), ERR_IO);
}

static void test_err__details_are_cut_and_free_of_control_bytes(void **state)
{
    struct errctx ec;
    char text[2 * sizeof ec.msg];
    (void)state;
    memset(text, 'a', sizeof text);
    text[sizeof text - 1] = '\0';
    (void)err_set(&ec, ERR_IO, "%s", text);
    assert_int_equal(strlen(ec.msg), sizeof ec.msg - 1);
    (void)err_wrap(&ec, ERR_IO, "b");
    assert_int_equal(strlen(ec.msg), sizeof ec.msg - 1);
    assert_true(strncmp(ec.msg, "b: aaa", 6) == 0);
    (void)err_wrap(&ec, ERR_IO, "%s", text);
    assert_int_equal(strlen(ec.msg), sizeof ec.msg - 1);
    (void)err_set(&ec, ERR_IO, "a\r\nb\x1b[2J\x7f");
    assert_string_equal(ec.msg, "a??b?[2J?");
    (void)err_wrap(&ec, ERR_IO, "x\ny");
    assert_string_equal(ec.msg, "x?y: a??b?[2J?");
}

int main(void)
{
    return CHECK_RUN(cmocka_unit_test(test_err__every_value_has_a_name_and_a_text),
                     cmocka_unit_test(test_err__details_are_set_and_wrapped),
                     cmocka_unit_test(test_err__details_are_cut_and_free_of_control_bytes));
}
