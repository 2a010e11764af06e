"""What a payer can do on the checkout page; the pages and the tests call the same functions.

Each action is one transaction of the books and a conditional change of the session's state, so a
session is paid at most once however often and wherever it is clicked. Nothing here waits for a
webhook: see ``deliveries.wait_for``.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import Any

from . import (
    books,
    charging,
    customers,
    deliveries,
    due,
    events,
    objects,
    payment_shapes,
    sessions,
    shapes,
    subscribing,
)
from .objects import Record

KIND = sessions.KIND


class UnknownSession(LookupError):
    """There is no such session."""


class NotOpen(Exception):
    """The session cannot be paid any more: ``session["status"]`` says why."""

    def __init__(self, session: dict[str, Any]) -> None:
        super().__init__(f"This Checkout Session is {session['status']}.")
        self.session = session


class NotProcessing(Exception):
    """No bank debit of this session waits to succeed or fail."""


@dataclass(frozen=True)
class Outcome:
    """A session after an action, and the event that tells of it."""

    session: dict[str, Any]
    event: str


def look(session_id: str) -> Record:
    """The session as it is now (its end is applied); ``UnknownSession``."""
    due.apply()
    with books.read() as db:
        return _find(db, session_id)


def _find(db: sqlite3.Connection, session_id: str) -> Record:
    record = objects.find(db, KIND, session_id)
    if record is None:
        raise UnknownSession(session_id)
    return record


def _find_open(db: sqlite3.Connection, session_id: str) -> Record:
    record = _find(db, session_id)
    if record.state != "open":
        raise NotOpen(record.doc)
    return record


def recurs(record: Record) -> bool:
    """Whether the session starts a subscription."""
    return bool(record.doc["mode"] == "subscription")


def _intent(db: sqlite3.Connection, record: Record) -> Record:
    """The session's PaymentIntent: the one of an earlier, declined try, or a new one."""
    if record.extra["payment_intent"]:
        return objects.get(db, record, "payment_intent", record.extra["payment_intent"])
    data = record.extra["payment_intent_data"]
    doc = payment_shapes.payment_intent(
        livemode=record.livemode,
        amount=record.doc["amount_total"],
        currency=record.doc["currency"],
        description="Subscription creation" if recurs(record) else data.get("description"),
        metadata=data.get("metadata", {}),
    )
    doc["receipt_email"] = data.get("receipt_email")
    if record.doc["customer_creation"] == "always":
        customer = customers.create(db, record, email=_email(record), created=doc["created"])
        record.extra["customer"] = doc["customer"] = customer.id
    record.extra["payment_intent"] = doc["id"]
    return objects.add(db, record, doc)


def _complete(db: sqlite3.Connection, record: Record, intent: Record, payment_status: str) -> None:
    record.state = "complete"
    record.doc.update(
        status="complete",
        payment_status=payment_status,
        customer=record.extra.get("customer"),
        url=None,
    )
    if recurs(record):
        paid = payment_status == "paid"
        customer = record.extra["customer"]
        subscribing.start(db, record, intent, customer=customer, paid=paid)
    else:
        record.doc["payment_intent"] = intent.id
    if not objects.save(db, record, only_from="open"):
        raise NotOpen(_find(db, record.id).doc)


def _email(record: Record) -> str | None:
    return (record.doc["customer_details"] or {}).get("email")


def _payer(record: Record, email: str | None) -> None:
    record.doc["customer_details"] = shapes.customer_details(
        _email(record) or email or "payer@example.com", name="Sandbox Payer"
    )


def pay(session_id: str, email: str | None = None) -> Outcome:
    """Pay with a card that works: complete and paid. Raises ``NotOpen``, ``UnknownSession``."""
    due.apply()
    with books.write() as db:
        record = _find_open(db, session_id)
        _payer(record, email)
        intent = _intent(db, record)
        method = payment_shapes.card_details(payment_shapes.CARD)
        charging.succeed(db, intent, method, email=_email(record))
        _complete(db, record, intent, "paid")
        event = events.record(db, record, "checkout.session.completed", record.doc)
    deliveries.wake()
    return Outcome(record.doc, event)


def decline(session_id: str, email: str | None = None) -> Outcome:
    """Try a card that is declined: the session stays open. Raises as ``pay`` does."""
    due.apply()
    with books.write() as db:
        record = _find_open(db, session_id)
        intent = _intent(db, record)
        method = payment_shapes.card_details(payment_shapes.DECLINED_CARD)
        event = charging.decline(db, intent, method, email=_email(record))
        objects.save(db, record)
    deliveries.wake()
    return Outcome(record.doc, event)


def pay_later(session_id: str, email: str | None = None) -> Outcome:
    """Pay by bank debit: complete but unpaid until ``settle_later``. Raises as ``pay`` does."""
    due.apply()
    with books.write() as db:
        record = _find_open(db, session_id)
        _payer(record, email)
        intent = _intent(db, record)
        charging.put_off(db, intent, payment_shapes.debit_details(), email=_email(record))
        record.extra["settled"] = False
        record.doc["payment_method_types"] = ["card", "sepa_debit"]
        _complete(db, record, intent, "unpaid")
        event = events.record(db, record, "checkout.session.completed", record.doc)
    deliveries.wake()
    return Outcome(record.doc, event)


def settle_later(session_id: str, succeeded: bool = True) -> Outcome:
    """Days later: the bank debit succeeds or fails, once. Raises ``NotProcessing``."""
    with books.write() as db:
        record = _find(db, session_id)
        if record.extra.get("settled") is not False:
            raise NotProcessing(f"No bank debit of {session_id} is waiting.")
        record.extra["settled"] = True
        intent = objects.get(db, record, "payment_intent", record.extra["payment_intent"])
        if recurs(record):
            subscribing.settle(db, record, intent, succeeded=succeeded)
        else:
            charging.settle(db, intent, succeeded=succeeded)
        if succeeded:
            record.doc["payment_status"] = "paid"
        objects.save(db, record)
        name = "async_payment_succeeded" if succeeded else "async_payment_failed"
        event = events.record(db, record, f"checkout.session.{name}", record.doc)
    deliveries.wake()
    return Outcome(record.doc, event)


def return_url(session: dict[str, Any]) -> str:
    """The success URL with the literal ``{CHECKOUT_SESSION_ID}`` replaced, as Stripe does."""
    return str(session["success_url"]).replace("{CHECKOUT_SESSION_ID}", session["id"])
