"""HTTP for the bench: one kept connection, every byte's moment known; and a watch in a thread.

The API client of the scenarios opens a connection for each request, which is what a script does
and which would be measured along.
"""

import contextlib
import json
import socket
import threading
import time


class Broken(Exception):
    """The server did not do what the bench stands on."""


class Line:
    """One keep-alive connection to flowtapd. Not for concurrent use."""

    def __init__(self, http):
        host, port = http.rsplit(":", 1)
        self._host = http
        self._sock = socket.create_connection((host, int(port)), timeout=60)
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._rest = b""

    def __enter__(self):
        return self

    def __exit__(self, *_exc):
        self._sock.close()

    def request(self, method, path, body=None):
        """One request; returns status, parsed body, and time.time_ns() when it was sent and answered."""
        data = b"" if body is None else json.dumps(body).encode()
        head = f"{method} {path} HTTP/1.1\r\nHost: {self._host}\r\nContent-Length: {len(data)}\r\n"
        if data:
            head += "Content-Type: application/json\r\n"
        message = head.encode() + b"\r\n" + data
        sent = time.time_ns()
        self._sock.sendall(message)
        status, headers = self._head()
        answered = time.time_ns()
        raw = self._body(headers)
        return status, (json.loads(raw) if raw else None), sent, answered

    def must(self, want, method, path, body=None):
        """As request, without the status, which must be the one wanted."""
        status, got, sent, answered = self.request(method, path, body)
        if status != want:
            raise Broken(f"{method} {path} {json.dumps(body)}: {status} {got}, want {want}")
        return got, sent, answered

    def _head(self):
        while b"\r\n\r\n" not in self._rest:
            self._more()
        head, self._rest = self._rest.split(b"\r\n\r\n", 1)
        lines = head.decode().split("\r\n")
        headers = dict((n.lower(), v.strip()) for n, _, v in (line.partition(":") for line in lines[1:]))
        return int(lines[0].split()[1]), headers

    def _body(self, headers):
        if headers.get("transfer-encoding") == "chunked":
            body = b""
            while True:
                while b"\r\n" not in self._rest:
                    self._more()
                size, self._rest = self._rest.split(b"\r\n", 1)
                size = int(size, 16)
                while len(self._rest) < size + 2:
                    self._more()
                body, self._rest = body + self._rest[:size], self._rest[size + 2:]
                if size == 0:
                    return body
        size = int(headers.get("content-length", 0))
        while len(self._rest) < size:
            self._more()
        body, self._rest = self._rest[:size], self._rest[size:]
        return body

    def _more(self):
        piece = self._sock.recv(1 << 16)
        if not piece:
            raise Broken("flowtapd closed the connection")
        self._rest += piece


class TapWatch:
    """Watches the taps of one port (?watch=true&src=...) and notes when each was first active."""

    def __init__(self, http, src):
        host, port = http.rsplit(":", 1)
        self._sock = socket.create_connection((host, int(port)), timeout=60)
        self._sock.sendall(f"GET /v1/taps?watch=true&src={src} HTTP/1.1\r\nHost: {http}\r\n\r\n".encode())
        self._sock.settimeout(None)
        self._known = threading.Condition()
        self._active, self._synced, self._ended = {}, False, False
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)
        self._thread.start()
        with self._known:
            if not self._known.wait_for(lambda: self._synced or self._ended, 60) or self._ended:
                raise Broken("the watch of taps does not start")

    def __enter__(self):
        return self

    def __exit__(self, *_exc):
        self._sock.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._sock.close()

    def active(self, id, timeout=60):
        """The time.time_ns() when the stream said that the tap is active."""
        with self._known:
            if not self._known.wait_for(lambda: id in self._active or self._ended, timeout):
                raise Broken(f"tap {id} is not active after {timeout} s")
            if id not in self._active:
                raise Broken("the watch of taps ended")
            return self._active[id]

    def _run(self):
        with contextlib.suppress(ConnectionError), self._sock.makefile("rb") as stream:
            for line in stream:
                at = time.time_ns()  # the chunk framing between the lines does not begin with "data:"
                if not line.startswith(b"data:"):
                    continue
                event = json.loads(line[5:])
                tap = event.get("object") or {}
                with self._known:
                    if event["type"] == "SYNCED":
                        self._synced = True
                    elif event["type"] != "DELETED" and tap["status"].get("state") == "active":
                        self._active.setdefault(tap["id"], at)
                    self._known.notify_all()
        with self._known:
            self._ended = True
            self._known.notify_all()


def many(http, requests, want, connections=16):
    """Send (method, path, body) requests over that many connections at once; returns the seconds."""
    requests = list(requests)
    errors, begin = [], time.monotonic()

    def work(mine):
        try:
            with Line(http) as line:
                for method, path, body in mine:
                    line.must(want, method, path, body)
        except (OSError, Broken) as e:
            errors.append(e)

    threads = [threading.Thread(target=work, args=(requests[k::connections],), daemon=True) for k in range(connections)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    if errors:
        raise Broken(f"{len(errors)} of {connections} connections failed, the first: {errors[0]}")
    return time.monotonic() - begin
