"""TLS in and out."""
import os
import smtplib
import ssl
import time

from peers.bridgehead import Bridgehead
from peers.certificates import Certificates
from peers.exim import Exim
from peers.mail import added, message, noise
from peers.process import Failed, need_program, wait_for
from peers.smtp import Client

TEXT = message("tls")
QUICK = {"glitch": ["1s", "1s", "1s"], "schedule": ["1s"], "jitter_percent": 0}


def secured(box, tls, **more):
    """Bridgehead with a certificate, STARTTLS and an implicit port."""
    certificate, key = tls.issue("mx.example.org", file="server")
    bridgehead = Bridgehead(box)
    bridgehead.smtps = (box.host, box.port())
    server = dict(bridgehead.config["virtual_servers"][0], tls={"certificate": str(certificate), "key": str(key), **more})
    server["listen"] = server["listen"] + ["tls://{}:{}".format(*bridgehead.smtps)]
    bridgehead.write({"virtual_servers": [server]})
    return box.add(bridgehead)


def test_starttls(box):
    """STARTTLS with a verified certificate; the state is reset; Received says ESMTPS."""
    tls = Certificates(box)
    bridgehead = secured(box, tls)
    with Client(bridgehead.smtp) as client:
        assert "STARTTLS" in client.ehlo()
        client.command("MAIL FROM:<before@client.example>", 250)
        client.command("RSET", 250)
        client.starttls(tls.client_context())
        client.command("MAIL FROM:<a@client.example>", 503)
        assert "STARTTLS" not in client.ehlo()
        client.envelope("a@client.example", "b@local.example")
        client.data(TEXT)
    assert b"ESMTPS" in bridgehead.wait_mail("b")[0]


def test_implicit(box):
    """TLS from the first byte."""
    tls = Certificates(box)
    bridgehead = secured(box, tls)
    with Client(bridgehead.smtps, tls=tls.client_context()) as client:
        client.ehlo()
        client.envelope("a@client.example", "b@local.example")
        client.data(TEXT)
    bridgehead.wait_mail("b")


def test_nothing_crosses_starttls(box):
    """Commands sent along with STARTTLS are never executed inside TLS."""
    tls = Certificates(box)
    bridgehead = secured(box, tls)
    with Client(bridgehead.smtp) as client:
        client.ehlo()
        client.send(b"STARTTLS\r\nEHLO smuggled.example\r\nMAIL FROM:<evil@client.example>\r\n")
        reply = client.reply()
        if reply.code == 220:
            client.socket = tls.client_context().wrap_socket(client.socket, server_hostname="mx.example.org")
            client.buffer = b""
            client.command("MAIL FROM:<a@client.example>", 503)
        else:
            assert reply.code == 554 and client.closed(), reply


def test_silent_handshake(box):
    """A client that never begins the handshake, or never ends it, is dropped; the server goes on."""
    tls = Certificates(box)
    bridgehead = secured(box, tls)
    server = dict(bridgehead.config["virtual_servers"][0], timeouts={"tls": "1s"})
    bridgehead.write({"virtual_servers": [server]})
    bridgehead.reload()
    # the reload is asynchronous: with the default of a minute a client waits longer than its patience
    wait_for("the new time-out", lambda: Client(bridgehead.smtps, greeting=None, timeout=3).closed())
    over = lambda: bridgehead.metric("bridgehead_smtp_sessions_open") == 0
    wait_for("the end of these sessions", over)
    failed = bridgehead.metric("bridgehead_smtp_tls_failed_total")
    with Client(bridgehead.smtps, greeting=None) as half:
        half.send(b"\x16\x03\x01\x02\x00\x01")
        assert half.closed()
    with Client(bridgehead.smtp) as client:
        client.ehlo()
        client.command("STARTTLS", 220)
        assert client.closed()
    with Client(bridgehead.smtps, tls=tls.client_context()) as client:
        client.ehlo()
    wait_for("the end of all", over)  # the last one left without close_notify: its handshake had not failed
    assert bridgehead.metric("bridgehead_smtp_tls_failed_total") == failed + 2


def test_required(box):
    """tls.required: no mail before STARTTLS."""
    tls = Certificates(box)
    bridgehead = secured(box, tls, required=True)
    with Client(bridgehead.smtp) as client:
        client.ehlo()
        client.command("MAIL FROM:<a@client.example>", 530)
        client.starttls(tls.client_context())
        client.ehlo()
        client.envelope("a@client.example", "b@local.example")
        client.data(TEXT)


def test_old_versions_refused(box):
    """TLS 1.1 is refused, 1.3 is spoken."""
    tls = Certificates(box)
    bridgehead = secured(box, tls)
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
    old.maximum_version = old.minimum_version = ssl.TLSVersion.TLSv1_1
    try:
        Client(bridgehead.smtps, tls=old).command("NOOP")
    except (ssl.SSLError, ConnectionError, OSError):
        pass
    else:
        raise Failed("TLS 1.1 was accepted")
    with Client(bridgehead.smtps, tls=tls.client_context()) as client:
        assert client.socket.version() == "TLSv1.3", client.socket.version()


def test_certificate_replaced(box):
    """New certificate files are used for new sessions, without a restart; open sessions stay."""
    tls = Certificates(box)
    bridgehead = secured(box, tls)

    def serial():
        with Client(bridgehead.smtps, tls=tls.client_context()) as client:
            return client.socket.getpeercert()["serialNumber"]

    with Client(bridgehead.smtp) as client:
        client.ehlo()
        before = serial()
        certificate, key = tls.issue("mx.example.org", file="next")
        os.replace(key, box.path("tls", "server.key"))
        os.replace(certificate, box.path("tls", "server.pem"))
        wait_for("the new certificate", lambda: serial() != before, 60, 0.3)
        client.command("NOOP", 250)


