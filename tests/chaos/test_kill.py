"""Processes are killed, frozen and cut off under load; nothing that was acknowledged is lost.

CHAOS_SECONDS in the environment is how long each experiment lasts (12)."""
import os
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from peers.process import wait_for
from peers.proxy import Proxy
from peers.redis import Redis, SentinelTrio
from world import World

SECONDS = int(os.environ.get("CHAOS_SECONDS", "12"))


def during_load(world, *faults, pause=(0.5, 1.5)):
    """Draws a fault and a pause until the load is over."""
    world.load(SECONDS)
    time.sleep(1)
    while world.loading():
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
    during_load(world, world.kill_worker)
    world.finish()


def test_kill_nodes(box):
    """kill -9 of nodes."""
    world = World(box, "kill -9 of nodes", box.add(Redis(box)).url)
    during_load(world, world.kill_node)
    assert world.finish()["duplicates"] == 0


def test_freeze_workers(box):
    """SIGSTOP of a worker beyond its lease, then SIGCONT."""
    world = World(box, "worker frozen beyond its lease", box.add(Redis(box)).url)
    during_load(world, world.freeze_worker)
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
    during_load(world, kill_redis, pause=(1.5, 3))
    assert world.finish()["duplicates"] == 0


def test_cut_connections(box):
    """Connections to Redis end in the middle of anything: every few hundred to 200,000 octets."""
    redis = box.add(Redis(box))
    proxy = box.add(Proxy(box, redis.socket, "cut", reach=200000))
    world = World(box, "connections to Redis cut", proxy.url)
    proxy.random.seed(world.seed)
    world.load(SECONDS)
    for reach in (200000, 50000, 10000, 200000):
        proxy.reach, proxy.cutting = reach, True
        time.sleep(SECONDS / 6)
        proxy.cutting = False
        world.fault(f"{proxy.cuts} cuts so far (reach {reach})")
        time.sleep(SECONDS / 12)
    assert world.finish()["duplicates"] == 0
    assert proxy.cuts >= 20, proxy.cuts


def test_all_in_one(box):
    """kill -9 of the children of `bridgehead run`, its Redis among them."""
    world = World(box, "kill -9 of children of bridgehead run")
    during_load(world, world.kill_child, pause=(1, 3))
    world.finish()


def test_everything(box):
    """All of it together."""
    redis = box.add(Redis(box))
    world = World(box, "everything at once", redis.url)

    def kill_redis():
        world.fault("kill redis")
        redis.kill()
        redis.start()
    during_load(world, world.kill_worker, world.kill_node, world.freeze_worker, kill_redis)
    world.finish()


def test_sentinel_failover(box):
    """The primary is killed, a replica promoted; durability replicas:1."""
    trio = box.add(SentinelTrio(box))
    world = World(box, "Sentinel failover", trio.url, durability="replicas:1")
    world.load(max(SECONDS, 15), rate=100)
    time.sleep(3)
    old = trio.primary()
    world.fault(f"kill primary {old.name}")
    # What a worker finished and the new primary never heard of may be delivered again: its open connections.
    world.in_hand += world.sink.stats()["current"]
    old.kill()
    wait_for("a promotion", lambda: trio.primary() is not old, 30)
    world.fault(f"promoted {trio.primary().name}")
    old.start()
    world.finish(timeout=120)
