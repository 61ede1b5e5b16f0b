"""Connection slots, members and links: exact, with leases."""
import random
import unittest

from base import StoreTest


class Slots(StoreTest):
    def hello(self, worker, lease=30000):
        return self.sem.call("sem", "hello", worker, lease, "name=" + worker)

    def get(self, worker, link, want, cap_link=10, cap_total=15):
        return self.sem.call("sem", "get", worker, link, want, cap_link, cap_total)

    def dead(self, worker):
        self.sem.cmd("ZADD", "w", 1, worker)

    def test_caps_of_link_and_total(self):
        self.hello("a")
        self.hello("b")
        self.assertEqual([self.get("a", "x", 7), self.get("b", "x", 7), self.get("b", "x", 1)], [7, 3, 0])
        self.assertEqual([self.get("a", "y", 9), self.get("a", "y", 9)], [5, 0])
        self.assertEqual(self.sem.call("sem", "put", "b", "x", 2), 1)
        self.assertEqual([self.get("a", "x", 5), self.get("b", "y", 5)], [2, 0])

    def test_one_has_the_turn(self):
        def turn(who, lease=10000):
            return self.sem.call("sem", "turn", who, lease)
        self.assertEqual([turn("a"), turn("b"), turn("a", 1)], [1, 0, 1])
        while not turn("b"):  # until its lease of a millisecond is over
            pass
        self.assertEqual([turn("a"), turn("b")], [0, 1])

    def test_cap_lowered_below_what_is_held(self):
        self.hello("a")
        self.get("a", "x", 8)
        self.assertEqual(self.get("a", "x", 1, cap_link=5), 0)
        self.assertEqual(self.get("a", "y", 1, cap_total=5), 0)

    def test_put_of_more_than_is_held(self):
        self.hello("a")
        self.get("a", "x", 2)
        self.assertEqual(self.sem.call("sem", "put", "a", "x", 5), 0)
        self.assertEqual(self.sem.call("sem", "put", "a", "y", 5), 0)

    def test_sync_states_the_truth(self):
        self.hello("a")
        self.get("a", "x", 2)
        self.get("a", "y", 3)
        self.assertEqual(self.sem.call("sem", "sync", "a", 30000, "x", 4, "z", 20), 24)
        self.assertEqual(self.get("a", "q", 1), 0)
        self.assertEqual(self.sem.call("sem", "sync", "a", 30000, "x", 1, "x", 1), 1)
        self.assertEqual(self.sem.call("sem", "sync", "a", 30000), 0)

    def test_slots_of_the_dead_come_back(self):
        self.hello("a")
        self.hello("b")
        self.get("a", "x", 10)
        self.dead("a")
        self.assertEqual(self.get("b", "x", 10), 10)
        self.refuses("EXPIRED", self.get, "a", "x", 1)
        self.refuses("EXPIRED", self.sem.call, "sem", "renew", "a", 30000)
        self.refuses("EXPIRED", self.sem.call, "sem", "sync", "a", 30000)
        self.refuses("EXPIRED", self.sem.call, "sem", "put", "a", "x", 1)

    def test_the_next_incarnation_takes_slots_over(self):
        def succeed(worker, former):
            return self.sem.call("sem", "hello", worker, 30000, "", former)
        self.hello("a")
        self.hello("b")
        self.get("a", "x", 6)
        self.get("a", "y", 2)
        self.assertEqual([succeed("a2", "a"), succeed("a2", "a")], [8, 8])  # the answer was lost
        self.assertEqual([self.get("b", "x", 10), self.sem.cmd("ZSCORE", "w", "a")], [4, None])
        self.dead("a2")
        self.assertEqual(succeed("a3", "a2"), 8)  # late, but nobody has begun to reclaim
        self.dead("a3")
        self.assertEqual([self.get("b", "y", 3), succeed("a4", "a3")], [3, 0])
        self.assertEqual([succeed("a5", "nobody"), succeed("b", "b")], [0, 7])

    def test_reclaim_is_bounded(self):
        self.hello("a", 30000)
        self.hello("b", 30000)
        for n in range(300):
            self.get("a", "l%d" % n, 1, 10, 1000)
        self.dead("a")
        total, calls = 0, 0
        while total < 300:
            n = self.sem.call("sem", "reap", 50)
            self.assertLessEqual(n, 120)
            total, calls = total + n, calls + 1
            if total < 300:
                self.refuses("EXPIRED", self.hello, "a")
        self.assertGreater(calls, 2)
        self.assertEqual(self.hello("a"), 1)

    def test_late_renewal_is_good_until_somebody_reaps(self):
        self.hello("a", 0)
        self.refuses("EXPIRED", self.get, "a", "x", 1)
        self.assertEqual(self.sem.call("sem", "renew", "a", 30000), 1)
        self.assertEqual(self.get("a", "x", 1), 1)

    def test_bye(self):
        self.hello("a")
        self.get("a", "x", 3)
        self.assertEqual(self.sem.call("sem", "bye", "a"), 1)
        self.assertEqual(self.sem.call("sem", "bye", "a"), 1)
        self.assertEqual(self.sem.call("slots", "0", 10)[1:], [b"0", 0])
        self.assertEqual(self.sem.cmd("EXISTS", "i:a"), 0)

    def test_pages(self):
        for n in range(5):
            self.hello("w%d" % n)
            self.get("w%d" % n, "x", 2)
        reply = self.sem.call("members", "0", 100)
        self.assertEqual(reply[1], b"0")
        self.assertEqual({reply[i]: (reply[i + 2], reply[i + 3]) for i in range(2, len(reply), 4)},
                         {b"w%d" % n: (2, b"name=w%d" % n) for n in range(5)})
        self.assertEqual(self.sem.call("slots", "0", 100)[1:], [b"0", 10, b"x", b"10"])

    def test_random_operations_against_a_model(self):
        seed = random.SystemRandom().randrange(2 ** 32)
        rng = random.Random(seed)
        held = {}
        for step in range(2000):
            at = "seed %d step %d" % (seed, step)
            worker, link = "w%d" % rng.randrange(5), "l%d" % rng.randrange(6)
            op = rng.choice(["hello", "get", "get", "get", "put", "put", "sync", "bye", "die"])
            known = worker in held
            if op == "hello":
                self.hello(worker)
                held.setdefault(worker, {})
            elif not known and op != "bye":
                if op != "die":
                    self.refuses("EXPIRED", self.sem.call, "sem", "renew", worker, 1000)
            elif op == "get":
                want = rng.randrange(1, 6)
                used = sum(h.get(link, 0) for h in held.values())
                total = sum(sum(h.values()) for h in held.values())
                expect = max(0, min(want, 10 - used, 30 - total))
                self.assertEqual(self.get(worker, link, want, 10, 30), expect, at)
                held[worker][link] = held[worker].get(link, 0) + expect
            elif op == "put":
                n = rng.randrange(0, 4)
                left = max(0, held[worker].get(link, 0) - n)
                self.assertEqual(self.sem.call("sem", "put", worker, link, n), left, at)
                held[worker][link] = left
            elif op == "sync":
                says = {"l%d" % rng.randrange(6): rng.randrange(4) for _ in range(rng.randrange(5))}
                argv = [v for pair in says.items() for v in pair]
                self.assertEqual(self.sem.call("sem", "sync", worker, 30000, *argv), sum(says.values()), at)
                held[worker] = says
            elif op == "bye":
                self.sem.call("sem", "bye", worker)
                held.pop(worker, None)
            elif op == "die":
                self.dead(worker)
                self.sem.call("sem", "reap", 1000)
                held.pop(worker)
            self.assertEqual(int(self.sem.cmd("GET", "t") or 0), sum(sum(h.values()) for h in held.values()), at)


