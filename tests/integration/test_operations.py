"""Running it: policy, reload, shutdown, limits, commands, metrics, health."""
import fcntl
import json
import os
import pty
import re
import signal
import socket
import subprocess
import termios
import time

from peers.bridgehead import Bridgehead, executable, merge
from peers.golden import check_json_keys
from peers.mail import message
from peers.process import ROOT, Failed, children, wait_for
from peers.redis import Redis
from peers.sink import Load, Sink, load
from peers.smtp import Client, send

TEXT = message("operations")
QUICK = {"delivery": {"retry": {"glitch": ["1s", "1s", "1s"], "schedule": ["1s"], "jitter_percent": 0}}}


def server(bridgehead, **change):
    """Changes settings of the virtual server in the configuration file."""
    bridgehead.write({"virtual_servers": [merge(bridgehead.config["virtual_servers"][0], change)]})
    return bridgehead


def test_relay_denied(box):
    """Strangers reach local domains and allow_relay connectors, nothing else."""
    sink = box.add(Sink(box))
    host = "{}:{}".format(*sink.address)
    bridgehead = server(Bridgehead(box, config={"connectors": [
        {"name": "lab", "type": "smtp", "address_spaces": [{"space": "*.lab.example"}], "smart_hosts": [host],
         "allow_relay": True},
        {"name": "rest", "type": "smtp", "address_spaces": [{"space": "*.far.example"}], "smart_hosts": [host]}]}),
        relay_from=["10.0.0.0/8"])
    box.add(bridgehead)
    with Client(bridgehead.smtp) as client:
        client.ehlo()
        client.command("MAIL FROM:<a@client.example>", 250)
        client.command("RCPT TO:<b@local.example>", 250)
        client.command("RCPT TO:<b@x.lab.example>", 250)
        assert "5.7.1" in client.command("RCPT TO:<b@x.far.example>", 550).text
        assert client.command("RCPT TO:<b@elsewhere.test>", 550).text[:5] in ("5.7.1", "5.4.4")
        client.command("RCPT TO:<b%x.far.example@local.example>", 250)
        client.data(TEXT)
    wait_for(lambda: sink.stats(), lambda: sink.stats()["messages"] == 1)


def test_no_route(box):
    """Even a friend cannot send where no connector leads."""
    bridgehead = box.add(Bridgehead(box, config={"connectors": []}))
    with Client(bridgehead.smtp) as client:
        client.ehlo()
        client.command("MAIL FROM:<a@client.example>", 250)
        assert "5.4.4" in client.command("RCPT TO:<b@far.example>", 550).text
        client.command("DATA", 554)


def test_several_virtual_servers(box):
    """Each virtual server has its own listeners and settings."""
    bridgehead = Bridgehead(box)
    second = (box.host, box.port())
    bridgehead.write({"virtual_servers": bridgehead.config["virtual_servers"] + [
        {"name": "second", "listen": ["{}:{}".format(*second)], "hostname": "second.example.org", "max_recipients": 2,
         "relay_from": []}]})
    box.add(bridgehead)
    with Client(second) as client:
        assert client.greeting.text.startswith("second.example.org"), client.greeting
        client.ehlo()
        client.command("MAIL FROM:<a@client.example>", 250)
        client.command("RCPT TO:<b@local.example>", 250)
        client.command("RCPT TO:<c@local.example>", 250)
        client.command("RCPT TO:<d@local.example>", 452)
        client.command("RSET", 250)
    with Client(bridgehead.smtp) as client:
        assert client.greeting.text.startswith("mx.example.org"), client.greeting


def test_reload(box):
    """SIGHUP applies what can be applied, keeps sessions, and says what needs a restart."""
    bridgehead = box.add(Bridgehead(box))
    with Client(bridgehead.smtp) as client:
        client.ehlo()
        server(bridgehead, banner="ESMTP changed", max_recipients=1)
        bridgehead.write({"redis": {"history": 12345}})
        bridgehead.reload()

        def greeting():
            with Client(bridgehead.smtp) as other:
                return other.greeting.text
        wait_for(lambda: f"the new banner, instead of {greeting()}", lambda: greeting().endswith("ESMTP changed"))
        client.envelope("a@client.example", "b@local.example")
        client.data(TEXT)
    bridgehead.wait_mail("b")
    log = bridgehead.process.log.read_text()
    assert re.search(r"restart.*history|history.*restart", log), log


def test_reload_command_and_broken_file(box):
    """`bridgehead reload`, also while daemons begin; a broken file changes nothing and is reported."""
    bridgehead = box.add(Bridgehead(box, ready=None))
    wait_for("its own handlers", lambda: "child=redis" in bridgehead.process.log.read_text())

    def begun():
        bridgehead.reload()
        return bridgehead.ready() and bridgehead.ready("worker")
    wait_for(lambda: bridgehead.process.tail(), begun, 30, 0.001)
    assert "run.ended" not in bridgehead.process.log.read_text(), bridgehead.process.tail()
    assert bridgehead.cli("reload").stdout == "node: applied\nworker: applied\n"
    assert bridgehead.json("reload") == [{"daemon": name, "outcome": "applied", "needs_restart": []} for name in ("node", "worker")]
    server(bridgehead, banner="ESMTP by command")
    bridgehead.write({"log": {"format": "json"}, "node": {"threads": 3}})
    told = bridgehead.cli("reload").stdout
    assert told == "".join(f"{part}: applied; needs a restart: log.format, node.threads\n" for part in ("node", "worker")), told
    wait_for("the new banner", lambda: Client(bridgehead.smtp).greeting.text.endswith("by command"))
    good = bridgehead.file.read_text()
    bridgehead.write({"delivery": {"ca_file": "nowhere.pem"}})
    said = bridgehead.cli("reload", check=False)
    assert said.returncode == 3 and "delivery.ca_file: " in said.stderr and not said.stdout, said
    bridgehead.file.write_text(good + "\nbogus_key: 1\n")
    assert "bogus_key" in bridgehead.cli("reload", check=False).stderr
    bridgehead.reload()
    log = bridgehead.process.log.read_text
    wait_for(lambda: bridgehead.process.tail(), lambda: log().count("bogus_key") == 2)  # node and worker
    (bridgehead.dir / "var" / "run" / "worker.pid").unlink()  # as while it waits to be started again
    bridgehead.file.write_text(good)
    told = bridgehead.cli("reload", check=False)
    assert told.returncode == 1 and re.search("^node: applied.*\nworker: not running: it reads the file when", told.stdout), told
    bridgehead.file.write_text("")
    bridgehead.reload()
    wait_for(lambda: bridgehead.process.tail(), lambda: log().count("is empty: nothing is changed") == 2)
    bridgehead.file.write_text(good)
    bridgehead.send("b@local.example", TEXT)
    bridgehead.wait_mail("b")


