"""What routers of other groups may send, over the real carrier: each is refused, counted, and told in one line that names
the neighbour; no state changes, and the router goes on."""
import json
import signal

from peers.bridgehead import executable
from peers.group import Group, Organization, wait_full
from peers.process import Process, wait_for

SMART = {"name": "out", "type": "smtp", "address_spaces": [{"space": "*"}], "smart_hosts": ["192.0.2.1"]}
ANSWER = ["hello", "wait HELLO"]
RECORD = ["hello", "wait ADVERTISE"]

# name: (counter, part of the line, what the neighbour says: tests/integration/ls_peer.c, how it introduces itself)
CASES = {
    "no message": ("MALFORMED", "", [*ANSWER, "raw 6c73ffff", "wait BYE"], {}),
    "several parts": ("MALFORMED", "", [*ANSWER, "parts", "wait BYE"], {}),
    "truncated": ("MALFORMED", "", [*ANSWER, "raw 4c530102000000ff83", "wait BYE"], {}),
    "more than it says": ("MALFORMED", "", [*ANSWER, "raw 4c5301070000000386000000000000", "wait BYE"], {}),
    "an unknown mandatory part": ("MALFORMED", "", [*ANSWER, "raw 4c53010200000005ff00000000", "wait BYE"], {}),
    "an unknown type": ("MALFORMED", "", [*ANSWER, "raw 4c530155000000058600000000", "wait BYE"], {}),
    "another version of messages": ("MALFORMED", "", [*ANSWER, "raw 4c530907000000058600000000", "wait BYE"], {}),
    "oversized": ("MALFORMED", "message of 2000000 bytes", [*ANSWER, "big 2000000", "wait BYE"], {}),
    "too many records": ("MALFORMED", "ADVERTISE of more than 256 records", [*ANSWER, "many 4000", "wait BYE"], {}),
    "no version in common": ("MISPLACED", "no protocol version in common", ["hello 9 12", "wait BYE"], {}),
    "another organization": ("MISPLACED", "another organization", ["hello", "wait BYE"], {"organization": "other"}),
    "another group than its key's": ("MISPLACED", "not the group that the configuration names", ["hello", "wait BYE"], {"group": "z"}),
    "this group's name": ("MISPLACED", "not the group", ["hello", "wait BYE"], {"group": "a"}),
    "records before HELLO": ("MISPLACED", "ACK before HELLO", ["raw 4c530107000000058600000000", "wait HELLO"], {}),
    "a changed record": ("FORGED", "bad signature", [*RECORD, "alter version", "silent 300"], {}),
    "an unsigned record": ("FORGED", "bad signature", [*RECORD, "alter signature", "silent 300"], {}),
    "another certificate": ("FORGED", "bad signature", [*RECORD, "alter certificate", "silent 300"], {}),
    "another version of records": ("MALFORMED", "malformed record header", [*RECORD, "alter format", "silent 300"], {}),
}


class Bad:
    """Group `a` with neighbours that misbehave, each with a key of its own."""

    def __init__(self, box, names=("b",), config=None):
        self.box, self.organization = box, Organization(box)
        self.a = box.add(Group(self.organization, "a", 0, config))
        self.groups = {name: Group(self.organization, name, 1, redis=False) for name in names}
        for group in self.groups.values():
            self.a.knows(group, dial=False)
        self.router = box.add(self.a.router()).wait_master()
        wait_for("the table", lambda: self.a.table() > 0)
        self.state = self.picture()

    def say(self, *lines, name="b", key=None, instance=1, group=None, organization="example"):
        tool = executable().parent / "tests" / "integration" / "ls_peer"
        done = self.box.run(tool, key or self.groups[name].transport, self.a.public, f"tcp://{self.a.host}:{self.a.port}",
                            organization, group or name, instance, input="".join(f"{line}\n" for line in lines).encode(), timeout=60)
        return done.stdout.decode().split()

    def picture(self):
        return self.a.table(), self.a.own_version()[:3]

    def counted(self, counter):
        return self.router.metric(f"router_linkstate_{counter.lower()}_total")

    def told(self, counter, name):
        return [line for line in self.router.lines("router.linkstate") if f"what={counter} neighbour={name} " in line]


def test_each_is_refused(box):
    """Counted once more, one line that names the neighbour, nothing changed."""
    names = {f"n{number}": case for number, case in enumerate(CASES)}
    bad = Bad(box, names)
    for name, case in names.items():
        counter, text, lines, how = CASES[case]
        before = bad.counted(counter)
        got = bad.say(*lines, name=name, **how)
        wait_for(lambda: f"{case}: {counter}; it got {got}; the router said:\n{bad.router.tail()}",
                 lambda: bad.counted(counter) > before)
        lines = wait_for(lambda: f"{case}: a line; the router said:\n{bad.router.tail()}", lambda: bad.told(counter, name))
        assert text in lines[0], (case, lines)
        assert bad.picture() == bad.state, case
    assert bad.router.is_master()


def test_unknown_key(box):
    """A router with a key that the configuration does not name is not admitted; one line names it."""
    bad = Bad(box)
    key = box.path("stranger.key")
    bad.organization.make("transport", key)
    assert bad.say("hello", "silent 500", key=key) == []
    wait_for("the refusal", lambda: bad.router.metric("router_refused_total") >= 1)
    lines = bad.router.lines("router.refused")
    assert lines and "127.0.0.1'" in lines[0] and "key=" in lines[0], lines
    assert bad.router.metric("router_received_total") == 0
    assert bad.picture() == bad.state


