"""What routers of other groups may send, over the real carrier: each is refused, counted, and told in one line that names
the neighbour; no state changes, and the router goes on."""
import hashlib
import json
import os
import re
import signal
import struct

from peers.bridgehead import executable, merge
from peers.group import Group, Organization, wait_full
from peers.process import Process, wait_for

SMART = {"name": "out", "type": "smtp", "address_spaces": [{"space": "*"}], "smart_hosts": ["192.0.2.1"]}
ANSWER = ["hello", "wait HELLO"]
RECORD = ["hello", "wait ADVERTISE"]
QUIET = [*RECORD, "mute"]  # the adjacency is up, and nothing but the bad message is said any more

# name: (counter, part of the line, what the neighbour says: tests/integration/ls_peer.c, how it introduces itself)
CASES = {
    "no message": ("MALFORMED", "", [*QUIET, "raw 6c73ffff", "wait BYE"], {}),
    "several parts": ("MALFORMED", "", [*QUIET, "parts", "wait BYE"], {}),
    "truncated": ("MALFORMED", "", [*QUIET, "raw 4c530102000000ff83", "wait BYE"], {}),
    "more than it says": ("MALFORMED", "", [*QUIET, "raw 4c5301070000000386000000000000", "wait BYE"], {}),
    "an unknown mandatory part": ("MALFORMED", "", [*QUIET, "raw 4c53010200000005ff00000000", "wait BYE"], {}),
    "an unknown type": ("MALFORMED", "", [*QUIET, "raw 4c530155000000058600000000", "wait BYE"], {}),
    "another version of messages": ("MALFORMED", "", [*QUIET, "raw 4c530907000000058600000000", "wait BYE"], {}),
    "oversized": ("MALFORMED", "message of 2000000 bytes", [*QUIET, "big 2000000", "wait BYE"], {}),
    "too many records": ("MALFORMED", "ADVERTISE of more than 256 records", [*QUIET, "many 4000", "wait BYE"], {}),
    "no version in common": ("MISPLACED", "no protocol version in common", ["mute", "hello 9 12", "wait BYE"], {}),
    "another organization": ("MISPLACED", "another organization", ["mute", "hello", "wait BYE"], {"organization": "other"}),
    "another group than its key's": ("MISPLACED", "not the group that the configuration names", ["mute", "hello", "wait BYE"], {"group": "z"}),
    "this group's name": ("MISPLACED", "not the group", ["mute", "hello", "wait BYE"], {"group": "a"}),
    "records before HELLO": ("MISPLACED", "ACK before HELLO", ["mute", "raw 4c530107000000058600000000", "wait HELLO"], {}),
    "a changed record": ("FORGED", "bad signature", [*QUIET, "alter version", "silent 300"], {}),
    "an unsigned record": ("FORGED", "bad signature", [*QUIET, "alter signature", "silent 300"], {}),
    "another certificate": ("FORGED", "bad signature", [*QUIET, "alter certificate", "silent 300"], {}),
    "another version of records": ("MALFORMED", "malformed record header", [*QUIET, "alter format", "silent 300"], {}),
}
# A neighbour that says nothing but what it is told to has the time of three keep-alives for it.
STILL = {"router": {"hello": "5s", "refresh": "10m", "lifetime": "30m"}}
REFUSALS = ("stale", "malformed", "forged", "conflict", "too_many", "misplaced")


class Bad:
    """Group `a` with neighbours that misbehave, each with a key of its own. It does not refresh its record meanwhile, so that
    every byte of its state stays when nothing changes it."""

    def __init__(self, box, names=("b",), config=None):
        self.box, self.organization = box, Organization(box)
        self.a = box.add(Group(self.organization, "a", 0, merge(STILL, config or {})))
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
        table = self.a.redis.bytes("hget", self.a.key_of("table"), "b")
        return self.a.table(), self.a.own_version(), self.router.metric("router_groups"), hashlib.sha256(table).hexdigest()

    def counted(self, counter):
        return self.router.metric(f"router_linkstate_{counter.lower()}_total")

    def refused(self):
        return {counter: self.counted(counter) for counter in REFUSALS}

    def told(self, counter, name):
        return [line for line in self.router.lines("router.linkstate") if f"what={counter} neighbour={name} " in line]