def test_swaks_tls(box):
    """swaks over STARTTLS."""
    tls = Certificates(box)
    bridgehead = secured(box, tls)
    box.run(need_program("swaks"), "--server", bridgehead.smtp[0], "--port", bridgehead.smtp[1], "--tls", "--tls-ca-path",
            tls.ca, "--from", "a@client.example", "--to", "b@local.example")
    bridgehead.wait_mail("b")


def test_clients_tls(box):
    """swaks, curl, msmtp, smtplib: behind STARTTLS and with TLS from the first byte; one of them with 5 MB."""
    tls = Certificates(box)
    bridgehead = secured(box, tls)
    file, host = box.path("message"), "mx.example.org"
    file.write_bytes(message("large", noise(5_000_000)))
    senders = ["--from", "a@client.example"]
    for user, port, implicit in (("starttls", bridgehead.smtp[1], False), ("implicit", bridgehead.smtps[1], True)):
        to = f"{{}}-{user}@local.example"
        box.run(need_program("swaks"), "--server", bridgehead.host, "--port", port, "--tlsc" if implicit else "--tls",
                "--tls-ca-path", tls.ca, *senders, "--to", to.format("swaks"))
        box.run(need_program("curl"), "--silent", "--show-error", "--ssl-reqd", "--cacert", tls.ca, "--resolve",
                f"{host}:{port}:{bridgehead.host}", "--url", f"smtp{'s' if implicit else ''}://{host}:{port}/client.example",
                "--mail-from", "a@client.example", "--mail-rcpt", to.format("curl"), "--upload-file", file)
        box.run(need_program("msmtp"), "--host", bridgehead.host, "--port", port, *senders, "--auth=off", "--tls=on",
                f"--tls-starttls={'off' if implicit else 'on'}", f"--tls-trust-file={tls.ca}", f"--tls-host-override={host}",
                to.format("msmtp"), input=TEXT.replace(b"\r\n", b"\n"))
        smtp = smtplib.SMTP_SSL if implicit else smtplib.SMTP
        more = {"context": tls.client_context(False)} if implicit else {}
        with smtp(bridgehead.host, port, local_hostname="client.example", **more) as client:
            if not implicit:
                client.starttls(context=tls.client_context(False))
            client.sendmail("a@client.example", [to.format("smtplib")], TEXT)
        for name in ("swaks", "curl", "msmtp", "smtplib"):
            arrived = bridgehead.wait_mail(f"{name}-{user}")[0]
            assert b"ESMTPS" in arrived and b"TLSv1.3" in arrived, (name, user, arrived[:400])
        added(bridgehead.mailbox(f"curl-{user}")[0], file.read_bytes())


def outgoing(box, mode, exim_tls, ca=None):
    """Bridgehead in front of Exim, with a connector that wants TLS in this way."""
    exim = box.add(Exim(box, tls=exim_tls))
    connector = {"name": "out", "type": "smtp", "address_spaces": [{"space": "*"}], "tls": mode,
                 "smart_hosts": [f"{exim.host}:{exim.port}"]}
    delivery = {"retry": QUICK, **({"ca_file": str(ca)} if ca else {})}
    return exim, box.add(Bridgehead(box, config={"connectors": [connector], "delivery": delivery}))


def waits(bridgehead):
    wait_for(lambda: bridgehead.cli("queue", "list").stdout, lambda: "Retry" in bridgehead.cli("queue", "list").stdout)


def test_out_opportunistic(box):
    """TLS is used when offered, whoever signed the certificate."""
    exim, bridgehead = outgoing(box, "opportunistic", Certificates(box).issue("mx.example.org"))
    bridgehead.send("b@exim.example", TEXT)
    wait_for(lambda: exim.log(), exim.messages)
    assert "X=TLS1.3" in exim.log(), exim.log()


def test_out_none(box):
    """tls: none does not even ask."""
    exim, bridgehead = outgoing(box, "none", Certificates(box).issue("mx.example.org"))
    bridgehead.send("b@exim.example", TEXT)
    wait_for(lambda: exim.log(), exim.messages)
    assert "X=TLS" not in exim.log(), exim.log()


def test_out_required_missing(box):
    """tls: required, and the server offers none: the message waits."""
    exim, bridgehead = outgoing(box, "required", None)
    bridgehead.send("b@exim.example", TEXT)
    waits(bridgehead)
    assert not exim.messages()


def test_out_verified(box):
    """tls: verified with a certificate of a known authority for the address of the smart host."""
    tls = Certificates(box)
    exim, bridgehead = outgoing(box, "verified", tls.issue(box.host, file="exim"), tls.ca)
    bridgehead.send("b@exim.example", TEXT)
    wait_for(lambda: f"{exim.log()} {bridgehead.cli('queue', 'list').stdout}", exim.messages)
    assert "X=TLS1.3" in exim.log(), exim.log()


def test_out_not_verified(box):
    """tls: verified with a certificate of an unknown authority: the message waits."""
    exim, bridgehead = outgoing(box, "verified", Certificates(box).issue(box.host, file="exim"))
    bridgehead.send("b@exim.example", TEXT)
    waits(bridgehead)
    assert not exim.messages()
