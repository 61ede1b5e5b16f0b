"""Malformed arguments, wrong types, a foreign schema: a defined answer, and nothing is changed."""
import unittest

from base import StoreTest
from resp import RedisError
from store import BODIES
from walk import check

ID = "0000000000000009"
BIG = "x" * 400

# Calls that are right, and for each argument values that are not. An argument without values is opaque.
CALLS = {
    "stage": (["id", "0", "1", "a.example", "0", "job"],
              {0: ["", "short", "lower-case-id-0x", "0" * 17], 1: ["2", "x"], 2: ["0", "64001", "1.5"],
               3: ["", BIG], 4: ["-1", "1e300", "nan"], 5: ["", "x" * 131073]}),
    "commit": (["0", "0", "id", "env", "", "s", "4", "z", "4", "0", "a.example", "0", "job"],
               {0: ["-1", "x", "inf"], 1: ["2"], 2: ["", "0" * 15], 3: ["x" * 16385], 4: ["x" * 1025], 5: ["", "x"],
                6: ["-1", "4.5", ""], 7: ["x" * 257], 8: ["-1", "nan"], 9: ["-1", "64000"], 10: ["", BIG], 11: ["-5", "x"],
                12: ["", "x" * 131073]}),
    "cancel": (["id"], {0: ["", "x"]}),
    "discover": (["10"], {0: ["", "257", "-1"]}),
    "claim": (["w1", "a.example", "10", "0"], {0: ["", "w" * 65, "a b", "a:b"], 1: ["", BIG], 2: ["101", "-1"], 3: ["x"]}),
    "renew": (["w1", "1000", "1"], {0: ["", "a\n"], 1: ["3600001", "-1"], 2: ["2"]}),
    "bye": (["w1"], {0: ["", "a b"]}),
    "finish": (["0", "w1", "0", "id", "1", "1", "d", "0", "0", "1", "0", "delivered", "", "", "0"],
               {0: ["x"], 1: ["", "a b"], 2: ["3"], 3: ["x"], 4: ["0", "01", "-1", "64001", "1.5", ""],
                5: ["0", "x", "1" * 16], 6: ["", "x", "dd"], 7: ["-1"], 8: ["2"], 9: ["64001"], 10: ["x"],
                11: ["x" * 33], 12: ["x" * 3073], 13: ["x" * 131073], 14: ["2", "1"]}),
    "release": (["w1", "id", "1", "1", "0"], {0: [""], 1: ["x"], 2: ["0"], 3: ["0"], 4: ["-1"]}),
    "reap": (["10"], {0: ["", "1001"]}),
    "reassert": (["w1", "id", "1", "1"], {0: [""], 1: ["x"], 2: ["0"], 3: ["x"]}),
    "held": (["0"], {0: ["", "-1", "x"]}),
    "retry": (["1", "a.example", "text", "1"], {0: ["-1", "x"], 1: ["", BIG], 2: ["x" * 257], 3: ["2", "x"]}),
    "rouse": (["a.example"], {0: ["", BIG]}),
    "hold": (["a.example", "5", "0"], {0: ["", BIG], 1: ["-1"], 2: ["x"]}),
    "freeze": (["a.example", "by", "why"], {0: ["", BIG], 1: ["x" * 65], 2: ["x" * 257]}),
    "thaw": (["a.example"], {0: ["", BIG]}),
    "queues": (["dom", "0", "10"], {0: ["", "g"], 1: ["", "x"], 2: ["0", "101"]}),
    "jobs": (["q:a.example", "", "10", "", "", "", "0", "0"],
             {0: ["", "q:", "m:x", "dom", BIG], 1: ["x", "y" * 65], 2: ["0", "101"], 3: [BIG], 4: [BIG], 5: ["x" * 17],
              6: ["-1"], 7: ["x"]}),
    "show": (["id", "1", "10"], {0: ["x"], 1: ["-1"], 2: ["101"]}),
    "edit": (["0", "retry", "", "id", "1"], {0: ["x"], 1: ["", "finish"], 2: ["x" * 257, "\n" * 32769], 3: ["x"], 4: ["-1", "x"]}),
    "track": (["", "-", "10"], {0: ["x"], 1: ["", "5", "a-b"], 2: ["0", "1001"]}),
    "check": (["0", "m", "id"], {0: ["2"], 1: ["", "x"], 2: [""]}),
    "workers": ([], {}),
    "stats": ([], {}),
}
SEM_CALLS = {
    "sem": [(["hello", "w", "1000", "info"], {0: ["", "x"], 1: ["", "a b", "w" * 65], 2: ["-1", "x"], 3: ["x" * 1025]}),
            (["renew", "w", "1000"], {1: [""], 2: ["-1"]}),
            (["get", "w", "link", "1", "10", "10"], {1: [""], 2: ["", BIG], 3: ["1001", "-1"], 4: ["x"], 5: ["-1"]}),
            (["put", "w", "link", "1"], {1: [""], 2: [""], 3: ["-1"]}),
            (["sync", "w", "1000", "link", "1"], {1: [""], 2: ["x"], 3: ["", BIG], 4: ["x"]}),
            (["bye", "w"], {1: [""]}), (["reap", "10"], {1: ["1001"]}), (["turn", "w", "1000"], {1: ["", "a b"], 2: ["0", "-1"]})],
    "link": [(["get", "l"], {0: ["", "x"], 1: ["", BIG]}),
             (["failed", "l", "1", "1", "why"], {2: ["-1"], 3: ["x"], 4: ["x" * 513]})],
    "members": [(["0", "10"], {0: ["", "x"], 1: ["101"]})],
    "slots": [(["0", "10"], {0: ["x"], 1: ["1001"]})],
    "links": [(["0", "10"], {0: ["x"], 1: ["101"]})],
    "slotcheck": [(["0"], {0: ["2"]}), (["0", "w"], {1: [""]})],
}
RT_CALLS = {
    "master": [(["take", "r1", "10000", "info"], {0: ["", "x"], 1: ["", "a b"], 2: ["0", "600001", "x"], 3: ["x" * 257]})],
    "routing": [(["table", "0"], {0: ["", "x"], 1: ["-1", "x"]}), (["workers"], {}),
                (["table", "0", "w1", "30000"], {1: ["-1", "x"], 2: ["", "a b"], 3: ["", "-1", "3600001"]}),
                (["report", "c", "host", "1", "text"], {1: [""], 2: ["", BIG], 3: ["2"], 4: ["x" * 257]}),
                (["word", "c", "down", "0", "me", "why"], {1: [""], 2: ["", "x"], 3: ["-1"], 4: ["x" * 65], 5: ["x" * 257]}),
                (["words"], {}), (["links"], {}), (["routers"], {}), (["peers"], {}), (["history", "5"], {1: ["x"]})],
}
# No schema check: they make the store.
INSTALL = {"init", "meta"}


