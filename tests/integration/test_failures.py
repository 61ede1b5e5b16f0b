"""Servers that refuse, hesitate or hang up: nothing is lost, and the sender learns what he should."""
import os
import signal

from peers.bridgehead import Bridgehead
from peers.mail import field, message
from peers.process import Failed, children, wait_for
from peers.sink import PostfixSink, Sink, load
from peers.smtp import Client, send

QUICK = {"delivery": {"retry": {"glitch": ["1s", "1s", "1s"], "schedule": ["1s"], "jitter_percent": 0}}}
AT_ONCE = {"delivery": {"retry": {"glitch": ["50ms"], "schedule": ["50ms"], "jitter_percent": 0}}}
TEXT = message("failure", b"body of the message\r\n")


def pair(box, *rules, config=QUICK, **options):
    sink = box.add(Sink(box, rules=rules, store=True, **options))
    return sink, box.add(Bridgehead(box, smart_host=sink.address, config=config))


def refused(box, rule, status, text):
    """A refusal by `rule` becomes a report with this status and text."""
    sink, bridgehead = pair(box, rule)
    bridgehead.send("b@far.example", TEXT)
    message_fields, recipients, returned = bridgehead.wait_report()
    report = dict(recipients[0])
    assert dict(message_fields)["reporting-mta"].lower().startswith("dns;"), message_fields
    assert report["final-recipient"].replace(" ", "").lower() == "rfc822;b@far.example", report
    assert (report["action"], report["status"]) == ("failed", status), report
    assert text in report["diagnostic-code"] and "smtp;" in report["diagnostic-code"].lower(), report
    assert b"Subject: failure" in returned, returned
    whole = bridgehead.mailbox("a")[0]
    assert field(whole, "return-path") == "<>", whole[:500]
    assert sink.stats()["messages"] == 0
    return bridgehead


def test_refused_greeting(box):
    """554 of a smart host instead of a greeting: somebody's mistake, which is mended before the mail expires."""
    sink, bridgehead = pair(box, "connect:554 5.3.2 not today")
    bridgehead.send("b@far.example", TEXT)
    wait_for("the connection", lambda: sink.stats()["connections"] >= 2)
    sink.rules()
    wait_for(lambda: f"delivery; {sink.stats()} {bridgehead.cli('queue', 'list').stdout}",
             lambda: sink.stats()["messages"] == 1 or bridgehead.mailbox("a"))


def test_refused_mail(box):
    """550 to MAIL."""
    refused(box, "mail:550 5.7.1 no mail from you", "5.7.1", "no mail from you")


def test_refused_rcpt(box):
    """550 to RCPT."""
    refused(box, "rcpt:550 5.1.1 no such user", "5.1.1", "no such user")


def test_refused_data(box):
    """554 to DATA or BDAT."""
    sink, bridgehead = pair(box, "data:554 5.6.0 no data", hide=["CHUNKING"])
    bridgehead.send("b@far.example", TEXT)
    _, recipients, _ = bridgehead.wait_report()
    assert dict(recipients[0])["status"] == "5.6.0", recipients


def test_refused_end(box):
    """554 to the end of data."""
    refused(box, "dot:554 5.7.0 that is spam", "5.7.0", "that is spam")


def test_refused_without_enhanced_code(box):
    """A bare 550 gets a status of its own class."""
    _, bridgehead = pair(box, "rcpt:550 nobody")
    bridgehead.send("b@far.example", TEXT)
    _, recipients, _ = bridgehead.wait_report()
    assert dict(recipients[0])["status"].startswith("5."), recipients


def put_off(box, rule, count=1, counted="attempts"):
    """With `rule` nothing arrives; without it everything does, once."""
    sink, bridgehead = pair(box, rule)
    for n in range(count):
        bridgehead.send(f"b{n}@far.example", TEXT)
    wait_for("two attempts", lambda: sink.stats()[counted] >= 2)
    assert sink.stats()["messages"] == 0 and not bridgehead.mailbox("a")
    sink.rules()
    wait_for(lambda: f"{sink.stats()} {bridgehead.cli('queue', 'list').stdout}",
             lambda: sink.stats()["messages"] == count, 60)
    assert not bridgehead.mailbox("a"), "a report although it was delivered"


def test_put_off_greeting(box):
    """421 instead of a greeting."""
    put_off(box, "connect:421 4.3.2 too busy", counted="connections")


