/* common/config/settings.def.h — every key of bridgehead.yaml, declared once.
 *
 * From these lists come the structs the programs read (config.h), the parser and its range checks,
 * the environment overrides, the reload rule, docs/settings.md and the JSON schema. A section is a
 * list macro CONF_<SECTION>(V, E, S, L):
 *
 *   V(member, TYPE, "key", default, min, max, WHEN, help)   a value; default is text, as typed in YAML;
 *                                                          NULL: the key is required; "": unset/empty
 *   E(member, "key", default, "a|b|c", WHEN, help)          one word of a set; the value is its index
 *   S(member, section, "key", help)                         a mapping: struct conf_<section>
 *   L(member, section, "key", max, help)                    a sequence of mappings
 *
 * TYPE says what is accepted and how it is normalized; types.c and units.c have one definition each:
 *   a text       STR NAME HOST DOMAIN SPACE MAILBOX ENDPOINT REDIS_URL DURABILITY DELIVER KEY
 *                PATH (made absolute) SECRET (path of a file holding the value)
 *   a number     SIZE (bytes; 50M = 50 * 2^20) MS (500ms 60s 10m 12h 2d 1h30m) UINT BOOL
 *   a list       LISTENS TARGETS RESOLVERS IPS SENDERS PRIORITIES KEYWORDS KEYS NAMES NETS MSLIST (durations)
 * min and max bound the number, the bytes, the milliseconds, the length of the text, or the items.
 * WHEN: RELOAD applies on SIGHUP without dropping a connection; RESTART needs a restart; TOGGLE is a text
 * whose new value is applied, but to set what was empty, or to empty it, needs a restart. */
#pragma once

#define CONF_MIN  ((uint64_t)60 * 1000)
#define CONF_HOUR (60 * CONF_MIN)
#define CONF_DAY  (24 * CONF_HOUR)
#define CONF_MIB  ((uint64_t)1 << 20)

/* clang-format off */
#define CONF_NEIGHBOUR(V, E, S, L) \
    V(group, NAME, "group", NULL, 1, 63, RELOAD, "routing group whose routers exchange link state with ours") \
    V(endpoints, TARGETS, "endpoints", "", 0, 16, RELOAD, "host:port of its routers (691 if none is named), all of them tried; empty: they connect to us") \
    V(keys, KEYS, "keys", NULL, 1, 8, RELOAD, "public transport keys of its routers; several while one is replaced")

#define CONF_ROUTING_GROUP(V, E, S, L) \
    V(name, NAME, "name", "default", 1, 63, RELOAD, "name of this cluster in the organization") \
    V(organization_key, KEY, "organization_key", "", 0, 64, RELOAD, "public key of the organization, which certifies the groups' keys") \
    V(key_file, PATH, "key_file", "", 0, 4096, TOGGLE, "secret key of this group with its certificate, made by `bridgehead keys`; empty: no routing daemon") \
    V(transport_key_file, PATH, "transport_key_file", "", 0, 4096, RELOAD, "secret key that connections between routers are encrypted with") \
    L(neighbours, neighbour, "neighbours", 1024, "routing groups to exchange link state with") \
    V(fall_back, BOOL, "fall_back", "true", 0, 0, RELOAD, "when every connector of the most specific address space is down, use the next more general one; no: wait") \
    V(spread, BOOL, "spread", "false", 0, 0, RELOAD, "spread messages over connectors of equal cost, and over their targets, by weight; no: the first by name") \
    V(scope_in_transit, BOOL, "scope_in_transit", "true", 0, 0, RELOAD, "mail from other groups does not use connectors of scope group; no: only where mail begins")