def test_reload_opens_and_closes_listeners(box):
    """Virtual servers and addresses that a reload adds, moves, renames or removes; sessions that are open stay open."""
    bridgehead = box.add(Bridgehead(box, config={"node": {"threads": 2}}))
    first, host = bridgehead.config["virtual_servers"][0], bridgehead.smtp[0]
    ports = [box.port(host) for _ in range(3)]
    at = lambda *numbers: ["{}:{}".format(host, ports[n]) for n in numbers]

    def banner(port):
        try:
            with Client((host, port)) as client:
                return client.greeting.text
        except OSError:
            return None

    def reload(*servers):
        bridgehead.write({"virtual_servers": list(servers)})
        assert bridgehead.cli("reload").stdout == "node: applied\nworker: applied\n"
    second = {"name": "second", "listen": at(0, 1), "hostname": "mx.second.example", "banner": "second", "relay_from": [f"{host}/32"]}
    reload(second, first)
    for port in ports[:2]:
        wait_for("the new server", lambda: (banner(port) or "").endswith("second"))
    assert "mx.second.example" not in banner(bridgehead.smtp[1])
    with Client((host, ports[0])) as old:
        old.ehlo()
        reload(first, {**second, "listen": at(1, 2)})  # one address comes, one goes
        wait_for("the address to be closed", lambda: banner(ports[0]) is None)
        wait_for("the other one", lambda: (banner(ports[2]) or "").endswith("second"))
        old.envelope("a@client.example", "b@local.example")
        reload(first, {**second, "name": "third", "listen": at(1), "banner": "third"})  # its address goes to another server
        wait_for("the third server", lambda: (banner(ports[1]) or "").endswith("third"))
        wait_for("the second one's last address to be closed", lambda: banner(ports[2]) is None)
        old.data(TEXT)
    bridgehead.wait_mail("b")
    reload(first, {**second, "listen": at(1, 2), "banner": "again"})  # back at its place, whose address is taken back
    for port in ports[1:]:
        wait_for("the second server again", lambda: (banner(port) or "").endswith("again"))
    reload(first)
    wait_for("the last of them to be closed", lambda: banner(ports[1]) is None and banner(ports[2]) is None)
    assert banner(bridgehead.smtp[1])
    log = bridgehead.process.log.read_text()
    assert re.search(rf"smtp.listening address={at(2)[0]} tls=no virtual_server=second", log), log
    assert re.search(rf"smtp.closed address={at(1)[0]} tls=no virtual_server=third", log), log


def test_reload_that_cannot_listen_changes_nothing(box):
    """An address that somebody else has: the node keeps all of what it had, and says why."""
    bridgehead = box.add(Bridgehead(box))
    first, host = bridgehead.config["virtual_servers"][0], bridgehead.smtp[0]
    port = box.port(host)
    with socket.create_server((host, 0)) as other:
        taken = "{}:{}".format(host, other.getsockname()[1])
        bridgehead.write({"virtual_servers": [merge(first, {"banner": "new"}), {"name": "second", "listen": [f"{host}:{port}", taken]}]})
        said = bridgehead.cli("reload", check=False)
        assert said.returncode == 3 and f"node: refused: cannot listen on {taken}: Address already in use; what runs" in said.stdout, said
        assert f"problem='cannot listen on {taken}: Address already in use'" in bridgehead.process.log.read_text()
        with Client(bridgehead.smtp) as client:
            assert not client.greeting.text.endswith("new"), client.greeting
        with socket.socket() as probe:
            assert probe.connect_ex((host, port)) != 0
    assert bridgehead.cli("reload").stdout.startswith("node: applied\n")
    wait_for("the second server", lambda: Client((host, port)).greeting)


CONFIG_ERRORS = [  # (text put at the end of a good file, what the message must name)
    ("connectorz: []\n", "connectors"),
    ("data_dir: /tmp\ndata_dir: /tmp\n", "data_dir"),
    ("delivery: {max_connections: lots}\n", "max_connections"),
    ("delivery: {max_connections: 0}\n", "max_connections"),
    ("delivery: {retry: {expire: 1s}}\n", "expire"),
    ("log: {level: loud}\n", "loud"),
    ("log: [level\n", "YAML"),
    ("redis: {url: 'ftp://x'}\n", "url"),
    ("redis: {durability: 'sometimes'}\n", "durability"),
    ("virtual_servers: [{name: a, listen: ['nonsense']}]\n", "nonsense"),
    ("virtual_servers: [{listen: ['127.0.0.1:0']}]\n", "name"),
    ("virtual_servers: [{name: a, relay_from: ['300.0.0.0/8']}]\n", "300.0.0.0/8"),
    ("local_domains: [{domain: x.example, deliver: 'carrier pigeon'}]\n", "deliver"),
    ("connectors: [{name: a, adress_spaces: []}]\n", "address_spaces"),
    ("\tdata_dir: x\n", "YAML"),
]


def test_config_errors(box):
    """Every wrong file is refused with a line number and a useful word; exit code 3."""
    bridgehead = Bridgehead(box)
    problems = []
    for text, word in CONFIG_ERRORS:
        key = text.split(":")[0].strip()
        config = {k: v for k, v in bridgehead.config.items() if k != key or key == "data_dir" and text.count(key) == 1}
        bridgehead.file.write_text("".join(f"{k}: {json.dumps(v)}\n" for k, v in config.items()) + text)
        for verb in (("config", "check"), ("run",)):
            done = bridgehead.cli(*verb, check=False, timeout=20)
            said = done.stderr + done.stdout
            if done.returncode != 3 or word not in said or not re.search(r":\d+|line \d+", said):
                problems.append(f"{text!r}: {verb} gave {done.returncode}: {said[:300]!r}")
    assert not problems, "\n".join(problems)


def test_config_commands(box):
    """config check, show and schema; the sample file is in order."""
    bridgehead = Bridgehead(box)
    bridgehead.cli("config", "check")
    done = box.run(executable(), "config", "check", "-c", ROOT / "deploy" / "bridgehead.yaml")
    shown = bridgehead.cli("config", "show").stdout
    assert "max_connections_per_domain" in shown and "mx.example.org" in shown, shown
    bridgehead.write({"connectors": [{"name": n, "type": "smtp", "address_spaces": [{"space": "*"}]} for n in ("a", "b")]})
    check_json_keys({"config check": bridgehead.json("config", "check")})  # with a warning
    schema = json.loads(bridgehead.cli("config", "schema").stdout)
    assert "virtual_servers" in schema["properties"], list(schema)


def test_environment_override(box):
    """BRIDGEHEAD_… overrides the file."""
    bridgehead = Bridgehead(box)
    done = bridgehead.cli("config", "show", env={**os.environ, "BRIDGEHEAD_DELIVERY_MAX_CONNECTIONS": "77"})
    assert re.search(r"max_connections: \"?77\b", done.stdout), done.stdout


def test_shutdown_finishes_what_is_in_flight(box):
    """SIGTERM during deliveries: exit 0, nothing lost, nothing twice after a restart."""
    sink = box.add(Sink(box, rules=["dot:delay=300"]))
    bridgehead = box.add(Bridgehead(box, smart_host=sink.address))
    results = load(bridgehead.smtp, messages=600, sessions=10, per_connection=20)
    wait_for(lambda: sink.stats(), lambda: sink.stats()["messages"] > 50)
    assert bridgehead.stop() == 0, bridgehead.process.tail()
    left = children(bridgehead.pid)
    bridgehead.start()
    sink.rules()
    wait_for(lambda: sink.stats(), lambda: sink.stats()["unique"] == results["acked"] == 600, 60)
    assert sink.stats()["duplicates"] == 0, sink.stats()


