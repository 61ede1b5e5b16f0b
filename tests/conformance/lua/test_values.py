"""Every value of the store, cut short, too long, or somebody else's: no message is lost, none waits for it, and check mends.

A store with something of everything is put together once. One value after the other is damaged in a copy of it; then
another message comes in and goes out, all workers die, and what is left is worked off, before and after `check` has
mended. The damages come from the store itself: each key, each field, each entry is damaged in each way."""
import unittest

from base import StoreTest
from resp import RedisError
from walk import check, check_sem, scan, text, walk_sem, zall

LONG = b"9" * 4096
# In the place of a value; prefixes of it come first.
VALUES = (b"garbage", b"-1", b"1.5", b"nan", b"inf", b"9223372036854775807", LONG, b"\xff\0\n: \t")
SCORES = ("-1", "1.5", "inf", "-inf", "1e300", "9007199254740993")
NAMES = (b"x", b"garbage and more", b"0000000000000001x1", b"0000000000000001.01", b"0000000000000001.99999", b"a!zz", b"!", b"\xff\0\n", LONG)
PREFIXES_MAX = 8  # of a longer value: as many, spread over it
MEMBERS_MAX = 5  # of a set: scores of as many
OPAQUE = (b"", b"\xff\0\n")  # for what no script looks into
WORDS = ("WRONGTYPE", "EXPIRED", "NOBODY", "BADARG", "DRAIN", "SCHEMA", "CANCELED")  # an answer has one of these first


