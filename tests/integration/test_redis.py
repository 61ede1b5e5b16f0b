"""A Redis that refuses, is gone, or is not what it should be: clients get 4xx, people get told what to do."""
import json
import os
import re
import signal

from peers.bridgehead import Bridgehead
from peers.certificates import Certificates
from peers.golden import check_json_keys
from peers.mail import message, noise
from peers.process import ROOT, Failed, wait_for
from peers.redis import Redis
from peers.sink import Load, Sink
from peers.smtp import Client

TEXT = message("redis")
DOWN = "451 4.3.0 queue unavailable, try again later"
REFUSED = "451 4.3.5 queue misconfigured, try again later"


def with_redis(box, redis, url=None, ready=True, **config):
    return Bridgehead(box, config={"redis": {"url": url or redis.url, **config}}, ready=ready)


def end_of_data(bridgehead, content=TEXT):
    """The reply to a whole message, or whatever refused it before."""
    with Client(bridgehead.smtp, greeting=None, timeout=90) as client:
        greeting = client.reply()
        if greeting.code != 220:
            return greeting
        client.ehlo()
        for command in ("MAIL FROM:<a@client.example>", "RCPT TO:<b@local.example>"):
            reply = client.command(command)
            if reply.code != 250:
                return reply
        reply = client.command("DATA")
        if reply.code != 354:
            return reply
        client.send(content + b".\r\n")
        return client.reply()


def refusals(bridgehead):
    """Names (docs/replies.md) of the replies that took nothing."""
    found = re.findall(r'^bridgehead_smtp_replies_total{reply="(\w+)",code="[45]', bridgehead.get("/metrics")[1], re.MULTILINE)
    return set(found)


def says(bridgehead, *words):
    """The log, or the end of the start, names the trouble and the remedy."""
    text = lambda: bridgehead.process.log.read_text()
    wait_for(lambda: f"{words} in:\n{text()[-3000:]}", lambda: any(word.lower() in text().lower() for word in words))


def never_taken(bridgehead, reply=DOWN):
    """It either refuses to start, or answers 451 and is not ready."""
    def refused():
        if not bridgehead.process.running():
            return True
        try:
            return repr(end_of_data(bridgehead)) == reply
        except (ConnectionError, Failed):
            return False
    wait_for(lambda: bridgehead.process.tail(), refused)

    def not_ready():  # of the moments before the first connection to Redis nothing follows: mail that meets it tells
        return not bridgehead.process.running() or refused() and bridgehead.get("/healthz/ready")[0] == 503
    wait_for("the node to be alive but not ready", not_ready)
    if bridgehead.process.running():
        assert bridgehead.get("/healthz/live")[0] == 200


def test_external_over_unix_socket(box):
    """redis.url unix://"""
    bridgehead = box.add(with_redis(box, box.add(Redis(box))))
    assert end_of_data(bridgehead).code == 250
    bridgehead.wait_mail("b")


def test_external_over_tcp_with_password(box):
    """redis.url redis:// and a password by reference."""
    redis = box.add(Redis(box, tcp=True, password="secret sauce"))
    password = box.write("password", "secret sauce\n", 0o600)
    bridgehead = box.add(with_redis(box, redis, password_file=str(password)))
    assert end_of_data(bridgehead).code == 250
    bridgehead.wait_mail("b")
    assert "secret sauce" not in bridgehead.process.log.read_text() + bridgehead.cli("config", "show").stdout


def tls_redis(box, certificates, *names):
    """A Redis that speaks nothing but TLS on its port, and asks clients for no certificate."""
    certificate, key = certificates.issue(*names, file="redis")
    redis = Redis(box, tcp=True, settings={})
    redis.write({"port": 0, "tls-port": redis.port, "tls-cert-file": certificate, "tls-key-file": key,
                 "tls-ca-cert-file": certificates.ca, "tls-auth-clients": "no"})
    return box.add(redis)


def test_external_over_tls(box):
    """rediss:// to a Redis with TLS: mail goes through, and the certificate is verified."""
    certificates = Certificates(box)
    redis = tls_redis(box, certificates, box.host)
    url = f"rediss://{redis.host}:{redis.port}"
    bridgehead = box.add(with_redis(box, redis, url=url, ca_file=str(certificates.ca)))
    assert end_of_data(bridgehead).code == 250
    bridgehead.wait_mail("b")
    assert "0 findings" in bridgehead.cli("queue", "fsck").stdout
    assert end_of_data(bridgehead, message("large", noise(300000))).code == 250
    bridgehead.wait_mail("b", 2)


