"""Subscriptions as Stripe shows them, with every invoice that was paid or was not."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from django.utils import timezone

from .. import lifecycle
from ..errors import NoSuchObject
from ..lifecycle import PaymentFacts, SubscriptionFacts
from ..models import CheckoutAttempt, Payment, Subscription
from .asker import Asker
from .charges import PAGE, at, every, id_of, look_at_payment, paid_by, retrieve_intent, was_touched
from .client import Api

# Why Stripe made the invoice that Checkout has paid.
FIRST = "subscription_create"
# What can still be collected; the others were given up.
OWED = "open"
# Each new payment takes some calls, and others wait for their turn.
AT_ONCE = 12


def look_at_subscription(
    api: Api, attempt: CheckoutAttempt, stripe_id: str, asker: Asker
) -> Subscription:
    """Makes our copy of a subscription and its payments say what Stripe's say.

    After a long silence the oldest payments are booked first, and the sweep goes on with the rest.
    Raises what ``Api.call`` raises.
    """
    read_at = timezone.now()
    told = api.call(lambda client: client.v1.subscriptions.retrieve(stripe_id))
    # Read before the invoices: whatever they are paid with is part of what we say of it then.
    invoices = _invoices(api, attempt.account_id, stripe_id)
    was_paid = any(invoice.get("amount_paid") for invoice in invoices)
    facts = replace(_facts(told), was_paid=was_paid, read_at=read_at)
    subscription = lifecycle.subscription_known(attempt, facts, **asker.log)
    new = [invoice for invoice in invoices if _is_paid(invoice)]
    new = [invoice for invoice in new if not _booked(attempt.account_id, [invoice["id"]])]
    later = {invoice["id"] for invoice in new[AT_ONCE:]}
    under_way = False
    for invoice in invoices:
        if invoice["id"] not in later:
            under_way |= _look_at_invoice(api, attempt, subscription, invoice, asker)
    if under_way:
        lifecycle.renewal_under_way(subscription)
    else:
        lifecycle.renewal_decided(subscription)
    if later:
        lifecycle.subscription_unfinished(subscription)
    return subscription


def is_known(api: Api, stripe_id: str) -> bool:
    """Whether Stripe knows a subscription. Raises what ``Api.call`` raises for another reason."""
    try:
        api.call(lambda client: client.v1.subscriptions.retrieve(stripe_id))
    except NoSuchObject:
        return False
    return True


def first_intent_status(api: Api, session: dict[str, Any]) -> str:
    """The status of the PaymentIntent behind a session's first invoice; empty without one."""
    invoice = id_of(session.get("invoice"))
    if not invoice:
        return ""
    for payment in _payments_of(api, invoice):
        intent = id_of((payment.get("payment") or {}).get("payment_intent"))
        if intent:
            return str(retrieve_intent(api, intent).get("status") or "")
    return ""


def _invoices(api: Api, account_id: str, stripe_id: str) -> list[dict[str, Any]]:
    """The subscription's invoices, oldest first, back to those that are booked already."""
    found: list[dict[str, Any]] = []
    params = {"subscription": stripe_id, "limit": PAGE}
    for invoice in every(api, lambda client: client.v1.invoices, params):
        found.append(invoice)
        # A page further back everything is settled.
        if len(found) % PAGE == 0 and _booked(account_id, [each["id"] for each in found[-PAGE:]]):
            break
    return found[::-1]


def _booked(account_id: str, ids: Iterable[str]) -> bool:
    wanted = set(ids)
    known = Payment.objects.filter(account_id=account_id, source__in=wanted)
    return known.count() == len(wanted)


def _is_paid(invoice: dict[str, Any]) -> bool:
    return invoice.get("status") == "paid" and bool(invoice.get("amount_paid"))


