"""The routing daemon: its lease, its record, its neighbours, the health of connectors."""
import base64
import datetime
import itertools
import json
import re
import signal
import socket
import time

from peers.bridgehead import Bridgehead, executable
from peers.dns import Dns
from peers.group import FAST, Group, Organization, wait_full
from peers.mail import message
from peers.process import Skip, starved_s, wait_for
from peers.proxy import Proxy
from peers.redis import Redis
from peers.sink import Sink


def alone(box, config=None):
    group = box.add(Group(Organization(box), "hq", 0, config))
    return group, group.router()


def pair(box, config_a=None, config_b=None):
    organization = Organization(box)
    a, b = box.add(Group(organization, "a", 0, config_a)), box.add(Group(organization, "b", 1, config_b))
    a.knows(b)
    b.knows(a)
    return a, b, a.router(), b.router()


SMART = {"name": "out", "type": "smtp", "address_spaces": [{"space": "*"}], "smart_hosts": ["192.0.2.1"]}


def test_alone(box):
    """A router alone in its organization takes the lease, publishes its own record, and goes on after a restart."""
    group, router = alone(box, {"connectors": [SMART]})
    box.add(router)
    router.wait_master()
    wait_for("the table", lambda: group.table() > 0)
    assert group.groups() == {"hq"}
    first = group.own_version()
    assert first[0] == 1, first
    assert router.stop() == 0
    router.start()
    router.wait_master()
    wait_for("the next version", lambda: group.own_version() > first)
    assert group.own_version()[0] == 1, "the configuration did not change"
    router.stop()
    group.config["connectors"].append({**SMART, "name": "more"})
    router.start()
    router.wait_master()
    wait_for("a major version", lambda: group.own_version()[0] == 2)


def test_reload_raises_major(box):
    """A changed configuration is announced with a higher major version; an unchanged one is not."""
    group, router = alone(box, {"connectors": [SMART]})
    box.add(router)
    router.wait_master()
    before = wait_for("a version", group.own_version)
    router.reload()
    wait_for("the reload", lambda: group.own_version() > before)
    assert group.own_version()[0] == before[0]
    group.config["connectors"].append({**SMART, "name": "more"})
    router.reload()
    wait_for(lambda: f"{group.own_version()} from {before}", lambda: group.own_version()[0] == before[0] + 1)


def test_check_of_keys(box):
    """`config check` looks at the keys as the daemon does; neither uses a file that others can read."""
    group, router = alone(box)
    router.write()
    check = lambda: box.run(executable(), "config", "check", router.file, check=False)
    assert check().returncode == 0, check().stderr
    group.key.chmod(0o644)
    done = check()
    assert done.returncode == 3 and b"routing_group: key file" in done.stderr and b"chmod 600" in done.stderr, done.stderr
    group.key.chmod(0o600)
    group.organization.public = Organization(box, "third").public
    router.write()
    assert b"not signed with the organization's key" in check().stderr


def test_two_groups(box):
    """Two groups learn each other's records over CURVE, and a change travels."""
    a, b, ra, rb = pair(box)
    box.add(ra)
    box.add(rb)
    wait_full(ra, rb)
    wait_for("both tables", lambda: a.groups() == b.groups() == {"a", "b"})
    before = b.table()
    a.config["connectors"].append(SMART)
    ra.reload()
    wait_for("the change", lambda: b.table() > before)
    assert any(e["w"] == "CHANGED" and e["g"] == "a" for e in b.history())


def test_one_side_dials(box):
    """A group that cannot be reached from outside connects, and that is enough."""
    organization = Organization(box)
    a, b = box.add(Group(organization, "a", 0)), box.add(Group(organization, "b", 1))
    a.knows(b, dial=False)
    b.knows(a)
    ra, rb = box.add(a.router()), box.add(b.router())
    wait_full(ra, rb)
    wait_for("both tables", lambda: a.groups() == b.groups() == {"a", "b"})


def replicas(box, config=None):
    """Two routers of one group, each with an address of its own, and a neighbour that knows both."""
    organization = Organization(box)
    a, b = box.add(Group(organization, "a", 0, config)), box.add(Group(organization, "b", 1))
    first, second = a.router("first"), a.router("second", box.other_host(2))
    a.knows(b)
    b.knows(a)
    rb = box.add(b.router())
    box.add(first)
    first.wait_master()
    box.add(second)
    return a, b, first, second, rb


