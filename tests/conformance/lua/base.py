"""What the test cases share: a server for the class, a fresh store for each test, a proof after it."""
import unittest

from resp import RedisError
from servers import Server
from store import Store, msgid
from walk import prove


class StoreTest(unittest.TestCase):
    """Every test ends with a walk over the store; one that breaks the store on purpose sets damaged."""

    settings = {}

    @classmethod
    def setUpClass(cls):
        cls.server = Server(**cls.settings)
        cls.client = cls.server.client()

    @classmethod
    def tearDownClass(cls):
        cls.client.close()
        cls.server.stop()

    def setUp(self):
        self.damaged = False
        self.next_id = 0
        self.client.cmd("FLUSHALL")
        self.store = Store(lambda tag: self.client)
        self.store.load()
        self.store.install()
        self.p = self.store.parts[0]
        self.sem, self.rt = self.store.sem, self.store.rt

    def tearDown(self):
        if not self.damaged:
            self.assertEqual(prove(self.store), [])

    def mid(self):
        self.next_id += 1
        return msgid(self.next_id)

    def put(self, *jobs, **options):
        """A committed message; returns its id."""
        mid = self.mid()
        self.assertIn(self.p.put(mid, *jobs, **options), (1, 2))
        return mid

    def refuses(self, code, fn, *args, **options):
        with self.assertRaises(RedisError) as caught:
            fn(*args, **options)
        self.assertEqual(caught.exception.code, code, str(caught.exception))
        return str(caught.exception)

    def now(self):
        seconds, micros = self.client.cmd("TIME")
        return int(seconds) * 1000 + int(micros) // 1000
