"""What becomes of a subscription: it starts, a renewal fails, it will end, it has ended."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from ..models import CheckoutAttempt, EmailDelivery, LogEntry, Subscription
from .mailing import tell_agency, tell_client
from .record import Action, lock, note
from .subscription_changes import ask_for_agreed_end, is_agreed, supersede

Kind = EmailDelivery.Kind

# Stripe finalises an invoice about an hour after the period began.
RENEWED_BY = timedelta(hours=2)
ASK_IN_ARREARS_EVERY = timedelta(hours=12)
ASK_UNDER_WAY_EVERY = timedelta(hours=12)
ASK_AGAIN = timedelta(hours=1)


@dataclass(frozen=True)
class SubscriptionFacts:
    """What Stripe says of a subscription."""

    stripe_id: str
    status: str
    customer_id: str = ""
    cancel_at_period_end: bool = False
    cancel_at: datetime | None = None
    current_period_end: datetime | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    # Whether any of it was ever paid: one that was not is nobody's news when it ends.
    was_paid: bool = True
    # When Stripe was asked.
    read_at: datetime | None = None


def subscription_known(
    attempt: CheckoutAttempt,
    facts: SubscriptionFacts,
    *,
    cause: str,
    user: Any = None,
    evidence: dict[str, Any] | None = None,
) -> Subscription:
    """Makes our copy of a subscription say what Stripe says; a change is logged and told once.

    What has ended at Stripe never lives again, whatever older news says.
    """
    evidence = {**(evidence or {}), "subscription": facts.stripe_id}
    with transaction.atomic():
        request = lock(attempt.request_id)
        row = Subscription.objects.filter(
            account_id=attempt.account_id, stripe_id=facts.stripe_id
        ).first()
        if row is not None and (row.has_ended or _is_older(facts, row)):
            _ask_later(row)
            return row
        new = row is None
        if row is None:
            row = Subscription(
                request=request,
                account_id=attempt.account_id,
                livemode=attempt.livemode,
                stripe_id=facts.stripe_id,
            )
        was_ending = not new and row.is_ending
        for name in (
            "status",
            "cancel_at_period_end",
            "cancel_at",
            "current_period_end",
            "started_at",
            "ended_at",
            "read_at",
        ):
            setattr(row, name, getattr(facts, name))
        row.customer_id = facts.customer_id or row.customer_id
        row.ended_at = row.ended_at or (timezone.now() if row.has_ended else None)
        row.ask_at = _next_look(row)
        row.save()
        CheckoutAttempt.objects.filter(pk=attempt.pk).update(subscription_id=row.stripe_id)
        log = {"cause": cause, "user": user}
        if new:
            note(request, Action.SUBSCRIBED, evidence=evidence, **log)
        other = _goes_on_beside(row)
        if other is not None and (row.has_ended or row.is_ending):
            evidence["goes_on"] = other.stripe_id
        if row.has_ended:
            supersede(row)
            evidence["never_paid"] = not facts.was_paid or ""
            note(request, Action.CANCELED, evidence=evidence, **log)
            # Who is charged by another one is told no untruth.
            if facts.was_paid and other is None:
                _tell_client(row, Kind.CANCELED)
                tell_agency(request, Kind.AGENCY_CANCELED, subscription=row.pk)
        elif row.is_ending and not was_ending:
            ends = row.cancel_at or row.current_period_end
            evidence["ends_at"] = ends.isoformat() if ends else ""
            note(request, Action.CANCEL_PLANNED, evidence=evidence, **log)
            # An end that was agreed from the start is no news.
            if not is_agreed(row) and other is None:
                tell_agency(request, Kind.AGENCY_CANCELED, subscription=row.pk)
        elif was_ending and not row.is_ending:
            note(request, Action.CANCEL_DROPPED, evidence=evidence, **log)
        if not row.has_ended and not row.is_ending:
            ask_for_agreed_end(row)
    return row


def renewal_failed(
    subscription: Subscription,
    *,
    invoice: str,
    attempt_count: int,
    needs_client: bool = False,
    cause: str,
    user: Any = None,
    evidence: dict[str, Any] | None = None,
) -> bool:
    """A renewal did not come; both sides are told at its first failure. Returns whether new.

    ``needs_client`` says that the client's bank wants to hear from them.
    """
    evidence = {
        **(evidence or {}),
        "subscription": subscription.stripe_id,
        "invoice": invoice,
        "try": attempt_count,
    }
    if needs_client:
        evidence["needs_client"] = True
    with transaction.atomic():
        request = lock(subscription.request_id)
        if failure_is_known(subscription, invoice, attempt_count):
            return False
        first = not _failures(subscription, invoice).exists()
        note(request, Action.RENEWAL_FAILED, cause=cause, user=user, evidence=evidence)
        if first:
            facts = {"invoice": invoice, "needs_client": needs_client}
            _tell_client(subscription, Kind.RENEWAL_FAILED, **facts)
            tell_agency(request, Kind.AGENCY_RENEWAL, subscription=subscription.pk, **facts)
    return True


def failure_is_known(subscription: Subscription, invoice: str, attempt_count: int) -> bool:
    """Whether the log has this try to collect an invoice, or a later one."""
    tries = _failures(subscription, invoice).values_list("evidence", flat=True)
    return any(evidence.get("try", 0) >= attempt_count for evidence in tries)


def subscription_unfinished(subscription: Subscription) -> None:
    """Notes that there is more to be read of it than was read: the sweep goes on at once."""
    Subscription.objects.filter(pk=subscription.pk).update(ask_at=timezone.now())


def renewal_under_way(subscription: Subscription) -> None:
    """Notes that a bank works on a renewal: its answer is waited for, also after the last period."""
    now = timezone.now()
    soon = now + ASK_UNDER_WAY_EVERY
    rows = Subscription.objects.filter(pk=subscription.pk)
    rows.filter(renewal_processing_since=None).update(renewal_processing_since=now)
    rows.filter(Q(ask_at=None) | Q(ask_at__gt=soon)).update(ask_at=soon)


def renewal_decided(subscription: Subscription) -> None:
    """Notes that no bank works on a renewal, or no longer does."""
    rows = Subscription.objects.filter(pk=subscription.pk)
    rows.exclude(renewal_processing_since=None).update(renewal_processing_since=None)


def subscription_asked(subscription: Subscription) -> None:
    """Notes that Stripe is about to be asked, so that it waits for its next turn."""
    Subscription.objects.filter(pk=subscription.pk, ask_at__isnull=False).update(
        ask_at=timezone.now() + ASK_AGAIN
    )


def _is_older(facts: SubscriptionFacts, row: Subscription) -> bool:
    return None not in (facts.read_at, row.read_at) and facts.read_at < row.read_at  # type: ignore[operator]


def _failures(subscription: Subscription, invoice: str) -> QuerySet[LogEntry]:
    entries = LogEntry.objects.filter(request=subscription.request_id, evidence__invoice=invoice)
    return entries.filter(action=Action.RENEWAL_FAILED)


def _goes_on_beside(subscription: Subscription) -> Subscription | None:
    """Another one of the same request that is charged; there is one only after paying twice."""
    others = subscription.request.subscriptions.exclude(pk=subscription.pk)
    return others.exclude(status__in=(*Subscription.ENDED, Subscription.Status.INCOMPLETE)).first()


def _next_look(subscription: Subscription) -> datetime | None:
    now = timezone.now()
    if subscription.has_ended:
        return None
    if subscription.status in Subscription.IN_ARREARS or subscription.current_period_end is None:
        return now + ASK_IN_ARREARS_EVERY
    return max(subscription.current_period_end + RENEWED_BY, now + ASK_AGAIN)


def _ask_later(subscription: Subscription) -> None:
    Subscription.objects.filter(pk=subscription.pk).update(ask_at=_next_look(subscription))


def _tell_client(subscription: Subscription, kind: str, **facts: Any) -> None:
    request = subscription.request
    tell_client(request, kind, facts={"subscription": subscription.pk, **facts})
