"""The customer portal's page: card, end and return, for one customer's subscriptions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect

from . import access, books, due, objects, portal, subscriptions
from .access import moment, money, show
from .objects import Record

# action -> (feature that allows it, what it does)
ACTIONS: dict[str, tuple[str, Callable[[str], None]]] = {
    "works": ("payment_method_update", lambda id: portal.update_card(id, "works")),
    "declines": ("payment_method_update", lambda id: portal.update_card(id, "declines")),
    "asks": ("payment_method_update", lambda id: portal.update_card(id, "asks")),
    "cancel_at_period_end": ("subscription_cancel", portal.cancel_at_period_end),
    "keep": ("subscription_cancel", portal.keep),
    "cancel_now": ("subscription_cancel", portal.cancel_now),
}


def _find(session_id: str) -> tuple[Record, dict[str, Any], list[Record]]:
    """The session, its configuration's features, and the customer's subscriptions."""
    with books.read() as db:
        session = objects.find(db, portal.SESSION, session_id)
        if session is None:
            raise Http404("There is no such session in the sandbox.")
        configuration = objects.get(db, session, portal.CONFIGURATION, session.doc["configuration"])
        rows = db.execute(
            "SELECT id FROM objects WHERE kind = 'subscription' AND account = ? AND livemode = ? "
            "AND json_extract(doc, '$.customer') = ? ORDER BY seq",
            (session.account, session.livemode, session.doc["customer"]),
        ).fetchall()
        found = [subscriptions.find(db, row["id"]) for row in rows]
    return session, configuration.doc["features"], found


@access.page("GET", "POST")
def portal_page(request: HttpRequest, session_id: str) -> HttpResponse:
    """GET shows the subscriptions; POST does what ``action`` says to one ``subscription``."""
    due.apply()
    session, features, found = _find(session_id)
    status = 200
    if request.method == "POST":
        feature, act = ACTIONS.get(request.POST.get("action", ""), ("", portal.keep))
        chosen = request.POST.get("subscription", "")
        if feature and features[feature]["enabled"] and chosen in {one.id for one in found}:
            try:
                act(chosen)
            except subscriptions.NotPossible:
                status = 409
            else:
                return redirect("client_billing_sandbox:portal", session_id=session_id)
        else:
            status = 400
    return show(
        request,
        "portal.html",
        {
            "session": session.doc,
            "features": features,
            "subscriptions": [row(record) for record in found],
        },
        status=status,
    )


def row(record: Record) -> dict[str, Any]:
    """A subscription for a template."""
    items = record.doc["items"]["data"]
    amount = sum(item["price"]["unit_amount"] * item["quantity"] for item in items)
    recurring = items[0]["price"]["recurring"]
    count = recurring["interval_count"]
    return {
        **record.doc,
        "account": record.account,
        "amount": money(amount, record.doc["currency"]),
        "rhythm": recurring["interval"] if count == 1 else f"{count} {recurring['interval']}s",
        "alive": record.state in subscriptions.ALIVE,
        "card": record.extra["card"],
        "since": moment(record.doc["start_date"]),
        "period_end": moment(items[0]["current_period_end"]),
        "ends": moment(record.doc["cancel_at"]),
        "ended": moment(record.doc["ended_at"]),
    }
