"""The documented configuration as it stands, and the schema as somebody else's program understands it."""
import json
import os
import re

from peers.bridgehead import Bridgehead, executable
from peers.certificates import Certificates
from peers.mail import message
from peers.namespace import own_network
from peers.process import ROOT, Failed, Skip, wait_for
from peers.sink import Sink
from peers.smtp import Client

TEXT = message("configuration")
GOLDEN = ROOT / "tests" / "unit" / "common" / "config" / "golden"
EXAMPLE = (GOLDEN / "example.yaml").read_text()
STRANGER = "192.0.2.1"


def documented(box, text=EXAMPLE):
    """`bridgehead run` with this very file, in a network where its ports are free."""
    bridgehead = Bridgehead(box)
    bridgehead.file.write_text(text)
    bridgehead.smtp = ("127.0.0.1", 2525)
    bridgehead.http = {part: ("127.0.0.1", 9525 + number) for number, part in enumerate(("node", "worker", "router"))}
    assert "in order" in bridgehead.cli("config", "check").stdout
    return box.add(bridgehead)


def has_mail(bridgehead, user):
    new = bridgehead.dir / "var" / "mail" / "example.org" / user / "new"
    return new.exists() and list(new.iterdir())


def test_example(box):
    """Not a byte changed: mail for its local domain and for its connector arrives; strangers reach these and nothing else."""
    own_network(STRANGER)
    sink = box.add(Sink(box, listen="127.0.0.1:2526", store=True))
    bridgehead = documented(box)
    with Client(bridgehead.smtp) as friend:
        friend.ehlo()
        friend.envelope("a@client.example", "b@example.org", "c@x.lab.example")
        friend.data(TEXT)
        friend.envelope("a@client.example", "d@elsewhere.test")
        friend.command("RSET", 250)
    with Client(bridgehead.smtp, source=STRANGER) as stranger:
        assert stranger.ehlo()["SIZE"] == [str(50 << 20)]
        stranger.envelope("a@client.example", "e@example.org", "f@y.lab.example")
        assert stranger.command("RCPT TO:<g@elsewhere.test>", 550).text.startswith("5.7.1")
        assert stranger.command("RCPT TO:<g@lab.example>", 550).text.startswith("5.7.1")
        stranger.data(TEXT)
    for user in "be":
        wait_for(lambda: bridgehead.process.tail(), lambda: has_mail(bridgehead, user))
    wait_for(lambda: sink.stats(), lambda: sink.stats()["messages"] == 2)
    assert sorted(line for envelope, _ in sink.messages() for line in envelope.split() if "lab.example" in line) == [
        "TO:<c@x.lab.example>", "TO:<f@y.lab.example>"], sink.messages()


def test_example_with_tls(box):
    """With what its comments offer: TLS from the first byte and STARTTLS; certificates replaced under running sessions."""
    own_network()
    tls = Certificates(box)
    certificate, key = tls.issue("mx.example.org", file="server")
    text = EXAMPLE
    for old, new in (('["127.0.0.1:2525"] ', '["127.0.0.1:2525", "tls://127.0.0.1:2465"] '), ("# tls: {", "tls: {"),
                     ("/path/fullchain.pem", str(certificate)), ("/path/key.pem", str(key)), ("}   (reloaded", "}  # (reloaded")):
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    bridgehead = documented(box, text)

    def session():
        return Client(("127.0.0.1", 2465), tls=tls.client_context())

    def serial():
        with session() as client:
            return client.socket.getpeercert()["serialNumber"]
    with Client(bridgehead.smtp) as client:
        client.ehlo()
        client.starttls(tls.client_context())
        client.ehlo()
    with session() as before:
        before.ehlo()
        old = serial()
        certificate, key = tls.issue("mx.example.org", file="next")
        os.replace(key, box.path("tls", "server.key"))
        os.replace(certificate, box.path("tls", "server.pem"))
        wait_for("the new certificate", lambda: serial() != old, 60, 0.3)
        before.envelope("a@client.example", "b@example.org")
        before.data(TEXT)
    wait_for(lambda: bridgehead.process.tail(), lambda: has_mail(bridgehead, "b"))


# What the program refuses and a JSON schema cannot, or not for a file that was read as YAML 1.1 (`yes`).
BEYOND_A_SCHEMA = {
    "virtual_servers[0].timeouts.command: '1ms'", "virtual_servers[0].timeouts.session: '2d'", "delivery.retry.expire: '59s'",
    "delivery.retry.glitch: 'soon'", "connectors[1].allow_relay: 'yes'"}


def validator(box):
    """json schema, from Debian's python3-jsonschema; what is wrong with a text, as [(where, what)]."""
    try:
        import jsonschema
        import yaml
    except ImportError as error:
        raise Skip(f"{error} (deploy/install-packages test)") from None
    schema = json.loads(box.run(executable(), "config", "schema").stdout)
    jsonschema.Draft202012Validator.check_schema(schema)
    judge = jsonschema.Draft202012Validator(schema)
    return lambda text: [(list(e.path), e.message) for e in judge.iter_errors(yaml.safe_load(text))]


def test_schema(box):
    """An independent validator takes what the program takes, and refuses what is wrong with one value alone."""
    problems_of = validator(box)
    wrong = []
    for path in [*sorted(GOLDEN.glob("*.yaml")), ROOT / "deploy" / "bridgehead.yaml"]:
        verdict = path.with_suffix(".out")
        if (not verdict.exists() or verdict.read_text() == "ok\n") and problems_of(path.read_text()):
            wrong.append((path.name, problems_of(path.read_text())))
    for name in ("unknown_keys", "missing", "ranges", "wrong_types", "not_a_mapping"):
        found = problems_of((GOLDEN / f"{name}.yaml").read_text())
        for line in (GOLDEN / f"{name}.out").read_text().splitlines():
            place, text = line.split(": ", 2)[1:]
            keys = [int(key) if key.isdigit() else key for key in re.findall(r"\w+", "" if place == "top level" else place)]
            told = any(at[:len(keys)] == keys or at == keys[:-1] and (f"'{keys[-1]}'" in what or what.startswith("None"))
                       for at, what in found)
            if not told and not any(f"{place}: {text}".startswith(known) for known in BEYOND_A_SCHEMA):
                wrong.append((line, found))
    if wrong:
        raise Failed("\n".join(map(str, wrong)))


def test_schema_of_what_is_shown(box):
    """`config show -o json` of any good file is valid, too."""
    problems_of = validator(box)
    for name in ("example", "anchors_ok", "nulls_ok"):
        shown = box.run(executable(), "config", "show", "-o", "json", "-c", GOLDEN / f"{name}.yaml").stdout
        assert not problems_of(shown.decode()), (name, problems_of(shown.decode()))
