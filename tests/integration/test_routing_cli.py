"""What people type about routing: links, groups, the table of link state and its drawing, its history."""
import json
import signal
import socket
import subprocess
import xml.etree.ElementTree

from peers.bridgehead import executable
from peers.golden import check_json_keys
from peers.group import Group, Organization, wait_full
from peers.process import Process, wait_for
from peers.sink import Sink

SMART = {"name": "out", "type": "smtp", "address_spaces": [{"space": "*", "cost": 7}], "smart_hosts": ["192.0.2.1"]}
DNS = {"name": "dns", "type": "smtp", "address_spaces": [{"space": "*.example.org"}]}


def to(group, cost, host="192.0.2.9"):
    return {"name": f"to-{group}", "type": "routing_group", "to_group": group, "cost": cost, "smart_hosts": [host]}


class Cli:
    """The command line, with a router's configuration."""

    def __init__(self, router):
        self.router, self.box = router, router.group.box

    def run(self, *words, code=0):
        done = self.box.run(executable(), *words, "-c", self.router.file, check=False)
        assert done.returncode == code, (words, done.returncode, done.stdout, done.stderr)
        return (done.stdout if code == 0 else done.stdout + done.stderr).decode()

    def json(self, *words, code=0):
        done = self.box.run(executable(), *words, "-o", "json", "-c", self.router.file, check=False)
        assert done.returncode == code, (words, done.returncode, done.stdout, done.stderr)
        return json.loads(done.stdout)


def alone(box, config=None):
    group = box.add(Group(Organization(box), "hq", 0, config))
    router = box.add(group.router()).wait_master()
    wait_for("the table", lambda: group.table() > 0)
    return group, router, Cli(router)


def pair(box, config_a=None, config_b=None):
    organization = Organization(box)
    a = box.add(Group(organization, "a", 0, {"connectors": [SMART, DNS, to("b", 10)], "local_domains": [{"domain": "a.example", "deliver": f"maildir:{box.path('mail')}"}],
                                             **(config_a or {})}))
    b = box.add(Group(organization, "b", 1, {"connectors": [to("a", 20)], **(config_b or {})}))
    a.knows(b)
    b.knows(a)
    ra, rb = box.add(a.router()), box.add(b.router())
    wait_full(ra, rb)
    wait_for("both tables", lambda: a.groups() == b.groups() == {"a", "b"})
    return a, b, ra, rb


def test_link_list(box):
    """What is configured, what is found out, and why."""
    sink = box.add(Sink(box))
    target = "{}:{}".format(*sink.address)
    group, router, cli = alone(box, {"connectors": [{**SMART, "smart_hosts": [target, "192.0.2.1"]}, DNS, to("far", 30)]})
    rows = {r["connector"]: r for r in cli.json("link", "list")}
    assert set(rows) == {"out", "dns", "to-far"} and all(r["up"] for r in rows.values()), rows
    assert rows["dns"]["state"] == "UP (by DNS)" and rows["to-far"]["to_group"] == "far" and rows["to-far"]["cost"] == 30, rows
    sink.stop()
    for host in (target, "192.0.2.1"):
        group.redis.ask("hset", "{mq.rt}:rep", f"out\n{host}", "0Connection refused")
    down = wait_for("DOWN", lambda: next((r for r in cli.json("link", "list") if r["connector"] == "out" and not r["up"]), None))
    assert "refused" in down["last_error"] and down["failures"] >= 1 and down["targets_up"] == "0 of 2", down
    assert {t["target"]: t["up"] for t in down["targets"]} == {target: False, "192.0.2.1": False}, down
    assert any(t["error"] for t in down["targets"]) and down["since"], down
    text = cli.run("link", "list")
    assert text.splitlines()[0].split()[:4] == ["CONNECTOR", "TO", "COST", "STATE"] and "DOWN" in text, text


