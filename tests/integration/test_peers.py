"""The peers themselves, against each other: what the other tests stand on."""
import smtplib

from peers.certificates import Certificates
from peers.dns import Dns
from peers.dovecot import Dovecot
from peers.exim import Exim
from peers.postfix import Postfix
from peers.process import need_program, wait_for
from peers.redis import SentinelTrio
from peers.sink import PostfixSink, Sink, load
from peers.smtp import Client, send

MESSAGE = b"From: <a@client.example>\r\nSubject: peers\r\n\r\none\r\n.two\r\n..three\r\n"


def test_postfix_relays_to_sink(box):
    """swaks to Postfix to the sink: what is sent arrives, dots and all."""
    sink = box.add(Sink(box, store=True))
    postfix = box.add(Postfix(box, relay_to=sink.address))
    body = box.write("message", MESSAGE.decode())
    box.run(need_program("swaks"), "--server", postfix.host, "--port", postfix.port, "--from", "a@client.example",
            "--to", "b@far.example", "--data", f"@{body}", "--silent", "2")
    wait_for(lambda: postfix.log(), lambda: sink.stats()["messages"] == 1)
    commands, content = sink.messages()[0]
    assert "RCPT TO:<b@far.example>" in commands, commands
    # swaks ends a file that ends with a line end with one more.
    assert content.endswith(b"\r\n\r\none\r\n.two\r\n..three\r\n\r\n"), content


def test_postfix_mailbox(box):
    """smtplib to a virtual mailbox of Postfix."""
    postfix = box.add(Postfix(box, domains=["postfix.example"]))
    with smtplib.SMTP(postfix.host, postfix.port) as client:
        client.sendmail("a@client.example", ["b@postfix.example"], MESSAGE)
    wait_for(lambda: postfix.log(), postfix.messages)


def test_exim_mailbox(box):
    """DATA and BDAT to Exim; nobody@ refused, later@ put off."""
    exim = box.add(Exim(box))
    send(exim.address, "a@client.example", "b@exim.example", MESSAGE)
    with Client(exim.address) as client:
        assert {"CHUNKING", "DSN", "SMTPUTF8", "8BITMIME"} <= set(client.ehlo())
        client.command("MAIL FROM:<a@client.example>", 250)
        client.command("RCPT TO:<nobody@exim.example>", 550)
        client.command("RCPT TO:<later@exim.example>", 451)
        client.command("RCPT TO:<c@exim.example>", 250)
        client.bdat(MESSAGE)
    wait_for(lambda: exim.log(), lambda: len(exim.messages()) == 2)
    assert all(m.replace(b"\r\n", b"\n").endswith(b"\none\n.two\n..three\n") for m in exim.messages())


def test_exim_tls(box):
    """STARTTLS with a certificate that our authority signed."""
    tls = Certificates(box)
    exim = box.add(Exim(box, tls=tls.issue("mx.example.org")))
    with Client(exim.address) as client:
        assert "STARTTLS" in client.ehlo()
        client.starttls(tls.client_context())
        assert "STARTTLS" not in client.ehlo()


def test_dovecot_lmtp(box):
    """LMTP on TCP and on a unix socket."""
    dovecot = box.add(Dovecot(box))
    with Client(dovecot.address) as client:
        client.command("LHLO client.example", 250)
        client.envelope("a@client.example", "b@box.example")
        client.data(MESSAGE)
    assert dovecot.socket.is_socket()
    wait_for(lambda: dovecot.log(), dovecot.messages)


def test_dns_zone(box):
    """NSD answers what the zone says, and NXDOMAIN for the rest."""
    dns = box.add(Dns(box, ["a.example. IN MX 10 mx.a.example.", f"mx.a.example. IN A {box.host}",
                            "null.example. IN MX 0 .", "v6.example. IN AAAA ::1"]))
    found = [dns.answers("a.example", 15), dns.answers("mx.a.example"), dns.answers("null.example", 15),
             dns.answers("v6.example", 28), dns.answers("v6.example", 1), dns.answers("nowhere.example")]
    assert found == [1, 1, 1, 1, 0, None], found


def test_sentinel_failover(box):
    """Three Sentinels promote a replica when the primary is killed."""
    trio = box.add(SentinelTrio(box))
    trio.servers[0].ask("set", "x", "1")
    trio.servers[0].kill()
    wait_for("a new primary", lambda: trio.primary() is not trio.servers[0], 30)
    wait_for("it to take writes", lambda: trio.primary().ask("set", "y", "2", check=False) == "OK")


def test_sinks(box):
    """smtp-source to smtp-sink, smtp_load to smtp_sink."""
    theirs = box.add(PostfixSink(box))
    box.run(need_program("smtp-source"), "-m", "20", "-s", "4", "-t", "b@sink.example", "{}:{}".format(*theirs.address))
    ours = box.add(Sink(box, rules=["rcpt:550 5.1.1 unknown:1:u1@"]))
    results = load(ours.address, messages=100, sessions=5, per_connection=10, rcpts=2)
    stats = ours.stats()
    assert (results["acked"], stats["messages"], stats["recipients"]) == (100, 100, 100), (results, stats)
