"""Contract-Update makes the contract of a rental (step 1): it has User-Update bill the customer
(step 2) and places a message with the DVD on the message queue (step 3)."""

from service import call, serve

PRICE = 3


def rent(body):
    order = {"request": body["request"], "user": body["user"], "dvd": body["dvd"]}
    account = call("user-update", "/bill", dict(order, price=PRICE))
    queued = call("dvd-update", "/queue", order)
    return dict(order, price=PRICE, account=account, queued=queued["queued"])


serve({"/rent": rent})