#define CONF_REDIS(V, E, S, L) \
    V(url, REDIS_URL, "url", "embedded", 1, 2048, RESTART, "embedded, unix:///path, redis://h:6379/0, rediss://h, redis-sentinel://h1:26379,h2/mymaster; redis-cluster://h1,h2 is not supported yet") \
    V(durability, DURABILITY, "durability", "fsync", 1, 16, RESTART, "what 250 promises: fsync, replicas:N or all") \
    V(namespace_, NAME, "namespace", "mq", 1, 32, RESTART, "prefix of every key") \
    V(partitions, UINT, "partitions", "16", 1, 4096, RESTART, "partitions of a new store; an existing one keeps its own") \
    V(username, STR, "username", "", 0, 128, RESTART, "ACL user") \
    V(password_file, SECRET, "password_file", "", 0, 4096, RESTART, "file holding the password") \
    V(ca_file, PATH, "ca_file", "", 0, 4096, RESTART, "CA certificates for rediss://; empty: the system's") \
    V(connect_timeout_ms, MS, "connect_timeout", "1s", 50, CONF_MIN, RESTART, "longest wait for a connection") \
    V(command_timeout_ms, MS, "command_timeout", "2s", 50, CONF_MIN, RESTART, "longest wait for a reply") \
    V(commit_connections, UINT, "commit_connections", "4", 1, 64, RESTART, "connections of a loop that carry commits in turn") \
    V(embedded_bytes, SIZE, "embedded_memory", "0", 0, UINT64_MAX, RESTART, "maxmemory of the embedded Redis: above it clients get 452; 0: half of the machine's") \
    V(redo_bytes, SIZE, "redo_ring", "64M", 0, 4096 * CONF_MIB, RESTART, "acknowledged mail kept in a node to repair a failover") \
    V(history, UINT, "history", "20000", 0, 10000000, RESTART, "tracking events kept per partition; 0 turns tracking off")

#define CONF_TLS(V, E, S, L) \
    V(certificate, PATH, "certificate", "", 0, 4096, RELOAD, "certificate chain, PEM; reloaded when the file changes") \
    V(key, PATH, "key", "", 0, 4096, RELOAD, "private key, PEM") \
    V(required, BOOL, "required", "false", 0, 0, RELOAD, "refuse mail before STARTTLS") \
    E(min_version, "min_version", "1.2", "1.2|1.3", RELOAD, "oldest protocol version accepted")

#define CONF_SERVER_TIMEOUTS(V, E, S, L) \
    V(command_ms, MS, "command", "10m", 1000, CONF_HOUR, RELOAD, "waiting for the next command (RFC 5321 4.5.3.2.7)") \
    V(data_ms, MS, "data", "3m", 1000, CONF_HOUR, RELOAD, "waiting for the next piece of a body (RFC 5321 4.5.3.2.5)") \
    V(tls_ms, MS, "tls", "1m", 1000, CONF_HOUR, RELOAD, "TLS handshake") \
    V(session_ms, MS, "session", "2h", 1000, CONF_DAY, RELOAD, "whole session")