class Arguments(StoreTest):
    def dump(self):
        """Everything in the server but what time alone changes."""
        found = {}
        for key in self.client.cmd("KEYS", "*"):
            found[key] = self.client.cmd("DUMP", key)
        return found

    def every_call(self):
        for name, (argv, wrong) in CALLS.items():
            yield self.p, name, [ID if a == "id" else a for a in argv], wrong
        for name, calls in SEM_CALLS.items():
            for argv, wrong in calls:
                yield self.sem, name, argv, wrong
        for name, calls in RT_CALLS.items():
            for argv, wrong in calls:
                yield self.rt, name, argv, wrong

    def test_every_script_is_listed(self):
        self.assertEqual(set(BODIES), set(CALLS) | set(SEM_CALLS) | set(RT_CALLS) | INSTALL)

    def test_right_calls_are_right(self):
        for tag, name, argv, _ in self.every_call():
            if name in ("stage", "commit"):
                self.p.body(ID)
            if name in ("claim", "reassert"):
                self.p.hello()
            tag.call(name, *argv)
            if name == "stage":
                self.p.cmd("DEL", "m:" + ID)

    def test_wrong_arguments_change_nothing(self):
        self.put("a.example")
        self.p.body(ID)
        self.p.hello()
        self.sem.call("sem", "hello", "w", 30000, "")
        before = self.dump()
        for tag, name, argv, wrong in self.every_call():
            for at, values in wrong.items():
                for value in values:
                    bad = argv[:at] + [value] + argv[at + 1:]
                    with self.subTest(script=name, argument=at, value=value[:20]):
                        self.refuses("BADARG", tag.call, name, *bad)
            for cut in range(len(argv)):
                with self.subTest(script=name, arguments=cut):
                    try:
                        if name not in ("claim", "discover", "renew", "reassert", "release", "finish", "edit", "check",
                                        "slotcheck", "sem", "master", "routing"):
                            self.refuses("BADARG", tag.call, name, *argv[:cut])
                        elif cut < 2:
                            tag.call(name, *argv[:cut])
                    except RedisError as e:
                        self.assertEqual(e.code, "BADARG", (name, cut, str(e)))
        self.assertEqual(self.dump(), before)

    def test_too_many(self):
        record = self.p.record({"id": ID, "k": "1", "token": "1"})
        self.refuses("BADARG", self.p.finish, *[record] * 101)
        self.refuses("BADARG", self.p.call, "release", "w1", *[ID, 1, 1, 0] * 101)
        self.refuses("BADARG", self.p.call, "reassert", "w1", *[ID, 1, 1] * 101)
        self.refuses("BADARG", self.p.call, "edit", 0, "retry", "", *[ID, 1] * 101)
        self.refuses("BADARG", self.p.call, "check", 0, "m", *[ID] * 101)
        self.refuses("BADARG", self.p.commit, ID, ["a.example"] * 1001)
        self.refuses("BADARG", self.p.call, "stage", ID, 0, 1, *["a.example", 0, b"job"] * 501)
        self.sem.call("sem", "hello", "w", 30000, "")
        self.refuses("BADARG", self.sem.call, "sem", "sync", "w", 1000, *[v for n in range(1001) for v in ("l%d" % n, 1)])

    def test_schema_of_every_script(self):
        before = self.dump()
        for tag, name, argv, _ in self.every_call():
            for schema in ((2, 3), (0, 0)):
                with self.subTest(script=name, schema=schema):
                    self.refuses("SCHEMA", tag.call, name, *argv, schema=schema)
            for schema in (("", ""), ("x", 1), (1, "nan")):
                with self.subTest(script=name, schema=schema):
                    self.refuses("BADARG", tag.call, name, *argv, schema=schema)
        self.assertEqual(self.dump(), before)

    def test_keys_must_be_a_pair(self):
        for _, name, argv, _ in self.every_call():
            sha = BODIES[name][0]
            for keys in ([], [self.p.key("g")], [self.p.key("g"), self.p.key("x")]):
                with self.subTest(script=name, keys=keys):
                    self.refuses("BADARG", self.client.cmd, "EVALSHA", sha, len(keys), *keys, 1, 1, *argv)

    def test_binary_and_pattern_bytes_in_names(self):
        for q in ("%s%d.*[a-z]+", "a\nb", "a:b:c", "!", "a!b!1", bytes(range(128, 200)), "q" * 320):
            self.p.hello()
            mid = self.put(q)
            job, = self.p.claim(q)
            self.assertEqual(job["id"], mid)
            self.assertEqual(self.p.call("release", "w1", mid, 1, job["token"], 1000), [1])
            self.assertEqual(self.p.call("edit", 0, "delete", "", mid, 1), [1])
        job = bytes(range(256)) * 10
        mid = self.put(("bytes.example", 0, job), env=job)
        reply = self.p.call("claim", "w1", "bytes.example", 1, 0)
        self.assertEqual((reply[8], reply[10]), (job, job))
        self.p.call("jobs", "c:w1", "", 10, b"\xff[%", b"%d", "", 0, 0)


