"""What Stripe is asked to change about a subscription, from the wish to the answer."""

from datetime import datetime
from typing import Any
from uuid import uuid4

from django.db import transaction
from django.utils import timezone

from ..errors import BeingChanged, NotAllowed
from ..models import Subscription, SubscriptionChange
from .ends import agreed_end
from .record import Action, lock, note

Change = SubscriptionChange.Kind
ChangeState = SubscriptionChange.State


def begin_change(subscription_pk: int, kind: str, *, user: Any) -> SubscriptionChange:
    """Writes down that Stripe will be asked to change a subscription; it is asked afterwards.

    A change that Stripe has not answered yet is taken up if it is the same, and else replaced.
    Raises ``NotAllowed`` when it has ended or there is nothing to change, ``BeingChanged`` while
    a cancellation is under way.
    """
    with transaction.atomic():
        subscription = Subscription.objects.get(pk=subscription_pk)
        lock(subscription.request_id)
        subscription.refresh_from_db()
        if subscription.has_ended:
            raise NotAllowed()
        waiting = subscription.changes.filter(state=ChangeState.ASKING).first()
        if waiting is not None:
            if waiting.kind == kind:
                return waiting
            if waiting.kind == Change.CANCEL_NOW:
                raise BeingChanged()
        if kind == Change.KEEP and not subscription.is_ending:
            raise NotAllowed()
        if kind == Change.CANCEL_LATER and subscription.cancel_at_period_end:
            raise NotAllowed()
        supersede(subscription)
        dropped = (
            subscription.cancel_at if kind == Change.KEEP and keeping_drops(subscription) else None
        )
        return _ask_for(subscription, kind, dropped, user)


def change_asked(change: SubscriptionChange) -> None:
    """Notes that Stripe is about to be asked."""
    SubscriptionChange.objects.filter(pk=change.pk).update(asked_at=timezone.now())


def change_done(change: SubscriptionChange) -> bool:
    """Stripe has confirmed it. Returns whether that was news."""
    return bool(
        SubscriptionChange.objects.filter(pk=change.pk, state=ChangeState.ASKING).update(
            state=ChangeState.DONE, done_at=timezone.now(), error=""
        )
    )


def change_refused(change: SubscriptionChange, error: str, *, cause: str) -> bool:
    """Stripe said no: the subscription is as it was. Returns whether that was news.

    The agreed end is owed to the client: it goes on waiting, to be asked for anew.
    """
    values: dict[str, Any] = {"error": error[:255]}
    if change.kind == Change.SET_END:
        # Stripe repeats its refusal for as long as it remembers the key.
        values["idempotency_key"] = _new_key()
    else:
        values |= {"state": ChangeState.REFUSED, "done_at": timezone.now()}
    with transaction.atomic():
        request = lock(change.subscription.request_id)
        row = SubscriptionChange.objects.filter(pk=change.pk, state=ChangeState.ASKING)
        known = row.filter(error=values["error"]).exclude(error="").exists()
        news = bool(row.update(**values)) and not known
        if news:
            evidence = {"change": change.kind, "error": error}
            user = change.created_by
            note(request, Action.CHANGE_REFUSED, cause=cause, user=user, evidence=evidence)
    return news


def ask_for_agreed_end(subscription: Subscription) -> SubscriptionChange | None:
    """Writes down that Stripe has to end one that goes on, where an end was agreed.

    Not while Stripe is being asked for something else, and not after staff have dropped the end.
    The request must be locked.
    """
    if subscription.changes.filter(state=ChangeState.ASKING).exists() or _was_dropped(subscription):
        return None
    end = agreed_end(subscription.request, subscription)
    return _ask_for(subscription, Change.SET_END, end, None) if end else None


def is_agreed(subscription: Subscription) -> bool:
    """Whether it ends when the client was told from the start."""
    agreed = subscription.changes.filter(kind=Change.SET_END).exclude(state=ChangeState.REFUSED)
    return agreed.filter(cancel_at=subscription.cancel_at).exists()


def keeping_drops(subscription: Subscription) -> bool:
    """Whether keeping it would give up the agreed end, and not just take back a cancellation."""
    planned = subscription.cancel_at is not None and not subscription.cancel_at_period_end
    return planned and is_agreed(subscription)


def keeping_restores(subscription: Subscription) -> datetime | None:
    """The agreed end that holds again once a cancellation is taken back."""
    if keeping_drops(subscription) or _was_dropped(subscription):
        return None
    return agreed_end(subscription.request, subscription)


def supersede(subscription: Subscription) -> None:
    """Gives up what Stripe was not asked for yet, or has not answered."""
    subscription.changes.filter(state=ChangeState.ASKING).update(
        state=ChangeState.SUPERSEDED, done_at=timezone.now()
    )


def _was_dropped(subscription: Subscription) -> bool:
    dropping = subscription.changes.filter(kind=Change.KEEP, cancel_at__isnull=False)
    return dropping.filter(state=ChangeState.DONE).exists()


def _ask_for(
    subscription: Subscription, kind: str, cancel_at: datetime | None, user: Any
) -> SubscriptionChange:
    return SubscriptionChange.objects.create(
        subscription=subscription,
        kind=kind,
        cancel_at=cancel_at,
        idempotency_key=_new_key(),
        created_by=user,
    )


def _new_key() -> str:
    return f"wcb-change-{uuid4()}"
