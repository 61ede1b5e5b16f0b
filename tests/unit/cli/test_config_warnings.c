/* tests/unit/cli/test_config_warnings.c — what `config check` tells of routing although it may be meant. */
#include "cli/config_review.h"
#include "tests/unit/check.h"

#include <stdlib.h>
#include <unistd.h>

static const struct {
    const char *yaml, *warnings; /* of the file "f" */
} cases[] = {
    {"connectors:\n"
     "- {name: a, address_spaces: [{space: '*'}, {space: '*.net', cost: 2}]}\n"
     "- {name: b, address_spaces: [{space: '*.org'}, {space: '*', cost: 2}]}\n",
     ""},
    {"connectors:\n"
     "- name: z\n"
     "  address_spaces:\n"
     "  - {space: '*.net', cost: 3}\n"
     "- name: b\n"
     "  address_spaces: [{space: '*.org'},\n"
     "    {space: '*.net', cost: 3}]\n",
     "f:7: connectors[1]: '*.net' at cost 3 is also an address space of connector 'z' (line 4): 'b' takes "
     "all of it "
     "while it is UP; give them different costs, or share with routing_group.spread\n"},
    {"routing_group: {spread: true}\n"
     "connectors:\n"
     "- {name: z, address_spaces: [{space: '*.net'}]}\n"
     "- {name: b, address_spaces: [{space: '*.net'}]}\n",
     ""},
    {"connectors:\n"
     "- {name: z, address_spaces: [{space: '*.net'}], max_message_size: 1M}\n"
     "- {name: b, address_spaces: [{space: '*.net'}]}\n",
     ""},
    {"connectors:\n"
     "- name: z\n"
     "  type: routing_group\n"
     "  to_group: far\n"
     "  smart_hosts: [mx]\n",
     "f:4: connectors[0]: nothing is known of group 'far': there are no routing_group.neighbours, so that no "
     "mail "
     "takes this connector; add them\n"},
};

static void test_warnings__name_lines_and_what_to_do(void **state)
{
    (void)state;
    CHECK_EACH (cases, c) {
        char path[] = "/tmp/bridgehead-test-XXXXXX";
        struct config *conf;
        struct errctx ec = {""};
        struct buf out;
        int fd = mkstemp(path);
        assert_true(fd >= 0 && write(fd, c->yaml, strlen(c->yaml)) == (ssize_t)strlen(c->yaml));
        if (config_load_marked(path, NULL, &conf, NULL, &ec) != ERR_OK)
            fail_msg("%s", ec.msg);
        buf_init(&out, 4096);
        assert_int_equal(config_warnings(conf, "f", &out), ERR_OK);
        check_span(buf_span(&out), span_cstr(c->warnings));
        assert_int_equal(config_line(conf, &config_root(conf)->redis.url), 0); /* a default */
        buf_done(&out);
        config_unref(conf);
        (void)close(fd);
        (void)unlink(path);
    }
}

int main(void)
{
    return CHECK_RUN(cmocka_unit_test(test_warnings__name_lines_and_what_to_do));
}
