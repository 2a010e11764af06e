"""Disputes: the payer's bank takes the money back, and may have to return it."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from typing import Any

from . import books, deliveries, events, objects, params, reversal_shapes
from .keys import Caller
from .objects import Record

KIND = "dispute"
OPEN = ("needs_response", "under_review")

LIST: dict[str, params.Checker] = {
    **params.PAGING,
    "created": params.moment,
    "payment_intent": params.string(),
    "charge": params.string(),
}


class NotPossible(Exception):
    """There is nothing to dispute, or the dispute is over."""


def retrieve(
    db: sqlite3.Connection, caller: Caller, id: str, raw: Mapping[str, Any]
) -> dict[str, Any]:
    params.check(raw, {})
    return objects.get(db, caller, KIND, id, "dispute").doc


def list_all(db: sqlite3.Connection, caller: Caller, raw: Mapping[str, Any]) -> dict[str, Any]:
    checked = params.check(raw, LIST)
    return objects.page(
        db,
        caller,
        KIND,
        "/v1/disputes",
        checked,
        keep=objects.having(checked, "payment_intent", "charge"),
    )


def open(payment_intent: str, reason: str = "fraudulent") -> dict[str, Any]:
    """The payer disputes a payment: what was not refunded is taken back at once.

    Raises ``NotPossible`` where no money is left or a dispute was opened before; ``LookupError``
    for an unknown PaymentIntent.
    """
    with books.write() as db:
        intent = objects.find(db, "payment_intent", payment_intent)
        if intent is None:
            raise LookupError(payment_intent)
        if intent.doc["status"] != "succeeded":
            raise NotPossible(f"This payment is {intent.doc['status']}.")
        charge = objects.get(db, intent, "charge", intent.doc["latest_charge"])
        amount = charge.doc["amount"] - charge.doc["amount_refunded"]
        if charge.doc["disputed"] or amount <= 0:
            raise NotPossible("This payment was disputed or refunded before.")
        doc = reversal_shapes.dispute(charge.doc, amount=amount, reason=reason)
        dispute = objects.add(db, charge, doc, state=doc["status"])
        charge.doc["disputed"] = True
        charge.extra["charged_back"] = True
        objects.save(db, charge)
        events.record(db, dispute, "charge.dispute.created", dispute.doc)
        events.record(db, dispute, "charge.dispute.funds_withdrawn", dispute.doc)
    deliveries.wake()
    return dispute.doc


def answer(dispute_id: str) -> dict[str, Any]:
    """The agency sends its evidence in the Dashboard: *under review*. Raises as ``close`` does."""
    with books.write() as db:
        dispute = _find_open(db, dispute_id)
        dispute.state = "under_review"
        dispute.doc["status"] = "under_review"
        dispute.doc["evidence_details"].update(has_evidence=True, submission_count=1)
        objects.save(db, dispute)
        events.record(db, dispute, "charge.dispute.updated", dispute.doc)
    deliveries.wake()
    return dispute.doc


def close(dispute_id: str, won: bool) -> dict[str, Any]:
    """The bank decides. Won: the money comes back, and the charge can be refunded again.

    Raises ``NotPossible`` when it is over; ``LookupError`` for an unknown one.
    """
    with books.write() as db:
        dispute = _find_open(db, dispute_id)
        dispute.state = "won" if won else "lost"
        dispute.doc.update(status=dispute.state, is_charge_refundable=won)
        if won:
            charge = objects.get(db, dispute, "charge", dispute.doc["charge"])
            charge.extra["charged_back"] = False
            objects.save(db, charge)
            dispute.doc["balance_transactions"].append(
                reversal_shapes.balance_transaction(
                    dispute.id,
                    dispute.doc["amount"],
                    dispute.doc["currency"],
                    "Chargeback reversal",
                )
            )
        objects.save(db, dispute)
        events.record(db, dispute, "charge.dispute.closed", dispute.doc)
        if won:
            events.record(db, dispute, "charge.dispute.funds_reinstated", dispute.doc)
    deliveries.wake()
    return dispute.doc


def _find_open(db: sqlite3.Connection, dispute_id: str) -> Record:
    dispute = objects.find(db, KIND, dispute_id)
    if dispute is None:
        raise LookupError(dispute_id)
    if dispute.state not in OPEN:
        raise NotPossible(f"This dispute is {dispute.state}.")
    return dispute