def test_shutdown_beside_a_server_that_hangs(box):
    """SIGTERM while a server does not answer: message and connection slot are given back, not kept until the lease ends."""
    sink = box.add(Sink(box, rules=["rcpt:delay=3600000"]))
    bridgehead = box.add(Bridgehead(box, smart_host=sink.address, config={
        "worker": {"lease": "1h"}, "delivery": {"grace": "10s", "max_connections_per_domain": 1}}))
    bridgehead.send("b@far.example", TEXT)
    wait_for("the connection", lambda: sink.stats()["connections"] == 1)
    assert bridgehead.stop() == 0, bridgehead.process.tail()
    sink.rules()
    bridgehead.start()
    wait_for(lambda: bridgehead.process.tail(), lambda: sink.stats()["messages"] == 1)


def test_shutdown_with_open_sessions(box):
    """SIGTERM: no new sessions, an open transaction may finish, idle sessions get 421."""
    bridgehead = box.add(Bridgehead(box))
    with Client(bridgehead.smtp) as busy, Client(bridgehead.smtp) as idle:
        busy.ehlo()
        busy.envelope("a@client.example", "b@local.example")
        busy.command("DATA", 354)
        busy.send(TEXT)
        idle.ehlo()
        for number in (signal.SIGSTOP, signal.SIGTERM, signal.SIGINT, signal.SIGCONT):  # two at once are one
            bridgehead.process.signal(number)
        assert idle.reply().code == 421
        busy.send(b".\r\n")
        busy.reply(250)
    assert bridgehead.process.wait(40) == 0, bridgehead.process.tail()
    bridgehead.start()
    bridgehead.wait_mail("b")


def test_connection_limits(box):
    """Limits in total and per client address: 421, and recovery."""
    bridgehead = server(Bridgehead(box), max_connections=5, max_connections_per_client=3)
    bridgehead.write({"node": {"threads": 1}})
    box.add(bridgehead)

    def session():
        """Refused as long as the node has not seen that the connections which found it ready have ended."""
        client = Client(bridgehead.smtp, greeting=None)
        return client if client.reply().code == 220 else None
    open_sessions = [wait_for("a session", session) for _ in range(3)]
    with Client(bridgehead.smtp, greeting=421) as refused:
        assert refused.closed()
    for one in open_sessions:
        one.command("QUIT", 221)
        one.__exit__()
    wait_for("the slots", lambda: Client(bridgehead.smtp, greeting=None).reply().code == 220)


def test_rate_limit(box):
    """New sessions a minute of a client: 421 above; clients that may relay are not counted."""
    relay = Bridgehead(box)
    open_to_all = {"name": "strangers", "listen": [f"{box.host}:{box.port()}"], "relay_from": []}
    default = merge(relay.config["virtual_servers"][0], {"max_rate_per_client": 3})
    relay.write({"virtual_servers": [default, merge(default, open_to_all)]})
    box.add(relay)
    host, port = open_to_all["listen"][0].split(":")
    codes = []
    for _ in range(5):
        with Client((host, int(port)), greeting=None) as client:
            codes.append(client.reply().code)
        with Client(relay.smtp) as client:
            client.command("QUIT", 221)
    assert codes == [220, 220, 220, 421, 421], codes


def test_error_limit_and_timeouts(box):
    """Too many errors: 421. A silent client: 421."""
    bridgehead = server(Bridgehead(box), max_errors=5, timeouts={"command": "2s"})
    box.add(bridgehead)
    with Client(bridgehead.smtp) as client:
        codes = [client.command("BOGUS").code for _ in range(5)]
        assert codes[-1] == 421 or client.reply().code == 421, codes
        assert client.closed()
    with Client(bridgehead.smtp) as client:
        client.ehlo()
        assert client.reply().code == 421 and client.closed()


def frozen_world(box):
    """Ten messages wait in a frozen queue for far.example."""
    sink = box.add(Sink(box, refuse=True))
    bridgehead = box.add(Bridgehead(box, smart_host=sink.address, config=QUICK))
    ids = [bridgehead.send(f"b{n}@far.example", TEXT) for n in range(10)]
    return sink, bridgehead, ids


def wait_back(bridgehead):
    """Until no worker has anything in hand: freeze leaves that alone, and a connection that is being made when the sink
    begins to accept succeeds."""
    in_hand = lambda: [queue for queue in bridgehead.json("queue", "list") if queue["in_hand"]]
    wait_for(in_hand, lambda: not in_hand())