def test_tls_unknown_authority(box):
    """A certificate that nobody vouches for is not trusted with mail."""
    certificates = Certificates(box)
    redis = tls_redis(box, certificates, box.host)
    bridgehead = box.add(with_redis(box, redis, url=f"rediss://{redis.host}:{redis.port}", ready=None))
    never_taken(bridgehead)
    says(bridgehead, "certificate")


def test_tls_wrong_name(box):
    """So is one for another host."""
    certificates = Certificates(box)
    redis = tls_redis(box, certificates, "other.example")
    bridgehead = box.add(with_redis(box, redis, url=f"rediss://{redis.host}:{redis.port}", ready=None,
                                    ca_file=str(certificates.ca)))
    never_taken(bridgehead)
    says(bridgehead, "certificate")


def acl_rules():
    """The user that docs/operations.md tells to create."""
    text = (ROOT / "docs" / "operations.md").read_text()
    return re.search(r"^user bridgehead (.*)$", text, re.MULTILINE).group(1)


def test_acl_user(box):
    """An ACL user with what docs/operations.md lists can do everything that the programs do, and no more."""
    redis = box.add(Redis(box))
    redis.ask("acl", "setuser", "bridgehead", *acl_rules().replace("PASSWORD", "secret").split())
    redis.ask("acl", "setuser", "default", "resetpass", "-@all", "+ping")
    password = str(box.write("password", "secret", 0o600))
    bridgehead = box.add(with_redis(box, redis, username="bridgehead", password_file=password))
    for n in range(3):
        assert end_of_data(bridgehead, message("large", noise(200000))).code == 250
    bridgehead.wait_mail("b", 3)
    for words in (["status"], ["queue", "list"], ["queue", "freeze", "x.example"], ["queue", "thaw", "x.example"],
                  ["queue", "fsck"], ["badmail", "list"]):
        done = bridgehead.cli(*words, check=False)
        assert "NOPERM" not in done.stdout + done.stderr, (words, done.stdout, done.stderr)
    log = bridgehead.process.log.read_text()
    assert "NOPERM" not in log and "CONFIG GET is not allowed" not in log, log
    client = ["redis-cli", "-s", redis.socket, "--user", "bridgehead", "--pass", "secret", "--no-auth-warning"]
    for words in (["flushall"], ["keys", "*"], ["set", "foreign", "x"], ["config", "set", "appendonly", "no"], ["shutdown"]):
        assert b"NOPERM" in box.run(*client, *words, check=False).stdout, words


def test_acl_too_little(box):
    """A user that may not do enough is told by name what is missing."""
    redis = box.add(Redis(box))
    redis.ask("acl", "setuser", "poor", "on", ">secret", "~*", "&*", "+@all", "-evalsha")
    bridgehead = box.add(with_redis(box, redis, ready=None, username="poor",
                                    password_file=str(box.write("password", "secret", 0o600))))
    never_taken(bridgehead, REFUSED)
    says(bridgehead, "docs/operations.md")


def partitions(redis):
    return sorted(key.removesuffix(":g") for key in redis.ask("--scan", "--pattern", "*:g").splitlines() if ".p" in key)


