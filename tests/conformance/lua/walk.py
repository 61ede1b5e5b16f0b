"""Walks a store with plain commands and proves the invariants of queue/lua/README.md a second time,
independently of check.lua; and drives check.lua over the same store."""
import math
from collections import Counter, defaultdict

BAND = 2 ** 43
ICE = 2 ** 44
FROZEN = float("inf")


def text(name):
    """Of whatever bytes; resp.encode() makes the same bytes of it."""
    return name.decode(errors="surrogateescape")


def score(said):
    value = float(said)
    return value if math.isinf(value) else int(value)


def scan(tag, pattern):
    """Keys of this tag that begin with the pattern, without tag and prefix."""
    prefix = tag.key(pattern)
    found, cursor = set(), b"0"
    escaped = prefix.replace("[", "\\[").replace("]", "\\]")
    while True:
        cursor, keys = tag.client.cmd("SCAN", cursor, "MATCH", escaped + "*", "COUNT", 1000)
        found.update(text(k)[len(prefix):] for k in keys)
        if cursor == b"0":
            return sorted(found)


def hgetall(tag, key):
    flat = tag.cmd("HGETALL", key)
    return {text(flat[i]): flat[i + 1] for i in range(0, len(flat), 2)}


def zall(tag, key):
    flat = tag.cmd("ZRANGE", key, 0, -1, "WITHSCORES")
    return {text(flat[i]): score(flat[i + 1]) for i in range(0, len(flat), 2)}


