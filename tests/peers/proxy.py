"""A proxy in front of Redis that cuts connections in the middle of anything, at places drawn from a seed."""
import random
import selectors
import socket
import threading


class Proxy:
    """Forwards a listening port to a unix socket or (host, port). While cutting is on, each connection lives for a
    number of octets drawn between 1 and `reach`, counted in both directions; the octet that ends it is the last one that
    gets through, and what came with it is thrown away."""

    def __init__(self, sandbox, target, seed, reach=200000):
        self.target = target
        self.random = random.Random(seed)
        self.reach = reach
        self.cutting = False
        self.down = False
        self.cuts = 0
        self.listener = socket.create_server((sandbox.host, 0), backlog=256)
        self.address = self.listener.getsockname()
        self.selector = selectors.DefaultSelector()
        self.left = {}  # client socket -> octets it may still carry
        self.peer = {}
        self.wake_receive, self.wake_send = socket.socketpair()
        self.stopping = False
        self.thread = threading.Thread(target=self.loop, daemon=True)

    @property
    def url(self):
        return "redis://{}:{}".format(*self.address)

    def start(self):
        self.selector.register(self.listener, selectors.EVENT_READ)
        self.selector.register(self.wake_receive, selectors.EVENT_READ)
        self.thread.start()
        return self

    def stop(self):
        self.stopping = True
        self.wake_send.send(b"x")
        self.thread.join(5)

    def cut_all(self):
        """Cuts every connection at once."""
        self.down = True
        self.wake_send.send(b"x")

    def connect(self):
        server = socket.socket(socket.AF_INET if isinstance(self.target, tuple) else socket.AF_UNIX)
        server.connect(self.target if isinstance(self.target, tuple) else str(self.target))
        return server

    def accept(self):
        client, _ = self.listener.accept()
        try:
            server = self.connect()
        except OSError:
            client.close()
            return
        for one, other in ((client, server), (server, client)):
            self.peer[one] = other
            self.selector.register(one, selectors.EVENT_READ)
        self.left[client] = self.left[server] = [self.random.randint(1, self.reach)]

    def close(self, one):
        other = self.peer.get(one)
        for s in (one, other):
            if s is not None and s in self.peer:
                self.selector.unregister(s)
                del self.peer[s], self.left[s]
                s.close()

    def forward(self, one):
        other = self.peer.get(one)
        if other is None:
            return
        try:
            data = one.recv(65536)
            if not data:
                self.close(one)
                return
            if self.cutting:
                left = self.left[one]
                if len(data) >= left[0]:
                    other.sendall(data[:left[0]])
                    self.cuts += 1
                    self.close(one)
                    return
                left[0] -= len(data)
            other.sendall(data)
        except OSError:
            self.close(one)

    def loop(self):
        while not self.stopping:
            for key, _ in self.selector.select():
                if key.fileobj is self.listener:
                    self.accept()
                elif key.fileobj is self.wake_receive:
                    self.wake_receive.recv(100)
                    if self.down:
                        self.cuts += len(self.peer) // 2
                        for one in list(self.peer):
                            self.close(one)
                        self.down = False
                else:
                    self.forward(key.fileobj)
        for one in list(self.peer):
            self.close(one)
        self.listener.close()