def test_fsck_tells_what_to_do(box):
    """Findings name messages as other commands take them; --repair goes on until nothing is left to mend; what cannot be
    mended is told, and the command that it names gets rid of it."""
    redis = box.add(Redis(box))
    bridgehead = box.add(Bridgehead(box, config={"redis": {"url": redis.url, "partitions": 1}}))
    for queue in ("lost.example", "whole.example"):
        bridgehead.cli("queue", "freeze", queue)
    lost, whole = bridgehead.send("a@lost.example", TEXT), bridgehead.send("b@whole.example", TEXT)
    sound = bridgehead.json("queue", "fsck")
    assert sound.pop("keys") > 0
    assert sound == {"found": 0, "mended": 0, "partitions_not_judged": 0, "findings_left_out": 0, "findings": []}, sound
    bridgehead.cli("queue", "freeze", whole)  # so that it is counted by age
    tag, = partitions(redis)
    redis.ask("del", f"{tag}:b:{lost[3:]}")
    redis.ask("zrem", f"{tag}:q:whole.example", f"{whole[3:]}.1")
    found = bridgehead.cli("queue", "fsck", check=False)
    assert found.returncode == 1 and f"I1 {lost} has no body" in found.stdout, found.stdout
    assert f"I2 {whole} (delivery 1) is nowhere" in found.stdout and "queue fsck --repair" in found.stdout, found.stdout
    said = bridgehead.cli("queue", "fsck", "--repair", "-o", "json", check=False)
    mended = json.loads(said.stdout)
    assert said.returncode == 1 and mended["found"] == mended["mended"] + 1 and mended["mended"] >= 2, mended
    assert [f["text"] for f in mended["findings"] if not f["mended"]] == [f"{lost} has no body"], mended
    check_json_keys({"queue fsck": mended})
    again = bridgehead.cli("queue", "fsck", check=False).stdout
    assert "1 finding, 0 mended" in again and "queue delete ID" in again, again
    bridgehead.cli("queue", "delete", lost)
    assert "0 findings" in bridgehead.cli("queue", "fsck").stdout
    assert [j["id"] for j in bridgehead.json("queue", "show", "whole.example")] == [whole]
    # Names as long as they may be, and more findings than are listed: what is said of each is right, and of all.
    redis.ask("zadd", f"{tag}:q:{'x' * 320}", 1, f"{whole[3:]}.1")
    redis.ask("hset", f"{tag}:m:{whole[3:]}", "q1", f"0:{'y' * 320}")
    said = json.loads(bridgehead.cli("queue", "fsck", "--repair", "-o", "json").stdout)
    assert said["mended"] == said["found"] == len(said["findings"]) and all(f["mended"] for f in said["findings"]), said
    assert any(len(f["text"]) > 600 and f["text"].endswith("(mended)") for f in said["findings"]), said
    redis.ask("eval", "for i = 1, 1500 do redis.call('SET', string.format('%s:b:%016d', KEYS[1], i), 'x') end", 1, tag)
    said = bridgehead.cli("queue", "fsck", "-o", "json", check=False)
    found = json.loads(said.stdout)
    assert said.returncode == 1 and (found["found"], found["mended"], found["findings_left_out"]) == (1500, 0, 500), found
    assert len(found["findings"]) == 1000
    mended = bridgehead.json("queue", "fsck", "--repair")
    assert (mended["found"], mended["mended"], mended["findings_left_out"]) == (1500, 1500, 500), mended


def test_fsck_of_a_live_store(box):
    """queue fsck on a store of some size, while mail comes in: finds what was planted, mends it, blocks nobody."""
    redis = box.add(Redis(box))
    sink = box.add(Sink(box, refuse=True))
    bridgehead = box.add(Bridgehead(box, smart_host=sink.address, config={
        "redis": {"url": redis.url}, "delivery": {"retry": {"glitch": ["1s"], "schedule": ["1s"], "jitter_percent": 0}}}))
    first = Load(box, bridgehead.smtp, sessions=8, per_connection=50, messages=3000, size=500)
    first.start()
    assert first.results()["acked"] == 3000
    assert "0 findings" in bridgehead.cli("queue", "fsck").stdout
    second = Load(box, bridgehead.smtp, "more", sessions=4, per_connection=50, messages=2000, size=500, first_id=3000)
    second.start()
    planted = partitions(redis)
    for n, tag in enumerate(planted):
        redis.ask("set", f"{tag}:b:{n:016d}", "a body without message")
        redis.ask("hset", f"{tag}:inf", "nowhere.example", 3)
        redis.ask("zadd", f"{tag}:qz", 1, f"{n:016d}.1")
    found = bridgehead.cli("queue", "fsck", check=False)
    assert found.returncode == 1, found.stdout
    for kind in ("I1", "I2", "I6"):
        assert sum(1 for line in found.stdout.splitlines() if f"{kind} " in line) >= len(planted), found.stdout[-3000:]
    assert bridgehead.cli("queue", "fsck", "--repair").returncode == 0
    assert second.results()["acked"] == 2000
    assert "0 findings" in bridgehead.cli("queue", "fsck").stdout
    slow = int(redis.info("commandstats").get("cmdstat_keys", "calls=0").split("calls=")[1].split(",")[0])
    assert slow == 0, "KEYS was used on a live store"
    sink.control("accept")
    acked = first.acked() | second.acked()
    wait_for(lambda: f"{len(acked)} {sink.stats()}", lambda: sink.stats()["unique"] >= len(acked), 120)
    assert acked <= set(sink.ids())


