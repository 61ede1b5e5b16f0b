"""A proxy in front of Redis that knows which script or command goes through it, and ends connections inside them."""
import hashlib
import random
import re
import selectors
import socket
import threading
import time
from collections import Counter, deque

REQUEST, EXECUTED, REPLY = "in the request", "before the reply", "in the reply"
PHASES = (REQUEST, EXECUTED, REPLY)
ANY, CLOSED, SILENCE = "any call", "closed", "silence"
SOURCE = re.compile(rb"queue/lua/(\w+)\.lua")


def element(data):
    """Where the RESP element ends that `data` begins with; None while it is not all there."""
    todo, at = 1, 0
    while todo:
        end = data.find(b"\r\n", at)
        if end < 0:
            return None
        kind, number, at = data[at:at + 1], data[at + 1:end], end + 2
        todo -= 1
        if kind == b"$" and int(number) >= 0:
            at += int(number) + 2
        elif kind == b"*":
            todo += max(0, int(number))
        if at > len(data):
            return None
    return at


def words(command, most):
    """The first words of a command that is all there."""
    out, at = [], command.index(b"\r\n") + 2
    while at < len(command) and len(out) < most:
        end = command.index(b"\r\n", at)
        size = int(command[at + 1:end])
        out.append(command[end + 2:end + 2 + size])
        at = end + size + 4
    return out


class Fault:
    """What becomes of the calls of a script or command (ANY: of all of them) that hold `needle`. `reply`: what the caller
    is told, as it goes over the wire; CLOSED: the connection ends; SILENCE: nothing, on that connection, ever again.
    run: Redis runs the call all the same, and only its answer is another. `hits` counts them."""

    def __init__(self, name, needle, reply, run=False):
        self.name, self.needle, self.reply, self.run = name, needle, reply, run
        self.hits = 0

    def meets(self, name, command):
        return self.name in (ANY, name) and self.needle in command


class Call:
    def __init__(self, name, phase, fault):
        self.name, self.phase, self.fault = name, phase, fault  # script or command; to be cut in, or None; what it meets, or None
        self.awaited = fault is None or fault.run  # Redis has to answer yet


class Pair:
    """A connection of a client, and ours to the server for it."""

    def __init__(self, client, server):
        self.client, self.server = client, server
        self.to_server, self.to_client = bytearray(), bytearray()  # received, and not complete
        self.unanswered = deque()  # of Call
        self.silent = False