def test_what_flaps_is_held(box):
    """A connector that answers again is DOWN for as long as its penalty is too high: that is seen, and for how long."""
    sink = box.add(Sink(box))
    target = "{}:{}".format(*sink.address)
    group, router, cli = alone(box, {"connectors": [{**SMART, "smart_hosts": [target]}],
                                     "router": {"damping": {"penalty": 1000, "hold_above": 900, "release_below": 750, "half_life": "1h"}}})
    link = lambda: cli.json("link", "list")[0]
    sink.stop()
    group.redis.ask("hset", "{mq.rt}:rep", f"out\n{target}", "0Connection refused")
    row = wait_for("DOWN", lambda: (lambda row: row if not row["up"] else None)(link()))
    assert row["state"] == "DOWN" and not row["held_ms"], row
    box.add(Sink(box, "again", listen=target))
    row = wait_for("it to be held", lambda: (lambda row: row if row["state"] == "DOWN (HELD)" else None)(link()))
    assert not row["up"] and 750 < row["penalty"] <= 1000 and row["failures"] == 0, row
    # log2(1000 / 750) half-lives
    assert 0 < (row["held_ms"] or 0) <= 1495000, row
    text = cli.run("link", "list")
    assert all(part in text for part in ("PENALTY", "HELD FOR", "DOWN (HELD)")), text


def test_words_of_administrators(box):
    """link down, up and auto: what is announced follows, with reason, author and expiry, and travels."""
    a, b, ra, rb = pair(box)
    cli = Cli(ra)
    state = lambda: next(r for r in cli.json("link", "list") if r["connector"] == "out")
    assert "DOWN for 1h" in cli.run("link", "down", "out", "--reason", "new cable", "--for", "1h")
    row = wait_for("DOWN", lambda: state() if not state()["up"] else None)
    assert row["override"] == "DOWN" and row["override_reason"] == "new cable" and row["override_until"], row
    event = wait_for("it at the neighbour", lambda: next((e for e in b.history() if e["w"] == "DOWN" and e["g"] == "a"), None))
    assert event["c"] == "out"
    event = next(e for e in cli.json("linkstate", "history") if e["what"] == "DOWN")
    assert event["connector"] == "out" and event["why"] == row["override_by"] + ": new cable" and event["group"] == "a" and event["at"], event
    answer = cli.json("link", "auto", "out")
    assert answer == {"connector": "out", "override": "auto", "for": None, "router_running": True}, answer
    wait_for("UP", lambda: state()["up"] and state()["override"] is None)
    downs = lambda: sum(e["w"] == "DOWN" and e["g"] == "a" and e["c"] == "out" for e in a.history())
    before = downs()
    cli.run("link", "down", "out", "--for", "3s")
    wait_for("DOWN", lambda: downs() > before)  # it may be over before the command line can say so
    wait_for("the end of the word", lambda: state()["up"])
    cli.run("link", "up", "to-b")
    wait_for("the word", lambda: any(r["override"] == "UP" for r in cli.json("link", "list")))
    assert "did you mean 'to-b'" in cli.run("link", "down", "to-bb", code=5)
    assert "by DNS and is never DOWN" in cli.run("link", "down", "dns", code=2)
    for much in ("soon", "99999d"):
        assert "--for takes" in cli.run("link", "down", "out", "--for", much, code=2)
    assert "did you mean 'to-b'" in cli.run("link", "auto", "to-bb", code=5)
    a.say("gone", "down")  # said while it was configured
    cli.run("link", "auto", "gone")
    cli.run("link", "auto", "gone", code=5)
    assert ra.stop() == 0
    assert "no router is running" in cli.run("link", "down", "out")


