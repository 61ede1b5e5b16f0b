"""Mail exchangers found in DNS, good and bad ones."""
from peers.bridgehead import Bridgehead
from peers.dns import Dns
from peers.mail import message
from peers.process import Failed, wait_for
from peers.sink import PostfixSink, Sink, load

QUICK = {"glitch": ["1s", "1s", "1s"], "schedule": ["1s"], "jitter_percent": 0}
TEXT = message("dns")


def world(box, records, sinks=1, delivery=None, ttl=60):
    """Bridgehead, a name server and sinks that share a port; in records {0}, {1} are the sinks' addresses."""
    port = box.port(box.other_host(0))
    hosts = [box.other_host(n) for n in range(sinks)]
    servers = [box.add(Sink(box, f"sink{n}", listen=f"{host}:{port}")) for n, host in enumerate(hosts)]
    dns = box.add(Dns(box, [record.format(*hosts) for record in records], ttl=ttl))
    bridgehead = box.add(Bridgehead(box, resolver=dns.address, config={
        "delivery": {"port": port, "retry": QUICK, "timeouts": {"connect": "2s"}, **(delivery or {})}}))
    bridgehead.dns = dns
    return bridgehead, servers


def arrives(sink, count=1, timeout=30):
    wait_for(lambda: f"{count} messages: {sink.stats()}", lambda: sink.stats()["messages"] >= count, timeout)


def returned(bridgehead, *status):
    _, recipients, _ = bridgehead.wait_report()
    report = dict(recipients[0])
    assert report["action"] == "failed" and report["status"] in status, report


def test_mx_preference(box):
    """The lowest preference is used; the next one when it refuses connections."""
    bridgehead, (first, second) = world(box, ["far.example. IN MX 20 b.far.example.", "far.example. IN MX 10 a.far.example.",
                                              "a.far.example. IN A {0}", "b.far.example. IN A {1}"], 2,
                                        {"idle_timeout": "100ms"})
    for n in range(5):
        bridgehead.send(f"b{n}@far.example", TEXT)
    arrives(first, 5)
    assert second.stats()["connections"] == 0
    first.control("refuse")
    wait_for("the end of the sessions that are open", lambda: first.stats()["current"] == 0)
    for n in range(5):
        bridgehead.send(f"c{n}@far.example", TEXT)
    arrives(second, 5)


def test_refused_by_every_exchanger(box):
    """554 instead of a greeting: the next exchanger; when all say so, the domain takes no mail from us (RFC 7504)."""
    bridgehead, (first, second) = world(box, ["far.example. IN MX 10 a.far.example.", "far.example. IN MX 20 b.far.example.",
                                              "a.far.example. IN A {0}", "b.far.example. IN A {1}"], 2)
    first.rules("connect:554 5.3.2 not this one")
    bridgehead.send("b@far.example", TEXT)
    arrives(second)
    second.rules("connect:521 5.3.2 no mail here")
    wait_for("the end of the session", lambda: second.stats()["current"] == 0)
    bridgehead.send("b@far.example", TEXT)
    returned(bridgehead, "5.3.2")


def test_mx_equal_spread(box):
    """Equal preferences share the connections."""
    bridgehead, sinks = world(box, [f"far.example. IN MX 10 m{n}.far.example." for n in range(3)] +
                              [f"m{n}.far.example. IN A {{{n}}}" for n in range(3)], 3, {"messages_per_connection": 1})
    results = load(bridgehead.smtp, messages=150, sessions=5, per_connection=30, domain="far.example")
    wait_for(lambda: [s.stats() for s in sinks], lambda: sum(s.stats()["unique"] for s in sinks) == results["acked"])
    assert all(s.stats()["messages"] >= 15 for s in sinks), [s.stats() for s in sinks]


def test_address_fallback(box):
    """No MX: the domain's own address."""
    bridgehead, (sink,) = world(box, ["bare.example. IN A {0}"])
    bridgehead.send("b@bare.example", TEXT)
    arrives(sink)


def test_address_fallback_ipv6(box):
    """No MX and no A: the domain's own IPv6 address."""
    port = box.port("::1")
    box.add(PostfixSink(box, address=("::1", port)))
    dns = box.add(Dns(box, ["bare6.example. IN AAAA ::1"]))
    bridgehead = box.add(Bridgehead(box, resolver=dns.address, config={"delivery": {"port": port, "retry": QUICK}}))
    number = bridgehead.send("b@bare6.example", TEXT)
    wait_for(lambda: bridgehead.cli("message", "track", number, check=False).stdout,
             lambda: "delivered" in bridgehead.cli("message", "track", number, check=False).stdout)


