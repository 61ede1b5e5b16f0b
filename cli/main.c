/* cli/main.c — the program: one table of verbs, daemons and commands alike. */
#include "cli/cli.h"

int main(int argc, char **argv)
{
    return cli_main(argc, argv);
}