class WrongTypes(StoreTest):
    """Somebody else's values under our keys: an error, and no message without a job."""

    KEYS = ("m:" + ID, "q:a.example", "dom", "hold", "wake", "fz", "ice", "c:w1", "wk", "inf", "a:a.example", "bad", "qz", "sp", "tok", "st", "ev")

    def spoil(self, key):
        self.p.cmd("DEL", key)
        if key == "tok":
            self.p.cmd("RPUSH", key, "x")
        else:
            self.p.cmd("SET", key, "somebody else's")

    def test_every_script_with_every_key(self):
        self.damaged = True
        for key in self.KEYS:
            for name, (argv, _) in CALLS.items():
                self.setUp()
                self.damaged = True
                self.p.history = 10
                self.put("a.example")
                self.p.hello()
                self.put("b.example")
                self.p.claim("b.example")
                self.p.body(ID)
                self.spoil(key)
                try:
                    self.p.call(name, *[ID if a == "id" else a for a in argv])
                except RedisError as e:
                    self.assertIn(e.code, ("WRONGTYPE", "EXPIRED", "NOBODY"), (key, name, str(e)))
                # With the foreign value gone, check mends the rest: no message without its jobs.
                self.p.cmd("DEL", key)
                check(self.p, repair=1)
                check(self.p, repair=1)
                self.assertEqual(check(self.p), [], (key, name))

    def test_commit_that_breaks_off_leaves_nothing_behind(self):
        self.damaged = True
        for key in ("q:a.example", "dom", "hold"):
            self.p.body(ID)
            self.spoil(key)
            self.refuses("WRONGTYPE", self.p.commit, ID, ["a.example"])
            self.assertEqual(self.p.cmd("EXISTS", "m:" + ID), 0)
            self.assertGreater(self.p.cmd("PTTL", "b:" + ID), 0)
            self.p.cmd("DEL", key)
            self.assertIn(self.p.commit(ID, ["a.example"]), (1, 2))
            self.assertEqual(self.p.call("cancel", ID), 1)
            self.p.cmd("DEL", "fin:" + self.fin())

    REPORT = "000000000000000R"

    def tell(self, record):
        """As a worker does: what is over once more when it is in nobody's hand."""
        try:
            n, = self.p.finish(record)
            if n == 0 and record[3] == "d":
                n, = self.p.finish(record, redo=2)
            return n
        except RedisError as e:
            self.assertEqual(e.code, "WRONGTYPE", str(e))
            return None

    def mend(self):
        check(self.p, repair=1)
        check(self.p, repair=1)

    def places(self, job):
        found = [key for key in ("q:a.example", "bad", "qz") if self.p.cmd("ZSCORE", key, job)]
        return found + [key for key in ("c:w1",) if self.p.cmd("HEXISTS", key, job)]

    def finish_with_foreign_key(self, key, verb, reports, mended_first):
        self.setUp()
        self.damaged = True
        self.p.history = 10
        mid = self.put("a.example")
        self.p.hello()
        job, = self.p.claim("a.example")
        report = (self.REPORT, b"body", ["s.example"]) if reports else None
        if reports:
            self.p.body(self.REPORT)
        record = self.p.record(job, verb=verb, delay=1000, text="t", blob="" if verb == "d" else "left", report=report)
        key = key.replace(ID, mid)
        self.spoil(key)
        told = [self.tell(record), self.tell(record)]  # held, and told again
        self.p.cmd("DEL", key)
        if mended_first:
            self.mend()
        told.append(self.tell(record))
        self.mend()
        self.assertEqual(check(self.p), [])
        return mid, told

    def test_a_finish_that_breaks_off_is_told_again(self):
        """Whatever is in its way, and whether it is mended before or after: who was delivered does not come back, who was
        not is kept, and a report is committed once."""
        keys = [key for key in self.KEYS if key != "m:" + ID] + ["q:s.example", "a:s.example", "fin:" + self.fin()]
        for key in keys:
            for verb in "drb":
                for reports in (False, True):
                    for mended_first in (False, True):
                        with self.subTest(key=key, verb=verb, reports=reports, mended_first=mended_first):
                            mid, told = self.finish_with_foreign_key(key, verb, reports, mended_first)
                            left = self.places(mid + ".1")
                            if key == "c:w1":  # with it went who holds what: nobody can be believed
                                continue
                            if verb == "d":
                                self.assertEqual((left, self.p.cmd("EXISTS", "m:" + mid)), ([], 0), told)
                            else:
                                self.assertEqual((len(left), self.p.cmd("HGET", "m:" + mid, "j1")), (1, b"left"), (left, told))
                            if reports:
                                self.assertEqual(self.p.cmd("HGET", "m:" + self.REPORT, "n"), b"1", told)

    def fin(self):
        return str(self.now() // 150000)

    def test_body_of_another_type(self):
        self.p.cmd("HSET", "b:" + ID, "a", "b")
        for kind in "sl":
            self.refuses("NOBODY", self.p.commit, ID, ["a.example"], kind=kind, length=4)
        self.p.cmd("DEL", "b:" + ID)

    def test_schema_of_another_type(self):
        self.damaged = True
        self.p.cmd("DEL", "g")
        self.p.cmd("RPUSH", "g", "1")
        self.refuses("WRONGTYPE", self.p.call, "discover", 1)


if __name__ == "__main__":
    unittest.main()