def delivered_nothing_for(sink, seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if sink.stats()["messages"]:
            return False
        time.sleep(0.1)
    return True


def test_queue_freeze_thaw(box):
    """freeze stops a destination, thaw starts it again."""
    sink, bridgehead, _ = frozen_world(box)
    bridgehead.cli("queue", "freeze", "far.example")
    wait_back(bridgehead)
    sink.control("accept")
    assert "Frozen" in bridgehead.cli("queue", "list").stdout
    assert delivered_nothing_for(sink, 4)
    bridgehead.cli("queue", "thaw", "far.example")
    wait_for(lambda: sink.stats(), lambda: sink.stats()["messages"] == 10)


def test_queue_freeze_messages(box):
    """A filter freezes messages and not their queue; they stay through retry, and go on when thawed."""
    sink, bridgehead, _ = frozen_world(box)
    bridgehead.cli("queue", "freeze", "far.example")
    spam = [bridgehead.send(f"s{n}@far.example", TEXT, sender="spam@client.example") for n in range(3)]
    bridgehead.cli("queue", "thaw", "far.example")
    by_spam = ["--sender", "spam@client.example"]

    def freeze():
        """A worker may have some in hand, as its next hop refuses."""
        done = bridgehead.json("queue", "freeze", *by_spam, "--reason", "looks like spam")
        return [m for m in bridgehead.json("queue", "show", *by_spam) if m["place"] == "frozen"]
    wait_for(freeze, lambda: len(freeze()) == 3)
    again = bridgehead.json("queue", "freeze", *by_spam, "--dry-run")
    assert (again["what"], again["matched"], again["dry_run"]) == ("messages", 0, True), again
    sink.control("accept")
    bridgehead.cli("queue", "retry", "--all")
    wait_for(lambda: sink.stats(), lambda: sink.stats()["messages"] == 10)
    queue, = wait_for("nothing but what is frozen", lambda: [q for q in bridgehead.json("queue", "list") if not q["in_hand"]])
    assert (queue["state"], queue["waiting"], queue["frozen"], queue["next_try_ms"]) == ("Frozen", 3, 3, None), queue
    counters = bridgehead.json("status")["counters"]
    assert (counters["frozen"], counters["frozen_jobs"]) == (0, 3), counters
    assert "frozen     0 queues, and 3 deliveries one by one" in bridgehead.cli("status").stdout
    wait_for("the survey to tell of them", lambda: bridgehead.metric("bridgehead_queue_frozen_jobs", "worker") == 3)
    frozen = [e["text"] for e in bridgehead.json("message", "track", spam[0]) if e["event"] == "frozen"]
    assert frozen and all(re.fullmatch("<[^<> ]+>: looks like spam", text) for text in frozen), frozen
    assert "frozen" in bridgehead.cli("queue", "show", spam[0]).stdout
    assert bridgehead.json("queue", "thaw", "far.example")["changed"] == 0  # the queue is not frozen
    assert bridgehead.json("queue", "delete", spam[0])["changed"] == 1
    assert bridgehead.json("queue", "thaw", spam[1])["changed"] == 1
    assert bridgehead.json("queue", "thaw", "--all", "--messages")["changed"] == 1
    wait_for(lambda: sink.stats(), lambda: sink.stats()["messages"] == 12)
    wait_for("an empty queue", lambda: not bridgehead.json("queue", "list"))
    assert bridgehead.json("status")["counters"]["frozen_jobs"] == 0
    assert "frozen" not in bridgehead.cli("status").stdout


def test_queue_freeze_all(box):
    """--all freezes every queue that has mail, --dry-run says which would be; thaw --all ends it."""
    bridgehead = box.add(Bridgehead(box, smart_host=box.add(Sink(box, refuse=True)).address))
    for name in ("one", "two", "three"):
        bridgehead.send(f"b@{name}.example", TEXT)
    states = lambda: {q["queue"]: q["state"] for q in bridgehead.json("queue", "list")}
    wait_for(states, lambda: list(states().values()) == ["Retry"] * 3)
    bridgehead.cli("queue", "freeze", "one.example", "--reason", "their wish")
    dry = bridgehead.json("queue", "freeze", "--all", "--dry-run")
    assert (dry["what"], dry["matched"], dry["changed"], dry["dry_run"]) == ("queues", 3, 2, True), dry
    assert states() == {"one.example": "Frozen", "two.example": "Retry", "three.example": "Retry"}, states()
    assert "would change  2" in bridgehead.cli("queue", "freeze", "--all", "--dry-run").stdout
    assert bridgehead.json("queue", "freeze", "--all")["changed"] == 2
    assert set(states().values()) == {"Frozen"}, states()
    assert bridgehead.json("status")["counters"]["frozen"] == 3  # and not three in each partition
    assert "their wish" in bridgehead.cli("queue", "list").stdout
    assert bridgehead.json("queue", "thaw", "--all", "--dry-run")["changed"] == 3
    assert bridgehead.json("queue", "thaw", "one.example")["changed"] == 1
    assert bridgehead.json("queue", "thaw", "--all")["changed"] == 2
    assert "Frozen" not in states().values(), states()
    assert bridgehead.cli("queue", "thaw", "no.example", check=False).returncode == 5
    assert bridgehead.cli("queue", "freeze", check=False).returncode == 2
    assert bridgehead.json("queue", "freeze", "new.example")["changed"] == 1  # before any mail comes


def test_queue_retry_now(box):
    """retry does not wait for the schedule."""
    sink = box.add(Sink(box, refuse=True))
    bridgehead = box.add(Bridgehead(box, smart_host=sink.address))
    number = bridgehead.send("b@far.example", TEXT)
    wait_for("the first failure", lambda: "Retry" in bridgehead.cli("queue", "list").stdout)
    sink.control("accept")
    bridgehead.cli("queue", "retry", "--all")
    wait_for(lambda: sink.stats(), lambda: sink.stats()["messages"] == 1, 20)
    wish, = [e["text"] for e in bridgehead.json("message", "track", number) if e["event"] == "retry"]
    assert re.fullmatch("by .+", wish), wish


def test_etrn(box):
    """ETRN makes waiting mail of a domain arrive now (RFC 1985), for clients that may relay, and says when not."""
    sink = box.add(Sink(box, refuse=True))
    redis = box.add(Redis(box))
    connector = {"name": "out", "type": "smtp", "address_spaces": [{"space": "*.example"}],
                 "smart_hosts": ["{}:{}".format(*sink.address)], "allow_relay": True}
    bridgehead = Bridgehead(box, config={"redis": {"url": redis.url}, "connectors": [connector],
                                         "delivery": {"retry": {"glitch": ["1h"], "schedule": ["1h"]}}})
    open_to_all = {"name": "strangers", "listen": [f"{box.host}:{box.port()}"], "relay_from": []}
    default = bridgehead.config["virtual_servers"][0]
    bridgehead.write({"virtual_servers": [default, merge(default, open_to_all)]})
    box.add(bridgehead)
    for recipient in ("b1@far.example", "b2@far.example", "b3@far.example", "b@other.example"):
        bridgehead.send(recipient, TEXT)
    wait_for("the first failures", lambda: bridgehead.cli("queue", "list").stdout.count("Retry") == 2)
    wait_back(bridgehead)  # ETRN counts what waits
    sink.control("accept")
    host, port = open_to_all["listen"][0].split(":")
    with Client((host, int(port))) as stranger:
        stranger.ehlo()
        stranger.command("ETRN far.example", 459)
    with Client(bridgehead.smtp) as client:
        client.command("ETRN far.example", 503)
        client.ehlo()
        reply = client.command("ETRN Far.Example", 250)
        assert reply.text == "2.0.0 queuing for node far.example started", reply
        wait_for(lambda: sink.stats(), lambda: sink.stats()["messages"] == 3, 20)
        client.command("ETRN without.route", 458)
        client.command("ETRN nothing-waits.example", 250)
        log = bridgehead.process.log.read_text
        wait_for(lambda: log()[-3000:], lambda: re.search("smtp.etrn domain='?far.example'? jobs=3 ", log()))
        redis.kill()
        wait_for("the node to notice", lambda: client.command("ETRN other.example").code == 458)


def test_queue_retry_forgives_links(box):
    """retry of a queue forgives its link and no other; of everything, also links that this configuration does not name."""
    sinks = {name: box.add(Sink(box, name=name, refuse=True)) for name in ("near", "far")}
    connectors = [{"name": name, "type": "smtp", "address_spaces": [{"space": f"{name}.example"}],
                   "smart_hosts": ["{}:{}".format(*sink.address)]} for name, sink in sinks.items()]
    bridgehead = box.add(Bridgehead(box, config={"connectors": connectors}))  # tries again after a minute
    for name in sinks:
        bridgehead.send(f"b@{name}.example", TEXT)

    def failing():
        return sorted(link["link"] for link in bridgehead.json("status")["links"] if link["failures"])
    wait_for(failing, lambda: failing() == ["connector:far", "connector:near"] and
             all(q["waiting"] for q in bridgehead.json("queue", "list")))
    sinks["near"].control("accept")
    bridgehead.cli("queue", "retry", "near.example")
    wait_for(lambda: sinks["near"].stats(), lambda: sinks["near"].stats()["messages"] == 1, 20)
    assert failing() == ["connector:far"], failing()
    bridgehead.write({"connectors": []})  # read by the command alone
    sinks["far"].control("accept")
    bridgehead.cli("queue", "retry", "--all")
    wait_for(lambda: sinks["far"].stats(), lambda: sinks["far"].stats()["messages"] == 1, 20)


def test_queue_delete_and_dry_run(box):
    """delete by sender, with --dry-run first."""
    sink, bridgehead, _ = frozen_world(box)
    bridgehead.cli("queue", "freeze", "far.example")  # as one does: what a worker has in hand is left alone
    bridgehead.send("c@far.example", TEXT, sender="spam@client.example")
    said = bridgehead.cli("queue", "delete", "--sender", "spam@client.example", "--dry-run").stdout
    assert "1" in said, said
    bridgehead.cli("queue", "delete", "--sender", "spam@client.example")
    queue = bridgehead.json("queue", "list")[0]
    assert queue["state"] == "Frozen" and queue["waiting"] + queue["in_hand"] == 10, queue
    sink.control("accept")
    bridgehead.cli("queue", "thaw", "far.example")
    wait_for(lambda: sink.stats(), lambda: sink.stats()["messages"] == 10 and not bridgehead.json("queue", "list"))
    assert sink.stats()["messages"] == 10, sink.stats()


def test_queue_bounce(box):
    """bounce returns messages to their senders, and does not wait for the next try of their link."""
    sink = box.add(Sink(box, refuse=True))
    bridgehead = box.add(Bridgehead(box, smart_host=sink.address))  # tries again after a minute
    for n in range(10):
        bridgehead.send(f"b{n}@far.example", TEXT)
    wait_for("the first failure", lambda: bridgehead.json("queue", "list")[0]["last_error"])
    wait_for("all to be back in the queue", lambda: bridgehead.json("queue", "list")[0]["waiting"] == 10)
    bridgehead.cli("queue", "bounce", "far.example")
    bridgehead.wait_mail("a", 10)
    assert dict(bridgehead.wait_report()[1][0])["action"] == "failed"


def test_what_is_not_there(box):
    """What is not there is exit code 5, says so, and prints nothing that looks like an answer; what is there but empty is not."""
    bridgehead = box.add(Bridgehead(box))
    bridgehead.cli("queue", "freeze", "empty.example")
    for command in (["queue", "show", "no.example"], ["queue", "show", "00-0000000000000000"], ["queue", "show", "empty.example!1"],
                    ["queue", "retry", "no.example"], ["queue", "delete", "no.example"], ["queue", "bounce", "no.example"],
                    ["badmail", "requeue", "00-0000000000000000"], ["badmail", "show", "00-0000000000000000"],
                    ["message", "export", "00-0000000000000000"], ["message", "show", "00-0000000000000000"]):
        for output in ("table", "json"):
            done = bridgehead.cli(*command, "-o", output, check=False)
            assert done.returncode == 5 and done.stderr and not done.stdout, (command, done)
    assert bridgehead.json("queue", "show", "empty.example") == []
    assert bridgehead.json("queue", "show", "--sender", "nobody@client.example") == []


def test_message_commands(box):
    """message show, track and export."""
    _, bridgehead, ids = frozen_world(box)
    shown = bridgehead.cli("message", "show", ids[3]).stdout
    assert "a@local.example" in shown and "b3@far.example" in shown, shown
    exported = bridgehead.cli("message", "export", ids[3]).stdout
    assert exported.replace("\r\n", "\n").endswith(TEXT.decode().replace("\r\n", "\n")), exported
    events = bridgehead.json("message", "track", ids[3])
    assert {e["id"] for e in events} == {ids[3]} and events[0]["event"] == "accepted", events
    for command in (("message", "show"), ("message", "track"), ("message", "export"), ("badmail", "show")):
        assert bridgehead.cli(*command, "00-0000000000000000", check=False).returncode == 5, command
    queued = bridgehead.cli("badmail", "show", ids[3], check=False)
    assert queued.returncode == 5 and "is no badmail" in queued.stderr, queued


def test_track_names_recipients(box):
    """The history says who got a message and how, whether it was delivered here, passed on or returned."""
    sink = box.add(Sink(box, rules=["rcpt:550 5.1.1 no such user"]))
    bridgehead = box.add(Bridgehead(box, smart_host=sink.address))
    number = bridgehead.send(["b@local.example", "c@local.example", "d@far.example"], TEXT)

    def ends():
        events = {e["event"]: e["text"] for e in bridgehead.json("message", "track", number)}
        return events if {"delivered", "bounced"} <= set(events) else None
    events = wait_for("both ends in the history", ends)
    assert events["delivered"].startswith("<b@local.example> <c@local.example> via maildir: "), events
    assert events["bounced"].startswith("<d@far.example> via ") and "no such user" in events["bounced"], events
    sink.rules("rcpt:451 4.2.1 come again")
    number = bridgehead.send(["d@late.example", "e@late.example"], TEXT)
    event = wait_for("the first failure", lambda: [e for e in bridgehead.json("message", "track", number) if e["event"] == "deferred"])[0]
    assert event["text"].startswith("<d@late.example> <e@late.example> via ") and event["text"].endswith("come again"), event
    queue, = bridgehead.json("queue", "list")
    assert queue["last_error"] == "451 4.2.1 come again", queue
    sink.rules()
    number = bridgehead.send("d@far.example", TEXT)
    assert wait_for("its delivery", lambda: [e["text"] for e in bridgehead.json("message", "track", number) if e["event"] ==
                    "delivered"])[0].startswith("<d@far.example> via ")


def test_track_tells_what_became_of_each(box):
    """A message of which one recipient was delivered to, one returned and one waits: the history names all three."""
    sink = box.add(Sink(box, rules=["rcpt:550 5.1.1 no such user:1:none@", "rcpt:451 4.2.1 come again:1:late@"]))
    bridgehead = box.add(Bridgehead(box, smart_host=sink.address))
    number = bridgehead.send(["ok@far.example", "none@far.example", "late@far.example"], TEXT)
    events = wait_for("the first attempt", lambda: {e["event"]: e["text"] for e in bridgehead.json("message", "track", number)
                                                    if e["event"] in ("delivered", "bounced", "deferred")})
    assert set(events) == {"delivered", "bounced", "deferred"}, events
    now, = [e["text"] for e in bridgehead.json("message", "track", number) if e["event"] == "now"]
    assert now.endswith("ed: <late@far.example>") or ": <late@far.example>; next try in " in now, now
    for event, who, said in (("delivered", "<ok@far.example> via ", "250 "), ("bounced", "<none@far.example> via ", "no such user"),
                             ("deferred", "<late@far.example> via ", "come again")):
        assert events[event].startswith(who) and said in events[event] and events[event].count("@") == 1, events
    number = bridgehead.send(["ok@far.example", "none@far.example"], TEXT)
    events = wait_for("both ends", lambda: {e["event"]: e["text"] for e in bridgehead.json("message", "track", number)
                                            if e["event"] in ("delivered", "bounced")})
    assert set(events) == {"delivered", "bounced"} and events["delivered"].startswith("<ok@far.example> via "), events
    assert "now" not in [e["event"] for e in bridgehead.json("message", "track", number)]
    bridgehead.cli("queue", "freeze", "cold.example")
    number = bridgehead.send(["a@cold.example", "b@cold.example"], TEXT)
    assert [e["text"] for e in bridgehead.json("message", "track", number)][1:] == ["queue frozen: <a@cold.example> <b@cold.example>"]
    job, = bridgehead.json("queue", "show", "cold.example")
    assert (job["place"], job["next_try_ms"]) == ("queue frozen", None), job
    bridgehead.cli("queue", "freeze", number)
    assert bridgehead.json("queue", "show", "cold.example")[0]["place"] == "frozen"
    bridgehead.cli("queue", "delete", number, "--reason", "a\nb")
    gone = bridgehead.json("message", "track", number)[-1]
    assert (gone["event"], gone["text"]) == ("deleted", "<a@cold.example> <b@cold.example>: a b"), gone


def test_badmail_commands(box):
    """badmail: list, show, requeue, delete."""
    sink = box.add(Sink(box, rules=["rcpt:550 5.1.1 no such user"], store=True))
    bridgehead = box.add(Bridgehead(box, smart_host=sink.address, config=QUICK))
    ids = [bridgehead.send(f"b{n}@far.example", TEXT, sender="") for n in range(2)]
    wait_for("badmail", lambda: all(i in bridgehead.cli("badmail", "list").stdout for i in ids))
    assert "no such user" in bridgehead.cli("badmail", "show", ids[0]).stdout
    bridgehead.cli("badmail", "delete", ids[1])
    sink.rules()
    bridgehead.cli("badmail", "requeue", ids[0])
    wait_for(lambda: sink.stats(), lambda: sink.stats()["messages"] == 1)
    wait_for("an empty list", lambda: not any(i in bridgehead.cli("badmail", "list").stdout for i in ids))
    commands, content = sink.messages()[0]  # message and envelope are what they were
    assert "MAIL FROM:<>" in commands and "RCPT TO:<b0@far.example>" in commands and content.endswith(TEXT), commands


def test_status_and_json(box):
    """status and queue list, as tables and as JSON."""
    _, bridgehead, _ = frozen_world(box)
    wait_for("node and worker in the list", lambda: len(bridgehead.json("status")["members"]) == 2)
    table = bridgehead.cli("status").stdout
    for word in ("node", "worker", "redis"):
        assert word in table.lower(), table
    status = bridgehead.json("status")
    assert status["messages"] == 10 and status["redis"]["fsync"] == "always", status
    roles = sorted(member["role"] for member in status["members"])
    assert roles == ["node", "worker"] and all(m["lease_ms"] > 0 and m["pid"] for m in status["members"]), status
    wait_for("why nothing moves", lambda: "refused" in (bridgehead.json("queue", "list")[0]["last_error"] or ""))
    queue, = bridgehead.json("queue", "list")
    assert queue["queue"] == "far.example" and queue["waiting"] + queue["in_hand"] == 10, queue


def test_json_keys(box):
    """Programs read what -o json prints: a key that comes or goes is a change of tests/golden/cli_json.txt."""
    sink = box.add(Sink(box, rules=["rcpt:550 5.1.1 no such user"]))
    bridgehead = box.add(Bridgehead(box, smart_host=sink.address, config=QUICK))
    wait_for("node and worker in the list", lambda: len(bridgehead.json("status")["members"]) == 2)
    bad = bridgehead.send("b@far.example", TEXT, sender="")
    wait_for("badmail", lambda: bridgehead.json("badmail", "list"))
    bridgehead.cli("queue", "freeze", "cold.example")
    cold = bridgehead.send("b@cold.example", TEXT)
    sink.stop()
    bridgehead.send("b@far.example", TEXT)
    wait_for("a link that fails", lambda: bridgehead.json("status")["links"])
    said = {}
    for command in (["status"], ["queue", "list"], ["queue", "show", "cold.example"], ["queue", "delete", "--all", "--dry-run"],
                    ["queue", "freeze", "--all", "--dry-run"], ["message", "show", cold], ["message", "track", cold],
                    ["badmail", "list"], ["badmail", "show", bad], ["badmail", "delete", "--all", "--dry-run"],
                    ["route", "explain", "b@far.example"], ["route", "table"]):
        said[" ".join(w for w in command if w not in (cold, bad, "cold.example", "b@far.example"))] = bridgehead.json(*command)
    check_json_keys(said)


def test_oldest_is_marked_when_it_is_not_exact(box):
    """Of many that wait, some deferred, `queue list` knows the age of the oldest to ten minutes, and says so."""
    bridgehead = box.add(Bridgehead(box, config={"redis": {"partitions": 1}}))
    bridgehead.cli("queue", "freeze", "cold.example")
    ids = [bridgehead.send("b@cold.example", TEXT) for _ in range(63)]
    bridgehead.cli("queue", "freeze", ids[0])  # it is not fresh any more
    queue, = bridgehead.json("queue", "list")
    assert (queue["waiting"], queue["oldest_about"]) == (63, False) and "~" not in bridgehead.cli("queue", "list").stdout, queue
    bridgehead.send("b@cold.example", TEXT)
    queue, = bridgehead.json("queue", "list")
    assert (queue["waiting"], queue["oldest_about"]) == (64, True), queue
    assert re.search(r" ~\d+(ms|s|m\d+s) ", bridgehead.cli("queue", "list").stdout)
    assert len([j["age_ms"] for j in bridgehead.json("queue", "show", "cold.example") if j["age_ms"] is not None]) == 64


def test_send_command(box):
    """`bridgehead send` injects a message."""
    bridgehead = box.add(Bridgehead(box))
    said = bridgehead.cli("send", "--from", "a@client.example", "--to", "b@local.example", "--subject", "by hand").stdout
    assert b"by hand" in bridgehead.wait_mail("b")[0]
    assert re.search(r"\d\d-[0-9A-Z]{16}", said), said
    assert re.fullmatch(r"2\.6\.0 \d\d-[0-9A-Z]{16} .*", bridgehead.json("send", "b@local.example")["accepted"])
    bridgehead.cli("send", "c@local.example", "d@local.example")
    assert re.search(rb"^From: <MAILER-DAEMON@\S+>\r?$", bridgehead.wait_mail("c")[0], re.MULTILINE) and bridgehead.wait_mail("d")
    assert bridgehead.cli("send", check=False).returncode == 2
    assert bridgehead.cli("send", "b@local.example", "--subject", "a\nBcc: c@local.example", check=False).returncode == 2
    bridgehead.cli("send", "e@local.example", "--from", "j\u00f6@client.example", "--body", "gr\u00fc\u00dfe")
    assert b"with UTF8SMTP\r\n" in bridgehead.wait_mail("e")[0]
    sink = box.add(Sink(box, rules=["rcpt:550 5.1.1 no such user"]))
    refused = bridgehead.cli("send", "x@far.example", "--server", "{}:{}".format(*sink.address), check=False)
    assert refused.returncode == 1 and "RCPT of x@far.example: 550 5.1.1 no such user" in refused.stderr, refused


def test_help_and_usage(box):
    """help for everything; wrong command lines give exit code 2 and say what would be right."""
    bridgehead = Bridgehead(box)
    overview = bridgehead.cli("help").stdout
    for word in ("run", "node", "worker", "status", "queue list", "config check"):
        assert word in overview, (word, overview)
    assert bridgehead.cli("queue", "lsit", check=False).returncode == 2
    assert bridgehead.cli("status", "--bogus", check=False).returncode == 2
    assert "complete" in bridgehead.cli("completion", "bash").stdout
    for wrong, meant in (("versoin", "version"), ("quue list", "queue"), ("message trak", "message track"), ("help statsu", "status")):
        said = bridgehead.cli(*wrong.split(), check=False)
        assert said.returncode == 2 and f"did you mean '{meant}'?" in said.stderr, said
    for wrong, meant in (("badmail", "list, show, requeue, delete"), ("queue list x", "'x' is too much"), ("message show", "missing"),
                         ("queue show --id -n", "--id takes a message id or how it begins, not '-n'")):
        said = bridgehead.cli(*wrong.split(), check=False)
        assert said.returncode == 2 and meant in said.stderr, said
    assert bridgehead.cli("badmail", "--help").stdout == bridgehead.cli("help", "badmail").stdout
    assert list(bridgehead.json("version")) == ["version"]


def test_a_redis_that_is_not_there(box):
    """Whoever asks before anything runs is told what to start, or what to look at."""
    embedded, other = Bridgehead(box, "embedded"), Bridgehead(box, "other", config={"redis": {"url": "redis://127.0.0.1:1/0"}})
    for bridgehead, advice in ((embedded, "does `bridgehead run` run there"), (other, "redis.url")):
        said = bridgehead.cli("queue", "list", check=False)
        assert said.returncode == 4 and "cannot connect" in said.stderr and advice in said.stderr, said


def test_status_counts_as_people_do(box):
    """One message is not "1 messages"."""
    bridgehead = box.add(Bridgehead(box))
    bridgehead.cli("queue", "freeze", "cold.example")
    bridgehead.send("a@cold.example", TEXT)
    text = bridgehead.cli("status").stdout
    assert "1 message with 1 delivery left: 0 in hand" in text and "1 queue, and 0 deliveries one by one" in text, text
    assert "1 accepted, 0 delivered, 0 bounced, 0 deferrals" in text, text
    bridgehead.send("b@cold.example", TEXT)
    assert "2 messages with 2 deliveries left" in bridgehead.cli("status").stdout


def top_in_terminal(box, bridgehead, keys):
    """Starts `top` on a terminal of its own, presses keys when it shows something; returns what it printed, how it
    ended, and whether the terminal echoes again."""
    master, slave = pty.openpty()
    with subprocess.Popen([executable(), "top", "-c", bridgehead.file], stdin=slave, stdout=slave, stderr=slave,
                          start_new_session=True, preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0)) as top:
        text = b""
        while b"q quits" not in text:
            text += os.read(master, 65536)
        quiet = not termios.tcgetattr(slave)[3] & termios.ECHO
        os.write(master, keys)
        code = top.wait(timeout=30)
    echoes = bool(termios.tcgetattr(slave)[3] & termios.ECHO)
    os.close(slave)
    os.close(master)
    return text.decode(), code, quiet and echoes