#define CONF_VIRTUAL_SERVER(V, E, S, L) \
    V(name, NAME, "name", NULL, 1, 63, RELOAD, "name of the virtual server") \
    V(listen, LISTENS, "listen", "127.0.0.1:2525", 1, 64, RELOAD, "address:port, or tls://address:port for TLS from the first byte") \
    V(hostname, HOST, "hostname", "", 0, 255, RELOAD, "own name in greetings and trace headers; empty: the machine's") \
    V(banner, STR, "banner", "ESMTP Bridgehead", 0, 200, RELOAD, "text of the greeting after the name") \
    S(tls, tls, "tls", "STARTTLS and implicit TLS") \
    V(relay_from, NETS, "relay_from", "", 0, 1024, RELOAD, "networks that may send anywhere") \
    V(max_message_size, SIZE, "max_message_size", "50M", 1024, 4096 * CONF_MIB, RELOAD, "largest message; announced as SIZE") \
    V(max_session_size, SIZE, "max_session_size", "0", 0, UINT64_MAX, RELOAD, "most bytes of mail in a session; 0: no limit") \
    V(max_header_size, SIZE, "max_header_size", "256K", 1024, 16 * CONF_MIB, RELOAD, "largest header section of a message") \
    V(max_recipients, UINT, "max_recipients", "64000", 1, 1000000, RELOAD, "recipients of a message; the rest gets 452") \
    V(max_connections, UINT, "max_connections", "5000", 1, 1000000, RELOAD, "sessions of this virtual server in this process") \
    V(max_connections_per_client, UINT, "max_connections_per_client", "500", 1, 1000000, RELOAD, "sessions of one client address") \
    V(max_rate_per_client, UINT, "max_rate_per_client", "600", 0, 1000000, RELOAD, "new sessions a minute of one client address; 0: no limit. Clients in relay_from are not counted: they open as many as they have mail") \
    V(max_hops, UINT, "max_hops", "30", 10, 256, RELOAD, "Received headers after which a message is looping") \
    V(max_line_length, UINT, "max_command_line", "4096", 512, 65536, RELOAD, "longest command line, its CRLF included") \
    V(max_errors, UINT, "max_errors", "20", 1, 100000, RELOAD, "failed commands of a session before 421") \
    V(min_data_rate, UINT, "min_data_rate", "64", 0, 1000000, RELOAD, "bytes a second that a body must bring on average after a minute; 0: no limit") \
    E(line_endings, "line_endings", "strict", "strict|normalize", RELOAD, "bare CR or LF in a body: refused, or turned into CRLF") \
    S(timeouts, server_timeouts, "timeouts", "how long a client may keep silent") \
    V(disable_extensions, KEYWORDS, "disable_extensions", "", 0, 32, RELOAD, "EHLO keywords not to offer") \
    V(reverse_dns_lookup, BOOL, "reverse_dns_lookup", "false", 0, 0, RELOAD, "look up the client's name for the Received header") \
    V(masquerade_domain, DOMAIN, "masquerade_domain", "", 0, 255, RELOAD, "replaces the domain of the sender at the first hop") \
    V(protocol_log, BOOL, "protocol_log", "false", 0, 0, RELOAD, "log every command and reply")

#define CONF_RETRY(V, E, S, L) \
    V(glitch, MSLIST, "glitch", "60s, 60s, 60s", 0, 16, RELOAD, "first retries of a link that failed") \
    V(schedule, MSLIST, "schedule", "10m, 10m, 10m, 15m", 1, 64, RELOAD, "retries after the glitch retries; the last repeats") \
    V(jitter_percent, UINT, "jitter_percent", "10", 0, 50, RELOAD, "random part of every retry interval") \
    V(expire_ms, MS, "expire", "2d", CONF_MIN, 60 * CONF_DAY, RELOAD, "age at which a message to a remote domain is returned") \
    V(delay_notice_ms, MS, "delay_notice", "12h", 0, 60 * CONF_DAY, RELOAD, "age at which the sender is told of the delay; 0: never") \
    V(local_expire_ms, MS, "local_expire", "2d", CONF_MIN, 60 * CONF_DAY, RELOAD, "as expire, for local delivery") \
    V(local_delay_notice_ms, MS, "local_delay_notice", "12h", 0, 60 * CONF_DAY, RELOAD, "as delay_notice, for local delivery") \
    V(problem_after, UINT, "problem_after", "2", 1, 1000, RELOAD, "failures of its own after which a message sorts behind healthy ones")

#define CONF_CLIENT_TIMEOUTS(V, E, S, L) \
    V(connect_ms, MS, "connect", "30s", 100, CONF_HOUR, RELOAD, "TCP connection to one address") \
    V(greeting_ms, MS, "greeting", "5m", 100, CONF_HOUR, RELOAD, "greeting (RFC 5321 4.5.3.2.1)") \
    V(helo_ms, MS, "helo", "5m", 100, CONF_HOUR, RELOAD, "EHLO, HELO, LHLO, STARTTLS, RSET; QUIT at most 10 s") \
    V(mail_ms, MS, "mail", "5m", 100, CONF_HOUR, RELOAD, "MAIL (4.5.3.2.2)") \
    V(rcpt_ms, MS, "rcpt", "5m", 100, CONF_HOUR, RELOAD, "RCPT (4.5.3.2.3). Until the end of data a transaction may take mail, rcpt, data and block once, a sixtieth of rcpt for each recipient, and 1 s for 1,000 octets") \
    V(data_ms, MS, "data", "2m", 100, CONF_HOUR, RELOAD, "reply to DATA (4.5.3.2.4)") \
    V(block_ms, MS, "block", "3m", 100, CONF_HOUR, RELOAD, "each block of a body (4.5.3.2.5)") \
    V(end_ms, MS, "end_of_data", "10m", 100, CONF_HOUR, RELOAD, "reply to the end of data (4.5.3.2.6)")

