"""A raw SMTP client: sends exactly the bytes it is given."""
import contextlib
import socket
import ssl

from .process import Failed


class Reply:
    def __init__(self, lines):
        self.lines = lines
        self.code = int(lines[0][:3])
        self.text = "\n".join(line[4:] for line in lines)

    def __repr__(self):
        return f"{self.code} {self.text}"


class Client:
    """A session; ends with the `with` block. Replies are checked where a code is expected."""

    def __init__(self, address, tls=None, greeting=220, timeout=30, source=None):
        self.socket = socket.create_connection(address, timeout=timeout, source_address=source and (source, 0))
        self.buffer = b""
        if tls:
            self.socket = tls.wrap_socket(self.socket, server_hostname="mx.example.org")
        self.greeting = self.reply(greeting) if greeting else None

    def __enter__(self):
        return self

    def __exit__(self, *error):
        with contextlib.suppress(OSError):
            self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def line(self):
        while b"\n" not in self.buffer:
            chunk = self.socket.recv(65536)
            if not chunk:
                raise Failed(f"connection closed; unread: {self.buffer!r}")
            self.buffer += chunk
        line, _, self.buffer = self.buffer.partition(b"\n")
        return line.decode("utf-8", "replace").rstrip("\r")

    def reply(self, expected=None):
        lines = [self.line()]
        while lines[-1][3:4] == "-":
            lines.append(self.line())
        reply = Reply(lines)
        if expected and reply.code != expected:
            raise Failed(f"expected {expected}, got {reply!r}")
        return reply

    def command(self, text, expected=None):
        self.send((text if isinstance(text, bytes) else text.encode("utf-8", "surrogateescape")) + b"\r\n")
        return self.reply(expected)

    def ehlo(self, name="client.example"):
        """Extensions as {keyword: parameters}."""
        lines = self.command(f"EHLO {name}", 250).lines[1:]
        return {line[4:].split(" ")[0]: line[4:].split(" ")[1:] for line in lines}

    def envelope(self, sender, *recipients, parameters=""):
        self.command(f"MAIL FROM:<{sender}>{parameters}", 250)
        for recipient in recipients:
            self.command(f"RCPT TO:<{recipient}>", 250)

    def data(self, content, expected=250):
        """Content as it shall arrive, ending in CRLF; dots are doubled here."""
        self.command("DATA", 354)
        self.send((b"\r\n" + content).replace(b"\r\n.", b"\r\n..")[2:] + b".\r\n")
        return self.reply(expected)

    def bdat(self, content, chunk=None, expected=250):
        """Content in chunks of `chunk` octets (all of it at once by default)."""
        size = chunk or max(len(content), 1)
        for at in range(0, max(len(content), 1), size):
            piece = content[at:at + size]
            last = at + size >= len(content)
            self.send(b"BDAT %d%s\r\n" % (len(piece), b" LAST" if last else b"") + piece)
            reply = self.reply(expected if last else 250)
        return reply

    def starttls(self, context):
        self.command("STARTTLS", 220)
        if self.buffer:
            raise Failed(f"bytes after the reply to STARTTLS: {self.buffer!r}")
        self.socket = context.wrap_socket(self.socket, server_hostname="mx.example.org")

    def closed(self):
        """True once the server has closed the connection; pending bytes are dropped."""
        try:
            while self.socket.recv(65536):
                pass
            return True
        except (ConnectionError, ssl.SSLError):
            return True
        except socket.timeout:
            return False


def send(address, sender, recipients, content, parameters=""):
    """One message in a session of its own; the reply to its end."""
    with Client(address) as client:
        client.ehlo()
        client.envelope(sender, *([recipients] if isinstance(recipients, str) else recipients), parameters=parameters)
        reply = client.data(content)
        client.command("QUIT", 221)
        return reply
