"""Money came in, is under way, did not come, or is not what it should be."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import transaction
from django.utils import timezone

from ..models import BillingRequest, CheckoutAttempt, EmailDelivery, Payment
from .mailing import queue, tell_agency
from .moves import NO_HOLD, move
from .record import Action, lock, note, write

State = CheckoutAttempt.State
Kind = EmailDelivery.Kind


@dataclass(frozen=True)
class PaymentFacts:
    """What Stripe says of a payment. ``amount_minor`` is in minor units of ``currency``."""

    source: str
    amount_minor: int
    currency: str
    received_at: datetime
    charge_id: str = ""
    method: str = ""
    last4: str = ""


def record_payment(
    attempt: CheckoutAttempt,
    facts: PaymentFacts,
    *,
    cause: str,
    user: Any = None,
    evidence: dict[str, Any] | None = None,
) -> bool:
    """Writes a payment once, moves the request to paid and tells both sides.

    Returns whether the payment was new. Whoever calls has compared the money with the attempt.
    """
    evidence = {**(evidence or {}), "session": attempt.session_id, "payment": facts.source}
    with transaction.atomic():
        request = lock(attempt.request_id)
        others = request.payments.filter(taken_back_at=None).exclude(source=facts.source).exists()
        payment, created = Payment.objects.get_or_create(
            account_id=attempt.account_id,
            source=facts.source,
            defaults={
                "request": request,
                "attempt": attempt,
                "livemode": attempt.livemode,
                "amount_minor": facts.amount_minor,
                "currency": facts.currency,
                "charge_id": facts.charge_id,
                "method": facts.method,
                "last4": facts.last4,
                "received_at": facts.received_at,
                "duplicate": others,
            },
        )
        _end_attempt(attempt, State.COMPLETE, payment_intent_id=facts.source)
        if not created:
            return False
        note(request, Action.PAYMENT, cause=cause, user=user, evidence=evidence)
        if others:
            write(request, processing_since=None, **NO_HOLD)
            _review(request, "duplicate", evidence, cause=cause, user=user)
            return True
        chosen = BillingRequest.objects.filter(pk=request.pk)
        # The entry of the payment, right before this one, carries the evidence.
        moved = move(chosen, BillingRequest.Status.PAID, cause=cause, user=user)
        queue(
            request,
            Kind.RECEIPT,
            to=request.email,
            language=request.language,
            facts={"payment": payment.pk},
        )
        late = bool(moved) and moved[0].paid_late
        tell_agency(request, Kind.AGENCY_LATE if late else Kind.AGENCY_PAID, payment=payment.pk)
    return True


def mark_processing(
    attempt: CheckoutAttempt,
    *,
    payment_intent_id: str = "",
    cause: str,
    user: Any = None,
    evidence: dict[str, Any] | None = None,
) -> bool:
    """The payer is done, the bank is not. Returns whether that was news."""
    with transaction.atomic():
        request = lock(attempt.request_id)
        row = CheckoutAttempt.objects.get(pk=attempt.pk)
        if row.state not in (State.CREATING, State.OPEN):
            return False
        now = timezone.now()
        CheckoutAttempt.objects.filter(pk=row.pk).update(
            state=State.PROCESSING, payment_intent_id=payment_intent_id, checked_at=now, url=""
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
        if not _end_attempt(attempt, State.FAILED):
            return False
        write(request, processing_since=None)
        note(
            request,
            Action.PAYMENT_FAILED,
            cause=cause,
            user=user,
            evidence={**(evidence or {}), "session": attempt.session_id},
        )
        if request.status == BillingRequest.Status.PENDING:
            queue(request, Kind.PAYMENT_FAILED, to=request.email, language=request.language)
    return True


def flag_review(
    attempt: CheckoutAttempt,
    reason: str,
    evidence: dict[str, Any],
    *,
    cause: str,
    user: Any = None,
) -> bool:
    """The money is not what the attempt asked for: stop Pay and call for a person.

    Returns False when the same session had been flagged before.
    """
    with transaction.atomic():
        request = lock(attempt.request_id)
        _end_attempt(attempt, State.COMPLETE)
        seen = request.log_entries.filter(
            action=Action.REVIEW, evidence__session=attempt.session_id, evidence__reason=reason
        )
        if seen.exists():
            return False
        write(request, processing_since=None, **NO_HOLD)
        _review(
            request, reason, {**evidence, "session": attempt.session_id}, cause=cause, user=user
        )
    return True


def _review(
    request: BillingRequest, reason: str, evidence: dict[str, Any], *, cause: str, user: Any
) -> None:
    write(request, review_since=timezone.now(), review_reason=reason[:30], review_evidence=evidence)
    note(request, Action.REVIEW, cause=cause, user=user, evidence={**evidence, "reason": reason})
    tell_agency(request, Kind.AGENCY_REVIEW, reason=reason)


def _end_attempt(attempt: CheckoutAttempt, state: str, **values: Any) -> bool:
    row = CheckoutAttempt.objects.get(pk=attempt.pk)
    was_live = row.state in CheckoutAttempt.LIVE
    # Money also ends an attempt that we had taken for over.
    if was_live or state == State.COMPLETE:
        CheckoutAttempt.objects.filter(pk=row.pk).update(
            state=state, url="", not_confirmed=False, checked_at=timezone.now(), **values
        )
    return was_live