def test_group_list(box):
    """Groups of the table, and neighbours that were never heard of."""
    organization = Organization(box)
    # a lifetime as long as ever: how old records are is told by refreshes
    a = box.add(Group(organization, "a", 0, {"connectors": [SMART, to("b", 10)], "router": {"refresh": "1s", "lifetime": "2d"},
                                             "local_domains": [{"domain": "a.example", "deliver": f"maildir:{box.path('mail')}"}]}))
    b, c = box.add(Group(organization, "b", 1)), Group(organization, "c", 2, redis=False)
    for other in (b, c):
        a.knows(other)
    b.knows(a)
    ra, rb = box.add(a.router()), box.add(b.router())
    wait_full(rb)
    wait_for("both tables", lambda: a.groups() == b.groups() == {"a", "b"})
    cli = Cli(ra)
    rows = wait_for("the adjacency", lambda: (lambda r: r if r["b"]["adjacency"] == "FULL" else None)(
        {r["group"]: r for r in cli.json("group", "list")}))
    assert rows["a"]["self"] and rows["a"]["signed"] and rows["a"]["connectors"] == 2 and rows["a"]["local_domains"] == 1, rows
    assert rows["a"]["version"].startswith("1.0.") and rows["a"]["members"] == 1 and rows["a"]["master"] == "a0", rows
    assert rows["b"]["signed"] and not rows["b"]["self"], rows
    assert rows["c"]["version"] == "never heard of" and rows["c"]["adjacency"] in ("DOWN", "INIT"), rows
    assert "(this group)" in cli.run("group", "list")
    sequence = lambda: next(g["sequence"] for g in cli.json("linkstate", "show")["groups"] if g["group"] == "b")
    first = sequence()
    wait_for("a refresh of b that is told", lambda: sequence() > first)


def test_linkstate_show(box):
    """The table as a tree, as JSON, raw, and as drawings in which DOWN is seen at a glance."""
    a, b, ra, rb = pair(box)
    cli = Cli(ra)
    tree = cli.run("linkstate", "show")
    for part in ("|-- a: version 1.0.", "signed, master a0", "connector out: smtp, UP", "* cost 7", "target 192.0.2.1",
                 "connector dns: smtp by DNS, UP", "delivers a.example", "`-- b: version ", "connector to-a: to group a, cost 20, UP"):
        assert part in tree, (part, tree)
    cli.run("link", "down", "to-b", "--reason", "test")
    table = wait_for("DOWN", lambda: (lambda t: t if not next(
        c for c in t["groups"][0]["connectors"] if c["name"] == "to-b")["up"] else None)(cli.json("linkstate", "show")))
    first = table["groups"][0]
    assert [g["group"] for g in table["groups"]] == ["a", "b"] and first["local_domains"] == ["a.example"], table
    assert first["signed"] is True and first["version"].startswith("1.1.") and len(table["digest"]) == 32, first
    assert next(c for c in first["connectors"] if c["name"] == "out")["address_spaces"] == [{"space": "*", "cost": 7}], first
    raw = cli.json("linkstate", "show", "--raw")["groups"][0]
    assert bytes.fromhex(raw["header"])[:3] == b"\x01\x01a" and len(raw["body"]) > 100, raw
    assert raw["header"][:64] in cli.run("linkstate", "show", "--raw")
    svg = cli.run("linkstate", "show", "-o", "svg")
    xml.etree.ElementTree.fromstring(svg)
    assert 'class="down"' in svg and "10 DOWN" in svg and ">20<" in svg and "http" not in svg.replace("http://www.w3.org/2000/svg", "")
    dot = cli.run("linkstate", "show", "-o", "dot")
    assert '"a" -> "b" [label="10 DOWN"' in dot and '"b" -> "a" [label="20"' in dot
    assert "-o takes table|json, not 'svg'" in cli.run("group", "list", "-o", "svg", code=2)


def test_targets_have_states(box):
    """A target that does not answer is DOWN in the record while the connector is UP; it is tried until it answers."""
    sink, good = box.add(Sink(box)), "{}:{}".format(*box.add(Sink(box, "good")).address)
    target = "{}:{}".format(*sink.address)
    group, router, cli = alone(box, {"connectors": [{**SMART, "smart_hosts": [good, target]}]})
    states = lambda: {t["name"]: t["up"] for c in cli.json("linkstate", "show")["groups"][0]["connectors"] for t in c["targets"]}
    sink.stop()
    for host, ok in ((target, "0refused"), (good, "1")):
        group.redis.ask("hset", "{mq.rt}:rep", f"out\n{host}", ok)
    wait_for(lambda: f"the state: {states()}", lambda: states() == {good: True, target: False})
    assert cli.json("link", "list")[0]["up"]
    box.add(Sink(box, "again", listen=target))
    wait_for(lambda: f"the state: {states()}", lambda: states()[target])


