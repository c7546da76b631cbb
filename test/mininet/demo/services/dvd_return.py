"""DVD-Return takes a DVD back: it updates the customer's account (step 5) and the DVD repository
(step 6)."""

from service import call, serve


def give_back(body):
    account = call("database", "/account", {"request": body["request"], "user": body["user"], "has": -1})
    dvd = call("database", "/dvd", {"request": body["request"], "dvd": body["dvd"], "copies": 1})
    return {"request": body["request"], "user": body["user"], "account": account, "dvd": dvd}


serve({"/return": give_back})
