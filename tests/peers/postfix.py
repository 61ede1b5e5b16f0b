"""Postfix of the Debian package, with configuration, queue and data in the sandbox; /etc/postfix is not used."""
import os
import pathlib
import pwd
import grp
import shutil
import signal

from .process import Process, can_connect, need_program, need_root

DAEMONS = "/usr/lib/postfix/sbin"

# Of master.cf what a relay needs. Columns: service type private unprivileged chroot wakeup maxproc command.
SERVICES = """\
{listen} inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
local unix - n n - - local
virtual unix - n n - - virtual
lmtp unix - - n - - lmtp
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
tlsmgr unix - - n 1000? 1 tlsmgr
{postlog}"""

QUEUES = "active bounce corrupt defer deferred flush hold incoming private saved trace"


class Postfix:
    """Postfix.port accepts mail for anybody. With relay_to everything goes to that (host, port); without, mail for
    domains goes to virtual mailboxes (maildirs in Postfix.mail/domain/user/) and the rest where DNS says."""

    def __init__(self, sandbox, name="postfix", relay_to=None, domains=(), settings=None, logging=True, listen=None):
        need_root()
        need_program("postfix")
        self.sandbox = sandbox
        self.dir = sandbox.path(name, "x").parent
        self.host, self.port = listen or (sandbox.host, sandbox.port())
        self.mail = self.dir / "mail"
        self.relay_to = relay_to
        self.domains = domains
        self.settings = settings or {}
        self.logging = logging
        self.process = Process(sandbox, name, [f"{DAEMONS}/master", "-c", self.dir, "-s"],
                               ready=lambda: can_connect((self.host, self.port)))

    @property
    def pid(self):
        return self.process.pid

    def main_cf(self):
        user = pwd.getpwnam("nobody")
        settings = {
            "compatibility_level": "3.6",
            "queue_directory": self.dir / "queue",
            "data_directory": self.dir / "data",
            "daemon_directory": DAEMONS,
            "command_directory": "/usr/sbin",
            "mail_owner": "postfix",
            "setgid_group": "postdrop",
            "myhostname": "postfix.example",
            "mydestination": "",
            "mynetworks": "127.0.0.0/8",
            "inet_interfaces": "all",
            "inet_protocols": "ipv4",
            "smtp_bind_address": "",
            "alias_maps": "",
            "alias_database": "",
            "local_recipient_maps": "",
            "smtpd_recipient_restrictions": "permit_mynetworks, reject",
            "smtpd_client_connection_count_limit": "0",
            "biff": "no",
            "strict_rfc821_envelopes": "no",
            "smtputf8_enable": "yes",
            "message_size_limit": str(100 << 20),
            "mailbox_size_limit": "0",
            "virtual_mailbox_limit": "0",
            "virtual_mailbox_domains": " ".join(self.domains),
            "virtual_mailbox_base": self.mail,
            "virtual_mailbox_maps": "static:inbox/",
            "virtual_uid_maps": f"static:{user.pw_uid}",
            "virtual_gid_maps": f"static:{user.pw_gid}",
            "virtual_minimum_uid": "1",
            "default_process_limit": "100",
        }
        if self.logging:
            settings["maillog_file"] = self.dir / "mail.log"
            settings["maillog_file_prefixes"] = "/tmp"
        if self.relay_to:
            settings["relayhost"] = "[{}]:{}".format(*self.relay_to)
        settings.update(self.settings)
        return "".join(f"{key} = {value}\n" for key, value in settings.items())

    def prepare(self):
        postfix = pwd.getpwnam("postfix")
        postdrop = grp.getgrnam("postdrop").gr_gid
        for name in QUEUES.split():
            path = self.dir / "queue" / name
            path.mkdir(parents=True)
            path.chmod(0o700)
            os.chown(path, postfix.pw_uid, 0)
        (self.dir / "queue" / "pid").mkdir()
        for name, mode in (("public", 0o2710), ("maildrop", 0o1730)):
            path = self.dir / "queue" / name
            path.mkdir()
            os.chown(path, postfix.pw_uid, postdrop)
            path.chmod(mode)
        (self.dir / "data").mkdir()
        os.chown(self.dir / "data", postfix.pw_uid, postfix.pw_gid)
        self.mail.mkdir()
        shutil.chown(self.mail, "nobody", "nogroup")
        (self.dir / "main.cf").write_text(self.main_cf())
        (self.dir / "master.cf").write_text(SERVICES.format(
            listen=f"{self.host}:{self.port}",
            postlog="postlog unix-dgram n - n - 1 postlogd\n" if self.logging else ""))
        maps = pathlib.Path("/etc/postfix/dynamicmaps.cf")
        if maps.exists():
            shutil.copy(maps, self.dir)

    def start(self):
        if not (self.dir / "main.cf").exists():
            self.prepare()
        self.process.start()
        return self

    def stop(self):
        # master's children end when it does, but need not hurry; they are in its process group.
        return self.process.stop()

    def signal_master(self, number=signal.SIGHUP):
        self.process.signal(number)

    def flush(self):
        """Tries to deliver everything now."""
        self.sandbox.run("postqueue", "-c", self.dir, "-f")

    def queued(self):
        """Messages in the queue."""
        count = 0
        for queue in ("incoming", "active", "deferred", "maildrop"):
            for _, _, files in os.walk(self.dir / "queue" / queue):
                count += len(files)
        return count

    def log(self):
        path = self.dir / "mail.log"
        return path.read_text() if path.exists() else ""

    def messages(self):
        """Contents of all delivered messages."""
        return [p.read_bytes() for p in sorted(self.mail.rglob("new/*"))]
