"""Connection caps hold for the whole cluster, and are used up while mail waits."""
import json
import os
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


def cluster(box, answer_ms, workers=4):
    """A node and stopped workers; d0.example to d1500.example each have an address of their own at one sink, which takes
    its time to answer: how fast connections follow each other is measured, not how fast the machine is."""
    port = box.port("0.0.0.0")
    sink = box.add(Sink(box, listen=f"0.0.0.0:{port}", device="lo", rules=[f"dot:delay={answer_ms}"]))
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
    """How many connections there were between the first time that the cap was nearly reached and the last time that
    more mail waited than they could be busy with."""
    first = next((i for i, (_, value) in enumerate(samples) if value >= cap * 95 / 100), None)
    if first is None:
        raise Failed(f"the cap of {cap} was never nearly reached; most: {max(v for _, v in samples)}")
    values = sorted(value for waiting, value in samples[first:] if waiting > 3 * cap)
    if len(values) < 20:
        raise Failed(f"only {len(values)} samples while mail waited")
    used = sum(1 for value in values if value >= cap * 95 / 100)
    return {"samples": len(values), "share": round(100 * used / len(values), 1), "least": values[0], "twentieth": values[len(values) // 20],
            "median": values[len(values) // 2], "mean": round(sum(values) / len(values), 1)}


def report(figures):
    print(json.dumps(figures), flush=True)
    if os.environ.get("CHAOS_FIGURES"):
        path = pathlib.Path(os.environ["CHAOS_FIGURES"], f"caps-{figures['caps']}-{time.time_ns()}.json".replace(" ", "_"))
        path.write_text(json.dumps(figures) + "\n")


def test_one_domain(box):
    """5,000 messages to one domain, 4 workers: never more than 100 connections, and 95 of them in use while mail waits.

    One sample in twenty may have less: how soon the successors of connections that end run is a matter of the machine."""
    sink, node, crowd = cluster(box, answer_ms=500)
    results = load(node.smtp, messages=5000, sessions=20, per_connection=50, domain="d0.example")
    assert results["acked"] == 5000, results
    for one in crowd:
        box.add(one)
    samples = watch(sink, 5000, "local_current")
    stats, level = sink.stats(), plateau(samples, 100)
    report({"caps": "one domain", "messages": 5000, "max": stats["local_max"], "max of a domain": stats["local_max"], **level})
    assert stats["local_max"] <= 100 and stats["duplicates"] == 0, stats
    assert level["share"] >= 95 and level["mean"] >= 95, (level, samples)


def test_many_domains(box):
    """9,000 messages to 1,500 domains, and 1,000 to one of them: at most 1,000 connections in all and 100 to each."""
    sink, node, crowd = cluster(box, answer_ms=1000)
    load(node.smtp, messages=1000, sessions=20, per_connection=50, domain="d0.example")
    load(node.smtp, messages=DOMAINS * 6, sessions=20, per_connection=50, domains=DOMAINS + 1, domain="d%u.example",
         first_id=100000)
    for one in crowd:
        box.add(one)
    watch(sink, 1000 + DOMAINS * 6, "current")
    stats = sink.stats()
    report({"caps": "1,500 domains", "messages": 1000 + DOMAINS * 6, "max": stats["max"], "max of a domain": stats["local_max"],
            "mean": "-", "twentieth": "-", "least": "-"})
    assert 950 <= stats["max"] <= 1000 and stats["local_max"] <= 100 and stats["duplicates"] == 0, stats
