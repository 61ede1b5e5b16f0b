"""What goes in comes out byte for byte, below the trace headers that were added."""
import pathlib

from peers.bridgehead import Bridgehead, executable
from peers.mail import added, binary_corpus, message, noise, text_corpus
from peers.process import Failed, Sandbox, children, wait_for
from peers.sink import Sink
from peers.smtp import Client


def send_all(address, corpus, way, parameters=""):
    """Sends each message of a corpus to <numbered>@..., in one session."""
    with Client(address) as client:
        client.ehlo()
        for number, content in enumerate(corpus.values()):
            user = f"{way.get('user', 'n')}{number}"
            client.envelope("a@client.example", f"{user}@{way['domain']}", parameters=parameters)
            client.bdat(content, way.get("chunk")) if "chunk" in way else client.data(content)


def compare(corpus, found):
    """found(number) is the delivered message with that number."""
    problems = []
    for number, (name, content) in enumerate(corpus.items()):
        try:
            added(found(number), content)
        except Failed as why:
            problems.append(f"{name}: {why}")
    if problems:
        raise Failed("\n".join(problems))


def stored(sink, count):
    """{recipient number: content} of a sink that has got `count` messages."""
    wait_for(lambda: f"{count} messages at the sink: {sink.stats()}", lambda: sink.stats()["messages"] >= count, 60)
    return {int(commands.split("RCPT TO:<n")[1].split("@")[0]): content for commands, content in sink.messages()}


def test_text_to_maildir(box):
    """DATA to a maildir."""
    bridgehead, corpus = box.add(Bridgehead(box)), text_corpus()
    send_all(bridgehead.smtp, corpus, {"domain": "local.example"})
    compare(corpus, lambda n: bridgehead.wait_mail(f"n{n}")[0])


def test_text_by_bdat_to_maildir(box):
    """BDAT in chunks of 7 octets and of 100,000, to a maildir."""
    bridgehead, corpus = box.add(Bridgehead(box)), text_corpus()
    small = {name: content for name, content in corpus.items() if len(content) < 2000}
    send_all(bridgehead.smtp, small, {"domain": "local.example", "chunk": 7})
    compare(small, lambda n: bridgehead.wait_mail(f"n{n}")[0])
    send_all(bridgehead.smtp, corpus, {"domain": "local.example", "chunk": 100000, "user": "m"})
    compare(corpus, lambda n: bridgehead.wait_mail(f"m{n}")[0])


def test_binary_to_maildir(box):
    """BODY=BINARYMIME, NUL and bare line ends included, to a maildir."""
    bridgehead, corpus = box.add(Bridgehead(box)), binary_corpus()
    send_all(bridgehead.smtp, corpus, {"domain": "local.example", "chunk": 1000}, " BODY=BINARYMIME")
    compare(corpus, lambda n: bridgehead.wait_mail(f"n{n}")[0])


def test_text_to_server_with_chunking(box):
    """To a server that offers everything."""
    sink, corpus = box.add(Sink(box, store=True)), text_corpus()
    bridgehead = box.add(Bridgehead(box, smart_host=sink.address))
    send_all(bridgehead.smtp, corpus, {"domain": "far.example"}, " BODY=8BITMIME")
    found = stored(sink, len(corpus))
    compare(corpus, found.get)


def test_text_to_plain_server(box):
    """To a server without CHUNKING and PIPELINING: dot-stuffing on the way out."""
    sink, corpus = box.add(Sink(box, store=True,
                              hide=["CHUNKING", "BINARYMIME", "PIPELINING", "DSN"])), text_corpus()
    bridgehead = box.add(Bridgehead(box, smart_host=sink.address))
    send_all(bridgehead.smtp, corpus, {"domain": "far.example"}, " BODY=8BITMIME")
    found = stored(sink, len(corpus))
    compare(corpus, found.get)


def test_binary_to_server_with_binarymime(box):
    """Binary content goes on by BDAT."""
    sink, corpus = box.add(Sink(box, store=True)), binary_corpus()
    bridgehead = box.add(Bridgehead(box, smart_host=sink.address))
    send_all(bridgehead.smtp, corpus, {"domain": "far.example", "chunk": 1000}, " BODY=BINARYMIME")
    found = stored(sink, len(corpus))
    compare(corpus, found.get)


def lmtp_pair(box, **options):
    """A server that speaks LMTP, and Bridgehead, for which it holds the mailboxes of box.example."""
    sink = box.add(Sink(box, "lmtp", lmtp=True, store=True, **options))
    bridgehead = Bridgehead(box)
    bridgehead.write({"local_domains": bridgehead.config["local_domains"] + [
        {"domain": "box.example", "deliver": "lmtp://{}:{}".format(*sink.address)}]})
    return sink, bridgehead


