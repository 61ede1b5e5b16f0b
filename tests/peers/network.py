"""A whole organization on loopback: a group for every node of a topology, with one Redis for all of them."""
import concurrent.futures
import socket
import time

from .group import Group, Organization, wait_full
from .process import Failed, wait_for
from .redis import Redis

QUIET = {"hello": "2s", "refresh": "10m", "lifetime": "30m", "probe_timeout": "1s",
         "damping": {"glitch_attempts": 1, "glitch_interval": "200ms", "probe_interval": "1h"}}
# The first failure is the one that counts, however often a connector changes.
AT_ONCE = {**QUIET, "damping": {**QUIET["damping"], "glitch_attempts": 0, "hold_above": 100000000, "release_below": 99999999,
                                           "floods_per_hour": 100000}}


class Network:
    """groups: {name: Group}; routers: all of them; masters: {name: Router}. `standby` names groups with a second router."""

    def __init__(self, box, topology, standby=(), router=None):
        self.box, self.topology = box, topology
        self.redis = box.add(Redis(box))
        organization = Organization(box)
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            made = pool.map(lambda pair: Group(organization, pair[1], pair[0], {"router": router or QUIET}, self.redis),
                            enumerate(topology.names))
            self.groups = {group.name: group for group in made}
        self.masters = {name: group.router() for name, group in self.groups.items()}
        self.standby = [self.groups[name].router(host=box.other_host(len(self.groups) + at)) for at, name in enumerate(standby)]
        for name, group in self.groups.items():
            for other in topology.neighbours(name):
                # One side connects: the other direction would be a second way for the same adjacency.
                group.knows(self.groups[other], dial=name < other)
                group.config["connectors"].append(
                    {"name": f"to-{other}", "type": "routing_group", "to_group": other, "cost": topology.edges()[name, other],
                     "smart_hosts": [self.groups[other].host]})
            group.config["local_domains"].append({"domain": f"{name}.example", "deliver": f"maildir:{box.dir}/mail/%d/%u"})

    @property
    def routers(self):
        return [*self.masters.values(), *self.standby]

    def start(self):
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            for router in pool.map(lambda one: one.start(), self.masters.values()):
                self.box.stack.callback(router.stop)
        for router in self.masters.values():
            router.wait_master()
        for router in self.standby:
            self.box.add(router)
        wait_full(*self.masters.values(), timeout=60)
        wait_for("every table to hold every group", lambda: all(len(t) == len(self.groups) for t in self.tables().values()), 60)
        return self

    def stop(self):
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda one: one.stop(), self.routers))

    def tables(self):
        return {name: group.records() for name, group in self.groups.items()}

    def say(self, group, connector, word):
        """An administrator's word, as `bridgehead link` says it; returns the time just before, by Redis's clock."""
        before = time.time()
        self.groups[group].say(connector, word)
        return before


    def report(self, group, connector, ok):
        """A worker's report about the only target of a connector, as queue/lua/routing.lua takes it; returns the time before."""
        group, before = self.groups[group], time.time()
        target = next(c for c in group.config["connectors"] if c["name"] == connector)["smart_hosts"][0]
        self.redis.ask("hset", group.key_of("rep"), f"{connector}\n{target}", "1" if ok else "0connection refused")
        self.redis.ask("publish", group.key_of("say"), "r")
        return before


class Listener:
    """Hears what the groups publish: next() gives (time, group, version)."""

    def __init__(self, network):
        self.groups = {group.key_of("say"): name for name, group in network.groups.items()}
        self.s = socket.socket(socket.AF_UNIX)
        self.s.connect(str(network.redis.socket))
        self.file = self.s.makefile("rb")
        words = ["subscribe", *self.groups]
        self.s.sendall(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w.encode()) for w in words))
        for _ in self.groups:
            self.reply()

    def reply(self):
        """One array of three, as pushes are."""
        assert self.file.readline() == b"*3\r\n"
        words = []
        for _ in range(3):
            head = self.file.readline()
            words.append(self.file.read(int(head[1:]) + 2)[:-2] if head.startswith(b"$") else head)
        return words

    def tables(self, count, timeout=10):
        """{group: time} of the first table that each of `count` groups publishes from now on."""
        seen, end = {}, time.monotonic() + timeout
        while len(seen) < count:
            self.s.settimeout(max(0.01, end - time.monotonic()))
            try:
                _, channel, text = self.reply()
            except (TimeoutError, socket.timeout):
                raise Failed(f"within {timeout} s only {len(seen)} of {count} groups published a table") from None
            if text.startswith(b"t"):
                seen.setdefault(self.groups[channel.decode()], time.time())
        return seen

    def last(self, seconds):
        """({group: time} of the last table that it publishes) within so many seconds from now."""
        seen, end = {}, time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self.s.settimeout(left)
            try:
                _, channel, text = self.reply()
            except (TimeoutError, socket.timeout):
                self.file = self.s.makefile("rb")  # the old one reads no more after a timeout; between pushes it holds nothing
                break
            if text.startswith(b"t"):
                seen[self.groups[channel.decode()]] = time.time()
        return seen

    def stop(self):
        self.s.close()
