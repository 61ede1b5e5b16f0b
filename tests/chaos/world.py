"""A cluster under load, the faults that befall it, and the account at the end."""
import contextlib
import json
import os
import pathlib
import random
import signal
import time

from peers.bridgehead import Bridgehead, merge
from peers.process import Failed, children, wait_for
from peers.redis import Redis
from peers.sink import Load, Sink

LEASE_S = 3
RETRY = {"glitch": ["1s", "1s", "1s"], "schedule": ["1s"], "jitter_percent": 0}
FIGURES = os.environ.get("CHAOS_FIGURES")  # a directory for JSON files


class World:
    """Nodes and workers as processes of their own around one Redis (given by `url`), or all in one."""

    def __init__(self, box, name, url=None, nodes=2, workers=3, durability="fsync", config=None, sink_rules=("dot:delay=20",),
                 domains=20):
        self.box, self.name, self.domains = box, name, domains
        self.seed = random.randrange(1 << 30)
        self.random = random.Random(self.seed)
        self.sink = box.add(Sink(box, rules=sink_rules, seed=self.seed))
        self.config = merge({"worker": {"lease": f"{LEASE_S}s"}, "delivery": {"retry": RETRY}, "log": {"level": "info"},
                             "redis": {"url": url or "embedded", "durability": durability, "command_timeout": "1s"}}, config or {})
        self.loads, self.faults, self.in_hand = [], [], 0
        self.nodes, self.workers = [], []
        if url is None:
            self.nodes = [box.add(Bridgehead(box, smart_host=self.sink.address, config=self.config))]
        else:
            self.nodes = [self.daemon("node", n) for n in range(nodes)]
            self.workers = [self.daemon("worker", n) for n in range(workers)]
        print(f"{name}: seed {self.seed}", flush=True)

    def daemon(self, verb, number):
        one = Bridgehead(self.box, f"{verb}{number}", smart_host=self.sink.address, config=self.config, verb=verb, ready=None)
        one.process.ready = one.smtp_ready if verb == "node" else (lambda: one.ready("worker"))
        return self.box.add(one)

    # -- load

    def load(self, seconds, rate=200, sessions=10, per_connection=10, size=4096):
        for number, node in enumerate(self.nodes):
            one = Load(self.box, node.smtp, f"load{len(self.loads)}", sessions=sessions, per_connection=per_connection,
                       seconds=seconds, rate=rate, size=size, domains=self.domains, timeout=90,
                       first_id=1000000 * (len(self.loads) + 1))
            self.loads.append(one)
            one.start()

    def loading(self):
        return any(one.running() for one in self.loads)

    # -- faults

    def fault(self, what):
        self.faults.append(what)
        print(f"  {what}", flush=True)

    def kill_worker(self):
        """kill -9 of a worker, and a new one. What it has in hand is at most what all have open."""
        one = self.random.choice(self.workers)
        self.in_hand += self.sink.stats()["current"]
        self.fault(f"kill {one.name}")
        one.process.kill()
        time.sleep(self.random.uniform(0, 1))
        one.start()

    def kill_node(self):
        one = self.random.choice(self.nodes)
        self.fault(f"kill {one.name}")
        one.process.kill()
        time.sleep(self.random.uniform(0, 1))
        one.start()

    def freeze_worker(self):
        """SIGSTOP until its lease is over, then SIGCONT."""
        one = self.random.choice(self.workers)
        self.in_hand += self.sink.stats()["current"]
        self.fault(f"freeze {one.name}")
        os.kill(one.pid, signal.SIGSTOP)
        time.sleep(LEASE_S + self.random.uniform(0.5, 2))
        os.kill(one.pid, signal.SIGCONT)

    def kill_child(self):
        """kill -9 of a child of the all-in-one program: node, worker, router or redis-server."""
        pids = children(self.nodes[0].pid)[1:]
        if not pids:
            return
        pid = self.random.choice(pids)
        with contextlib.suppress(OSError):
            line = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
            self.in_hand += self.sink.stats()["current"] if " worker" in line else 0
            self.fault(f"kill child: {line.split(' -c')[0]}")
            os.kill(pid, signal.SIGKILL)

    # -- account

    def finish(self, timeout=90, lost_allowed=0):
        """Waits for the load to end and the queue to empty; returns the figures, and fails if mail is missing."""
        results = [one.results(300) for one in self.loads]
        acked = set().union(*(one.acked() for one in self.loads))
        unknown = set().union(*(one.unknown() for one in self.loads))
        missing = lambda: acked - {i for i, (d, b) in self.sink.ids().items() if d + b}
        with contextlib.suppress(Failed):
            wait_for("all to arrive", lambda: not missing(), timeout, 0.5)
        self.settle()
        ids, stats = self.sink.ids(), self.sink.stats()
        queued = self.queued()
        figures = {
            "experiment": self.name, "seed": self.seed, "faults": len(self.faults), "acknowledged": len(acked),
            "delivered": sum(1 for i in acked if i in ids and ids[i][0]), "returned": sum(1 for i in acked if i in ids and ids[i][1]),
            "queued": queued, "lost": max(0, len(missing()) - queued), "duplicates": stats["duplicates"], "bound": self.in_hand,
            "unanswered": len(unknown), "unanswered_arrived": len(unknown & set(ids)),
            "refused_4xx": sum(r["tempfail"] for r in results), "refused_5xx": sum(r["permfail"] for r in results),
            "damaged": stats["corrupt"], "stray": len(set(ids) - acked - unknown),
        }
        print(json.dumps(figures), flush=True)
        if FIGURES:
            path = pathlib.Path(FIGURES, f"{self.name}-{self.seed}.json".replace(" ", "_"))
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(figures) + "\n")
        self.judge(figures, missing)
        return figures

    def settle(self):
        """Until nothing has arrived for two leases: a late duplicate must be seen."""
        last, since = None, time.monotonic()
        while time.monotonic() - since < 2 * LEASE_S:
            now = self.sink.stats()["messages"]
            if now != last:
                last, since = now, time.monotonic()
            time.sleep(0.2)

    def queued(self):
        """Messages that are still in the queue."""
        found = json.dumps(self.nodes[0].json("status"))
        return sum_of(json.loads(found), ("queued", "messages_queued", "depth"))

    def judge(self, figures, missing):
        if figures["acknowledged"] == 0:
            raise Failed("nothing was acknowledged: this proves nothing")
        problems = [key for key in ("lost", "damaged", "stray", "queued", "refused_5xx") if figures[key]]
        if figures["duplicates"] > figures["bound"]:
            problems.append("duplicates")
        if problems:
            raise Failed(f"{problems}: {figures}; missing: {sorted(missing())[:20]}")


def sum_of(value, names):
    """The first number under one of these names, anywhere in parsed JSON; 0 if there is none."""
    if isinstance(value, dict):
        for name in names:
            if isinstance(value.get(name), (int, float)):
                return int(value[name])
        value = list(value.values())
    if isinstance(value, list):
        for one in value:
            found = sum_of(one, names)
            if found:
                return found
    return 0