def test_text_by_lmtp(box):
    """LMTP, to a server that offers everything and to one that knows nothing but DATA."""
    corpus = text_corpus()
    for name, hidden in (("all", []), ("bare", ["CHUNKING", "BINARYMIME", "PIPELINING", "DSN"])):
        with Sandbox(name) as inner:
            sink, bridgehead = lmtp_pair(inner, hide=hidden)
            inner.add(bridgehead)
            send_all(bridgehead.smtp, corpus, {"domain": "box.example"}, " BODY=8BITMIME")
            compare(corpus, stored(sink, len(corpus)).get)


def test_binary_by_lmtp(box):
    """BODY=BINARYMIME, by BDAT within LMTP."""
    sink, bridgehead = lmtp_pair(box)
    box.add(bridgehead)
    corpus = binary_corpus()
    send_all(bridgehead.smtp, corpus, {"domain": "box.example", "chunk": 1000}, " BODY=BINARYMIME")
    compare(corpus, stored(sink, len(corpus)).get)


def memory_grown(bridgehead, before):
    """Most memory that node and worker ever had, less `before`; 0 with AddressSanitizer, which keeps what is freed."""
    if b"libasan" in bridgehead.sandbox.run("ldd", executable()).stdout:
        return 0
    peak = 0
    for pid in children(bridgehead.pid):
        command = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        if b"node" in command or b"worker" in command:
            status = pathlib.Path(f"/proc/{pid}/status").read_text()
            peak += int(status.split("VmHWM:")[1].split()[0]) * 1024
    return peak - before


def test_fifty_megabytes(box):
    """50 MB through DATA to a maildir and by LMTP, through BDAT to servers with BDAT and without; memory does not grow."""
    plain = box.add(Sink(box, "plain", store=True, hide=["CHUNKING", "BINARYMIME"]))
    chunks = box.add(Sink(box, "chunks", store=True))
    mailboxes, bridgehead = lmtp_pair(box)
    bridgehead.write({"connectors": [
        {"name": name, "type": "smtp", "address_spaces": [{"space": f"{name}.example"}],
         "smart_hosts": ["{}:{}".format(*sink.address)]} for name, sink in (("plain", plain), ("chunks", chunks))]})
    box.add(bridgehead)
    content = message("large", noise(48_718_000))
    assert 50_000_000 <= len(content) < 50 << 20  # max_message_size is 50M
    before = memory_grown(bridgehead, 0)
    with Client(bridgehead.smtp, timeout=120) as client:
        client.ehlo()
        client.envelope("a@client.example", "n0@local.example", "n0@box.example")
        client.data(content)
        client.envelope("a@client.example", "n0@plain.example", "n0@chunks.example")
        client.bdat(content, 1 << 20)
    found = [bridgehead.wait_mail("n0", timeout=120)[0]]
    found += [stored(sink, 1)[0] for sink in (mailboxes, plain, chunks)]
    assert memory_grown(bridgehead, before) < 32 << 20, f"{memory_grown(bridgehead, before)} octets more"
    for delivered in found:
        added(delivered, content)


def test_too_large(box):
    """More than max_message_size is refused: by SIZE at once, else at the end."""
    bridgehead = box.add(Bridgehead(box))
    bridgehead.stop()
    servers = bridgehead.config["virtual_servers"]
    servers[0]["max_message_size"] = "1M"
    bridgehead.write({"virtual_servers": servers})
    bridgehead.start()
    with Client(bridgehead.smtp) as client:
        assert client.ehlo()["SIZE"] == [str(1 << 20)]
        client.command("MAIL FROM:<a@client.example> SIZE=1048577", 552)
        client.envelope("a@client.example", "b@local.example")
        client.data(message("large", noise(2 << 20)), 552)
        client.envelope("a@client.example", "b@local.example")
        client.data(message("small"))
    bridgehead.wait_mail("b")


def test_bare_line_ends_refused(box):
    """Bare CR or LF in DATA is refused (strict), and nothing after it is taken for commands."""
    bridgehead = box.add(Bridgehead(box))
    for smuggled in (b"\n.\n", b"\r.\r", b"\n.\r\n", b"\r\n.\n", b"\r.\r\n", b"\r\n\x00.\r\n", b"\r\n.\r"):
        with Client(bridgehead.smtp) as client:
            client.ehlo()
            client.envelope("a@client.example", "outer@local.example")
            client.command("DATA", 354)
            client.send(message("outer") + b"text" + smuggled +
                        b"MAIL FROM:<evil@client.example>\r\nRCPT TO:<inner@local.example>\r\nDATA\r\n" +
                        message("inner") + b"\r\n.\r\n")
            reply = client.reply()
            client.command("RSET")
            if smuggled != b"\r\n\x00.\r\n":
                assert reply.code == 554, (smuggled, reply)
    bridgehead.cli("status")
    assert not bridgehead.mailbox("inner"), "a smuggled message was delivered"