def test_top(box):
    """On a terminal until q or Ctrl-C, which leave the terminal as it was; else one screen, or as many as asked for."""
    bridgehead = box.add(Bridgehead(box))
    for keys in (b"q", b"\x03"):
        text, code, restored = top_in_terminal(box, bridgehead, keys)
        assert (code, restored) == (0, True) and "a second" in text, (keys, code, restored, text)
    once = bridgehead.cli("top").stdout
    assert once.count("nodes ") == 1 and "a second" in once and "\x1b" not in once and "q quits" not in once, once
    assert bridgehead.cli("top", "--count", "2").stdout.count("nodes ") == 2
    assert bridgehead.json("top")["members"]
    wrong = bridgehead.cli("top", "--count", "0", check=False)
    assert wrong.returncode == 2 and "--count takes" in wrong.stderr, wrong


def test_completion_in_bash(box):
    """The script that `completion bash` prints completes commands, families and options in a real bash."""
    script = box.path("completion.bash")
    script.write_text(Bridgehead(box).cli("completion", "bash").stdout)
    for words, expected in ((["stat"], {"status"}), (["queue", "fre"], {"freeze"}), (["badmail", ""],
                            {"list", "show", "requeue", "delete"}), (["queue", "delete", "--dr"], {"--dry-run"}),
                            (["status", "-"], {"--config", "--output", "--help"}), (["status", "-o", "j"], {"json"}),
                            (["status", "--output", "=", "t"], {"table"}), (["status", "--output", "="], {"table", "json"}),
                            (["linkstate", "show", "-o", ""], {"table", "json", "dot", "svg"}),
                            (["-c", "some.yaml", "queue", "fre"], {"freeze"}), (["-o", "json", "queue", "sh"], {"show"}),
                            (["queue", "delete", "-s", "x", "--re"], {"--recipient", "--reason"}),
                            (["queue", "delete", "a.example", "--all"], {"--all"}), (["queue", "delete", "a.example", ""], set()),
                            (["queue", "delete", "--reason", "li"], set()), (["simulate", "--shape", "r"], {"ring", "random"}),
                            (["keys", "make", ""], {"organization", "group", "transport"}), (["keys", "make", "group", ""], set()),
                            (["docs", "s"], {"settings"}), (["completion", "z"], {"zsh"}), (["help", "bad"], {"badmail"}),
                            (["help", "queue", "fs"], {"fsck"}), (["status", ""], set()), (["nonsense", "x"], set())):
        line = " ".join(f"'{word}'" for word in ["bridgehead"] + words)
        done = box.run("bash", "--norc", "-c", f"source {script}; COMP_WORDS=({line}); COMP_CWORD={len(words)}; _bridgehead;"
                       "printf '%s\\n' \"${COMPREPLY[@]}\"")
        assert set(done.stdout.decode().split()) == expected, (words, done.stdout)