def test_put_off_mail(box):
    """451 to MAIL."""
    put_off(box, "mail:451 4.3.0 later")


def test_put_off_rcpt(box):
    """450 to RCPT: greylisting."""
    put_off(box, "rcpt:450 4.2.0 greylisted")


def test_put_off_end(box):
    """452 to the end of data."""
    put_off(box, "dot:452 4.3.1 disk full")


def test_put_off_by_421(box):
    """421 in the middle of a session, for several messages."""
    put_off(box, "rcpt:421 4.3.2 going down", count=5)


def taking_sink(box, name, address):
    """Postfix's smtp-sink, which leaves a file for each message."""
    directory = box.path(name, "x").parent
    directory.chmod(0o777)  # it runs as nobody
    box.add(PostfixSink(box, "-d", f"{directory}/%H%M%S.", name=name, address=address))
    return directory


def test_words_that_are_no_text(box):
    """Escape sequences, quotes and broken UTF-8 in what a server says reach no terminal, log or field as they are."""
    words = os.fsdecode(b"5.1.1 \x1b[31mred\x07 a='b' \"x\\ %s \x7f\x85 \xc3\xbc \xff")
    sink, bridgehead = pair(box, f"rcpt:550 {words}:1:no@", f"rcpt:450 {words}:1:later@")
    returned = bridgehead.send("no@far.example", TEXT)
    bad = bridgehead.send("no@far.example", TEXT, sender="")
    bridgehead.send("later@far.example", TEXT)
    _, recipients, _ = bridgehead.wait_report()
    report = dict(recipients[0])
    assert report["status"] == "5.1.1" and report["diagnostic-code"].startswith("smtp; 550 5.1.1 \\x1b[31mred\\x07"), report
    wait_for("badmail", lambda: bridgehead.json("badmail", "list"))
    wait_for("one that waits", lambda: "red" in bridgehead.cli("queue", "list").stdout)
    commands = [("message", "track", returned), ("badmail", "list"), ("badmail", "show", bad), ("queue", "list"),
                ("queue", "show", "far.example"), ("status",)]
    said = [bridgehead.cli(*command).stdout for command in commands] + [bridgehead.mailbox("a")[0].decode("ascii"),
                                                                        bridgehead.process.log.read_text()]
    for text in said:
        assert all(c == "\n" or c.isprintable() for c in text.replace("\r\n", "\n").replace("\t", " ")), ascii(text)
    assert sum("red" in text for text in said) >= 6, said
    for command in commands:
        bridgehead.json(*command)


def test_postfix_sink_refuses(box):
    """smtp-sink with 4xx, 5xx, 421 and dropped connections at every command: what is put off arrives when it takes mail
    again and nobody hears of it, what is refused comes back."""
    going_down = ["-b", "421 4.3.2 going down"]
    put_off = {**{f"soft-{command}": ["-r", command] for command in ("mail", "rcpt", "data", ".")},
               **{f"down-{command}": [*going_down, "-r", command] for command in ("mail", "rcpt", ".")},
               **{f"drop-{command}": ["-q", command] for command in ("ehlo", "mail", "rcpt", "data", ".")}}
    refused = {f"hard-{command}": ["-f", command] for command in ("mail", "rcpt", "data", ".")}
    cases = {name.replace(".", "end"): options for name, options in {**put_off, **refused}.items()}
    sinks = {name: PostfixSink(box, *options, name=name) for name, options in cases.items()}
    connectors = [{"name": name, "type": "smtp", "address_spaces": [{"space": f"{name}.example"}],
                   "smart_hosts": ["{}:{}".format(*sink.address)]} for name, sink in sinks.items()]
    for sink in sinks.values():
        box.add(sink)
    bridgehead = box.add(Bridgehead(box, config={**QUICK, "connectors": connectors}))
    for name in cases:
        bridgehead.send(f"b@{name}.example", TEXT, f"{name}@local.example")
    for name in (name for name in cases if name.startswith("hard")):
        report = dict(bridgehead.wait_report(user=name)[1][0])
        assert report["status"].startswith("5.") and "smtp;" in report["diagnostic-code"].lower(), (name, report)
    waiting = [name for name in cases if not name.startswith("hard")]
    for name in waiting:
        wait_for(lambda: f"{name} to wait: {bridgehead.cli('queue', 'list').stdout}",
                 lambda: any(f"{name}.example" in line and "Retry" in line
                             for line in bridgehead.cli("queue", "list").stdout.splitlines()))
        sink = sinks[name]
        sink.stop()
        directory = taking_sink(box, f"{name}-again", sink.address)
        wait_for(lambda: f"{name}: {bridgehead.cli('queue', 'list').stdout}",
                 lambda: any(b"body of the message" in path.read_bytes() for path in directory.iterdir()))
        assert not bridgehead.mailbox(name), f"{name}: a report although it was delivered"