def _look_at_invoice(
    api: Api,
    attempt: CheckoutAttempt,
    subscription: Subscription,
    invoice: dict[str, Any],
    asker: Asker,
) -> bool:
    """Writes down that it was paid, or was not; whether a bank is still working on it."""
    if _is_paid(invoice):
        _paid(api, attempt, subscription, invoice, asker)
    if invoice.get("status") != OWED:
        return False
    tried = invoice.get("attempt_count") or 0
    first = invoice.get("billing_reason") == FIRST
    if first or not tried or not invoice.get("amount_remaining"):
        return False
    if lifecycle.failure_is_known(subscription, invoice["id"], tried):
        return False
    found = _intent_states(api, invoice["id"])
    if "processing" in found:
        # A debit takes days: nobody knows yet whether it fails.
        return True
    lifecycle.renewal_failed(
        subscription,
        invoice=invoice["id"],
        attempt_count=tried,
        needs_client="requires_action" in found,
        **asker.log,
    )
    return False


def _paid(
    api: Api,
    attempt: CheckoutAttempt,
    subscription: Subscription,
    invoice: dict[str, Any],
    asker: Asker,
) -> None:
    if _booked(attempt.account_id, [invoice["id"]]):
        return
    intent: Any = None
    for payment in _payments_of(api, invoice["id"]):
        if payment.get("status") == "paid":
            intent = id_of((payment.get("payment") or {}).get("payment_intent"))
    intent = retrieve_intent(api, intent) if intent else {}
    period = _period(invoice)
    means = paid_by(intent)
    paid_at = at((invoice.get("status_transitions") or {}).get("paid_at"))
    facts = PaymentFacts(
        source=invoice["id"],
        amount_minor=invoice["amount_paid"],
        currency=(invoice.get("currency") or "").upper(),
        renewal=invoice.get("billing_reason") != FIRST,
        period_start=at(period.get("start")),
        period_end=at(period.get("end")),
        **{**means, "received_at": paid_at or means["received_at"]},
    )
    differs = _differs(attempt, facts, invoice)
    if differs:
        evidence = {"differs": differs, **(asker.evidence or {})}
        lifecycle.flag_review(
            attempt,
            "mismatch",
            evidence,
            facts=facts,
            subscription=subscription,
            cause=asker.cause,
            user=asker.user,
        )
    else:
        lifecycle.record_payment(attempt, facts, subscription=subscription, **asker.log)
    if facts.intent_id and was_touched(intent):
        stored = Payment.objects.get(account_id=attempt.account_id, source=facts.source)
        look_at_payment(api, stored, asker)


def _differs(
    attempt: CheckoutAttempt, facts: PaymentFacts, invoice: dict[str, Any]
) -> dict[str, Any]:
    expected = (attempt.amount_minor, attempt.currency, attempt.livemode)
    found = (facts.amount_minor, facts.currency, invoice.get("livemode"))
    names = ("amount_total", "currency", "livemode")
    return {
        name: {"expected": wanted, "found": got}
        for name, wanted, got in zip(names, expected, found, strict=True)
        if wanted != got
    }


def _intent_states(api: Api, invoice_id: str) -> set[str]:
    """The statuses of the PaymentIntents by which an invoice was tried to be collected."""
    intents = [
        id_of((payment.get("payment") or {}).get("payment_intent"))
        for payment in _payments_of(api, invoice_id)
    ]
    return {str(retrieve_intent(api, each).get("status") or "") for each in intents if each}


def _payments_of(api: Api, invoice_id: str) -> list[dict[str, Any]]:
    params = {"invoice": invoice_id, "limit": PAGE}
    return list(every(api, lambda client: client.v1.invoice_payments, params))


def _period(invoice: dict[str, Any]) -> dict[str, Any]:
    lines = (invoice.get("lines") or {}).get("data") or [{}]
    return lines[0].get("period") or {}


def _facts(told: dict[str, Any]) -> SubscriptionFacts:
    items = (told.get("items") or {}).get("data") or [{}]
    return SubscriptionFacts(
        stripe_id=told["id"],
        status=told.get("status") or "",
        customer_id=id_of(told.get("customer")),
        cancel_at_period_end=bool(told.get("cancel_at_period_end")),
        cancel_at=at(told.get("cancel_at")),
        current_period_end=at(items[0].get("current_period_end")),
        started_at=at(told.get("billing_cycle_anchor") or told.get("start_date")),
        ended_at=at(told.get("ended_at")),
    )
