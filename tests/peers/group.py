"""Routing groups: a Redis each, routers beside it, keys of one organization. For tests of link state."""
import json
import signal
import subprocess
import time

from .bridgehead import executable, yaml, merge
from .place import Loopback
from .process import Failed, Process, wait_for
from .redis import Redis, SentinelTrio
from .sink import tool
from .topology import floors, published

FAST = {"hello": "300ms", "refresh": "2s", "lifetime": "10s", "probe_timeout": "1s",
        "damping": {"glitch_attempts": 1, "glitch_interval": "200ms", "probe_interval": "200ms"}}


class Organization:
    def __init__(self, box, name="example"):
        self.box, self.name = box, name
        self.key = box.path(f"{name}.key")
        self.public = self.make("organization", self.key)
        self.groups = {}

    def keys(self, *arguments):
        done = self.box.run(executable(), "keys", *arguments, "-o", "json")
        return json.loads(done.stdout)

    def make(self, kind, path, *options):
        return self.keys("make", kind, path, "--organization", self.name, *options)[0]["public"]


class Group:
    """A routing group: its Redis and, added with router(), its routers. redis: False for none, or a Redis that others
    use, too: each group then has a namespace of its own there. place: where its programs run (peers/place.py)."""

    def __init__(self, organization, name, number, config=None, redis=True, place=None):
        self.organization, self.name, self.box = organization, name, organization.box
        self.place = place or Loopback(self.box, number)
        self.host = self.place.host
        self.key = self.box.path(name, "group.key")
        organization.make("group", self.key, "--group", name, "--organization-key", organization.key)
        self.transport = self.box.path(name, "transport.key")
        self.public = organization.make("transport", self.transport)
        self.shares = isinstance(redis, (Redis, SentinelTrio))
        self.redis = redis if self.shares else Redis(self.box, f"redis-{name}") if redis else None
        self.namespace = name if self.shares else "mq"
        self.port = self.place.port()
        self.neighbours, self.routers = [], []
        self.config = merge({"router": FAST, "connectors": [], "local_domains": []}, config or {})
        organization.groups[name] = self

    def start(self):
        if self.redis and not self.shares:
            self.redis.start()

    def stop(self):
        if self.redis and not self.shares:
            self.redis.stop()

    def knows(self, other, dial=True, **more):
        entry = {"group": other.name, "keys": [other.public]}
        if dial:
            entry["endpoints"] = [f"{host}:{other.port}" for host in other.hosts()]
        self.neighbours.append({**entry, **more})
        return self

    def hosts(self):
        return [r.host for r in self.routers] or [self.host]

    def settings(self):
        base = {"organization": self.organization.name, "redis": {"url": self.redis.url, "namespace": self.namespace},
                "data_dir": str(self.box.path(self.name, "var")),
                "routing_group": {"name": self.name, "organization_key": self.organization.public, "key_file": str(self.key),
                                  "transport_key_file": str(self.transport), "neighbours": self.neighbours}}
        return merge(base, self.config)

    def router(self, name=None, host=None):
        router = Router(self, name or f"{self.name}{len(self.routers)}", host or self.host)
        self.routers.append(router)
        return router

    def key_of(self, name):
        return f"{{{self.namespace}.rt}}:{name}"

    def table(self):
        """(version, bytes) of what is published."""
        version = self.redis.ask("hget", self.key_of("table"), "v")
        return int(version or 0)

    def publish(self, groups, connectors):
        """Puts a table of so many other groups there, as a master before would have; returns its size."""
        table = self.box.path(self.name, "table")
        with open(table, "wb") as out:
            subprocess.run([tool("ls_table"), self.organization.key, str(groups), str(connectors)], stdout=out, check=True)
        with open(table, "rb") as data:
            self.box.run("redis-cli", "-s", self.redis.socket, "-x", "hset", self.key_of("table"), "b", stdin=data)
        now = str(int(time.time() * 1000))
        self.redis.ask("hset", self.key_of("table"), "v", now, "at", now, "by", "another")
        return table.stat().st_size

    def records(self):
        """What is published, decoded."""
        return published(self.redis.bytes("hget", self.key_of("table"), "b"))

    def floors(self):
        """What was dropped, and whether mail for it waits."""
        return floors(self.redis.bytes("hget", self.key_of("table"), "b"))

    def purge(self, group, name="purge"):
        """Asks the master to drop a group; returns what it answers: "0", or a code and words."""
        return self.ask("purge", group, name)

    def ask(self, verb, argument, name):
        self.redis.ask("rpush", self.key_of("ask"), f"{name}\n{verb}\n{argument}")
        self.redis.ask("publish", self.key_of("say"), "q")
        return wait_for("the answer", lambda: self.redis.ask("get", self.key_of("ans:" + name))).rstrip("\n")

    def own_version(self):
        text = self.redis.ask("hget", self.key_of("own"), "v")
        return tuple(int(n) for n in text.split(".")) if text else None

    def master(self):
        return self.redis.ask("hget", self.key_of("master"), "n").rsplit("-", 1)[0]

    def say(self, connector, word):
        """An administrator's word, as `bridgehead link` says it."""
        if word == "auto":
            self.redis.ask("hdel", self.key_of("words"), connector)
        else:
            self.redis.ask("hset", self.key_of("words"), connector, f"{word}\n0\ntest\n")
        self.redis.ask("publish", self.key_of("say"), "w")

    def groups(self):
        """Names of the groups in the published table."""
        return set(self.records())

    def history(self):
        out = self.redis.ask("xrange", self.key_of("ev"), "-", "+").splitlines()
        fields = [line for line in out]
        events, current = [], {}
        for at, line in enumerate(fields):
            if line in ("w", "g", "c", "v", "t") and at + 1 < len(fields):
                current[line] = fields[at + 1]
            if line == "t":
                events.append(current)
                current = {}
        return events


