"""A network namespace of its own for a test that needs fixed ports or addresses that are not loopback's."""
import ctypes
import fcntl
import os
import socket
import struct

from .process import Skip

CLONE_NEWNET = 0x40000000
SIOCSIFFLAGS, SIOCSIFADDR, SIOCSIFNETMASK = 0x8914, 0x8916, 0x891C
IFF_UP = 1


def set_address(s, interface, request, address):
    name = interface.encode()
    fcntl.ioctl(s, request, struct.pack("16sHH4s8x", name, socket.AF_INET, 0, socket.inet_aton(address)))


def own_network(*addresses):
    """This process and what it starts from now on: a loopback where every port is free, with further addresses on it."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNET) != 0:
        raise Skip(f"cannot make a network namespace (needs root): {os.strerror(ctypes.get_errno())}")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        fcntl.ioctl(s, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", IFF_UP))
        for number, address in enumerate(addresses):
            set_address(s, f"lo:{number}", SIOCSIFADDR, address)
            set_address(s, f"lo:{number}", SIOCSIFNETMASK, "255.255.255.255")
