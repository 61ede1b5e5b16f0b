"""What a client of the node is told when Redis refuses its message, and what becomes of that message: a table."""
import threading

from peers.bridgehead import Bridgehead
from peers.mail import message, noise
from peers.process import wait_for
from peers.proxy import ANY, CLOSED, SILENCE, Fault, Proxy
from peers.redis import Redis
from peers.smtp import Client

FULL = "452 4.3.1 insufficient system storage"
DOWN = "451 4.3.0 queue unavailable, try again later"
REFUSED = "451 4.3.5 queue misconfigured, try again later"

# What Redis says to the commit of a message -> what the client is told, and what the log tells people to do.
# Waited for, as long as a client waits gladly; the node stays ready, for another message may pass.
PASSING = [
    ("LOADING Redis is loading the dataset in memory", "still loading its data: wait"),
    ("BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.", "SCRIPT KILL ends it"),
    ("UNKILLABLE Sorry the script already executed write commands against the dataset.", "a script of somebody else"),
    ("TRYAGAIN Multiple keys request during rehashing of slot", "a slot is being moved: wait"),
    ("CLUSTERDOWN Hash slot not served", "look at CLUSTER NODES"),
    ("NOREPLICAS Not enough good replicas to write.", "min-replicas-to-write"),
    ("MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk.", "free space"),
]
# The same, and another server is looked for meanwhile.
ELSEWHERE = [
    ("READONLY You can't write against a read only replica.", "redis.url"),
    ("MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.", "wait for the failover"),
    ("NOSCRIPT No matching script. Please use EVAL.", "the scripts are gone: loading them again"),
]
# Of this message: told at once.
AT_ONCE = [
    ("OOM command not allowed when used memory > 'maxmemory'.", FULL, "redis.embedded_memory"),
    ("WRONGTYPE Operation against a key holding the wrong kind of value", REFUSED, "bridgehead queue fsck --repair"),
    ("ERR something that nobody has heard of", REFUSED, "nobody has heard of"),
    ("EXECABORT Transaction discarded because of previous errors.", REFUSED, "EXECABORT"),
    ("BADARG envelope", DOWN, "BADARG"),
    ("NOBODY 0 4", DOWN, "NOBODY"),
    ("CANCELED", DOWN, "CANCELED"),
    ("DRAIN", DOWN, "being emptied"),
]
# Of everything: told at once, and nothing more is asked of this Redis until somebody has mended it.
FOR_GOOD = [
    ("NOAUTH Authentication required.", "redis.password_file"),
    ("WRONGPASS invalid username-password pair or user is disabled.", "redis.password_file"),
    ("NOPERM this user has no permissions to run the 'evalsha' command", "docs/operations.md"),
    ("MOVED 3999 127.0.0.1:6381", "name a single Redis in redis.url"),
    ("ASK 3999 127.0.0.1:6381", "name a single Redis in redis.url"),
    ("CROSSSLOT Keys in request don't hash to the same slot", "name a single Redis in redis.url"),
    ("SCHEMA 99", "run the version that wrote it"),
]
# It is not known whether Redis has the message: asked again until it is.
UNKNOWN = [
    ("garbage", b"\0\xff what is this\r\n", False),
    ("closed", CLOSED, False),
    ("silence", SILENCE, False),
    ("garbage-after", b"\0\xff what is this\r\n", True),
    ("closed-after", CLOSED, True),
    ("silence-after", SILENCE, True),
]


def user(error):
    return error.split()[0].lower()


class World:
    def __init__(self, box):
        self.proxy = box.add(Proxy(box, box.add(Redis(box)).socket))
        self.bridgehead = box.add(Bridgehead(box, config={"redis": {"url": self.proxy.url}, "node": {"threads": 1}}))
        self.healed("first")  # and all connections to Redis are there

    def begin(self, name, body=b""):
        """A session as far as the end of data, which is not sent."""
        client = Client(self.bridgehead.smtp, timeout=90)
        client.ehlo()
        client.envelope(f"{name}@client.example", f"{name}@local.example")
        client.command("DATA", 354)
        client.send(message(name) + body)
        return client

    @staticmethod
    def end(client):
        with client:
            client.send(b".\r\n")
            return repr(client.reply())

    def lines(self, event, *words):
        return [line for line in self.bridgehead.process.log.read_text().splitlines()
                if f" {event} " in line and all(word in line for word in words)]

    def refused_once(self, name, said, expected, remedy):
        """The reply, and the one line of the log that goes with it."""
        assert said == expected, (name, said)
        told = self.lines("smtp.not_accepted", f"from='{name}@client.example'")
        assert len(told) == 1 and remedy in told[0], (name, remedy, told)

    def healed(self, name):
        """What was refused is taken when it comes again, and is there once."""
        said = self.end(self.begin(name))
        assert said.startswith("250 2.6.0 "), (name, said)
        self.bridgehead.wait_mail(name)

    def once_each(self, names):
        """Nothing is left in the queue, and each message was delivered once."""
        wait_for(lambda: self.bridgehead.cli("queue", "list").stdout, lambda: self.bridgehead.json("queue", "list") == [])
        for name in names:  # a second delivery into a maildir would take the place of the first
            deliveries = self.lines("delivery", "status=delivered", f"to='{name}@local.example'")
            assert len(deliveries) == len(self.bridgehead.mailbox(name)) == 1, (name, deliveries)
        assert "0 findings" in self.bridgehead.cli("queue", "fsck").stdout

    def commit_meets(self, error):
        return Fault("commit", f"{user(error)}@client.example".encode(), f"-{error}\r\n".encode())