def test_a_forged_table_is_seen(box):
    """What is in Redis is not believed: a record with another body is shown as not signed."""
    group, router, cli = alone(box, {"connectors": [SMART]})
    assert cli.json("linkstate", "show")["groups"][0]["signed"] is True
    router.stop()  # it would publish its table again
    done = box.run("redis-cli", "-s", group.redis.socket, "eval",
                   "local b = redis.call('hget', KEYS[1], 'b') local at = #b "
                   "return redis.call('hset', KEYS[1], 'b', string.gsub(b, '192.0.2.1', '192.0.2.7'), 'v', 99)", "1", "{mq.rt}:table")
    assert done.returncode == 0
    shown = cli.json("linkstate", "show")["groups"][0]
    assert shown["signed"] is False and "192.0.2.7" in str(shown), shown
    assert "NOT SIGNED" in cli.run("linkstate", "show")
    group.redis.ask("hset", "{mq.rt}:table", "b", "rubbish")
    assert "bridgehead linkstate show: " in cli.run("linkstate", "show", code=1)


def test_watch(box):
    """--watch prints every table as it is published."""
    group, router, cli = alone(box, {"connectors": [SMART]})
    watch = box.add(Process(box, "watch", [executable(), "linkstate", "show", "--watch", "-c", router.file]))
    shown = lambda: watch.log.read_text().count(": table ")
    wait_for("the first", lambda: shown() >= 1)
    cli.run("link", "down", "out")
    wait_for("the second", lambda: "connector out: smtp, DOWN" in watch.log.read_text() and shown() >= 2)
    watch.signal(signal.SIGINT)
    watch.wait()


def test_verify(box):
    """Neighbours are asked: equal, differing with the names, silent."""
    a, b, ra, rb = pair(box)
    cli = Cli(ra)
    wait_equal(cli)
    rb.kill()
    row = wait_for("silence", lambda: next((r for r in verify(cli, 1) if r["table"] == "silent"), None))
    assert row["neighbour"] == "b", row


def verify(cli, code):
    """What `linkstate verify` tells of each neighbour, if this is its exit code."""
    done = cli.box.run(executable(), "linkstate", "verify", "-o", "json", "-c", cli.router.file, check=False)
    return json.loads(done.stdout) if done.returncode == code else []


def wait_equal(cli):
    """Every two seconds the groups sign anew here: what is on its way at that moment is a difference, too."""
    rows = wait_for("equal tables", lambda: verify(cli, 0))
    assert rows == [{"neighbour": "b", "adjacency": "FULL", "table": "equal", "differing": ""}], rows
    return rows


def test_purge(box):
    """A purged group goes, and comes back by itself when it lives; mail for one that does not waits for a while."""
    # Mail waits for twice the time of a refresh: long enough for the command line to see it.
    a, b, ra, rb = pair(box, {"router": {"refresh": "5s", "lifetime": "30s"}},
                        {"local_domains": [{"domain": "b.example", "deliver": f"maildir:{box.path('mail-b')}"}]})
    cli = Cli(ra)
    assert "b: dropped here" in cli.run("linkstate", "purge", "b")
    assert any(e["what"] == "GONE" and e["group"] == "b" for e in cli.json("linkstate", "history"))
    wait_for("b to come back", lambda: a.groups() == {"a", "b"})
    assert "no such group" in cli.run("linkstate", "purge", "nosuch", code=5)
    assert "this group itself" in cli.run("linkstate", "purge", "a", code=1)
    only = cli.json("linkstate", "history", "--group", "b", "--max", "1")
    assert len(only) == 1 and only[0]["group"] == "b", only
    assert "--max takes" in cli.run("linkstate", "history", "--max", "0", code=2)
    way = lambda: [cli.json("route", "explain", "x@b.example").get(key) for key in ("result", "connector")]
    assert way() == ["next hop", "to-b"]
    rb.kill()
    cli.run("linkstate", "purge", "b")
    assert a.groups() == {"a"} and way()[0] == "unreachable"
    wait_for("b's domain to be unknown", lambda: way() == ["next hop", "out"])


