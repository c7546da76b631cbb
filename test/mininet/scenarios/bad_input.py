"""Bad input gets a problem document that names the field, and nothing changes; bad starts end in one line."""

import json
import os
import re
import subprocess
import threading

import ofdump
from daemon import HTTP, OPENFLOW, free_port


def nothing_changes(w, check):
    """The API and its client say what is wrong, and leave everything as it was."""
    w.network("shop")
    web, _ = w.vms("shop", ("web", "n1"), ("far", "n2"))
    ids, = w.monitors(("ids", "n3"))
    w.tap(web, ids, "nw_proto=TCP; tp_dst=80", "in", id="t80")
    objects, switches = everything(w), w.at_rest()
    the_api_refuses(w, check)
    the_client_says_so(w, check)
    check.equal("nothing changed: every object is what it was", objects, everything(w))
    left = ofdump.difference(switches, w.lab.snapshot())
    check.that("nothing changed: every switch holds what it held", not left, "\n".join(left))


TAP = {"id": "bad", "src": "web", "dst": "ids", "action": "forward"}
PORT = {"id": "bad", "network": "shop", "mac": "02:00:00:00:77:01", "ips": ["10.0.0.99"]}
NODE = {"id": "bad", "datapath_id": "00000000000000ff", "tunnel_ip": "172.16.0.99"}

# What is wrong, method, path, body, status, and the field that the problem names (None: not asked).
REFUSED = [
    ("a source that does not exist", "POST", "/v1/taps", {**TAP, "src": "nobody"}, 422, "src"),
    ("a monitor that does not exist", "POST", "/v1/taps", {**TAP, "dst": "nobody"}, 422, "dst"),
    ("a destination that is no monitor", "POST", "/v1/taps", {**TAP, "dst": "far"}, 422, "dst"),
    ("no source", "POST", "/v1/taps", {"id": "bad", "dst": "ids", "action": "forward"}, 422, "src"),
    ("no action", "POST", "/v1/taps", {"id": "bad", "src": "web", "dst": "ids"}, 422, "action"),
    ("an action that is none", "POST", "/v1/taps", {**TAP, "action": "mirror"}, 422, "action"),
    ("a direction that is none", "POST", "/v1/taps", {**TAP, "direction": "sideways"}, 422, "direction"),
    ("a priority beyond 1000", "POST", "/v1/taps", {**TAP, "priority": 1001}, 422, "priority"),
    ("a negative priority", "POST", "/v1/taps", {**TAP, "priority": -1}, 422, "priority"),
    ("a match field that is none", "POST", "/v1/taps", {**TAP, "match": "tp_dest=80"}, 422, "match"),
    ("a port beyond 65535", "POST", "/v1/taps", {**TAP, "match": "nw_proto=TCP; tp_dst=65536"}, 422, "match"),
    ("a port of a protocol without ports", "POST", "/v1/taps", {**TAP, "match": "nw_proto=ICMP; tp_dst=80"}, 422, "match"),
    ("a prefix that is none", "POST", "/v1/taps", {**TAP, "match": "nw_src=10.0.0.0/33"}, 422, "match"),
    ("a match that contradicts itself", "POST", "/v1/taps", {**TAP, "match": {"dl_type": "0x0806", "tp_dst": 80}}, 422, "match"),
    ("a tap onto itself", "POST", "/v1/taps", {**TAP, "dst": "web"}, 422, "dst"),
    ("a fail mode that is none", "POST", "/v1/taps", {**TAP, "action": "redirect", "priority": 7, "fail_mode": "ajar"}, 422, "fail_mode"),
    ("a redirect of what is copied", "POST", "/v1/taps", {**TAP, "action": "redirect"}, 409, None),
    ("a negative truncation", "POST", "/v1/taps", {**TAP, "truncate": -1}, 422, "truncate"),
    ("a pool that does not exist", "POST", "/v1/taps", {"id": "bad", "src": "web", "dst_pool": "nothing", "action": "forward"}, 422, "dst_pool"),
    ("a pool that is empty", "POST", "/v1/pools", {"id": "bad", "mode": "copy", "members": []}, 422, "members"),
    ("a pool of a port that is no monitor", "POST", "/v1/pools", {"id": "bad", "mode": "copy", "members": [{"port": "web"}]}, 422, "members"),
    ("a tap that overlaps another", "POST", "/v1/taps", {**TAP, "match": "nw_proto=TCP; tp_dst=1-1000", "direction": "in"}, 409, None),
    ("the id of another tap", "POST", "/v1/taps", {**TAP, "id": "t80", "priority": 7}, 409, None),
    ("an id in capitals", "POST", "/v1/taps", {**TAP, "id": "Bad"}, 422, "id"),
    ("an id of 64 characters", "POST", "/v1/taps", {**TAP, "id": "x" * 64}, 422, "id"),
    ("an unknown field", "POST", "/v1/taps", {**TAP, "colour": "red"}, 400, "colour"),
    ("a number where a string belongs", "POST", "/v1/taps", {**TAP, "src": 7}, 422, "src"),
    ("a network that does not exist", "POST", "/v1/ports", {**PORT, "network": "nowhere"}, 422, "network"),
    ("a MAC that is none", "POST", "/v1/ports", {**PORT, "mac": "02:00:00:00:77"}, 422, "mac"),
    ("a multicast MAC", "POST", "/v1/ports", {**PORT, "mac": "03:00:00:00:77:01"}, 422, "mac"),
    ("an IP that is none", "POST", "/v1/ports", {**PORT, "ips": ["10.0.0.256"]}, 422, "ips"),
    ("a kind that is none", "POST", "/v1/ports", {**PORT, "kind": "router"}, 422, "kind"),
    ("an interface name of 16 characters", "POST", "/v1/ports", {**PORT, "interface": "x" * 16}, 422, "interface"),
    ("a datapath id that is none", "POST", "/v1/nodes", {**NODE, "datapath_id": "one"}, 422, "datapath_id"),
    ("a tunnel IP that is none", "POST", "/v1/nodes", {**NODE, "tunnel_ip": "172.16.0"}, 422, "tunnel_ip"),
    ("the datapath id of another node", "POST", "/v1/nodes", {**NODE, "datapath_id": "0000000000000001"}, None, None),
    ("a stale revision", "PUT", "/v1/taps/t80", {**TAP, "id": "t80"}, 412, None),
    ("deleting a network that has ports", "DELETE", "/v1/networks/shop", None, 409, None),
    ("deleting a port that is tapped", "DELETE", "/v1/ports/web", None, 409, None),
    ("deleting a monitor that is in use", "DELETE", "/v1/ports/ids", None, 409, None),
    ("deleting what is not there", "DELETE", "/v1/taps/nothing", None, 404, None),
    ("reading what is not there", "GET", "/v1/ports/nothing", None, 404, None),
    ("a collection that is none", "GET", "/v1/things", None, 404, None),
    ("waiting for a negative time", "POST", "/v1/taps?wait=-1", TAP, None, None),
]


