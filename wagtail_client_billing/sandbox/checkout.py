"""What a payer can do on the checkout page; the pages and the tests call the same functions.

Each action is one transaction of the books and a conditional change of the session's state, so a
session is paid at most once however often and wherever it is clicked. Nothing here waits for a
webhook: see ``deliveries.wait_for``.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import Any

from . import books, deliveries, events, ids, objects, sessions, shapes
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
    sessions.end_due()
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


def _intent(db: sqlite3.Connection, record: Record) -> Record:
    """The session's PaymentIntent: the one of an earlier, declined try, or a new one."""
    if record.extra["payment_intent"]:
        return objects.get(db, record, "payment_intent", record.extra["payment_intent"])
    data = record.extra["payment_intent_data"]
    doc = shapes.payment_intent(
        livemode=record.livemode,
        amount=record.doc["amount_total"],
        currency=record.doc["currency"],
        description=data.get("description"),
        metadata=data.get("metadata", {}),
    )
    doc["receipt_email"] = data.get("receipt_email")
    if record.doc["customer_creation"] == "always":
        record.doc["customer"] = doc["customer"] = record.doc["customer"] or ids.new("cus", 14)
    record.extra["payment_intent"] = doc["id"]
    return objects.add(db, record, doc)


def _charge(
    db: sqlite3.Connection, record: Record, intent: Record, status: str, method: dict[str, Any]
) -> Record:
    details = record.doc["customer_details"] or {}
    doc = shapes.charge(intent.doc, status=status, email=details.get("email"), method=method)
    if status == "succeeded":
        doc["outcome"] = _outcome("approved_by_network", "authorized", "Payment complete.")
    intent.doc.update(
        latest_charge=doc["id"],
        payment_method=doc["payment_method"],
        payment_method_types=[method["type"]],
    )
    return objects.add(db, record, doc)


def _outcome(network: str, type: str, message: str) -> dict[str, Any]:
    return {
        "advice_code": None,
        "network_advice_code": None,
        "network_decline_code": None,
        "network_status": network,
        "reason": None,
        "seller_message": message,
        "type": type,
    }


def _complete(db: sqlite3.Connection, record: Record, intent: Record, payment_status: str) -> None:
    record.state = "complete"
    record.doc.update(
        status="complete",
        payment_status=payment_status,
        payment_intent=intent.id,
        url=None,
    )
    if not objects.save(db, record, only_from="open"):
        raise NotOpen(_find(db, record.id).doc)


def _payer(record: Record, email: str | None) -> None:
    known = (record.doc["customer_details"] or {}).get("email")
    record.doc["customer_details"] = shapes.customer_details(
        known or email or "payer@example.com", name="Sandbox Payer"
    )


def pay(session_id: str, email: str | None = None) -> Outcome:
    """Pay with a card that works: complete and paid. Raises ``NotOpen``, ``UnknownSession``."""
    sessions.end_due()
    with books.write() as db:
        record = _find_open(db, session_id)
        _payer(record, email)
        intent = _intent(db, record)
        charge = _charge(db, record, intent, "succeeded", shapes.card_details(shapes.CARD))
        intent.doc.update(
            status="succeeded", amount_received=intent.doc["amount"], last_payment_error=None
        )
        objects.save(db, intent)
        _complete(db, record, intent, "paid")
        events.record(db, record, "charge.succeeded", charge.doc)
        events.record(db, record, "payment_intent.succeeded", intent.doc)
        event = events.record(db, record, "checkout.session.completed", record.doc)
    deliveries.wake()
    return Outcome(record.doc, event)


def decline(session_id: str, email: str | None = None) -> Outcome:
    """Try a card that is declined: the session stays open. Raises as ``pay`` does."""
    sessions.end_due()
    with books.write() as db:
        record = _find_open(db, session_id)
        intent = _intent(db, record)
        method = shapes.card_details(shapes.DECLINED_CARD)
        charge = _charge(db, record, intent, "failed", method)
        _fail(intent, charge, "card_declined", "Your card was declined.", "generic_decline")
        objects.save(db, charge)
        objects.save(db, intent)
        objects.save(db, record)
        events.record(db, record, "charge.failed", charge.doc)
        event = events.record(db, record, "payment_intent.payment_failed", intent.doc)
    deliveries.wake()
    return Outcome(record.doc, event)


def _fail(intent: Record, charge: Record, code: str, message: str, decline_code: str) -> None:
    charge.doc.update(status="failed", failure_code=code, failure_message=message, paid=False)
    charge.doc["outcome"] = {
        **_outcome("declined_by_network", "issuer_declined", message),
        "reason": decline_code or None,
    }
    error: dict[str, Any] = {
        "type": "card_error" if decline_code else "invalid_request_error",
        "code": code,
        "message": message,
        "charge": charge.id,
    }
    if decline_code:
        error["decline_code"] = decline_code
    intent.doc.update(
        status="requires_payment_method",
        last_payment_error=error,
        payment_method=None,
        processing=None,
    )


def pay_later(session_id: str, email: str | None = None) -> Outcome:
    """Pay by bank debit: complete but unpaid until ``settle_later``. Raises as ``pay`` does."""
    sessions.end_due()
    with books.write() as db:
        record = _find_open(db, session_id)
        _payer(record, email)
        intent = _intent(db, record)
        charge = _charge(db, record, intent, "pending", shapes.debit_details())
        intent.doc.update(status="processing", last_payment_error=None)
        objects.save(db, intent)
        record.extra["settled"] = False
        record.doc["payment_method_types"] = ["card", "sepa_debit"]
        _complete(db, record, intent, "unpaid")
        events.record(db, record, "charge.pending", charge.doc)
        events.record(db, record, "payment_intent.processing", intent.doc)
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
        charge = objects.get(db, record, "charge", intent.doc["latest_charge"])
        if succeeded:
            charge.doc.update(
                status="succeeded",
                paid=True,
                captured=True,
                amount_captured=charge.doc["amount"],
                balance_transaction=ids.new("txn"),
                outcome=_outcome("approved_by_network", "authorized", "Payment complete."),
            )
            intent.doc.update(status="succeeded", amount_received=intent.doc["amount"])
            record.doc["payment_status"] = "paid"
            names = ("charge.succeeded", "payment_intent.succeeded", "async_payment_succeeded")
        else:
            _fail(intent, charge, "insufficient_funds", "The bank refused the debit.", "")
            names = ("charge.failed", "payment_intent.payment_failed", "async_payment_failed")
        for changed in (charge, intent, record):
            objects.save(db, changed)
        events.record(db, record, names[0], charge.doc)
        events.record(db, record, names[1], intent.doc)
        event = events.record(db, record, f"checkout.session.{names[2]}", record.doc)
    deliveries.wake()
    return Outcome(record.doc, event)


def return_url(session: dict[str, Any]) -> str:
    """The success URL with the literal ``{CHECKOUT_SESSION_ID}`` replaced, as Stripe does."""
    return str(session["success_url"]).replace("{CHECKOUT_SESSION_ID}", session["id"])