def test_without_a_router(box):
    """Each command says what is missing, and what to do."""
    group = box.add(Group(Organization(box), "hq", 0, {"connectors": [SMART]}))
    router = group.router().write()
    cli = Cli(router)
    assert "start `bridgehead router`" in cli.run("linkstate", "show", code=5)
    assert "start `bridgehead router`" in cli.run("group", "list", code=5)
    for command in (("verify",), ("purge", "b")):
        assert "is the routing daemon running" in cli.run("linkstate", *command, code=5)
    assert cli.json("linkstate", "history") == []
    assert [r["state"] for r in cli.json("link", "list")] == ["UP (no router watches it)"]
    group.redis.stop()
    assert subprocess.run([str(executable()), "link", "list", "-c", str(router.file)], capture_output=True, check=False).returncode == 4


def test_route_explain(box):
    """Every candidate and why, the path with its costs, the targets, and what happens if the first choice fails."""
    mail = box.path("mail")
    out = lambda name, space, cost, **more: {**SMART, "name": name, "address_spaces": [{"space": space, "cost": cost}], **more}
    a, b, ra, rb = pair(box, {"connectors": [out("all", "*", 1), out("small", "*.far.example", 1, max_message_size="1K"),
                                             to("b", 10, "192.0.2.9"), out("own", "*.far.example", 90)]},
                        {"connectors": [to("a", 20), out("best", "*.far.example", 5), out("private", "*.far.example", 1, scope="group", reject_from=["@spam.example"])],
                         "local_domains": [{"domain": "b.example", "deliver": f"maildir:{mail}"}]})
    cli = Cli(ra)
    x = cli.json("route", "explain", "someone@mx.far.example", "--size", "2K")
    fates = {c["connector"]: c["verdict"] for c in x["candidates"]}
    assert fates["best"] == "chosen" and fates["own"] == "costs more" and fates["all"].startswith("a more specific"), fates
    assert fates["small"].endswith("max_message_size") and "scope" in fates["private"], fates
    assert x["result"] == "next hop" and x["connector"] == "to-b" and x["cost"] == 15 and x["domain"] == "mx.far.example", x
    assert x["path"] == [{"from": "a", "connector": "to-b", "to": "b", "cost": 10}], x
    assert [t["target"] for t in x["targets"]] == ["192.0.2.9"], x
    after = x["if_first_failed"]
    assert (after["result"], after["connector"], after["path"], after["cost"]) == ("next hop", "own", [], 90), after
    text = cli.run("route", "explain", "someone@mx.far.example", "--size", "2K")
    for part in ("a --to-b (10)--> b", "connector best of group b, address space *.far.example (5); cost 15 in all",
                 "if to-b failed", "result      leaves by connector own"):
        assert part in text, (part, text)
    # another message, another group, a local domain of another group, and one of its own
    small = cli.json("route", "explain", "mx.far.example", "--size", "100")
    assert small["connector"] == "small" and small["class"] != x["class"], small
    there = cli.json("route", "explain", "mx.far.example", "--from-group", "b")
    assert there["connector"] == "private" and there["from_group"] == "b" and there["path"] == [], there
    for sender in ("x@spam.example", "<x@Spam.Example>"):
        there = cli.json("route", "explain", "mx.far.example", "--from-group", "b", "--sender", sender)
        assert there["connector"] == "best", there
    local = cli.json("route", "explain", "x@B.example")
    assert local["connector"] == "to-b" and local["candidates"][0]["connector"] == "(delivered there)", local
    assert local["if_first_failed"]["result"] in ("next hop", "unreachable"), local
    assert cli.json("route", "explain", "x@a.example")["result"] == "local"
    # what is DOWN is passed over
    cli.run("link", "down", "to-b")
    x = wait_for("the other way", lambda: (lambda x: x if x["connector"] == "own" else None)(
        cli.json("route", "explain", "mx.far.example", "--size", "2K")))
    assert next(c for c in x["candidates"] if c["connector"] == "best")["verdict"].startswith("no path of UP connectors"), x
    assert "there is no group 'z'" in cli.run("route", "explain", "x.example", "--from-group", "z", code=5)
    for wrong in (["x@y@"], ["a b"], ["x.example", "--size", "big"], ["x.example", "--priority", "urgent"],
                  ["x.example", "--sender", "spam.example"], ["x.example", "--sender", "<x@y.example> z"]):
        cli.run("route", "explain", *wrong, code=2)


