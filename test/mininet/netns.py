"""Doing things in another process's network namespace, and to another process's sockets.

A socket belongs for good to the namespace in which it was made, so the suite needs no helper
process in each VM: it enters the VM's namespace, opens a packet socket, and comes back.
"""

import contextlib
import ctypes
import os
import socket
import struct

CLONE_NEWNET = 0x40000000
SO_RCVBUFFORCE = 33
SOL_PACKET = 263
PACKET_STATISTICS = 6

_SYS_PIDFD_OPEN = 434  # the same number on every architecture (Linux 5.3)
_SYS_PIDFD_GETFD = 438  # Linux 5.6

_libc = ctypes.CDLL(None, use_errno=True)


def _checked(result):
    if result < 0:
        err = ctypes.get_errno()
        raise OSError(err, os.strerror(err))
    return result


@contextlib.contextmanager
def entered(pid):
    """Run the block in the network namespace of process pid. Concerns the calling thread only."""
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        away = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            _checked(_libc.setns(away, CLONE_NEWNET))
        finally:
            os.close(away)
        try:
            yield
        finally:
            _checked(_libc.setns(home, CLONE_NEWNET))
    finally:
        os.close(home)


def inside(pid, *command):
    """The command line that runs command in the network and mount namespaces of process pid."""
    return ["mnexec", "-a", str(pid), *command]


def packet_sockets(pid):
    """Yield duplicates of the AF_PACKET sockets that process pid holds; each is closed after use."""
    pidfd = _checked(_libc.syscall(_SYS_PIDFD_OPEN, pid, 0))
    try:
        for name in os.listdir(f"/proc/{pid}/fd"):
            try:
                if not os.readlink(f"/proc/{pid}/fd/{name}").startswith("socket:"):
                    continue
                fd = _checked(_libc.syscall(_SYS_PIDFD_GETFD, pidfd, int(name), 0))
            except OSError:
                continue  # closed since we looked
            with socket.socket(fileno=fd) as duplicate:
                if duplicate.family == socket.AF_PACKET:
                    yield duplicate
    finally:
        os.close(pidfd)


def widen(pid, size=16 << 20):
    """Give the packet sockets of process pid a receive buffer of size bytes.

    A userspace Open vSwitch reads each port from a socket whose default buffer holds about 300
    frames. On a busy machine that overflows, which would look like a switch that loses copies.
    """
    for sock in packet_sockets(pid):
        sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, size)


def take_drops(pid):
    """How many frames the kernel dropped before process pid could read them, since last asked."""
    dropped = 0
    for sock in packet_sockets(pid):
        _, lost = struct.unpack("II", sock.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))
        dropped += lost
    return dropped