def told_at(line):
    """When a line of a log was written, in seconds since 1970."""
    return datetime.datetime.fromisoformat(line.split()[0].replace("Z", "+00:00")).timestamp()


def test_takeover(box):
    """kill -9 of the master: another router is master within 3 s, the version goes on, the adjacency comes back."""
    a, b, first, second, rb = replicas(box, {"connectors": [SMART]})
    wait_full(first, rb)
    wait_for("the second member", lambda: a.own_version()[2] >= 1)
    before, table = a.own_version(), a.table()
    waited, killed = starved_s(second.pid, a.redis.pid), time.time()
    first.kill()
    wait_for("the other router to publish", lambda: a.master() == "second" and a.table() > table and a.own_version() > before)
    took, waited = told_at(second.lines("router.published")[0]) - killed, starved_s(second.pid, a.redis.pid) - waited
    print(f"take-over after {took:.2f} s, {waited:.2f} s of that without a processor")
    assert took - waited <= 3.0, f"the take-over took {took:.2f} s, {waited:.2f} s of that without a processor"
    assert a.own_version()[:2] == before[:2], "neither the configuration nor a connector changed"
    wait_full(second, rb)
    assert a.groups() == {"a", "b"}
    assert not any(e["w"] == "GONE" for e in b.history()), "the group was never gone"
    second.stop()


def test_a_large_table_is_checked_before_the_take_over(box):
    """What is published is checked by a standby, too: when it takes over, at most the master's last word is new."""
    organization = Organization(box)
    group = box.add(Group(organization, "a", 0, {"router": {"refresh": "10m", "lifetime": "30m", "lease": "1m"}}))
    group.publish(3000, 6000)
    began, first = time.monotonic(), group.router("first")
    box.add(first).wait_master(60)
    # A lease that ends while the table is checked unless it is renewed, however fast the machine is.
    lease_ms = int(1000 * (time.monotonic() - began) / 2)
    first.stop()
    group.publish(3000, 6000)
    group.config["router"]["lease"] = f"{max(lease_ms, 500)}ms"
    first.start()
    first.wait_master(60)
    assert first.metric("router_groups") == 3001
    assert first.metric("router_table_checked_total") == 3000
    assert first.metric("router_deposed_total") == 0, "the lease is renewed while the table is checked"
    second = box.add(group.router("second", box.other_host(1)))
    wait_for("the standby to have read the table", lambda: second.metric("router_table_checked_total") == 3001, 60)
    killed = time.monotonic()
    first.kill()
    second.wait_master(60)
    print(f"take-over of 3,001 groups, lease of {lease_ms} ms: {time.monotonic() - killed:.2f} s")
    assert second.metric("router_groups") == 3001
    assert second.metric("router_table_checked_total") <= 3002, "the second member may be news, nothing else"


def test_leaving_is_quick(box):
    """SIGTERM of the master gives the lease back: the other one need not wait for its end."""
    a, b, first, second, rb = replicas(box, {"router": {"lease": "30s"}})
    start = time.monotonic()
    assert first.stop() == 0
    second.wait_master(10)
    assert time.monotonic() - start < 10


def test_stale_master_is_refused(box):
    """A master that is stopped and goes on later writes nothing, originates nothing, and becomes a standby."""
    a, b, first, second, rb = replicas(box, {"connectors": [SMART]})
    wait_full(first, rb)
    before = a.own_version()
    first.signal(signal.SIGSTOP)
    try:
        second.wait_master()
        wait_for("its version", lambda: a.own_version() > before)
        wait_full(second, rb)
        assert a.redis.ask("hget", "{mq.rt}:table", "by").startswith("second-")
        token = a.redis.ask("hget", "{mq.rt}:master", "k")
    finally:
        first.signal(signal.SIGCONT)
    wait_for("the first to step down", lambda: not first.is_master())
    wait_for("it to have said so", lambda: first.lines("to=standby"))
    assert a.redis.ask("hget", "{mq.rt}:master", "k") == token
    for key, field in (("table", "by"), ("master", "n")):
        assert a.redis.ask("hget", "{mq.rt}:" + key, field).startswith("second-")
    version = a.own_version()
    a.config["connectors"].append({**SMART, "name": "more"})
    second.reload()
    first.reload()
    wait_for("one more version", lambda: a.own_version()[0] == version[0] + 1)
    assert second.is_master() and not first.is_master()
    wait_full(second, rb)