def the_api_refuses(w, check):
    for what, method, path, body, status, field in REFUSED:
        headers = {"If-Match": '"12345678"'} if status == 412 else None
        problem(check, what, w.api.request(method, path, body, headers), status, field)
    raw = [
        ("a body that is no JSON", b"{", "application/json", 400),
        ("a body that is a list", b"[]", "application/json", 400),
        ("two objects in one body", b"{}{}", "application/json", 400),
        ("a body that is not said to be JSON", json.dumps(TAP).encode(), "text/plain", 415),
        ("a body over 1 MiB", b'{"id": "' + b"x" * (1 << 20) + b'"}', "application/json", 413),
        ("bytes that are no text", b"\xff\xfe\x00", "application/json", 400),
    ]
    for what, data, kind, status in raw:
        problem(check, what, w.api.request("POST", "/v1/taps", raw=data, headers={"Content-Type": kind}), status, None)
    problem(check, "a method that is none", w.api.request("PATCH", "/v1/taps/t80", {}), 405, None)
    dry = w.api.request("POST", "/v1/taps?dry_run=true", {**TAP, "direction": "out"})
    check.that("a dry run of a good tap is accepted", 200 <= dry.status < 300, dry)


def problem(check, what, answer, status, field):
    """A problem document of that status that names the field, in words, without a stack trace."""
    body = answer.body if isinstance(answer.body, dict) else {}
    faults = []
    if answer.status != status if status else not 400 <= answer.status < 500:
        faults.append(f"status {answer.status}, want {status or '4xx'}")
    if answer.type != "application/problem+json":
        faults.append(f"type {answer.type}")
    if not body.get("title") or not body.get("detail") or body.get("status") != answer.status:
        faults.append("no title, no detail or another status in the document")
    if field and not str(body.get("field", "")).startswith(field):
        faults.append(f"field {body.get('field')!r}, want {field!r}")
    if re.search(r"goroutine |\.go:\d+", answer.text):
        faults.append("a stack trace")
    check.that(f"{what}: {answer.status} {body.get('detail', '')[:90]}", not faults, f"{'; '.join(faults)}\n{answer}")