def test_huge(box):
    """What is larger than four messages may be ends the connection before it is in memory: the engine sees nothing of it."""
    bad = Bad(box)
    bad.say(*ANSWER, "big 5000000", "silent 300")
    assert bad.picture() == bad.state and bad.router.is_master()
    assert bad.counted("MALFORMED") == 0, "nothing was handed to the engine"
    assert "HELLO" in bad.say(*ANSWER, instance=2)


def test_a_neighbour_that_lacks_records(box):
    """`linkstate verify` names a group that a neighbour lacks, once, however often the tables were compared."""
    bad = Bad(box)
    tool = executable().parent / "tests" / "integration" / "ls_peer"
    box.add(Process(box, "peer", ["sh", "-c", 'printf "hello\nsilent 60000\n" | "$@"', "sh", tool, bad.groups["b"].transport, bad.a.public,
                                  f"tcp://{bad.a.host}:{bad.a.port}", "example", "b", 1]))

    def verify():
        done = box.run(executable(), "linkstate", "verify", "-o", "json", "-c", bad.router.file, check=False)
        return done.returncode, [(row["neighbour"], row["table"], row["differing"]) for row in json.loads(done.stdout)]

    wait_for(lambda: f"the difference: {verify()}", lambda: verify() == (1, [("b", "differs", "a")]))


def test_replayed(box):
    """An older record than the one that is held is not taken back."""
    bad = Bad(box, config={"router": {"refresh": "1s", "lifetime": "5s"}})
    before = bad.counted("STALE")
    got = bad.say(*RECORD, "newer", "replay", "wait ADVERTISE")
    assert got == ["ADVERTISE", "newer", "ADVERTISE"], got
    wait_for("it to be counted", lambda: bad.counted("STALE") > before)
    lines = wait_for("a line", lambda: bad.told("STALE", "b"))
    assert "older than the one held" in lines[0] and "group=a" in lines[0], lines
    assert bad.picture() == bad.state


def chain(box, second_key):
    """a - b - c, and behind c another group that calls itself a, with a key that is certified too."""
    organization = Organization(box)
    a, b, c = (box.add(Group(organization, name, number)) for number, name in enumerate("abc"))
    twin = box.add(Group(organization, "twin", 3, {"connectors": [SMART]}))
    twin.name = "a"
    if second_key:
        organization.make("group", twin.key.with_name("second.key"), "--group", "a", "--organization-key", organization.key)
        twin.key = twin.key.with_name("second.key")
    else:
        twin.key = a.key
    a.knows(b)
    b.knows(a).knows(c)
    c.knows(b).knows(twin)
    twin.knows(c)
    routers = [box.add(g.router(label)) for g, label in ((a, "a0"), (b, "b0"), (c, "c0"))]
    wait_full(*routers[:2])
    wait_for("all tables", lambda: all(g.groups() == {"a", "b", "c"} for g in (a, b, c)))
    return a, b, c, twin, routers


def test_two_groups_with_one_name(box):
    """Two keys for one name: the one that was there first stays; counted, one line, and nothing is passed on."""
    a, b, c, twin, (ra, rb, rc) = chain(box, True)
    versions = a.own_version()
    table = b.table()
    box.add(twin.router("twin"))
    wait_for("the conflict", lambda: rc.metric("router_linkstate_conflict_total") >= 1)
    line = next(line for line in rc.lines("what=CONFLICT"))
    assert "neighbour=a" in line and "two keys speak for this group" in line, line
    assert rb.metric("router_linkstate_conflict_total") == 0 and b.table() == table
    assert a.own_version()[:3] == versions[:3]


def test_two_groups_with_one_key(box):
    """A copied configuration: both sign for one name. Both say so; how slowly they outbid each other is tested in the engine."""
    a, b, c, twin, (ra, rb, rc) = chain(box, False)
    rtwin = box.add(twin.router("twin"))
    wait_for("both to notice", lambda: all(r.metric("router_linkstate_conflict_total") >= 1 for r in (ra, rtwin)))
    assert "two groups with one name?" in ra.lines("what=CONFLICT")[0]
    assert ra.is_master() and rb.is_master() and rtwin.is_master()


def test_clocks_that_jump(box):
    """Redis's clock goes back by an hour, or on by a year: the lease is free after its length, and the table is there."""
    organization = Organization(box)
    a, b = box.add(Group(organization, "a", 0, {"connectors": [SMART]})), box.add(Group(organization, "b", 1))
    a.knows(b)
    b.knows(a)
    ra, rb = box.add(a.router()), box.add(b.router())
    wait_full(ra, rb)
    wait_for("both tables", lambda: a.groups() == b.groups() == {"a", "b"})
    now = int(a.redis.ask("time").split()[0]) * 1000
    for jump in (3600 * 1000, -365 * 86400 * 1000):  # how far ahead of the clock everything that it has written is
        ra.signal(signal.SIGKILL)
        ra.wait()
        version = a.own_version()
        a.redis.ask("hset", "{mq.rt}:master", "u", str(now + jump))
        a.redis.ask("hset", "{mq.rt}:table", "at", str(now + jump))
        ra.start()
        ra.wait_master()
        wait_full(ra, rb)
        wait_for("both tables", lambda: a.groups() == b.groups() == {"a", "b"})
        wait_for("the next version", lambda: a.own_version() > version)
        assert a.own_version()[:2] == version[:2], "nothing was changed"
    assert not any(e["w"] == "GONE" for e in b.history())