def test_password_missing(box):
    """NOAUTH names redis.password_file."""
    bridgehead = box.add(with_redis(box, box.add(Redis(box, password="x")), ready=None))
    never_taken(bridgehead, REFUSED)
    says(bridgehead, "password_file")


def test_password_wrong(box):
    """WRONGPASS."""
    redis = box.add(Redis(box, password="right"))
    bridgehead = box.add(with_redis(box, redis, ready=None, password_file=str(box.write("password", "wrong", 0o600))))
    never_taken(bridgehead, REFUSED)
    says(bridgehead, "password_file", "WRONGPASS")


def test_not_durable(box):
    """appendonly no: durability: fsync cannot be promised."""
    bridgehead = box.add(with_redis(box, box.add(Redis(box, settings={"appendonly": "no"})), ready=None))
    never_taken(bridgehead)
    says(bridgehead, "appendonly")


def test_fsync_policy(box):
    """appendfsync everysec: refused or warned about by name."""
    bridgehead = box.add(with_redis(box, box.add(Redis(box, settings={"appendfsync": "everysec"})), ready=None))
    says(bridgehead, "appendfsync")


def test_eviction(box):
    """maxmemory-policy allkeys-lru would throw mail away."""
    bridgehead = box.add(with_redis(box, box.add(Redis(box, settings={"maxmemory-policy": "allkeys-lru"})), ready=None))
    never_taken(bridgehead)
    says(bridgehead, "maxmemory-policy", "noeviction")


def test_no_replica(box):
    """durability replicas:1 without a replica: 451, never 250."""
    bridgehead = box.add(with_redis(box, box.add(Redis(box, tcp=True)), ready=None, durability="replicas:1"))
    never_taken(bridgehead)
    says(bridgehead, "replica")


def test_read_only_replica(box):
    """A replica in place of the primary: READONLY."""
    primary = box.add(Redis(box, "primary", tcp=True))
    replica = box.add(Redis(box, "replica", tcp=True, settings={"replicaof": f"{primary.host} {primary.port}"}))
    wait_for("replication", lambda: replica.info("replication")["master_link_status"] == "up")
    bridgehead = box.add(with_redis(box, replica, ready=None))
    never_taken(bridgehead)
    says(bridgehead, "replica", "READONLY")


def test_out_of_memory(box):
    """maxmemory reached: 452; when there is room again, 250. Waiting mail can still leave."""
    redis = box.add(Redis(box, settings={"maxmemory": "40mb"}))
    sink = box.add(Sink(box, refuse=True))
    bridgehead = Bridgehead(box, smart_host=sink.address, config={
        "redis": {"url": redis.url}, "delivery": {"retry": {"glitch": ["1s"], "schedule": ["1s"], "jitter_percent": 0}}})
    box.add(bridgehead)
    load = Load(box, bridgehead.smtp, sessions=8, per_connection=20, messages=1000, size=100000)
    load.start()
    results = load.results()
    assert results["tempfail"] > 0 and results["permfail"] == 0 and results["last_code"] == 452, results
    assert refusals(bridgehead) == {"QUEUE_FULL"}, refusals(bridgehead)
    says(bridgehead, "maxmemory")
    sink.control("accept")
    wait_for(lambda: f"{results} {sink.stats()}", lambda: sink.stats()["unique"] >= results["acked"], 120)
    wait_for("room again", lambda: end_of_data(bridgehead).code == 250)
    assert sink.stats()["corrupt"] == 0 and load.acked() <= set(sink.ids())


def test_disk_error(box):
    """Redis cannot write to its disk and refuses (MISCONF): 451, said by name, and 250 again when it can."""
    redis = box.add(Redis(box, settings={"save": "3600 1"}))
    bridgehead = box.add(with_redis(box, redis))
    (redis.dir / "dump.rdb").mkdir()  # the snapshot cannot take its place
    redis.ask("bgsave")
    wait_for("the snapshot to fail", lambda: redis.info("persistence")["rdb_last_bgsave_status"] == "err")
    assert repr(end_of_data(bridgehead)) == DOWN
    says(bridgehead, "MISCONF")
    assert bridgehead.get("/healthz/live")[0] == 200
    (redis.dir / "dump.rdb").rmdir()
    redis.ask("bgsave")
    wait_for("the snapshot", lambda: redis.info("persistence")["rdb_last_bgsave_status"] == "ok")
    wait_for("250 again", lambda: end_of_data(bridgehead).code == 250)


