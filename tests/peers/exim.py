"""Exim, unpacked from the Debian package by deploy/install-packages: two mail servers cannot be installed at once."""
import os
import pwd

from .process import ROOT, Process, Skip, can_connect, need_root

CONFIGURATION = """\
exim_path = {exim}
spool_directory = {dir}/spool
log_file_path = {dir}/log-%s
pid_file_path = {dir}/pid
primary_hostname = exim.example
local_interfaces = {host}
daemon_smtp_ports = {port}
domainlist taken = {domains}
acl_smtp_rcpt = check_rcpt
acl_smtp_data = accept_all
acl_smtp_mail = accept_all
rfc1413_query_timeout = 0s
accept_8bitmime = true
smtputf8_advertise_hosts = *
chunking_advertise_hosts = {chunking}
dsn_advertise_hosts = *
prdr_enable = false
message_size_limit = 100M
smtp_accept_max = 200
smtp_accept_queue_per_connection = 1000
keep_environment =
# With a configuration file of one's own (-C) it delivers as its own user only.
deliver_drop_privilege = true
host_lookup =
{tls}
begin acl
accept_all:
  accept
check_rcpt:
  deny message = no such user here
       local_parts = nobody
  defer message = come back later
       local_parts = later
  accept domains = +taken
  deny message = not a domain of ours
begin routers
mailboxes:
  driver = accept
  transport = maildir
begin transports
maildir:
  driver = appendfile
  directory = {dir}/mail/all
  maildir_format
  create_directory
  user = Debian-exim
  delivery_date_add
  envelope_to_add
  return_path_add
begin retry
* * F,1h,1m
"""


class Exim:
    """Mail for `domains` goes to one maildir (Envelope-to: tells whose it is); nobody@ is refused, later@ is put off."""

    def __init__(self, sandbox, name="exim", domains=("exim.example",), tls=None, chunking="*", port=None):
        need_root()
        self.exim = ROOT / "build" / "peers" / "exim4-daemon-light" / "usr" / "sbin" / "exim4"
        if not self.exim.exists():
            raise Skip("Exim is not unpacked (deploy/install-packages unpack)")
        try:
            user = pwd.getpwnam("Debian-exim")
        except KeyError:
            raise Skip("no user Debian-exim (deploy/install-packages unpack)") from None
        self.dir = sandbox.path(name, "x").parent
        self.host, self.port = sandbox.host, port or sandbox.port()
        self.mail = self.dir / "mail"
        self.mail.mkdir()
        (self.dir / "spool").mkdir()
        for path in (self.dir, self.dir / "spool", self.mail):
            os.chown(path, user.pw_uid, user.pw_gid)
        tls_lines = f"tls_advertise_hosts = *\ntls_certificate = {tls[0]}\ntls_privatekey = {tls[1]}" if tls \
            else "tls_advertise_hosts ="
        configuration = self.dir / "exim.conf"
        configuration.write_text(CONFIGURATION.format(exim=self.exim, dir=self.dir, host=self.host, port=self.port,
                                                      domains=" : ".join(domains), tls=tls_lines, chunking=chunking))
        configuration.chmod(0o644)
        self.process = Process(sandbox, name, [self.exim, "-bdf", "-q10m", "-C", configuration],
                               ready=lambda: can_connect((self.host, self.port)))

    @property
    def address(self):
        return (self.host, self.port)

    def start(self):
        self.process.start()
        return self

    def stop(self):
        return self.process.stop()

    def log(self):
        path = self.dir / "log-main"
        return path.read_text() if path.exists() else ""

    def messages(self):
        return [p.read_bytes() for p in sorted(self.mail.rglob("new/*"), key=lambda p: p.stat().st_mtime_ns)]
