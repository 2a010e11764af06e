"""The evidence of a log entry or a review, as labels and values in plain words."""

from datetime import datetime
from typing import Any

from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext as _
from django.utils.translation import pgettext

from ..models import BillingRequest, Dispute, EmailDelivery, SubscriptionChange
from .formats import moment_text, money_text

MOMENTS = ("expires_at", "ends_at")


def facts_of(evidence: dict[str, Any], currency: str) -> list[tuple[str, str]]:
    """Evidence as labels and values. What has no label here is shown under its own name.

    Amounts are in the currency that the evidence names; ``currency``, the request's, is for
    evidence that names none.
    """
    facts = []
    money = isinstance(evidence.get("amount_minor"), int)
    for key, value in evidence.items():
        if key == "differs" and isinstance(value, dict):
            facts += _differences(value, currency)
        elif key == "changed" and isinstance(value, dict):
            facts += [_change(name, pair, currency) for name, pair in value.items()]
        elif key == "amount_minor" and money:
            code = str(evidence.get("currency") or currency)
            facts.append((_label(key), money_text(value, code)))
        elif key == "currency" and money:
            continue
        elif value not in ("", None, {}, []):
            facts.append((_label(key), _value(key, value)))
    return facts


def amount_in(evidence: dict[str, Any], currency: str) -> str:
    """The amount that the evidence names, as money; empty where it names none."""
    minor = evidence.get("amount_minor")
    if not isinstance(minor, int):
        return ""
    return money_text(minor, str(evidence.get("currency") or currency))


def moment_in(evidence: dict[str, Any], key: str) -> datetime | None:
    """A moment that the evidence names."""
    try:
        return parse_datetime(str(evidence.get(key) or ""))
    except ValueError:
        return None


def review_reason(code: str) -> str:
    """Why a request needs a review."""
    return {
        "mismatch": _("The payment at Stripe is not the one that was asked for."),
        "duplicate": _("The client has paid more than once."),
        "no_payment": _("Stripe calls the session complete, but there is no payment."),
    }.get(code, code)


def _differences(differs: dict[str, Any], currency: str) -> list[tuple[str, str]]:
    """What was asked for, and what Stripe has instead."""
    codes = differs.get("currency")
    pair = codes if isinstance(codes, dict) else {}
    asked_in = str(pair.get("expected") or currency).upper()
    came_in = str(pair.get("found") or asked_in).upper()
    return [_difference(name, each, asked_in, came_in) for name, each in differs.items()]


def _difference(name: str, pair: Any, asked_in: str, came_in: str) -> tuple[str, str]:
    if not isinstance(pair, dict):
        return _label(name), str(pair)
    expected = _compared(name, pair.get("expected"), asked_in)
    found = _compared(name, pair.get("found"), came_in)
    text = _("%(found)s instead of %(expected)s")
    return _label(name), text % {"found": found, "expected": expected}


def _compared(name: str, value: Any, currency: str) -> str:
    if value in ("", None):
        return _("none")
    if name == "amount_total" and isinstance(value, int):
        return money_text(value, currency)
    if name == "livemode":
        return pgettext("Stripe mode", "Live") if value else _("Test")
    return str(value).upper() if name == "currency" else str(value)


def _change(name: str, pair: Any, currency: str) -> tuple[str, str]:
    """What staff changed, from what to what."""
    before, after = (
        money_text(value, currency)
        if name == "amount_minor"
        else ", ".join(str(value).split()) or _("none")
        if name == "cc"
        else str(value) or _("none")
        for value in pair
    )
    return _label(name), _("%(after)s instead of %(before)s") % {"after": after, "before": before}


def _label(key: str) -> str:
    return _labels().get(key, key.replace("_", " ").capitalize())


def _labels() -> dict[str, str]:
    return {
        "amount_minor": _("Amount"),
        "amount_total": _("Amount"),
        "bcc": _("BCC"),
        "cc": _("CC"),
        "attempt": _("Attempt"),
        "change": pgettext("subscription", "Change"),
        "currency": _("Currency"),
        "description": _("Description"),
        "dispute": _("Dispute"),
        "email": _("Email"),
        "ends_at": _("Ends"),
        "error": _("Why"),
        "event": _("Stripe event"),
        "expires_at": _("New deadline"),
        "goes_on": _("Another subscription goes on"),
        "hold": pgettext("billing request", "Change"),
        "invoice": _("Stripe invoice"),
        "kind": _("E-mail"),
        "livemode": _("Mode"),
        "message_id": _("Message"),
        "needs_client": _("Confirmation needed"),
        "note": _("Note"),
        "on_its_way": _("On its way"),
        "outcome": _("Outcome"),
        "payment": _("Payment"),
        "payment_status": _("Payment status"),
        "problem": _("Problem"),
        "reason": _("Reason"),
        "refund": pgettext("id of a refund", "Refund"),
        "session": _("Checkout session"),
        "state": _("State"),
        "subscription": _("Subscription"),
        "to": _("To"),
        "try": pgettext("number of a charge", "Try"),
        "type": _("Event type"),
        "wcb_request": _("Billing request"),
        "why": _("Why"),
    }


def outcome_word(code: str) -> str:
    """How a review ended."""
    return {
        "accepted": _("the money was accepted"),
        "dismissed": _("it was dismissed"),
        "refunded": _("the money was refunded"),
    }.get(code, code)


def _value(key: str, value: Any) -> str:
    choices: dict[str, Any] = {
        "change": SubscriptionChange.Kind,
        "hold": BillingRequest.Hold,
        "kind": EmailDelivery.Kind,
        "problem": EmailDelivery.Problem,
        "state": Dispute.State,
    }
    if key in choices:
        return str(dict(choices[key].choices).get(value, value))
    if key == "reason":
        return review_reason(str(value))
    if key == "outcome":
        return outcome_word(str(value))
    if key in MOMENTS and (moment := moment_in({key: value}, key)):
        return moment_text(moment)
    if value is True:
        return _("yes")
    if isinstance(value, dict):
        return ", ".join(f"{name}: {_value(name, inner)}" for name, inner in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(_value(key, inner) for inner in value)
    return str(value)
