"""The ids that an event names: hints at what to ask Stripe about, and nothing to believe."""

from typing import Any
from uuid import UUID

from django.db.models import Q

from ..models import (
    BillingRequest,
    CheckoutAttempt,
    Dispute,
    Payment,
    Refund,
    StripeEvent,
    Subscription,
)

# Events whose news is money that went back or is asked back.
ABOUT_MONEY_BACK = ("charge.", "refund.")


def hints_of(told: dict[str, Any]) -> dict[str, Any]:
    """Of an event as Stripe shows it: the fields of ``StripeEvent`` that it fills.

    Raises ``KeyError``, ``TypeError`` or ``AttributeError`` for what is no event.
    """
    thin = told.get("object") == "v2.core.event"
    found = (told.get("related_object") or {}) if thin else told["data"]["object"]
    # What a subscription's invoice belongs to stands one floor further down.
    parent = (found.get("parent") or {}).get("subscription_details") or {}
    metadata = {**(parent.get("metadata") or {}), **(found.get("metadata") or {})}
    return {
        "event_id": text(told["id"]),
        "type": text(told["type"], 100),
        "account": text(told.get("context" if thin else "account"), 64),
        "livemode": bool(told["livemode"]),
        "object_id": text(found.get("id")),
        "payment_intent_id": text(found.get("payment_intent")),
        "charge_id": text(found.get("charge")),
        "subscription_id": text(found.get("subscription") or parent.get("subscription")),
        "invoice_id": text(found.get("invoice")),
        "request_hint": text(metadata.get("wcb_request")),
    }


def requests_hinted(event: StripeEvent, account_id: str) -> list[int]:
    """The requests of this account and mode that the event's hints touch."""
    ours = Q(account_id=account_id, livemode=event.livemode)
    intents = _given(event.payment_intent_id, event.object_id)
    subscriptions = _given(event.subscription_id, event.object_id)
    attempts = CheckoutAttempt.objects.filter(ours).filter(
        Q(session_id=event.object_id)
        | Q(payment_intent_id__in=intents)
        | Q(subscription_id__in=subscriptions)
    )
    found = set(attempts.values_list("request_id", flat=True))
    subscribed = Subscription.objects.filter(ours, stripe_id__in=subscriptions)
    found |= set(subscribed.values_list("request_id", flat=True))
    found |= set(_payments(event, ours).values_list("request_id", flat=True))
    if uuid := _uuid(event.request_hint):
        hinted = BillingRequest.objects.filter(ours, uuid=uuid)
        found |= set(hinted.values_list("pk", flat=True))
    return sorted(found)


def payments_hinted(event: StripeEvent, account_id: str) -> list[int]:
    """The payments whose refunds and disputes an event is about."""
    if not event.type.startswith(ABOUT_MONEY_BACK):
        return []
    ours = Q(account_id=account_id, livemode=event.livemode)
    return list(_payments(event, ours).values_list("pk", flat=True))


def _payments(event: StripeEvent, ours: Q) -> Any:
    named = _given(event.payment_intent_id, event.invoice_id, event.charge_id, event.object_id)
    about = Q(source__in=named) | Q(intent_id__in=named) | Q(charge_id__in=named)
    refunds = Refund.objects.filter(stripe_id__in=named)
    disputes = Dispute.objects.filter(stripe_id__in=named)
    about |= Q(pk__in=refunds.values("payment")) | Q(pk__in=disputes.values("payment"))
    return Payment.objects.filter(ours & about)


def text(value: Any, length: int = 255) -> str:
    """An id, or that of an object that Stripe has expanded, as it may be stored."""
    if isinstance(value, dict):
        value = value.get("id")
    # PostgreSQL stores no NUL.
    return str(value).replace("\0", "")[:length] if value is not None else ""


def _given(*ids: str) -> list[str]:
    return [each for each in ids if each]


def _uuid(given: str) -> UUID | None:
    try:
        return UUID(given)
    except ValueError:
        return None
