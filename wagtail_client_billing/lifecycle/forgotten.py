"""What Stripe no longer knows, such as test data that somebody has deleted there."""

from typing import Any

from django.db import transaction
from django.utils import timezone

from ..models import Payment, Subscription, SubscriptionChange
from .record import Action, lock, note

ChangeState = SubscriptionChange.State


def subscription_forgotten(
    subscription: Subscription,
    error: str,
    *,
    cause: str,
    user: Any = None,
    evidence: dict[str, Any] | None = None,
) -> bool:
    """Ends our copy of a subscription that Stripe does not know; whether that was news.

    It is not asked about again by itself. The log tells the agency; the client, who has cancelled
    nothing, gets no mail. ``error`` is Stripe's sentence.
    """
    with transaction.atomic():
        request = lock(subscription.request_id)
        now = timezone.now()
        rows = Subscription.objects.filter(pk=subscription.pk)
        rows.update(ask_at=None)
        ended = rows.exclude(status__in=Subscription.ENDED).update(
            status=Subscription.Status.CANCELED, ended_at=now, read_at=now
        )
        if not ended:
            return False
        subscription.changes.filter(state=ChangeState.ASKING).update(
            state=ChangeState.SUPERSEDED, done_at=now
        )
        found = {**(evidence or {}), "subscription": subscription.stripe_id, "error": error}
        note(request, Action.CANCELED, cause=cause, user=user, evidence=found)
    return True


def payment_forgotten(
    payment: Payment,
    error: str,
    *,
    cause: str,
    user: Any = None,
    evidence: dict[str, Any] | None = None,
) -> bool:
    """Stops asking for news of a payment that Stripe does not know; whether any was awaited.

    It stays in the books: the money came. ``error`` is Stripe's sentence.
    """
    with transaction.atomic():
        request = lock(payment.request_id)
        waited = Payment.objects.filter(pk=payment.pk, ask_at__isnull=False).update(ask_at=None)
        if waited:
            found = {**(evidence or {}), "payment": payment.source, "error": error}
            note(request, Action.CHECKED, cause=cause, user=user, evidence=found)
    return bool(waited)
