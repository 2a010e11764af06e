"""The page of subscriptions: their invoices, their card, their end, and the next charge."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect

from . import access, books, clock, due, invoices, objects, portal, portal_pages, subscriptions
from .access import moment, money, show

NEWEST = 100  # rows on the page


def next_charge(subscription_id: str) -> None:
    """Move the clock to the next moment at which this subscription is charged, or ends.

    ``LookupError`` for an unknown one, ``subscriptions.NotPossible`` for one that has ended.
    """
    with books.read() as db:
        record = subscriptions.find(db, subscription_id)
        if record.ends_at is None:
            raise subscriptions.NotPossible("This subscription has ended.")
        tries = [invoice.ends_at for invoice in invoices.open_of(db, record) if invoice.ends_at]
    clock.advance_to(min([record.ends_at, *tries]))


ACTIONS: dict[str, Callable[[str], Any]] = {
    "next_charge": next_charge,
    "works": lambda id: subscriptions.set_card(id, "works"),
    "declines": lambda id: subscriptions.set_card(id, "declines"),
    "asks": lambda id: subscriptions.set_card(id, "asks"),
    "debit": lambda id: subscriptions.set_card(id, "debit"),
    "cancel_at_period_end": portal.cancel_at_period_end,
    "keep": portal.keep,
    "cancel_now": subscriptions.cancel_now,
}


def rows() -> list[dict[str, Any]]:
    """Subscriptions of all accounts with their invoices, newest first."""
    with books.read() as db:
        records = objects.recent(db, subscriptions.KIND, NEWEST)
    by_subscription: dict[str, list[dict[str, Any]]] = {}
    for invoice in books.invoices():
        id = invoice["parent"]["subscription_details"]["subscription"]
        shown = {
            **invoice,
            "when": moment(invoice["created"]),
            "money": money(invoice["amount_due"], invoice["currency"]),
            "next": moment(invoice["next_payment_attempt"]),
        }
        by_subscription.setdefault(id, []).insert(0, shown)
    return [
        {
            **portal_pages.row(record),
            "email": by_subscription[record.id][0]["customer_email"],
            "invoices": by_subscription[record.id],
        }
        for record in records
    ]


@access.page("GET", "POST")
def subscriptions_page(request: HttpRequest) -> HttpResponse:
    """GET lists the subscriptions; POST does what ``action`` says to the one named by ``id``."""
    due.apply()
    problem = ""
    if request.method == "POST":
        act = ACTIONS.get(request.POST.get("action", ""))
        try:
            if act is None:
                problem = "There is no such button."
            else:
                act(request.POST.get("id", ""))
        except subscriptions.NotPossible as refused:
            problem = str(refused)
        except LookupError:
            problem = "There is no such subscription in the sandbox."
        if not problem:
            return redirect("client_billing_sandbox:subscriptions")
    context = {"subscriptions": rows(), "problem": problem, "now": moment(clock.now())}
    return show(request, "subscriptions.html", context, status=400 if problem else 200)