def test_silence_in_every_phase(box):
    """A server that says nothing more: each phase has its time-out, then it is tried again."""
    sinks = {phase: box.add(Sink(box, phase, hide=["CHUNKING"],
                                 rules=[f"{phase}:delay=3600000", "dot:451 4.3.0 nobody hears it"]))
             for phase in ("connect", "ehlo", "mail", "rcpt", "data", "dot")}
    connectors = [{"name": phase, "type": "smtp", "address_spaces": [{"space": f"{phase}.example"}],
                   "smart_hosts": ["{}:{}".format(*sink.address)]} for phase, sink in sinks.items()]
    names = ("greeting", "helo", "mail", "rcpt", "data", "end_of_data")
    bridgehead = box.add(Bridgehead(box, config={"connectors": connectors, "delivery": {
        **AT_ONCE["delivery"], "timeouts": {name: "300ms" for name in names}}}))
    for phase in sinks:
        bridgehead.send(f"b@{phase}.example", TEXT)
    for phase, sink in sinks.items():
        wait_for(f"another connection after silence at {phase}", lambda: sink.stats()["connections"] >= 2)
        assert sink.stats()["messages"] == 0, phase
        sink.rules()
        # A sink that is slower than the time-out by chance gets the message again.
        wait_for(lambda: f"{phase}: {sink.stats()}", lambda: sink.stats()["messages"] >= 1)
    assert not bridgehead.mailbox("a")


def test_hang_up_everywhere(box):
    """Connections dropped in every phase: 300 messages arrive all the same, none twice."""
    sink, bridgehead = pair(box, "connect:drop:0.1", "ehlo:drop:0.1", "mail:drop:0.1", "rcpt:reset:0.1", "data:drop:0.1",
                            "dot:drop:0.1", "dot:421:0.05", config=AT_ONCE)
    results = load(bridgehead.smtp, messages=300, sessions=10, per_connection=10)
    assert results["acked"] == 300, results
    wait_for(lambda: f"{sink.stats()} {bridgehead.cli('queue', 'list').stdout}",
             lambda: sink.stats()["unique"] == 300, 120)
    assert sink.stats()["duplicates"] == 0 and sink.stats()["corrupt"] == 0, sink.stats()


def test_dead_destination_comes_back(box):
    """Connections refused, then taken: everything is delivered."""
    sink, bridgehead = pair(box, refuse=True)
    results = load(bridgehead.smtp, messages=100, sessions=5, per_connection=20)
    assert results["acked"] == 100, results
    wait_for(lambda: bridgehead.cli("queue", "list").stdout, lambda: "Retry" in bridgehead.cli("queue", "list").stdout)
    sink.control("accept")
    wait_for(lambda: sink.stats(), lambda: sink.stats()["unique"] == 100, 60)


def test_slow_domain_delays_nobody(box):
    """A server that never answers a message does not hold up another one."""
    slow = box.add(Sink(box, "slow", rules=["dot:delay=3600000"]))
    fast = box.add(Sink(box, "fast"))
    connectors = [{"name": name, "type": "smtp", "address_spaces": [{"space": f"{name}.example"}],
                   "smart_hosts": ["{}:{}".format(*sink.address)]} for name, sink in (("slow", slow), ("fast", fast))]
    bridgehead = box.add(Bridgehead(box, config={"connectors": connectors, "delivery": {"grace": "1s"}}))
    for n in range(150):
        send(bridgehead.smtp, "a@local.example", f"b{n}@slow.example", TEXT)
    wait_for(lambda: slow.stats(), lambda: slow.stats()["current"] > 0)
    load(bridgehead.smtp, messages=200, sessions=10, domain="fast.example")
    wait_for(lambda: fast.stats(), lambda: fast.stats()["unique"] == 200)
    assert 0 < slow.stats()["current"] <= slow.stats()["max"] <= 100, slow.stats()


