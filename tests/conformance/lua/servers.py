"""Starts redis-server for the tests: one on a unix socket, or a cluster of three on loopback."""
import atexit
import contextlib
import itertools
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time

from resp import Client, RedisError

SETTINGS = {
    "save": "",
    "appendonly": "no",
    "maxmemory-policy": "noeviction",
    "hash-max-listpack-value": "1024",
    "daemonize": "no",
    "loglevel": "warning",
}


# Ends the test as Ctrl-C does, which unittest does not take for the failure of one case; what is at exit is done.
signal.signal(signal.SIGTERM, signal.default_int_handler)


def await_true(what, fn, seconds=60):
    """Polls until fn() is true; for states of other processes that nobody announces."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if fn():
                return
        except (OSError, ConnectionError, RedisError):
            pass
        time.sleep(0.02)
    raise TimeoutError("gave up waiting for " + what)


class Server:
    """A redis-server of our own in a temporary directory; stop() ends it and removes the directory, as does the end of the
    test, however it comes to it."""

    def __init__(self, **settings):
        self.dir = tempfile.mkdtemp(prefix="bh-lua-")
        self.address = os.path.join(self.dir, "redis.sock")
        args = {**SETTINGS, "port": "0", "unixsocket": self.address, "dir": self.dir}
        args.update({k.replace("_", "-"): v for k, v in settings.items()})
        command = ["redis-server"]
        for name, value in args.items():
            command += ["--" + name, value]
        self.log = open(os.path.join(self.dir, "log"), "wb")
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log)
        atexit.register(self.stop)
        try:
            await_true("redis-server", self.answers)
        except RuntimeError:
            self.stop()
            raise

    def answers(self):
        client = self.client()
        try:
            return client.cmd("PING") == b"PONG"
        finally:
            client.close()

    def client(self):
        if self.process.poll() is not None:
            raise RuntimeError("redis-server ended: " + open(self.log.name).read()[-2000:])
        return Client(self.address)

    def stop(self):
        atexit.unregister(self.stop)
        self.process.kill()
        self.process.wait()
        self.log.close()
        shutil.rmtree(self.dir, ignore_errors=True)


PORTS = (10000 + (os.getpid() * 61 + number) % 12000 for number in itertools.count())


def free_port():
    """A port that is free, as is its cluster bus port (+ 10000); both below those that the system hands out to whoever connects."""
    for port in itertools.islice(PORTS, 1000):
        with socket.socket() as a, socket.socket() as b, contextlib.suppress(OSError):
            a.bind(("127.0.0.1", port))
            b.bind(("127.0.0.1", port + 10000))
            return port
    raise RuntimeError("no port of 127.0.0.1 is free")


class Cluster:
    """Three masters; nodes[i] serves the i-th third of the slots."""

    SLOTS = 16384

    def __init__(self, nodes=3):
        self.servers, self.clients, self.ports = [], [], []
        for _ in range(nodes):
            port, server = self.start()
            self.servers.append(server)
            self.clients.append(server.client())
            self.ports.append(port)
        self.ids = [c.cmd("CLUSTER", "MYID").decode() for c in self.clients]
        for i, client in enumerate(self.clients):
            low, high = i * self.SLOTS // nodes, (i + 1) * self.SLOTS // nodes - 1
            client.cmd("CLUSTER", "ADDSLOTSRANGE", low, high)
            client.cmd("CLUSTER", "SET-CONFIG-EPOCH", i + 1)
            if i:
                client.cmd("CLUSTER", "MEET", "127.0.0.1", self.ports[0])
        for client in self.clients:
            await_true("the cluster", lambda c=client: b"cluster_state:ok" in c.cmd("CLUSTER", "INFO"))
            await_true("every node to know every other",
                       lambda c=client: c.cmd("CLUSTER", "NODES").count(b"connected") >= nodes
                       and len(c.cmd("CLUSTER", "SLOTS")) == nodes)

    @staticmethod
    def start(tries=5):
        """A node on a port that was free a moment ago; another one if somebody was faster."""
        while True:
            port, tries = free_port(), tries - 1
            try:
                return port, Server(port=str(port), cluster_enabled="yes", cluster_config_file="nodes.conf",
                                    cluster_node_timeout="30000", bind="127.0.0.1")
            except RuntimeError:
                if not tries:
                    raise

    def node_of(self, slot):
        return min(slot * len(self.clients) // self.SLOTS, len(self.clients) - 1)

    def stop(self):
        for client in self.clients:
            client.close()
        for server in self.servers:
            server.stop()
