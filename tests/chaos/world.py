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
    """Nodes and workers as processes of their own around one Redis (given by `url`), or all in one.

    Mail goes to `sink`; `others` are further sinks for mail to *.NAME.example, {NAME: Sink}."""

    def __init__(self, box, name, url=None, nodes=2, workers=3, durability="fsync", config=None, sink_rules=("dot:delay=20",),
                 domains=20, lease=LEASE_S, others=None):
        self.box, self.name, self.domains = box, name, domains
        self.seed = random.randrange(1 << 30)
        self.random = random.Random(self.seed)
        self.sink = box.add(Sink(box, rules=sink_rules, seed=self.seed))
        self.others = others or {}
        self.config = merge({"worker": {"lease": f"{lease}s"}, "delivery": {"retry": RETRY}, "log": {"level": "info"},
                             "redis": {"url": url or "embedded", "durability": durability, "command_timeout": "1s"}}, config or {})
        self.config["connectors"] = [
            {"name": name, "type": "smtp", "address_spaces": [{"space": space, "cost": 10}],
             "smart_hosts": ["{}:{}".format(*sink.address)]}
            for name, space, sink in [("out", "*", self.sink),
                                      *((n, f"*.{n}.example", one) for n, one in self.others.items())]]
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

    def load(self, seconds, rate=200, sessions=10, per_connection=10, size=4096, domain="d%u.example"):
        for node in self.nodes:
            one = Load(self.box, node.smtp, f"load{len(self.loads)}", sessions=sessions, per_connection=per_connection,
                       seconds=seconds, rate=rate, size=size, domains=self.domains, domain=domain, timeout=90,
                       first_id=1000000 * (len(self.loads) + 1))
            self.loads.append(one)
            one.start()

    def loading(self):
        return any(one.running() for one in self.loads)

    # -- faults

    def fault(self, what):
        self.faults.append(what)
        print(f"  {what}", flush=True)

    def hold_still(self, pid):
        """Stops a worker, and adds what Redis says it has in hand to what may come twice: no more can be in doubt."""
        os.kill(pid, signal.SIGSTOP)
        # Without a name: an earlier incarnation, whose lease has ended while it waited for an answer.
        members = self.nodes[0].json("status")["members"]
        self.in_hand += sum(one["jobs"] for one in members if one["role"] != "node" and (one["pid"] == pid or not one["role"]))

    def kill_worker(self):
        """kill -9 of a worker, and a new one."""
        one = self.random.choice(self.workers)
        self.fault(f"kill {one.name}")
        self.hold_still(one.pid)
        one.process.kill()
        time.sleep(self.random.uniform(0, 1))
        one.start()

    def restart_worker(self):
        """SIGTERM, which finishes what is in hand, and a new one."""
        one = self.random.choice(self.workers)
        self.fault(f"restart {one.name}")
        code = one.process.stop()
        if code != 0:
            raise Failed(f"{one.name} ended with {code}, 0 expected; it said:\n{one.process.tail()}")
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
        self.fault(f"freeze {one.name}")
        self.hold_still(one.pid)
        time.sleep(LEASE_S + self.random.uniform(0.5, 2))
        os.kill(one.pid, signal.SIGCONT)

    def kill_child(self):
        """kill -9 of a child of the all-in-one program: node, worker, router or redis-server."""
        pids = children(self.nodes[0].pid)[1:]
        if not pids:
            return
        pid = self.random.choice(pids)
        with contextlib.suppress(OSError):
            words = pathlib.Path(f"/proc/{pid}/cmdline").read_text().split("\0")
            name = next((word for word in words if word in ("node", "worker", "router")), "redis-server")
            self.fault(f"kill child: {name}")
            if name == "worker" and self.nodes[0].ready("worker"):
                self.hold_still(pid)
            os.kill(pid, signal.SIGKILL)

    # -- account

    def ids(self):
        """{number: (times delivered, times returned)} at all sinks that take numbered mail."""
        found = self.sink.ids()
        for one in self.others.values():
            for number, (delivered, returned) in one.ids().items():
                before = found.get(number, (0, 0))
                found[number] = (before[0] + delivered, before[1] + returned)
        return found

    def finish(self, timeout=90, lost_allowed=0):
        """Waits for the load to end and the queue to empty; returns the figures, and fails if mail is missing."""
        results = [one.results(300) for one in self.loads]
        acked = set().union(*(one.acked() for one in self.loads))
        unknown = set().union(*(one.unknown() for one in self.loads))
        missing = lambda: acked - {i for i, (d, b) in self.ids().items() if d + b}
        with contextlib.suppress(Failed):
            wait_for("all to arrive", lambda: not missing(), timeout, 0.5)
            # What was delivered by a worker that died before it could say so waits for its second attempt.
            wait_for("the queue to be empty", lambda: self.waiting() == 0, timeout, 0.5)
        self.settle()
        ids, every = self.ids(), [one.stats() for one in (self.sink, *self.others.values())]
        queued = self.nodes[0].json("status")["messages"]
        figures = {
            "experiment": self.name, "seed": self.seed, "faults": len(self.faults), "acknowledged": len(acked),
            "delivered": sum(1 for i in acked if i in ids and ids[i][0]),
            "returned": sum(1 for i in acked if i in ids and ids[i][1]),
            "queued": queued, "lost": max(0, len(missing()) - queued),
            "duplicates": sum(d - 1 for d, _ in ids.values() if d > 1), "bound": self.in_hand,
            "unanswered": len(unknown), "unanswered_arrived": len(unknown & set(ids)),
            "refused_4xx": sum(r["tempfail"] for r in results), "refused_5xx": sum(r["permfail"] for r in results),
            "damaged": sum(one["corrupt"] for one in every), "stray": len(set(ids) - acked - unknown),
        }
        print(json.dumps(figures), flush=True)
        if FIGURES:
            path = pathlib.Path(FIGURES, f"{self.name}-{self.seed}.json".replace(" ", "_"))
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(figures) + "\n")
        self.judge(figures, missing)
        return figures

    def waiting(self):
        """Messages that will be tried again; a job whose workers died three times waits for an operator."""
        status = self.nodes[0].json("status")
        return status["messages"] - status["counters"]["quarantine_now"]

    def settle(self):
        """Until nothing has arrived for two leases: a late duplicate must be seen."""
        last, since = None, time.monotonic()
        while time.monotonic() - since < 2 * LEASE_S:
            now = [one.stats()["messages"] for one in (self.sink, *self.others.values())]
            if now != last:
                last, since = now, time.monotonic()
            time.sleep(0.2)

    def judge(self, figures, missing):
        if figures["acknowledged"] == 0:
            raise Failed("nothing was acknowledged: this proves nothing")
        print(self.nodes[0].cli("queue", "fsck").stdout, flush=True)  # fails when an invariant is broken
        problems = [key for key in ("lost", "damaged", "stray", "refused_5xx") if figures[key]]
        problems += ["queued"] if self.waiting() else []
        if figures["duplicates"] > figures["bound"]:
            problems.append("duplicates")
        if problems:
            raise Failed(f"{problems}: {figures}; missing: {sorted(missing())[:20]}")
