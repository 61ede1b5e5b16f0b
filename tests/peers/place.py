"""Where a group's programs run: on a loopback address, or in a network namespace with a cable that can be pulled."""
import ctypes
import itertools
import os
import pathlib
import subprocess

from .process import Failed, Process, Skip, need_program

CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000


class Loopback:
    """An address of the sandbox. host: where other groups reach it; inside: where the test does, whatever is cut off; None:
    where everybody does."""
    network, inside = "127.0.0.0/8", None

    def __init__(self, box, number):
        self.box, self.number = box, number
        self.host = box.other_host(number)

    def other_host(self):
        """A second address."""
        return self.box.other_host(50 + self.number)

    def port(self, host=None):
        return self.box.port(host or self.host)

    def command(self, words):
        return words


class Namespace:
    """A network namespace with two cables: one to the other places, which cut() pulls and join() puts back, and one to the test."""
    network = "10.64.0.0/15"

    def __init__(self, lan, number):
        self.host, self.inside, self.number = f"10.64.0.{number + 2}", f"10.65.0.{number + 2}", number
        self.ports = itertools.count(2000)
        self.holder = Process(lan.box, f"place{number}", [need_program("unshare"), "--net", "sleep", "infinity"])
        self.holder.ready = self.is_apart
        lan.box.add(self.holder)
        for bridge, address in (("outer", self.host), ("inner", self.inside)):
            ip("link", "add", f"{bridge}{number}", "type", "veth", "peer", "name", bridge, "netns", str(self.holder.pid))
            ip("link", "set", f"{bridge}{number}", "master", bridge, "up")
            self.ip("addr", "add", f"{address}/24", "dev", bridge)
            self.ip("link", "set", bridge, "up")
        self.ip("link", "set", "lo", "up")

    def other_host(self):
        self.ip("addr", "add", f"10.64.0.{self.number + 102}/24", "dev", "outer")
        return f"10.64.0.{self.number + 102}"

    def is_apart(self):
        mine, other = (os.readlink(f"/proc/{who}/ns/net") for who in ("thread-self", self.holder.pid))
        return mine != other

    def ip(self, *words):
        run(*self.command([need_program("ip"), *words]))

    def command(self, words):
        return [need_program("nsenter"), "--target", str(self.holder.pid), "--net", *map(str, words)]

    def port(self, host=None):
        return next(self.ports)

    def cut(self):
        ip("link", "set", f"outer{self.number}", "down")

    def join(self):
        ip("link", "set", f"outer{self.number}", "up")


class Lan:
    """Makes places that reach each other. The test itself moves into a network of its own for it; where the system does
    not let it, Skip says why."""

    def __init__(self, box):
        self.box = box
        for name in ("ip", "nsenter", "unshare"):
            need_program(name)
        enter_own_network()
        try:
            ip("link", "set", "lo", "up")
            for number, bridge in ((64, "outer"), (65, "inner")):
                ip("link", "add", bridge, "type", "bridge")
                ip("addr", "add", f"10.{number}.0.1/24", "dev", bridge)
                ip("link", "set", bridge, "up")
        except Failed as error:
            raise Skip(f"no bridge between network namespaces: {error}") from None

    def place(self, number):
        return Namespace(self, number)


def enter_own_network():
    """From here on this process has a network of its own; as root, or as root of a user namespace of its own."""
    libc = ctypes.CDLL(None, use_errno=True)
    user, group = os.getuid(), os.getgid()
    if libc.unshare(CLONE_NEWNET) == 0:
        return
    why = os.strerror(ctypes.get_errno())
    if user == 0 or libc.unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0:
        raise Skip(f"no network namespace: {why}")
    for name, text in (("setgroups", "deny"), ("uid_map", f"0 {user} 1"), ("gid_map", f"0 {group} 1")):
        pathlib.Path("/proc/self", name).write_text(text)


def run(*words):
    done = subprocess.run([str(w) for w in words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    if done.returncode != 0:
        raise Failed(f"{' '.join(map(str, words))} gave {done.returncode}: {done.stdout.decode('utf-8', 'replace')}")


def ip(*words):
    run(need_program("ip"), *words)
