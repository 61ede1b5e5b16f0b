"""Real clients bring mail in; it arrives in a maildir as they sent it."""
import smtplib

from peers.bridgehead import Bridgehead, merge
from peers.dns import Dns
from peers.mail import added, field, message
from peers.place import Lan, ip
from peers.process import Failed, need_program, wait_for
from peers.sink import Sink
from peers.smtp import Client

TEXT = message("client", b"first\r\n.second\r\n..third\r\n\r\nlast\r\n")


def arrived(bridgehead, user, count=1):
    return bridgehead.wait_mail(user, count)[0]


def test_swaks(box):
    """swaks, with a file as the message."""
    bridgehead = box.add(Bridgehead(box))
    file = box.write("message", TEXT.replace(b"\r\n", b"\n").decode().rstrip("\n"))
    box.run(need_program("swaks"), "--server", bridgehead.smtp[0], "--port", bridgehead.smtp[1], "--from",
            "a@client.example", "--to", "b@local.example", "--data", f"@{file}", "--ehlo", "client.example")
    trace = added(arrived(bridgehead, "b"), TEXT)
    received = next(line for line in trace if line.startswith("Received:"))
    assert "from client.example" in received and "by mx.example.org" in received and "ESMTP" in received, received


def test_swaks_pipelining(box):
    """swaks with pipelined commands and several recipients."""
    bridgehead = box.add(Bridgehead(box))
    box.run(need_program("swaks"), "--server", bridgehead.smtp[0], "--port", bridgehead.smtp[1], "--from",
            "a@client.example", "--to", "b@local.example,c@local.example,d@local.example", "--pipeline", "--body", "hello")
    for user in "bcd":
        assert b"hello" in arrived(bridgehead, user)


def test_curl(box):
    """curl uploads a message."""
    bridgehead = box.add(Bridgehead(box))
    file = box.path("message")
    file.write_bytes(TEXT)
    box.run(need_program("curl"), "--silent", "--show-error", "--url", "smtp://{}:{}/client.example".format(*bridgehead.smtp),
            "--mail-from", "a@client.example", "--mail-rcpt", "b@local.example", "--upload-file", file)
    added(arrived(bridgehead, "b"), TEXT)


def test_msmtp(box):
    """msmtp sends from standard input."""
    bridgehead = box.add(Bridgehead(box))
    box.run(need_program("msmtp"), "--host", bridgehead.smtp[0], "--port", str(bridgehead.smtp[1]), "--from",
            "a@client.example", "--tls=off", "--auth=off", "b@local.example", input=TEXT.replace(b"\r\n", b"\n"))
    assert arrived(bridgehead, "b").endswith(b"first\r\n.second\r\n..third\r\n\r\nlast\r\n")


def test_smtplib(box):
    """Python's smtplib: several messages in a session, refusals told apart."""
    bridgehead = box.add(Bridgehead(box))
    with smtplib.SMTP(*bridgehead.smtp, local_hostname="client.example") as client:
        client.ehlo()
        for extension in ("pipelining", "size", "8bitmime", "enhancedstatuscodes", "chunking", "binarymime", "dsn",
                          "smtputf8", "limits", "help"):
            if not client.has_extn(extension):
                raise Failed(f"EHLO does not offer {extension}: {client.esmtp_features}")
        for n in range(5):
            client.sendmail("a@client.example", ["b@local.example"], message(f"number {n}"))
        assert client.noop()[0] == 250 and client.vrfy("b@local.example")[0] == 252
        assert client.expn("staff")[0] == 502 and client.docmd("BOGUS")[0] == 500
    subjects = {field(one, "subject") for one in bridgehead.wait_mail("b", 5)}
    assert subjects == {f"number {n}" for n in range(5)}, subjects


def test_smtp_source(box):
    """Postfix's smtp-source: 200 messages over 10 sessions at a time."""
    bridgehead = box.add(Bridgehead(box))
    box.run(need_program("smtp-source"), "-m", "200", "-s", "10", "-f", "a@client.example", "-t", "b@local.example",
            "-l", "5000", "{}:{}".format(*bridgehead.smtp))
    assert len(bridgehead.wait_mail("b", 200, timeout=60)) == 200


def reverse(host, name):
    return f"{'.'.join(reversed(host.split('.')))}.in-addr.arpa. IN PTR {name}."


def test_reverse_name(box):
    """The name of a client's address stands in Received when it leads back to the address; anybody can claim another one."""
    Lan(box)  # a network of its own: 127.0.0.0/8 has no names
    honest, liar, nameless = hosts = [f"192.0.2.{number}" for number in (1, 2, 3)]
    for host in hosts:
        ip("addr", "add", f"{host}/32", "dev", "lo")
    dns = box.add(Dns(box, [reverse(honest, "honest.example"), f"honest.example. IN A {honest}",
                            reverse(liar, "bank.example"), f"bank.example. IN A {honest}"]))
    bridgehead = Bridgehead(box, resolver=dns.address)
    bridgehead.write({"virtual_servers": [merge(bridgehead.config["virtual_servers"][0], {"reverse_dns_lookup": True})]})
    box.add(bridgehead)
    for user, host in (("honest", honest), ("liar", liar), ("nameless", nameless)):
        with smtplib.SMTP(*bridgehead.smtp, local_hostname="client.example", source_address=(host, 0)) as client:
            client.sendmail("a@client.example", [f"{user}@local.example"], TEXT)
        received = field(arrived(bridgehead, user), "received")
        assert f"[{host}]" in received and "from client.example (" in received, received
        assert ("honest.example" in received) == (user == "honest") and "bank.example" not in received, received