def test_metrics_and_health(box):
    """/metrics counts what happened; health pages answer."""
    sink = box.add(Sink(box))
    bridgehead = box.add(Bridgehead(box, smart_host=sink.address))
    load(bridgehead.smtp, messages=30, sessions=3, per_connection=10)
    wait_for(lambda: sink.stats(), lambda: sink.stats()["unique"] == 30)
    for part in ("node", "worker"):
        assert bridgehead.get("/healthz/live", part)[0] == 200
        assert bridgehead.get("/healthz/ready", part)[0] == 200
        status, text = bridgehead.get("/metrics", part)
        assert status == 200 and "# HELP" in text and "# TYPE" in text, text[:300]
        assert bridgehead.get("/nothing", part)[0] == 404
    documented = (ROOT / "docs" / "metrics.md").read_text()
    kinds = re.findall(r"^\| `(\w+)` \| (\w+)", documented, re.M)
    assert not [name for name, kind in kinds if not name.endswith({"counter": "_total", "histogram": "_seconds"}.get(kind, ""))]
    for part, chapters in (("node", ("Every daemon", "Node", "Shared queue")), ("worker", ("Every daemon", "Shared queue", "Queues", "Queues by state", "Worker"))):
        text = bridgehead.get("/metrics", part)[1]
        for chapter in chapters:
            names = re.findall(r"^\| `(\w+)` \|", re.search(rf"^## {chapter}.*?(?=^## |\Z)", documented, re.M | re.S)[0], re.M)
            missing = [name for name in names if f"# TYPE {name} " not in text]
            assert names and not missing, (part, chapter, missing)
        assert not [name for name in re.findall(r"^# TYPE (\w+) ", text, re.M) if f"| `{name}` |" not in documented], part
    assert bridgehead.metric("bridgehead_smtp_messages_accepted_total", "node") == 30
    wait_for("30 deliveries to be counted", lambda: bridgehead.metric("bridgehead_worker_delivered_total", "worker") == 30)


