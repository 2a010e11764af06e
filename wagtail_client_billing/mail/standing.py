"""How a subscription stands, as its client is told."""

from dataclasses import dataclass

from ..models import BillingRequest, LogEntry, StripeConnection, Subscription
from .bill import zone_of
from .moments import Moment, day

Status = Subscription.Status

# Of the others Stripe charges nothing before somebody does something.
CHARGED = frozenset({Status.ACTIVE, Status.TRIALING, Status.PAST_DUE})
PORTAL_RIGHT = "rak_customer_portal_write"


@dataclass(frozen=True)
class Standing:
    """What a client has to know of a subscription. Days only; what is unknown or over is None.

    ``next_charge`` is None where no further charge will follow. ``failed`` is when money that is
    still owed did not come, and ``needs_client`` that the client's bank wants to hear from them.
    ``under_way`` says that a bank is working on a charge, which may come even after the end.
    ``can_manage`` says that they can change their card, or cancel, by themselves.
    """

    started: bool
    over: bool
    next_charge: Moment | None
    ends: Moment | None
    ended: Moment | None
    in_arrears: bool
    failed: Moment | None
    needs_client: bool
    under_way: bool
    can_manage: bool


def subscription_of(request: BillingRequest) -> Subscription | None:
    """The subscription that a request's client has, or the last one that they had."""
    newest = request.subscriptions.order_by("-pk")
    return newest.exclude(status__in=Subscription.ENDED).first() or newest.first()


def standing_of(subscription: Subscription) -> Standing:
    """Reads how it stands now; asks Stripe nothing."""
    request = subscription.request
    zone = zone_of(request)
    over = subscription.has_ended
    arrears = subscription.status in Subscription.IN_ARREARS
    failure = _failure(subscription) if arrears else None
    due = subscription.current_period_end
    ends = subscription.cancel_at or (due if subscription.cancel_at_period_end else None)
    charged_again = subscription.status in CHARGED and due and (ends is None or ends > due)
    ended_at = subscription.ended_at if over else None
    return Standing(
        started=request.payments.filter(subscription=subscription).exists(),
        over=over,
        next_charge=day(due, zone) if due and charged_again else None,
        ends=day(ends, zone) if ends and not over else None,
        ended=day(ended_at, zone) if ended_at else None,
        in_arrears=arrears,
        failed=day(failure.at, zone) if failure else None,
        needs_client=bool(failure and failure.evidence.get("needs_client")),
        under_way=subscription.renewal_processing_since is not None,
        can_manage=can_manage(subscription),
    )


def can_manage(subscription: Subscription) -> bool:
    """Whether Stripe's portal can be opened for its client."""
    if subscription.has_ended or not subscription.customer_id:
        return False
    connection = StripeConnection.objects.of_account(subscription.account_id, subscription.livemode)
    if connection is None or not connection.usable:
        return False
    return PORTAL_RIGHT not in connection.missing_rights


def _failure(subscription: Subscription) -> LogEntry | None:
    """The last that was told of an invoice which was not paid."""
    return (
        subscription.request.log_entries.filter(
            action=LogEntry.Action.RENEWAL_FAILED,
            evidence__subscription=subscription.stripe_id,
        )
        .order_by("-pk")
        .first()
    )
