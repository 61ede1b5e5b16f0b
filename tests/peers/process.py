"""Sandboxes, processes and waiting."""
import atexit
import contextlib
import itertools
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]


class Skip(Exception):
    """The test cannot run here; the text says why."""


class Failed(AssertionError):
    """What was expected did not happen; the text says what was seen instead."""


def need_root():
    if os.geteuid() != 0:
        raise Skip("needs root: mail servers change to users of their own")


def need_program(*names):
    """The path of the first of these programs that is installed."""
    for name in names:
        path = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/lib/dovecot")
        if path:
            return path
    raise Skip(f"{names[0]} is not installed (deploy/install-packages test unpack bench)")


def wait_for(what, check, timeout=30.0, pause=0.02):
    """Calls check() until it returns something true, and returns that."""
    end = time.monotonic() + timeout
    while True:
        result = check()
        if result:
            return result
        if time.monotonic() > end:
            raise Failed(f"waited {timeout:g} s in vain: {what() if callable(what) else what}")
        time.sleep(pause)


def can_connect(address):
    """True if something listens at (host, port) or at the unix socket with this path."""
    family = socket.AF_UNIX
    if isinstance(address, tuple):
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as s:
        s.settimeout(2)
        try:
            s.connect(address if isinstance(address, tuple) else str(address))
            return True
        except OSError:
            return False


def ports(seed):
    """Ports below those that the system hands out itself, to whoever listens at port 0 or connects: what starts between the
    choice of a port and its use, or while its owner is down, cannot take it. On addresses that tests share, the first
    one differs from process to process."""
    first, last = 10000, 32768
    with contextlib.suppress(OSError):
        low = int(pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
        last = low if low >= first + 1000 else last  # where the system hands out nearly all of them nothing is better
    return (first + (seed * 61 + number) % (last - first) for number in itertools.count())


class Sandbox:
    """A temporary directory with a loopback address of its own and the processes started in it.

    The address comes from the process id, so that two tests at the same time never fight for a port. Used as a
    context manager; what was started last is ended first. KEEP=1 in the environment keeps the directory."""

    def __init__(self, name="bh"):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix=f"{name}-", dir="/tmp"))
        self.dir.chmod(0o755)
        pid = os.getpid()  # below 2 ** 22: every living process has an address of its own
        self.host = f"127.{64 + (pid >> 16) % 64}.{(pid >> 8) & 255}.{pid & 255}"
        self.stack = contextlib.ExitStack()
        self.failed = False
        self.ports = ports(pid)
        atexit.register(self.close)

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        self.failed = error is not None and not isinstance(error, Skip)
        self.close()

    def close(self):
        atexit.unregister(self.close)
        try:
            self.stack.close()
        finally:
            if os.environ.get("KEEP"):
                print(f"kept: {self.dir}", file=sys.stderr)
            else:
                shutil.rmtree(self.dir, ignore_errors=True)

    def add(self, peer):
        """Starts a peer (anything with start() and stop()) that ends with the sandbox."""
        self.stack.callback(peer.stop)
        peer.start()
        return peer

    def path(self, *parts):
        path = self.dir.joinpath(*parts)
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def write(self, name, text, mode=0o644):
        path = self.path(name)
        path.write_text(text)
        path.chmod(mode)
        return path

    def other_host(self, number):
        """Further loopback addresses of this sandbox, 0 to 99."""
        return f"127.{128 + number}." + self.host.split(".", 2)[2]

    def port(self, host=None):
        """A port that was free at this moment, was not given before, and is given to nobody by the system."""
        host = host or self.host
        for port in itertools.islice(self.ports, 1000):
            with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as s, contextlib.suppress(OSError):
                s.bind((host, port))
                return port
        raise Failed(f"no port of {host} is free")

    def run(self, *command, timeout=60, check=True, **options):
        """Runs a command to its end; its output is bytes."""
        options.setdefault("stdin", subprocess.DEVNULL)
        if "input" in options:
            del options["stdin"]
        done = subprocess.run([str(c) for c in command], cwd=self.dir, timeout=timeout, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, **options)
        if check and done.returncode != 0:
            raise Failed(f"{' '.join(str(c) for c in command)} gave {done.returncode}:\n"
                         f"{(done.stdout + done.stderr).decode('utf-8', 'replace')[-2000:]}")
        return done