def test_route_table(box):
    """Address spaces with their costs, connectors, groups and states; and offline, without Redis."""
    a, b, ra, rb = pair(box)
    cli = Cli(ra)
    rows = {(r["space"], r["group"]): r for r in cli.json("route", "table")}
    assert rows[("a.example", "a")]["local"] and rows[("*", "a")]["total_cost"] == 7 and rows[("*", "a")]["connector"] == "out", rows
    cli.run("link", "down", "out")
    wait_for("DOWN", lambda: any(r["state"] == "DOWN" and r["connector"] == "out" for r in cli.json("route", "table")))
    assert cli.run("route", "table").splitlines()[0].split()[:3] == ["ADDRESS", "SPACE", "COST"]
    a.redis.stop()
    assert cli.run("route", "table", code=4)
    assert any(r["connector"] == "out" and r["state"] == "UP" for r in cli.json("route", "table", "--offline"))
    assert "from the configuration alone" in cli.run("route", "explain", "x@y.example", "--offline")
    assert "result      leaves by connector out" in cli.run("route", "explain", "x@y.example", "--offline")


def test_config_check_live(box):
    """--live resolves and greets every target; what does not answer is named with its line, in bounded time."""
    sink, silent = box.add(Sink(box)), socket.create_server(("127.0.0.1", 0))
    good, mute = "{}:{}".format(*sink.address), "127.0.0.1:{}".format(silent.getsockname()[1])
    file = box.path("live.yaml")
    check = lambda targets, *words: (file.write_text("connectors:\n- name: out\n  address_spaces: [{space: '*'}]\n"
                                                     f"  smart_hosts: {json.dumps(targets)}\n"),
                                     box.run(executable(), "config", "check", file, *words, check=False))[1]
    done = check([good], "--live")
    assert done.returncode == 0 and b"1 target answers" in done.stdout, done
    assert check([good, mute, "127.0.0.1:1"]).returncode == 0, "without --live nobody is asked"
    done = check([good, mute, "127.0.0.1:1", "nosuch.invalid"], "--live", "--timeout", "2s")
    lines = done.stderr.decode().splitlines()
    assert done.returncode == 3 and all(f"{file}:4: connectors[0]: target '" in line for line in lines if "target" in line), done
    told = {line.split("'")[1]: line for line in lines if "does not answer" in line}
    assert set(told) == {mute, "127.0.0.1:1", "nosuch.invalid"} and "no answer in time" in told[mute], told
    assert "--timeout takes" in check([good], "--live", "--timeout", "soon").stderr.decode()
    silent.close()


def test_json_keys(box):
    """Programs read what -o json prints: tests/golden/cli_json.txt."""
    a, _, ra, rb = pair(box)
    cli = Cli(ra)
    cli.run("link", "down", "out", "--reason", "work on the line")
    wait_for("the override", lambda: any(link["override"] == "DOWN" for link in cli.json("link", "list")))
    said = {" ".join(words): cli.json(*words) for words in (
        ("link", "list"), ("group", "list"), ("linkstate", "show"), ("linkstate", "history"), ("keys", "show"))}
    said["linkstate verify"] = wait_equal(cli)
    said["simulate"] = cli.json("simulate", "--groups", "5", "--events", "1")
    check_json_keys(said)


def test_status_of_a_router_alone(box):
    """status says what there is also where no node and no worker has ever been: who is master."""
    _, router, cli = alone(box)
    said = cli.run("status")
    assert "no node and no worker" in said and "routers    1, master" in said and "NOTHING TAKES MAIL IN" in said, said
    status = cli.json("status")
    assert [(m["role"], m["master"]) for m in status["members"]] == [("router", True)], status
    assert status["partitions"] == 0 and status["links"] == [], status
