"""Cancelling a subscription, keeping it, and setting its agreed end: a row first, then the call."""

from datetime import timedelta
from typing import Any

from django.utils import timezone

from .. import lifecycle
from ..errors import NotConnected, StripeRefused, StripeUnavailable
from ..models import (
    CheckoutAttempt,
    LogEntry,
    StripeConnection,
    Subscription,
    SubscriptionChange,
)
from ..sealing import SecretUnreadable
from ..transactions import outside_transaction
from .asker import Asker
from .client import Api, api_for
from .copies import refuse_copy
from .subscriptions import look_at_subscription

Kind = SubscriptionChange.Kind
State = SubscriptionChange.State

# Stripe's clock may be ahead of ours.
SOON = timedelta(minutes=1)


def change_subscription(subscription_pk: int, kind: str, *, user: Any) -> SubscriptionChange:
    """Has Stripe cancel a subscription, or keep it; the change's ``state`` says what became of it.

    Where Stripe cannot be reached it stays *waiting for Stripe* and the sweep goes on. Raises
    ``NotAllowed``, ``BeingChanged`` or ``CopyOfProduction`` before anything is asked for.
    """
    outside_transaction()
    subscription = Subscription.objects.get(pk=subscription_pk)
    refuse_copy(_connection_of(subscription))
    change = lifecycle.begin_change(subscription_pk, kind, user=user)
    finish_change(change.pk, waiting=True, cause=LogEntry.Cause.EDITOR)
    change.refresh_from_db()
    if kind == Kind.KEEP and change.state == State.DONE:
        # Stripe takes a cancellation back and sets the agreed end in two steps only.
        for agreed in subscription.changes.filter(kind=Kind.SET_END, state=State.ASKING):
            finish_change(agreed.pk, waiting=True, cause=LogEntry.Cause.EDITOR)
    return change


def finish_change(
    change_pk: int, *, waiting: bool = False, cause: str = LogEntry.Cause.SWEEP
) -> bool:
    """Asks Stripe for a change that was written down; False when Stripe could not be reached.

    May run twice, at once or later: asking for the same again changes nothing. An agreed end that
    is past ends the subscription now.
    """
    outside_transaction()
    change = SubscriptionChange.objects.select_related("subscription").get(pk=change_pk)
    if change.state != State.ASKING:
        return True
    subscription = change.subscription
    asker = Asker(cause, change.created_by)
    lifecycle.change_asked(change)
    try:
        api = api_for(_connection_of(subscription), waiting=waiting)
        try:
            _ask(api, subscription, change)
        except StripeRefused as error:
            if error.missing_right:
                raise
            # An ended one refuses every change: then its end is the news.
            _look(api, subscription, asker)
            subscription.refresh_from_db()
            if subscription.has_ended and change.kind != Kind.KEEP:
                lifecycle.change_done(change)
            raise
        lifecycle.change_done(change)
        _look(api, subscription, asker)
    except StripeUnavailable:
        return False
    except (NotConnected, SecretUnreadable):
        # Its account may be linked again one day.
        return True
    except StripeRefused as error:
        lifecycle.change_refused(change, str(error), cause=cause)
    return True


def cancel_unpaid(api: Api, attempt: CheckoutAttempt, stripe_id: str, asker: Asker) -> None:
    """Ends a subscription whose first payment did not come.

    Stripe would go on trying while the client pays anew. Where we die in between, the sweep goes
    on. Raises what ``Api.call`` raises.
    """
    subscription = look_at_subscription(api, attempt, stripe_id, asker)
    if subscription.has_ended:
        return
    change = lifecycle.begin_change(subscription.pk, Kind.CANCEL_NOW, user=asker.user)
    lifecycle.change_asked(change)
    _ask(api, subscription, change)
    lifecycle.change_done(change)
    look_at_subscription(api, attempt, stripe_id, asker)


def _ask(api: Api, subscription: Subscription, change: SubscriptionChange) -> None:
    stripe_id = subscription.stripe_id
    if change.kind == Kind.CANCEL_NOW or _is_past(change):
        api.call(lambda client: client.v1.subscriptions.cancel(stripe_id))
        return
    params: dict[str, Any]
    match change.kind:
        case Kind.CANCEL_LATER:
            params = {"cancel_at_period_end": True}
        case Kind.KEEP if change.cancel_at or _has_own_end(subscription):
            params = {"cancel_at": ""}
        case Kind.KEEP:
            params = {"cancel_at_period_end": False}
        case _:
            end = change.cancel_at
            params = {
                "cancel_at": int(end.timestamp()) if end else "",
                # The last period is paid in full, and nothing is given back for its rest.
                "proration_behavior": "none",
            }
    options = {"idempotency_key": change.idempotency_key}
    api.call(lambda client: client.v1.subscriptions.update(stripe_id, params, options))


def _is_past(change: SubscriptionChange) -> bool:
    """Whether the agreed end has come: Stripe sets none but in the future."""
    end = change.cancel_at if change.kind == Kind.SET_END else None
    return end is not None and end <= timezone.now() + SOON


def _has_own_end(subscription: Subscription) -> bool:
    return subscription.cancel_at is not None and not subscription.cancel_at_period_end


def _look(api: Api, subscription: Subscription, asker: Asker) -> None:
    attempt = CheckoutAttempt.objects.filter(
        account_id=subscription.account_id, subscription_id=subscription.stripe_id
    ).first()
    if attempt is not None:
        look_at_subscription(api, attempt, subscription.stripe_id, asker)


def _connection_of(subscription: Subscription) -> StripeConnection | None:
    return StripeConnection.objects.of_account(subscription.account_id, subscription.livemode)
