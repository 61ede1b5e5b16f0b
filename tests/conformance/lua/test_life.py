"""Each arrow of the life cycle, one message at a time."""
import unittest

from base import StoreTest


class Life(StoreTest):
    def test_there_and_gone(self):
        mid = self.put("a.example")
        self.p.hello()
        self.assertEqual(self.p.call("discover", 10), [b"a.example", 1])
        job, = self.p.claim("a.example")
        self.assertEqual((job["id"], job["k"], job["x"], job["env"], job["job"]), (mid, "1", "0", "env", "job"))
        self.assertEqual(self.p.call("discover", 10), [])
        self.assertEqual(self.p.finish(self.p.record(job)), [1])
        self.assertEqual(self.p.cmd("EXISTS", "b:" + mid), 0)


if __name__ == "__main__":
    unittest.main()
