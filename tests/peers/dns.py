"""An authoritative name server (NSD) for the whole name space: it serves "." with the records of the test."""
import socket
import struct

from .process import Process, need_program

CONFIGURATION = """\
server:
    ip-address: {host}@{port}
    username: ""
    chroot: ""
    zonesdir: "{dir}"
    database: ""
    pidfile: "{dir}/nsd.pid"
    xfrdfile: "{dir}/xfrd.state"
    zonelistfile: "{dir}/zone.list"
    xfrdir: "{dir}"
    server-count: 1
    tcp-count: 10
    do-ip6: no
    rrl-ratelimit: 0
remote-control:
    control-enable: no
zone:
    name: "."
    zonefile: "root.zone"
"""

START = """\
$TTL {ttl}
. IN SOA ns.test. admin.test. 1 3600 600 86400 1
. IN NS ns.test.
ns.test. IN A {host}
"""


class Dns:
    """`records` are lines of a zone file with full names: "a.example. IN MX 10 mx.a.example.". Names without records
    do not exist; a name delegated to a server that is not there ("b.example. IN NS ns.gone.test.") gives SERVFAIL."""

    def __init__(self, sandbox, records, name="nsd", ttl=60):
        self.dir, self.ttl = sandbox.path(name, "x").parent, ttl
        self.address = (sandbox.host, sandbox.port())
        configuration = self.dir / "nsd.conf"
        configuration.write_text(CONFIGURATION.format(host=self.address[0], port=self.address[1], dir=self.dir))
        self.write(records)
        self.process = Process(sandbox, name, [need_program("nsd"), "-d", "-c", configuration],
                               ready=lambda: self.answers("ns.test"))

    def write(self, records):
        """What it serves from its next start on."""
        text = START.format(host=self.address[0], ttl=self.ttl) + "\n".join(records) + "\n"
        (self.dir / "root.zone").write_text(text)

    def start(self):
        self.process.start()
        return self

    def stop(self):
        return self.process.stop()

    def answers(self, name, kind=1):
        """How many answers there are to a question (1 A, 15 MX, 28 AAAA); None: no server or no such name."""
        labels = b"".join(bytes([len(label)]) + label.encode() for label in name.strip(".").split("."))
        question = struct.pack(">6H", 7, 0, 1, 0, 0, 0) + labels + struct.pack(">B2H", 0, kind, 1)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.settimeout(1)
            try:
                s.connect(self.address)
                s.send(question)
                reply = s.recv(4096)
            except OSError:
                return None
        flags, _, count = struct.unpack(">3H", reply[2:8])
        return count if flags & 15 == 0 else None
