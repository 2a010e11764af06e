"""What happened to a request, in plain words, from its log entries."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.utils.dateparse import parse_datetime
from django.utils.formats import date_format
from django.utils.timezone import localtime
from django.utils.translation import gettext as _
from django.utils.translation import pgettext

from ..models import BillingRequest, EmailDelivery, LogEntry
from .formats import money_text

Action = LogEntry.Action
Cause = LogEntry.Cause

GOOD = {Action.PAID, Action.PAYMENT}
BAD = {Action.MAIL_FAILED, Action.PAYMENT_FAILED, Action.REVIEW, Action.DELETED, Action.EXPIRED}


@dataclass(frozen=True)
class Entry:
    """One line of the timeline. ``tone`` is good, bad or plain."""

    title: str
    by: str
    at: datetime
    tone: str = "plain"
    facts: list[tuple[str, str]] = field(default_factory=list)


def timeline_of(request: BillingRequest) -> list[Entry]:
    """The newest entry first."""
    entries = request.log_entries.order_by("-pk")
    return [_entry(entry, request.currency) for entry in entries]


def _entry(entry: LogEntry, currency: str) -> Entry:
    tone = "good" if entry.action in GOOD else "bad" if entry.action in BAD else "plain"
    return Entry(
        title=str(entry.get_action_display()),
        by=_by(entry),
        at=entry.at,
        tone=tone,
        facts=facts_of(entry.evidence, currency),
    )


def _by(entry: LogEntry) -> str:
    cause = str(entry.get_cause_display())
    if not entry.user_name:
        return cause
    if entry.cause == Cause.EDITOR:
        return _("by %(name)s") % {"name": entry.user_name}
    return _("%(cause)s, %(name)s") % {"cause": cause, "name": entry.user_name}


def facts_of(evidence: dict[str, Any], currency: str) -> list[tuple[str, str]]:
    """Evidence as labels and values. What has no label here is shown under its own name.

    ``currency`` is that of the request, in which amounts of evidence are shown.
    """
    facts = []
    for key, value in evidence.items():
        if key == "differs" and isinstance(value, dict):
            facts += [_difference(name, pair, currency) for name, pair in value.items()]
        elif value not in ("", None, {}, []):
            facts.append((_label(key), _value(key, value)))
    return facts


def _difference(name: str, pair: Any, currency: str) -> tuple[str, str]:
    """What was asked for, and what Stripe has instead."""
    if not isinstance(pair, dict):
        return _label(name), str(pair)
    expected, found = (
        money_text(value, currency)
        if name == "amount_total" and isinstance(value, int)
        else _("none")
        if value in ("", None)
        else str(value)
        for value in (pair.get("expected"), pair.get("found"))
    )
    text = _("%(found)s instead of %(expected)s")
    return _label(name), text % {"found": found, "expected": expected}


def _label(key: str) -> str:
    return _labels().get(key, key.replace("_", " ").capitalize())


def review_reason(code: str) -> str:
    """Why a request needs a review."""
    return {
        "mismatch": _("The payment at Stripe is not the one that was asked for."),
        "duplicate": _("The client has paid more than once."),
        "no_payment": _("Stripe calls the session complete, but there is no payment."),
    }.get(code, code)


def _labels() -> dict[str, str]:
    return {
        "amount_total": _("Amount"),
        "attempt": _("Attempt"),
        "currency": _("Currency"),
        "event": _("Stripe event"),
        "expires_at": _("New deadline"),
        "hold": pgettext("billing request", "Change"),
        "kind": _("E-mail"),
        "livemode": _("Live mode"),
        "message_id": _("Message"),
        "payment": _("Payment"),
        "payment_status": _("Payment status"),
        "problem": _("Problem"),
        "reason": _("Reason"),
        "session": _("Checkout session"),
        "to": _("To"),
        "type": _("Event type"),
        "wcb_request": _("Billing request"),
        "why": _("Why"),
    }


def _value(key: str, value: Any) -> str:
    choices: dict[str, Any] = {
        "hold": BillingRequest.Hold,
        "kind": EmailDelivery.Kind,
        "problem": EmailDelivery.Problem,
    }
    if key in choices:
        return str(dict(choices[key].choices).get(value, value))
    if key == "reason":
        return review_reason(str(value))
    if key == "expires_at" and (moment := parse_datetime(str(value))):
        return date_format(localtime(moment), "DATETIME_FORMAT")
    if isinstance(value, dict):
        return ", ".join(f"{name}: {_value(name, inner)}" for name, inner in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(_value(key, inner) for inner in value)
    return str(value)