def test_each_is_refused(box):
    """Counted once, by one counter; one line that names the neighbour; nothing changed."""
    names = {f"n{number}": case for number, case in enumerate(CASES)}
    bad = Bad(box, names)
    for name, case in names.items():
        counter, text, lines, how = CASES[case]
        before = bad.refused()
        got = bad.say(*lines, name=name, **how)
        wait_for(lambda: f"{case}: {counter}; it got {got}; the router said:\n{bad.router.tail()}",
                 lambda: bad.counted(counter) > before[counter.lower()])
        assert bad.refused() == {**before, counter.lower(): before[counter.lower()] + 1}, (case, before, bad.refused())
        wait_for(lambda: f"{case}: a line; the router said:\n{bad.router.tail()}", lambda: bad.told(counter, name))
        assert bad.picture() == bad.state, case
    assert bad.router.is_master()
    bad.router.stop()
    for name, case in names.items():
        lines = [line for line in bad.router.lines(f"neighbour={name} ") if "router.linkstate" in line]
        assert len(lines) == 1 and CASES[case][1] in lines[0], (case, lines)


def test_a_flood(box):
    """One bad message ends the adjacency; all that comes in the pause after it is counted and told, too: the first in a line each,
    the rest in lines that carry their number. Nobody else's lines are lost for it."""
    bad = Bad(box, ("b", "c"))
    flood = 3000
    assert "ADVERTISE" in bad.say(*QUIET, f"repeat {flood} 6c73ffff")
    wait_for(lambda: f"all of them: {bad.refused()}", lambda: bad.counted("MISPLACED") == flood - 1)
    assert bad.counted("MALFORMED") == 1
    bad.say("mute", "hello 9 12", "wait BYE", name="c")
    wait_for("the other's line", lambda: bad.told("MISPLACED", "c"))
    assert bad.picture() == bad.state and bad.router.is_master()
    bad.router.stop()
    numbers = [int(n) for line in bad.router.lines("router.linkstate neighbour=b ") for n in re.findall(r"more=(\d+)", line)]
    malformed, pause = bad.told("MALFORMED", "b"), bad.told("MISPLACED", "b")
    assert len(malformed) == 1 and "pause after a violation" in pause[0], (malformed, pause[:1])
    assert len(pause) + 1 <= 20 * (1 + len(numbers)), "a flood does not flood the log"
    assert len(pause) + sum(numbers) == flood - 1, (len(pause), numbers)
    assert len(bad.told("MISPLACED", "c")) == 1


def test_unknown_key(box):
    """A router with a key that the configuration does not name is not admitted; one line names it and its address, and however often it
    comes each time is counted, in the log too."""
    bad = Bad(box)
    key = box.path("stranger.key")
    bad.organization.make("transport", key)
    for times in range(1, 9):
        assert bad.say("hello", "silent 100", key=key) == []
        wait_for("the refusal", lambda: bad.router.metric("router_refused_total") == times)
    assert bad.router.metric("router_received_total") == 0 and bad.router.metric("router_admitted_total") == 0
    assert bad.picture() == bad.state and bad.refused() == dict.fromkeys(REFUSALS, 0)
    bad.router.stop()
    lines = bad.router.lines("router.refused")
    named = [line for line in lines if re.search(r" key=\w{4}-\S+ peer='\S*127\.\S+' ", line)]
    counted = [int(n) for line in lines for n in re.findall(r" more=(\d+) ", line)]
    assert len(named) + len(counted) == len(lines) and named and len(named) + sum(counted) == times, lines