def test_a_token_that_is_not_the_newest(box):
    """Redis itself refuses what carries an older token, whatever the router believes of its lease."""
    group, router = alone(box, {"connectors": [SMART], "router": {"lease": "30s", "refresh": "10m", "lifetime": "30m"}})
    box.add(router)
    router.wait_master()
    wait_for("the table", lambda: group.table() > 0)
    group.redis.ask("hset", "{mq.rt}:master", "n", "ghost-1", "k", "9999999999999", "u", "9999999999999")
    table, version = group.table(), group.own_version()
    group.config["connectors"].append({**SMART, "name": "more"})
    router.reload()
    wait_for("it to step down", lambda: router.lines("another router is master"))
    wait_for("it to be a standby", lambda: not router.is_master())
    assert (group.table(), group.own_version()) == (table, version)


def test_lost_redis_data(box):
    """When Redis lost the version, neighbours tell it: the router goes beyond it, never back."""
    a, b, ra, rb = pair(box, {"connectors": [SMART]})
    box.add(ra)
    box.add(rb)
    wait_full(ra, rb)
    wait_for("both tables", lambda: b.groups() == {"a", "b"})
    for n in range(3):
        a.config["connectors"].append({**SMART, "name": f"n{n}"})
        ra.reload()
        wait_for("a version", lambda: a.own_version()[0] == n + 2)
    ra.stop()
    a.redis.ask("flushall")
    ra.start()
    ra.wait_master()
    wait_for(lambda: f"a version beyond 4: {a.own_version()}", lambda: a.own_version()[0] >= 4)
    wait_full(ra, rb)


def test_keys_are_rotated(box):
    """A new key of a group with a higher serial is taken over by everybody, and no adjacency ends."""
    a, b, ra, rb = pair(box)
    box.add(ra)
    box.add(rb)
    wait_full(ra, rb)
    full = len(rb.lines("router.carrier"))
    version = a.own_version()
    a.organization.keys("rotate", a.key, "--organization-key", a.organization.key)
    ra.reload()
    wait_for("a record signed anew", lambda: a.own_version() > version)
    accepted = rb.metric("router_linkstate_refreshed_total")
    wait_for("it to arrive", lambda: rb.metric("router_linkstate_refreshed_total") > accepted)
    wait_for("it in the history of both", lambda: all(("CHANGED", "a", "its key") in [(e["w"], e.get("g"), e.get("t")) for e in g.history()] for g in (a, b)))
    assert rb.metric("router_linkstate_forged_total") == 0
    assert len(rb.lines("router.carrier")) == full, "the connection stayed"


def test_a_key_whose_certificate_is_not_later(box):
    """Another key with a serial that is no higher is said to be of no use elsewhere, with what to do; and so it is."""
    a, b, ra, rb = pair(box)
    box.add(ra)
    box.add(rb)
    wait_full(ra, rb)

    def key(serial):
        file = box.path("a", f"serial{serial}.key")
        a.organization.make("group", file, "--group", "a", "--organization-key", a.organization.key, "--serial", str(serial))
        return file

    conflicts = lambda: rb.metric("router_linkstate_conflict_total")
    assert not ra.lines("router.key") and conflicts() == 0
    a.key = key(1)
    ra.reload()
    line = wait_for("the warning", lambda: ra.lines("router.key"))[0]
    assert "serial=1 before=1" in line and "certify it with --serial 2 or higher" in line and "warn" in line, line
    wait_for("the refusal", conflicts)
    a.key = key(2)
    accepted = lambda: rb.metric("router_linkstate_accepted_total") + rb.metric("router_linkstate_refreshed_total")
    before = accepted()
    ra.reload()
    wait_for("the next one to be taken", lambda: accepted() > before)
    assert len(ra.lines("router.key")) == 1, ra.lines("router.key")