class Walk:
    """One partition, read whole."""

    def __init__(self, tag):
        self.tag, self.problems = tag, []
        self.messages = {i: hgetall(tag, "m:" + i) for i in scan(tag, "m:")}
        self.ttl = {i: tag.cmd("PTTL", "m:" + i) for i in self.messages}
        self.bodies = {i: tag.cmd("PTTL", "b:" + i) for i in scan(tag, "b:")}
        self.queues = {q: zall(tag, "q:" + q) for q in scan(tag, "q:")}
        self.hands = {w: hgetall(tag, "c:" + w) for w in scan(tag, "c:")}
        self.bad, self.qz, self.sp, self.ice = zall(tag, "bad"), zall(tag, "qz"), zall(tag, "sp"), zall(tag, "ice")
        self.dom, self.wk = zall(tag, "dom"), zall(tag, "wk")
        self.hold, self.fz, self.inf = zall(tag, "hold"), hgetall(tag, "fz"), hgetall(tag, "inf")
        self.counters = {k: int(v) for k, v in hgetall(tag, "st").items()}
        seconds, micros = tag.client.cmd("TIME")
        self.now = int(seconds) * 1000 + int(micros) // 1000

    def bad_if(self, wrong, invariant, text):
        if wrong:
            self.problems.append("%s %s: %s" % (invariant, self.tag.tag, text))

    def run(self):
        committed = {i: m for i, m in self.messages.items() if "n" in m}
        self.check_messages(committed)
        self.check_queues(committed)
        self.check_hands(committed)
        self.check_ages(committed)
        st = self.counters
        self.bad_if(st.get("accepted", 0) - st.get("gone", 0) != len(committed), "I9",
                    "%d messages, counters say %s" % (len(committed), st))
        self.bad_if(st.get("accepted", 0) + st.get("extra", 0) - st.get("gone", 0) - st.get("early", 0) != sum(int(m["n"]) for m in committed.values()), "I9",
                    "jobs: counters say %s" % st)
        return self.problems

    def check_messages(self, committed):
        for i in self.messages:
            self.bad_if((i in committed) != (self.ttl[i] == -1), "I1", "message %s: ttl %d" % (i, self.ttl[i]))
        for i, ttl in self.bodies.items():
            self.bad_if((i in committed) != (ttl == -1), "I1", "body %s: ttl %d" % (i, ttl))
        for i, m in committed.items():
            self.bad_if(i not in self.bodies, "I1", "message %s has no body" % i)
            jobs = {int(f[1:]) for f in m if f[0] == "j"}
            n, c = int(m["n"]), int(m["c"])
            self.bad_if(n != len(jobs) or not 1 <= n <= c or max(jobs, default=1) > c, "I3",
                        "%s n=%d c=%d jobs=%s" % (i, n, c, sorted(jobs)))
            for field in m:
                if field[1:].isdigit() and field[0] in "qxfwd":
                    self.bad_if(int(field[1:]) not in jobs, "I3", "%s has %s without job" % (i, field))
                elif not field[1:].isdigit():
                    self.bad_if(field not in "etzcnrs", "I3", "%s has field %s" % (i, field))
        for epoch in scan(self.tag, "fin:"):
            self.bad_if(self.tag.cmd("PTTL", "fin:" + epoch) == -1, "I7", "fin:%s does not expire" % epoch)
            for name in hgetall(self.tag, "fin:" + epoch):
                self.bad_if(name in committed, "I7", "%s is here and in fin" % name)

    def home(self, message, k):
        bucket, _, q = message.get("q%d" % k, b"").decode().partition(":")
        return bucket, q

    def check_queues(self, committed):
        where = defaultdict(list)
        for q, jobs in self.queues.items():
            for job in jobs:
                where[job].append("q:" + q)
        for w, jobs in self.hands.items():
            for job in jobs:
                where[job].append("c:" + w)
        for name, place in (("bad", self.bad), ("qz", self.qz)):
            for job in place:
                where[job].append(name)
        for i, start in self.sp.items():
            for k in range(start, int(committed.get(i, {}).get("s", 0)) + 1):
                if b"j%d" % k in [f.encode() for f in committed[i]]:
                    where["%s.%d" % (i, k)].append("sp")
        for i, m in committed.items():
            for field in m:
                if field[0] == "j":
                    job, places = "%s.%s" % (i, field[1:]), where.pop("%s.%s" % (i, field[1:]), [])
                    self.bad_if(len(places) != 1, "I2", "%s is in %s" % (job, places))
                    q = self.home(m, int(field[1:]))[1]
                    self.bad_if(places[:1] and places[0].startswith("q:") and places[0] != "q:" + q, "I2",
                                "%s belongs to %s, is in %s" % (job, q, places))
        self.bad_if(where, "I2", "no jobs: %s" % dict(where))
        for q in set(self.queues) | set(self.dom):
            frozen = self.hold.get(q) == FROZEN
            jobs = self.queues.get(q, {})
            self.bad_if((q in self.dom) != (bool(jobs) and not frozen), "I5", "%s dom=%s frozen=%s n=%d" % (
                q, q in self.dom, frozen, len(jobs)))
            if q in self.dom and jobs and not frozen:
                due = min(s - BAND if s >= BAND else s for s in jobs.values())
                limit = max(due, self.hold.get(q, 0), self.now)
                self.bad_if(self.dom[q] > limit, "I5", "%s is looked at at %d, due %d" % (q, self.dom[q], limit))
        iced = {job for jobs in self.queues.values() for job, score in jobs.items() if score >= ICE}
        self.bad_if(iced != set(self.ice), "I13", "frozen are %s, counted %s" % (iced, set(self.ice)))
        for q in self.fz:
            self.bad_if(self.hold.get(q) != FROZEN, "I10", "%s is frozen, not held" % q)
        for q, until in self.hold.items():
            self.bad_if(until == FROZEN and q not in self.fz, "I10", "%s is held, not frozen" % q)

    def check_hands(self, committed):
        last = int(self.tag.cmd("GET", "tok") or 0)
        tokens, count = Counter(), Counter()
        for w, jobs in self.hands.items():
            self.bad_if(w not in self.wk, "I4", "%s has no lease" % w)
            for job, lease in jobs.items():
                token, _, bucket, q = lease.decode().split(":", 3)
                tokens[token] += 1
                count[q] += 1
                self.bad_if(int(token) > last, "I4", "token %s of %s > %d" % (token, job, last))
                home = self.home(committed.get(job[:16], {}), int(job[17:]))
                self.bad_if(home != (bucket, q), "I2", "%s: lease says %s" % (job, lease))
        self.bad_if(any(n > 1 for n in tokens.values()), "I4", "tokens twice: %s" % tokens)
        self.bad_if({q: b"%d" % n for q, n in count.items()} != self.inf, "I6", "inf %s, hands %s" % (self.inf, count))

    def check_ages(self, committed):
        ages = defaultdict(Counter)
        for places, counted in ((self.queues.values(), True), (self.hands.values(), True), ([self.bad, self.qz], False)):
            for jobs in places:
                for job in jobs:
                    bucket, q = self.home(committed.get(job[:16], {}), int(job[17:]))
                    self.bad_if(not counted and bucket != "0", "I8", "%s is kept and counted" % job)
                    if counted and bucket != "0":
                        ages[q][bucket] += 1
        for q in set(scan(self.tag, "a:")) | set(ages):
            have = {k: int(v) for k, v in hgetall(self.tag, "a:" + q).items() if k not in ("err", "at")}
            want = {**ages[q], "n": sum(ages[q].values())} if ages[q] else {}
            self.bad_if(have != want, "I8", "a:%s is %s, should be %s" % (q, have, want))
        for q, jobs in self.queues.items():
            for job, score in jobs.items():
                message = committed.get(job[:16], {})
                if self.home(message, int(job[17:]))[0] == "0":
                    self.bad_if(score != int(message["t"]), "I8", "%s is fresh, score %d, t %s" % (job, score, message["t"]))


