"""A full server refuses new mail and lets go of what it has; what a message costs, in bytes and commands."""
import unittest

from base import StoreTest


class Full(StoreTest):
    def test_commit_is_refused_everything_else_works(self):
        self.p.hello()
        ids = [self.put("a.example", "b.example") for _ in range(6)]
        mid = self.mid()
        self.p.body(mid)
        held = self.p.claim("b.example", limit=1)
        self.client.cmd("CONFIG", "SET", "maxmemory", 1)
        try:
            self.refuses("OOM", self.p.commit, mid, ["a.example"])
            self.refuses("OOM", self.p.call, "stage", mid, 0, 1, "a.example", 0, b"job")
            self.refuses("OOM", self.p.body, self.mid())
            self.assertEqual(self.p.call("discover", 10)[1], 6)
            jobs = self.p.claim("a.example")
            self.assertEqual(len(jobs), 6)
            record = self.p.record
            self.assertEqual(self.p.finish(record(held[0]), record(jobs[0]), record(jobs[1], verb="r", delay=1000),
                                           record(jobs[2], verb="b"), record(jobs[3], report=(mid, b"body", ["s.example"]))),
                             [1, 1, 1, 1, 2])
            self.assertEqual(self.p.call("release", "w1", jobs[4]["id"], 1, jobs[4]["token"], 0), [1])
            self.assertEqual(self.p.call("renew", "w1", 30000, 0), 1)
            self.p.call("hold", "a.example", 1000, 0)
            self.p.call("freeze", "a.example", "root", "")
            self.p.call("thaw", "a.example")
            self.assertEqual(self.p.call("edit", 0, "delete", "", jobs[2]["id"], 1), [1])
            self.assertEqual(self.p.call("cancel", ids[-1]), 2)
            self.assertEqual(self.p.call("bye", "w1"), 0)
            self.assertEqual(self.p.call("reap", 10), 0)
            self.sem.call("sem", "hello", "w", 30000, "")
            self.assertEqual(self.sem.call("sem", "get", "w", "x", 1, 10, 10), 1)
            self.sem.call("link", "failed", "x", 1, 1000, "full")
            self.p.call("stats")
            self.p.call("check", 1, "q", "a.example")
        finally:
            self.client.cmd("CONFIG", "SET", "maxmemory", 0)
        self.assertIn(self.p.put(self.mid(), "a.example"), (1, 2))


class Cost(StoreTest):
    ENVELOPE = b"e" * 220  # what a usual message has: sender, client, helo, subject, message id
    JOB = b"j" * 80

    def memory(self):
        text = self.client.cmd("INFO", "memory").decode()
        return int(dict(line.split(":", 1) for line in text.split("\r\n") if ":" in line)["used_memory"])

    def test_queued_message_of_4_KiB(self):
        """At most 1.3 times its size and 600 bytes."""
        body = bytes(4096)
        self.put("warm.example")
        before, n = self.memory(), 4000
        for i in range(n):
            self.put(("d%d.example" % (i % 40), 0, self.JOB), env=self.ENVELOPE, body=body)
        each = (self.memory() - before) / n
        print("queued 4 KiB message: %.0f bytes" % each)
        self.assertLess(each, 1.3 * 4096 + 600)

    def commands(self):
        text = self.client.cmd("INFO", "commandstats").decode()
        return sum(int(line.split("calls=")[1].split(",")[0]) for line in text.split("\r\n")
                   if line.startswith("cmdstat_") and not line.startswith(("cmdstat_info", "cmdstat_config")))

    def test_commands_of_a_message_life(self):
        """Counted, so that nobody makes the hot path longer without saying so."""
        self.p.hello()
        self.put("a.example")
        jobs = self.p.claim("a.example")
        self.p.finish(*[self.p.record(j) for j in jobs])
        self.client.cmd("CONFIG", "RESETSTAT")
        for _ in range(10):
            self.put("a.example")
        commit = self.commands()
        jobs = self.p.claim("a.example")
        claim = self.commands() - commit
        self.p.finish(*[self.p.record(j) for j in jobs])
        finish = self.commands() - commit - claim
        print("commands a message: commit %.1f, claim %.1f, finish %.1f" % (commit / 10, claim / 10, finish / 10))
        self.assertLessEqual(commit / 10, 15)
        self.assertLessEqual(claim / 10, 2.5)
        self.assertLessEqual(finish / 10, 5.5)

    def look(self):
        """What `status` and `queue list` ask of a partition and of the slots."""
        self.client.cmd("CONFIG", "RESETSTAT")
        for source in ("dom", "inf", "fz"):
            self.p.call("queues", source, "0", 100)
        self.p.call("stats")
        self.p.call("workers")
        self.sem.call("members", "0", 100)
        self.sem.call("slots", "0", 100)
        self.sem.call("links", "0", 100)
        return self.commands()

    def test_counters_are_kept_not_scanned(self):
        """Looking at a long queue costs as many commands as looking at a short one."""
        self.p.hello()
        self.sem.call("sem", "hello", "w1", 30000, "")
        for n in range(300):  # of fewer than 64 each is looked at
            self.put("a.example" if n % 2 else ("b.example", 60000))
        self.p.claim("a.example", limit=10)
        short = self.look()
        for n in range(3000):
            self.put("a.example" if n % 2 else ("b.example", 60000))
        self.p.claim("a.example", limit=100)
        self.assertEqual(self.look(), short)
        self.assertLess(short, 200)


if __name__ == "__main__":
    unittest.main()