def the_client_says_so(w, check):
    """flowtapctl: an error on one line of stderr, and a code that a script can test."""
    def ctl(*args, stdin=None, server=w.api.base):
        return subprocess.run([w.flowtapctl, "--server", server, *args], input=stdin, capture_output=True, text=True, timeout=30, check=False)

    good = ctl("get", "taps", "-o", "json")
    check.that("flowtapctl get taps", good.returncode == 0 and "t80" in good.stdout, good)
    cases = [
        ("a tap with a bad match", ctl("create", "tap", "bad", "--src", "web", "--dst", "ids", "--match", "tp_dest=80", "--action", "forward"), "match"),
        ("an object that is not there", ctl("get", "taps", "nothing"), "nothing"),
        ("a collection that is none", ctl("get", "things"), "things"),
        ("a file that is not there", ctl("apply", "-f", "/nonexistent.yaml"), "/nonexistent.yaml"),
        ("an object in a file with a bad match", ctl("apply", "-f", "-", stdin=json.dumps({"kind": "tap", **TAP, "match": "tp_dest=80"})), "match"),
        ("a flag that is none", ctl("get", "taps", "--frobnicate"), "frobnicate"),
        ("a server that is not there", ctl("get", "taps", server=f"http://127.0.0.1:{free_port(HTTP + w.lab.subnet)}"), "127.0.0.1"),
    ]
    for what, done, word in cases:
        check.that(f"flowtapctl, {what}: exit code {done.returncode}, names {word}",
                   done.returncode != 0 and word in done.stderr and not re.search(r"goroutine |panic:", done.stderr), done)


def it_does_not_start(w, check):
    """flowtapd that cannot start says why in one line, and with the right code."""
    lab, busy = w.lab, w.flowtapd
    def flags(**changed):
        chosen = {"data-dir": os.path.join(lab.directory, "second"), "openflow-addr": f"127.0.0.1:{free_port(OPENFLOW + lab.subnet)}",
                  "http-addr": f"127.0.0.1:{free_port(HTTP + lab.subnet)}"}
        chosen.update({k.replace("_", "-"): v for k, v in changed.items()})
        return [f"--{k}={v}" for k, v in chosen.items()]

    cases = [
        ("an HTTP port that is taken", flags(http_addr=busy.http), 1, busy.http.rsplit(":", 1)[1]),
        ("an OpenFlow port that is taken", [*flags(openflow_addr=lab.openflow_addr), "--insecure"], 1, "6653"),
        ("a data directory that is in use", flags(data_dir=busy.data), 1, busy.data),
        ("a flag that is none", ["--frobnicate"], 2, "frobnicate"),
        ("an address that is none", flags(http_addr="nonsense"), 2, "http-addr"),
        ("a log level that is none", [*flags(), "--log-level=loud"], 2, "log-level"),
        ("plain OpenFlow beyond loopback without --insecure", flags(openflow_addr="0.0.0.0:0"), 2, "insecure"),
        ("an argument too many", [*flags(), "surplus"], 2, "surplus"),
    ]
    for what, arguments, code, word in cases:
        try:
            done = subprocess.run([w.flowtapd.binary, *arguments], capture_output=True, text=True, timeout=45, cwd=lab.directory, check=False)
        except subprocess.TimeoutExpired as e:
            check.that(f"flowtapd with {what}: ends with {code}", False, f"still running after 45 s: {e.stdout} {e.stderr}")
            continue
        lines = [l for l in done.stderr.splitlines() if l.strip() and not re.match(r'time=|\{"', l)]
        check.that(f"flowtapd with {what}: code {code}, one line that names {word}",
                   done.returncode == code and len(lines) == 1 and word in lines[0], f"code {done.returncode}\n{done.stdout}{done.stderr}")


    away = subprocess.Popen([w.flowtapd.binary, *flags(), "--etcd-endpoints=http://127.0.0.1:1"], stderr=subprocess.PIPE, text=True, cwd=lab.directory)
    timer = threading.Timer(45, away.kill)  # bounds the reading
    timer.start()
    try:
        line = next((l for l in away.stderr if "waiting for etcd" in l), "")
        away.terminate()
        rest = away.stderr.read()
        check.that("flowtapd with an etcd that cannot be reached: waits, says where, and ends when told to",
                   "127.0.0.1:1" in line and away.wait() == 0, f"code {away.returncode}\n{line}{rest}")
    finally:
        timer.cancel()
        away.kill()
        away.wait()


def everything(w):
    """All objects with their revisions, without what the controller observed."""
    return {c: sorted(((i["id"], i["revision"]) for i in w.api.list(c))) for c in ("nodes", "networks", "ports", "taps")}


STORIES = [nothing_changes, it_does_not_start]