def test_queue_metrics(box):
    """One of two workers tells what is queued, and the other one says 0 in all but the caps."""
    sink = box.add(Sink(box, refuse=True))
    bridgehead = box.add(Bridgehead(box, smart_host=sink.address, verb="run"))
    second = Bridgehead(box, "second", base=bridgehead, verb="worker", ready=False)
    second.http = {"worker": (box.host, box.port())}
    second.write({"worker": {"http": "{}:{}".format(*second.http["worker"])},
                  "redis": {"url": f"unix://{bridgehead.redis_socket()}"}})
    box.add(second)
    bridgehead.cli("queue", "freeze", "cold.example")
    for recipient in ("a@cold.example", "b@cold.example", "a@far.example", "b@far.example", "c@far.example"):
        bridgehead.send(recipient, TEXT)

    def told():
        """What all workers together say."""
        total = {}
        for worker in (bridgehead, second):
            for line in worker.get("/metrics", "worker")[1].splitlines():
                if line.startswith("bridgehead_queue_"):
                    name, value = line[len("bridgehead_queue_"):].split(" ")
                    total[name] = total.get(name, 0) + int(value)
        return total
    expected = {"told": 1, "messages": 5, "in_hand": 0, "frozen": 1, "badmail": 0, "slots": 0, 'waiting{state="Frozen"}': 2,
                'waiting{state="Retry"}': 3, 'waiting{state="Ready"}': 0, "slots_limit": 2000, "slots_domain_limit": 200}

    def as_expected():
        now = told()
        return {k: now.get(k) for k in expected} == expected and 0 < now["oldest_seconds"] < 300
    wait_for(told, as_expected, 60)