def test_keys_and_names_are_reloaded(box):
    """Another key file is signed with; another organization, key of it or name of the group begins anew, without a restart,
    and believes only what the organization signed that is configured now."""
    first = Organization(box)
    group = box.add(Group(first, "hq", 0, {"router": {"refresh": "10m", "lifetime": "30m"}}))
    group.publish(5, 10)
    router = box.add(group.router()).wait_master()
    wait_for("the others of the table", lambda: router.metric("router_groups") == 6)

    def key(file, organization, signer, name="hq", *more):
        file = box.path("hq", file)
        organization.make("group", file, "--group", name, "--organization-key", signer, *more)
        return file

    def signed_with(file):
        public = json.loads(box.run(executable(), "keys", "show", file, "-o", "json").stdout)[0]["public"]
        return bytes.fromhex(public) in group.redis.bytes("hget", group.key_of("table"), "b")

    assert signed_with(group.key)
    group.key = key("rotated.key", first, first.key, "hq", "--serial", "2")
    group.config["connectors"].append(SMART)  # a record that changed is published at once
    router.reload()
    wait_for("a record signed with the other key", lambda: signed_with(group.key))
    assert router.metric("router_takeovers_total") == 1 and router.metric("router_groups") == 6

    other = box.path("other.key")
    public = first.keys("make", "organization", other, "--organization", first.name)[0]["public"]
    second = Organization(box, "second")
    steps = (  # organization, its key, key of the group, its name, what is believed then
        (first, public, key("certified.key", first, other), "hq", {"hq"}),
        (second, second.public, key("second.key", second, second.key), "hq", {"hq"}),
        (second, second.public, key("renamed.key", second, second.key, "new"), "new", {"hq", "new"}),
    )
    for number, (organization, organization_key, file, name, believed) in enumerate(steps, 2):
        group.organization, group.key = organization, file
        group.config["routing_group"] = {"name": name, "organization_key": organization_key}
        router.reload()
        wait_for(lambda: f"take-over {number}; it said:\n{router.tail()}", lambda: router.metric("router_takeovers_total") == number)
        wait_for(lambda: f"{believed}, not {group.groups()}", lambda: group.groups() == believed and signed_with(file))
    stepped = [line for line in router.lines("router.state") if "another organization or another group is configured" in line]
    assert len(stepped) == len(steps), stepped
    assert len(router.lines("config.reloaded")) == len(steps) + 1
    assert not router.lines("config.needs_restart"), router.lines("config.needs_restart")

    group.key = first.key
    router.reload()
    wait_for("the refusal", lambda: router.metric("router_reloads_refused_total") == 1)
    assert any("is not the key of group" in line for line in router.lines("config.rejected "))
    assert router.is_master() and group.groups() == {"hq", "new"}


def secret_of(file):
    """The secret of a key file, as bytes."""
    return bytes.fromhex(re.search(r"^secret:? (\w{64})$", file.read_text(), re.MULTILINE).group(1))