def test_null_sender_and_postmaster(box):
    """MAIL FROM:<>, RCPT TO:<postmaster>, a quoted local part, a source route: RFC 5321's odd ones."""
    bridgehead = box.add(Bridgehead(box))
    with Client(bridgehead.smtp) as client:
        client.ehlo()
        client.command("MAIL FROM:<>", 250)
        client.command("RCPT TO:<postmaster>", 250)
        client.command('RCPT TO:<"odd one"@local.example>', 250)
        client.command("RCPT TO:<@relay.example:routed@local.example>", 250)
        reply = client.data(message("odd"))
        assert "2.6.0" in reply.text, reply
    arrived(bridgehead, "postmaster")
    arrived(bridgehead, "routed")
    wait_for("the quoted local part", lambda: len(list((bridgehead.dir / "mail" / "local.example").iterdir())) == 3)


def test_postmaster_without_local_domains(box):
    """<postmaster> of a server that delivers nothing itself: a configured address, also for strangers (4.5.1)."""
    sink = box.add(Sink(box))
    nothing_local = {"local_domains": []}
    bridgehead = Bridgehead(box, smart_host=sink.address, config=nothing_local)
    server = merge(bridgehead.config["virtual_servers"][0], {"relay_from": []})
    bridgehead.write({"virtual_servers": [server]})
    box.add(bridgehead)
    with Client(bridgehead.smtp) as client:
        client.ehlo()
        client.command("MAIL FROM:<a@client.example>", 250)
        client.command("RCPT TO:<postmaster>", 550)
    warned = bridgehead.cli("config", "check")
    assert "warning" in warned.stderr and "delivery.dsn.postmaster" in warned.stderr, warned
    assert len(bridgehead.json("config", "check")["warnings"]) == 1
    bridgehead.write({"delivery": merge(bridgehead.config["delivery"], {"dsn": {"postmaster": "ops@far.example"}})})
    bridgehead.reload()
    assert bridgehead.cli("config", "check").stderr == ""
    with Client(bridgehead.smtp) as client:
        client.ehlo()
        client.command("MAIL FROM:<a@client.example>", 250)
        client.command("RCPT TO:<x@far.example>", 550)
        client.command("RCPT TO:<ops@far.example>", 550)
        wait_for("the new configuration", lambda: client.command("RCPT TO:<PostMaster>").code == 250)
        client.data(message("to the postmaster"))
    wait_for(lambda: sink.stats(), lambda: sink.stats()["messages"] == 1)
    assert "ops@far.example" in bridgehead.process.log.read_text()


def test_internationalised_domains_have_one_name(box):
    """RFC 6531 3.2: however an internationalised domain is written, in the configuration or in an address, it is one."""
    forms = ["bücher.example", "BÜCHER.example", "bu\u0308cher.example", "xn--bcher-kva.example"]
    bridgehead = Bridgehead(box, smart_host=(box.host, box.port()))
    bridgehead.write({"local_domains": [{"domain": forms[0], "deliver": f"maildir:{bridgehead.dir}/mail/%d/%u"}]})
    box.add(bridgehead)
    for number, form in enumerate(forms):
        bridgehead.send(f"u{number}@{form}", TEXT, sender="", parameters=" SMTPUTF8")
        bridgehead.send(f"u@far.{form}", TEXT, sender="", parameters=" SMTPUTF8")
    bridgehead.send([f"u@{form}" for form in forms], TEXT, sender="", parameters=" SMTPUTF8")
    for number in range(len(forms)):
        bridgehead.wait_mail(f"u{number}", domain=forms[-1])
    bridgehead.wait_mail("u", domain=forms[-1])
    queues = bridgehead.json("queue", "list")
    assert [(q["queue"], q["waiting"] + q["in_hand"]) for q in queues] == [(f"far.{forms[-1]}", 4)], queues
    assert len(bridgehead.mailbox("u", forms[-1])) == 1


def test_no_traversal_by_address(box):
    """A recipient cannot name a directory outside the mail directory."""
    bridgehead = box.add(Bridgehead(box))
    with Client(bridgehead.smtp) as client:
        client.ehlo()
        client.command("MAIL FROM:<a@client.example>", 250)
        client.command('RCPT TO:<"../../../escaped"@local.example>', 250)
        client.command('RCPT TO:<"..\\\\x/../../y"@local.example>')
        client.command("RCPT TO:<plain@local.example>", 250)
        client.data(message("traversal"))
    arrived(bridgehead, "plain")
    wait_for("the others", lambda: len(list(bridgehead.dir.rglob("new/*"))) >= 2)
    outside = [p for p in box.dir.rglob("new/*") if bridgehead.dir / "mail" / "local.example" not in p.parents]
    assert not outside, outside