def test_log_lines(box):
    """One line per fact, the id first; JSON on request."""
    bridgehead = box.add(Bridgehead(box, config={"log": {"format": "json"}}))
    number = bridgehead.send("b@local.example", TEXT, sender="a@client.example")
    bridgehead.wait_mail("b")
    lines = wait_for(lambda: bridgehead.process.tail(),
                     lambda: [x for x in bridgehead.process.log.read_text().splitlines() if number in x])
    for line in lines:
        assert list(json.loads(line))[:5] == ["time", "level", "program", "event", "msg"], line
    start = box.path("start.yaml")  # what cannot start says why, and in JSON too
    for settings, environment, reason in (("data_dir: /dev/null", os.environ, "cannot make directory '/dev/null/run': Not a directory"),
                                          ("data_dir: ./var", {"PATH": "/nowhere"}, "No such file or directory: install redis-server")):
        start.write_text(f"{settings}\nlog: {{format: json}}\n")
        with subprocess.Popen([executable(), "run", "-c", start], stderr=subprocess.PIPE, env=environment) as run:
            told = next(fact for fact in map(json.loads, run.stderr) if fact["level"] == "error")
            run.terminate()
        assert told["reason"].startswith(reason), told
    plain = box.add(Bridgehead(box, "plain"))
    number = plain.send("b@local.example", TEXT, sender="a@client.example")
    plain.wait_mail("b")
    lines = wait_for(lambda: plain.process.tail(), lambda: [x for x in plain.process.log.read_text().splitlines() if number in x])
    for line in lines:
        assert re.fullmatch(rf"\S+ \w+ \w+ [\w.]+ msg={number}( \w+=('[^']*'|\S*))*", line), line


def test_run_ends_when_a_child_cannot_start(box):
    """An address that is taken, a file that has become wrong, a Redis that is not installed: no new start mends that."""
    taken, broken, bare = (Bridgehead(box, name, ready=None) for name in ("taken", "broken", "bare"))
    with socket.create_server(taken.smtp):
        box.add(taken)
        box.add(broken)
        wait_for("it to have read its file", lambda: "child=redis" in broken.process.log.read_text())
        broken.file.write_text("bogus_key: 1\n")
        with subprocess.Popen([executable(), "run", "-c", bare.file], stderr=subprocess.PIPE, text=True,
                              env={"PATH": "/nowhere"}) as run:
            bare_said, bare_code = run.communicate(timeout=30)[1], run.returncode
        assert (taken.process.wait(30), broken.process.wait(30), bare_code) == (6, 3, 6)
    said = [bridgehead.process.log.read_text() for bridgehead in (taken, broken)] + [bare_said]
    for text, child, reason in zip(said, ("node", "(?:node|worker)", "redis"), (
            "cannot listen on {}:{}: Address already in use".format(*taken.smtp), "the configuration is wrong",
            "its program cannot be executed")):
        assert re.search(rf"run.gave_up child={child} tries=6 reason='{re.escape(reason)}'", text), text
    assert re.findall(r"child=(\w+) state=stopped", said[0]) == ["node", "worker", "redis"], said[0]


def test_children_are_restarted(box):
    """`bridgehead run` starts again what dies, leaves nothing behind when it ends, and shares its directory with no other one."""
    bridgehead = box.add(Bridgehead(box))
    other = bridgehead.file.parent / "other.yaml"
    other.write_text("data_dir: ./var\nredis: {url: 'redis://127.0.0.1:1'}\n")
    with subprocess.Popen([executable(), "run", "-c", other], stderr=subprocess.PIPE, text=True) as second:
        assert "still uses it" in second.stderr.readline()
        second.terminate()
    assert bridgehead.cli("reload").returncode == 0
    before = [pid for pid in children(bridgehead.pid) if pid != bridgehead.pid]
    assert len(before) >= 3, before
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    wait_for(lambda: bridgehead.process.tail(),
             lambda: len(children(bridgehead.pid)) > len(before) and bridgehead.smtp_ready(), 60)
    bridgehead.send("b@local.example", TEXT, sender="a@client.example")
    bridgehead.wait_mail("b")
    remembered = children(bridgehead.pid)[1:]
    assert bridgehead.stop() == 0
    left = [pid for pid in remembered if os.path.exists(f"/proc/{pid}") and pid in children(1)]
    assert not left, left