def test_dead_ipv6_and_live_ipv4(box):
    """An exchanger with both families: nobody answers at the IPv6 address."""
    bridgehead, (sink,) = world(box, ["both.example. IN MX 10 m.both.example.", "m.both.example. IN AAAA ::1",
                                      "m.both.example. IN A {0}"])
    for n in range(3):
        bridgehead.send(f"b{n}@both.example", TEXT)
    arrives(sink, 3)


def test_several_addresses(box):
    """One exchanger with two addresses, the first of which refuses."""
    bridgehead, (dead, live) = world(box, ["far.example. IN MX 10 m.far.example.", "m.far.example. IN A {0}",
                                           "m.far.example. IN A {1}"], 2)
    dead.control("refuse")
    for n in range(4):
        bridgehead.send(f"b{n}@far.example", TEXT)
    arrives(live, 4)


def test_ipv6(box):
    """An exchanger with nothing but an IPv6 address."""
    port = box.port("::1")
    sink = box.add(PostfixSink(box, address=("::1", port)))
    dns = box.add(Dns(box, ["six.example. IN MX 10 m.six.example.", "m.six.example. IN AAAA ::1"]))
    bridgehead = box.add(Bridgehead(box, resolver=dns.address, config={"delivery": {"port": port, "retry": QUICK}}))
    number = bridgehead.send("b@six.example", TEXT)
    wait_for(lambda: bridgehead.cli("message", "track", number, check=False).stdout,
             lambda: "delivered" in bridgehead.cli("message", "track", number, check=False).stdout)
    assert sink.running()


def test_address_literal(box):
    """A recipient at an address literal."""
    bridgehead, (sink,) = world(box, [])
    bridgehead.send(f"b@[{box.other_host(0)}]", TEXT)
    arrives(sink)


def test_null_mx(box):
    """RFC 7505: the domain takes no mail."""
    bridgehead, _ = world(box, ["null.example. IN MX 0 ."])
    bridgehead.send("b@null.example", TEXT)
    returned(bridgehead, "5.1.10")


def own_address(box, *records):
    """Bridgehead, {0} its own address and {1} that of a sink at the same port; records name them."""
    bridgehead = Bridgehead(box, config={"delivery": {"port": 0, "retry": QUICK, "timeouts": {"connect": "2s"}}})
    port, hosts = bridgehead.smtp[1], (bridgehead.smtp[0], box.other_host(0))
    sink = box.add(Sink(box, "sink", listen=f"{hosts[1]}:{port}"))
    dns = box.add(Dns(box, [record.format(*hosts) for record in records]))
    bridgehead.write({"delivery": {"port": port}, "resolver": {"servers": ["{}@{}".format(*dns.address)]}})
    return box.add(bridgehead), sink


def taken(bridgehead):
    """How many messages it has taken by SMTP."""
    return bridgehead.metric("bridgehead_smtp_messages_accepted_total")


def test_exchanger_is_this_server(box):
    """The exchanger's name is nobody's we know, and its address is our own: returned at once, not after thirty rounds;
    a worse exchanger, which would give it back to us, is not tried."""
    bridgehead, sink = own_address(box, "self.example. IN MX 10 m.self.example.", "m.self.example. IN A {0}",
                                   "self.example. IN MX 20 b.self.example.", "b.self.example. IN A {1}")
    bridgehead.send("b@self.example", TEXT)
    returned(bridgehead, "5.4.6")
    assert taken(bridgehead) == 1 and sink.stats()["connections"] == 0


def test_backup_of_a_dead_exchanger(box):
    """This server is the worse exchanger: the mail waits for the better one, and does not go round meanwhile."""
    bridgehead, sink = own_address(box, "back.example. IN MX 10 m.back.example.", "m.back.example. IN A {1}",
                                   "back.example. IN MX 20 b.back.example.", "b.back.example. IN A {0}")
    sink.control("refuse")
    bridgehead.send("b@back.example", TEXT)
    wait_for("two failures", lambda: bridgehead.metric("bridgehead_worker_link_failures_total", "worker") >= 2)
    sink.control("accept")
    arrives(sink)
    assert taken(bridgehead) == 1 and not bridgehead.mailbox("a")


def test_no_such_domain(box):
    """NXDOMAIN."""
    bridgehead, _ = world(box, [])
    bridgehead.send("b@nowhere.example", TEXT)
    returned(bridgehead, "5.1.2", "5.4.4")


