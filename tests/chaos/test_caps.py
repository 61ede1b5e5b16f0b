"""Connection caps hold for the whole cluster, and are used up while mail waits."""
import json
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from peers.bridgehead import Bridgehead
from peers.dns import Dns
from peers.process import Failed, wait_for
from peers.redis import Redis
from peers.sink import Sink, load

DOMAINS = 1500


def address(number):
    return f"127.{200 + number // 62500}.{number // 250 % 250}.{number % 250 + 1}"


def cluster(box, workers=4):
    """A node and stopped workers; d0.example to d1500.example each have an address of their own at one sink."""
    port = box.port("127.0.0.1")
    sink = box.add(Sink(box, listen=f"0.0.0.0:{port}", device="lo", rules=["dot:delay=250"]))
    dns = box.add(Dns(box, [f"d{n}.example. IN A {address(n)}" for n in range(DOMAINS + 1)]))
    redis = box.add(Redis(box))
    config = {"redis": {"url": redis.url}, "delivery": {"port": port}}
    node = box.add(Bridgehead(box, "node", resolver=dns.address, config=config, verb="node"))
    crowd = []
    for n in range(workers):
        one = Bridgehead(box, f"worker{n}", resolver=dns.address, config=config, verb="worker", ready=None)
        crowd.append(one)
    return sink, node, crowd


def watch(sink, expected, value, timeout=180):
    """Samples (messages still to come, value of the statistics) until all have arrived."""
    samples, end = [], time.monotonic() + timeout
    while True:
        stats = sink.stats()
        samples.append((expected - stats["unique"], stats[value]))
        if stats["unique"] >= expected:
            return samples
        if time.monotonic() > end:
            raise Failed(f"only {stats['unique']} of {expected} arrived: {stats}")
        time.sleep(0.05)


def plateau(samples, cap):
    """The least value between the first time the cap was nearly reached and the last time more mail waited than the
    open connections could be busy with."""
    first = next((i for i, (_, value) in enumerate(samples) if value >= cap * 95 / 100), None)
    if first is None:
        raise Failed(f"the cap of {cap} was never nearly reached; most: {max(v for _, v in samples)}")
    values = sorted(value for waiting, value in samples[first:] if waiting > 3 * cap)
    return {"samples": len(values), "least": values[0] if values else None,
            "median": values[len(values) // 2] if values else None,
            "tenth": values[len(values) // 10] if values else None}


def test_one_domain(box):
    """5,000 messages to one domain, 4 workers: at most 100 connections, at least 95 while mail waits."""
    sink, node, crowd = cluster(box)
    results = load(node.smtp, messages=5000, sessions=20, per_connection=50, domain="d0.example")
    assert results["acked"] == 5000, results
    for one in crowd:
        box.add(one)
    samples = watch(sink, 5000, "local_current")
    stats, level = sink.stats(), plateau(samples, 100)
    print(json.dumps({"experiment": "caps: one domain", "max": stats["local_max"], **level}))
    assert stats["local_max"] <= 100 and stats["duplicates"] == 0, stats
    assert level["tenth"] >= 95, (level, samples)


def test_many_domains(box):
    """1,500 domains and 5,000 messages to one of them: at most 1,000 in all and 100 to each."""
    sink, node, crowd = cluster(box)
    load(node.smtp, messages=5000, sessions=20, per_connection=50, domain="d0.example")
    load(node.smtp, messages=DOMAINS * 6, sessions=20, per_connection=50, domains=DOMAINS + 1, domain="d%u.example",
         first_id=100000)
    for one in crowd:
        box.add(one)
    samples = watch(sink, 5000 + DOMAINS * 6, "current")
    stats, level = sink.stats(), plateau(samples, 1000)
    print(json.dumps({"experiment": "caps: 1,500 domains", "max": stats["max"], "max of a domain": stats["local_max"], **level}))
    assert stats["max"] <= 1000 and stats["local_max"] <= 100 and stats["duplicates"] == 0, stats
