"""A call to a service from inside its own VM, over its loopback interface."""

import http.client
import json
import socket

import netns


def local_call(pid, path, port=80, timeout=10):
    """POST {} to the service in the namespace of process pid, and return its answer."""
    with netns.entered(pid):
        sock = socket.create_connection(("127.0.0.1", port), timeout)
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.sock = sock
    try:
        connection.request("POST", path, b"{}")
        return json.loads(connection.getresponse().read())
    finally:
        connection.close()
