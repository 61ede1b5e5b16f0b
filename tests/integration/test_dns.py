"""The resolver against real name servers: NSD, and Unbound in front of it."""
import os
import pathlib

from peers.dns import Dns
from peers.process import ROOT, Process, Skip, need_program

RECORDS = [
    "a.example. IN MX 20 mx2.a.example.",
    "a.example. IN MX 10 MX1.a.example.",
    "mx1.a.example. IN A 192.0.2.1",
    "mx1.a.example. IN AAAA 2001:db8::1",
    "mx2.a.example. IN A 192.0.2.2",
    "alias.example. IN CNAME a.example.",
    "chain.example. IN CNAME alias.example.",
    "lost.example. IN CNAME nowhere.example.",
    "null.example. IN MX 0 .",
    "host.example. IN A 192.0.2.3",
    "odd.example. IN MX 10 a\\032b.example.",
    "xn--bcher-kva.example. IN MX 10 mx1.a.example.",
    "1.2.0.192.in-addr.arpa. IN PTR mx1.a.example.",
    "3.0.0.10.in-addr.arpa. IN PTR host.example.",
    "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa. IN PTR mx1.a.example.",
    "loop.example. IN CNAME pool.example.",
    "pool.example. IN CNAME loop.example.",
    "gone.example. IN NS ns.gone.test.",
] + [f"many.example. IN MX {i} host-with-a-rather-long-name-{i}.many.example." for i in range(100)]

ANSWERS = [
    ("mx", "a.example", "OK yes 10 mx1.a.example 20 mx2.a.example"),
    ("mx", "A.Example.", "OK yes 10 mx1.a.example 20 mx2.a.example"),
    ("mx", "chain.example", "OK yes 10 mx1.a.example 20 mx2.a.example"),
    ("mx", "bücher.example", "OK yes 10 mx1.a.example"),
    ("mx", "null.example", "OK yes 0 "),
    ("mx", "host.example", "OK yes"),
    ("mx", "nowhere.example", "OK no"),
    ("mx", "lost.example", "OK no"),
    ("mx", "odd.example", "DNS"),
    ("mx", "loop.example", "DNS"),
    ("mx", "x.gone.example", "DNS"),
    ("mx", "not a name", "PARSE"),
    ("addr", "mx1.a.example", "OK yes 2001:db8::1 192.0.2.1"),
    ("addr", "host.example", "OK yes 192.0.2.3"),
    ("addr", "a.example", "OK yes"),
    ("addr", "nowhere.example", "OK no"),
    ("ptr", "192.0.2.1", "OK yes mx1.a.example"),
    ("ptr", "10.0.0.3", "OK yes host.example"),
    ("ptr", "2001:db8::1", "OK yes mx1.a.example"),
    ("ptr", "192.0.2.9", "OK no"),
    ("mx", "many.example", "OK yes" + "".join(f" {i} host-with-a-rather-long-name-{i}.many.example" for i in range(64))),
]

UNBOUND = """\
server:
    interface: {host}@{port}
    directory: "{dir}"
    pidfile: ""
    username: ""
    chroot: ""
    use-syslog: no
    do-ip6: no
    access-control: 127.0.0.0/8 allow
    do-not-query-localhost: no
    unblock-lan-zones: yes
    module-config: "iterator"
remote-control:
    control-enable: no
stub-zone:
    name: "."
    stub-addr: {nsd[0]}@{nsd[1]}
"""


def ask(box, address, *questions, timeout_ms=20000):
    """What common/io/dns.h makes of the answers, a line a question."""
    tool = ROOT / os.environ.get("BRIDGEHEAD_BUILD", "build/asan") / "tests/integration/dns_ask"
    if not pathlib.Path(tool).exists():
        raise Skip("dns_ask is not built (cmake --build --preset asan)")
    words = [word for question in questions for word in question[:2]]
    return box.run(tool, "{}@{}".format(*address), timeout_ms, *words).stdout.decode().splitlines()


def check(box, address):
    found = ask(box, address, *ANSWERS)
    wrong = [(question, answer) for question, answer in zip(ANSWERS, found) if question[2] != answer]
    assert len(found) == len(ANSWERS) and not wrong, wrong


def test_nsd(box):
    """A table of questions to an authoritative server: kinds of no, aliases, TCP for the large one."""
    check(box, box.add(Dns(box, RECORDS)).address)


def test_unbound(box):
    """The same through a resolver, as in most places."""
    nsd = box.add(Dns(box, RECORDS))
    address = (box.host, box.port())
    configuration = box.write("unbound/unbound.conf",
                              UNBOUND.format(host=address[0], port=address[1], dir=box.path("unbound", "x").parent,
                                             nsd=nsd.address))
    box.add(Process(box, "unbound", [need_program("unbound"), "-d", "-c", configuration],
                    ready=lambda: ask(box, address, ("addr", "host.example"), timeout_ms=2000) == ["OK yes 192.0.2.3"]))
    check(box, address)


def test_no_server(box):
    """Nobody answers: temporary, within the time-out."""
    found = ask(box, (box.host, box.port()), ("mx", "a.example"), ("addr", "a.example"), timeout_ms=1500)
    assert set(found) <= {"DNS", "TIMEOUT"} and len(found) == 2, found


def test_many_at_a_time(box):
    """A thousand domains at once, each once more than its server has sockets for."""
    records = [f"d{i}.example. IN MX 10 mx.d{i}.example." for i in range(1000)]
    dns = box.add(Dns(box, records))
    found = ask(box, dns.address, *[("mx", f"d{i}.example") for i in range(1000)])
    assert found == [f"OK yes 10 mx.d{i}.example" for i in range(1000)], [f for f in found if "OK" not in f][:5]
