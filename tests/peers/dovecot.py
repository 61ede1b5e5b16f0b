"""Dovecot's LMTP server on TCP and on a unix socket, delivering into maildirs."""
from .process import Process, can_connect, need_program, need_root

CONFIGURATION = """\
base_dir = {dir}/run
state_dir = {dir}/state
protocols = lmtp
log_path = {dir}/dovecot.log
ssl = no
mail_location = maildir:{dir}/mail/%d/%n
mail_uid = nobody
mail_gid = nogroup
first_valid_uid = 1
first_valid_gid = 1
auth_username_format = %Lu
default_vsz_limit = 0
lmtp_save_to_detail_mailbox = no
recipient_delimiter = +
passdb {{
  driver = static
  args = nopassword=y
}}
userdb {{
  driver = static
  args = uid=nobody gid=nogroup home={dir}/mail/%d/%n allow_all_users=yes
}}
service lmtp {{
  inet_listener lmtp {{
    address = {host}
    port = {port}
  }}
  unix_listener {dir}/lmtp.sock {{
    mode = 0666
  }}
}}
service stats {{
  chroot =
}}
service anvil {{
  chroot =
}}
protocol lmtp {{
  mail_plugins =
}}
"""


class Dovecot:
    def __init__(self, sandbox, name="dovecot"):
        need_root()
        self.dir = sandbox.path(name, "x").parent
        self.host, self.port = sandbox.host, sandbox.port()
        self.socket = self.dir / "lmtp.sock"
        self.mail = self.dir / "mail"
        self.mail.mkdir()
        self.mail.chmod(0o777)
        configuration = self.dir / "dovecot.conf"
        configuration.write_text(CONFIGURATION.format(dir=self.dir, host=self.host, port=self.port))
        self.process = Process(sandbox, name, [need_program("dovecot"), "-F", "-c", configuration],
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
        path = self.dir / "dovecot.log"
        return path.read_text() if path.exists() else ""

    def messages(self):
        return [p.read_bytes() for p in sorted(self.mail.rglob("new/*"), key=lambda p: p.stat().st_mtime_ns)]
