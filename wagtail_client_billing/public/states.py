"""Which page a link shows: a pure choice from what is stored."""

from enum import StrEnum

from django.utils.translation import gettext_lazy as _

from ..lifecycle import is_past_its_end
from ..mail.receipts import all_went_back
from ..mail.standing import subscription_of
from ..models import BillingRequest, StripeConnection, Subscription


class PageState(StrEnum):
    """The pages that a link can show; each value names its template."""

    PAYABLE = "payable"
    PAID = "paid"
    REFUNDED = "refunded"
    PAST_DUE = "past_due"
    ENDED = "ended"
    PROCESSING = "processing"
    CLOSING = "closing"
    CHANGING = "changing"
    EXPIRED = "expired"
    DELETED = "deleted"
    REVIEW = "review"
    NOT_READY = "not_ready"
    # Not facts of the bill, but of this one visit.
    UNCONFIRMED = "unconfirmed"
    SLOW_DOWN = "slow_down"
    UNKNOWN = "unknown"
    # Beside the page of the bill.
    RECEIPT = "receipt"


HEADLINES = {
    PageState.PAID: _("Thank you, this bill is paid"),
    PageState.REFUNDED: _("Your payment was refunded"),
    PageState.PAST_DUE: _("A payment did not go through"),
    PageState.ENDED: _("This subscription has ended"),
    PageState.PROCESSING: _("Your payment is on its way"),
    PageState.CLOSING: _("This link is closing"),
    PageState.CHANGING: _("This bill is being changed"),
    PageState.EXPIRED: _("This link has expired"),
    PageState.DELETED: _("This bill was cancelled"),
    PageState.REVIEW: _("We have your payment"),
    PageState.NOT_READY: _("This bill cannot be paid at the moment"),
    PageState.UNCONFIRMED: _("We do not see your payment yet"),
    PageState.SLOW_DOWN: _("One moment, please"),
    PageState.UNKNOWN: _("There is no bill at this address"),
}


def state_of(request: BillingRequest) -> PageState:
    """What the client should be told, the news about their money before everything else."""
    status = request.status
    if status == BillingRequest.Status.PAID:
        return _paid_state(request)
    if request.review_since:
        return PageState.REVIEW
    if request.processing_since:
        return PageState.PROCESSING
    if status == BillingRequest.Status.DELETED:
        return PageState.DELETED
    if status == BillingRequest.Status.EXPIRED:
        return PageState.EXPIRED
    if is_past_its_end(request) and not request.live_attempt:
        return PageState.EXPIRED
    if request.hold:
        return PageState.CHANGING
    if request.is_closing:
        return PageState.CLOSING
    connection = StripeConnection.objects.of_account(request.account_id, request.livemode)
    if connection is None or not connection.usable:
        return PageState.NOT_READY
    return PageState.PAYABLE


def _paid_state(request: BillingRequest) -> PageState:
    subscription = subscription_of(request) if request.is_recurring else None
    if subscription is None:
        return PageState.REFUNDED if all_went_back(request) else PageState.PAID
    if subscription.has_ended:
        return PageState.ENDED
    return PageState.PAST_DUE if subscription.status in Subscription.IN_ARREARS else PageState.PAID
