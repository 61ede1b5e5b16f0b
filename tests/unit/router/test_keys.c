/* tests/unit/router/test_keys.c — key files: what is written is read again, what is damaged or open is
 * refused. */
#include "router/keys.h"
#include "tests/unit/check.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct place {
    char dir[64], path[96];
};

static int setup(void **state)
{
    struct place *p = calloc(1, sizeof *p);
    assert_non_null(p);
    (void)snprintf(p->dir, sizeof p->dir, "/tmp/keys-XXXXXX");
    assert_non_null(mkdtemp(p->dir));
    (void)snprintf(p->path, sizeof p->path, "%s/k", p->dir);
    *state = p;
    return 0;
}

static int teardown(void **state)
{
    struct place *p = *state;
    (void)unlink(p->path);
    assert_int_equal(rmdir(p->dir), 0); /* nothing else was left behind */
    free(p);
    return 0;
}

static void make(enum key_kind kind, struct key_file *k)
{
    struct errctx ec;
    assert_int_equal(key_make(kind, SPAN("example"), SPAN("hq"), k, &ec), ERR_OK);
}

static void test_keys__a_file_is_read_as_written(void **state)
{
    struct place *p = *state;
    struct errctx ec;
    for (unsigned kind = 0; kind < KEY__COUNT; kind++) {
        struct key_file k, org, again;
        struct stat st;
        make((enum key_kind)kind, &k);
        make(KEY_ORGANIZATION, &org);
        if (kind == KEY_GROUP)
            assert_int_equal(key_certify(&k, &org, 7, &ec), ERR_OK);
        assert_int_equal(key_file_write(p->path, &k, true, &ec), ERR_OK);
        assert_int_equal(stat(p->path, &st), 0);
        assert_int_equal(st.st_mode & 07777, 0600);
        assert_int_equal(key_file_read(p->path, &again, &ec), ERR_OK);
        assert_memory_equal(&again, &k, sizeof k);
        assert_int_equal(key_serial(&again), kind == KEY_GROUP ? 7 : 0);
    }
}

static void test_keys__a_file_is_not_overwritten_unasked(void **state)
{
    struct place *p = *state;
    struct key_file k, again;
    struct errctx ec;
    make(KEY_TRANSPORT, &k);
    assert_int_equal(key_file_write(p->path, &k, false, &ec), ERR_OK);
    make(KEY_TRANSPORT, &again);
    assert_int_equal(key_file_write(p->path, &again, false, &ec), ERR_EXISTS);
    assert_int_equal(key_file_read(p->path, &again, &ec), ERR_OK);
    assert_memory_equal(again.secret, k.secret, sizeof k.secret);
}

static void test_keys__what_others_can_read_is_refused(void **state)
{
    static const mode_t modes[] = {0640, 0604, 0660, 0644, 0666, 0601};
    struct place *p = *state;
    struct key_file k;
    struct errctx ec;
    make(KEY_GROUP, &k);
    assert_int_equal(key_file_write(p->path, &k, false, &ec), ERR_OK);
    CHECK_EACH (modes, mode) {
        assert_int_equal(chmod(p->path, *mode), 0);
        assert_int_equal(key_file_read(p->path, &k, &ec), ERR_DENIED);
        assert_non_null(strstr(ec.msg, "chmod 600"));
    }
    assert_int_equal(chmod(p->path, 0400), 0);
    assert_int_equal(key_file_read(p->path, &k, &ec), ERR_OK);
    assert_int_equal(key_file_read("/tmp", &k, &ec), ERR_IO);
    assert_int_equal(key_file_read("/tmp/there/is/no/key", &k, &ec), ERR_NOTFOUND);
}