def test_notify_never(box):
    """NOTIFY=NEVER: no report."""
    sink, bridgehead = pair(box, "rcpt:550 5.1.1 no such user")
    with Client(bridgehead.smtp) as client:
        client.ehlo()
        client.command("MAIL FROM:<a@local.example>", 250)
        client.command("RCPT TO:<never@far.example> NOTIFY=NEVER", 250)
        client.data(TEXT)
        client.command("MAIL FROM:<c@local.example>", 250)
        client.command("RCPT TO:<loud@far.example>", 250)
        client.data(TEXT)
    bridgehead.wait_report("c")
    assert not bridgehead.mailbox("a")


def test_dsn_parameters(box):
    """RET, ENVID and ORCPT come back in the report."""
    _, bridgehead = pair(box, "rcpt:550 5.1.1 no such user", hide=["DSN"])
    with Client(bridgehead.smtp) as client:
        client.ehlo()
        client.command("MAIL FROM:<a@local.example> RET=HDRS ENVID=QQ+2B314", 250)
        client.command("RCPT TO:<b@far.example> NOTIFY=FAILURE,DELAY ORCPT=rfc822;first+2Btag@old.example", 250)
        client.data(TEXT)
    message_fields, recipients, returned = bridgehead.wait_report()
    assert dict(message_fields)["original-envelope-id"] == "QQ+314", message_fields
    assert "first+tag@old.example" in dict(recipients[0])["original-recipient"], recipients
    assert b"Subject: failure" in returned and b"body of the message" not in returned, returned


def test_dsn_success(box):
    """NOTIFY=SUCCESS: delivered into a maildir, relayed to a server without DSN."""
    sink, bridgehead = pair(box, hide=["DSN"])
    with Client(bridgehead.smtp) as client:
        client.ehlo()
        for sender, recipient in (("a@local.example", "b@local.example"), ("c@local.example", "d@far.example")):
            client.command(f"MAIL FROM:<{sender}>", 250)
            client.command(f"RCPT TO:<{recipient}> NOTIFY=SUCCESS", 250)
            client.data(TEXT)
    assert dict(bridgehead.wait_report("a")[1][0])["action"] == "delivered"
    assert dict(bridgehead.wait_report("c")[1][0])["action"] == "relayed"


def test_dsn_passed_on(box):
    """A server that offers DSN gets the parameters instead."""
    sink, bridgehead = pair(box)
    with Client(bridgehead.smtp) as client:
        client.ehlo()
        client.command("MAIL FROM:<a@local.example> RET=HDRS ENVID=QQ314", 250)
        client.command("RCPT TO:<b@far.example> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;b@old.example", 250)
        client.data(TEXT)
    wait_for(lambda: sink.stats(), lambda: sink.stats()["messages"] == 1)
    commands = sink.messages()[0][0]
    for parameter in ("RET=HDRS", "ENVID=QQ314", "NOTIFY=SUCCESS,FAILURE", "ORCPT=rfc822;b@old.example"):
        assert parameter in commands, commands


def test_no_report_about_a_report(box):
    """An undeliverable message with the null sender becomes badmail."""
    sink, bridgehead = pair(box, "rcpt:550 5.1.1 no such user")
    bridgehead.send("b@far.example", TEXT, sender="")
    listed = wait_for(lambda: bridgehead.cli("badmail", "list").stdout,
                      lambda: "no such user" in bridgehead.cli("badmail", "list").stdout and
                      bridgehead.cli("badmail", "list").stdout)
    assert "far.example" in listed, listed


def test_delay_notice(box):
    """A message that waits longer than delay_notice: the sender is told once."""
    retry = {"glitch": ["1s"], "schedule": ["1s"], "jitter_percent": 0, "delay_notice": "2s"}
    sink, bridgehead = pair(box, "rcpt:450 4.2.0 later", config={"delivery": {"retry": retry}})
    bridgehead.send("b@far.example", TEXT)
    _, recipients, _ = bridgehead.wait_report()
    report = dict(recipients[0])
    assert report["action"] == "delayed" and report["status"].startswith("4."), report
    before = sink.stats()["attempts"]  # over the same connection, as long as it may be used
    wait_for("three more attempts", lambda: sink.stats()["attempts"] >= before + 3)
    assert len(bridgehead.mailbox("a")) == 1


