"""Refunds: by the API, as from the Dashboard, and what the bank makes of them later."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from typing import Any

from . import books, deliveries, events, objects, params, reversal_shapes
from .keys import Caller
from .objects import Record, Scope
from .problems import ApiProblem

KIND = "refund"
SLOW = "refunds_are_slow"  # a note in the books

CREATE: dict[str, params.Checker] = {
    "payment_intent": params.string(),
    "charge": params.string(),
    "amount": params.integer(1),
    "reason": params.choice("duplicate", "fraudulent", "requested_by_customer"),
    "metadata": params.metadata,
}
LIST: dict[str, params.Checker] = {
    **params.PAGING,
    "created": params.moment,
    "payment_intent": params.string(),
    "charge": params.string(),
}


class NotPossible(Exception):
    """The refund is not in a state in which that could happen."""


# --------------------------------------------------------------------------- the API


def create(db: sqlite3.Connection, caller: Caller, raw: Mapping[str, Any]) -> dict[str, Any]:
    """Refund a charge, in part or what is left of it."""
    checked = params.check(raw, CREATE)
    charge = _charge(db, caller, checked)
    return _make(
        db,
        charge,
        checked.get("amount"),
        reason=checked.get("reason"),
        metadata=checked.get("metadata", {}),
    ).doc


def _charge(db: sqlite3.Connection, scope: Scope, checked: Mapping[str, Any]) -> Record:
    if ("charge" in checked) == ("payment_intent" in checked):
        raise ApiProblem(
            "One of the following params should be provided for this request: payment_intent or "
            "charge."
        )
    if "charge" in checked:
        charge = objects.get(db, scope, "charge", checked["charge"], "charge")
        if charge.doc["status"] != "succeeded":
            raise ApiProblem(
                f"Charge {charge.id} has not succeeded: there is nothing to refund.",
                param="charge",
                kept=True,
            )
        return charge
    id = checked["payment_intent"]
    intent = objects.get(db, scope, "payment_intent", id, "payment_intent")
    if intent.doc["status"] != "succeeded":
        raise ApiProblem(
            f"This PaymentIntent ({intent.id}) does not have a successful charge to refund.",
            code="payment_intent_unexpected_state",
            param="payment_intent",
            kept=True,
        )
    return objects.get(db, scope, "charge", intent.doc["latest_charge"])


def _make(
    db: sqlite3.Connection,
    charge: Record,
    amount: int | None,
    *,
    reason: str | None = None,
    metadata: Mapping[str, str] | None = None,
) -> Record:
    left = charge.doc["amount"] - charge.doc["amount_refunded"]
    if charge.extra.get("charged_back"):
        raise ApiProblem(
            f"Charge {charge.id} has been charged back; cannot issue a refund.",
            code="charge_disputed",
            kept=True,
        )
    if left <= 0:
        raise ApiProblem(
            f"Charge {charge.id} has already been refunded.",
            code="charge_already_refunded",
            kept=True,
        )
    amount = left if amount is None else amount
    if amount < 1:
        raise ApiProblem("Invalid positive integer", param="amount")
    if amount > left:
        raise ApiProblem(
            f"Refund amount ({amount}) is greater than unrefunded amount on charge ({left}), in "
            f"the smallest unit of {charge.doc['currency']}.",
            param="amount",
            kept=True,
        )
    status = "pending" if books.noted(db, SLOW) else "succeeded"
    doc = reversal_shapes.refund(
        charge.doc, amount=amount, status=status, reason=reason, metadata=metadata or {}
    )
    refund = objects.add(db, charge, doc, state=status)
    _count(db, charge, amount)
    events.record(db, refund, "refund.created", refund.doc)
    events.record(db, charge, "charge.refunded", charge.doc)
    return refund


def _count(db: sqlite3.Connection, charge: Record, amount: int) -> None:
    total = charge.doc["amount_refunded"] + amount
    charge.doc.update(amount_refunded=total, refunded=total == charge.doc["amount"])
    objects.save(db, charge)


def retrieve(
    db: sqlite3.Connection, caller: Caller, id: str, raw: Mapping[str, Any]
) -> dict[str, Any]:
    params.check(raw, {})
    return objects.get(db, caller, KIND, id, "refund").doc


def change(
    db: sqlite3.Connection, caller: Caller, id: str, raw: Mapping[str, Any]
) -> dict[str, Any]:
    """A refund's metadata, the only thing about it that can be changed."""
    record = objects.get(db, caller, KIND, id, "refund")
    record.doc["metadata"] |= params.check(raw, {"metadata": params.metadata}).get("metadata", {})
    objects.save(db, record)
    return record.doc


def list_all(db: sqlite3.Connection, caller: Caller, raw: Mapping[str, Any]) -> dict[str, Any]:
    checked = params.check(raw, LIST)
    return objects.page(
        db,
        caller,
        KIND,
        "/v1/refunds",
        checked,
        keep=objects.having(checked, "payment_intent", "charge"),
    )


# --------------------------------------------------------------------------- what else happens


def be_slow(slow: bool = True) -> None:
    """From now on new refunds stay *pending* until ``settle`` or ``fail``; or no longer."""
    with books.write() as db:
        books.note(db, SLOW, slow or None)


def are_slow() -> bool:
    with books.read() as db:
        return bool(books.noted(db, SLOW, False))


def from_dashboard(payment_intent: str, amount: int | None = None) -> dict[str, Any]:
    """Refund a payment as if in the Dashboard (minor units; None: all that is left).

    ``LookupError`` for an unknown PaymentIntent, ``ApiProblem`` where Stripe refuses.
    """
    with books.write() as db:
        intent = objects.find(db, "payment_intent", payment_intent)
        if intent is None:
            raise LookupError(payment_intent)
        charge = _charge(db, intent, {"payment_intent": payment_intent})
        refund = _make(db, charge, amount, reason="requested_by_customer")
    deliveries.wake()
    return refund.doc


def settle(refund_id: str) -> dict[str, Any]:
    """A pending refund arrives. Raises ``NotPossible``; ``LookupError`` for an unknown one."""
    with books.write() as db:
        refund = _find(db, refund_id, "pending")
        refund.state = "succeeded"
        refund.doc["status"] = "succeeded"
        refund.doc.pop("pending_reason", None)
        objects.save(db, refund)
        events.record(db, refund, "refund.updated", refund.doc)
    deliveries.wake()
    return refund.doc


def fail(refund_id: str, reason: str = "expired_or_canceled_card") -> dict[str, Any]:
    """A refund fails, even one that had succeeded: its amount is on the charge again.

    Raises ``NotPossible``; ``LookupError`` for an unknown one.
    """
    with books.write() as db:
        refund = _find(db, refund_id, "pending", "succeeded")
        charge = objects.get(db, refund, "charge", refund.doc["charge"])
        refund.state = "failed"
        refund.doc.update(
            status="failed",
            failure_reason=reason,
            failure_balance_transaction=refund.doc["balance_transaction"],
        )
        refund.doc.pop("pending_reason", None)
        objects.save(db, refund)
        _count(db, charge, -refund.doc["amount"])
        events.record(db, refund, "refund.updated", refund.doc)
        events.record(db, refund, "refund.failed", refund.doc)
    deliveries.wake()
    return refund.doc


def _find(db: sqlite3.Connection, refund_id: str, *states: str) -> Record:
    refund = objects.find(db, KIND, refund_id)
    if refund is None:
        raise LookupError(refund_id)
    if refund.state not in states:
        raise NotPossible(f"This refund is {refund.state}.")
    return refund
