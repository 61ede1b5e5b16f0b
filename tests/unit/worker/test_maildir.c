/* mirrors worker/maildir.c */
#include "tests/unit/check.h"

#include "worker/maildir.h"

#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[64], box[128];

static int setup(void **state)
{
    (void)state;
    (void)snprintf(dir, sizeof dir, "/tmp/maildir-test-XXXXXX");
    if (mkdtemp(dir) == NULL)
        return -1;
    (void)snprintf(box, sizeof box, "%s/a/b", dir);
    return 0;
}

static int teardown(void **state)
{
    char command[128];
    (void)state;
    (void)snprintf(command, sizeof command, "rm -rf %s", dir);
    return system(command);
}

static unsigned files_in(const char *part)
{
    char path[256];
    unsigned n = 0;
    DIR *d;

    (void)snprintf(path, sizeof path, "%s/%s", box, part);
    d = opendir(path);
    if (d == NULL)
        return 0;
    for (struct dirent *e; (e = readdir(d)) != NULL;)
        n += e->d_name[0] != '.' ? 1 : 0;
    (void)closedir(d);
    return n;
}

static void content_of(const char *name, char *out, size_t size)
{
    char path[256];
    FILE *f;

    (void)snprintf(path, sizeof path, "%s/new/%s", box, name);
    f = fopen(path, "re");
    assert_non_null(f);
    out[fread(out, 1, size - 1, f)] = '\0';
    (void)fclose(f);
}

static void deliver(const char *name, const char *text, uint64_t unique)
{
    struct maildir_file f = {0};

    assert_int_equal(maildir_begin(&f, span_cstr(box), name, unique, NULL), ERR_OK);
    assert_int_equal(files_in("tmp"), 1);
    assert_int_equal(maildir_append(&f, span_cstr(text), NULL), ERR_OK);
    assert_int_equal(maildir_commit(&f, NULL), ERR_OK);
    maildir_abort(&f);
    assert_int_equal(files_in("tmp"), 0);
}

static void test_maildir__a_repeated_delivery_replaces_the_first(void **state)
{
    char text[64];
    struct stat st;
    (void)state;
    deliver("n1", "one", 1);
    deliver("n1", "two", 2);
    deliver("n2", "three", 3);
    assert_int_equal(files_in("new"), 2);
    content_of("n1", text, sizeof text);
    assert_string_equal(text, "two");
    assert_int_equal(stat(box, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
}

static void test_maildir__a_mailbox_without_new_gets_it(void **state)
{
    char path[256], text[64];

    (void)state;
    deliver("1", "one", 1);
    (void)snprintf(path, sizeof path, "%s/new/1", box);
    assert_int_equal(unlink(path), 0);
    (void)snprintf(path, sizeof path, "%s/new", box);
    assert_int_equal(rmdir(path), 0);
    deliver("2", "two", 2);
    content_of("2", text, sizeof text);
    assert_string_equal(text, "two");
}

static void test_maildir__what_is_given_up_leaves_nothing(void **state)
{
    struct maildir_file f = {0};
    (void)state;
    assert_int_equal(maildir_begin(&f, span_cstr(box), "n", 1, NULL), ERR_OK);
    assert_int_equal(maildir_append(&f, SPAN("half"), NULL), ERR_OK);
    maildir_abort(&f);
    maildir_abort(&f);
    assert_int_equal(files_in("tmp"), 0);
    assert_int_equal(files_in("new"), 0);
}

static void test_maildir__errors_say_what_and_where(void **state)
{
    struct maildir_file f = {0};
    struct errctx ec = {""};
    char path[128];
    FILE *blocker;
    (void)state;
    (void)snprintf(path, sizeof path, "%s/file", dir);
    blocker = fopen(path, "we");
    assert_non_null(blocker);
    (void)fclose(blocker);
    assert_int_equal(maildir_begin(&f, span_cstr(path), "n", 1, &ec), ERR_IO);
    assert_non_null(strstr(ec.msg, "/file"));
    assert_null(f.dir);
}

static void test_maildir__does_not_follow_links_of_others(void **state)
{
    struct maildir_file f = {0};
    char path[256];
    (void)state;
    deliver("warm", "up", 1);
    (void)snprintf(path, sizeof path, "%s/tmp/n.7", box);
    assert_int_equal(symlink("/etc/passwd", path), 0);
    assert_int_equal(maildir_begin(&f, span_cstr(box), "n", 7, NULL), ERR_IO);
}

static void test_maildir__names_depend_on_message_and_mailbox_alone(void **state)
{
    struct msgid id = {.id = "01JD0M3V8ZQK4T2A", .partition = 7};
    char a[MAILDIR_NAME_MAX], b[MAILDIR_NAME_MAX];
    (void)state;
    maildir_name(&id, 1, 1795476587123, SPAN("a@x"), a);
    maildir_name(&id, 1, 1795476587123, SPAN("a@x"), b);
    assert_string_equal(a, b);
    check_span(span_first(span_cstr(a), 33), SPAN("1795476587.07-01JD0M3V8ZQK4T2A.1."));
    maildir_name(&id, 1, 1795476587123, SPAN("b@x"), b);
    assert_string_not_equal(a, b);
    assert_null(strchr(a, '/'));
    assert_null(strchr(a, ':'));
}

int main(void)
{
    return CHECK_RUN(
        cmocka_unit_test_setup_teardown(test_maildir__a_repeated_delivery_replaces_the_first, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_maildir__a_mailbox_without_new_gets_it, setup, teardown),
        cmocka_unit_test_setup_teardown(test_maildir__what_is_given_up_leaves_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_maildir__errors_say_what_and_where, setup, teardown),
        cmocka_unit_test_setup_teardown(test_maildir__does_not_follow_links_of_others, setup, teardown),
        cmocka_unit_test(test_maildir__names_depend_on_message_and_mailbox_alone));
}