def test_huge(box):
    """What is larger than four messages may be ends the connection before it is in memory: the engine sees nothing of it. The end is
    counted and told in one line that names the neighbour."""
    bad = Bad(box)
    said = bad.say(*QUIET, "big 5000000", "silent 300")
    lines = wait_for("the end", lambda: bad.router.lines("router.ended"))
    assert "BYE" not in said and bad.picture() == bad.state and bad.router.is_master()
    assert bad.counted("MALFORMED") == 0, "nothing was handed to the engine"
    assert len(lines) == 1 and "neighbour=b " in lines[0] and "more than 4194304 bytes" in lines[0], lines
    assert bad.router.metric("router_admitted_ended_total") == 1
    assert "HELLO" in bad.say(*ANSWER, instance=2)


def test_a_silent_neighbour(box):
    """A neighbour whose connection lives but that says nothing more: the adjacency ends after three keep-alives, told in a line."""
    bad = Bad(box, config={"router": {"hello": "300ms"}})
    assert "BYE" not in bad.say(*QUIET, "silent 3000")
    line = wait_for(lambda: f"the end; it said:\n{bad.router.tail()}", lambda: [
        line for line in bad.router.lines("router.adjacency") if "neighbour=b " in line and "to=DOWN" in line])[0]
    assert "why='silence'" in line, line
    assert bad.picture() == bad.state


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
    assert bad.picture()[:3] == (bad.state[0], mine := bad.a.own_version(), 1) and mine[:3] == bad.state[1][:3], "refreshed, nothing else"


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


def test_the_clocks_of_a_router_jump(box):
    """Its wall clock leaps by a year, ahead and back: nothing happens, for it is asked by nothing but the log. Its monotonic clock leaps
    ahead by an hour, as after a long sleep: the lease may be over, so it begins anew, with the same record and the same table."""
    organization = Organization(box)
    slow = {"router": {"hello": "1500ms", "refresh": "10m", "lifetime": "2d"}}  # no machine is as slow as three keep-alives
    a, b = (box.add(Group(organization, name, number, {**slow, "connectors": [SMART]})) for number, name in enumerate("ab"))
    a.knows(b)
    b.knows(a)
    ra, rb = a.router(), b.router()
    clock = box.path("clock")
    clock.write_bytes(bytes(16))

    def jump(wall, mono):
        with open(clock, "r+b", buffering=0) as file:  # in place: it is mapped
            file.write(struct.pack("=qq", wall, mono))

    module = executable().parent / "tests" / "integration" / "jump_clock.so"
    ra.env = {**os.environ, "LD_PRELOAD": str(module), "JUMP_CLOCK": str(clock),
              "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"}
    box.add(ra)
    box.add(rb)
    wait_full(ra, rb)
    wait_for("both tables", lambda: a.groups() == b.groups() == {"a", "b"})
    wait_full(ra, rb)
    state = lambda: (a.table(), b.table(), a.own_version(), ra.lines("to=DOWN"), ra.metric("router_takeovers_total"))
    before, year = state(), 365 * 86400 * 1000
    for wall in (year, -year, 0):
        jump(wall, 0)
        received = ra.metric("router_received_total")
        wait_for("keep-alives", lambda: ra.metric("router_received_total") >= received + 3)
        assert state() == before and ra.is_master(), wall
    jump(year, 3600 * 1000)
    line = wait_for("it to step down", lambda: [line for line in ra.lines("router.state") if "could not be renewed in time" in line])[0]
    assert int(line[:4]) > int(ra.lines("router.state")[0][:4]), "the test moves its clocks"
    ra.wait_master()
    wait_full(ra, rb)
    wait_for("both tables", lambda: a.groups() == b.groups() == {"a", "b"})
    version = a.own_version()
    assert version[:2] == before[2][:2] and version > before[2], "the same record, announced anew"
    assert not any(e["w"] == "GONE" for group in (a, b) for e in group.history())


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