#define CONF_DSN(V, E, S, L) \
    V(max_size, SIZE, "max_size", "1M", 1024, 64 * CONF_MIB, RELOAD, "largest original message returned whole; larger ones return headers") \
    V(copy_to, MAILBOX, "copy_to", "", 0, 320, RELOAD, "address that gets a copy of every non-delivery report") \
    V(postmaster, MAILBOX, "postmaster", "", 0, 320, RELOAD, "From: of reports; empty: postmaster at the node's name. Mail to <postmaster> without a domain goes there when there are no local_domains")

#define CONF_DELIVERY(V, E, S, L) \
    V(max_connections, UINT, "max_connections", "1000", 1, 1000000, RELOAD, "outbound sessions of the whole cluster") \
    V(max_connections_per_domain, UINT, "max_connections_per_domain", "100", 1, 100000, RELOAD, "outbound sessions of the whole cluster to one domain") \
    V(messages_per_connection, UINT, "messages_per_connection", "20", 1, 100000, RELOAD, "messages sent before a session is closed") \
    V(port, UINT, "port", "25", 1, 65535, RELOAD, "port of mail exchangers") \
    V(idle_timeout_ms, MS, "idle_timeout", "5s", 0, CONF_HOUR, RELOAD, "how long an idle session is kept for the next message") \
    V(hostname, HOST, "hostname", "", 0, 255, RELOAD, "own name in EHLO; empty: that of the first virtual server") \
    V(source_addresses, IPS, "source_addresses", "", 0, 16, RELOAD, "local addresses to connect from") \
    E(tls, "tls", "opportunistic", "none|opportunistic|required|verified", RELOAD, "STARTTLS towards mail exchangers; a connector may say otherwise") \
    V(ca_file, PATH, "ca_file", "", 0, 4096, RELOAD, "CA certificates to verify with; empty: the system's") \
    S(retry, retry, "retry", "when to try again") \
    S(timeouts, client_timeouts, "timeouts", "how long a server may keep silent") \
    S(dsn, dsn, "dsn", "delivery status notifications") \
    V(grace_ms, MS, "grace", "25s", 0, CONF_HOUR, RESTART, "after SIGTERM: how long to finish what is in flight; with a fifth of it left, what has not passed its final dot goes back")

#define CONF_LOCAL_DOMAIN(V, E, S, L) \
    V(domain, DOMAIN, "domain", NULL, 1, 255, RELOAD, "recipient domain delivered here") \
    V(deliver, DELIVER, "deliver", NULL, 1, 4096, RELOAD, "maildir:PATH (%d domain, %u user), lmtp://host:port or lmtp:unix:/path")

#define CONF_ADDRESS_SPACE(V, E, S, L) \
    V(space, SPACE, "space", NULL, 1, 255, RELOAD, "*, *.example.net or example.com") \
    V(cost, UINT, "cost", "1", 1, 100, RELOAD, "cost of this address space")

