"""What people see and do: queues, jobs, show, edit, stats, track; the store's own description."""
import unittest

from base import StoreTest
from store import SCHEMA, Store, crc16, slot_of, tags


class Listing(StoreTest):
    def queues(self, source="dom"):
        found, cursor = {}, "0"
        names = ("waiting", "in_hand", "due", "deferred", "oldest", "hold", "frozen", "err", "err_at", "ice")
        while True:
            reply = self.p.call("queues", source, cursor, 10)
            for i in range(2, len(reply), 11):
                found[reply[i].decode()] = dict(zip(names, reply[i + 1:i + 11]))
            cursor = reply[1].decode()
            if cursor == "0":
                return found

    def jobs(self, source, count=100, sender="", rcpt="", prefix="", min_age=0, max_age=0):
        found, cursor = [], ""
        while True:
            reply = self.p.call("jobs", source, cursor, count, sender, rcpt, prefix, min_age, max_age)
            found += [[v for v in reply[i:i + 12]] for i in range(2, len(reply), 12)]
            cursor = reply[1].decode()
            if cursor == "":
                return found

    def test_states_of_queues(self):
        self.p.hello()
        for q in ("ready", "active", "active", "retry", "frozen", "held"):
            self.put(q)
        self.put(("scheduled", 3600000))
        self.p.claim("active", limit=1)
        job, = self.p.claim("retry")
        self.p.finish(self.p.record(job, verb="r", delay=60000, text="451 come again"))
        self.p.call("freeze", "frozen", "root", "why")
        self.p.call("hold", "held", 60000, 0)
        dom, now = self.queues(), self.now()
        self.assertEqual(set(dom), {"ready", "active", "retry", "scheduled", "held"})
        self.assertLessEqual(dom["ready"]["due"], now)
        self.assertEqual((dom["active"]["in_hand"], dom["active"]["waiting"]), (1, 1))
        self.assertEqual((dom["retry"]["deferred"], dom["retry"]["err"]), (1, b"451 come again"))
        self.assertGreater(dom["retry"]["due"], now)
        self.assertLess(now - dom["retry"]["oldest"], 60000)
        self.assertEqual((dom["scheduled"]["deferred"], dom["scheduled"]["err"]), (1, b""))
        self.assertGreater(dom["held"]["hold"], now)
        self.assertEqual(self.queues("fz")["frozen"]["frozen"].split(b"\n")[1:], [b"root", b"why"])
        self.assertEqual(set(self.queues("inf")), {"active"})

    def test_oldest_of_a_fresh_queue_is_exact(self):
        before = self.now()
        self.put("a.example")
        self.assertTrue(before <= self.queues()["a.example"]["oldest"] <= self.now())

    def defer(self, q, count):
        """Puts count jobs back that have been tried; returns their arrivals, in order."""
        self.p.hello()
        ids = [self.put(q) for _ in range(count)]
        while jobs := self.p.claim(q):
            for job in jobs:
                self.p.finish(self.p.record(job, verb="r", delay=60000, text="451 come again"))
        return [int(self.p.cmd("HGET", "m:" + mid, "t")) for mid in ids]

    def test_oldest_of_a_deferred_queue_is_exact(self):
        first = self.defer("a.example", 5)[0]
        self.put("a.example")
        self.assertEqual(self.queues()["a.example"]["oldest"], first)

    def test_oldest_of_a_long_queue(self):
        """Of what is due first; else not later than it is, and within its ten minutes."""
        arrivals = self.defer("a.example", 70)
        self.assertTrue(arrivals[0] <= self.queues()["a.example"]["oldest"] <= arrivals[-1])
        old = arrivals[0] - 86400000
        mid = self.jobs("q:a.example")[-1][0].decode()  # due last, so that it is not looked at
        self.p.cmd("HSET", "m:" + mid, "t", old, "q1", "%d:a.example" % (old // 600000))
        self.p.cmd("HINCRBY", "a:a.example", arrivals[-1] // 600000, -1)
        self.p.cmd("HINCRBY", "a:a.example", old // 600000, 1)
        self.assertTrue(old - 600000 <= self.queues()["a.example"]["oldest"] <= old)

    def test_jobs_say_that_their_queue_is_frozen(self):
        mid = self.put("a.example", "b.example")
        self.p.call("freeze", "a.example", "root", "")
        self.assertEqual([self.jobs("q:" + q)[0][2] for q in ("a.example", "b.example")], [b"fz", b"q"])
        shown = self.p.call("show", mid, 1, 100)
        self.assertEqual([shown[i + 1] for i in range(7, len(shown), 9)], [b"fz", b"q"])

    def test_many_queues_in_pages(self):
        for n in range(300):
            self.put("d%d" % n)
        self.assertEqual(len(self.queues()), 300)

    def test_jobs_in_pages_and_filters(self):
        ids = [self.put(("a.example", 0, b"rcpt user%d@A.example" % n), env=b"from Sender%d@b.example" % (n % 2)) for n in range(25)]
        for count in (1, 7, 25, 100):
            self.assertEqual([j[0].decode() for j in self.jobs("q:a.example", count)], ids)
        self.assertEqual(len(self.jobs("q:a.example", 7, sender="sender1@")), 12)
        self.assertEqual(len(self.jobs("q:a.example", 7, rcpt="USER24@")), 1)
        self.assertEqual(len(self.jobs("q:a.example", 7, prefix=ids[3])), 1)
        self.assertEqual(len(self.jobs("q:a.example", 7, min_age=60000)), 0)
        self.assertEqual(len(self.jobs("q:a.example", 7, max_age=600000)), 25)
        self.assertEqual(self.jobs("q:none"), [])

    def test_page_goes_on_when_its_last_job_has_gone(self):
        ids = [self.put(("a.example", 1000 * n)) for n in range(10)]
        reply = self.p.call("jobs", "q:a.example", "", 4, "", "", "", 0, 0)
        self.p.call("edit", 0, "delete", "", ids[3], 1)
        rest = self.p.call("jobs", "q:a.example", reply[1], 100, "", "", "", 0, 0)
        self.assertEqual([rest[i].decode() for i in range(2, len(rest), 12)], ids[4:])

    def test_page_goes_on_when_its_last_job_has_moved(self):
        ids = [self.put(("a.example", 1000 * n)) for n in range(10)]
        reply = self.p.call("jobs", "q:a.example", "", 4, "", "", "", 0, 0)
        self.p.call("edit", 0, "freeze", "", ids[3], 1)
        rest = self.p.call("jobs", "q:a.example", reply[1], 100, "", "", "", 0, 0)
        self.assertEqual([rest[i].decode() for i in range(2, len(rest), 12)], ids[4:] + [ids[3]])

    def test_jobs_in_hand_and_kept(self):
        self.p.hello()
        self.put("a.example")
        self.put("b.example")
        self.p.claim("a.example")
        job, = self.p.claim("b.example")
        self.p.finish(self.p.record(job, verb="b", text="nowhere to go"))
        held, = self.jobs("c:w1")
        self.assertEqual((held[2], held[8]), (b"c", b"a.example"))
        bad, = self.jobs("bad")
        self.assertEqual((bad[2], bad[7], bad[8]), (b"bad", b"nowhere to go", b"b.example"))
        self.assertEqual(self.jobs("qz"), [])

    def test_show(self):
        self.p.hello()
        mid = self.put("a.example", "b.example", ("c.example", 5000))
        self.p.claim("a.example")
        job, = self.p.claim("b.example")
        self.p.finish(self.p.record(job))
        reply = self.p.call("show", mid, 1, 100)
        self.assertEqual(reply[2:7], [b"z1", b"env", b"3", b"2", b"0"])
        jobs = [reply[i:i + 9] for i in range(7, len(reply), 9)]
        self.assertEqual([(j[0], j[1], j[3], j[7]) for j in jobs],
                         [(1, b"c", b"w1", b"a.example"), (3, b"q", b"", b"c.example")])
        self.assertEqual(len(self.p.call("show", mid, 2, 1)), 7)
        self.assertEqual(self.p.call("show", self.mid(), 1, 100), [])

    def test_stats(self):
        self.p.hello()
        self.put("a.example", "b.example", body=b"x" * 100)
        job, = self.p.claim("a.example")
        self.p.finish(self.p.record(job, delivered=3, bounced=1))
        st = {k: int(v) for k, v in self.p.stats().items() if k != "schema"}
        self.assertEqual([st[k] for k in ("accepted", "bytes", "jobs", "ended", "delivered", "bounced", "queues", "workers")],
                         [1, 100, 2, 1, 3, 1, 1, 1])


class Editing(StoreTest):
    def edit(self, verb, *pairs, text=""):
        return self.p.call("edit", self.p.history, verb, text, *[v for pair in pairs for v in pair])

    def setUp(self):
        super().setUp()
        self.p.hello()

    def test_retry_now(self):
        mid = self.put(("a.example", 3600000), "b.example")
        self.assertEqual(self.edit("retry", (mid, 1), (mid, 2), (mid, 3), (self.mid(), 1)), [1, 1, 0, 0])
        self.assertEqual(len(self.p.claim("a.example")), 1)
        self.assertEqual(self.edit("retry", (mid, 1)), [-1])

    def test_retry_shows_a_queue_and_reaches_what_is_in_hand(self):
        mid, other = self.put("a.example"), self.put("a.example")
        job, = self.p.claim("a.example", limit=1)
        self.p.call("hold", "a.example", 3600000, 0)
        self.assertEqual(self.edit("retry", (mid, 1)), [-1])
        self.assertEqual(self.p.call("discover", 10), [b"a.example", 1])
        self.assertEqual(self.p.call("discover", 10, 1), [], "so many of the first ones are left out")
        self.p.call("release", "w1", mid, 1, job["token"], 3600000)
        self.assertEqual({j["id"] for j in self.p.claim("a.example")}, {mid, other})

    def test_bounce_shows_a_queue_and_asks_for_no_try(self):
        mid = self.put("a.example")
        self.p.call("hold", "a.example", 3600000, 0)
        self.assertEqual(self.edit("bounce", (mid, 1), text="no"), [1])
        self.assertEqual(self.p.call("claim", "w1", "a.example", 1, 0)[2:4], [0, mid.encode()])

    def test_retry_leaves_a_frozen_queue(self):
        mid = self.put(("a.example", 3600000))
        self.p.call("freeze", "a.example", "root", "")
        self.assertEqual(self.edit("retry", (mid, 1)), [1])
        self.assertEqual(self.p.call("discover", 10), [])

    def test_retry_of_a_whole_queue(self):
        problem = self.put("a.example")
        job, = self.p.claim("a.example")
        self.p.finish(self.p.record(job, verb="r", delay=3600000, problem=1))
        for _ in range(250):
            self.put(("a.example", 3600000))
        self.put("a.example")
        held, = self.p.claim("a.example", limit=1)
        self.p.call("hold", "a.example", 3600000, 0)
        self.assertEqual(self.p.call("retry", 1000, "a.example", "by root", 1), [251, 1])  # a bounded number a call
        self.assertEqual(self.p.call("retry", 1000, "a.example", "by root", 0), [0, 0])
        self.assertEqual(self.p.call("discover", 10), [b"a.example", 251])
        self.p.call("release", "w1", held["id"], 1, held["token"], 3600000)
        self.assertEqual(self.p.cmd("ZCOUNT", "q:a.example", 0, self.now()), 252)
        events = self.p.cmd("XRANGE", "ev", "-", "+")
        self.assertEqual(sum(b"retry" in fields and b"by root" in fields for _, fields in events), 251)
        self.assertIn(problem.encode(), [fields[1] for _, fields in events if b"retry" in fields])

    def test_retry_of_a_whole_frozen_queue(self):
        self.put(("a.example", 3600000))
        self.p.call("freeze", "a.example", "root", "")
        self.assertEqual(self.p.call("retry", 0, "a.example", "", 1), [1, 0])
        self.assertEqual(self.p.call("discover", 10), [])
        self.p.call("thaw", "a.example")
        self.assertEqual(self.p.call("discover", 10), [b"a.example", 1])

    def test_freeze_and_thaw_one_by_one(self):
        self.p.history = 1000
        first, second = self.put("a.example"), self.put("a.example")
        problem = self.put("b.example")
        job, = self.p.claim("b.example")
        self.p.finish(self.p.record(job, verb="r", delay=3600000, problem=1))
        before = self.p.cmd("ZSCORE", "q:a.example", first + ".1"), self.p.cmd("ZSCORE", "q:b.example", problem + ".1")
        self.assertEqual(self.edit("freeze", (first, 1), (problem, 0), text="spam"), [1, 1])
        self.assertEqual(self.edit("freeze", (first, 1)), [-2])
        self.assertEqual(self.edit("retry", (first, 1), (problem, 1)), [-2, -2])
        self.assertEqual(self.p.call("retry", 0, "a.example", "", 1), [1, 0])
        self.assertEqual(self.p.call("retry", 0, "b.example", "", 1), [0, 0])
        self.assertEqual(self.p.call("rouse", "b.example"), 0)
        self.assertEqual([j["id"] for j in self.p.claim("a.example")], [second])
        self.assertEqual(self.p.call("discover", 10), [])
        self.assertEqual(self.edit("thaw", (first, 1), (problem, 1), (second, 1)), [1, 1, -1])
        self.assertEqual(self.edit("thaw", (first, 1)), [-2])
        self.assertEqual((self.p.cmd("ZSCORE", "q:a.example", first + ".1"), self.p.cmd("ZSCORE", "q:b.example", problem + ".1")),
                         before)
        self.assertEqual(self.p.call("discover", 10), [b"a.example", 1])
        events = [fields[3] for _, fields in self.p.cmd("XRANGE", "ev", "-", "+") if fields[1] == first.encode()]
        self.assertEqual(events[-2:], [b"frozen", b"thawed"])

    def test_a_frozen_message_is_returned_deleted_or_taken_back(self):
        ids = [self.put("a.example") for _ in range(4)]
        self.edit("freeze", *[(mid, 1) for mid in ids])
        self.assertEqual(self.p.stats()["frozen_jobs"], 4)
        self.assertEqual(self.edit("bounce", (ids[0], 1), text="no"), [1])
        self.assertEqual(self.p.stats()["frozen_jobs"], 3)
        job, = self.p.claim("a.example")
        self.assertEqual((job["id"], job["flags"]), (ids[0], "bno"))
        self.assertEqual(self.edit("delete", (ids[1], 0)), [1])
        self.assertEqual(self.p.stats()["frozen_jobs"], 2)
        self.assertEqual(self.p.call("cancel", ids[2]), 1)
        self.assertEqual(self.p.stats()["frozen_jobs"], 1)
        token = str(int(self.p.cmd("GET", "tok")) + 5)
        self.assertEqual(self.p.call("reassert", "w1", ids[3], 1, token), [2])  # a failover lost that it was claimed
        self.assertEqual(self.p.stats()["frozen_jobs"], 0)
        self.assertEqual(self.p.call("release", "w1", ids[3], 1, token, 0), [1])
        self.assertEqual([j["id"] for j in self.p.claim("a.example")], [ids[3]])

    def test_a_frozen_message_that_was_delivered_all_the_same(self):
        mid = self.put("a.example")
        job, = self.p.claim("a.example")
        self.assertEqual(self.p.call("bye", "w1"), 0)
        self.edit("freeze", (mid, 1))
        self.p.hello("w2")
        self.assertEqual(self.p.finish(self.p.record(job), worker="w2", redo=2), [1])
        self.assertEqual(self.p.stats()["frozen_jobs"], 0)

    def test_a_queue_of_frozen_messages_is_seen(self):
        before = self.now()
        mid, _ = self.put("a.example"), self.put("b.example")
        self.edit("freeze", (mid, 1))
        row = Listing.queues(self)["a.example"]
        self.assertEqual((row["waiting"], row["ice"], row["due"], row["frozen"]), (1, 1, b"", b""))
        self.assertTrue(before <= row["oldest"] <= self.now())
        self.assertEqual(Listing.queues(self)["b.example"]["ice"], 0)

    def test_delete(self):
        mid = self.put("a.example", "b.example", "c.example")
        self.p.claim("a.example")
        self.assertEqual(self.edit("delete", (mid, 2)), [1])
        self.assertEqual(self.edit("delete", (mid, 2)), [0])
        self.assertEqual(self.edit("delete", (mid, 0)), [-1])
        self.assertEqual(self.p.cmd("HGET", "m:" + mid, "n"), b"1")
        mid = self.put(("a.example", 60000), "b.example")
        self.assertEqual(self.edit("delete", (mid, 0)), [2])
        self.assertEqual(self.p.cmd("EXISTS", "m:" + mid, self.p.key("b:" + mid)), 0)
        self.p.body(mid)
        self.assertEqual(self.p.commit(mid, ["a.example"], retry=1), 0)

    def test_bounce_marks_the_job(self):
        mid = self.put(("a.example", 60000))
        self.assertEqual(self.edit("bounce", (mid, 1), text="no longer wanted"), [1])
        job, = self.p.claim("a.example")
        self.assertEqual(job["flags"], "bno longer wanted")

    def test_badmail_can_be_deleted(self):
        mid = self.put("a.example")
        job, = self.p.claim("a.example")
        self.p.finish(self.p.record(job, verb="b"))
        self.assertEqual(self.edit("retry", (mid, 1)), [-2])
        self.assertEqual(self.edit("bounce", (mid, 1)), [-2])
        self.assertEqual(self.edit("delete", (mid, 0)), [1])

    def test_requeue_takes_only_what_is_kept(self):
        mid = self.put("a.example")
        self.assertEqual(self.edit("requeue", (mid, 1)), [-2])

    def test_a_call_does_a_bounded_amount(self):
        ids = [self.put(*["d%d.example" % n for n in range(300)]) for _ in range(5)]
        reply = self.edit("delete", *[(mid, 0) for mid in ids])
        self.assertEqual(reply, [300, 300, 300, -3, -3])
        self.assertEqual(self.edit("delete", *[(mid, 0) for mid in ids]), [0, 0, 0, 300, 300])

    def test_a_message_of_very_many_jobs(self):
        mid = self.mid()
        self.p.body(mid)
        for first in (1, 501):
            self.p.call("stage", mid, 0, first, *["a.example", 0, b"job"] * 500)
        self.p.commit(mid, ["a.example"], staged=1000)
        self.assertEqual(self.edit("delete", (mid, 0)), [-2])
        for _ in range(2):
            self.p.call("reap", 1)
        self.assertEqual(self.edit("delete", (mid, 1), (mid, 1001)), [1, 1])


class Tracking(StoreTest):
    def setUp(self):
        super().setUp()
        self.p.history = 1000
        self.p.hello()

    def track(self, mid="", count=100):
        found, cursor = [], "-"
        while True:
            reply = self.p.call("track", mid, cursor, count)
            found += [tuple(v.decode() for v in reply[i + 1:i + 5]) for i in range(1, len(reply), 5)]
            cursor = reply[0].decode()
            if not cursor:
                return found

    def test_history_of_a_message(self):
        mid = self.put("a.example", text=b"from s to r")
        other = self.put("a.example")
        for verb, event in (("r", "deferred"), ("d", "delivered")):
            jobs = self.p.claim("a.example")
            self.p.finish(*[self.p.record(j, verb=verb, event=event, text="250 ok") for j in jobs])
        self.assertEqual(self.track(mid), [(mid, "accepted", "a.example", "from s to r"),
                                           (mid, "deferred", "a.example", "250 ok"), (mid, "delivered", "a.example", "250 ok")])
        self.assertEqual(len(self.track(count=1)), 6)
        self.assertEqual(len(self.track(other, count=2)), 3)

    def test_history_of_a_command_says_for_whom(self):
        one, two = self.put("a.example"), self.put("b.example")
        self.assertEqual(self.p.call("edit", 1000, "freeze", "spam\n<a@a.example>\n<b@b.example>", one, 1, two, 1), [1, 1])
        self.assertEqual(self.p.call("edit", 1000, "bounce", "no more\n<a@a.example>", one, 1), [1])
        self.assertEqual(self.p.call("edit", 1000, "delete", "\n<b@b.example>", two, 1), [1])
        self.assertEqual([e[3] for e in self.track(one)[1:]], ["<a@a.example>: spam", "<a@a.example>: no more"])
        self.assertEqual([e[3] for e in self.track(two)[1:]], ["<b@b.example>: spam", "<b@b.example>"])
        self.assertEqual(self.p.cmd("HGET", "m:" + one, "f1"), b"bno more")  # nothing but the reason goes to the sender

    def test_history_is_capped(self):
        self.p.history = 100
        for _ in range(500):
            self.put("a.example")
        self.assertLess(self.p.cmd("XLEN", "ev"), 300)

    def test_none_is_kept_when_none_is_wanted(self):
        self.p.history = 0
        self.put("a.example")
        self.assertEqual(self.p.cmd("EXISTS", "ev"), 0)


class Installation(StoreTest):
    def test_tags_are_spread_evenly(self):
        self.assertEqual(tags("mq", 16)[0], "{mq.p00.22}")
        for count in (1, 16, 64):
            slots = [slot_of(tag) for tag in tags("mq", count)]
            self.assertEqual([s * count // 16384 for s in slots], list(range(count)))
        self.assertEqual(crc16(b"123456789"), 0x31C3)

    def test_opened_again_it_is_as_it_was(self):
        state = self.store.cfg.call("meta", "open", 1, 2, "{x} {y}")
        self.assertEqual(state, [b"1", b"4", " ".join(self.store.tags).encode(), b"ready"])
        self.assertEqual(self.store.cfg.call("meta", "read"), state)
        self.assertEqual(self.p.call("init", 1), 0)

    def test_not_installed(self):
        self.client.cmd("FLUSHALL")
        self.store.load()
        self.assertEqual(self.store.cfg.call("meta", "read"), [])
        self.refuses("SCHEMA", self.store.cfg.call, "meta", "ready")
        self.refuses("BADARG", self.store.cfg.call, "meta", "open", 1, 3, "{x} {y}")
        self.refuses("BADARG", self.store.cfg.call, "meta", "open", 2, 2, "{x} {y}")
        self.assertIn("none", self.refuses("SCHEMA", self.p.call, "discover", 1))
        self.store.install()

    def test_another_schema(self):
        self.refuses("SCHEMA", self.store.cfg.call, "meta", "read", schema=(2, 3))
        for tag in (self.p, self.sem):
            tag.cmd("SET", "g", 7)
        self.assertIn("7", self.refuses("SCHEMA", self.p.call, "discover", 1))
        self.assertEqual(self.p.call("discover", 1, schema=(1, 7)), [])
        for tag in (self.p, self.sem):
            tag.cmd("SET", "g", SCHEMA[0])

    def test_two_stores_on_one_server(self):
        other = Store(lambda tag: self.client, ns="other")
        other.install()
        self.put("a.example")
        self.assertEqual(other.parts[0].call("discover", 1), [])


if __name__ == "__main__":
    unittest.main()
