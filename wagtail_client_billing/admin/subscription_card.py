"""A request's subscription as its page shows it: state, next charge, end, changes under way."""

from dataclasses import dataclass, field
from typing import Any

from django.utils.translation import gettext as _

from ..gateway.connect import dashboard_url
from ..models import BillingRequest, StripeConnection, Subscription, SubscriptionChange
from ..permissions import may
from .amounts import end_text
from .formats import amount_text, day_text
from .money_actions import can_change
from .urls import admin_url

Status = Subscription.Status
Kind = SubscriptionChange.Kind
State = SubscriptionChange.State

# The page of each change.
PAGES = {
    Kind.CANCEL_NOW: "cancel_now",
    Kind.CANCEL_LATER: "cancel_later",
    Kind.KEEP: "keep",
}


@dataclass(frozen=True)
class SubscriptionCard:
    """``buttons`` are the changes that can be asked for, by the name of their page."""

    subscription: Subscription
    state: str
    tone: str
    sentences: list[str]
    problems: list[str]
    url: str
    buttons: dict[str, str] = field(default_factory=dict)


def subscription_cards(user: Any, request: BillingRequest) -> list[SubscriptionCard]:
    """The subscriptions of a request, the newest first: more than one only after paying twice."""
    return [_card(user, request, each) for each in request.subscriptions.order_by("-pk")]


def _card(user: Any, request: BillingRequest, subscription: Subscription) -> SubscriptionCard:
    changes = list(subscription.changes.order_by("-pk"))
    connection = StripeConnection.objects.of_account(subscription.account_id, subscription.livemode)
    reachable = connection is not None and connection.usable
    buttons = {}
    if may(user, "change", request) and reachable:
        buttons = {
            page: admin_url(page, request.pk, subscription.pk)
            for kind, page in PAGES.items()
            if can_change(subscription, kind)
        }
    path = f"subscriptions/{subscription.stripe_id}"
    return SubscriptionCard(
        subscription=subscription,
        state=_state(subscription),
        tone=_tone(subscription),
        sentences=list(_sentences(request, subscription, changes)),
        problems=list(_problems(request, subscription, changes, reachable)),
        url=dashboard_url(connection, path) if connection is not None else "",
        buttons=buttons,
    )


def end_of(subscription: Subscription) -> str:
    """The day on which it ends or has ended; empty where none is known."""
    if subscription.has_ended:
        moment = subscription.ended_at
    elif subscription.cancel_at_period_end:
        moment = subscription.cancel_at or subscription.current_period_end
    else:
        moment = subscription.cancel_at
    return day_text(moment) if moment else ""


def _state(subscription: Subscription) -> str:
    end = end_of(subscription)
    if subscription.has_ended:
        return _("Ended on %(day)s") % {"day": end} if end else _("Ended")
    if subscription.is_ending and end and subscription.status not in Subscription.IN_ARREARS:
        return _("Ends on %(day)s") % {"day": end}
    return str(subscription.get_status_display())


def _tone(subscription: Subscription) -> str:
    if subscription.has_ended:
        return "deleted"
    if subscription.status in Subscription.IN_ARREARS:
        return "critical"
    going = subscription.status in (Status.ACTIVE, Status.TRIALING)
    return "positive" if going and not subscription.is_ending else "warning"


def _sentences(
    request: BillingRequest, subscription: Subscription, changes: list[SubscriptionChange]
) -> Any:
    since = subscription.renewal_processing_since
    if since is not None:
        text = _(
            "The client's bank has been working on a charge since %(day)s."
            " It can take several days."
        )
        yield text % {"day": day_text(since)}
    if subscription.has_ended:
        yield _("Nothing else is charged.") if since else _("Nothing more is charged.")
        return
    charge = subscription.current_period_end
    last = subscription.cancel_at_period_end or (
        charge and subscription.cancel_at and subscription.cancel_at <= charge
    )
    if last:
        yield _("Nothing more is charged.")
    elif charge is not None:
        facts = {"amount": amount_text(request), "day": day_text(charge)}
        yield _("Next charge: %(amount)s on %(day)s.") % facts
    agreed = next((each for each in changes if each.kind == Kind.SET_END), None)
    if agreed is not None:
        yield from _agreed(request, subscription, agreed)
    waiting = next((each for each in changes if each.state == State.ASKING), None)
    if waiting is not None and waiting.kind != Kind.SET_END:
        text = _("“%(change)s” waits for Stripe and is tried again every minute.")
        yield text % {"change": waiting.get_kind_display()}


def _agreed(request: BillingRequest, subscription: Subscription, agreed: SubscriptionChange) -> Any:
    facts = {"end": end_text(request)}
    if agreed.state == State.ASKING and not agreed.error:
        yield _("The agreed end (%(end)s) waits to be confirmed by Stripe.") % facts
    elif agreed.state == State.DONE and subscription.cancel_at is not None:
        yield _("The agreed end (%(end)s) is confirmed by Stripe.") % facts


def _problems(
    request: BillingRequest,
    subscription: Subscription,
    changes: list[SubscriptionChange],
    reachable: bool,
) -> Any:
    if subscription.has_ended:
        return
    if not reachable:
        yield _(
            "Its Stripe account cannot be used from here: Stripe goes on charging, and what it"
            " charges is not seen here until the account is linked again."
        )
    if subscription.status == Status.PAST_DUE:
        yield _(
            "A charge did not come. The client was told how to pay it, and Stripe tries it again."
        )
    if subscription.status == Status.UNPAID:
        yield _("A charge did not come, and Stripe no longer tries. Talk to the client.")
    for each in changes:
        if each.kind == Kind.SET_END and each.state == State.ASKING and each.error:
            facts = {"end": end_text(request), "why": each.error}
            yield (
                _("Stripe refused the agreed end (%(end)s), and is asked again every day: %(why)s")
                % facts
            )
    # Only what was asked for last: who asks again has read the answer.
    if changes and changes[0].state == State.REFUSED:
        facts = {"change": changes[0].get_kind_display(), "why": changes[0].error}
        yield _("Stripe refused “%(change)s”: %(why)s") % facts