class Proxy:
    """Forwards a listening port to a unix socket or (host, port). While `cutting`, it ends connections inside the
    `wanted` scripts and commands: in turn in the request (Redis never runs it), before the reply (Redis ran it, and the
    caller does not know), in the reply. Each of these once as soon as it can be, then the least hit about every `pause` seconds.
    `hits` counts (name, phase); `seen` how often a wanted name passed while cutting. `faults` are what the calls meet that it
    does not cut."""

    def __init__(self, sandbox, target, seed=0, wanted=(), pause=0.05):
        self.target = target
        self.random = random.Random(seed)
        self.wanted, self.pause = frozenset(wanted), pause
        self.cutting = False
        self.faults = ()
        self.hits, self.seen = Counter(), Counter()
        self.names = {}  # digest of a script -> its name
        self.next_cut = 0.0
        self.listener = socket.create_server((sandbox.host, 0), backlog=256)
        self.address = self.listener.getsockname()
        self.selector = selectors.DefaultSelector()
        self.pairs = set()
        self.wake_receive, self.wake_send = socket.socketpair()
        self.thread = threading.Thread(target=self.loop, daemon=True)

    @property
    def url(self):
        return "redis://{}:{}".format(*self.address)

    @property
    def cuts(self):
        return self.hits.total()

    def table(self):
        """{name: times cut in each phase} of all that were wanted."""
        return {name: [self.hits[name, phase] for phase in PHASES] for name in sorted(self.wanted)}

    def start(self):
        self.selector.register(self.listener, selectors.EVENT_READ, self.accept)
        self.selector.register(self.wake_receive, selectors.EVENT_READ, None)
        self.thread.start()
        return self

    def stop(self):
        self.wake_send.send(b"x")
        self.thread.join(5)

    def accept(self):
        client, _ = self.listener.accept()
        server = socket.socket(socket.AF_INET if isinstance(self.target, tuple) else socket.AF_UNIX)
        try:
            server.connect(self.target if isinstance(self.target, tuple) else str(self.target))
        except OSError:
            server.close()
            client.close()
            return
        pair = Pair(client, server)
        self.pairs.add(pair)
        self.selector.register(client, selectors.EVENT_READ, lambda: self.forward(pair, client, self.requests))
        self.selector.register(server, selectors.EVENT_READ, lambda: self.forward(pair, server, self.replies))

    def close(self, pair):
        if pair in self.pairs:
            self.pairs.remove(pair)
            for one in (pair.client, pair.server):
                self.selector.unregister(one)
                one.close()

    def forward(self, pair, source, handle):
        if pair not in self.pairs:
            return
        try:
            data = source.recv(262144)
            if not data or handle(pair, data):
                self.close(pair)
        except OSError:
            self.close(pair)

    def requests(self, pair, data):
        """Passes on what is complete; true: the connection ends here."""
        pair.to_server += data
        out = bytearray()
        while (end := element(pair.to_server)) is not None:
            command = bytes(pair.to_server[:end])
            del pair.to_server[:end]
            name = self.name_of(command)
            phase = self.draw(name)
            if phase == REQUEST:
                pair.server.sendall(out + command[:self.random.randrange(1, len(command))])
                self.hits[name, phase] += 1
                return True
            call = Call(name, phase, next((one for one in self.faults if one.meets(name, command)), None))
            pair.unanswered.append(call)
            if call.awaited:
                out += command
        pair.server.sendall(out)
        out.clear()
        if self.said(pair, out):
            return True
        self.send(pair, out)
        return False

    def replies(self, pair, data):
        pair.to_client += data
        out = bytearray()
        while (end := element(pair.to_client)) is not None:
            reply = bytes(pair.to_client[:end])
            del pair.to_client[:end]
            call = pair.unanswered[0] if pair.unanswered else Call("", None, None)  # "": pushed to a subscriber
            if call.phase is not None:
                part = reply[:self.random.randrange(1, len(reply))] if call.phase == REPLY else b""
                pair.client.sendall(out + part)
                self.hits[call.name, call.phase] += 1
                return True
            if call.fault is not None:
                call.awaited = False
            else:
                if pair.unanswered:
                    pair.unanswered.popleft()
                out += reply
            if self.said(pair, out):
                return True
        self.send(pair, out)
        return False

    def said(self, pair, out):
        """Adds to `out` what the faults say whose turn it is; true: the connection ends here, and `out` is sent."""
        while pair.unanswered and not pair.unanswered[0].awaited:
            fault = pair.unanswered.popleft().fault
            fault.hits += 1
            if fault.reply in (CLOSED, SILENCE):
                self.send(pair, out)
                out.clear()
                pair.silent = True
            if fault.reply == CLOSED:
                return True
            if not pair.silent:
                out += fault.reply
        return False

    def send(self, pair, out):
        if not pair.silent:
            pair.client.sendall(out)

    def name_of(self, command):
        """The script that a command calls, or else its verb. Learns the scripts as they are loaded."""
        verb = words(command, 1)[0].upper()
        if verb == b"EVALSHA":
            return self.names.get(words(command, 2)[1].decode(), "?")
        if verb == b"SCRIPT":
            body = words(command, 3)[-1]
            found = SOURCE.search(body)
            self.names[hashlib.sha1(body).hexdigest()] = found.group(1).decode() if found else "?"
        return verb.decode("ascii", "replace")

    def draw(self, name):
        """The phase in which this call is cut, or None."""
        if not self.cutting or name not in self.wanted:
            return None
        self.seen[name] += 1
        phase = min(PHASES, key=lambda one: (self.hits[name, one], self.random.random()))
        now = time.monotonic()
        if self.hits[name, phase] > 0:  # else at once: it may not come again
            least = min(self.hits[one, where] for one in self.wanted for where in PHASES)
            if now < self.next_cut or (self.hits[name, phase] > least and self.random.random() > 0.05):
                return None
        self.next_cut = now + self.random.uniform(0, 2 * self.pause)
        return phase

    def loop(self):
        running = True
        while running:
            for key, _ in self.selector.select():
                if key.data is None:
                    running = False
                else:
                    key.data()
        for pair in list(self.pairs):
            self.close(pair)
        self.listener.close()
