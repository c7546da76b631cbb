"""A process's own wall clock, set ahead or back while it runs; everybody else's stays as it is.

A Go program asks the time of the vDSO, code of the kernel that is mapped into every process. Its
copy in one process can be written to, as a debugger does: `shift` puts a jump at the beginning of
__vdso_clock_gettime and a few instructions into the unused end of the page, which ask the kernel and
add so many seconds to CLOCK_REALTIME. CLOCK_MONOTONIC is left alone, as by a step of the wall clock.
"""

import os
import platform
import signal
import struct
import time

SYMBOL = b"__vdso_clock_gettime"

# rdi: which clock, rsi: struct timespec. rax: 0, or -errno.
#   mov eax, 228; syscall; test eax, eax; jne end; test edi, edi; jne end
#   mov rcx, [rip+seconds]; add [rsi], rcx; end: ret; seconds: .quad
CODE = bytes.fromhex("b8e4000000" "0f05" "85c0" "750e" "85ff" "750a" "488b0d04000000" "48010e" "c3")


def supported():
    return platform.machine() == "x86_64"


def shift(pid, seconds):
    """Set the wall clock of process pid so many seconds ahead of the machine's, or back."""
    begin, end = _vdso(pid)
    with open(f"/proc/{pid}/mem", "r+b", buffering=0) as memory:
        memory.seek(begin)
        image = memory.read(end - begin)
        entry, spare = _symbol(image), _spare(image)
        memory.seek(begin + spare)
        memory.write(CODE + struct.pack("<q", seconds))
        jump = b"\xe9" + struct.pack("<i", spare - entry - 5)
        if image[entry:entry + 5] != jump:
            _write_code(pid, memory, begin + entry, jump)


def _write_code(pid, memory, at, code):
    """Write where no thread is in the middle."""
    while True:
        os.kill(pid, signal.SIGSTOP)
        try:
            while _state(pid) not in "TtZX":
                time.sleep(0.0005)
            if not any(at < counter < at + len(code) for counter in _counters(pid)):
                memory.seek(at)
                memory.write(code)
                return
        finally:
            os.kill(pid, signal.SIGCONT)


def _state(pid):
    states = []
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/stat") as f:
            states.append(f.read().rsplit(")", 1)[1].split()[0])
    return next((s for s in states if s not in "TtZX"), "T")


def _counters(pid):
    """The program counter of every thread."""
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/syscall") as f:
            words = f.read().split()
        if words[0] != "running":
            yield int(words[-1], 16)


def _vdso(pid):
    with open(f"/proc/{pid}/maps") as f:
        for line in f:
            if line.rstrip().endswith("[vdso]"):
                return [int(x, 16) for x in line.split()[0].split("-")]
    raise OSError(f"process {pid} has no vDSO")


def _symbol(image):
    """The offset of clock_gettime: of an ELF image's dynamic symbols."""
    table, size, count = struct.unpack_from("<Q", image, 32)[0], *struct.unpack_from("<HH", image, 54)
    dynamic = next(p for p in (struct.unpack_from("<IIQQQQ", image, table + i * size) for i in range(count)) if p[0] == 2)
    entries = dict(struct.unpack_from("<qQ", image, dynamic[2] + i) for i in range(0, dynamic[5], 16))
    strings, symbols = entries[5], entries[6]
    for i in range(symbols, strings if strings > symbols else len(image) - 24, 24):
        name, info, _other, _section, value, _size = struct.unpack_from("<IBBHQQ", image, i)
        if image[strings + name:].startswith(SYMBOL + b"\0") and info & 15 == 2:
            return value
    raise OSError("the vDSO has no clock_gettime")


def _spare(image):
    """The offset of unused bytes at its end; they are zero, or what was put there before."""
    at = len(image) - len(CODE) - 8
    if image[at:at + len(CODE)] not in (bytes(len(CODE)), CODE):
        raise OSError("the vDSO has no room left")
    return at
