"""What the rental's services share: an HTTP server that speaks JSON, and calls to the others.

Connections stay open and carry many requests. Nothing is ever asked twice: a request that is not
answered is an error which the customer sees in the end.
"""

import http.client
import http.server
import json
import os
import socketserver
import threading

PORT = 80
TIMEOUT = 30  # seconds for one answer

HOSTS = json.loads(os.environ.get("RENTAL_HOSTS", "{}"))  # service name to IP address
_mine = threading.local()  # each thread has its own connections


class Failed(Exception):
    """Another service did not answer as it should; the text says which and how."""


class Connection(http.client.HTTPConnection):
    """Sends head and body of a request in one piece: whoever reads one packet sees all of it."""

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self._pending = b""

    def send(self, data):
        self._pending += data

    def getresponse(self):
        pending, self._pending = self._pending, b""
        super().send(pending)
        return super().getresponse()


def call(service, path, body):
    """POST body to a service and return its answer."""
    connections = _mine.__dict__.setdefault("connections", {})
    connection = connections.get(service)
    if connection is None:
        connection = connections[service] = Connection(HOSTS[service], PORT, timeout=TIMEOUT)
    try:
        connection.request("POST", path, json.dumps(body).encode(), {"Content-Type": "application/json"})
        response = connection.getresponse()
        answer = json.loads(response.read())
    except (OSError, http.client.HTTPException, ValueError) as e:
        connection.close()
        del connections[service]
        raise Failed(f"{service}{path}: {type(e).__name__}: {e}") from e
    if response.status >= 300:
        raise Failed(f"{service}{path}: {response.status} {answer.get('error')}")
    return answer


def serve(routes, address="0.0.0.0"):
    """Serve for ever. routes maps a path to a function from the request's JSON to the answer's."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True
        wbufsize = -1  # head and body leave in one piece

        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or b"{}")
            route = routes.get(self.path)
            try:
                status, answer = (200, route(body)) if route else (404, {"error": f"there is no {self.path}"})
            except Failed as e:
                status, answer = 502, {"error": str(e)}
            except (KeyError, TypeError, ValueError) as e:
                status, answer = 400, {"error": f"{type(e).__name__}: {e}"}
            data = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_args):
            pass

    class Server(socketserver.ThreadingMixIn, socketserver.TCPServer):
        allow_reuse_address = True
        daemon_threads = True
        request_queue_size = 64

    with Server((address, PORT), Handler) as server:
        server.serve_forever()
