/* cli/verbs.c — every command, once: what follows from a row stands in cli/cli.h. */
#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/remote.h"
#include "queue/admin.h"

/* clang-format off */
static const char running[]  = "Running it";
static const char watching[] = "Watching it";
static const char queues[]   = "Queues";
static const char mail[]     = "Mail";
static const char routing[]  = "Routing";
static const char settings[] = "Configuration";
static const char other[]    = "Other";

static const struct cli_optdesc send_opts[] = {
    {"from", 'f', "ADDRESS", "envelope sender; default: the null sender"},
    {"to", 't', "ADDRESS", "a recipient, beside those that are arguments"},
    {"subject", 's', "TEXT", "subject of the message"},
    {"body", 'b', "TEXT", "its text"},
    {"file", 0, "FILE", "the whole message, headers included; - reads standard input"},
    {"server", 0, "ADDRESS:PORT", "where to send to; default: the first listener of the configuration"},
    {NULL, 0, NULL, NULL},
};

static const struct cli_optdesc simulate_opts[] = {
    {"shape", 0, "ring|hub|random|tree-of-rings", "of the topology, without files; default random"},
    {"groups", 'g', "N", "routing groups, at most 10000; default 100"},
    {"links", 'l', "N", "links of a random shape; default 2.5 a group"},
    {"script", 0, "FILE", "what happens: lines such as `at 10s down A B`; docs/planning.md tells all"},
    {"events", 'e', "N", "links that fail and heal at random, one after the other; default 10, after a script 0"},
    {"loss", 0, "PERMILLE", "messages lost, of a thousand; default 0"},
    {"latency", 0, "MS", "longest latency of a message; default 20"},
    {"seed", 0, "N", "same seed, same run; default 1"},
    {"svg", 0, "FILE", "draw how it ended, as SVG; what is DOWN is red and dashed"},
    {"dot", 0, "FILE", "the same for Graphviz"},
    {NULL, 0, NULL, NULL},
};
static const struct cli_optdesc keys_opts[] = {
    {"organization", 0, "NAME", "name of the organization; default: as configured"},
    {"group", 0, "NAME", "name of the routing group; default: as configured"},
    {"organization-key", 0, "FILE", "the organization's key, which certifies"},
    {"organization-public", 0, "KEY", "its public key; default: as configured"},
    {"serial", 0, "N", "of the certificate; a higher one replaces a lower one. Default: the next, from 1"},
    {NULL, 0, NULL, NULL},
};
static const struct cli_optdesc word_opts[] = {
    {"reason", 0, "TEXT", "kept in the history, and shown by `link list`"},
    {"for", 0, "DURATION", "until so much time has passed: 90s, 10m, 2h, 3d; default: until `link auto`"},
    {NULL, 0, NULL, NULL},
};
static const struct cli_optdesc show_opts[] = {
    CLI_DRAWN,
    {"raw", 0, NULL, "the signed bytes of every record, and whose key signed them"},
    {"watch", 'w', NULL, "again whenever it changes, until Ctrl-C"},
    {NULL, 0, NULL, NULL},
};
static const struct cli_optdesc explain_opts[] = {
    {"size", 0, "BYTES", "of the message; 64K and 10M mean what they say"},
    {"priority", 0, "low|normal|high", "of the message; default normal"},
    {"sender", 's', "ADDRESS", "envelope sender; default: the null sender"},
    {"system", 0, NULL, "the message is a report"},
    {"in-transit", 0, NULL, "the message came from another routing group"},
    {"from-group", 'g', "NAME", "as seen from another routing group"},
    {"offline", 0, NULL, "from the configuration alone; asks nobody"},
    {NULL, 0, NULL, NULL},
};
static const struct cli_optdesc offline_opts[] = {
    {"offline", 0, NULL, "from the configuration alone; asks nobody"},
    {NULL, 0, NULL, NULL},
};
static const struct cli_optdesc history_opts[] = {
    {"group", 'g', "NAME", "only what happened to this group"},
    {"max", 0, "N", "at most so many, the newest; default 50, at most 10000"},
    {NULL, 0, NULL, NULL},
};
static const struct cli_optdesc check_opts[] = {
    {"live", 0, NULL, "also resolve every target of every connector, connect, and wait for its greeting"},
    {"timeout", 0, "DURATION", "longest wait for each answer of a target; default 10s"},
    {NULL, 0, NULL, NULL},
};
static const struct cli_optdesc top_opts[] = {
    {"count", 0, "N", "end after N screens; default: on a terminal never, else 1"},
    {NULL, 0, NULL, NULL},
};
static const struct cli_optdesc fsck_opts[] = {
    {"repair", 0, NULL, "mend what can be mended"},
    {NULL, 0, NULL, NULL},
};

