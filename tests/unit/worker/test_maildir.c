/* mirrors worker/maildir.c; fsync(), rename() and write() are our own: they note what is done, and fail on
 * order */
#include "tests/unit/check.h"

#include "worker/maildir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static char dir[64], box[128];

static char done[2048];   /* "fsync a/b/tmp/x; rename a/b/new/x; ", below the directory of the test */
static unsigned fails_at; /* the fsync or rename of that number, from 1 */
static unsigned calls;    /* of these */
static size_t write_most; /* so many octets a write(), every other one interrupted; 0: as asked for */
static bool interrupted;

static bool note(const char *what, const char *path)
{
    size_t n = strlen(done), below = strlen(dir);

    if (strncmp(path, dir, below) == 0 && path[below] == '/')
        path += below + 1;
    (void)snprintf(done + n, sizeof done - n, "%s %s; ", what, path);
    return ++calls != fails_at;
}

int fsync(int fd)
{
    char link[64], path[512] = "";

    (void)snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    assert_true(readlink(link, path, sizeof path - 1) > 0);
    if (!note("fsync", path)) {
        errno = EIO;
        return -1;
    }
    return (int)syscall(SYS_fsync, fd);
}

int rename(const char *from, const char *to)
{
    if (!note("rename", to)) {
        errno = EIO;
        return -1;
    }
    return (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
}

ssize_t write(int fd, const void *bytes, size_t n)
{
    interrupted = write_most > 0 && !interrupted;
    if (interrupted) {
        errno = EINTR;
        return -1;
    }
    return syscall(SYS_write, fd, bytes, write_most > 0 && n > write_most ? write_most : n);
}

static int setup(void **state)
{
    (void)state;
    (void)snprintf(dir, sizeof dir, "/tmp/maildir-test-XXXXXX");
    if (mkdtemp(dir) == NULL)
        return -1;
    (void)snprintf(box, sizeof box, "%s/a/b", dir);
    done[0] = '\0';
    calls = fails_at = 0;
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

/* The file before it has its name, the name before anybody is told; the name of a new directory in the one
 * above it, too. */
static void test_maildir__is_durable_before_it_is_done(void **state)
{
    (void)state;
    deliver("1", "one", 1);
    check_span(span_cstr(strstr(done, "fsync a;")),
               SPAN("fsync a; fsync a/b; fsync a/b; fsync a/b; "
                    "fsync a/b/tmp/1.1; rename a/b/new/1; fsync a/b/new; "));
    assert_int_equal(calls, 8); /* the first: the directory of the test, above a */
    done[0] = '\0';
    deliver("2", "two", 2);
    assert_string_equal(done, "fsync a/b/tmp/2.2; rename a/b/new/2; fsync a/b/new; ");
}

/* Whatever fails: nobody is told that it was done, tmp/ is clean, and the next try does all that is missing.
 */
static void test_maildir__what_fails_is_made_up_for(void **state)
{
    for (unsigned at = 1; at <= 8; at++) {
        struct maildir_file f = {0};
        char text[64];
        enum err e;

        assert_int_equal(setup(state), 0);
        fails_at = at;
        e = maildir_begin(&f, span_cstr(box), "1", 1, NULL);
        if (e == ERR_OK)
            e = maildir_append(&f, SPAN("one"), NULL);
        if (e == ERR_OK)
            e = maildir_commit(&f, NULL);
        assert_int_equal(e, ERR_IO);
        maildir_abort(&f);
        assert_int_equal(files_in("tmp"), 0);
        if (at < 8)
            assert_int_equal(files_in("new"), 0);
        calls = fails_at = 0;
        done[0] = '\0';
        deliver("1", "two", 2);
        content_of("1", text, sizeof text);
        assert_string_equal(text, "two");
        assert_int_equal(files_in("new"), 1);
        assert_int_equal(calls, at < 6 ? 9 - at : 3); /* what was durable before is not done again */
        assert_int_equal(teardown(state), 0);
    }
}

static void test_maildir__writes_all_of_it(void **state)
{
    struct stat st;
    char path[256], text[64];
    (void)state;
    deliver("0", "first", 0);
    write_most = 3;
    deliver("1", "rather more than three", 1);
    write_most = 0;
    content_of("1", text, sizeof text);
    assert_string_equal(text, "rather more than three");
    (void)snprintf(path, sizeof path, "%s/new/1", box);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
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
    (void)snprintf(path, sizeof path, "%s/tmp/n.8",
                   box); /* nor is a file taken over that somebody put there */
    assert_int_equal(close(open(path, O_CREAT | O_WRONLY, 0666)), 0);
    assert_int_equal(maildir_begin(&f, span_cstr(box), "n", 8, NULL), ERR_IO);
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
        cmocka_unit_test_setup_teardown(test_maildir__is_durable_before_it_is_done, setup, teardown),
        cmocka_unit_test(test_maildir__what_fails_is_made_up_for),
        cmocka_unit_test_setup_teardown(test_maildir__writes_all_of_it, setup, teardown),
        cmocka_unit_test_setup_teardown(test_maildir__what_is_given_up_leaves_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_maildir__errors_say_what_and_where, setup, teardown),
        cmocka_unit_test_setup_teardown(test_maildir__does_not_follow_links_of_others, setup, teardown),
        cmocka_unit_test(test_maildir__names_depend_on_message_and_mailbox_alone));
}