#define CONF_CONNECTOR(V, E, S, L) \
    V(name, NAME, "name", NULL, 1, 63, RELOAD, "name of the connector") \
    E(type, "type", "smtp", "smtp|routing_group", RELOAD, "to address spaces, or to another routing group") \
    L(address_spaces, address_space, "address_spaces", 4096, "what this connector reaches") \
    V(smart_hosts, TARGETS, "smart_hosts", "", 0, 64, RELOAD, "host:port tried in turn") \
    V(source_bridgeheads, NAMES, "source_bridgeheads", "", 0, 64, RELOAD, "workers (worker.name) that send over this connector; empty: every worker of this group") \
    E(deliver, "deliver", "auto", "auto|dns|smart_hosts", RELOAD, "auto: smart hosts if there are any, else DNS") \
    V(allow_relay, BOOL, "allow_relay", "false", 0, 0, RELOAD, "anybody may send to this connector's address spaces") \
    E(scope, "scope", "organization", "organization|group", RELOAD, "who may use the connector") \
    V(to_group, NAME, "to_group", "", 0, 63, RELOAD, "routing group at the other end (type routing_group)") \
    V(cost, UINT, "cost", "1", 1, 100, RELOAD, "cost of the connector (type routing_group)") \
    V(weight, UINT, "weight", "1", 1, 100, RELOAD, "share among connectors of equal cost (routing_group.spread)") \
    V(port, UINT, "port", "0", 0, 65535, RELOAD, "port of the targets; 0: delivery.port") \
    E(tls, "tls", "default", "default|none|opportunistic|required|verified", RELOAD, "STARTTLS towards the targets") \
    V(max_message_size, SIZE, "max_message_size", "0", 0, UINT64_MAX, RELOAD, "larger messages may not use the connector; 0: no limit") \
    V(priorities, PRIORITIES, "priorities", "", 0, 3, RELOAD, "allowed priorities (low normal high); empty: all") \
    E(content, "content", "all", "all|system|non_system", RELOAD, "allowed content: reports, all but reports, or all") \
    V(accept_from, SENDERS, "accept_from", "", 0, 1024, RELOAD, "senders (a@b or @domain) that may use the connector; empty: all") \
    V(reject_from, SENDERS, "reject_from", "", 0, 1024, RELOAD, "senders that may not") \
    V(messages_per_connection, UINT, "messages_per_connection", "0", 0, 100000, RELOAD, "0: delivery.messages_per_connection")

#define CONF_RESOLVER(V, E, S, L) \
    V(servers, RESOLVERS, "servers", "", 0, 16, RESTART, "address@port; empty: the system's") \
    V(timeout_ms, MS, "timeout", "30s", 100, 10 * CONF_MIN, RESTART, "longest wait for one question") \
    V(cache_bytes, SIZE, "cache", "4M", 4096, 1024 * CONF_MIB, RESTART, "memory of the cache")

#define CONF_LOG(V, E, S, L) \
    E(level, "level", "info", "debug|info|warn|error", RELOAD, "least level that is written") \
    E(format, "format", "text", "text|json", RESTART, "key=value lines, or JSON lines")

#define CONF_NODE(V, E, S, L) \
    V(threads, UINT, "threads", "0", 0, 256, RESTART, "event loops; 0: one for each two processors") \
    V(memory_limit, SIZE, "memory_limit", "512M", 16 * CONF_MIB, UINT64_MAX, RELOAD, "bodies in flight; above it clients get 452") \
    V(http, ENDPOINT, "http", "127.0.0.1:9525", 0, 255, RESTART, "metrics and health; empty: off") \
    V(grace_ms, MS, "grace", "25s", 0, CONF_HOUR, RESTART, "after SIGTERM: how long sessions may finish")

#define CONF_WORKER(V, E, S, L) \
    V(name, NAME, "name", "", 0, 63, RESTART, "name of this worker in its group (connectors[].source_bridgeheads); empty: the machine's") \
    V(lease_ms, MS, "lease", "30s", 1000, CONF_HOUR, RESTART, "how long a silent worker keeps its claims") \
    V(poll_ms, MS, "poll", "250ms", 10, CONF_MIN, RELOAD, "longest wait before looking for due mail") \
    V(claim_batch, UINT, "claim_batch", "10", 1, 100, RELOAD, "messages claimed at a time") \
    V(http, ENDPOINT, "http", "127.0.0.1:9526", 0, 255, RESTART, "metrics and health; empty: off")