/* Every byte of a file changed, every line left out or doubled: never taken for the key that it was. */
static void test_keys__damaged_files_are_refused(void **state)
{
    struct key_file k, org, read;
    struct errctx ec;
    struct buf text;
    (void)state;
    make(KEY_GROUP, &k);
    make(KEY_ORGANIZATION, &org);
    assert_int_equal(key_certify(&k, &org, 1, &ec), ERR_OK);
    buf_init(&text, KEY_FILE_MAX);
    assert_int_equal(key_file_emit(&k, &text), ERR_OK);
    size_t begin = (size_t)(strchr(text.ptr, '\n') - text.ptr) + 1;
    for (size_t i = begin; i < text.len; i++) {
        char was = text.ptr[i];
        text.ptr[i] = was == '1' ? '2' : '1';
        if (key_file_parse(buf_span(&text), &read, &ec) == ERR_OK) /* the signature is another's to check */
            assert_true(key_check_certificate(&read, span_of((const char *)read.cert_bytes, read.cert_len),
                                              org.public_, &ec) != ERR_OK);
        text.ptr[i] = was;
    }
    for (size_t cut = begin; cut < text.len - 1; cut++)
        if (key_file_parse(span_first(buf_span(&text), cut), &read, &ec) == ERR_OK)
            assert_true(read.cert_len < k.cert_len);
    size_t len = text.len;
    assert_int_equal(buf_addf(&text, "kind: group\n"), ERR_OK);
    assert_int_equal(key_file_parse(buf_span(&text), &read, &ec), ERR_PARSE);
    text.len = len;
    assert_int_equal(buf_addf(&text, "color: red\n"), ERR_OK);
    assert_int_equal(key_file_parse(buf_span(&text), &read, &ec), ERR_PARSE);
    buf_done(&text);
}

static void test_keys__certificates_belong_to_one_key_and_one_organization(void **state)
{
    struct key_file org, stranger, group, other;
    struct errctx ec;
    (void)state;
    make(KEY_ORGANIZATION, &org);
    make(KEY_ORGANIZATION, &stranger);
    make(KEY_GROUP, &group);
    make(KEY_GROUP, &other);
    assert_int_equal(key_certify(&group, &org, 3, &ec), ERR_OK);
    struct span cert = span_of((const char *)group.cert_bytes, group.cert_len);
    assert_int_equal(key_check_certificate(&group, cert, org.public_, &ec), ERR_OK);
    assert_int_equal(key_check_certificate(&group, cert, stranger.public_, &ec), ERR_DENIED);
    assert_int_equal(key_check_certificate(&other, cert, org.public_, &ec), ERR_PARSE);
    assert_int_equal(key_certify(&group, &org, 3, &ec), ERR_PARSE); /* not above */
    assert_int_equal(key_certify(&group, &org, 4, &ec), ERR_OK);
    assert_int_equal(key_certify(&group, &other, 5, &ec), ERR_PARSE); /* not an organization's key */
    assert_int_equal(key_make(KEY_GROUP, SPAN("example"), SPAN("a b"), &other, &ec), ERR_PARSE);
    assert_int_equal(key_make(KEY_ORGANIZATION, SPAN(""), SPAN(""), &other, &ec), ERR_PARSE);
}

static void test_keys__fingerprints(void **state)
{
    uint8_t key[SIGN_KEY_LEN] = {0}, again[SIGN_KEY_LEN];
    char print[KEY_PRINT_LEN + 1], text[KEY_TEXT_LEN + 1];
    (void)state;
    key_print(key, print);
    assert_string_equal(print, "6668-7aad-f862-bd77-6c8f-c18b-8e9f-8e20"); /* SHA-256 of 32 zero bytes */
    key[31] = 0xa5;
    key_text(key, text);
    assert_true(key_text_parse(span_cstr(text), again));
    assert_memory_equal(key, again, sizeof key);
    assert_false(key_text_parse(span_first(span_cstr(text), 62), again));
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
int main(void)
{
    return CHECK_RUN(T(test_keys__a_file_is_read_as_written), T(test_keys__a_file_is_not_overwritten_unasked),
                     T(test_keys__what_others_can_read_is_refused),
                     cmocka_unit_test(test_keys__damaged_files_are_refused),
                     cmocka_unit_test(test_keys__certificates_belong_to_one_key_and_one_organization),
                     cmocka_unit_test(test_keys__fingerprints));
}
