"""Every script on a Redis Cluster of three nodes, at rest and while a slot is on its way."""
import unittest

import base
import test_admin
import test_life
import test_random
import test_slots
from servers import Cluster, await_true
from store import BODIES, Store, msgid, slot_of
from test_bad_input import CALLS, RT_CALLS, SEM_CALLS
from walk import prove

ID = msgid(9)
SHARED = []  # the cluster of all tests here: it takes seconds to form one


def setUpModule():
    SHARED.append(Cluster())


def tearDownModule():
    SHARED.pop().stop()


class OnCluster:
    """Replaces the server of a StoreTest by a cluster; each partition speaks to its own node."""

    @classmethod
    def setUpClass(cls):
        cls.cluster = SHARED[0]

    @classmethod
    def tearDownClass(cls):
        pass

    def setUp(self):
        for node in self.cluster.clients:
            node.cmd("FLUSHALL")
        self.server = None
        self.client = self.cluster.clients[0]  # that of the first partition
        self.redirect()
        super().setUp()

    def redirect(self):
        """Store() of the base class takes one client for all; here a tag decides."""
        cluster, make = self.cluster, Store

        def of(_, **options):
            return make(lambda tag: cluster.clients[cluster.node_of(slot_of(tag))], **options)
        base.Store = of
        self.addCleanup(setattr, base, "Store", make)


