"""OSPF as BIRD speaks it: a namespace and a bird for every node of a topology, a veth pair for every link."""
import contextlib
import ctypes
import fcntl
import json
import os
import select
import socket
import struct
import time

from .place import CLONE_NEWNET, enter_own_network, ip
from .process import Failed, Process, Skip, can_connect, need_program, wait_for
from .topology import distances

SIOCSIFFLAGS, IFF_UP = 0x8914, 1
NETLINK_ROUTE, RTMGRP_IPV4_ROUTE, RTM_NEWROUTE, RTM_DELROUTE, RTPROT_BIRD = 0, 0x40, 24, 25, 12


class Node(Process):
    """A router. links: {neighbour: (interface, own address, cost)}; its own prefix is what the others look for."""

    def __init__(self, box, name, number):
        self.links, self.number, self.prefix = {}, number, f"10.255.0.{number + 1}"
        self.file, self.control = box.path(f"{name}.conf"), box.path(f"{name}.ctl")
        super().__init__(box, f"bird-{name}", [need_program("unshare"), "--net", need_program("bird"), "-f", "-c", self.file, "-s",
                                               self.control], ready=lambda: can_connect(self.control))

    def start(self, timeout=30):
        interfaces = "".join(f'interface "{name}" {{ type ptp; cost {cost}; hello 1; dead 4; check link yes; }};\n'
                             for name, _, cost in self.links.values())
        self.file.write_text(f"""router id {self.prefix};
log stderr all;
protocol device {{ }}
protocol kernel {{ ipv4 {{ import none; export all; }}; }}
protocol ospf v2 {{ ipv4 {{ import all; export none; }}; tick 1; area 0 {{ stubnet {self.prefix}/32; {interfaces} }}; }}
""")
        return super().start(timeout)

    @contextlib.contextmanager
    def inside(self):
        """Sockets that this process makes meanwhile belong to the namespace, and do so for ever."""
        libc = ctypes.CDLL(None, use_errno=True)
        with open("/proc/thread-self/ns/net") as own, open(f"/proc/{self.pid}/ns/net") as there:
            if libc.setns(there.fileno(), CLONE_NEWNET) != 0:
                raise Failed(f"cannot enter the namespace of {self.name}: {os.strerror(ctypes.get_errno())}")
            try:
                yield
            finally:
                libc.setns(own.fileno(), CLONE_NEWNET)

    def watch(self):
        with self.inside():
            self.switch = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self.routes = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_ROUTE)
            self.routes.bind((0, RTMGRP_IPV4_ROUTE))
        self.routes.setblocking(False)

    def changed(self):
        """True if bird has changed the kernel's routes, by what can be read now."""
        found = False
        with contextlib.suppress(BlockingIOError):
            while True:
                data, at = self.routes.recv(1 << 16), 0
                while at + 16 <= len(data):
                    size, kind = struct.unpack_from("=IH", data, at)
                    # struct rtmsg follows: family, two lengths, type of service, table, protocol.
                    found |= kind in (RTM_NEWROUTE, RTM_DELROUTE) and data[at + 16 + 5] == RTPROT_BIRD
                    at += (size + 3) & ~3
        return found

    def set_link(self, neighbour, up):
        fcntl.ioctl(self.switch, SIOCSIFFLAGS, struct.pack("16sh14x", self.links[neighbour][0].encode(), IFF_UP if up else 0))

    def next_hops(self):
        """{prefix of a node: addresses} of bird's routes in the kernel."""
        out = self.sandbox.run(need_program("nsenter"), "--target", self.pid, "--net", need_program("ip"), "-j", "-4", "route",
                               "show", "proto", "bird").stdout
        return {one["dst"]: {hop["gateway"] for hop in one.get("nexthops", [one]) if "gateway" in hop}
                for one in json.loads(out or "[]") if one["dst"].startswith("10.255.")}


class Ospf:
    """nodes: {name: Node}."""

    def __init__(self, box, topology):
        need_program("bird")
        self.box, self.topology = box, topology
        self.nodes = {name: Node(box, name, at) for at, name in enumerate(topology.names)}
        self.cables = []
        for at, link in enumerate(sorted(map(sorted, topology.links))):
            for side, (own, other) in enumerate((link, link[::-1])):
                self.nodes[own].links[other] = (f"to{self.nodes[other].number}", f"10.0.{at}.{side + 1}",
                                                topology.links[frozenset(link)])
            self.cables.append(link)

    def start(self):
        for name in ("ip", "nsenter", "unshare"):
            need_program(name)
        enter_own_network()
        try:
            ip("link", "set", "lo", "up")
            ip("link", "add", "try0", "type", "veth", "peer", "name", "try1")
        except Failed as error:
            raise Skip(f"no veth pair: {error}") from None
        for node in self.nodes.values():
            self.box.add(node)
            node.watch()
        self.batch(None, [f"link add {self.end(a, b)} type veth peer {self.end(b, a)}" for a, b in self.cables])
        for node in self.nodes.values():
            self.batch(node, ["link set lo up"] + [line for name, address, _ in node.links.values() for line in (
                f"addr add {address}/30 dev {name}", f"link set {name} up")])
        return self

    def stop(self):
        """The birds end with the sandbox, their namespaces with them."""

    def end(self, own, other):
        return f"name {self.nodes[own].links[other][0]} netns {self.nodes[own].pid}"

    def batch(self, node, lines):
        file = self.box.write("batch", "".join(line + "\n" for line in lines))
        where = [need_program("nsenter"), "--target", node.pid, "--net"] if node else []
        self.box.run(*where, need_program("ip"), "-batch", file)

    def set_link(self, link, up):
        """Both ends at once; returns the time before."""
        a, b = link
        before = time.time()
        self.nodes[a].set_link(b, up)
        self.nodes[b].set_link(a, up)
        return before

    def last(self, seconds):
        """{node: time of the last change of its kernel's routes} within so many seconds from now."""
        seen, end, by_fd = {}, time.monotonic() + seconds, {node.routes.fileno(): name for name, node in self.nodes.items()}
        poll = select.poll()
        for fd in by_fd:
            poll.register(fd, select.POLLIN)
        while (left := end - time.monotonic()) > 0:
            for fd, _ in poll.poll(left * 1000):
                now = time.time()
                if self.nodes[by_fd[fd]].changed():
                    seen[by_fd[fd]] = now
        return seen

    def wrong(self, without=None):
        """Nodes whose routes are not shortest paths over all links but this one, by a computation of our own."""
        edges = {pair: cost for pair, cost in self.topology.edges().items() if frozenset(pair) != without}
        far = {name: distances(edges, name) for name in self.nodes}
        out = []
        for name, node in self.nodes.items():
            want = {other.prefix: {self.nodes[hop].links[name][1] for hop in node.links
                                   if (name, hop) in edges and edges[name, hop] + far[hop][to] == far[name][to]}
                    for to, other in self.nodes.items() if to != name}
            if node.next_hops() != want:
                out.append(name)
        return out

    def wait_right(self, without=None, timeout=60):
        wait_for(lambda: f"the right routes of {', '.join(self.wrong(without))}", lambda: not self.wrong(without), timeout, 0.5)
