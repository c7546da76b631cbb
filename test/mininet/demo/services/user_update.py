"""User-Update bills the customer's account (step 2)."""

from service import call, serve


def bill(body):
    return call("database", "/account", {
        "request": body["request"], "user": body["user"], "balance": -body["price"], "has": 1, "rentals": 1})


serve({"/bill": bill})
