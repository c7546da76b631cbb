"""Shipping brings the DVD to the customer."""

from service import call, serve


def ship(body):
    return call("customer", "/delivery", body)


serve({"/ship": ship})
