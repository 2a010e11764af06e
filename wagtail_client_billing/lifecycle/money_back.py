"""Money goes back, or its payer's bank wants it back."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from django.db import transaction
from django.utils import timezone

from ..errors import AmountTooLarge, ChangedMeanwhile, NotAllowed
from ..models import Dispute, EmailDelivery, Payment, Refund, SubscriptionChange
from .mailing import tell_agency, tell_client
from .record import Action, Cause, lock, note
from .review import raise_again, settle_review
from .subscription_changes import begin_change

Kind = EmailDelivery.Kind
State = Refund.State
Change = SubscriptionChange.Kind

# What Stripe may still change its mind about is asked about that often.
ASK_REFUND_EVERY = timedelta(hours=1)
ASK_DISPUTE_EVERY = timedelta(days=1)


@dataclass(frozen=True)
class RefundFacts:
    """What Stripe says of a refund; ``key`` is ours, of a refund that we asked for."""

    stripe_id: str
    state: str
    amount_minor: int
    currency: str
    created_at: datetime
    key: str = ""
    failure: str = ""


@dataclass(frozen=True)
class DisputeFacts:
    """What Stripe says of a dispute."""

    stripe_id: str
    state: str
    amount_minor: int
    currency: str
    created_at: datetime
    reason: str = ""
    due_by: datetime | None = None


def begin_refund(
    payment_pk: int,
    *,
    amount_minor: int,
    reason: str = "",
    once: str = "",
    seen_left: int | None = None,
    user: Any,
) -> Refund:
    """Writes down that money will be given back; Stripe is asked afterwards.

    The same ``once`` is one refund, however often it comes. ``seen_left`` is what was left of the
    payment when somebody looked. Raises ``NotAllowed`` for a payment that cannot be refunded,
    ``ChangedMeanwhile`` when another sum is left by now, ``AmountTooLarge`` for more than that.
    """
    with transaction.atomic():
        payment = Payment.objects.get(pk=payment_pk)
        request = lock(payment.request_id)
        key = f"wcb-refund-{once or uuid4()}"
        if asked := Refund.objects.filter(idempotency_key=key, payment=payment).first():
            return asked
        if payment.kind == Payment.Kind.BY_HAND or not payment.intent_id or amount_minor < 1:
            raise NotAllowed()
        if seen_left not in (None, payment.refundable_minor):
            raise ChangedMeanwhile()
        if amount_minor > payment.refundable_minor:
            raise AmountTooLarge()
        refund = Refund.objects.create(
            payment=payment,
            idempotency_key=key,
            amount_minor=amount_minor,
            currency=payment.currency,
            reason=reason,
            created_by=user,
        )
        evidence = {**_of(refund), "why": reason}
        note(request, Action.REFUND_ASKED, cause=Cause.EDITOR, user=user, evidence=evidence)
        subscription = payment.subscription
        if subscription is not None and ends_subscription(payment):
            # With the refund's row, so that nothing between the two can keep it charging.
            begin_change(subscription.pk, Change.CANCEL_NOW, user=user)
    return refund


def ends_subscription(payment: Payment) -> bool:
    """Whether refunding a payment cancels the subscription that should not have begun with it.

    A second one of the same request, or one of another amount than was asked for.
    """
    unwanted = payment.kind == Payment.Kind.FIRST and (payment.duplicate or payment.mismatch)
    subscription = payment.subscription
    return unwanted and subscription is not None and not subscription.has_ended


def refund_asked(refund: Refund) -> None:
    """Notes that Stripe is about to be asked."""
    Refund.objects.filter(pk=refund.pk).update(asked_at=timezone.now())


def refund_refused(refund: Refund, error: str, *, cause: str) -> bool:
    """Stripe said no: nothing was given back. Returns whether that was news."""
    with transaction.atomic():
        request = lock(refund.payment.request_id)
        changed = Refund.objects.filter(pk=refund.pk, state=State.CREATING).update(
            state=State.REFUSED, error=error[:255]
        )
        if not changed:
            return False
        evidence = {**_of(refund), "error": error}
        note(request, Action.REFUND_FAILED, cause=cause, user=refund.created_by, evidence=evidence)
        tell_agency(request, Kind.AGENCY_REFUND, refund=refund.pk)
    return True


def refunds_known(
    payment_pk: int,
    facts: Iterable[RefundFacts],
    *,
    cause: str,
    user: Any = None,
    evidence: dict[str, Any] | None = None,
) -> bool:
    """Makes our refunds of a payment say what Stripe's say; returns whether anything changed.

    What has failed or was cancelled never comes back to life: older news changes nothing.
    """
    changed = False
    with transaction.atomic():
        payment = Payment.objects.get(pk=payment_pk)
        request = lock(payment.request_id)
        for each in facts:
            changed |= _refund_known(payment, each, cause, user, evidence or {})
        unsettled = payment.refunds.filter(state__in=Refund.UNSETTLED).exists()
        _ask_later(payment, unsettled)
        settle_review(request, cause=cause, user=user)
    return changed


def _refund_known(
    payment: Payment, facts: RefundFacts, cause: str, user: Any, evidence: dict[str, Any]
) -> bool:
    refund = payment.refunds.filter(stripe_id=facts.stripe_id).first()
    if refund is None and facts.key:
        refund = payment.refunds.filter(idempotency_key=facts.key).first()
    if refund is None:
        refund = Refund(
            payment=payment,
            amount_minor=facts.amount_minor,
            currency=facts.currency,
            created_at=facts.created_at,
        )
    old = refund.state if refund.stripe_id else ""
    arrived = old == State.SUCCEEDED and facts.state in Refund.UNSETTLED
    if arrived or old in (facts.state, State.FAILED, State.CANCELED):
        return False
    refund.stripe_id, refund.state = facts.stripe_id, facts.state
    refund.amount_minor, refund.currency = facts.amount_minor, facts.currency
    refund.error = facts.failure[:255]
    refund.save()
    request = payment.request
    who = refund.created_by or user
    found = {**evidence, **_of(refund)}
    if facts.state in (State.FAILED, State.CANCELED):
        found["error"] = facts.failure
        note(request, Action.REFUND_FAILED, cause=cause, user=who, evidence=found)
        tell_agency(request, Kind.AGENCY_REFUND, refund=refund.pk)
        raise_again(request, payment, cause=cause, user=user)
    elif not old:
        # Told once: on its way and arrived are one event to the client.
        found["on_its_way"] = facts.state != State.SUCCEEDED or ""
        note(request, Action.REFUNDED, cause=cause, user=who, evidence=found)
        tell_client(request, Kind.REFUNDED, facts={"payment": payment.pk, "refund": refund.pk})
    return True


def disputes_known(
    payment_pk: int,
    facts: Iterable[DisputeFacts],
    *,
    cause: str,
    user: Any = None,
    evidence: dict[str, Any] | None = None,
) -> bool:
    """Makes our disputes of a payment say what Stripe's say; returns whether anything changed."""
    changed = False
    with transaction.atomic():
        payment = Payment.objects.get(pk=payment_pk)
        request = lock(payment.request_id)
        for each in facts:
            dispute = payment.disputes.filter(stripe_id=each.stripe_id).first()
            old = dispute.state if dispute else ""
            due_before = dispute.due_by if dispute else None
            if dispute is None:
                dispute = Dispute(payment=payment, stripe_id=each.stripe_id)
            elif dispute.is_closed or (old == each.state and dispute.due_by == each.due_by):
                continue
            dispute.amount_minor, dispute.currency = each.amount_minor, each.currency
            dispute.state, dispute.reason = each.state, each.reason[:60]
            dispute.due_by, dispute.created_at = each.due_by, each.created_at
            dispute.save()
            changed = True
            action = Action.DISPUTED if not old else Action.DISPUTE_CHANGED
            if old and dispute.is_closed:
                action = Action.DISPUTE_CLOSED
            found = {
                **(evidence or {}),
                "payment": payment.source,
                "dispute": each.stripe_id,
                "state": each.state,
                "amount_minor": each.amount_minor,
                "currency": each.currency,
            }
            note(request, action, cause=cause, user=user, evidence=found)
            # An inquiry that became a dispute, or another day to answer by, is news as well.
            urgent = each.state in Dispute.NEEDS_ANSWER and (each.state, each.due_by) != (
                old,
                due_before,
            )
            if action != Action.DISPUTE_CHANGED or urgent:
                tell_agency(request, Kind.AGENCY_DISPUTE, dispute=dispute.pk)
        open_ones = payment.disputes.exclude(state__in=Dispute.CLOSED).exists()
        if open_ones:
            _ask_later(payment, True, ASK_DISPUTE_EVERY)
    return changed


def payment_asked(payment: Payment) -> None:
    """Notes that Stripe is about to be asked about a payment, so that it waits for its next turn."""
    later = timezone.now() + ASK_REFUND_EVERY
    Payment.objects.filter(pk=payment.pk, ask_at__isnull=False).update(ask_at=later)


def _ask_later(payment: Payment, wanted: bool, every: timedelta = ASK_REFUND_EVERY) -> None:
    Payment.objects.filter(pk=payment.pk).update(ask_at=timezone.now() + every if wanted else None)


def _of(refund: Refund) -> dict[str, Any]:
    return {
        "payment": refund.payment.source,
        "refund": refund.stripe_id or "",
        "amount_minor": refund.amount_minor,
        "currency": refund.currency,
    }