def test_domain_without_addresses(box):
    """The name exists and has neither MX nor address."""
    bridgehead, _ = world(box, ['text.example. IN TXT "nothing here"'])
    bridgehead.send("b@text.example", TEXT)
    returned(bridgehead, "5.1.2", "5.4.4")


def test_exchanger_does_not_exist(box):
    """MX to a name that does not exist."""
    bridgehead, _ = world(box, ["broken.example. IN MX 10 gone.broken.example."])
    bridgehead.send("b@broken.example", TEXT)
    returned(bridgehead, "5.1.2", "5.4.4")


def test_broken_and_good_exchanger(box):
    """One MX does not exist, the other one does."""
    bridgehead, (sink,) = world(box, ["half.example. IN MX 10 gone.half.example.", "half.example. IN MX 20 m.half.example.",
                                      "m.half.example. IN A {0}"])
    bridgehead.send("b@half.example", TEXT)
    arrives(sink)


def test_server_failure(box):
    """SERVFAIL: the message waits."""
    bridgehead, _ = world(box, ["lame.example. IN NS ns.lame.test.", "ns.lame.test. IN A 127.0.0.9"])
    bridgehead.send("b@lame.example", TEXT)
    wait_for(lambda: bridgehead.cli("queue", "list").stdout, lambda: "Retry" in bridgehead.cli("queue", "list").stdout, 60)
    assert not bridgehead.mailbox("a")


def keeps_going(bridgehead, sink, failing):
    """Mail goes on, message by message, until the old addresses have been used `failing` times for want of an answer."""
    sent = sink.stats()["messages"]
    while bridgehead.metric("bridgehead_worker_stale_names_total", "worker") < failing:
        bridgehead.send("b@far.example", TEXT)
        sent += 1
        arrives(sink, sent)
    assert bridgehead.metric("bridgehead_worker_link_failures_total", "worker") == 0


def test_name_server_fails(box):
    """A link that works goes on with the addresses it has while the name server does not answer; the first answer that
    it gives again replaces them, also a "no" (RFC 8767)."""
    bridgehead, (sink,) = world(box, ["far.example. IN MX 10 m.far.example.", "m.far.example. IN A {0}"], ttl=1,
                                delivery={"messages_per_connection": 1})
    dns = bridgehead.dns
    bridgehead.send("b@far.example", TEXT)
    arrives(sink)
    dns.stop()
    keeps_going(bridgehead, sink, 1)
    dns.write(["far.example. IN MX 0 ."])
    dns.start()
    while not bridgehead.mailbox("a"):
        count = sink.stats()["messages"]
        bridgehead.send("b@far.example", TEXT)
        wait_for("a delivery or a report", lambda: sink.stats()["messages"] > count or bridgehead.mailbox("a"))
    returned(bridgehead, "5.1.10")


def test_other_addresses_replace(box):
    """Of an exchanger that moved, the old address is not used any more once the name server tells the new one."""
    bridgehead, (old, new) = world(box, ["far.example. IN MX 10 m.far.example.", "m.far.example. IN A {0}"], 2, ttl=1,
                                   delivery={"messages_per_connection": 1})
    bridgehead.send("b@far.example", TEXT)
    arrives(old)
    bridgehead.dns.stop()
    bridgehead.dns.write(["far.example. IN MX 10 m.far.example.", f"m.far.example. IN A {box.other_host(1)}"])
    bridgehead.dns.start()
    sent = 1
    while new.stats()["messages"] == 0:
        bridgehead.send("b@far.example", TEXT)
        sent += 1
        wait_for("the next one", lambda: old.stats()["messages"] + new.stats()["messages"] == sent)
    before = old.stats()["messages"]
    for n in range(20):
        bridgehead.send(f"b{n}@far.example", TEXT)
    arrives(new, 21)
    assert old.stats()["messages"] == before


def test_internationalised_domain(box):
    """A U-label domain is looked up as an A-label."""
    bridgehead, (sink,) = world(box, ["xn--bcher-kva.example. IN MX 10 m.example.", "m.example. IN A {0}"])
    bridgehead.send("b@bücher.example", TEXT, parameters=" SMTPUTF8")
    arrives(sink)


def test_many_domains(box):
    """300 domains at a time, a few messages each."""
    domains = 300
    bridgehead, (sink,) = world(box, [f"d{n}.example. IN MX 10 m.example." for n in range(domains)] + ["m.example. IN A {0}"])
    results = load(bridgehead.smtp, messages=900, sessions=10, per_connection=30, domains=domains, domain="d%u.example")
    wait_for(lambda: sink.stats(), lambda: sink.stats()["unique"] == results["acked"] == 900, 90)
    assert sink.stats()["duplicates"] == 0
