"""The loopback of a server's own network namespace: programs reach themselves, and nothing else.

The namespace has no other interface. Programs of one server use it one after the other: when a program has ended, its
sockets are closed, and no port waits for late packets. Buffers are bounded, since memory limits do not count them.
Where the bounds cannot be set (/proc/sys is read-only in some containers) the loopback stays down, and no socket can be
made.
"""

from __future__ import annotations

import fcntl
import socket
import struct

HOSTS = {"/etc/hosts": "127.0.0.1 localhost sandbox\n", "/etc/nsswitch.conf": "hosts: files\n"}
_BOUNDS = {"tcp_rmem": "4096 65536 212992", "tcp_wmem": "4096 65536 212992", "tcp_max_tw_buckets": "0"}
_SIOCSIFFLAGS, _IFF_UP = 0x8914, 0x1


def bring_up() -> bool:
    """Bring up the loopback of this process's network namespace; False where its buffers cannot be bounded."""
    try:
        for name, value in _BOUNDS.items():
            with open(f"/proc/sys/net/ipv4/{name}", "w") as file:
                file.write(value)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
            fcntl.ioctl(one, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", _IFF_UP))
    except OSError:
        return False
    return True
