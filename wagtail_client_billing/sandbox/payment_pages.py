"""The page of payments: what can be done in the Dashboard, and what banks and payers do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect

from wagtail_client_billing.money import MoneyError, to_minor

from . import access, books, disputes, due, objects, refunds
from .access import moment, money, show
from .forms import RefundForm, SlowRefundsForm
from .problems import ApiProblem

NEWEST = 100  # rows on the page

# What a button does to the refund or dispute that it names.
ACTIONS: dict[str, Callable[[str], Any]] = {
    "settle_refund": refunds.settle,
    "fail_refund": refunds.fail,
    "dispute": disputes.open,
    "answer_dispute": disputes.answer,
    "win_dispute": lambda id: disputes.close(id, won=True),
    "lose_dispute": lambda id: disputes.close(id, won=False),
}


def rows() -> list[dict[str, Any]]:
    """Payments whose money has moved, newest first, with their refunds and disputes."""
    with books.read() as db:
        records = [
            record
            for record in objects.recent(db, "charge", NEWEST)
            if record.doc["status"] == "succeeded"
        ]
    given_back, disputed = books.refunds(), books.disputes()
    return [
        {
            **record.doc,
            "account": record.account,
            "when": moment(record.created),
            "paid": money(record.doc["amount"], record.doc["currency"]),
            "left": record.doc["amount"] > record.doc["amount_refunded"],
            "refunds": [_shown(one) for one in given_back if one["charge"] == record.id],
            "disputes": [
                {**_shown(one), "over": one["status"] not in disputes.OPEN}
                for one in disputed
                if one["charge"] == record.id
            ],
        }
        for record in records
    ]


def _shown(doc: dict[str, Any]) -> dict[str, Any]:
    return {**doc, "money": money(doc["amount"], doc["currency"])}


@access.page("GET", "POST")
def payments_page(request: HttpRequest) -> HttpResponse:
    """GET lists the payments; POST does what ``action`` says to the object named by ``id``."""
    due.apply()
    problem = ""
    if request.method == "POST":
        problem = _act(request)
        if not problem:
            return redirect("client_billing_sandbox:payments")
    context = {
        "payments": rows(),
        "problem": problem,
        "form": SlowRefundsForm(initial={"slow": refunds.are_slow()}),
    }
    return show(request, "payments.html", context, status=400 if problem else 200)


def _act(request: HttpRequest) -> str:
    """Does it; returns why not, or nothing."""
    action, id = request.POST.get("action", ""), request.POST.get("id", "")
    try:
        if action == "refund":
            return _refund(request, id)
        if action == "slow":
            form = SlowRefundsForm(request.POST)
            if form.is_valid():
                refunds.be_slow(form.cleaned_data["slow"])
            return ""
        if action not in ACTIONS:
            return "There is no such button."
        ACTIONS[action](id)
    except (ApiProblem, refunds.NotPossible, disputes.NotPossible) as refused:
        return str(refused)
    except LookupError:
        return "There is no such object in the sandbox."
    return ""


def _refund(request: HttpRequest, intent: str) -> str:
    form = RefundForm(request.POST)
    if not form.is_valid():
        return "That is not an amount."
    amount = form.cleaned_data["amount"]
    if amount is None:
        refunds.from_dashboard(intent)
        return ""
    with books.read() as db:
        record = objects.find(db, "payment_intent", intent)
    if record is None:
        raise LookupError(intent)
    try:
        minor = to_minor(amount, record.doc["currency"])
    except MoneyError:
        return "That is not an amount in this currency."
    refunds.from_dashboard(intent, minor)
    return ""
