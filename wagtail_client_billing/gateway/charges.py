"""Payments as Stripe shows them: who paid with what, and what went back."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from .. import lifecycle
from ..errors import StripeRefused
from ..lifecycle import DisputeFacts, RefundFacts
from ..models import Payment
from .asker import Asker
from .client import Api

# Stripe's longest page.
PAGE = 100


def at(seconds: Any) -> datetime | None:
    """A moment of Stripe's, which counts in Unix seconds."""
    return datetime.fromtimestamp(seconds, UTC) if seconds else None


def id_of(value: Any) -> str:
    """The id of an object that Stripe may have expanded; empty without one."""
    return str((value.get("id") if isinstance(value, dict) else value) or "")


def retrieve_intent(api: Api, intent_id: str) -> dict[str, Any]:
    """A PaymentIntent with its charge, as far as the key may read it."""
    expand = {"expand": ["latest_charge"]}
    try:
        return api.call(lambda client: client.v1.payment_intents.retrieve(intent_id, expand))
    except StripeRefused as error:
        if not error.missing_right:
            raise
    return api.call(lambda client: client.v1.payment_intents.retrieve(intent_id))


def paid_by(intent: Any) -> dict[str, Any]:
    """Of a PaymentIntent: ids, moment and means of payment, as fields of ``PaymentFacts``."""
    details: dict[str, Any] = intent if isinstance(intent, dict) else {"id": intent}
    charge = details.get("latest_charge")
    charge = charge if isinstance(charge, dict) else {"id": charge}
    method = charge.get("payment_method_details") or {}
    kind = method.get("type") or ""
    card = method.get(kind) or {}
    return {
        "intent_id": id_of(details),
        "received_at": at(charge.get("created") or details.get("created")) or datetime.now(UTC),
        "charge_id": id_of(charge),
        "method": (card.get("brand") or kind)[:40],
        "last4": str(card.get("last4") or "")[:4],
    }


def was_touched(intent: Any) -> bool:
    """Whether money of the PaymentIntent went back, or its payer's bank asks for it."""
    charge = intent.get("latest_charge") if isinstance(intent, dict) else None
    if not isinstance(charge, dict):
        # Not read: then nobody knows.
        return True
    return bool(charge.get("amount_refunded") or charge.get("disputed"))


def look_at_payment(api: Api, payment: Payment, asker: Asker) -> bool:
    """Makes our refunds and disputes of a payment say what Stripe's say; whether they changed.

    Raises what ``Api.call`` raises.
    """
    if not payment.intent_id:
        return False
    lifecycle.payment_asked(payment)
    of_it = {"payment_intent": payment.intent_id, "limit": PAGE}
    # Oldest first, so that the log tells it in the order in which it happened.
    refunds = [refund_facts(each) for each in every(api, lambda client: client.v1.refunds, of_it)]
    changed = lifecycle.refunds_known(payment.pk, reversed(refunds), **asker.log)
    try:
        disputes = [_dispute(each) for each in every(api, lambda client: client.v1.disputes, of_it)]
    except StripeRefused as error:
        if not error.missing_right:
            raise
        # Disputes are then seen at Stripe alone; what was refunded is known all the same.
        return changed
    return lifecycle.disputes_known(payment.pk, reversed(disputes), **asker.log) or changed


def every(api: Api, of: Any, params: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """All objects of a list of Stripe's, newest first, page by page."""
    after: dict[str, Any] = {}
    while True:
        wanted = {**params, **after}
        page = _page(api, of, wanted)
        yield from page["data"]
        if not page.get("has_more") or not page["data"]:
            return
        after = {"starting_after": page["data"][-1]["id"]}


def _page(api: Api, of: Any, wanted: dict[str, Any]) -> dict[str, Any]:
    return api.call(lambda client: of(client).list(wanted))


def refund_facts(told: dict[str, Any]) -> RefundFacts:
    """A refund as Stripe shows it."""
    return RefundFacts(
        stripe_id=told["id"],
        state=told.get("status") or "pending",
        amount_minor=told["amount"],
        currency=(told.get("currency") or "").upper(),
        created_at=at(told.get("created")) or datetime.now(UTC),
        key=(told.get("metadata") or {}).get("wcb_refund") or "",
        failure=told.get("failure_reason") or "",
    )


def _dispute(told: dict[str, Any]) -> DisputeFacts:
    return DisputeFacts(
        stripe_id=told["id"],
        state=told.get("status") or "",
        amount_minor=told["amount"],
        currency=(told.get("currency") or "").upper(),
        created_at=at(told.get("created")) or datetime.now(UTC),
        reason=told.get("reason") or "",
        due_by=at((told.get("evidence_details") or {}).get("due_by")),
    )