def cuts(value):
    """The beginnings of a value."""
    step = max(1, len(value) // PREFIXES_MAX)
    return [value[:n] for n in range(0, len(value), step)]


class Values(StoreTest):
    def setUp(self):
        super().setUp()
        self.damaged = True
        self.p.history = 10
        self.furnish()
        self.image = {key: (self.client.cmd("DUMP", key), max(0, self.client.cmd("PTTL", key))) for key in self.client.cmd("KEYS", "*")}

    def furnish(self):
        """Something of everything: `expected` are the jobs that must come out."""
        p = self.p
        p.hello("w1")
        p.hello("w2")
        self.put("fresh.example", "two.example", "three.example")
        later = self.put(("later.example", 3600000))
        self.put("retry.example")
        job, = p.claim("retry.example", "w1")
        p.finish(p.record(job, verb="r", delay=3600000, event="deferred", text="451 later"), worker="w1")
        self.put("hand.example")
        self.put(("hand.example", 1))
        badmail = self.put("bad.example")
        job, = p.claim("bad.example", "w1")
        p.finish(p.record(job, verb="b", text="no way"), worker="w1")
        quarantined = self.put("qz.example")
        for _ in range(2):
            p.claim("qz.example", "w2")
            p.cmd("ZADD", "wk", 1, "w2")
            p.call("reap", 100)
            p.cmd("ZADD", "q:qz.example", 1, quarantined + ".1")  # the time aside is over
            p.cmd("ZADD", "dom", 1, "qz.example")
            p.hello("w2")
        p.claim("qz.example", "w2")
        p.cmd("ZADD", "wk", 1, "w2")
        p.call("reap", 100)
        p.hello("w2")
        frozen = self.put("frozen.example")
        p.call("freeze", "frozen.example", "root", "why")
        held = self.put("held.example")
        p.call("hold", "held.example", 3600000, 0)
        iced = self.put("ice.example")
        p.call("edit", 10, "freeze", "", iced, 1)
        woken = self.put("woken.example")
        p.call("retry", 10, "woken.example", "please", 1)
        bounced = self.put("bounce.example")
        p.call("edit", 10, "bounce", "unwanted", bounced, 1)
        self.put("gone.example")
        job, = p.claim("gone.example", "w1")
        p.finish(p.record(job), worker="w1")
        staged = self.mid()
        p.body(staged)
        p.call("stage", staged, 0, 1, "staged.example", 0, b"job", "staged.example", 60000, b"job")
        p.commit(staged, ["staged.example"], staged=2)
        p.cmd("SET", "b:" + self.mid(), b"half written", "PX", 900000)
        self.inhand = p.claim("hand.example", "w1")
        # What is as another one: damaged once.
        self.alike = {k + i for i in (frozen, held, woken, later) for k in ("m:", "b:")} | {
            "q:" + q for q in ("two.example", "three.example", "held.example", "woken.example", "later.example", "bounce.example")}
        self.often = {"m:" + i for i in (badmail, quarantined, iced, bounced, staged, self.inhand[0]["id"])} | {"a:hand.example", "a:ice.example"}
        self.expected = {(i, k[1:]) for i in scan(p, "m:") for k in self.fields("m:" + i) if k[0] == "j"}
        sem = self.sem
        for who in ("s1", "s2", "s3"):
            sem.call("sem", "hello", who, 30000, "info")
            sem.call("sem", "get", who, "link", 2, 10, 20)
        sem.call("link", "failed", "broken", 3, 60000, "451")
        sem.call("sem", "turn", "s1", 60000)

    def fields(self, key, tag=None):
        flat = (tag or self.p).cmd("HGETALL", key)
        return {text(flat[i]): flat[i + 1] for i in range(0, len(flat), 2)}

    def restore(self):
        self.client.pipeline([["FLUSHALL"], *(["RESTORE", key, ttl, dump] for key, (dump, ttl) in self.image.items())])

    def damages(self, tag):
        """(what is damaged, how): each a function of its own."""
        for name in sorted(scan(tag, "")):
            kind = self.client.cmd("TYPE", tag.key(name)).decode()
            if name in self.alike or name == "g":  # another schema: test_bad_input.py
                continue
            if kind == "hash":
                for field, value in self.fields(name, tag).items():
                    for bad in OPAQUE if self.is_opaque(name, field) else (*cuts(value), *VALUES):
                        yield (name, field, bad), ("HSET", name, field, bad)
                for bad in NAMES if name not in self.often else ():
                    yield (name, "a field", bad), ("HSET", name, bad, b"1")
            elif kind == "string":
                value = tag.cmd("GET", name)
                for bad in OPAQUE if name[:2] == "b:" else (*cuts(value), *VALUES):
                    yield (name, "", bad), ("SET", name, bad, "KEEPTTL")
            elif kind == "zset":
                for member in sorted(zall(tag, name))[:MEMBERS_MAX]:
                    for bad in SCORES:
                        yield (name, member, bad), ("ZADD", name, bad, member)
                for bad in NAMES:
                    yield (name, "an entry", bad), ("ZADD", name, 1, bad)
            elif kind == "stream":
                yield (name, "its end", b""), ("XADD", name, "18446744073709551615-18446744073709551615", "i", "x")
                yield (name, "an entry", b""), ("XADD", name, "*", "garbage", LONG)
        if tag is self.p:
            for prefix in ("m:", "b:", "c:", "a:", "q:", "fin:"):
                for bad in (b"x", b"a b", b"\xff\0\n", b"a!zz", b"0" * 400):
                    command = {"b:": ("SET", b"1"), "q:": ("ZADD", 1, b"x")}.get(prefix, ("HSET", "n", b"1"))
                    yield (prefix, "a name", bad), (command[0], prefix + text(bad), *command[1:])

    def is_opaque(self, name, field):
        """No script looks into it, or it is one of many that are alike."""
        if name[:2] == "m:":
            return field[0] in "ejzw" or field in ("q2", "q3") or (field in "tcn" and name in self.often)
        return name[:4] in ("fin:", "a:ha") or (name == "st" and field not in ("accepted", "gone", "delivered"))

    def all(self, calls):
        """The answers; None for an error, which is one that people are told what to do about."""
        replies = self.client.pipeline(calls)
        for reply in replies:
            if isinstance(reply, RedisError):
                self.assertIn(reply.code, WORDS, str(reply))
        return [None if isinstance(reply, RedisError) else reply for reply in replies]

    def another(self, what):
        """A message that has nothing to do with it goes through."""
        mid, worker = "000000000000ZZZZ", "other"
        self.p.hello(worker)
        self.assertIn(self.p.put(mid, "other.example"), (1, 2), what)
        found = self.p.call("discover", 256)
        self.assertIn(b"other.example", found[::2], what)
        job, = self.p.claim("other.example", worker)
        self.assertEqual(self.p.finish(self.p.record(job), worker=worker), [1], what)
        self.assertEqual(self.p.cmd("EXISTS", "m:" + mid), 0, what)

    def work_off(self, done):
        """All that can be had is claimed and delivered; jobs that came out are counted in `done`."""
        p, queues = self.p, scan(self.p, "q:")
        self.all([["ZADD", p.key("wk"), 1, worker] for worker in zall(p, "wk")] + [p.args("reap", 1000)] * 6 + [p.args("renew", "last", 30000, 1)])
        self.all([p.args(*words) for q in queues for words in (("thaw", q), ("retry", 0, q, "", 1))])
        self.all([p.args("edit", 0, verb, "", mid, 0) for mid in {job[0] for job in self.expected} for verb in ("thaw", "requeue", "retry")])
        p.cmd("DEL", "hold")
        queues = scan(p, "q:")
        while True:
            replies = self.all([p.args("claim", "last", q, 100, 0) for q in queues])
            jobs = [[text(v) for v in reply[i:i + 3]] for reply in replies if reply for i in range(3, len(reply), 9)]
            if not jobs:
                return
            done += [(i, k) for i, k, _ in jobs]
            records = [p.record({"id": i, "k": k, "token": token}) for i, k, token in jobs]
            self.assertEqual(self.all([p.args("finish", 0, "last", 0, *record) for record in records]), [[1]] * len(jobs))

    def mended(self, what):
        """Again and again, for some is seen only when something else is mended."""
        for _ in range(3):
            if not check(self.p, repair=1):
                break
        self.assertEqual(check(self.p), [], what)

    def test_partition(self):
        damages = list(self.damages(self.p))
        self.assertGreater(len(damages), 500)
        for what, command in damages:
            with self.subTest(what=what):
                self.restore()
                done = []
                self.p.cmd(*command)
                self.another(what)
                self.work_off(done)
                self.mended(what)
                self.work_off(done)
                self.assertEqual(sorted(done), sorted(self.expected), what)


class SlotValues(Values):
    """The same of the connection slots: who has nothing to do with it gets them, no cap is exceeded, all come back."""

    def test_partition(self):
        pass

    def test_slots(self):
        damages = list(self.damages(self.sem))
        self.assertGreater(len(damages), 100)
        for what, command in damages:
            with self.subTest(what=what):
                self.restore()
                sem = self.sem
                sem.cmd(*command)
                self.assertEqual(sem.call("sem", "hello", "new", 30000, ""), 1)
                got = sem.call("sem", "get", "new", "elsewhere", 3, 3, 1000)
                self.assertEqual(got, 3, what)
                self.assertEqual(sem.call("sem", "put", "new", "elsewhere", 1), 2, what)
                self.assertLessEqual(sem.call("sem", "get", "new", "link", 100, 10, 1000), 10 - self.surely(what), what)
                self.assertLessEqual(sem.call("link", "get", "broken")[1], self.now() + 315360000000, what)
                self.assertEqual(sem.call("link", "failed", "other", 1, 1, "why")[0], 1, what)
                for script in ("members", "links", "slots"):
                    self.all([sem.args(script, 0, 100)])
                check_sem(sem, repair=1)
                check_sem(sem, repair=1)
                self.assertEqual(check_sem(sem) + walk_sem(sem), [], what)
                for who in zall(sem, "w"):
                    sem.cmd("ZADD", "w", 1, who)
                for _ in range(10):
                    sem.call("sem", "reap", 1000)
                self.assertEqual((sem.cmd("HLEN", "d"), sem.cmd("GET", "t")), (0, b"0"), what)

    def surely(self, what):
        """Slots of "link" that are held for certain: not those of whose number somebody else wrote another."""
        key, _, _ = what
        return 0 if key in ("d", "t", "w") or key[:2] == "h:" else 6


class RoutingValues(StoreTest):
    """And of routing: the next master takes over, publishes, and everybody reads what it says."""

    def furnish(self):
        rt = self.rt
        token = rt.call("master", "take", "r1", 10000, "info")[0]
        rt.call("master", "save", "r1", token, "1.2.3.4", "digest")
        rt.call("master", "publish", "r1", token, 1, b"table")
        rt.call("master", "links", "r1", token, "out", b"state")
        rt.call("master", "peers", "r1", token, b"peers")
        rt.call("master", "event", "r1", token, "what", "group", "out", "1.2.3.4", "text")
        rt.call("master", "answer", "r1", token, "q1", 0, "well")
        rt.call("routing", "table", 0, "w1", 30000)
        rt.call("routing", "report", "out", "host:25", 0, "refused")
        rt.call("routing", "word", "out", "down", 60000, "root", "why")
        rt.call("routing", "ask", "q2", "purge", "group")

    def test_routing(self):
        self.damaged = True
        self.furnish()
        values = Values()
        values.client, values.p, values.alike, values.often = self.client, self.p, set(), set()
        values.image = {key: (self.client.cmd("DUMP", key), max(0, self.client.cmd("PTTL", key))) for key in self.client.cmd("KEYS", "*")}
        damages = list(values.damages(self.rt))
        self.assertGreater(len(damages), 100)
        for what, command in damages:
            with self.subTest(what=what):
                values.restore()
                rt = self.rt
                rt.cmd(*command)
                rt.call("routing", "table", 0)  # whatever is in it: its reader looks for itself (unit/queue, integration)
                for verb in ("words", "links", "routers", "workers", "peers"):
                    rt.call("routing", verb)
                rt.call("routing", "history", 10)
                rt.call("routing", "answered", "q1")
                self.client.cmd("HSET", rt.key("master"), "u", 1)  # the lease is over
                token, holder, _, _ = rt.call("master", "take", "r2", 10000, "info")
                self.assertEqual(holder, b"r2", what)
                self.assertGreater(token, 0, what)
                rt.call("master", "load", "r2", token)
                self.assertEqual(rt.call("master", "save", "r2", token, "1.2.3.5", "digest"), 1, what)
                rt.call("master", "reports", "r2", token, 100)
                rt.call("master", "asked", "r2", token, 100)
                version = rt.call("master", "publish", "r2", token, 1, b"another")
                self.assertEqual(rt.call("routing", "table", version - 1)[::4], [version, b"another"], what)
                self.assertEqual(rt.call("master", "renew", "r2", token, 10000), 1, what)


if __name__ == "__main__":
    unittest.main()
