"""Redis servers of our own, and a primary with two replicas watched by three Sentinels."""
from .process import Failed, Process, can_connect, need_program, wait_for

DURABLE = {"appendonly": "yes", "appendfsync": "always", "no-appendfsync-on-rewrite": "no", "save": "",
           "maxmemory-policy": "noeviction", "hash-max-listpack-value": "1024"}


class Redis(Process):
    """On a unix socket; with tcp=True on a port as well. `settings` as in redis.conf."""

    def __init__(self, sandbox, name="redis", tcp=False, settings=None, password=None):
        self.dir = sandbox.path(name, "x").parent
        self.socket = self.dir / "redis.sock"
        self.host, self.port = sandbox.host, sandbox.port() if tcp else 0
        self.password = password
        values = {**DURABLE, "dir": self.dir, "unixsocket": self.socket, "port": self.port, "bind": self.host, "replica-announce-ip": self.host,
                  **(settings or {})}
        if password:
            values["requirepass"] = f'"{password}"'  # one argument, blanks and all
        self.file = self.dir / "redis.conf"
        self.values = values
        self.write({})
        super().__init__(sandbox, name, [need_program("redis-server"), self.file], ready=self.answers)

    def write(self, change):
        """The configuration file, with changes; before start()."""
        self.values = {**self.values, **change}
        self.file.write_text("".join(f'{key} {value if value != "" else chr(34) * 2}\n' for key, value in self.values.items()))

    @property
    def url(self):
        return f"redis://{self.host}:{self.port}" if self.port else f"unix://{self.socket}"

    def answers(self):
        return can_connect(self.socket) and self.ask("ping", check=False) == "PONG"

    def ask(self, *words, check=True):
        login = ["--pass", self.password, "--no-auth-warning"] if self.password else []
        done = self.sandbox.run("redis-cli", "-s", self.socket, *login, *words, check=False)
        text = done.stdout.decode("utf-8", "replace").strip()
        if check and (done.returncode != 0 or text.startswith("ERR")):
            raise Failed(f"redis {words}: {text}")
        return text

    def bytes(self, *words):
        """The reply as it is."""
        return self.sandbox.run("redis-cli", "-s", self.socket, "--raw", *words).stdout[:-1]

    def info(self, section):
        lines = (line.partition(":") for line in self.ask("info", section).splitlines())
        return {key: value.strip() for key, _, value in lines if value}


SENTINEL = """\
port {port}
bind {host}
dir {dir}
protected-mode no
sentinel announce-ip {host}
sentinel monitor mymaster {primary} 2
sentinel down-after-milliseconds mymaster {down_after}
sentinel failover-timeout mymaster 6000
sentinel parallel-syncs mymaster 2
"""


class Sentinel(Process):
    def __init__(self, sandbox, name, primary, down_after=1000):
        self.dir = sandbox.path(name, "x").parent
        self.address = (sandbox.host, sandbox.port())
        file = self.dir / "sentinel.conf"
        file.write_text(SENTINEL.format(host=sandbox.host, port=self.address[1], dir=self.dir,
                                        primary=f"{primary.host} {primary.port}", down_after=down_after))
        super().__init__(sandbox, name, [need_program("redis-server"), file, "--sentinel"],
                         ready=lambda: can_connect(self.address))

    def ask(self, *words):
        return self.sandbox.run("redis-cli", "-h", self.address[0], "-p", self.address[1], *words).stdout.decode()


class SentinelTrio:
    """servers[0] is the primary at first. `url` is what goes into redis.url."""

    def __init__(self, sandbox, down_after=1000):
        common = {"min-replicas-to-write": "1", "min-replicas-max-lag": "10", "repl-diskless-sync-delay": "0", "protected-mode": "no",
                  "repl-backlog-size": "64mb", "repl-timeout": "10"}
        self.servers = [Redis(sandbox, "redis0", tcp=True, settings=common)]
        first = self.servers[0]
        for n in (1, 2):
            replica = {**common, "replicaof": f"{first.host} {first.port}"}
            self.servers.append(Redis(sandbox, f"redis{n}", tcp=True, settings=replica))
        self.sentinels = [Sentinel(sandbox, f"sentinel{n}", first, down_after) for n in range(3)]
        hosts = ",".join("{}:{}".format(*one.address) for one in self.sentinels)
        self.url = f"redis-sentinel://{hosts}/mymaster"

    def start(self):
        for server in self.servers:
            server.start()
        wait_for("replicas to follow", lambda: self.servers[0].info("replication").get("connected_slaves") == "2" and all(
            one.info("replication").get("master_link_status") == "up" for one in self.servers[1:]))
        for sentinel in self.sentinels:
            sentinel.start()
        wait_for("sentinels to know each other and the replicas",
                 lambda: all("num-other-sentinels\n2\n" in s.ask("sentinel", "master", "mymaster")
                             and "num-slaves\n2\n" in s.ask("sentinel", "master", "mymaster") for s in self.sentinels))
        return self

    def stop(self):
        for one in self.sentinels + self.servers:
            one.stop()

    def ask(self, *words, **more):
        return self.primary().ask(*words, **more)

    def bytes(self, *words):
        return self.primary().bytes(*words)

    def primary(self):
        """The server that the Sentinels call primary at this moment."""
        words = self.sentinels[0].ask("sentinel", "get-master-addr-by-name", "mymaster").split()
        return next(one for one in self.servers if str(one.port) == words[1])