/* Each counter of -o json, in the words of its declaration. */
#define X(name, kind, meaning) "\n- " #name ": " meaning
#define STATUS_LONG "With -o json, `messages` and `waiting` are what is not over (`accepted` less `gone`, `jobs` less `ended`), `slots` the\n" \
    "connections that count against the caps, and `counters`, of all partitions together:\n" ADMIN_COUNTERS(X)

const struct verb cli_verbs[] = {
    {"run", running, "", 0, 0, "everything on this machine: Redis, node, worker, router",
     "Starts what redis.url asks for (`embedded`: a redis-server child), the node, the worker, and the router when\n"
     "routing_group.key_file names a key; starts again what dies. What cannot start at all ends it within seconds, with\n"
     "the reason in a log line `run.gave_up` and exit code 3 or 6. SIGTERM stops node, worker and router, then Redis;\n"
     "SIGHUP reads the configuration again."
     , NULL, cmd_run},
    {"node", running, "", 0, 0, "the SMTP front alone", "Answers 250 when a message is durable in the shared queue. Any number of nodes may run.", NULL, cmd_node},
    {"worker", running, "", 0, 0, "the delivery worker alone", "Empties the queue under connection caps that hold for all workers together.", NULL, cmd_worker},
    {"router", running, "", 0, 0, "the routing daemon alone", "Exchanges link state with the routers of neighbouring groups and publishes the table of routes. Several may run\n"
     "in a group: one is master, another takes over within seconds.", NULL, cmd_router},
    {"reload", running, "", 0, 0, "let `bridgehead run` read its configuration again; prints what needs a restart", NULL, NULL, cmd_reload},

    {"status", watching, "", 0, 0, "one screen: queues, nodes and workers, connections, Redis", STATUS_LONG, NULL, cmd_status},
    {"top", watching, "", 0, 0, "the same, live; q quits",
     "Anew every second. Without a terminal it prints one screen, with the rates of one second, and ends.", top_opts, cmd_top},

    {"queue list", queues, "", 0, 0, "destination queues: state, next hop, messages, oldest, last error, next try",
     "Active: a worker has mail of it in hand; Ready: some is due; Retry: waits for another try; Scheduled: for a time that was set; Frozen:\n"
     "until `queue thaw`. WAITING and IN HAND are deliveries: a message has one in each queue. OLDEST with a ~ is up to 10 minutes\n"
     "off (64 and more wait, some of them deferred): `queue show` has the exact age of each.", NULL, cmd_queue_list},
    {"queue show", queues, "[QUEUE|ID]", 0, 1, "the mail in a queue, or all mail that the options describe", NULL, find_opts, cmd_queue_show},
    {"queue freeze", queues, "[QUEUE|ID]", 0, 1, "send nothing of a queue, or of some messages, until it is thawed",
     "A queue that is frozen, or with --all every queue that has mail, accepts mail and sends none. With an id, a filter\n"
     "or --messages the messages that wait now are frozen one by one, and the rest of their queues goes on; a message of\n"
     "several destinations in each of them. What is frozen does not expire, is not tried by `queue retry`, and can be\n"
     "thawed, bounced and deleted. What a worker has in hand is left alone; when it comes back, ask again.", freeze_opts, cmd_queue_freeze},
    {"queue thaw", queues, "[QUEUE|ID]", 0, 1, "let frozen queues, or frozen messages, go on",
     "A queue, or with --all every queue; messages that were frozen one by one stay so. These go on with an id, a filter or\n"
     "--messages: `queue thaw --all --messages` for all of them.", freeze_opts, cmd_queue_thaw},
    {"queue retry", queues, "[QUEUE|ID]", 0, 1, "try again now", "Also forgets the failures of the next hops, so that nothing waits for their next try. What is frozen stays frozen.", filter_opts, cmd_queue_retry},
    {"queue bounce", queues, "[QUEUE|ID]", 0, 1, "return to the senders, with a report", "What waits in a frozen queue is returned when that is thawed; messages that are frozen one by one at once.", filter_opts, cmd_queue_bounce},
    {"queue delete", queues, "[QUEUE|ID]", 0, 1, "delete, without a report", NULL, filter_opts, cmd_queue_delete},
    {"queue fsck", queues, "", 0, 0, "prove the invariants of the whole store while it runs",
     "A line for each finding: partition, invariant, what it is about. Then what these invariants mean, and what to do. Ends with 1\n"
     "when something is found that is not mended. -o json lists 1,000 findings, what is left before what was mended, and\n"
     "says in `findings_left_out` how many more there are.", fsck_opts, cmd_queue_fsck},

    {"message show", mail, "ID", 1, 1, "envelope, and the recipients that are left: where they wait, tries, last reply",
     "Who was delivered to or returned is not there any more: `message track` tells what became of them.", NULL, cmd_message_show},
    {"message track", mail, "[ID]", 0, 1, "the history of a message, or of all that is kept",
     "Each line of an attempt names its recipients, the way, and what was said. Of one message that is not over, lines `now` at the\n"
     "end say for whom it waits, and where. How much history is kept says redis.history.", NULL, cmd_message_track},
    {"message export", mail, "ID", 1, 1, "the message itself, to standard output", NULL, NULL, cmd_message_export},
    {"badmail list", mail, "", 0, 0, "what can be neither delivered nor returned, and why", NULL, find_opts, cmd_badmail_list},
    {"badmail show", mail, "ID", 1, 1, "envelope and recipients of badmail", NULL, NULL, cmd_badmail_show},
    {"badmail requeue", mail, "[QUEUE|ID]", 0, 1, "try badmail again, as if it had just arrived", NULL, filter_opts, cmd_badmail_requeue},
    {"badmail delete", mail, "[QUEUE|ID]", 0, 1, "delete badmail", NULL, filter_opts, cmd_badmail_delete},
    {"send", mail, "[ADDRESS...]", 0, CLI_ARGS_MAX - 1, "send a test message over SMTP; prints what the server answered", NULL, send_opts, cmd_send},

    {"route explain", routing, "ADDRESS", 1, 1, "where mail for an address goes, and why",
     "Every connector with an address space that holds the domain, and why it was chosen or not; the whole path with\n"
     "the cost of each step; the targets in the order that they are tried; and what would happen if the first\n"
     "connector failed.", explain_opts, cmd_route_explain},
    {"route table", routing, "", 0, 0, "address spaces: cost, connector, group, path from here, state", NULL, offline_opts, cmd_route_table},
    {"link list", routing, "", 0, 0, "connectors of this group: UP or DOWN, since when and why, targets, penalty, overrides",
     "Only a router watches connectors that name their targets, and takes mail from one that is DOWN. Without one workers go on trying:\n"
     "`status` shows the next hops that fail.", NULL, cmd_link_list},
    {"link down", routing, "CONNECTOR", 1, 1, "announce a connector DOWN, whatever is found out: mail takes another way, or waits", NULL, word_opts, cmd_link_down},
    {"link up", routing, "CONNECTOR", 1, 1, "announce a connector UP, whatever is found out", NULL, word_opts, cmd_link_up},
    {"link auto", routing, "CONNECTOR", 1, 1, "take an override back: workers and probes decide again", NULL, NULL, cmd_link_auto},
    {"group list", routing, "", 0, 0, "routing groups: version, when refreshed, routers, connectors, adjacency", NULL, NULL, cmd_group_list},
    {"linkstate show", routing, "", 0, 0, "the published table: every group with its connectors, as a tree or a drawing",
     "The drawing has the costs of all connectors between groups; what is DOWN is red and dashed.", show_opts, cmd_linkstate_show},
    {"linkstate verify", routing, "", 0, 0, "ask every neighbour for its table, and name what differs",
     "Exits with 1 when a neighbour's table differs or a neighbour does not answer.", NULL, cmd_linkstate_verify},
    {"linkstate purge", routing, "GROUP", 1, 1, "drop a group's record; one that is alive comes back by itself",
     "Its mail waits for twice router.refresh, in case it does, and is returned then. What was purged stays away, over restarts, for one\n"
     "router.lifetime and a day; in other groups it stays until it is purged there, or ends by its age.", NULL, cmd_linkstate_purge},
    {"linkstate history", routing, "", 0, 0, "what went UP or DOWN, came or went, when and why; the newest first",
     "The last 10000 events are kept, over restarts and changes of the master.", history_opts, cmd_linkstate_history},
    {"simulate", routing, "[FILE...]", 0, CLI_ARGS_MAX - 1, "how link state spreads over a topology: time, messages, bytes",
     "Runs the engines of all groups in virtual time. Links fail and heal at random, or as a script says; for each event\n"
     "the table shows how long it took until every router had the same table again, and what was sent for it (without\n"
     "keep-alives), beside the bytes that flooding full tables would have cost.\n"
     "The topology comes from configurations, one of each group (several in one file are separated by lines of ---),\n"
     "or from a published topology in GraphML; without files it is made, of a shape.", simulate_opts, cmd_simulate},

    {"keys make", routing, "organization|group|transport FILE", 2, 2, "make a secret key, in a file that only its owner reads",
     "The organization's key certifies the keys of groups and is best kept away from every server. A group's key\n"
     "signs its link-state record; with --organization-key it is certified at once, else `keys certify` where that\n"
     "key is, and `keys install` here. A transport key encrypts what routers say to each other.", keys_opts, cmd_keys_make},
    {"keys show", routing, "[FILE...]", 0, CLI_ARGS_MAX, "public keys and fingerprints of key files; default: all that the configuration names", NULL, NULL, cmd_keys_show},
    {"keys certify", routing, "GROUP PUBLIC", 2, 2, "print a certificate of the organization for a group's public key", NULL, keys_opts, cmd_keys_certify},
    {"keys install", routing, "FILE CERTIFICATE", 2, 2, "put a certificate into the file of a group's key", NULL, keys_opts, cmd_keys_install},
    {"keys rotate", routing, "FILE", 1, 1, "replace a group's key by a new one with a certificate of a higher serial",
     "Routers that read their configuration again (`bridgehead reload`) sign with it at once; adjacencies stay.", keys_opts, cmd_keys_rotate},

    {"config show", settings, "", 0, 0, "the settings in force, defaults included; of secrets the file's name", NULL, NULL, cmd_config_show},
    {"config schema", settings, "", 0, 0, "the JSON schema of the configuration, for editors", NULL, NULL, cmd_config_schema},
    {"config check", settings, "[FILE]", 0, 1, "check the configuration and the files it names; every problem with its line",
     "Warnings are about what is allowed but perhaps not meant, such as address spaces that overlap; they do not change\n"
     "the exit code.", check_opts, cmd_config_check},

    {"help", other, "[COMMAND]", 0, 2, "this, or what a command does", NULL, NULL, cmd_help},
    {"docs", other, "cli|settings|metrics", 1, 1, "a generated reference, in Markdown", NULL, NULL, cmd_docs},
    {"completion", other, "bash|zsh|fish", 1, 1, "completion for a shell: `source <(bridgehead completion bash)`", NULL, NULL, cmd_completion},
    {"version", other, "", 0, 0, "the version", NULL, NULL, cmd_version},
};
/* clang-format on */
const size_t cli_verb_count = ARRAY_LEN(cli_verbs);
