"""Each invariant broken on purpose: both walkers must see it, and check must mend what can be mended."""
import re
import unittest

from base import StoreTest
from walk import Walk, check, check_sem, count, walk_sem


class Planted(StoreTest):
    def setUp(self):
        super().setUp()
        self.damaged = True
        self.p.hello()
        self.fresh = self.put("a.example", "b.example")
        self.late = self.put(("a.example", 3600000))
        self.put("c.example")
        self.held, = self.p.claim("c.example")
        self.put("d.example")
        job, = self.p.claim("d.example")
        self.p.finish(self.p.record(job, verb="b"))
        self.kept = job["id"]
        self.assertEqual(Walk(self.p).run() + check(self.p), [])

    def seen(self, invariant, mended=True):
        """Both see it; afterwards it is mended, or still seen."""
        walked = Walk(self.p).run()
        self.assertTrue([f for f in walked if f.startswith(invariant + " ")], walked)
        found = check(self.p)
        self.assertTrue([f for f in found if f.startswith(invariant + " ")], found)
        self.assertEqual(check(self.p), found, "looking changes nothing")
        check(self.p, repair=1)
        check(self.p, repair=1)
        left = check(self.p)
        if mended:
            self.assertEqual(left, [])
            self.assertEqual(Walk(self.p).run(), [])
        else:
            self.assertTrue(left)
            self.assertEqual([f for f in Walk(self.p).run() if f.startswith("I9")], [])

    def home(self, mid, k, bucket, q):
        self.p.cmd("HSET", "m:" + mid, "q%d" % k, "%s:%s" % (bucket, q))

    def test_I1_body_gone(self):
        self.p.cmd("DEL", "b:" + self.fresh)
        self.seen("I1", mended=False)

    def test_I1_body_expires(self):
        self.p.cmd("PEXPIRE", "b:" + self.fresh, 900000)
        self.seen("I1")

    def test_I1_message_expires(self):
        self.p.cmd("PEXPIRE", "m:" + self.fresh, 900000)
        self.seen("I1")

    def test_I1_body_without_message(self):
        self.p.cmd("SET", "b:" + self.mid(), "x")
        self.seen("I1")

    def test_I1_staged_for_ever(self):
        self.p.cmd("HSET", "m:" + self.mid(), "s", "1", "j1", "job", "q1", "0:a.example")
        self.seen("I1")

    def test_I2_job_nowhere(self):
        self.p.cmd("ZREM", "q:b.example", self.fresh + ".2")
        self.p.cmd("ZREM", "dom", "b.example")
        self.seen("I2")
        self.assertEqual([j["id"] for j in self.p.claim("b.example")], [self.fresh])

    def test_I2_delayed_job_nowhere(self):
        self.p.cmd("ZREM", "q:a.example", self.late + ".1")
        self.p.call("check", 1, "a", "a.example")
        self.seen("I2")

    def test_I2_job_in_hand_and_queued(self):
        self.p.cmd("ZADD", "q:c.example", 1, self.held["id"] + ".1")
        self.seen("I2")
        self.assertEqual(self.p.finish(self.p.record(self.held)), [1])

    def test_I2_job_in_two_hands(self):
        self.p.hello("w2")
        self.p.cmd("HSET", "c:w2", self.held["id"] + ".1", "1:1:0:c.example")
        self.seen("I2", mended=False)

    def test_I2_badmail_and_queued(self):
        self.p.cmd("ZADD", "q:d.example", 1, self.kept + ".1")
        self.seen("I2")

    def test_I2_entry_without_message(self):
        self.p.cmd("ZADD", "q:a.example", 1, self.mid() + ".1")
        self.seen("I2")

    def test_I2_entry_in_a_foreign_queue(self):
        self.p.cmd("ZADD", "q:x.example", 1, self.fresh + ".1")
        self.p.cmd("ZADD", "dom", 1, "x.example")
        self.seen("I2")

    def test_I2_quarantine_without_message(self):
        self.p.cmd("ZADD", "qz", 1, self.mid() + ".1")
        self.seen("I2")

    def test_I2_hand_without_message(self):
        self.p.cmd("HSET", "c:w1", self.mid() + ".1", "2:1:0:c.example")
        self.p.cmd("HINCRBY", "inf", "c.example", 1)
        self.seen("I2")

    def test_I2_nothing_staged(self):
        self.p.cmd("ZADD", "sp", 1, self.mid())
        self.assertTrue([f for f in check(self.p) if f.startswith("I2")])
        check(self.p, repair=1)
        self.assertEqual(check(self.p), [])

    def test_I2_job_in_hand_does_not_name_its_queue(self):
        """Its worker knows, and goes on with it."""
        self.p.cmd("HSET", "m:" + self.held["id"], "q1", "garbage")
        self.assertEqual(self.p.call("check", 1, "c", "w1"), [])
        self.assertEqual(self.p.call("check", 1, "m", self.held["id"]), [b"I2 %s.1 does not name its queue c.example (mended)" % self.held["id"].encode()])
        self.assertEqual(check(self.p), [])
        self.assertEqual(self.p.finish(self.p.record(self.held)), [1])

    def test_I3_wrong_count(self):
        self.p.cmd("HSET", "m:" + self.fresh, "n", "7")
        self.seen("I3")

    def test_I3_job_without_content(self):
        self.p.cmd("HDEL", "m:" + self.fresh, "j2")
        self.seen("I3")

    def test_I3_strange_field(self):
        self.p.cmd("HSET", "m:" + self.fresh, "q9x", "what is this")
        self.seen("I3", mended=False)

    def test_I3_job_that_nobody_counted(self):
        """Whatever it is, it is kept, and ends in the badmail when somebody claims it."""
        self.p.cmd("HSET", "m:" + self.fresh, "j9", "job")
        self.seen("I3")
        self.assertEqual(self.p.cmd("HGET", "m:" + self.fresh, "q9"), b"0:unknown.invalid")

    def test_I4_hand_without_lease(self):
        self.p.cmd("ZREM", "wk", "w1")
        self.seen("I4")
        self.assertEqual(self.p.call("reap", 10), 1)

    def test_I4_token_never_given(self):
        self.p.cmd("DEL", "tok")
        self.seen("I4")

    def test_I4_token_twice(self):
        self.put("e.example")
        job, = self.p.claim("e.example")
        token, rest = self.p.cmd("HGET", "c:w1", job["id"] + ".1").split(b":", 1)
        self.p.cmd("HSET", "c:w1", job["id"] + ".1", self.held["token"].encode() + b":" + rest)
        self.assertNotEqual(token, self.held["token"].encode())
        self.seen("I4", mended=False)

    def test_I5_never_looked_at(self):
        self.p.cmd("ZREM", "dom", "a.example")
        self.seen("I5")

    def test_I5_looked_at_in_vain(self):
        self.p.cmd("ZADD", "dom", 1, "empty.example")
        self.seen("I5")

    def test_I5_looked_at_too_late(self):
        self.p.cmd("ZADD", "dom", self.now() + 10000000, "a.example")
        self.seen("I5")
        self.put(("late.example", 60000))
        self.p.cmd("ZADD", "dom", self.now() + 10000000, "late.example")
        self.seen("I5")

    def test_I5_frozen_and_looked_at(self):
        self.p.call("freeze", "a.example", "root", "")
        self.p.cmd("ZADD", "dom", 1, "a.example")
        self.seen("I5")

    def test_I4_I5_longer_than_anybody_may_ask(self):
        """A lease, or a hold, of nobody's asking would keep jobs for ever."""
        self.p.cmd("ZADD", "wk", self.now() + 10000000, "w1")
        self.p.cmd("ZADD", "hold", self.now() + 400000000000, "a.example")
        self.p.cmd("ZADD", "dom", self.now() + 400000000000, "a.example")
        found = check(self.p)
        self.assertEqual([f for f in found if "lease" in f], ["I4 w1 has a lease that nobody gave"])
        self.assertEqual([f for f in found if "held" in f], ["I5 a.example is held for longer than anybody may ask"])
        check(self.p, repair=1)
        self.assertEqual(check(self.p) + Walk(self.p).run(), [])
        self.assertLessEqual(int(self.p.cmd("ZSCORE", "wk", "w1")), self.now() + 3600000)
        self.assertEqual([j["id"] for j in self.p.claim("a.example")], [self.fresh])

    def test_I6_wrong_counts(self):
        for value in ("5", None):
            if value:
                self.p.cmd("HSET", "inf", "c.example", value)
            else:
                self.p.cmd("HDEL", "inf", "c.example")
            self.seen("I6")
        self.p.cmd("HSET", "inf", "x.example", 1)
        self.seen("I6")

    def test_I7_here_and_ended(self):
        epoch = "fin:%d" % (self.now() // 150000)
        self.p.cmd("HSET", epoch, self.fresh, "1.1.w1")
        self.p.cmd("PEXPIRE", epoch, 300000)
        self.seen("I7")

    def test_I7_record_for_ever(self):
        self.p.cmd("HSET", "fin:1", self.mid(), "1.1.w1")
        self.seen("I7")

    def test_I8_ages(self):
        self.p.cmd("HINCRBY", "a:a.example", "n", 1)
        self.seen("I8")
        self.p.cmd("DEL", "a:a.example")
        self.seen("I8")
        self.p.cmd("HSET", "a:x.example", "5", 1, "n", 1)
        self.seen("I8")
        self.p.cmd("HSET", "a:a.example", "77", 1)
        self.seen("I8")

    def test_I8_fresh_job_out_of_order(self):
        self.p.cmd("ZADD", "q:a.example", 5, self.fresh + ".1")
        self.seen("I8")

    def test_I8_badmail_counted(self):
        self.home(self.kept, 1, 77, "d.example")
        self.seen("I8")

    def test_I9_counters(self):
        for damage in (("HINCRBY", "accepted", 1), ("HINCRBY", "accepted", -2), ("HSET", "accepted", 0), ("HINCRBY", "extra", 1),
                       ("HINCRBY", "extra", -1), ("HINCRBY", "gone", 1), ("HINCRBY", "gone", 3), ("HINCRBY", "early", 2),
                       ("HSET", "early", -1), ("HDEL", "accepted"), ("HDEL", "extra")):
            with self.subTest(damage=damage):
                self.p.cmd(damage[0], "st", *damage[1:])
                self.seen("I9")
                for name, value in self.p.stats().items():
                    self.assertGreaterEqual(int(value), 0, name)
        for job in self.p.claim("a.example"):
            self.p.finish(self.p.record(job))
        self.assertEqual(Walk(self.p).run() + check(self.p), [])
        self.p.cmd("DEL", "st")
        self.seen("I9")

    def test_I9_message_lost(self):
        for key in ("m:", "b:"):
            self.p.cmd("DEL", key + self.fresh)
        self.seen("I9")

    def test_I9_is_mended_only_at_rest(self):
        """A count is held against the counters that it began with, and one count is none."""
        said, = self.p.call("check", 1, "st", "read")
        question = "%s %s" % (said.decode()[3:], count(self.p))
        self.assertEqual(self.p.call("check", 1, "st", question), [])
        self.put("a.example")
        counters = self.p.cmd("HGETALL", "st")
        self.assertEqual(self.p.call("check", 1, "st", question), [b"MOVED"])
        self.assertEqual(self.p.call("check", 1, "st", question + " 1 1"), [b"MOVED"])
        said, = self.p.call("check", 1, "st", "read")
        twice = "%s 9 9" % said.decode()[3:]
        differs, = self.p.call("check", 1, "st", twice)
        self.assertTrue(differs.startswith(b"DIFFERS "), differs)
        self.assertEqual(self.p.call("check", 1, "st", twice + " 7 7"), [b"MOVED"])
        self.assertEqual(self.p.cmd("HGETALL", "st"), counters)
        self.refuses("BADARG", self.p.call, "check", 1, "st", "1 2 3")

    def test_I10_frozen(self):
        self.p.call("freeze", "a.example", "root", "")
        self.p.cmd("ZREM", "hold", "a.example")
        self.seen("I10")
        self.p.cmd("HDEL", "fz", "a.example")
        self.seen("I10")

    def test_I13_counted_as_frozen(self):
        self.p.call("edit", 0, "freeze", "", self.late, 1)
        self.p.cmd("ZREM", "ice", self.late + ".1")
        self.seen("I13")
        self.assertEqual(self.p.stats()["frozen_jobs"], 1)
        self.p.call("edit", 0, "thaw", "", self.late, 1)
        self.p.cmd("ZADD", "ice", 1, self.late + ".1")
        self.seen("I13")

    def large(self, jobs=2001):
        """A message of more jobs than one call looks at."""
        mid = self.mid()
        self.p.body(mid)
        for first in range(1, jobs - 1, 500):
            self.p.call("stage", mid, 0, first, *["x.example", 0, b"job"] * 500)
        self.p.commit(mid, ["x.example"], staged=jobs - 1)
        return mid

    def spread(self):
        while self.p.cmd("ZCARD", "sp"):
            self.p.call("reap", 1)

    def test_large_messages_are_checked_in_parts(self):
        mid = self.large()
        while self.p.cmd("ZCARD", "sp"):
            self.assertEqual(check(self.p), [])
            self.p.call("reap", 1)
        self.assertEqual(check(self.p), [])
        self.p.cmd("ZREM", "q:x.example", mid + ".1999")
        self.assertEqual(check(self.p), ["I2 %s.1999 is nowhere" % mid])

    def test_I3_of_a_large_message(self):
        mid = self.large()
        self.spread()
        key = "m:" + mid
        self.p.cmd("HSET", key, "n", 7)
        self.assertEqual(check(self.p)[0], "I3 %s says 7 jobs of 2001 and has 2001" % mid)
        self.seen("I3")
        self.p.cmd("HDEL", key, "j1500")
        self.seen("I3")
        self.p.cmd("HSET", key, "c", 5)
        self.assertEqual(check(self.p)[0], "I3 %s says 5 jobs ever, and has number 2001" % mid)
        self.seen("I3")
        self.assertEqual(self.p.cmd("HMGET", key, "n", "c"), [b"2000", b"2001"])
        for stray in ("q9x", "j0", "w2002", "j01"):
            self.p.cmd("HSET", key, stray, "what is this")
            self.assertEqual(check(self.p), ["I3 %s has fields of no job" % mid], stray)
            self.p.cmd("HDEL", key, stray)
        self.p.cmd("HSET", key, "t", "nothing")
        self.assertEqual(check(self.p)[0], "I3 %s says no time of its commit" % mid)

    def test_a_large_message_in_motion_is_not_judged_by_its_number(self):
        """A job that leaves between two calls was counted, or was not: nothing is said, and nothing mended."""
        mid = self.large()
        self.spread()
        names, calls = [mid], 0
        while names:
            said = [f.decode() for f in self.p.call("check", 1, "m", *names)]
            self.assertEqual([f for f in said if not f.startswith("MORE ")], [])
            names, calls = [f[5:] for f in said], calls + 1
            if names and names[0].startswith(mid + ".1001 "):
                job = self.p.claim("x.example", limit=1)[0]
                self.assertEqual(self.p.finish(self.p.record(job)), [1])
        self.assertGreater(calls, 4)
        self.assertEqual(self.p.cmd("HGET", "m:" + mid, "n"), b"2000")
        self.assertEqual(check(self.p), [])

    def test_a_call_looks_at_a_bounded_number_of_jobs(self):
        names = [self.large() for _ in range(3)] + [self.fresh]
        self.spread()

        def reads():
            stats = self.p.client.cmd("INFO", "commandstats").decode().splitlines()
            return sum(int(re.search(r"calls=(\d+)", line).group(1)) for line in stats if line.startswith(("cmdstat_h", "cmdstat_zscore")))

        self.assertEqual(check(self.p), [])
        calls = 0
        while names:
            before = reads()
            names = [f.decode()[5:] for f in self.p.call("check", 0, "m", *names)]
            self.assertLess(reads() - before, 8000)
            calls += 1
        self.assertLess(calls, 40)


class PlantedSlots(StoreTest):
    def setUp(self):
        super().setUp()
        self.damaged = True
        self.sem.call("sem", "hello", "a", 30000, "")
        self.sem.call("sem", "get", "a", "x", 3, 10, 10)

    def seen(self):
        self.assertTrue(walk_sem(self.sem))
        self.assertTrue(check_sem(self.sem))
        check_sem(self.sem, repair=1)
        self.assertEqual(check_sem(self.sem) + walk_sem(self.sem), [])

    def test_I11(self):
        for damage in (("INCRBY", "t", 1), ("HINCRBY", "d", "x", 1), ("HDEL", "d", "x"), ("HSET", "d", "y", 2),
                       ("HSET", "h:a", "y", 2), ("HSET", "h:a", "z", 0), ("ZREM", "w", "a"), ("DEL", "t")):
            with self.subTest(damage=damage):
                self.sem.cmd(*damage)
                self.seen()


if __name__ == "__main__":
    unittest.main()
