"""What can be done about money that came, given its state and the rights of whoever looks."""

from collections.abc import Collection
from typing import Any

from django.db.models import F, Q

from ..models import BillingRequest, Payment, StripeConnection, Subscription, SubscriptionChange
from ..permissions import may

Change = SubscriptionChange.Kind


def is_refundable(payment: Payment) -> bool:
    """Something of it is left that Stripe could give back; rights are not asked for here."""
    return payment.taken_back_at is None and payment.refundable_minor > 0


def can_refund(user: Any, payment: Payment) -> bool:
    """The same, for whoever may."""
    return is_refundable(payment) and may(user, "refund", payment.request)


def only_refundable(requests: Collection[BillingRequest]) -> dict[int, int]:
    """The payment of each of these requests that can be refunded, where there is just one.

    By primary keys, in one query.
    """
    paid: Any = Payment.objects.from_stripe().filter(request__in=requests, taken_back_at=None)
    left = paid.exclude(intent_id="").with_refunded().filter(refunded_sum__lt=F("amount_minor"))
    found: dict[int, list[int]] = {}
    for request_pk, pk in left.order_by().values_list("request_id", "pk"):
        found.setdefault(request_pk, []).append(pk)
    return {request_pk: pks[0] for request_pk, pks in found.items() if len(pks) == 1}


def doubtful_payments(request: BillingRequest) -> Any:
    """The money that a review is about, the newest first."""
    doubtful = request.payments.filter(Q(mismatch=True) | Q(duplicate=True), taken_back_at=None)
    return doubtful.with_refunded().order_by("-received_at", "-pk")


def can_accept(user: Any, request: BillingRequest) -> bool:
    """There is a review, and money to accept."""
    return can_dismiss(user, request) and doubtful_payments(request).exists()


def can_dismiss(user: Any, request: BillingRequest) -> bool:
    """There is a review that nobody is in the middle of."""
    return request.review_since is not None and not request.hold and may(user, "mark_paid", request)


def is_reachable(subscription: Subscription) -> bool:
    """Whether Stripe can be asked about it at all: its account is linked, and its key works."""
    connection = StripeConnection.objects.of_account(subscription.account_id, subscription.livemode)
    return connection is not None and connection.usable


def can_change(subscription: Subscription, kind: str) -> bool:
    """Whether Stripe can be asked for this change; rights are not asked for here."""
    if subscription.has_ended:
        return False
    waiting = subscription.changes.filter(state=SubscriptionChange.State.ASKING).first()
    if waiting is not None and waiting.kind in (kind, Change.CANCEL_NOW):
        return False
    if kind == Change.KEEP:
        return subscription.is_ending
    return kind == Change.CANCEL_NOW or not subscription.cancel_at_period_end
