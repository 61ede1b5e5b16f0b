"""A small RESP2 client: enough for the tests, blocking, with pipelining."""
import socket


class RedisError(Exception):
    """An error reply; code is its first word."""

    def __init__(self, text):
        super().__init__(text)
        self.code = text.split(" ", 1)[0]


def encode(args):
    out = [b"*%d\r\n" % len(args)]
    for arg in args:
        if not isinstance(arg, bytes):
            arg = str(arg).encode(errors="surrogateescape")
        out.append(b"$%d\r\n%s\r\n" % (len(arg), arg))
    return b"".join(out)


class Client:
    """One connection; replies are bytes, int, None, lists, or raised RedisErrors."""

    def __init__(self, address, timeout=30):
        kind = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
        self.sock = socket.socket(kind, socket.SOCK_STREAM)
        self.sock.settimeout(timeout)
        try:
            self.sock.connect(address)
        except OSError:
            self.sock.close()
            raise
        self.file = self.sock.makefile("rb", buffering=65536)

    def close(self):
        self.file.close()
        self.sock.close()

    def send(self, *args):
        self.sock.sendall(encode(args))

    def read(self):
        """The next reply; errors are returned, not raised."""
        line = self.file.readline()
        if not line.endswith(b"\r\n"):
            raise ConnectionError("connection closed")
        kind, rest = line[:1], line[1:-2]
        if kind == b"+":
            return rest
        if kind == b"-":
            return RedisError(rest.decode(errors="replace"))
        if kind == b":":
            return int(rest)
        if kind == b"$":
            length = int(rest)
            if length < 0:
                return None
            data = self.file.read(length + 2)
            return data[:-2]
        if kind == b"*":
            return None if int(rest) < 0 else [self.read() for _ in range(int(rest))]
        raise ValueError("not RESP: %r" % line)

    def cmd(self, *args):
        self.send(*args)
        reply = self.read()
        if isinstance(reply, RedisError):
            raise reply
        return reply

    def pipeline(self, commands):
        """Sends all, then reads all; errors are in the list."""
        self.sock.sendall(b"".join(encode(c) for c in commands))
        return [self.read() for _ in commands]