class Router(Process):
    def __init__(self, group, name, host):
        self.group, self.host, self.label = group, host, name
        inside = group.place.inside or host
        self.http = (inside, group.place.port(inside))
        self.file = group.box.path(group.name, f"{name}.yaml")
        self.change = {}
        super().__init__(group.box, f"router-{name}", group.place.command([executable(), "router", "-c", self.file]), ready=self.is_ready)

    def write(self, change=None):
        self.change = merge(self.change, change or {})
        own = {"router": {"name": self.label, "listen": [f"{self.host}:{self.group.port}"], "http": "{}:{}".format(*self.http)},
               "log": {"level": "debug"}}
        self.file.write_text(yaml(merge(merge(self.group.settings(), own), self.change)))
        return self

    def start(self, timeout=30):
        self.write()
        return super().start(timeout)

    def get(self, path):
        import urllib.error
        import urllib.request
        try:
            with urllib.request.urlopen("http://{}:{}{}".format(*self.http, path), timeout=5) as reply:
                return reply.status, reply.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError as error:
            return 0, str(error)

    def is_ready(self):
        return self.get("/healthz/ready")[0] == 200

    def metric(self, name):
        values = [float(line.rsplit(" ", 1)[1]) for line in self.get("/metrics")[1].splitlines()
                  if line.split("{")[0].split(" ")[0] == "bridgehead_" + name]
        return sum(values) if values else None

    def reload(self):
        self.write()
        self.signal(signal.SIGHUP)

    def lines(self, word):
        return [line for line in self.log.read_text(errors="replace").splitlines() if word in line]

    def is_master(self):
        return self.metric("router_master") == 1

    def wait_master(self, timeout=20):
        wait_for(lambda: f"{self.name} to be master; it said:\n{self.tail()}", self.is_master, timeout)
        return self


def wait_full(*routers, timeout=30):
    """Every adjacency of these masters is up, and the tables are equal."""
    for router in routers:
        wait_for(lambda: f"adjacencies of {router.name}; it said:\n{router.tail()}",
                 lambda: router.metric("router_adjacencies_full") == router.metric("router_neighbours"), timeout)
