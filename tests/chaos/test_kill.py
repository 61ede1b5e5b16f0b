"""Processes are killed, frozen and cut off under load; nothing that was acknowledged is lost.

CHAOS_SECONDS in the environment is how long each experiment lasts (8)."""
import json
import os
import pathlib
import random
import signal
import smtplib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from peers.process import Failed, wait_for
from peers.proxy import Proxy
from peers.redis import Redis, SentinelTrio
from peers.sink import Sink
from world import World

SECONDS = int(os.environ.get("CHAOS_SECONDS", "8"))


def during_load(world, *faults, count, pause=(0.5, 1.5)):
    """Draws a fault and a pause until the load is over and there were `count`: what a good machine has in 8 s. A slow one gets
    more load meanwhile."""
    deadline = time.monotonic() + SECONDS + 300
    world.load(SECONDS)
    time.sleep(1)
    while len(world.faults) < count or world.loading():
        if len(world.faults) < count and time.monotonic() > deadline:
            raise Failed(f"only {len(world.faults)} of {count} faults in {SECONDS + 300} s")
        if not world.loading():
            world.load(SECONDS)
        world.random.choice(faults)()
        time.sleep(world.random.uniform(*pause))


def test_nothing(box):
    """No fault at all: everything arrives exactly once."""
    world = World(box, "no fault", box.add(Redis(box)).url)
    world.load(SECONDS // 2)
    figures = world.finish()
    assert figures["duplicates"] == 0 and figures["refused_4xx"] == 0 and figures["unanswered"] == 0, figures


def test_kill_workers(box):
    """kill -9 of workers."""
    world = World(box, "kill -9 of workers", box.add(Redis(box)).url)
    during_load(world, world.kill_worker, count=4)
    world.finish()


def test_kill_nodes(box):
    """kill -9 of nodes."""
    world = World(box, "kill -9 of nodes", box.add(Redis(box)).url)
    during_load(world, world.kill_node, count=4)
    assert world.finish()["duplicates"] == 0


def test_freeze_workers(box):
    """SIGSTOP of a worker beyond its lease, then SIGCONT."""
    world = World(box, "worker frozen beyond its lease", box.add(Redis(box)).url)
    during_load(world, world.freeze_worker, count=2)
    world.finish()


def test_kill_redis(box):
    """kill -9 of Redis, and a restart."""
    redis = box.add(Redis(box))
    world = World(box, "kill -9 of Redis", redis.url)

    def kill_redis():
        world.fault("kill redis")
        redis.kill()
        time.sleep(world.random.uniform(0, 1))
        redis.start()
    during_load(world, kill_redis, count=2, pause=(1.5, 3))
    assert world.finish()["duplicates"] == 0


SCRIPTS = {"bye", "claim", "commit", "discover", "finish", "hold", "init", "jobs", "link", "meta", "reap", "release", "renew",
           "sem", "stage"}
TOOL_SCRIPTS = {"check", "edit", "freeze", "links", "members", "queues", "retry", "show", "slotcheck", "slots", "stats", "thaw", "track",
                "workers"}
COMMANDS = {"SCRIPT", "INFO", "SET", "RPUSH", "GET"}  # setting up; bodies
WIDE = 600  # recipient domains of a message that is staged


def send_wide(world):
    """A message to so many domains that its jobs are staged, with a body of several chunks; true if it was taken."""
    body = "X: y\r\n\r\n" + ("0123456789" * 7 + "\r\n") * 2000
    with smtplib.SMTP(*world.nodes[0].smtp, timeout=90) as client:
        try:
            client.sendmail("a@b.example", [f"u@d{n}.wide.example" for n in range(WIDE)], body)
            return True
        except smtplib.SMTPResponseException:
            return False


def through(world, command):
    """A command of an administrator: one that is cut says so, and is given again. What it asks for may be done by then."""
    for _ in range(100):
        done = world.nodes[0].cli(*command, check=False, timeout=90)
        if done.returncode == 0 or done.returncode == 5 and "thaw" in command:
            return done.stdout
        if not done.stderr.strip():
            raise Failed(f"{command} gave {done.returncode} and said nothing: {done.stdout[-500:]}")
    raise Failed(f"{command} never got through: {done.stderr}")


def use_tool(world):
    for command in (["status"], ["queue", "list"], ["queue", "freeze", "frozen.example"], ["queue", "thaw", "frozen.example"],
                    ["queue", "freeze", "--sender", "nobody@nowhere.example"],
                    ["queue", "retry", "--all"], ["queue", "retry", "--all", "--older-than", "1s"], ["message", "track"], ["queue", "fsck"]):
        through(world, command)
    shown = json.loads(through(world, ["queue", "show", "--all", "-o", "json"]))
    if shown:
        through(world, ["message", "show", shown[0]["id"]])


def test_cut_connections(box):
    """Connections to Redis end inside every script: in the request, before the reply, in the reply. No lease ends."""
    redis, wide, late = box.add(Redis(box)), box.add(Sink(box, "wide")), box.add(Sink(box, "late", refuse=True))
    proxy = box.add(Proxy(box, redis.socket, random.randrange(1 << 30), SCRIPTS | TOOL_SCRIPTS | COMMANDS))
    proxy.cutting = True
    world = World(box, "connections to Redis cut", proxy.url, lease=60, others={"wide": wide, "late": late})
    taken, end = 0, time.monotonic() + max(SECONDS, 300)  # it is over when everything was cut; 45 s beside other work
    world.load(SECONDS)
    world.load(SECONDS, rate=5, domain="d%u.late.example")
    while time.monotonic() < end and (world.loading() or not all(min(n) for n in proxy.table().values())):
        taken += send_wide(world)
        use_tool(world)
        world.restart_worker()
    proxy.cutting = False
    late.control("accept")
    for name, cuts in proxy.table().items():
        print(f"  {name}: cut {cuts[0]} times in the request, {cuts[1]} before the reply, {cuts[2]} in the reply, "
              f"of {proxy.seen[name]} calls", flush=True)
    world.faults += ["cut"] * proxy.cuts
    assert world.finish()["duplicates"] == 0
    assert wide.stats()["messages"] == taken * WIDE, (taken, wide.stats())
    assert all(min(n) for n in proxy.table().values()), proxy.table()


def test_all_in_one(box):
    """kill -9 of the children of `bridgehead run`, its Redis among them."""
    world = World(box, "kill -9 of children of bridgehead run")
    during_load(world, world.kill_child, count=3, pause=(1, 3))
    world.finish()


def test_everything(box):
    """All of it together."""
    redis = box.add(Redis(box))
    world = World(box, "everything at once", redis.url)

    def kill_redis():
        world.fault("kill redis")
        redis.kill()
        redis.start()
    during_load(world, world.kill_worker, world.kill_node, world.freeze_worker, kill_redis, count=3)
    world.finish()


def test_sentinel_failover(box):
    """The primary is killed, a replica promoted; durability replicas:1."""
    trio = box.add(SentinelTrio(box))
    world = World(box, "Sentinel failover", trio.url, durability="replicas:1")
    world.load(max(SECONDS, 15), rate=100)
    time.sleep(3)
    old = trio.primary()
    world.fault(f"kill primary {old.name}")
    # What was claimed there and is on no replica yet waits in its queue again on the new primary; its worker says that it
    # has it, or has done it, but another one may be first.
    for one in world.workers:
        world.hold_still(one.pid)
    old.kill()
    for one in world.workers:
        os.kill(one.pid, signal.SIGCONT)
    wait_for("a promotion", lambda: trio.primary() is not old, 30)
    world.fault(f"promoted {trio.primary().name}")
    old.start()
    world.finish(timeout=120)
