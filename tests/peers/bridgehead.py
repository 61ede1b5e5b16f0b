"""Bridgehead with a configuration of its own in a sandbox."""
import copy
import json
import os
import pathlib
import signal
import subprocess
import urllib.error
import urllib.request

from .mail import report_of
from .process import ROOT, Failed, Process, Skip, can_connect, wait_for
from .smtp import send


def executable():
    """The program under test: of the build directory BRIDGEHEAD_BUILD, else of the first preset that has it."""
    given = os.environ.get("BRIDGEHEAD_BUILD")
    for build in [ROOT / given] if given else [ROOT / "build" / p for p in ("release", "asan", "dev")]:
        path = pathlib.Path(build, "bridgehead")
        if path.exists():
            return path
    raise Skip("bridgehead is not built (cmake --build --preset release)")


def merge(base, change):
    """A copy of `base` with the mappings of `change` merged in and everything else of it replacing."""
    result = copy.deepcopy(base)
    for key, value in change.items():
        if isinstance(value, dict) and isinstance(result.get(key), dict):
            result[key] = merge(result[key], value)
        else:
            result[key] = copy.deepcopy(value)
    return result


def yaml(config):
    """The configuration as YAML; below the first level in flow style, which JSON is."""
    return "".join(f"{key}: {json.dumps(value)}\n" for key, value in config.items())


class Bridgehead:
    """`bridgehead run` (or another verb) with the default configuration of the tests and changes to it.

    Mail for local.example goes into maildirs (see mailbox()); recipients elsewhere go to `smart_host`, or where
    the DNS server `resolver` says. `smtp` is the (host, port) that takes mail. place: where it runs (peers/place.py)."""

    def __init__(self, sandbox, name="bridgehead", smart_host=None, resolver=None, config=None, verb="run",
                 base=None, ready=True, place=None):
        self.sandbox = sandbox
        self.name = name
        self.dir = sandbox.path(name, "x").parent
        self.file = self.dir / "bridgehead.yaml"
        self.host, port, command = sandbox.host, sandbox.port, [executable(), verb, "-c", self.file]
        if place:
            self.host, command = place.inside or place.host, place.command(command)
            port = lambda: place.port(self.host)
        if base is not None:  # a further process of the same cluster
            self.smtp, self.http, self.config = base.smtp, base.http, merge(base.config, config or {})
        else:
            self.smtp = (self.host, port())
            self.http = {part: (self.host, port()) for part in ("node", "worker", "router")}
            self.config = merge(self.default(smart_host, resolver), config or {})
        self.write()
        wanted = self.smtp_ready if ready is True else ready or None
        self.process = Process(sandbox, name, command, ready=wanted, stop_timeout=40)

    def default(self, smart_host, resolver):
        connector = {"name": "out", "type": "smtp", "address_spaces": [{"space": "*", "cost": 10}]}
        if smart_host:
            connector["smart_hosts"] = ["{}:{}".format(*smart_host)]
        else:
            connector["deliver"] = "dns"
        config = {
            "organization": "example",
            "routing_group": {"name": "hq"},
            "redis": {"url": "embedded", "durability": "fsync"},
            "data_dir": str(self.dir / "var"),
            "virtual_servers": [{
                "name": "default",
                "listen": ["{}:{}".format(*self.smtp)],
                "hostname": "mx.example.org",
                "relay_from": ["127.0.0.0/8"],
            }],
            "delivery": {"max_connections": 1000, "max_connections_per_domain": 100, "messages_per_connection": 20},
            "local_domains": [{"domain": "local.example", "deliver": f"maildir:{self.dir}/mail/%d/%u"}],
            "connectors": [connector],
        }
        for part, address in self.http.items():
            config[part] = {"http": "{}:{}".format(*address)}
        if resolver:
            config["resolver"] = {"servers": ["{}@{}".format(*resolver)]}
        return config

    def write(self, change=None):
        """Writes the configuration file, with changes if any."""
        if change:
            self.config = merge(self.config, change)
        self.file.write_text(yaml(self.config))

    @property
    def pid(self):
        return self.process.pid

    def start(self):
        self.process.start(timeout=60)
        return self

    def stop(self):
        return self.process.stop()

    def smtp_ready(self):
        return can_connect(self.smtp) and self.ready()

    def get(self, path, part="node", timeout=5):
        """(status, text) of a page of a daemon's HTTP port."""
        url = "http://{}:{}{}".format(*self.http[part], path)
        try:
            with urllib.request.urlopen(url, timeout=timeout) as reply:
                return reply.status, reply.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError as error:
            return 0, str(error)

    def ready(self, part="node"):
        return self.get("/healthz/ready", part)[0] == 200

    def metric(self, name, part="node"):
        """The sum of a metric over its labels; None if there is no such metric."""
        values = [float(line.rsplit(" ", 1)[1]) for line in self.get("/metrics", part)[1].splitlines()
                  if line.split("{")[0].split(" ")[0] == name]
        return sum(values) if values else None

    def cli(self, *arguments, check=True, timeout=60, **options):
        """Runs a command; returns its CompletedProcess with text."""
        done = self.sandbox.run(executable(), *arguments, "-c", self.file, check=False, timeout=timeout, **options)
        done.stdout, done.stderr = done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace")
        if check and done.returncode != 0:
            raise Failed(f"bridgehead {' '.join(arguments)} gave {done.returncode}: {done.stdout}{done.stderr}")
        return done

    def json(self, *arguments):
        text = self.cli(*arguments, "-o", "json").stdout
        try:
            return json.loads(text)
        except ValueError as error:
            raise Failed(f"bridgehead {' '.join(arguments)} -o json: {error}: {text[:500]}") from None

    def mailbox(self, user, domain="local.example"):
        """Messages delivered to a maildir, oldest first."""
        new = self.dir / "mail" / domain / user / "new"
        return [p.read_bytes() for p in sorted(new.iterdir(), key=lambda p: p.stat().st_mtime_ns)] if new.exists() else []

    def wait_mail(self, user, count=1, domain="local.example", timeout=30):
        wait_for(lambda: f"{count} messages for {user}@{domain}; log:\n{self.process.tail()}",
                 lambda: len(self.mailbox(user, domain)) >= count, timeout)
        return self.mailbox(user, domain)

    def send(self, recipients, content, sender="a@local.example", parameters=""):
        """One message in a session of its own; the id that the server gave it."""
        return send(self.smtp, sender, recipients, content, parameters).text.split()[1]

    def wait_report(self, user="a", timeout=30):
        """The delivery report that came to the mailbox of a local sender."""
        return report_of(self.wait_mail(user, timeout=timeout)[0])

    def redis_socket(self):
        found = [p for p in (self.dir / "var").rglob("*") if p.is_socket()]
        if not found:
            raise Failed(f"no unix socket of the embedded Redis below {self.dir}/var")
        return found[0]

    def redis(self, *command):
        """A command to the embedded Redis, for what no command of ours tells."""
        return self.sandbox.run("redis-cli", "-s", self.redis_socket(), *command).stdout.decode().strip()

    def redis_info(self, section):
        lines = (line.partition(":") for line in self.redis("info", section).splitlines())
        return {key: value.strip() for key, _, value in lines if value}

    def reload(self):
        self.process.signal(signal.SIGHUP)


def version():
    return subprocess.run([executable(), "--version"], stdout=subprocess.PIPE, check=False).stdout.decode().strip()
