"""Whether a mail would tell something untrue by the time that it is sent."""

from ..models import (
    AgencySettings,
    BillingRequest,
    EmailDelivery,
    MessageSettings,
    Payment,
    Refund,
    Subscription,
)
from ..permissions import works_on
from .kinds import ALWAYS_ON, TO_AGENCY
from .notices import broken_connection, failing_server
from .told import changes_since_told, is_superseded, was_told

Kind = EmailDelivery.Kind
Status = BillingRequest.Status

FAILED = frozenset({Refund.State.FAILED, Refund.State.CANCELED, Refund.State.REFUSED})
RENEWAL_NOT_PAID = frozenset({Kind.RENEWAL_FAILED, Kind.AGENCY_RENEWAL})


def is_obsolete(delivery: EmailDelivery) -> bool:
    """Whether what the mail would say has changed since it was queued.

    What cannot change any more, such as the end of a subscription, is always told: unless the
    agency has switched such messages off.
    """
    if delivery.kind not in ALWAYS_ON and not MessageSettings.is_on(delivery.kind):
        return True
    request = delivery.request
    if request is None:
        return _notice_is_obsolete(delivery)
    if delivery.kind in TO_AGENCY and _may_not_know(delivery, request):
        return True
    match delivery.kind:
        case Kind.PAYMENT_LINK:
            return not _is_payable(delivery, request) or is_superseded(delivery, request)
        case Kind.CHANGED:
            if not _is_payable(delivery, request) or is_superseded(delivery, request):
                return True
            return was_told(delivery) and not changes_since_told(delivery)
        case Kind.REMINDER:
            return (
                not _is_payable(delivery, request)
                or request.review_since is not None
                or is_superseded(delivery, request)
                or delivery.facts.get("expires_at") != request.expires_at.isoformat()
            )
        case Kind.EXPIRED:
            return request.status != Status.EXPIRED or _is_settled_elsewhere(delivery, request)
        case Kind.PAYMENT_FAILED:
            unpaid = request.status in (Status.PENDING, Status.EXPIRED)
            return not unpaid or _is_settled_elsewhere(delivery, request)
        case Kind.AGENCY_FAILED:
            unpaid = request.status in (Status.PENDING, Status.EXPIRED)
            return not unpaid or bool(request.processing_since)
        case Kind.RECEIPT | Kind.RENEWAL_RECEIPT:
            return not _counts(delivery, request)
        case kind if kind in RENEWAL_NOT_PAID:
            return not _is_owed(delivery, request)
        case Kind.REFUNDED:
            refunds = Refund.objects.filter(pk=delivery.facts.get("refund"))
            return not refunds.filter(state__in=Refund.COUNTS).exists()
        case Kind.AGENCY_REFUND:
            refunds = Refund.objects.filter(pk=delivery.facts.get("refund"))
            return refunds.exclude(state__in=FAILED).exists()
        case Kind.AGENCY_REVIEW:
            return request.review_since is None
        case Kind.AGENCY_CANCELED:
            subscription = _subscription(delivery, request)
            return subscription is not None and not (
                subscription.has_ended or subscription.is_ending
            )
        case _:
            return False


def _is_payable(delivery: EmailDelivery, request: BillingRequest) -> bool:
    """Whether its reader can do what it asks for."""
    payable = request.status == Status.PENDING and not request.is_over
    return payable and not _is_settled_elsewhere(delivery, request)


def _may_not_know(delivery: EmailDelivery, request: BillingRequest) -> bool:
    """Whether its reader has lost the right to hear of this request since it was queued.

    The agency's own address always hears of it; others are those who have sent the request.
    """
    agency = AgencySettings.current()
    if agency is not None and delivery.to.lower() == agency.notify.lower():
        return False
    if "reader" not in delivery.facts:
        # The agency has changed its address meanwhile; the news stays its own.
        return False
    sender = request.created_by
    if sender is None or sender.pk != delivery.facts["reader"]:
        # Of a user who was deleted.
        return True
    return not sender.is_active or not works_on(sender, request)


def _notice_is_obsolete(delivery: EmailDelivery) -> bool:
    if delivery.kind == Kind.AGENCY_CONNECTION:
        return broken_connection(delivery) is None
    if delivery.kind == Kind.AGENCY_MAIL:
        return failing_server() is None
    return False


def _is_settled_elsewhere(delivery: EmailDelivery, request: BillingRequest) -> bool:
    """Whether a payment is under way, or the bill was addressed to somebody else meanwhile.

    To them alone its link belongs.
    """
    return bool(request.processing_since) or (delivery.role, delivery.to) not in request.recipients


def _counts(delivery: EmailDelivery, request: BillingRequest) -> bool:
    """Whether the money of a receipt was neither taken back nor called into question."""
    payment = delivery.facts.get("payment")
    counted = request.payments.counted()
    return payment is None or counted.filter(pk=payment).exists()


def _is_owed(delivery: EmailDelivery, request: BillingRequest) -> bool:
    """Whether the invoice that was not paid still waits for its money."""
    subscription = _subscription(delivery, request)
    # Our copy may say that all is well while it is older than the news.
    if subscription is None or subscription.has_ended:
        return False
    paid = Payment.objects.filter(
        account_id=subscription.account_id, source=delivery.facts.get("invoice")
    )
    return not paid.exists()


def _subscription(delivery: EmailDelivery, request: BillingRequest) -> Subscription | None:
    pk = delivery.facts.get("subscription")
    return request.subscriptions.filter(pk=pk).first()
