"""Subscriptions: what the API answers, and how one is changed and ended.

They live on the sandbox's clock. ``ends_at`` of a record is when something happens next: its
period ends, or it ends itself.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from typing import Any

from . import books, clock, deliveries, events, ids, invoices, objects, params
from .keys import Caller
from .objects import Record
from .problems import ApiProblem, not_found

KIND = "subscription"
ALIVE = ("active", "past_due")
ENDED = ("canceled", "incomplete_expired")
CARDS = ("works", "declines", "asks", "debit")
_PERIOD_END = ("max_period_end", "min_period_end")


def _cancel_at(value: Any, name: str) -> int | str | None:
    if value == "":
        return None
    if value in _PERIOD_END:
        return str(value)
    return int(params.integer()(value, name))


reasons = params.choice(
    "customer_service",
    "low_quality",
    "missing_features",
    "other",
    "switched_service",
    "too_complex",
    "too_expensive",
    "unused",
)
prorations = params.choice("always_invoice", "create_prorations", "none")
_details = params.hash_of(
    {
        "comment": params.string(may_be_empty=True),
        "feedback": reasons,
    }
)
CHANGE: dict[str, params.Checker] = {
    "cancel_at": _cancel_at,
    "cancel_at_period_end": params.boolean,
    "cancellation_details": _details,
    "metadata": params.metadata,
    "proration_behavior": prorations,
}
CANCEL: dict[str, params.Checker] = {
    "cancellation_details": _details,
    "invoice_now": params.boolean,
    "prorate": params.boolean,
}
LIST: dict[str, params.Checker] = {
    **params.PAGING,
    "created": params.moment,
    "customer": params.string(),
    "status": params.choice(
        "active",
        "all",
        "canceled",
        "ended",
        "incomplete",
        "incomplete_expired",
        "past_due",
        "paused",
        "trialing",
        "unpaid",
    ),
}


class NotPossible(Exception):
    """The subscription has ended."""


# --------------------------------------------------------------------------- the API


def retrieve(
    db: sqlite3.Connection, caller: Caller, id: str, raw: Mapping[str, Any]
) -> dict[str, Any]:
    params.check(raw, {})
    return objects.get(db, caller, KIND, id, "subscription").doc


def list_all(db: sqlite3.Connection, caller: Caller, raw: Mapping[str, Any]) -> dict[str, Any]:
    """Those that have not ended, unless ``status`` asks for others."""
    checked = params.check(raw, LIST)
    status = checked.get("status")
    matches = objects.having(checked, "customer")

    def keep(record: Record) -> bool:
        if not matches(record):
            return False
        if status is None:
            return record.state not in ENDED
        if status == "ended":
            return record.state in ENDED
        return status in ("all", record.state)

    return objects.page(db, caller, KIND, "/v1/subscriptions", checked, keep=keep)


def change(
    db: sqlite3.Connection, caller: Caller, id: str, raw: Mapping[str, Any]
) -> dict[str, Any]:
    """Plan its end or take that back, and change its metadata."""
    checked = params.check(raw, CHANGE)
    record = objects.get(db, caller, KIND, id, "subscription")
    if record.state in ENDED and set(checked) - {"expand", "metadata", "cancellation_details"}:
        raise ApiProblem(
            "A canceled subscription can only update its cancellation_details and metadata.",
            kept=True,
        )
    if "cancel_at" in checked and "cancel_at_period_end" in checked:
        raise ApiProblem(
            "You may only specify one of these parameters: cancel_at, cancel_at_period_end.",
            param="cancel_at",
        )
    now = clock.now(db)
    if "cancel_at" in checked:
        plan_end(record, _moment(record, checked["cancel_at"], now), now)
    if "cancel_at_period_end" in checked:
        ending = checked["cancel_at_period_end"]
        plan_end(record, period(record)[1] if ending else None, now, at_period_end=ending)
    if "metadata" in checked:
        _change_metadata(record, raw["metadata"], checked["metadata"])
    record.doc["cancellation_details"].update(checked.get("cancellation_details", {}))
    objects.save(db, record)
    events.record(db, record, "customer.subscription.updated", record.doc)
    return record.doc


def _moment(record: Record, given: int | str | None, now: int) -> int | None:
    if isinstance(given, str):
        return period(record)[1]
    if given is not None and given <= now:
        raise ApiProblem("The `cancel_at` timestamp must be in the future.", param="cancel_at")
    return given


def _change_metadata(record: Record, raw: Any, checked: Mapping[str, str]) -> None:
    if raw == "":
        record.doc["metadata"] = {}
        return
    merged = {**record.doc["metadata"], **checked}
    record.doc["metadata"] = {key: merged[key] for key in merged if raw.get(key) != ""}


def cancel(
    db: sqlite3.Connection, caller: Caller, id: str, raw: Mapping[str, Any]
) -> dict[str, Any]:
    """End it now; nothing is given back for the rest of the period."""
    checked = params.check(raw, CANCEL)
    record = objects.get(db, caller, KIND, id, "subscription")
    if record.state in ENDED:
        raise not_found(KIND, id, "subscription")
    for name in ("invoice_now", "prorate"):
        if checked.get(name):
            raise ApiProblem("This sandbox does not do prorations.", param=name)
    record.doc["cancellation_details"].update(checked.get("cancellation_details", {}))
    end(db, record, clock.now(db), "cancellation_requested")
    return record.doc


# --------------------------------------------------------------------------- its life


def period(record: Record) -> tuple[int, int]:
    """Begin and end of the current period."""
    item = record.doc["items"]["data"][0]
    return item["current_period_start"], item["current_period_end"]


def plan(record: Record) -> None:
    """Set when something happens next."""
    moments = [period(record)[1]]
    if record.doc["cancel_at"] is not None:
        moments.append(record.doc["cancel_at"])
    record.ends_at = min(moments) if record.state in ALIVE else None


def plan_end(record: Record, moment: int | None, now: int, *, at_period_end: bool = False) -> None:
    """Let it end at a moment, or take that back (None)."""
    record.doc.update(
        cancel_at=moment,
        cancel_at_period_end=at_period_end,
        canceled_at=None if moment is None else now,
    )
    record.doc["cancellation_details"]["reason"] = (
        None if moment is None else "cancellation_requested"
    )
    plan(record)


def end(db: sqlite3.Connection, record: Record, at: int, reason: str) -> None:
    """Any status → canceled; its open invoices are not collected any more."""
    record.state = "canceled"
    record.ends_at = None
    record.doc.update(status="canceled", canceled_at=record.doc["canceled_at"] or at, ended_at=at)
    record.doc["cancellation_details"]["reason"] = reason
    objects.save(db, record)
    for invoice in invoices.open_of(db, record):
        # What a bank has begun with goes on.
        if invoices.intent_of(db, invoice).doc["status"] != "processing":
            invoice.ends_at = None
        invoice.doc.update(auto_advance=False, next_payment_attempt=None)
        objects.save(db, invoice)
    events.record(db, record, "customer.subscription.deleted", record.doc)


def find(db: sqlite3.Connection, subscription_id: str) -> Record:
    """A subscription of any account; ``LookupError`` for an unknown one."""
    record = objects.find(db, KIND, subscription_id)
    if record is None:
        raise LookupError(subscription_id)
    return record


def set_card(subscription_id: str, card: str) -> None:
    """From now on the card "works", "declines", "asks" for 3-D Secure, or is a bank "debit".

    Nothing is collected by it: see ``portal.update_card``. ``ValueError`` for another word.
    """
    with books.write() as db:
        put_card(db, find(db, subscription_id), card)


def put_card(db: sqlite3.Connection, record: Record, card: str) -> None:
    if card not in CARDS:
        raise ValueError(f"card must be one of {', '.join(CARDS)}")
    record.extra["card"] = card
    record.doc["default_payment_method"] = ids.new("pm")
    objects.save(db, record)


def cancel_now(subscription_id: str) -> dict[str, Any]:
    """End it as if in the Dashboard. Raises ``NotPossible``, ``LookupError``."""
    with books.write() as db:
        record = find(db, subscription_id)
        if record.state in ENDED:
            raise NotPossible("This subscription has ended.")
        end(db, record, clock.now(db), "cancellation_requested")
    deliveries.wake()
    return record.doc