def forms_of(secret):
    """A secret as it may be written: raw, in digits, in base 64 wherever it begins, as ZeroMQ writes it."""
    alphabet = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#"
    words = [int.from_bytes(secret[at:at + 4], "big") for at in range(0, len(secret), 4)]
    yield secret
    yield secret.hex().encode()
    yield secret.hex().upper().encode()
    yield "".join(alphabet[word // 85 ** power % 85] for word in words for power in (4, 3, 2, 1, 0)).encode()
    for shift in range(3):
        text = base64.b64encode(b"\0" * shift + secret)[4 if shift else 0:-4]
        yield text
        yield text.translate(bytes.maketrans(b"+/", b"-_"))


def everything_in(redis):
    """All values of a Redis, and the files that it has written."""
    read = {"string": ("get",), "hash": ("hgetall",), "list": ("lrange", "0", "-1"), "zset": ("zrange", "0", "-1"),
            "set": ("smembers",), "stream": ("xrange", "-", "+")}
    for key in redis.ask("--scan").splitlines():
        verb, *more = read[redis.ask("type", key)]
        yield key, key.encode() + redis.bytes(verb, key, *more)
    for file in (file for file in redis.dir.rglob("*") if file.is_file()):
        yield str(file), file.read_bytes()


def test_secret_keys_are_never_in_redis(box):
    """Not as a value, nor in the file that Redis appends to: while keys are used, shown, rotated and replaced."""
    a, b, ra, rb = pair(box, {"connectors": [SMART]})
    for group in (a, b):
        group.redis.write({"rdbcompression": "no"})
    organization = a.organization
    secrets = {"organization": secret_of(organization.key), "transport of a": secret_of(a.transport), "transport of b": secret_of(b.transport),
               "a": secret_of(a.key), "b": secret_of(b.key)}
    box.add(ra)
    box.add(rb)
    wait_full(ra, rb)
    public = lambda: bytes.fromhex(json.loads(box.run(executable(), "keys", "show", a.key, "-o", "json").stdout)[0]["public"])
    version, publics = a.own_version(), [public()]
    organization.keys("rotate", a.key, "--organization-key", organization.key)
    secrets["a, rotated"] = secret_of(a.key)
    publics.append(public())
    a.transport = box.path("a", "second-transport.key")
    b.neighbours[0]["keys"].append(organization.make("transport", a.transport))
    secrets["second transport of a"] = secret_of(a.transport)
    rb.reload()
    wait_for("the reload", lambda: rb.lines("config.reloaded"))
    ra.reload()
    wait_for("a record signed anew", lambda: a.own_version() > version)
    wait_full(ra, rb)
    a.say("out", "down")  # so that the record with the new key is published
    wait_for("b to publish it", lambda: b.records()["a"]["version"][1] >= 1)
    for command in (("linkstate", "show", "--raw"), ("linkstate", "verify"), ("status",)):
        box.run(executable(), *command, "-c", ra.file, check=False)
    assert len(set(secrets.values())) == len(secrets)
    for group, router in ((a, ra), (b, rb)):
        places = [*everything_in(group.redis), ("its log", router.log.read_bytes())]
        for public_key in publics:
            assert any(public_key in text for _, text in places), "what is public is there, and this test finds it"
        for name, secret in secrets.items():
            for form in forms_of(secret):
                found = [place for place, text in places if form in text]
                assert not found, f"the secret key of {name} is in {found}"


def test_transport_keys_are_replaced(box):
    """A second transport key is admitted beside the first, then used instead of it."""
    a, b, ra, rb = pair(box)
    box.add(ra)
    box.add(rb)
    wait_full(ra, rb)
    new = box.path("a", "new.key")
    public = a.organization.make("transport", new)
    b.neighbours[0]["keys"].append(public)
    rb.reload()
    wait_for("the reload", lambda: rb.lines("config.reloaded"))
    wait_full(ra, rb)
    a.transport = new
    ra.reload()
    wait_for("the reload", lambda: ra.lines("config.reloaded"))
    wait_full(ra, rb)
    b.neighbours[0]["keys"] = [public]
    rb.reload()
    wait_for("the reload", lambda: len(rb.lines("config.reloaded")) == 2)
    wait_full(ra, rb)


def test_health(box):
    """DOWN after the glitch retries when no target answers, UP after a success, with probes alone."""
    sink = box.add(Sink(box))
    target = "{}:{}".format(*sink.address)
    group, router = alone(box, {"connectors": [{**SMART, "smart_hosts": [target]}]})
    box.add(router)
    router.wait_master()
    version = wait_for("a version", group.own_version)
    report = lambda ok, text="": group.redis.ask("hset", "{mq.rt}:rep", f"out\n{target}", f"{ok}{text}")
    sink.stop()
    report(0, "Connection refused")
    wait_for("DOWN", lambda: any(e["w"] == "DOWN" and e["c"] == "out" for e in group.history()))
    assert group.own_version()[1] == version[1] + 1
    down = next(e for e in group.history() if e["w"] == "DOWN")
    assert target in down["t"] and "refused" in down["t"], down
    assert router.metric("router_connectors_down") == 1
    box.add(Sink(box, "again", listen=target))
    wait_for("UP", lambda: any(e["w"] == "UP" and e["c"] == "out" for e in group.history()))
    assert group.own_version()[1] == version[1] + 2
    assert router.metric("router_probes_total") >= 2


def test_run_starts_it(box):
    """`bridgehead run` starts the router when a key is configured; a worker's failures bring a connector DOWN."""
    organization = Organization(box)
    group = Group(organization, "hq", 0, redis=False)
    sink = Sink(box)
    box.add(sink)
    host = "{}:{}".format(*sink.address)
    settings = {"routing_group": {"name": "hq", "organization_key": organization.public, "key_file": str(group.key)},
                "router": FAST, "delivery": {"retry": {"glitch": ["1s"], "schedule": ["1s"], "jitter_percent": 0}}}
    bridgehead = box.add(Bridgehead(box, smart_host=sink.address, config=settings))
    wait_for("a master", lambda: bridgehead.metric("bridgehead_router_master", "router") == 1)
    wait_for("all daemons in the list", lambda: [m["role"] for m in bridgehead.json("status")["members"]] ==
             ["node", "worker", "router"])
    router = bridgehead.json("status")["members"][2]
    assert router["master"] and router["lease_ms"] > 0 and router["pid"] and router["up_ms"] is not None, router
    assert "routers    1, master " in bridgehead.cli("status").stdout
    bridgehead.send(["b@far.example"], message("first"))
    wait_for("delivery", lambda: sink.stats()["messages"] == 1)
    wait_for("a report", lambda: bridgehead.metric("bridgehead_router_reports_total", "router") >= 1)
    sink.stop()
    bridgehead.send(["b@far.example"], message("second"))
    wait_for("DOWN", lambda: bridgehead.metric("bridgehead_router_connectors_down", "router") == 1)
    again = box.add(Sink(box, "again", listen=host))
    wait_for("UP", lambda: bridgehead.metric("bridgehead_router_connectors_down", "router") == 0)
    wait_for("delivery", lambda: again.stats()["messages"] == 1)


# --- Names, addresses, and what grows old -------------------------------------------------------------------


def test_names_are_asked_again(box):
    """The host name of a neighbour is resolved anew at every attempt: it may have moved."""
    a, b, ra, rb = pair(box)
    dns = box.add(Dns(box, [f"b.example. IN A {box.other_host(50)}"], ttl=1))
    a.neighbours[0]["endpoints"] = [f"b.example:{b.port}"]
    b.neighbours[0].pop("endpoints")
    a.config["resolver"] = {"servers": ["{}@{}".format(*dns.address)]}
    box.add(rb)
    box.add(ra)
    wait_for("an attempt", lambda: ra.metric("router_dials_total") >= 2)
    assert ra.metric("router_connections_total") == 0
    text = (dns.dir / "root.zone").read_text().replace(box.other_host(50), b.host).replace(" 1 3600", " 2 3600")
    (dns.dir / "root.zone").write_text(text)
    dns.process.signal(signal.SIGHUP)
    wait_full(ra, rb)


def test_names_are_asked_again_after_an_adjacency_was_up(box):
    """A neighbour that moves to another address under its name is found there: the address that worked is not kept."""
    a, b, ra, rb = pair(box)
    dns = box.add(Dns(box, [f"b.example. IN A {b.host}"], ttl=1))
    a.neighbours[0]["endpoints"] = [f"b.example:{b.port}"]
    b.neighbours[0].pop("endpoints")
    a.config["resolver"] = {"servers": ["{}@{}".format(*dns.address)]}
    box.add(rb)
    box.add(ra)
    wait_full(ra, rb)
    there, serial = b.host, 1
    for host in (box.other_host(51), box.other_host(52), there):
        lost, opened = ra.metric("router_connections_lost_total"), ra.metric("router_connections_total")
        rb.stop()
        wait_for("the loss", lambda: ra.metric("router_connections_lost_total") > lost)
        assert ra.metric("router_adjacencies_full") == 0
        text = (dns.dir / "root.zone").read_text().replace(f" IN A {b.host}", f" IN A {host}").replace(f" {serial} 3600", f" {serial + 1} 3600")
        serial += 1
        (dns.dir / "root.zone").write_text(text)
        dns.process.signal(signal.SIGHUP)
        b.host = rb.host = host
        rb.start()
        rb.wait_master()
        wait_full(ra, rb)
        assert ra.metric("router_connections_total") > opened
        assert any(f"address=tcp://{host}:{b.port}" in line for line in rb.lines("router.listening"))


def test_ipv6(box):
    """Routers listen on and connect to IPv6 addresses."""
    with socket.socket(socket.AF_INET6) as s:
        try:
            s.bind(("::1", 0))
        except OSError:
            raise Skip("this machine has no IPv6") from None
    a, b, ra, rb = pair(box)
    port = box.port("::1")
    b.neighbours[0].pop("endpoints")
    a.neighbours[0]["endpoints"] = [f"[::1]:{port}"]
    rb.write({"router": {"listen": [f"[::1]:{port}"]}})
    box.add(rb)
    box.add(ra)
    wait_full(ra, rb)


def test_a_neighbour_that_sleeps(box):
    """Keep-alives keep an idle adjacency up. A router that is stopped closes no connection: the adjacency ends all the same, told
    in a line; its group stays in the table, and when it wakes the adjacency is there again."""
    # Three keep-alives are longer than any machine is slow.
    quiet = {"router": {"hello": "2s", "refresh": "10m", "lifetime": "30m"}}
    a, b, ra, rb = pair(box, quiet, quiet)
    box.add(ra)
    box.add(rb)
    wait_full(ra, rb)
    wait_for("both", lambda: a.groups() == b.groups() == {"a", "b"})
    wait_full(ra, rb)
    lines, received, table = ra.lines("to=DOWN"), ra.metric("router_received_total"), a.table()
    wait_for("keep-alives alone", lambda: ra.metric("router_received_total") >= received + 4)
    assert ra.lines("to=DOWN") == lines and a.table() == table and ra.metric("router_adjacencies_full") == 1
    rb.signal(signal.SIGSTOP)
    try:
        line = wait_for(lambda: f"the end; it said:\n{ra.tail()}", lambda: ra.lines("to=DOWN")[len(lines):])[0]
        assert "router.adjacency neighbour=b from=FULL" in line and ("'silence'" in line or "'carrier down'" in line), line
        assert ra.metric("router_adjacencies_full") == 0 and a.groups() == {"a", "b"} and ra.is_master()
    finally:
        rb.signal(signal.SIGCONT)
    wait_full(ra, rb)


def test_no_ghosts(box):
    """A group that does not refresh its record is dropped by the others, and comes back by itself."""
    quick = {"router": {"refresh": "1s", "lifetime": "4s"}}
    a, b, ra, rb = pair(box, quick, quick)
    box.add(ra)
    box.add(rb)
    wait_full(ra, rb)
    wait_for("both", lambda: a.groups() == {"a", "b"})
    rb.kill()
    wait_for("b to be dropped", lambda: a.groups() == {"a"})
    assert any(e["w"] == "GONE" and e["g"] == "b" for e in a.history())
    rb.start()
    wait_for("b to come back", lambda: a.groups() == {"a", "b"})


def test_purge(box):
    """A group that is purged by hand goes, and comes back by itself when it lives, long before its next refresh."""
    seldom = {"router": {"refresh": "10m", "lifetime": "1h"}}
    a, b, ra, rb = pair(box, seldom, seldom)
    box.add(ra)
    box.add(rb)
    wait_full(ra, rb)
    wait_for("both", lambda: a.groups() == {"a", "b"})
    version = b.own_version()
    assert a.purge("b", "q1") == "0"
    assert any(e["w"] == "GONE" and e["g"] == "b" for e in a.history())
    wait_for("b to come back", lambda: a.groups() == {"a", "b"}, 10)
    assert b.own_version()[:3] == version[:3] and b.own_version()[3] > version[3]
    assert "no such group" in a.purge("nosuch", "q2")
    assert "this group itself" in a.purge("a", "q3")


def test_a_purged_ghost_stays_away(box):
    """A group is dead, and its neighbour still holds its record: whoever purged it does not take it back, over a kill -9 of
    its router, a take-over, and a mastership regained."""
    organization = Organization(box)
    a, b, c = (box.add(Group(organization, name, i, {"router": {"lifetime": "5m"}})) for i, name in enumerate("abc"))
    first, second, rb, rc = a.router("first"), a.router("second", box.other_host(3)), b.router(), c.router()
    for one, other in ((a, b), (b, a), (b, c), (c, b)):
        one.knows(other)
    for router in (first, rb, rc):
        box.add(router)
    wait_full(first, rb, rc)
    wait_for("all", lambda: a.groups() == {"a", "b", "c"})
    rc.kill()
    assert a.purge("c") == "0"
    first.kill()  # as soon as the answer is there
    assert a.groups() == {"a", "b"} and set(a.floors()) == {"c"}
    asked = iter(range(100))

    def offered(router):
        """Its neighbour has been asked for its table, still holds the ghost, and this router does not."""
        router.wait_master()
        verify = lambda: a.ask("verify", "", f"v{next(asked)}").split()[1:]
        wait_for(lambda: f"b to differ in c, but {verify()}; {router.name} said:\n{router.tail()}", lambda: verify() == ["b", "SYNC", "differs", "c"], 30)
        assert "c" in b.groups()
        assert a.groups() == {"a", "b"} and set(a.floors()) == {"c"}

    first.start()
    offered(first)
    box.add(second)
    first.signal(signal.SIGSTOP)
    try:
        offered(second)
    finally:
        first.signal(signal.SIGCONT)
    wait_for("the first to step down", lambda: not first.is_master())
    second.kill()
    offered(first)
    rc.start()
    wait_for("c to come back", lambda: a.groups() == {"a", "b", "c"} and a.floors() == {}, 30)
    wait_full(first, rb, rc)


def test_verify(box):
    """Neighbours are asked for their tables: who is equal, who differs and in which groups, who is silent."""
    a, b, ra, rb = pair(box)
    c = Group(a.organization, "c", 2, redis=False)
    a.knows(c)
    box.add(ra)
    box.add(rb)
    wait_full(rb)
    wait_for("both", lambda: b.groups() == a.groups() == {"a", "b"})
    asked = itertools.count()

    def answer():
        """Code, and a line for each neighbour; what b or this group has just signed anew is a difference, too."""
        code, *lines = a.ask("verify", "", f"q{next(asked)}").split("\n")
        return [code, *(line.split() for line in lines)]
    equal = ["0", ["b", "FULL", "equal"]]
    wait_for(lambda: f"{equal}, not {answer()}", lambda: answer()[:2] == equal)
    assert [words[::2] for words in answer()[2:]] == [["c", "silent"]], answer()


def test_override(box):
    """An administrator's word takes a connector DOWN and back, whatever is found out; it travels to the neighbour."""
    a, b, ra, rb = pair(box, {"connectors": [SMART]})
    box.add(ra)
    box.add(rb)
    wait_full(ra, rb)
    version = a.own_version()
    a.redis.ask("hset", "{mq.rt}:words", "out", "down\n0\nme\nrepairs")
    down = wait_for("DOWN at the neighbour", lambda: next((e for e in b.history() if e["w"] == "DOWN" and e["g"] == "a"), None))
    assert down["c"] == "out" and down["v"].split(".")[1] == str(version[1] + 1)
    assert next(e for e in a.history() if e["w"] == "DOWN")["t"] == "me: repairs"
    a.redis.ask("hdel", "{mq.rt}:words", "out")
    wait_for("UP at the neighbour", lambda: any(e["w"] == "UP" and e["g"] == "a" for e in b.history()))


def test_down_survives_a_takeover(box):
    """The next master goes on with the state of connectors: what is DOWN is not announced UP in between."""
    quiet = {"connectors": [SMART], "router": {"damping": {"probe_interval": "1h"}}}
    a, b, first, second, rb = replicas(box, quiet)
    wait_full(first, rb)
    a.redis.ask("hset", "{mq.rt}:rep", "out\n192.0.2.1", "0refused")
    wait_for("DOWN, after its own glitch retry", lambda: any(e["w"] == "DOWN" for e in b.history()))
    first.kill()
    second.wait_master()
    wait_full(second, rb)
    assert second.metric("router_connectors_down") == 1
    assert not any(e["w"] == "UP" for e in b.history())


def test_cut_connections(box):
    """Connections of a router to Redis end inside its script: in the request, before the reply, in the reply. The table stays
    whole, no version goes back, and the neighbour never loses the group."""
    redis = box.add(Redis(box))
    proxy = box.add(Proxy(box, redis.socket, 1, {"master"}, pause=1))
    a, b, ra, rb = pair(box, {"connectors": [SMART], "redis": {"url": proxy.url}})
    a.redis.stop()  # its own; nobody else would
    a.redis = redis
    box.add(ra)
    box.add(rb)
    wait_full(ra, rb)
    wait_for("both", lambda: a.groups() == b.groups() == {"a", "b"})
    version = a.own_version()
    proxy.cutting = True
    for n in range(3, 0, -1):
        a.redis.ask("hset", "{mq.rt}:words", "out", "down\n0\nme\nrepairs")
        wait_for("DOWN", lambda: sum(e["w"] == "DOWN" and e["g"] == "a" for e in a.history()) > 3 - n)
        a.redis.ask("hdel", "{mq.rt}:words", "out")
        wait_for("UP", lambda: sum(e["w"] == "UP" and e["g"] == "a" for e in a.history()) > 3 - n)
        assert a.own_version() > version, (a.own_version(), version)
        version = a.own_version()
    wait_for(lambda: f"every place: {proxy.table()}", lambda: all(min(n) for n in proxy.table().values()), 60)
    proxy.cutting = False
    wait_full(ra, rb)
    wait_for("both again", lambda: a.groups() == b.groups() == {"a", "b"})
    assert a.own_version() >= version and not any(e["w"] == "GONE" for e in b.history())


def test_redis_is_gone_for_a_while(box):
    """Without Redis the master steps down before its lease ends; afterwards it goes on where it was."""
    a, b, ra, rb = pair(box, {"connectors": [SMART]})
    box.add(ra)
    box.add(rb)
    wait_full(ra, rb)
    wait_for("both", lambda: b.groups() == {"a", "b"})
    before = a.own_version()
    a.redis.kill()
    wait_for("the master to step down", lambda: not ra.is_master())
    assert ra.get("/healthz/live")[0] == 200 and not ra.is_ready()
    a.redis.start()
    ra.wait_master()
    wait_full(ra, rb)
    wait_for("the next version", lambda: a.own_version() > before)
    assert a.own_version()[:2] == before[:2]
    assert not any(e["w"] == "GONE" for e in b.history()), "the neighbour kept the record meanwhile"
