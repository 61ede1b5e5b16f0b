"""Real servers take mail from Bridgehead."""
from peers.bridgehead import Bridgehead
from peers.dovecot import Dovecot
from peers.exim import Exim
from peers.mail import message
from peers.postfix import Postfix
from peers.process import wait_for
from peers.sink import PostfixSink, Sink, load

TEXT = message("destination", b"first\r\n.second\r\n..third\r\n" + "Grüße\r\n".encode())


def ends_with_text(content):
    """Mailboxes hold LF."""
    return content.replace(b"\r\n", b"\n").endswith(TEXT.split(b"\r\n\r\n", 1)[1].replace(b"\r\n", b"\n"))


def test_postfix(box):
    """Postfix as smart host, into its virtual mailbox."""
    postfix = box.add(Postfix(box, domains=["postfix.example"]))
    bridgehead = box.add(Bridgehead(box, smart_host=(postfix.host, postfix.port)))
    for _ in range(3):
        bridgehead.send("b@postfix.example", TEXT, parameters=" BODY=8BITMIME")
    wait_for(lambda: postfix.log(), lambda: len(postfix.messages()) == 3)
    assert all(ends_with_text(one) for one in postfix.messages())


def test_exim(box):
    """Exim as smart host: one message, three recipients, three fates."""
    exim = box.add(Exim(box))
    bridgehead = box.add(Bridgehead(box, smart_host=exim.address))
    bridgehead.send(["b@exim.example", "nobody@exim.example", "later@exim.example"], TEXT, parameters=" BODY=8BITMIME")
    wait_for(lambda: exim.log(), lambda: len(exim.messages()) == 1)
    assert ends_with_text(exim.messages()[0])
    _, recipients, _ = bridgehead.wait_report()
    assert len(recipients) == 1, recipients
    report = dict(recipients[0])
    assert report["final-recipient"].endswith("nobody@exim.example") and report["status"].startswith("5."), report
    assert "no such user here" in report["diagnostic-code"], report
    queues = bridgehead.cli("queue", "list").stdout
    assert "exim.example" in queues and "come back later" in queues, queues


def test_dovecot_lmtp_tcp(box):
    """Local delivery by LMTP over TCP, several recipients in a transaction."""
    dovecot = box.add(Dovecot(box))
    local = [{"domain": "box.example", "deliver": "lmtp://{}:{}".format(*dovecot.address)}]
    bridgehead = box.add(Bridgehead(box, config={"local_domains": local}))
    bridgehead.send(["b@box.example", "c@box.example", "d+detail@box.example"], TEXT, "a@client.example")
    wait_for(lambda: dovecot.log(), lambda: len(dovecot.messages()) == 3)
    assert all(ends_with_text(one) for one in dovecot.messages())


def test_dovecot_lmtp_unix(box):
    """Local delivery by LMTP over a unix socket."""
    dovecot = box.add(Dovecot(box))
    bridgehead = box.add(Bridgehead(box, config={
        "local_domains": [{"domain": "box.example", "deliver": f"lmtp:unix:{dovecot.socket}"}]}))
    bridgehead.send("b@box.example", TEXT, "a@client.example")
    wait_for(lambda: dovecot.log(), dovecot.messages)


def test_lmtp_recipients_differ(box):
    """LMTP answers for each recipient: one taken, one refused, one put off."""
    sink = box.add(Sink(box, lmtp=True, store=True,
                        rules=["dot:550 5.2.1 mailbox disabled:1:no@", "dot:452 4.2.2 mailbox full:1:full@"]))
    local = [{"domain": "box.example", "deliver": "lmtp://{}:{}".format(*sink.address)},
             {"domain": "local.example", "deliver": f"maildir:{box.dir}/bridgehead/mail/%d/%u"}]
    bridgehead = box.add(Bridgehead(box, config={"local_domains": local}))
    bridgehead.send(["yes@box.example", "no@box.example", "full@box.example"], TEXT)
    _, recipients, _ = bridgehead.wait_report()
    assert [dict(one)["status"] for one in recipients] == ["5.2.1"], recipients
    assert sink.stats()["recipients"] == 1, sink.stats()
    sink.rules()
    bridgehead.cli("queue", "retry", "--all")
    wait_for(lambda: sink.stats(), lambda: not bridgehead.json("queue", "list"))
    assert [commands.count("RCPT") for commands, _ in sink.messages()] == [3, 1], sink.messages()
    assert "full@" in sink.messages()[1][0] and sink.stats()["recipients"] == 2, sink.stats()


def test_smtp_sink(box):
    """Postfix's smtp-sink, 500 messages."""
    sink = box.add(PostfixSink(box))
    bridgehead = box.add(Bridgehead(box, smart_host=sink.address))
    results = load(bridgehead.smtp, messages=500, sessions=10, per_connection=20)
    assert results["acked"] == 500, results
    wait_for(lambda: bridgehead.cli("queue", "list").stdout, lambda: bridgehead.json("queue", "list") in ([], {"queues": []}), 60)


def test_one_message_everywhere(box):
    """One message with recipients in a maildir, behind LMTP and behind a smart host."""
    sink, dovecot = box.add(Sink(box, store=True)), box.add(Dovecot(box))
    bridgehead = Bridgehead(box, smart_host=sink.address)
    bridgehead.write({"local_domains": bridgehead.config["local_domains"] + [
        {"domain": "box.example", "deliver": "lmtp://{}:{}".format(*dovecot.address)}]})
    box.add(bridgehead)
    bridgehead.send(["b@local.example", "c@box.example", "d@far.example", "e@far.example", "f@near.example"], TEXT)
    bridgehead.wait_mail("b")
    wait_for(lambda: dovecot.log(), dovecot.messages)
    wait_for(lambda: sink.stats(), lambda: sink.stats()["recipients"] == 3)
    assert all(content.endswith(TEXT) for _, content in sink.messages())


def test_messages_per_connection(box):
    """No more than 20 messages go over a connection, and connections are used again."""
    sink = box.add(Sink(box))
    bridgehead = box.add(Bridgehead(box, smart_host=sink.address))
    results = load(bridgehead.smtp, messages=1000, sessions=10, per_connection=50)
    wait_for(lambda: sink.stats(), lambda: sink.stats()["unique"] == 1000, 60)
    stats = sink.stats()
    assert results["acked"] == 1000 and stats["duplicates"] == 0, (results, stats)
    assert 50 <= stats["connections"] <= 500, stats


def test_every_extension_missing(box):
    """A server with nothing but HELO-time SMTP still gets its mail."""
    sink = box.add(Sink(box, store=True, rules=["ehlo:500 5.5.1 what:1:EHLO"]))
    bridgehead = box.add(Bridgehead(box, smart_host=sink.address))
    plain = message("plain", b"only ascii\r\n.dot\r\n")
    bridgehead.send(["b@far.example", "c@far.example"], plain)
    wait_for(lambda: sink.stats(), lambda: sink.stats()["messages"] == 1)
    assert sink.messages()[0][1].endswith(plain)
