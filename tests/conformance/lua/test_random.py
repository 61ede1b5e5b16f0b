"""Thousands of random operations against a model; the seed is printed and can be given as SEED."""
import os
import random
import unittest

from base import StoreTest
from resp import RedisError
from walk import prove

LATER = 3600000
QUEUES = ["a.example", "b.example", "c.example!2", "d.example"]
WORKERS = ["w0", "w1", "w2"]


class Job:
    """What the model knows of a job."""

    def __init__(self, mid, k, queue, due):
        self.mid, self.k, self.queue, self.due = mid, str(k), queue, due
        self.state, self.worker, self.token, self.x, self.band = "q", None, None, 0, False
        self.ice = False  # frozen by itself
        self.before = False  # in hand, and its queue was woken since

    def record(self):
        return {"id": self.mid, "k": self.k, "token": self.token}


class RandomOperations(StoreTest):
    STEPS = int(os.environ.get("STEPS", "4000"))

    def setUp(self):
        super().setUp()
        self.seed = int(os.environ.get("SEED") or random.SystemRandom().randrange(2 ** 32))
        print("seed %d" % self.seed, flush=True)
        self.rng = random.Random(self.seed)
        self.jobs, self.ended, self.frozen, self.alive, self.woken = {}, set(), set(), set(), set()
        self.next_token = 10 ** 6
        self.old = []  # finishes and claims of the past, to be sent again
        self.parts = self.store.parts[:2]
        self.p.history = 50

    def pick(self, *states):
        found = [j for j in self.jobs.values() if j.state in states]
        return self.rng.choice(found) if found else None

    def of(self, mid):
        return [j for j in self.jobs.values() if j.mid == mid]

    def drop(self, job):
        """The job is gone for good; with the last, its message."""
        del self.jobs[job.mid, job.k]
        if not self.of(job.mid):
            self.ended.add(job.mid)

    # Each operation calls one script and predicts its answer.

    def op_put(self, history_text=b""):
        mid, wanted = self.mid(), []
        for _ in range(self.rng.choice([1, 1, 1, 2, 5])):
            wanted.append((self.rng.choice(QUEUES), self.rng.choice([0, 0, 0, LATER]), b"job"))
        self.p.put(mid, *wanted, text=history_text)
        for k, (queue, delay, _) in enumerate(wanted, 1):
            self.jobs[mid, str(k)] = Job(mid, k, queue, delay == 0)

    def op_put_again(self):
        job = self.pick("q", "c", "bad")
        mid = job.mid if job and self.rng.random() < 0.5 else self.rng.choice(sorted(self.ended) or [None])
        if mid:
            fresh = mid in self.ended
            if fresh:
                self.p.body(mid)
            self.assertEqual(self.p.commit(mid, ["a.example"], retry=self.rng.randrange(2)), 0)
            if fresh:
                self.p.cmd("DEL", "b:" + mid)

    def op_cancel(self):
        job = self.pick("q", "c")
        if job:
            whole = len(self.of(job.mid)) == int(self.p.cmd("HGET", "m:" + job.mid, "c"))
            free = whole and all(j.state == "q" for j in self.of(job.mid))
            self.assertEqual(self.p.call("cancel", job.mid), 1 if free else 2)
            if free:
                for j in self.of(job.mid):
                    del self.jobs[j.mid, j.k]

    def op_hello(self):
        worker = self.rng.choice(WORKERS)
        self.p.hello(worker)
        self.alive.add(worker)

    def op_bye(self):
        worker = self.rng.choice(WORKERS)
        while self.p.call("bye", worker):
            pass
        for job in self.jobs.values():
            if job.state == "c" and job.worker == worker:
                job.state = "q"
        self.alive.discard(worker)

    def op_die(self):
        worker = self.rng.choice(WORKERS)
        if worker not in self.alive:
            return
        self.p.cmd("ZADD", "wk", 1, worker)
        held = [j for j in self.jobs.values() if j.state == "c" and j.worker == worker]
        self.assertEqual(self.p.call("reap", 1000), len(held))
        for job in held:
            job.x += 1
            job.state = "qz" if job.x >= 3 else "q"
            if job.x == 2:
                job.due, job.band = False, True
        self.alive.discard(worker)

    def op_claim(self):
        worker, queue, limit = self.rng.choice(WORKERS), self.rng.choice(QUEUES), self.rng.choice([1, 3, 10, 100])
        if worker not in self.alive:
            self.refuses("EXPIRED", self.p.claim, queue, worker, limit)
            return
        got = self.p.claim(queue, worker, limit)
        due = [j for j in self.jobs.values() if j.state == "q" and j.queue == queue and j.due and not j.ice and queue not in self.frozen]
        taken = [self.jobs[c["id"], c["k"]] for c in got]
        self.assertEqual([int(c["x"]) for c in got], [j.x for j in taken])
        self.assertTrue(all(j in due for j in taken), (queue, got))
        if len(taken) < min(limit, len(due)):
            self.assertTrue(taken and any(j.x for j in due))
        self.assertTrue(len(taken) < 2 or not any(j.x for j in taken))
        if len(taken) < len(due):
            self.assertTrue(all(not j.band for j in taken) or all(j.band for j in due if j not in taken))
        for c, job in zip(got, taken):
            job.state, job.worker, job.token, job.before = "c", worker, c["token"], False

    def op_finish(self):
        held = [j for j in self.jobs.values() if j.state == "c"]
        worker = self.rng.choice(WORKERS)
        mine = [j for j in held if j.worker == worker]
        records = []
        for job in self.rng.sample(mine, min(len(mine), self.rng.randrange(1, 6))):
            verb, delay, problem = self.rng.choice("dddrrb"), self.rng.choice([0, LATER]), self.rng.randrange(2)
            report = None
            if verb == "d" and self.rng.random() < 0.2:
                report = (self.mid(), b"report", [self.rng.choice(QUEUES)])
                self.p.body(report[0], b"report")
                self.jobs[report[0], "1"] = Job(report[0], 1, report[2][0], True)
            records.append(self.p.record(job.record(), verb=verb, delay=delay, problem=problem, report=report,
                                         event={"d": "delivered", "r": "deferred", "b": "badmail"}[verb]))
            job.x = 0
            if verb == "d":
                self.drop(job)
            elif verb == "r":
                job.state, job.due, job.band = "q", delay == 0 or job.before, bool(problem)
            else:
                job.state = "bad"
        if records:
            self.assertTrue(all(n in (1, 2) for n in self.p.finish(*records, worker=worker)))
            self.old.append((worker, records))

    def op_finish_again(self):
        if self.old:
            worker, records = self.rng.choice(self.old[-20:])
            before = self.p.stats()
            reply = self.p.finish(*records, worker=worker)
            self.assertTrue(all(n == 1 for n in reply), reply)
            self.assertEqual({k: v for k, v in self.p.stats().items() if k != "now"},
                             {k: v for k, v in before.items() if k != "now"})

    def op_finish_stale(self):
        job = self.pick("c", "q", "bad")
        if job:
            wrong = dict(job.record(), token=str(10 ** 9 + self.rng.randrange(1000)))
            self.assertEqual(self.p.finish(self.p.record(wrong, verb=self.rng.choice("drb")), worker=self.rng.choice(WORKERS)), [0])

    def op_release(self):
        job = self.pick("c")
        if job:
            delay = self.rng.choice([0, LATER])
            self.assertEqual(self.p.call("release", job.worker, job.mid, job.k, job.token, delay), [1])
            self.assertEqual(self.p.call("release", job.worker, job.mid, job.k, job.token, delay), [0])
            job.state, job.due = "q", job.due and (delay == 0 or job.before)

    def op_reassert(self):
        worker, job = self.rng.choice(WORKERS), self.pick("c", "q", "bad")
        if job and worker in self.alive:
            self.next_token += 1
            token = job.token if job.state == "c" else str(self.next_token)
            mine = job.state == "c" and job.worker == worker
            expect = 1 if mine else 2 if job.state == "q" else 0
            self.assertEqual(self.p.call("reassert", worker, job.mid, job.k, token), [expect])
            if expect == 2:
                job.state, job.worker, job.token, job.before, job.ice = "c", worker, token, job.queue in self.woken, False

    def op_hold(self):
        queue, delay = self.rng.choice(QUEUES), self.rng.choice([1, LATER])
        self.assertEqual(self.p.call("hold", queue, delay, 0), int(queue not in self.frozen))

    def wake(self, queue):
        """Tokens of the tests' own (reassert) are lower than any that was given: of before every wish."""
        there = [j for j in self.jobs.values() if j.queue == queue and j.state in ("q", "c")]
        if there:
            self.woken.add(queue)
        for job in there:
            job.before = job.state == "c"

    def op_rouse(self):
        queue = self.rng.choice(QUEUES)
        self.assertEqual(self.p.call("rouse", queue), 0)
        if queue not in self.frozen:
            self.wake(queue)
        for job in self.jobs.values():
            if job.queue == queue and job.state == "q" and not job.band and not job.ice and queue not in self.frozen:
                job.due = True

    def op_freeze(self):
        queue = self.rng.choice(QUEUES)
        self.assertEqual(self.p.call("freeze", queue, "test", ""), int(queue not in self.frozen))
        self.frozen.add(queue)

    def op_thaw(self):
        queue = self.rng.choice(QUEUES)
        self.assertEqual(self.p.call("thaw", queue), int(queue in self.frozen))
        self.frozen.discard(queue)

    def op_edit(self):
        job, verb = self.pick("q", "c", "bad", "qz"), self.rng.choice(["retry", "bounce", "requeue", "delete", "freeze", "freeze", "thaw"])
        if not job:
            return
        kept = job.state in ("bad", "qz")
        expect = -1 if job.state == "c" else 1 if verb == "delete" or kept == (verb == "requeue") else -2
        if job.state == "q" and (job.ice and verb in ("freeze", "retry") or not job.ice and verb == "thaw"):
            expect = -2
        self.assertEqual(self.p.call("edit", self.p.history, verb, "why", job.mid, job.k), [expect])
        if verb == "retry" and not kept and not job.ice:
            self.wake(job.queue)
        if expect == 1 and verb == "delete":
            self.drop(job)
        elif expect == 1 and verb in ("freeze", "thaw"):
            job.ice = verb == "freeze"
        elif expect == 1:
            if not (verb in ("retry", "bounce") and job.due):
                job.band = False
            job.due, job.state, job.ice = True, "q", False
            job.x = 0 if verb == "requeue" else job.x
            # A due problem job loses its band as well, unless it is fresh, which it never is.
            job.band = False

    def op_discover(self):
        found = self.p.call("discover", 100)[::2]
        for queue in found:
            self.assertNotIn(queue.decode(), self.frozen)

    def op_fail_commit(self):
        with self.assertRaises(RedisError):
            self.p.commit(self.mid(), ["a.example"])

    WEIGHTS = {"put": 12, "put_again": 2, "cancel": 2, "hello": 4, "bye": 1, "die": 1, "claim": 12, "finish": 8,
               "finish_again": 2, "finish_stale": 2, "release": 2, "reassert": 2, "hold": 1, "rouse": 1, "freeze": 1, "thaw": 2,
               "edit": 3, "discover": 2, "fail_commit": 1}

    def test_random_operations(self):
        names, weights = list(self.WEIGHTS), list(self.WEIGHTS.values())
        for step in range(self.STEPS):
            name = self.rng.choices(names, weights)[0]
            try:
                getattr(self, "op_" + name)()
                if step % 100 == 0:
                    self.assertEqual(prove(self.store), [])
            except (AssertionError, RedisError) as e:
                self.damaged = True
                raise AssertionError("SEED=%d, step %d, %s: %s" % (self.seed, step, name, e)) from e
        self.drain()

    def drain(self):
        """Everything that was accepted is delivered in the end, and nothing stays behind."""
        for worker in WORKERS:
            while self.p.call("bye", worker):
                pass
        self.p.hello("last")
        for queue in QUEUES:
            self.p.call("thaw", queue)
            self.p.call("rouse", queue)
        for job in self.jobs.values():
            if job.ice:
                self.assertEqual(self.p.call("edit", 0, "thaw", "", job.mid, job.k), [1], vars(job))
            verb = "requeue" if job.state in ("bad", "qz") else "retry"
            self.assertEqual(self.p.call("edit", 0, verb, "", job.mid, job.k), [1], vars(job))
        left = set(self.jobs)
        while True:
            found = self.p.call("discover", 100)
            if not found:
                break
            for queue in found[::2]:
                got = self.p.claim(queue.decode(), "last", 100)
                self.p.finish(*[self.p.record(c) for c in got], worker="last")
                left -= {(c["id"], c["k"]) for c in got}
        self.assertEqual(left, set())
        st = {k: int(v) for k, v in self.p.stats().items() if k not in ("schema",)}
        self.assertEqual((st["accepted"] - st["gone"], st["jobs"] - st["ended"]), (0, 0))
        self.p.call("bye", "last")
        names = {k.decode()[len(self.p.key("")):].split(":")[0] for k in self.client.cmd("KEYS", self.p.key("*"))}
        self.assertLessEqual(names, {"g", "tok", "st", "ev", "fin", "wake"})


if __name__ == "__main__":
    unittest.main()