class Everything(OnCluster, test_life.StoreTest):
    def calls(self):
        for name, (argv, _) in CALLS.items():
            yield self.p, name, [ID if a == "id" else a for a in argv]
        for name, calls in SEM_CALLS.items():
            for argv, _ in calls:
                yield self.sem, name, argv
        for name, calls in RT_CALLS.items():
            for argv, _ in calls:
                yield self.rt, name, argv
        yield self.p, "init", ["1"]

    def dump(self, node):
        """All that a node holds, of slots on their way as well."""
        keys = node.cmd("KEYS", "*")
        replies = node.pipeline([c for key in keys for c in (["ASKING"], ["DUMP", key])])
        return dict(zip(keys, replies[1::2]))

    def test_partitions_are_spread_over_the_nodes(self):
        self.assertEqual({self.cluster.node_of(slot_of(tag)) for tag in self.store.tags}, {0, 1, 2})

    def test_every_script_on_every_partition(self):
        self.sem.call("sem", "hello", "w", 30000, "")
        for part in self.store.parts:
            self.p = part
            for tag, name, argv in self.calls():
                if name in ("stage", "commit"):
                    part.body(ID)
                if name in ("claim", "reassert"):
                    part.hello()
                tag.call(name, *argv)
                if name == "stage":
                    part.cmd("DEL", "m:" + ID)
        used = set().union(*(tag.used for tag in self.store.all_tags()))
        self.assertEqual(used, set(BODIES))

    def to_another_node(self, tag):
        """Begins to move the slot of a tag; source, target, slot."""
        slot = slot_of(tag.tag)
        source = self.cluster.node_of(slot)
        target = (source + 1) % 3
        self.cluster.clients[target].cmd("CLUSTER", "SETSLOT", slot, "IMPORTING", self.cluster.ids[source])
        self.cluster.clients[source].cmd("CLUSTER", "SETSLOT", slot, "MIGRATING", self.cluster.ids[target])
        return source, target, slot

    def move(self, tag, source, target, keys):
        port = self.cluster.ports[target]
        for key in keys:
            self.assertEqual(self.cluster.clients[source].cmd("MIGRATE", "127.0.0.1", port, key, 0, 10000), b"OK")

    def settle(self, slot, owner):
        """The new owner first: that raises its epoch above what it knows of the others. All have to know it before the
        slot moves again, else two nodes hold it under one epoch."""
        for client in sorted(self.cluster.clients, key=lambda c: c is not self.cluster.clients[owner]):
            client.cmd("CLUSTER", "SETSLOT", slot, "NODE", self.cluster.ids[owner])
        await_true("all nodes to know the epochs of all", lambda: len({self.epochs(c) for c in self.cluster.clients}) == 1)

    @staticmethod
    def epochs(client):
        lines = [line.split() for line in client.cmd("CLUSTER", "NODES").decode().splitlines()]
        return tuple(sorted((line[0], line[6]) for line in lines))

    def refused(self, code):
        """Every script is refused with that code, at once and without effect."""
        for tag, name, argv in self.calls():
            with self.subTest(script=name, code=code):
                self.refuses(code, tag.call, name, *argv)

    def move_slot_under(self, tag, other_calls):
        node = tag.client
        source, target, slot = self.to_another_node(tag)
        mine = [(t, n, a) for t, n, a in self.calls() if t is tag]
        self.calls = lambda: mine
        keys = sorted(k for k in node.cmd("CLUSTER", "GETKEYSINSLOT", slot, 10000))
        self.assertGreater(len(keys), 3)
        before = self.dump(node)
        self.refused("TRYAGAIN")
        self.assertEqual(self.dump(node), before)
        # Half of the keys have gone, g is still here: without nx, scripts would break off in the middle.
        g = tag.key("g").encode()
        others = [k for k in keys if k != g]
        self.move(tag, source, target, others[::2])
        before = self.dump(node), self.dump(self.cluster.clients[target])
        self.refused("TRYAGAIN")
        self.move(tag, source, target, [g])
        self.refused("ASK")
        tag.client = self.cluster.clients[target]
        self.refused("MOVED")
        for _, name, argv in mine:
            with self.subTest(script=name, code="ASKING"):
                tag.client.cmd("ASKING")
                self.refuses("TRYAGAIN", tag.call, name, *argv)
        after = self.dump(node), self.dump(self.cluster.clients[target])
        self.assertEqual({**before[0], **before[1]}, {**after[0], **after[1]})
        self.move(tag, source, target, others[1::2])
        self.settle(slot, target)
        other_calls()
        tag.client = node
        self.refused("MOVED")
        tag.client = self.cluster.clients[target]

    def move_back(self, tag):
        slot = slot_of(tag.tag)
        home = self.cluster.node_of(slot)
        tag.client.cmd("CLUSTER", "SETSLOT", slot, "MIGRATING", self.cluster.ids[home])
        self.cluster.clients[home].cmd("CLUSTER", "SETSLOT", slot, "IMPORTING", self.cluster.ids[(home + 1) % 3])
        for key in tag.client.cmd("CLUSTER", "GETKEYSINSLOT", slot, 10000):
            tag.client.cmd("MIGRATE", "127.0.0.1", self.cluster.ports[home], key, 0, 10000)
        self.settle(slot, home)

    def test_while_the_slot_of_a_partition_moves(self):
        self.p.hello()
        ids = [self.put("a.example", "b.example") for _ in range(5)]
        job, = self.p.claim("a.example", limit=1)

        def goes_on():
            self.assertEqual(self.p.finish(self.p.record(job)), [1])
            self.assertEqual(len(self.p.claim("a.example")), 4)
            self.assertEqual(self.p.cmd("GET", "b:" + ids[0]), b"body")
            self.assertEqual(prove(self.store), [])
        try:
            self.move_slot_under(self.p, goes_on)
        finally:
            self.move_back(self.p)
            self.p.client = self.cluster.clients[0]

    def test_while_the_slots_slot_moves(self):
        self.sem.call("sem", "hello", "w", 30000, "me")
        self.sem.call("sem", "get", "w", "x", 3, 10, 10)
        self.sem.call("link", "failed", "x", 1, 1000, "")
        home = self.sem.client

        def goes_on():
            self.assertEqual(self.sem.call("sem", "get", "w", "x", 20, 10, 10), 7)
        try:
            self.move_slot_under(self.sem, goes_on)
        finally:
            self.move_back(self.sem)
            self.sem.client = home


def on_cluster(module, *names):
    """The same tests again, on the cluster."""
    for name in names:
        globals()["Cluster" + name] = type("Cluster" + name, (OnCluster, getattr(module, name)), {"STEPS": 500})


on_cluster(test_life, "Commit", "Staged", "Cancel", "Claim", "Finish", "Failover", "Lease", "Hold")
on_cluster(test_admin, "Listing", "Editing", "Tracking")
on_cluster(test_slots, "Slots", "Links")
on_cluster(test_random, "RandomOperations")

if __name__ == "__main__":
    unittest.main()
