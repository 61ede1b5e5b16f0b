"""Routing: one master at a time, versions that never go back, and what everybody may say."""
import unittest

from base import StoreTest
from resp import RedisError
from store import Tag

A, B = "a-1", "b-2"


class Routing(StoreTest):
    def setUp(self):
        super().setUp()
        self.rt = Tag(self.client, "{mq.rt}")
        self.rt.call("init", 1)

    def take(self, who, lease=10000):
        return self.rt.call("master", "take", who, lease, "info of " + who)

    def master(self, verb, who, token, *rest):
        return self.rt.call("master", verb, who, token, *rest)

    def ask(self, verb, *rest):
        return self.rt.call("routing", verb, *rest)

    def over(self):
        """The time of the lease is over."""
        self.rt.cmd("HSET", "master", "u", self.now() - 1)

    def test_what_somebody_else_wrote_is_deleted_and_made_anew(self):
        """As the log tells people to do: every verb works again."""
        def all_verbs():
            token = self.take(A)[0] or int(self.rt.cmd("HGET", "master", "k"))
            for verb, rest in (("renew", [10000]), ("load", []), ("save", ["2.0.0.1", "c"]), ("publish", [1, "x"]), ("links", ["c", "up"]),
                               ("peers", ["x"]), ("event", ["w", "g", "c", "1", "t"]), ("reports", [10]), ("asked", [10]), ("answer", ["1", 0, "x"])):
                self.master(verb, A, token, *rest)
            for verb, rest in (("table", [0]), ("links", []), ("peers", []), ("routers", []), ("history", [10]), ("report", ["c", "t", 1, "x"]),
                               ("word", ["c", "up", 0, "me", "why"]), ("words", []), ("ask", ["1", "v", "a"]), ("answered", ["1"])):
                self.ask(verb, *rest)
        all_verbs()
        refused = set()
        for key in ("master", "tok", "routers", "info", "own", "table", "links", "peers", "rep", "words", "ask", "ans:1", "ev"):
            with self.subTest(key=key):
                self.rt.cmd("DEL", key)
                self.rt.cmd(*(("RPUSH", key, "x") if key in ("tok", "ans:1") else ("SET", key, "x")))
                try:
                    all_verbs()
                except RedisError as e:
                    self.assertEqual(e.code, "WRONGTYPE", str(e))
                    refused.add(key)
                self.rt.cmd("DEL", key)
                all_verbs()
        self.assertGreater(len(refused), 5, refused)

    def test_one_master(self):
        token = self.take(A)[0]
        self.assertGreater(token, 0)
        other = self.take(B)
        self.assertEqual(other[:2], [0, A.encode()])
        self.assertTrue(0 < other[2] <= 10000)
        self.assertEqual(self.master("renew", A, token, 10000), 1)
        self.assertEqual(self.master("renew", A, token, 10000, "role=router"), 1)
        self.assertIn(b"role=router", self.ask("routers"))
        self.refuses("BADARG", self.master, "renew", A, token, 10000, "x" * 257)
        self.refuses("EXPIRED", self.master, "renew", B, token, 10000)
        self.refuses("EXPIRED", self.master, "renew", A, token + 1, 10000)

    def test_a_clock_that_went_back_keeps_no_lease(self):
        token = self.take(A)[0]
        self.rt.cmd("HSET", "master", "u", self.now() + 3600000)
        self.assertTrue(0 < self.take(B)[2] <= 10000)
        self.assertTrue(0 < int(self.rt.cmd("HGET", "master", "u")) - self.now() <= 10000)
        self.assertEqual(self.master("renew", A, token, 10000), 1)

    def test_a_master_that_slept_can_write_nothing(self):
        old = self.take(A)[0]
        self.over()
        self.assertEqual(self.master("renew", A, old, 10000), 1)  # nobody else took it
        self.over()
        new = self.take(B)[0]
        self.assertGreater(new, old)
        for verb, rest in {"renew": [10000], "load": [], "save": ["1.0.0.1", "c"], "publish": [1, "x"], "links": [],
                           "peers": ["x"], "event": [], "reports": [10], "asked": [10],
                           "answer": ["1", 0, "x"]}.items():
            self.refuses("EXPIRED", self.master, verb, A, old, *rest)
        self.assertEqual(self.master("leave", A, old), 0)
        self.assertEqual(self.master("publish", B, new, 1, "y") > 0, True)

    def test_leaving_makes_room_at_once(self):
        token = self.take(A)[0]
        self.assertEqual(self.master("leave", A, token), 1)
        self.assertGreater(self.take(B)[0], token)
        names = self.ask("routers")
        self.assertEqual(names[1], B.encode())
        self.assertEqual(names[3::3], [B.encode()])

    def test_versions_never_go_back(self):
        token = self.take(A)[0]
        self.assertEqual(self.master("save", A, token, "2.9.4294967295.18446744073709551615", "c"), 1)
        self.assertEqual(self.master("save", A, token, "2.9.4294967295.18446744073709551615", "c"), 1)  # sent again
        for lower in ("2.9.4294967295.18446744073709551614", "2.8.0.0", "1.99.99.99", "2.9.0.0", "0.0.0.0"):
            self.refuses("BADARG", self.master, "save", A, token, lower, "c")
        for higher in ("2.10.0.0", "10.0.0.1", "10.0.0.2"):
            self.assertEqual(self.master("save", A, token, higher, "d"), 1)
        self.assertEqual(self.master("load", A, token), [b"10.0.0.2", b"d"])
        self.refuses("BADARG", self.master, "save", A, token, "10.0.0", "d")

    def test_the_table_has_one_version(self):
        self.assertEqual(self.ask("table", 0)[:1] + self.ask("table", 0)[4:], [0, b""])
        token = self.take(A)[0]
        self.refuses("BADARG", self.master, "publish", A, token, 0, "x")
        first = self.master("publish", A, token, 1, "x" * 100000)
        second = self.master("publish", A, token, 1, "\x00\r\n$y")
        self.assertGreater(second, first)
        version, at, by, now, got = self.ask("table", first)
        self.assertEqual((version, by, got), (second, A.encode(), b"\x00\r\n$y"))
        self.assertTrue(0 < at <= now)
        self.assertEqual(self.master("publish", A, token, 0, "z"), second)  # kept, not announced
        self.assertEqual(self.ask("table", second)[4], b"")
        self.assertEqual(self.ask("table", 0)[4], b"z")

    def test_a_lost_table_gets_no_version_twice(self):
        token = self.take(A)[0]
        first = self.master("publish", A, token, 1, "x")
        self.rt.cmd("DEL", "table")
        self.assertGreater(self.master("publish", A, token, 1, "x") + 1, first)

    def test_reports_are_handed_out_once_the_last_of_each_target(self):
        token = self.take(A)[0]
        self.ask("report", "c", "h:25", 0, "refused\nnewline")
        self.ask("report", "c", "h:25", 1, "")
        self.ask("report", "c", "[2001:db8::1]:25", 0, "no")
        got = self.master("reports", A, token, 100)
        self.assertEqual(sorted(zip(*[iter(got)] * 4)), [(b"c", b"[2001:db8::1]:25", b"0", b"no"), (b"c", b"h:25", b"1", b"")])
        self.assertEqual(self.master("reports", A, token, 100), [])

    def test_words_of_administrators(self):
        self.ask("word", "c", "down", 0, "me\nyou", "because\nit is")
        self.ask("word", "d", "up", 60000, "me", "")
        self.ask("word", "e", "up", 1, "me", "")
        self.rt.cmd("HSET", "words", "e", "up\n%d\nme\n" % (self.now() - 1))
        words = self.ask("words")
        rows = {row[0]: row for row in zip(*[iter(words[1:])] * 5)}
        self.assertEqual(set(rows), {b"c", b"d"})
        self.assertEqual(rows[b"c"][1:], (b"down", b"0", b"me you", b"because\nit is"))
        self.assertTrue(words[0] < int(rows[b"d"][2]) <= words[0] + 60000)
        self.ask("word", "c", "auto", 0, "me", "")
        self.assertEqual(len(self.ask("words")), 1 + 5)
        self.refuses("BADARG", self.ask, "word", "c", "sideways", 0, "", "")

    def test_workers_say_that_they_live(self):
        self.ask("table", 0, "w1", 60000)
        self.ask("table", 0, "w2", 60000)
        self.ask("table", 0, "w1", 1)  # another one of that name: the lease that ends last counts
        now, *names = self.ask("workers")
        self.assertEqual(sorted(names), [b"w1", b"w2"])
        self.rt.cmd("ZADD", "workers", self.now() - 1, "w1")
        self.assertEqual(self.ask("workers")[1:], [b"w2"])
        self.ask("table", 0, "w3", 60000)
        self.assertEqual(self.rt.cmd("ZSCORE", "workers", "w1"), None, "it is forgotten")
        for n in range(2100):
            self.rt.cmd("ZADD", "workers", self.now() + 60000, "x%d" % n)
        self.ask("table", 0, "new", 60000)
        self.assertEqual(self.rt.cmd("ZSCORE", "workers", "new"), None, "the room has a bound")
        self.assertEqual(len(self.ask("workers")), 2001)

    def test_states_and_neighbours(self):
        token = self.take(A)[0]
        self.master("links", A, token, "c", "state", "d", "other")
        self.assertEqual(self.ask("links")[1:3], [b"c", b"state"])
        self.assertEqual(self.master("load", A, token)[2:], [b"c", b"state", b"d", b"other"])
        self.master("links", A, token, "c", "")
        self.assertEqual(self.ask("links")[1:], [b"d", b"other"])
        self.master("peers", A, token, "bytes")
        self.assertEqual(self.ask("peers")[2], b"bytes")

    def test_history_is_bounded_and_newest_first(self):
        token = self.take(A)[0]
        for n in range(0, 11000, 100):
            self.master("event", A, token, *[x for i in range(n, n + 100) for x in ("UP", "g", "c%d" % i, "1.2.3", "t")])
        rows = list(zip(*[iter(self.ask("history", 3)[1:])] * 6))
        self.assertEqual([row[3] for row in rows], [b"c10999", b"c10998", b"c10997"])
        self.assertEqual(rows[0][1:3] + rows[0][4:], (b"UP", b"g", b"1.2.3", b"t"))
        self.assertLess(self.rt.cmd("XLEN", "ev"), 10300)

    def test_questions(self):
        token = self.take(A)[0]
        self.assertEqual(self.ask("ask", "1a", "purge", "east"), 1)
        self.assertEqual(self.ask("answered", "1a"), [])
        self.assertEqual(self.master("asked", A, token, 10), [b"1a", b"purge", b"east"])
        self.assertEqual(self.master("asked", A, token, 10), [])
        self.master("answer", A, token, "1a", 6, "no such\ngroup")
        self.assertEqual(self.ask("answered", "1a"), [6, b"no such\ngroup"])

    def test_bad_input(self):
        token = self.take(A)[0]
        for call in (["nosuch", A], ["take", "a b", 1000, ""], ["take", A, 0, ""], ["take", A, 1e9, ""],
                     ["publish", A, token, 2, ""], ["links", A, token, "x"], ["links", A, token, "a b", "x"],
                     ["event", A, token, "UP"], ["event", A, token, "UP", "g" * 64, "", "", ""], ["answer", A, token, "-", 0, ""]):
            self.refuses("BADARG", self.rt.call, "master", *call)
        for call in (["nosuch"], ["table", -1], ["report", "", "h", 1, ""], ["report", "c", "h", 2, ""],
                     ["ask", "1", "PURGE", ""], ["ask", "1", "purge", "x" * 257], ["history", "x"]):
            self.refuses("BADARG", self.rt.call, "routing", *call)


if __name__ == "__main__":
    unittest.main()
