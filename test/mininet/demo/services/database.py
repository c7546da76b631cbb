"""The database: the customers' accounts and the repository of DVDs."""

import threading

from service import serve

COPIES = 4  # of each DVD at the beginning

lock = threading.Lock()
accounts = {}  # by user: money balance, DVDs that the user has, rentals so far
repository = {}  # by title: copies in the store


def account(body):
    """Change a user's account, and return it."""
    with lock:
        a = accounts.setdefault(body["user"], {"balance": 0, "has": 0, "rentals": 0})
        for what in a:
            a[what] += body.get(what, 0)
        return dict(a, request=body["request"], user=body["user"])


def dvd(body):
    """Change how many copies of a DVD are in the store, and return how many there are."""
    with lock:
        copies = repository.get(body["dvd"], COPIES) + body["copies"]
        if not 0 <= copies <= COPIES:
            raise ValueError(f"{copies} copies of {body['dvd']}")
        repository[body["dvd"]] = copies
        return {"request": body["request"], "dvd": body["dvd"], "copies": copies}


def state(_body):
    """Everything, for the audit."""
    with lock:
        return {"accounts": accounts, "repository": repository, "copies": COPIES}


serve({"/account": account, "/dvd": dvd, "/state": state})
