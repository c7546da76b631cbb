"""The message queue, and DVD-Update, which consumes its messages: it takes the DVD out of the
repository and has Shipping ship it (step 4)."""

import queue
import sys
import threading

from service import Failed, call, serve

CONSUMERS = 2

messages = queue.Queue()


def put(body):
    messages.put(body)
    return {"queued": body["request"]}


def consume():
    while True:
        m = messages.get()
        try:
            call("database", "/dvd", {"request": m["request"], "dvd": m["dvd"], "copies": -1})
            call("shipping", "/ship", m)
        except Failed as e:  # the customer misses the DVD
            print(f"request {m['request']}: {e}", file=sys.stderr, flush=True)


for _ in range(CONSUMERS):
    threading.Thread(target=consume, daemon=True).start()
serve({"/queue": put})