def test_delay_notice_over_restarts(box):
    """The notice is part of what is queued: a worker that is killed or restarted does not send it again."""
    retry = {"glitch": ["1s"], "schedule": ["1s"], "jitter_percent": 0, "delay_notice": "2s"}
    sink, bridgehead = pair(box, "rcpt:450 4.2.0 later", config={
        "delivery": {"retry": retry}, "worker": {"lease": "2s"}, "redis": {"command_timeout": "500ms"}})
    bridgehead.send("b@far.example", TEXT)
    bridgehead.wait_report()

    def kill_children():
        """The worker among them; `run` starts them anew."""
        for pid in children(bridgehead.pid)[1:]:
            os.kill(pid, signal.SIGKILL)

    for end in (lambda: (bridgehead.stop(), bridgehead.start()), kill_children):
        end()
        before = sink.stats()["attempts"]
        wait_for("three more attempts", lambda: sink.stats()["attempts"] >= before + 3)
    assert len(bridgehead.mailbox("a")) == 1
    sink.rules()
    wait_for(lambda: sink.stats(), lambda: sink.stats()["messages"] == 1)
    assert len(bridgehead.mailbox("a")) == 1 and sink.stats()["duplicates"] == 0


def test_expiry(box):
    """A message that cannot be delivered until it expires comes back."""
    retry = {"glitch": ["5s"], "schedule": ["5s"], "jitter_percent": 0, "expire": "60s", "delay_notice": "0"}
    _, bridgehead = pair(box, "rcpt:450 4.2.0 always later", config={"delivery": {"retry": retry}})
    bridgehead.send("b@far.example", TEXT)
    _, recipients, _ = bridgehead.wait_report(timeout=100)
    report = dict(recipients[0])
    assert report["action"] == "failed" and "always later" in report["diagnostic-code"], report


def lacking(box, extension, parameters, recipient, content, status, bdat=False):
    """A message that needs what the next server lacks is returned with this status."""
    _, bridgehead = pair(box, hide=extension)
    with Client(bridgehead.smtp) as client:
        client.ehlo()
        client.command(f"MAIL FROM:<a@local.example>{parameters}", 250)
        client.command(f"RCPT TO:<{recipient}>", 250)
        client.bdat(content) if bdat else client.data(content)
    _, recipients, _ = bridgehead.wait_report()
    assert dict(recipients[0])["status"] in status, recipients


def test_lacking_smtputf8(box):
    """SMTPUTF8 is needed and not offered."""
    lacking(box, ["SMTPUTF8"], " SMTPUTF8", "jörg@far.example", TEXT, ("5.6.7",))


def test_lacking_8bitmime(box):
    """8-bit content, and the server takes none (RFC 6152 3). Whoever only claims it gets his mail through."""
    sink, bridgehead = pair(box, hide=["8BITMIME", "BINARYMIME"])
    bridgehead.send("plain@far.example", message("seven bits"), sender="c@local.example", parameters=" BODY=8BITMIME")
    wait_for(lambda: sink.stats(), lambda: sink.stats()["messages"] == 1)
    bridgehead.send("b@far.example", message("eight", "Grüße\r\n".encode()), parameters=" BODY=8BITMIME")
    _, recipients, _ = bridgehead.wait_report()
    assert dict(recipients[0])["status"] == "5.6.3", recipients
    assert sink.stats()["messages"] == 1 and not bridgehead.mailbox("c")


def test_lacking_binarymime(box):
    """BINARYMIME is needed and not offered."""
    lacking(box, ["BINARYMIME", "CHUNKING"], " BODY=BINARYMIME", "b@far.example", message("binary", b"a\0b\r\n"),
            ("5.6.1", "5.6.3"), bdat=True)


def test_too_large_for_next_server(box):
    """The next server's SIZE is smaller than the message."""
    sink, bridgehead = pair(box, size=1000)
    bridgehead.send("b@far.example", message("large", b"x" * 76 + b"\r\n" + b"y\r\n" * 2000))
    _, recipients, _ = bridgehead.wait_report()
    assert dict(recipients[0])["status"] == "5.3.4", recipients
    assert sink.stats()["messages"] == 0