def walk_sem(tag):
    """I11."""
    problems = []
    held = {w: {k: int(v) for k, v in hgetall(tag, "h:" + w).items()} for w in scan(tag, "h:")}
    members = zall(tag, "w")
    links = Counter()
    for w, slots in held.items():
        if w not in members:
            problems.append("I11 %s has no lease" % w)
        if any(n < 1 for n in slots.values()):
            problems.append("I11 %s holds %s" % (w, slots))
        links.update(slots)
    have = {k: int(v) for k, v in hgetall(tag, "d").items()}
    if have != dict(links):
        problems.append("I11 d is %s, held %s" % (have, dict(links)))
    if int(tag.cmd("GET", "t") or 0) != sum(links.values()):
        problems.append("I11 t is %s, held %s" % (tag.cmd("GET", "t"), dict(links)))
    return problems


def pages(names, size=100):
    names = list(names)
    return [names[i:i + size] for i in range(0, len(names), size)]


def check(tag, repair=0):
    """check.lua over a partition, as fsck drives it."""
    findings = []

    def run(part, names):
        names = list(names)
        while names:
            reply = [text(f) for f in tag.call("check", repair, part, *names[:100])]
            names = names[100:] + [f[5:] for f in reply if f.startswith("MORE ")]
            findings.extend(f for f in reply if not f.startswith("MORE "))

    run("type", scan(tag, ""))
    for part in ("m", "b", "c", "fin"):
        run(part, scan(tag, part + ":"))
    queues = set(scan(tag, "q:")) | set(zall(tag, "dom"))
    for q in scan(tag, "q:"):
        run("e", ["%s %s" % (job, q) for job in zall(tag, "q:" + q)])
    run("q", queues)
    for part in ("bad", "qz", "sp", "ice", "wk"):
        run(part, zall(tag, part))
    run("hold", zall(tag, "hold"))
    run("fz", hgetall(tag, "fz"))
    run("a", set(scan(tag, "a:")) | queues)
    run("inf", ["all"])
    return findings + check_counters(tag, repair)


def count(tag):
    """Messages and jobs, as check.lua counts them."""
    sums = [0, 0]
    for page in pages(scan(tag, "m:")):
        said, = tag.call("check", 0, "n", *page)
        sums = [a + int(b) for a, b in zip(sums, said.split()[1:])]
    return "%d %d" % tuple(sums)


def check_counters(tag, repair=0):
    """I9, which takes two counts that differ alike."""
    said, = tag.call("check", repair, "st", "read")
    question = said.decode()[3:] + " " + count(tag)
    reply = [f.decode() for f in tag.call("check", repair, "st", question)]
    if reply:
        kind, _, differs = reply[0].partition(" ")
        assert kind == "DIFFERS", reply
        reply = [f.decode() for f in tag.call("check", repair, "st", question + " " + differs)]
    return reply


def check_sem(tag, repair=0):
    return [text(f) for f in tag.call("slotcheck", repair, *scan(tag, "h:"))]


def prove(store):
    """Both walkers over the whole store; returns what is wrong."""
    problems = []
    for part in store.parts:
        problems += Walk(part).run() + ["check: " + f for f in check(part)]
    return problems + walk_sem(store.sem) + ["check: " + f for f in check_sem(store.sem)]