#define CONF_DAMPING(V, E, S, L) \
    V(glitch_attempts, UINT, "glitch_attempts", "3", 0, 100, RELOAD, "failures in a row, glitch_interval apart, before a connector is DOWN") \
    V(glitch_interval_ms, MS, "glitch_interval", "60s", 100, CONF_HOUR, RELOAD, "pause between these attempts") \
    V(probe_interval_ms, MS, "probe_interval", "60s", 100, CONF_HOUR, RELOAD, "how often a connector that is DOWN is tried, also without mail") \
    V(penalty, UINT, "penalty", "1000", 1, 1000000, RELOAD, "what each DOWN adds to the penalty of a connector") \
    V(hold_above, UINT, "hold_above", "2000", 1, 100000000, RELOAD, "penalty above which a connector that answers is still held DOWN") \
    V(release_below, UINT, "release_below", "750", 1, 100000000, RELOAD, "penalty below which it is released") \
    V(half_life_ms, MS, "half_life", "15m", 0, CONF_DAY, RELOAD, "time in which a penalty halves; 0: no penalty holds a connector") \
    V(floods_per_hour, UINT, "floods_per_hour", "14", 4, 100000, RELOAD, "most announcements that a connector and its targets cause in any hour, half of them at once, the others spread over it; a connector that answers is held DOWN, and a target's state not told, until there is room; an administrator's word is not counted")

#define CONF_ROUTER(V, E, S, L) \
    V(name, NAME, "name", "", 0, 63, RESTART, "name of this router in its group; empty: the machine's") \
    V(listen, LISTENS, "listen", "0.0.0.0:691", 0, 16, RESTART, "where routers of other groups connect; empty: this one connects to them") \
    V(lease_ms, MS, "lease", "2500ms", 500, CONF_MIN, RESTART, "a master that is silent for so long is replaced by another router of the group") \
    V(hello_ms, MS, "hello", "5s", 100, CONF_HOUR, RELOAD, "how often neighbours compare digests; three of these in silence end an adjacency") \
    V(refresh_ms, MS, "refresh", "10m", 1000, CONF_DAY, RELOAD, "how often this group's record is signed anew") \
    V(lifetime_ms, MS, "lifetime", "2d", 3000, 7 * CONF_DAY, RELOAD, "a record that its group has not refreshed for so long is dropped, and mail for the group returned; the same in all groups") \
    V(probe_timeout_ms, MS, "probe_timeout", "10s", 100, 10 * CONF_MIN, RELOAD, "longest wait for each answer of a target that is tried") \
    S(damping, damping, "damping", "when a connector is announced UP or DOWN") \
    V(http, ENDPOINT, "http", "127.0.0.1:9527", 0, 255, RESTART, "metrics and health; empty: off")

#define CONF_ROOT(V, E, S, L) \
    V(organization, NAME, "organization", "example", 1, 63, RELOAD, "name of the organization") \
    S(routing_group, routing_group, "routing_group", "the cluster that this configuration describes") \
    S(redis, redis, "redis", "the shared queue") \
    V(data_dir, PATH, "data_dir", "./var", 1, 4096, RESTART, "files of the embedded Redis; relative to the configuration file") \
    L(virtual_servers, virtual_server, "virtual_servers", 64, "listeners with settings of their own") \
    S(delivery, delivery, "delivery", "outbound mail") \
    L(local_domains, local_domain, "local_domains", 100000, "domains delivered here") \
    L(connectors, connector, "connectors", 10000, "ways out") \
    S(resolver, resolver, "resolver", "DNS") \
    S(log, log, "log", "what is logged and how") \
    S(node, node, "node", "the SMTP front") \
    S(worker, worker, "worker", "the delivery worker") \
    S(router, router, "router", "the routing daemon")

/* Every section, inner ones first: the structs are generated in this order. */
#define CONF_SECTIONS(X) \
    X(neighbour, CONF_NEIGHBOUR) X(routing_group, CONF_ROUTING_GROUP) X(redis, CONF_REDIS) X(tls, CONF_TLS) \
    X(server_timeouts, CONF_SERVER_TIMEOUTS) X(virtual_server, CONF_VIRTUAL_SERVER) \
    X(retry, CONF_RETRY) X(client_timeouts, CONF_CLIENT_TIMEOUTS) X(dsn, CONF_DSN) \
    X(delivery, CONF_DELIVERY) X(local_domain, CONF_LOCAL_DOMAIN) X(address_space, CONF_ADDRESS_SPACE) \
    X(connector, CONF_CONNECTOR) X(resolver, CONF_RESOLVER) X(log, CONF_LOG) X(node, CONF_NODE) \
    X(worker, CONF_WORKER) X(damping, CONF_DAMPING) X(router, CONF_ROUTER) X(root, CONF_ROOT)
/* clang-format on */
