"""The connection ends in the middle of every script: at any byte of the command, and before the reply.

What did not arrive whole has no effect; what did is done, and the same call again leaves a store whose invariants
hold. The calls come from the tables of test_bad_input.py, which name every script that there is."""
import random
import unittest

from base import StoreTest
from resp import encode
from store import BODIES
from test_bad_input import CALLS, INSTALL, RT_CALLS, SEM_CALLS
from walk import prove

CUTS = 12


class Loss(StoreTest):
    def every_call(self):
        for name, (argv, _) in CALLS.items():
            yield self.p, name, argv
        for tag, table in ((self.sem, SEM_CALLS), (self.rt, RT_CALLS)):
            for name, calls in table.items():
                for argv, _ in calls:
                    yield tag, name, argv
        yield self.p, "init", ["1"]
        yield self.store.cfg, "meta", ["open", "1", len(self.store.parts), " ".join(self.store.tags)]

    def dump(self):
        return {key: self.client.cmd("DUMP", key) for key in self.client.cmd("KEYS", "*")}

    def prepare(self, name, argv):
        """A store with something of everything; "id" is the id of what the script is about, "1" its token."""
        self.setUp()
        self.p.hello()
        self.sem.call("sem", "hello", "w", 30000, "")
        self.sem.call("sem", "get", "w", "link", 1, 10, 10)
        mid, token = self.put("a.example"), "1"
        if name in ("finish", "release", "reassert"):
            self.put("b.example")
            token = self.p.claim("a.example")[0]["token"]
        if name in ("commit", "stage"):
            mid = self.mid()
            self.p.body(mid)
        if name == "thaw":
            self.p.call("freeze", "a.example", "root", "")
        out = [mid if a == "id" else a for a in argv]
        if token != "1":
            at = out.index(mid)
            out[at + 2] = token
        return out

    def lose(self, sent):
        """A connection that ends behind these bytes; the server has seen its end when this returns."""
        client = self.server.client()
        number = client.cmd("CLIENT", "ID")
        client.sock.sendall(sent)
        client.close()
        while b"id=%d " % number in self.client.cmd("CLIENT", "LIST", "ID", number):
            pass

    def test_every_script_has_a_call(self):
        self.assertEqual({name for _, name, _ in self.every_call()}, set(BODIES))
        self.assertEqual(set(BODIES), set(CALLS) | set(SEM_CALLS) | set(RT_CALLS) | INSTALL)

    def test_in_the_middle_of_the_command(self):
        rng = random.Random(1)
        for which in range(len(list(self.every_call()))):
            tag, name, argv = list(self.every_call())[which]
            place = [t.tag for t in self.store.all_tags()].index(tag.tag)
            argv = self.prepare(name, argv)
            tag = self.store.all_tags()[place]
            command = encode(tag.args(name, *argv))
            before = self.dump()
            for cut in {1, len(command) - 1, *(rng.randrange(1, len(command)) for _ in range(CUTS))}:
                with self.subTest(script=name, cut=cut):
                    self.lose(command[:cut])
                    self.assertEqual(self.dump(), before)
            tag.call(name, *argv)
            self.finish_up(name)

    def test_before_the_reply(self):
        for which in range(len(list(self.every_call()))):
            tag, name, argv = list(self.every_call())[which]
            place = [t.tag for t in self.store.all_tags()].index(tag.tag)
            argv = self.prepare(name, argv)
            tag = self.store.all_tags()[place]
            with self.subTest(script=name):
                before = self.stats()
                self.lose(encode(tag.args(name, *argv)))
                once = self.stats()
                self.assertEqual(prove(self.store) if name != "stage" else [], [])
                tag.call(name, *argv)
                if name not in ("claim", "reap"):  # a second one takes more: the audit of the client finds the first
                    self.assertEqual(self.stats(), once, before)
                self.finish_up(name)

    def finish_up(self, name):
        if name == "stage":
            for key in self.client.cmd("KEYS", self.p.key("m:*")):
                if self.client.cmd("HEXISTS", key, "n") == 0:
                    self.client.cmd("DEL", key)
        self.assertEqual(prove(self.store), [], name)

    def stats(self):
        """What is counted of messages and jobs."""
        return {k: v for k, v in self.p.stats().items() if k not in ("now", "token", "events", "workers")}


if __name__ == "__main__":
    unittest.main()
