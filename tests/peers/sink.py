"""Our own sink and load generator (tests/bench), and Postfix's smtp-sink."""
import json
import os
import pathlib
import socket
import subprocess

from .process import ROOT, Process, Skip, can_connect, need_program


def tool(name):
    """Path of a program of tests/bench: of the build directory BRIDGEHEAD_BUILD, or of any preset that has it."""
    given = os.environ.get("BRIDGEHEAD_BUILD")
    for build in [ROOT / given] if given else [ROOT / "build" / p for p in ("release", "asan", "dev")]:
        path = pathlib.Path(build, "tests", "bench", name)
        if path.exists():
            return path
    raise Skip(f"{name} is not built (cmake --build --preset release --target bench-tools)")


class Sink:
    """smtp_sink under control. `rules` as smtp_sink --help tells."""

    def __init__(self, sandbox, name="sink", rules=(), hide=(), lmtp=False, refuse=False, store=False, log=False,
                 listen=None, size=0, seed=1, device=None):
        self.sandbox = sandbox
        self.control_path = sandbox.path(f"{name}.ctl")
        self.address = None
        self.store = sandbox.path(name + ".mail", "x").parent if store else None
        self.log = sandbox.path(f"{name}.messages") if log else None
        command = [tool("smtp_sink"), "--listen", listen or f"{sandbox.host}:0", "--control", self.control_path,
                   "--size", size, "--seed", seed]
        command += ["--device", device] if device else []
        for rule in rules:
            command += ["--rule", rule]
        for extension in hide:
            command += ["--hide", extension]
        command += ["--lmtp"] if lmtp else []
        command += ["--refuse"] if refuse else []
        command += ["--store", self.store] if store else []
        command += ["--log", self.log] if log else []
        self.process = Process(sandbox, name, command, ready=self.read_address)

    @property
    def pid(self):
        return self.process.pid

    def read_address(self):
        text = self.process.log.read_text()
        if not text.endswith("\n"):
            return False
        host, port = text.splitlines()[0].split()[0].rsplit(":", 1)
        self.address = (host, int(port))
        return True

    @property
    def port(self):
        return self.address[1]

    def start(self):
        self.process.start()
        return self

    def stop(self):
        return self.process.stop()

    def control(self, line):
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(30)
            s.connect(str(self.control_path))
            s.sendall(line.encode() + b"\n")
            reply = b""
            while chunk := s.recv(65536):
                reply += chunk
        text = reply.decode()
        if text.startswith("error"):
            raise ValueError(f"sink: {line}: {text}")
        return text

    def stats(self):
        return json.loads(self.control("stats"))

    def locals(self):
        return json.loads(self.control("locals"))

    def ids(self):
        """{number: (times delivered, times bounced)}"""
        path = self.sandbox.path("ids")
        self.control(f"ids {path}")
        return {int(i): (int(d), int(b)) for i, d, b in (line.split() for line in path.read_text().splitlines())}

    def rules(self, *rules):
        """Replaces its rules."""
        self.control("no-rules")
        for rule in rules:
            self.control(f"rule {rule}")

    def messages(self):
        """Stored messages in order of arrival: (commands, content)."""
        paths = sorted((p for p in self.store.iterdir() if p.suffix != ".env"), key=lambda p: int(p.name))
        return [(p.with_name(p.name + ".env").read_text(errors="surrogateescape"), p.read_bytes()) for p in paths]


def load_command(to, **options):
    """smtp_load's command line; options as keywords: per_connection=20, pipeline=True."""
    command = [str(tool("smtp_load")), "--to", "{}:{}".format(*to)]
    for key, value in options.items():
        if value is not False and value is not None:
            command += ["--" + key.replace("_", "-")] + ([] if value is True else [str(value)])
    return command


def load(to, timeout=600, **options):
    """Runs smtp_load to its end and returns its results."""
    done = subprocess.run(load_command(to, **options), stdout=subprocess.PIPE, timeout=timeout, check=True)
    return json.loads(done.stdout.splitlines()[-1])


class Load(Process):
    """smtp_load in the background; results() waits for its end."""

    def __init__(self, sandbox, to, name="load", **options):
        self.acked_path = sandbox.path(f"{name}.acked")
        self.unknown_path = sandbox.path(f"{name}.unknown")
        super().__init__(sandbox, name, load_command(to, acked=self.acked_path, unknown=self.unknown_path, **options))

    def results(self, timeout=600):
        self.wait(timeout)
        return json.loads(self.log.read_text().splitlines()[-1])

    def acked(self):
        return {int(line) for line in self.acked_path.read_text().split()}

    def unknown(self):
        return {int(line) for line in self.unknown_path.read_text().split()}


class PostfixSink(Process):
    """Postfix's smtp-sink, which needs no configuration; `options` as in smtp-sink(1)."""

    def __init__(self, sandbox, *options, name="smtp-sink", address=None):
        self.address = address or (sandbox.host, sandbox.port())
        listen = ("[{}]:{}" if ":" in self.address[0] else "{}:{}").format(*self.address)
        super().__init__(sandbox, name, [need_program("smtp-sink"), "-u", "nobody", *options, listen, "1000"],
                         ready=lambda: can_connect(self.address))