class Process:
    """A program that runs in the foreground until it is stopped; its output goes to a log file."""

    def __init__(self, sandbox, name, command, ready=None, stop_signal=signal.SIGTERM, stop_timeout=15, env=None):
        self.sandbox = sandbox
        self.name = name
        self.command = [str(c) for c in command]
        self.ready = ready
        self.stop_signal = stop_signal
        self.stop_timeout = stop_timeout
        self.env = {**os.environ, **env} if env else None
        self.log = sandbox.path(f"{name}.log")
        self.child = None

    @property
    def pid(self):
        return self.child.pid

    def start(self, timeout=30):
        with open(self.log, "ab") as log:
            self.child = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                          cwd=self.sandbox.dir, env=self.env, start_new_session=True)
        if self.ready:
            wait_for(lambda: f"{self.name} to be ready; it said:\n{self.tail()}",
                     lambda: self.alive() and self.ready(), timeout)
        return self

    def alive(self):
        code = self.child.poll()
        if code is not None:
            raise Failed(f"{self.name} ended with {code}; it said:\n{self.tail()}")
        return True

    def running(self):
        return self.child is not None and self.child.poll() is None

    def tail(self, size=3000):
        try:
            return self.log.read_bytes()[-size:].decode("utf-8", "replace")
        except FileNotFoundError:
            return ""

    def signal(self, number):
        os.kill(self.child.pid, number)

    def wait(self, timeout=30):
        """The exit code, once it has ended by itself."""
        try:
            return self.child.wait(timeout)
        except subprocess.TimeoutExpired:
            raise Failed(f"{self.name} has not ended within {timeout} s; it said:\n{self.tail()}") from None

    def stop(self):
        """Ends it, politely at first; returns its exit code, or None if it was not running."""
        if not self.running():
            return None
        self.signal(self.stop_signal)
        try:
            code = self.child.wait(self.stop_timeout)
        except subprocess.TimeoutExpired:
            code = None
        # What it may have left behind belongs to its own process group.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.child.pid, signal.SIGKILL)
        self.child.wait()
        return code

    def kill(self):
        """kill -9 of the process alone, not of its children."""
        self.child.kill()
        self.child.wait()


def children(pid):
    """All living descendants of a process, the process itself first."""
    parents = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                stat = pathlib.Path("/proc", entry, "stat").read_text()
            except OSError:
                continue
            parents.setdefault(int(stat.rsplit(")", 1)[1].split()[1]), []).append(int(entry))
    found, todo = [], [pid]
    while todo:
        pid = todo.pop(0)
        found.append(pid)
        todo.extend(sorted(parents.get(pid, [])))
    return found


def cpu_seconds(pid):
    """Processor time of a process tree, with what its dead children used."""
    ticks = 0
    for one in children(pid):
        with contextlib.suppress(OSError):
            fields = pathlib.Path(f"/proc/{one}/stat").read_text().rsplit(")", 1)[1].split()
            ticks += sum(int(n) for n in fields[11:15])  # utime stime cutime cstime
    return ticks / os.sysconf("SC_CLK_TCK")


def starved_s(*pids):
    """How long threads of these processes have been ready to run and had no processor, so far: what another load of the
    machine adds to a time that is measured. 0 where the kernel does not tell."""
    waited = 0
    for pid in pids:
        for task in pathlib.Path(f"/proc/{pid}/task").glob("*/schedstat"):
            with contextlib.suppress(OSError):
                waited += int(task.read_text().split()[1])
    return waited / 1e9


def memory_bytes(pid):
    """Proportional set size of a process tree: shared pages are counted once."""
    total = 0
    for one in children(pid):
        with contextlib.suppress(OSError):
            for line in pathlib.Path(f"/proc/{one}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1]) * 1024
    return total
