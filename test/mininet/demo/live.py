"""The security VM's view, live: what arrives each second, and HTTP requests read out of it."""

import struct
import threading
from collections import Counter

import frames
from traffic import Capture

LINES = 3  # requests shown in a second


class LiveView:
    """Prints, each second, what the security VM received in it; for the length of a block.

    It looks at the copies and nothing else, as an intrusion detection system would.
    """

    def __init__(self, monitor, names, show):
        """names maps an IP address to a VM's name. show prints a line."""
        self._names, self._show = names, show
        self._capture = Capture(monitor)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="live view", daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_exc):
        self._stopping.set()
        self._thread.join()
        # A capture ends once nothing comes for a moment, and the customers do not stop for us.
        threading.Thread(target=self._capture.stop, name="live view's end", daemon=True).start()

    def _run(self):
        shown = 0
        while not self._stopping.wait(1.0):
            seen = self._capture.frames
            self._second(seen[shown:])
            shown = len(seen)

    def _second(self, copies):
        requests = [r for r in map(http_request, copies) if r]
        self._show(f"{len(copies):5} copies, {sum(map(len, copies)):7,} bytes, {len(requests):3} HTTP requests in this second")
        latest = {(r[1], r[2].split(" ")[1]): r for r in requests}  # one of each kind
        kinds = Counter((r[1], r[2].split(" ")[1]) for r in requests)
        for kind, _ in kinds.most_common(LINES):
            src, dst, line, body = latest[kind]
            self._show(f"      {self._names.get(src, src)} > {self._names.get(dst, dst)}  {line.removesuffix(' HTTP/1.1')}  {body}")


def http_request(frame):
    """(source, destination, request line, body) of a frame that begins an HTTP request over IPv4, or None."""
    if not frames.is_tcp(frame, 80) or frame[12:14] != b"\x08\x00":
        return None
    segment = frame[14 + (frame[14] & 15) * 4:14 + struct.unpack_from("!H", frame, 16)[0]]
    text = segment[(segment[12] >> 4) * 4:]
    if not text.startswith((b"GET ", b"POST ", b"PUT ", b"DELETE ")):
        return None
    head, _, body = text.decode(errors="replace").partition("\r\n\r\n")
    return ".".join(map(str, frame[26:30])), ".".join(map(str, frame[30:34])), head.split("\r\n")[0], body