class Links(StoreTest):
    def link(self, verb, link, *rest):
        return self.sem.call("link", verb, link, *rest)

    def test_backoff_is_shared(self):
        self.assertEqual(self.link("get", "mx.a")[:4], [0, 0, b"", 0])
        first = self.link("failed", "mx.a", 1, 60000, "connection refused")
        self.assertEqual((first[0], first[2]), (1, b"connection refused"))
        second = self.link("failed", "mx.a", 1, 90000, "connection refused")
        self.assertEqual(second[:2], first[:2])  # two workers failed at once
        third = self.link("failed", "mx.a", 2, 600000, "timed out")
        self.assertEqual((third[0], third[3]), (2, first[3]))
        self.assertGreater(third[1], first[1])
        self.assertEqual(self.link("get", "mx.a")[:4], third[:4])
        reply = self.sem.call("links", "0", 100)
        self.assertEqual(reply[1:4], [b"0", b"mx.a", b"2"])
        self.assertEqual(self.link("ok", "mx.a"), 1)
        self.assertEqual(self.link("ok", "mx.a"), 0)
        self.assertEqual(self.sem.call("links", "0", 100)[1:], [b"0"])

    def test_forgotten_links_are_dropped(self):
        self.link("failed", "mx.a", 1, 1, "x")
        self.sem.cmd("ZADD", "ls", 1, "mx.a")
        self.sem.call("sem", "reap", 10)
        self.assertEqual(self.sem.cmd("EXISTS", "l:mx.a", self.sem.key("ls")), 0)
        self.link("failed", "mx.b", 1, 1, "x")
        self.assertGreater(self.sem.cmd("PTTL", "l:mx.b"), 80000000)


if __name__ == "__main__":
    unittest.main()
