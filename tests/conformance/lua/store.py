"""The scripts as the tests call them, and names as queue/lua/README.md fixes them."""
import hashlib
import os
import sys

SCRIPTS = os.environ.get("LUA_SCRIPTS", "")
ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def crc16(data):
    crc = 0
    for byte in data:
        crc ^= byte << 8
        for _ in range(8):
            crc = (crc << 1 ^ 0x1021) & 0xFFFF if crc & 0x8000 else crc << 1
    return crc


def tags(ns, partitions):
    """The tag of each partition: an even spread over the slot space."""
    found = []
    for n in range(partitions):
        s = 0
        while crc16(b"%s.p%02d.%d" % (ns.encode(), n, s)) % 16384 * partitions // 16384 != n:
            s += 1
        found.append("{%s.p%02d.%d}" % (ns, n, s))
    return found


def slot_of(tag):
    return crc16(tag.strip("{}").encode()) % 16384


def msgid(n):
    """A message id from a number."""
    out = ""
    for _ in range(16):
        out = ALPHABET[n & 31] + out
        n >>= 5
    return out


def load_scripts():
    if not SCRIPTS:
        sys.exit("LUA_SCRIPTS names the directory of the expanded scripts (build/<preset>/queue/lua)")
    found = {}
    for name in sorted(os.listdir(SCRIPTS)):
        if name.endswith(".lua"):
            with open(os.path.join(SCRIPTS, name), "rb") as f:
                body = f.read()
            found[name[:-4]] = (hashlib.sha1(body).hexdigest(), body)
    return found


BODIES = load_scripts()
SCHEMA = (1, 1)


class Tag:
    """The scripts of one tag, over one connection."""

    def __init__(self, client, tag):
        self.client, self.tag, self.used = client, tag, set()

    def key(self, name):
        return self.tag + ":" + name

    def args(self, name, *argv, schema=SCHEMA):
        return ["EVALSHA", BODIES[name][0], 2, self.key("g"), self.key("nx"), *schema, *argv]

    def call(self, name, *argv, schema=SCHEMA):
        self.used.add(name)
        return self.client.cmd(*self.args(name, *argv, schema=schema))

    def cmd(self, command, key, *rest):
        return self.client.cmd(command, self.key(key), *rest)


class Partition(Tag):
    """One partition; the verbs have the defaults that most tests want."""

    history = 0

    def body(self, mid, data=b"body"):
        return self.cmd("SET", "b:" + mid, data, "PX", 900000)

    def commit_args(self, mid, jobs, retry=0, env=b"env", text=b"", body=b"body", staged=0, kind="s", length=None):
        argv = [self.history, retry, mid, env, text, kind, len(body) if length is None else length, "z1", len(body), staged]
        for job in jobs:
            queue, delay, blob = (list(job) + [0, b"job"][len(job) - 1:])[:3] if isinstance(job, tuple) else (job, 0, b"job")
            argv += [queue, delay, blob]
        return argv

    def commit(self, mid, jobs, **options):
        return self.call("commit", *self.commit_args(mid, jobs, **options))

    def put(self, mid, *jobs, body=b"body", **options):
        """Body and commit."""
        self.body(mid, body)
        return self.commit(mid, jobs, body=body, **options)

    def hello(self, worker="w1", lease=30000):
        return self.call("renew", worker, lease, 1)

    def claim(self, queue, worker="w1", limit=10, max_bytes=0):
        """The jobs as dicts."""
        reply = self.call("claim", worker, queue, limit, max_bytes)
        names = ("id", "k", "token", "x", "flags", "env", "z", "job", "t")
        return [dict(zip(names, (v.decode() for v in reply[i:i + 9]))) for i in range(3, len(reply), 9)]

    @staticmethod
    def record(job, verb="d", delay=0, problem=0, delivered=1, bounced=0, event="delivered", text="", blob="", report=None):
        record = [job["id"], job["k"], job["token"], verb, delay, problem, delivered, bounced, event, text, blob]
        if report is None:
            return record + [0]
        mid, body, jobs = report
        record += [1, mid, b"env", b"", "s", len(body), "z1", len(body), len(jobs)]
        for queue in jobs:
            record += [queue, 0, b"job"]
        return record

    def finish(self, *records, worker="w1", redo=0):
        return self.call("finish", self.history, worker, redo, *[v for r in records for v in r])

    def stats(self):
        flat = self.call("stats")
        return {flat[i].decode(): flat[i + 1] for i in range(0, len(flat), 2)}


class Store:
    """A whole store, installed as the programs install it."""

    def __init__(self, client_of, ns="t", partitions=4):
        self.ns, self.tags = ns, tags(ns, partitions)
        self.cfg = Tag(client_of("{%s.cfg}" % ns), "{%s.cfg}" % ns)
        self.sem = Tag(client_of("{%s.sem}" % ns), "{%s.sem}" % ns)
        self.rt = Tag(client_of("{%s.rt}" % ns), "{%s.rt}" % ns)
        self.parts = [Partition(client_of(tag), tag) for tag in self.tags]

    def all_tags(self):
        return [self.cfg, self.sem, self.rt, *self.parts]

    def load(self):
        for client in {id(t.client): t.client for t in self.all_tags()}.values():
            for sha, body in BODIES.values():
                assert client.cmd("SCRIPT", "LOAD", body).decode() == sha

    def install(self):
        state = self.cfg.call("meta", "open", 1, len(self.tags), " ".join(self.tags))
        if state[3] == b"installing":
            for tag in [self.sem, self.rt, *self.parts]:
                tag.call("init", 1)
            self.cfg.call("meta", "ready")
        return state
