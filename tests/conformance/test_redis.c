/* The store in production keeps the contract: the suite against a real redis-server. */
#include "tests/conformance/real.h"

int main(void)
{
    static const struct backend backend = {"redis",    real_setup, real_teardown,
                                           real_close, real_turn,  real_freeze};
    redis_server_start(&real_server, NULL, false);
    int failed = suite_run(&backend);
    redis_server_stop(&real_server);
    return failed;
}