def test_wrong_schema(box):
    """A store of another version is not touched."""
    redis = box.add(Redis(box))
    bridgehead = box.add(with_redis(box, redis))
    bridgehead.stop()
    changed = 0
    for key in redis.ask("--scan").splitlines():
        if key.endswith(":g"):
            redis.ask("set", key, "999")
            changed += 1
    assert changed > 0
    bridgehead.process.ready = None
    bridgehead.start()
    never_taken(bridgehead, REFUSED)
    says(bridgehead, "schema", "version")


def test_wrong_type(box):
    """Keys of ours that hold something else: an error that names it, no crash, no 250."""
    redis = box.add(Redis(box))
    bridgehead = box.add(with_redis(box, redis))
    bridgehead.stop()
    for key in redis.ask("--scan").splitlines():
        if redis.ask("type", key) != "string" or ":meta" in key:
            redis.ask("del", key)
            redis.ask("set", key, "not what you think")
    bridgehead.process.ready = None
    bridgehead.start()
    never_taken(bridgehead, REFUSED)
    says(bridgehead, "wrong type", "WRONGTYPE", "meta", "not a store")


def test_redis_stops_and_comes_back(box):
    """Redis gone: 451 or 421 at once, not ready, alive; back: everything goes on by itself."""
    redis = box.add(Redis(box))
    sink = box.add(Sink(box))
    bridgehead = box.add(Bridgehead(box, smart_host=sink.address, config={"redis": {"url": redis.url}}))
    assert end_of_data(bridgehead).code == 250
    bridgehead.wait_mail("b")
    with Client(bridgehead.smtp) as early:
        early.ehlo()
        redis.kill()
        wait_for("not ready", lambda: bridgehead.get("/healthz/ready")[0] == 503)
        assert bridgehead.get("/healthz/live")[0] == 200
        assert repr(end_of_data(bridgehead)) == DOWN
        assert bridgehead.cli("status", check=False).returncode == 4
        redis.start()
        wait_for("ready again", lambda: bridgehead.get("/healthz/ready")[0] == 200)
        early.envelope("a@client.example", "c@local.example")
        early.data(TEXT)
    bridgehead.wait_mail("c")


def test_live_never_depends_on_redis(box):
    """Node and worker are alive and tell metrics, but are not ready, while Redis is not there yet, hangs, or is gone."""
    redis = Redis(box)
    bridgehead = box.add(with_redis(box, redis, ready=False))
    parts = ("node", "worker")

    def pages(*expected):
        told = lambda: [bridgehead.get(page, part)[0] for part in parts for page in ("/healthz/live", "/healthz/ready", "/metrics")]
        wait_for(lambda: f"{expected}, not {told()}", lambda: told() == list(expected) * 2)
    pages(200, 503, 200)
    box.add(redis)
    pages(200, 200, 200)
    os.kill(redis.pid, signal.SIGSTOP)
    try:
        pages(200, 503, 200)
    finally:
        os.kill(redis.pid, signal.SIGCONT)
    pages(200, 200, 200)
    redis.kill()
    pages(200, 503, 200)


def test_redis_freezes(box):
    """Redis answers nothing for a while (SIGSTOP): no 250 meanwhile, nothing lost after."""
    redis = box.add(Redis(box))
    bridgehead = box.add(with_redis(box, redis))
    assert end_of_data(bridgehead).code == 250
    os.kill(redis.pid, signal.SIGSTOP)
    try:
        wait_for("not ready", lambda: bridgehead.get("/healthz/ready")[0] == 503)
        assert bridgehead.get("/healthz/live")[0] == 200
    finally:
        os.kill(redis.pid, signal.SIGCONT)
    wait_for("250 again", lambda: end_of_data(bridgehead).code == 250)


def test_unreachable_at_start(box):
    """No Redis at start: it waits for one instead of giving up."""
    redis = Redis(box)
    bridgehead = box.add(with_redis(box, redis, ready=None))
    never_taken(bridgehead)
    if not bridgehead.process.running():
        raise Failed(f"it ended instead of waiting: {bridgehead.process.tail()}")
    box.add(redis)
    wait_for("ready", bridgehead.smtp_ready)
    assert end_of_data(bridgehead).code == 250
