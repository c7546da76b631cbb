"""The customers: each rents a DVD, waits until it is delivered, returns it, and so on.

Every request has a number of its own, and what comes of it is checked down to the account and
the repository in the database. Nothing is asked twice.

Commands come as lines of standard input: run, pause. On standard output there is a line of JSON
for every request, {"request": 7, "ok": true, "ms": 12.5} (else "why"), and {"paused": N} once a
pause has begun and the last request, number N, has been answered.
"""

import itertools
import json
import random
import sys
import threading
import time

from service import TIMEOUT, Failed, call, serve

USERS = ("alice", "bob", "carol", "dave")
TITLES = ("Metropolis", "Nosferatu", "The General", "Safety Last", "Sunrise", "The Kid")
PAUSE = 0.08  # seconds that a customer waits before the next rental
PRICE = 3

running = threading.Event()
idle = threading.Semaphore(0)  # released by each customer who begins to pause
numbers = itertools.count(1)
last = 0
lock = threading.Lock()  # guards numbers, last, deliveries and standard output
deliveries = {}  # request number to the event and the order of a DVD that is awaited


class Wrong(Exception):
    """An answer is not what it must be."""


def say(line):
    with lock:
        print(json.dumps(line), flush=True)


def number():
    global last
    with lock:
        last = next(numbers)
        return last


def expect(what, want, got):
    if want != got:
        raise Wrong(f"{what}: want {want}, got {got}")


def delivery(body):
    """Shipping is at the door."""
    with lock:
        arrived, order = deliveries.pop(body["request"], (None, None))
    if order != body:
        say({"wrong": f"a delivery that nobody waits for, or of the wrong thing: {body}, ordered {order}"})
        raise ValueError("not ordered")
    arrived.set()
    return {"request": body["request"], "received": body["dvd"]}


def rent(n, user, dvd, rentals):
    order, arrived = {"request": n, "user": user, "dvd": dvd}, threading.Event()
    with lock:
        deliveries[n] = arrived, order
    answer = call("contract-update", "/rent", order)
    account = {"request": n, "user": user, "balance": -PRICE * rentals, "has": 1, "rentals": rentals}
    expect("contract", dict(order, price=PRICE, account=account, queued=n), answer)
    if not arrived.wait(TIMEOUT):
        raise Wrong(f"{dvd} was not delivered")


def give_back(n, user, dvd, rentals):
    answer = call("dvd-return", "/return", {"request": n, "user": user, "dvd": dvd})
    account = {"request": n, "user": user, "balance": -PRICE * rentals, "has": 0, "rentals": rentals}
    expect("account", account, answer["account"])
    expect("DVD", (n, dvd), (answer["dvd"]["request"], answer["dvd"]["dvd"]))


def request(action, *details):
    """One numbered request: its line on standard output says how it ended."""
    n, begin = number(), time.monotonic()
    line = {"request": n, "ok": True}
    try:
        action(n, *details)
    except (Failed, Wrong, KeyError, TypeError) as e:
        line.update(ok=False, why=f"{action.__name__} {details}: {e}")
    say(dict(line, ms=round((time.monotonic() - begin) * 1000, 1)))


def customer(user):
    rentals = 0
    while True:
        if not running.is_set():
            idle.release()
            running.wait()
        rentals += 1
        dvd = random.choice(TITLES)
        request(rent, user, dvd, rentals)
        request(give_back, user, dvd, rentals)
        time.sleep(PAUSE)


def commands():
    for line in sys.stdin:
        if line.strip() == "run":
            running.set()
        elif line.strip() == "pause" and running.is_set():
            running.clear()
            for _ in USERS:
                idle.acquire()
            say({"paused": last})


for name in USERS:
    threading.Thread(target=customer, args=[name], daemon=True).start()
for _ in USERS:
    idle.acquire()  # all wait for the first command
threading.Thread(target=commands, daemon=True).start()
serve({"/delivery": delivery})