def test_passing_and_at_once(box):
    """A refusal of one message: its reply, its line of the log; ready all the time; taken when it comes again."""
    world = World(box)
    rows = [(error, DOWN, remedy) for error, remedy in PASSING] + AT_ONCE
    world.proxy.faults = [world.commit_meets(error) for error, _, _ in rows]
    said = {}
    sessions = [(user(error), world.begin(user(error))) for error, _, _ in rows]
    threads = [threading.Thread(target=lambda name=name, client=client: said.update({name: world.end(client)}))
               for name, client in sessions]
    for thread in threads:
        thread.start()
    assert world.bridgehead.ready()
    world.healed("other")
    for thread in threads:
        thread.join()
    assert world.bridgehead.ready()
    for error, expected, remedy in rows:
        world.refused_once(user(error), said[user(error)], expected, remedy)
    assert all(fault.hits > 0 for fault in world.proxy.faults)
    chunk = Fault("RPUSH", b"", f"-{AT_ONCE[0][0]}\r\n".encode())
    world.proxy.faults = [chunk]
    refusals = lambda: world.bridgehead.metric("bridgehead_redis_errors_total")
    told = refusals()
    session = world.begin("chunk", noise(60000))  # it is refused before there is anything to commit
    wait_for("the node to know", lambda: chunk.hits > 0 and refusals() > told)
    world.refused_once("chunk", world.end(session), AT_ONCE[0][1], AT_ONCE[0][2])
    world.proxy.faults = []
    for name in [user(error) for error, _, _ in rows] + ["chunk"]:
        world.healed(name)
    world.once_each([user(error) for error, _, _ in rows] + ["other", "chunk"])


def test_elsewhere(box):
    """A refusal that says that this is the wrong server: the same, although its connection is given up again and again."""
    world = World(box)
    for error, remedy in ELSEWHERE:
        world.proxy.faults = [world.commit_meets(error)]
        said = world.end(world.begin(user(error)))
        world.refused_once(user(error), said, DOWN, remedy)
        world.proxy.faults = []
        world.healed(user(error))
    world.once_each([user(error) for error, _ in ELSEWHERE])


def test_for_good(box):
    """A Redis that has to be mended: 451 all the same, not ready, told by name of setting; mended, it goes on by itself."""
    world = World(box)
    for error, remedy in FOR_GOOD:
        name = user(error)
        session = world.begin(name)
        world.proxy.faults = [Fault(ANY, b"", f"-{error}\r\n".encode())]
        world.refused_once(name, world.end(session), REFUSED, remedy)
        for part in ("node", "worker"):
            wait_for(lambda: f"{part} {error}: {world.bridgehead.get('/healthz/ready', part)}",
                     lambda: world.bridgehead.get("/healthz/ready", part)[0] == 503 and remedy in world.bridgehead.get("/healthz/ready", part)[1])
            assert world.bridgehead.get("/healthz/live", part)[0] == 200
        with Client(world.bridgehead.smtp) as client:
            client.ehlo()
            assert repr(client.command("MAIL FROM:<a@client.example>")) == REFUSED
        world.proxy.faults = []
        wait_for("ready again", lambda: world.bridgehead.ready() and world.bridgehead.ready("worker"))
        world.healed(name)
    world.once_each([user(error) for error, _ in FOR_GOOD])


def test_unknown(box):
    """An answer that does not come, or is none: asked again, the message is taken once, and the client is told so."""
    world = World(box)
    for name, reply, run in UNKNOWN:
        fault = Fault("commit", f"from=<{name}@client.example>".encode(), reply, run)
        session = world.begin(name)
        world.proxy.faults = [fault]
        session.send(b".\r\n")
        wait_for(lambda: f"two tries of {name}", lambda: fault.hits >= 2)
        world.proxy.faults = []
        with session:
            assert repr(session.reply()).startswith("250 2.6.0 "), name
        assert world.lines("smtp.not_accepted", f"from='{name}@client.example'") == []
    world.once_each([name for name, _, _ in UNKNOWN])
