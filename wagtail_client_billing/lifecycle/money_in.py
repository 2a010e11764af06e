"""Money came in, is under way, did not come, or is not what it should be."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import transaction
from django.utils import timezone

from ..models import BillingRequest, CheckoutAttempt, EmailDelivery, Payment, Subscription
from .mailing import tell_agency, tell_client
from .moves import NO_HOLD, move
from .record import Action, live_attempt_of, lock, note, write

State = CheckoutAttempt.State
Kind = EmailDelivery.Kind


@dataclass(frozen=True)
class PaymentFacts:
    """What Stripe says of a payment. ``amount_minor`` is in minor units of ``currency``.

    ``source`` is the PaymentIntent, for a subscription's payment the invoice; ``intent_id`` is the
    PaymentIntent in either case, as far as Stripe named it.
    """

    source: str
    amount_minor: int
    currency: str
    received_at: datetime
    intent_id: str = ""
    charge_id: str = ""
    method: str = ""
    last4: str = ""
    renewal: bool = False
    period_start: datetime | None = None
    period_end: datetime | None = None


def record_payment(
    attempt: CheckoutAttempt,
    facts: PaymentFacts,
    *,
    cause: str,
    subscription: Subscription | None = None,
    user: Any = None,
    evidence: dict[str, Any] | None = None,
) -> bool:
    """Writes a payment once, moves the request to paid and tells both sides.

    Returns whether the payment was new. Whoever calls has compared the money with the attempt.
    """
    evidence = {**(evidence or {}), "session": attempt.session_id, **money_of(facts)}
    with transaction.atomic():
        request = lock(attempt.request_id)
        counted = request.payments.counted().exclude(source=facts.source)
        others = counted.exclude(kind=Payment.Kind.RENEWAL).exists()
        if facts.renewal:
            # What a second subscription goes on to charge is as doubtful as its first payment.
            others = subscription is not None and _is_second(subscription)
        payment, created = _store(request, attempt, facts, subscription, duplicate=others)
        if not facts.renewal:
            _end_attempt(attempt, State.COMPLETE, payment_intent_id=facts.intent_id)
        if not created:
            return False
        note(request, Action.PAYMENT, cause=cause, user=user, evidence=evidence)
        if others:
            write(request, processing_since=None, **NO_HOLD)
            review(request, "duplicate", evidence, cause=cause, user=user)
            return True
        count_payment(request, payment, cause=cause, user=user)
    return True


def money_of(paid: "PaymentFacts | Payment") -> dict[str, Any]:
    """Which money the log speaks of, and how much."""
    return {
        "payment": paid.source,
        "amount_minor": paid.amount_minor,
        "currency": paid.currency,
    }


def _is_second(subscription: Subscription) -> bool:
    return subscription.payments.filter(kind=Payment.Kind.FIRST, duplicate=True).exists()


def count_payment(request: BillingRequest, payment: Payment, *, cause: str, user: Any) -> None:
    """Moves a locked request to paid for a payment, if it is not yet, and queues what follows."""
    chosen = BillingRequest.objects.filter(pk=request.pk)
    # The entry of the payment, right before this one, carries the evidence.
    moved = move(chosen, BillingRequest.Status.PAID, cause=cause, user=user)
    thank(request, payment)
    if payment.kind == Payment.Kind.RENEWAL and not moved:
        return
    late = bool(moved) and moved[0].paid_late
    tell_agency(request, Kind.AGENCY_LATE if late else Kind.AGENCY_PAID, payment=payment.pk)


def thank(request: BillingRequest, payment: Payment) -> None:
    """Queues the receipt of a payment that counts."""
    renewal = payment.kind == Payment.Kind.RENEWAL
    tell_client(
        request, Kind.RENEWAL_RECEIPT if renewal else Kind.RECEIPT, facts={"payment": payment.pk}
    )


def _store(
    request: BillingRequest,
    attempt: CheckoutAttempt,
    facts: PaymentFacts,
    subscription: Subscription | None,
    **marks: bool,
) -> tuple[Payment, bool]:
    return Payment.objects.get_or_create(
        account_id=attempt.account_id,
        source=facts.source,
        defaults={
            "request": request,
            "attempt": attempt,
            "subscription": subscription,
            "kind": Payment.Kind.RENEWAL if facts.renewal else Payment.Kind.FIRST,
            "livemode": attempt.livemode,
            "amount_minor": facts.amount_minor,
            "currency": facts.currency,
            "intent_id": facts.intent_id,
            "charge_id": facts.charge_id,
            "method": facts.method,
            "last4": facts.last4,
            "received_at": facts.received_at,
            "period_start": facts.period_start,
            "period_end": facts.period_end,
            **marks,
        },
    )


def mark_processing(
    attempt: CheckoutAttempt,
    *,
    payment_intent_id: str = "",
    cause: str,
    user: Any = None,
    evidence: dict[str, Any] | None = None,
) -> bool:
    """The payer is done, the bank is not. Returns whether that was news.

    An attempt that was given up without Stripe's word lives again by it, unless another one does.
    """
    with transaction.atomic():
        request = lock(attempt.request_id)
        row = CheckoutAttempt.objects.get(pk=attempt.pk)
        if row.state not in (State.CREATING, State.OPEN) and not row.not_confirmed:
            return False
        live = live_attempt_of(request)
        if live is not None and live.pk != row.pk:
            return False
        now = timezone.now()
        _settle_attempt(
            row,
            state=State.PROCESSING,
            payment_intent_id=payment_intent_id,
            checked_at=now,
        )
        write(request, processing_since=now, **NO_HOLD)
        note(
            request,
            Action.PROCESSING,
            cause=cause,
            user=user,
            evidence={**(evidence or {}), "session": row.session_id},
        )
    return True


def payment_failed(
    attempt: CheckoutAttempt,
    *,
    cause: str,
    user: Any = None,
    evidence: dict[str, Any] | None = None,
) -> bool:
    """A payment that was under way did not come; the bill can be paid again while it lasts."""
    with transaction.atomic():
        request = lock(attempt.request_id)
        failed = _end_attempt(attempt, State.FAILED)
        if not request.attempts.filter(state=State.PROCESSING).exists():
            write(request, processing_since=None)
        if not failed:
            return False
        note(
            request,
            Action.PAYMENT_FAILED,
            cause=cause,
            user=user,
            evidence={**(evidence or {}), "session": attempt.session_id},
        )
        if request.status == BillingRequest.Status.PENDING:
            tell_client(request, Kind.PAYMENT_FAILED)
            tell_agency(request, Kind.AGENCY_FAILED)
    return True


def flag_review(
    attempt: CheckoutAttempt,
    reason: str,
    evidence: dict[str, Any],
    *,
    facts: PaymentFacts | None = None,
    cause: str,
    subscription: Subscription | None = None,
    user: Any = None,
) -> bool:
    """The money is not what the attempt asked for: stop Pay and call for a person.

    With ``facts`` the money is kept as a payment that does not count until it is accepted.
    Returns False when the same session and payment had been flagged before.
    """
    with transaction.atomic():
        request = lock(attempt.request_id)
        if facts is None or not facts.renewal:
            _end_attempt(attempt, State.COMPLETE)
        found = {**evidence, "session": attempt.session_id}
        if facts is not None:
            found["payment"] = facts.source
            _payment, created = _store(request, attempt, facts, subscription, mismatch=True)
            if not created:
                return False
        elif request.log_entries.filter(
            action=Action.REVIEW, evidence__session=attempt.session_id, evidence__reason=reason
        ).exists():
            return False
        write(request, processing_since=None, **NO_HOLD)
        review(request, reason, found, cause=cause, user=user)
    return True


def review(
    request: BillingRequest, reason: str, evidence: dict[str, Any], *, cause: str, user: Any
) -> None:
    """Calls for a person to look at a locked request; its Pay stops until then."""
    write(request, review_since=timezone.now(), review_reason=reason[:30], review_evidence=evidence)
    note(request, Action.REVIEW, cause=cause, user=user, evidence={**evidence, "reason": reason})
    tell_agency(request, Kind.AGENCY_REVIEW, reason=reason)


def _end_attempt(attempt: CheckoutAttempt, state: str, **values: Any) -> bool:
    row = CheckoutAttempt.objects.get(pk=attempt.pk)
    unsettled = row.state in CheckoutAttempt.LIVE or row.not_confirmed
    # Money also ends an attempt that we had taken for over.
    if unsettled or state == State.COMPLETE:
        _settle_attempt(row, state=state, checked_at=timezone.now(), **values)
    return unsettled


def _settle_attempt(row: CheckoutAttempt, **values: Any) -> None:
    """Writes what Stripe has said of an attempt, so that it counts as confirmed."""
    CheckoutAttempt.objects.filter(pk=row.pk).update(url="", not_confirmed=False, **values)
    if row.not_confirmed:
        still = CheckoutAttempt.objects.filter(request=row.request_id, not_confirmed=True).exists()
        BillingRequest.objects.filter(pk=row.request_id).update(not_confirmed=still)
