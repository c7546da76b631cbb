"""A small client of the northbound API: what a script of a user would look like."""

import json
import re
import time
import urllib.error
import urllib.parse
import urllib.request


class Answer:
    """One HTTP answer. body is the parsed JSON, or the text when it is not JSON."""

    def __init__(self, status, headers, raw):
        self.status, self.headers, self.text = status, headers, raw.decode(errors="replace")
        self.type = (headers.get("Content-Type") or "").split(";")[0]
        try:
            self.body = json.loads(self.text) if self.text else None
        except ValueError:
            self.body = self.text

    def __str__(self):
        return f"{self.status} {self.type} {self.text.strip()[:500]}"


class Refused(Exception):
    """The server answered with an error; answer has the problem document."""

    def __init__(self, request, answer):
        super().__init__(f"{request}: {answer}")
        self.answer = answer


class Api:
    """The API at one base address."""

    def __init__(self, base):
        self.base = base

    def request(self, method, path, body=None, headers=None, raw=None, timeout=60):
        """Send one request and return its Answer, whatever its status. OSError when nobody listens."""
        data = raw if raw is not None else (json.dumps(body).encode() if body is not None else None)
        request = urllib.request.Request(self.base + path, data=data, method=method)
        if data is not None:
            request.add_header("Content-Type", "application/json")
        for name, value in (headers or {}).items():
            request.add_header(name, value)
        try:
            with urllib.request.urlopen(request, timeout=timeout) as response:
                return Answer(response.status, response.headers, response.read())
        except urllib.error.HTTPError as e:
            with e:
                return Answer(e.code, e.headers, e.read())

    def must(self, method, path, body=None, **options):
        """As request, but raises Refused unless the status is 2xx; returns the body."""
        answer = self.request(method, path, body, **options)
        if not 200 <= answer.status < 300:
            raise Refused(f"{method} {path} {json.dumps(body) if body is not None else ''}", answer)
        return answer.body

    def create(self, collection, body, wait=None):
        return self.must("POST", f"/v1/{collection}{_wait(wait)}", body)

    def get(self, collection, id):
        return self.must("GET", f"/v1/{collection}/{id}")

    def list(self, collection, **filters):
        """All objects of a collection, over all its pages."""
        items, page = [], None
        while True:
            query = dict(filters, **({"page": page} if page else {}))
            answer = self.must("GET", f"/v1/{collection}" + ("?" + urllib.parse.urlencode(query) if query else ""))
            items += answer["items"] or []
            page = answer.get("next")
            if not page:
                return items

    def replace(self, collection, id, body, wait=None, revision=None):
        headers = {"If-Match": f'"{revision}"'} if revision else None
        return self.must("PUT", f"/v1/{collection}/{id}{_wait(wait)}", body, headers=headers)

    def delete(self, collection, id, wait=None):
        self.must("DELETE", f"/v1/{collection}/{id}{_wait(wait)}")

    def wait_state(self, collection, id, *states, timeout=15.0, also=lambda _: True):
        """Wait until the object's status.state is one of states; returns the object."""
        deadline = time.monotonic() + timeout
        while True:
            found = self.get(collection, id)
            if found["status"]["state"] in states and also(found):
                return found
            if time.monotonic() > deadline:
                raise TimeoutError(f"{collection[:-1]} {id} after {timeout} s: {json.dumps(found['status'])}, want {' or '.join(states)}")
            time.sleep(0.01)

    def ready(self):
        """Whether /readyz says 200."""
        try:
            return self.request("GET", "/readyz", timeout=5).status == 200
        except OSError:
            return False

    def metric(self, name, **labels):
        """The value of one sample of /metrics; 0 when there is none, as Prometheus reads a counter."""
        total = 0.0
        for found, text, value in samples(self.request("GET", "/metrics").text):
            if found == name and all(text.get(k) == v for k, v in labels.items()):
                total += value
        return total


def samples(text):
    """The samples of a Prometheus text: (name, labels, value)."""
    for line in text.splitlines():
        found = re.fullmatch(r"([a-zA-Z_:][\w:]*)(?:\{(.*)\})? ([^ ]+)(?: \d+)?", line)
        if found:
            yield found[1], dict(re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', found[2] or "")), float(found[3])


def _wait(seconds):
    return "" if seconds is None else f"?wait={seconds}"
