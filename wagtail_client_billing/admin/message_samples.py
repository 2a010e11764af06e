"""What a message is previewed with: real rows that the user may see, and nothing made up."""

from dataclasses import dataclass
from typing import Any

from django.db.models import QuerySet

from ..mail.kinds import NOTICES
from ..models import (
    BillingRequest,
    Dispute,
    EmailDelivery,
    LogEntry,
    MailServer,
    Payment,
    Refund,
    StripeConnection,
    Subscription,
)
from ..permissions import requests_worked_on_by

Kind = EmailDelivery.Kind
Status = BillingRequest.Status

OF_PAYMENTS = frozenset({Kind.RECEIPT, Kind.RENEWAL_RECEIPT, Kind.AGENCY_PAID, Kind.AGENCY_LATE})
OF_SUBSCRIPTIONS = frozenset(
    {Kind.RENEWAL_FAILED, Kind.CANCELED, Kind.AGENCY_RENEWAL, Kind.AGENCY_CANCELED}
)
OF_REFUNDS = frozenset({Kind.REFUNDED, Kind.AGENCY_REFUND})
# In which status a request comes closest to what the message says.
FITTING: dict[str, str] = {
    Kind.PAYMENT_LINK: Status.PENDING,
    Kind.REMINDER: Status.PENDING,
    Kind.CHANGED: Status.PENDING,
    Kind.PAYMENT_FAILED: Status.PENDING,
    Kind.AGENCY_FAILED: Status.PENDING,
    Kind.EXPIRED: Status.EXPIRED,
}


@dataclass(frozen=True)
class Sample:
    """A message that is not stored and goes to nobody; ``sent`` says that one like it was queued."""

    delivery: EmailDelivery
    sent: bool


def sample_of(kind: str, language: str, user: Any) -> Sample | None:
    """The newest message of the kind that the user may see, or what comes closest to one.

    None where nothing has happened yet that it could be about.
    """
    if kind in NOTICES:
        return _notice(kind, language)
    reachable = requests_worked_on_by(user)
    newest = EmailDelivery.objects.filter(kind=kind, request__in=reachable.values("pk"))
    known = newest.select_related("request__site").order_by("-pk").first()
    if known is not None and known.request is not None:
        facts = {**known.facts, **(_edit(known.request) if kind == Kind.CHANGED else {})}
        return Sample(_delivery(kind, language, known.request, facts), sent=True)
    nearest = _nearest(kind, reachable)
    if nearest is None:
        return None
    return Sample(_delivery(kind, language, *nearest), sent=False)


def _delivery(
    kind: str, language: str, request: BillingRequest | None, facts: dict[str, Any]
) -> EmailDelivery:
    return EmailDelivery(
        kind=kind,
        language=language,
        request=request,
        facts=facts,
        to=request.email if request else "",
        message_id="<preview@localhost>",
    )


def _nearest(
    kind: str, reachable: QuerySet[BillingRequest]
) -> tuple[BillingRequest, dict[str, Any]] | None:
    mine = reachable.values("pk")
    if kind in OF_PAYMENTS:
        payments = Payment.objects.counted().filter(request__in=mine)
        if kind == Kind.RENEWAL_RECEIPT:
            payments = payments.exclude(subscription=None)
        payment = payments.select_related("request__site").order_by("-pk").first()
        return (payment.request, {"payment": payment.pk}) if payment else None
    if kind in OF_SUBSCRIPTIONS:
        subscriptions = Subscription.objects.filter(request__in=mine)
        found = subscriptions.select_related("request__site").order_by("-pk").first()
        return (found.request, {"subscription": found.pk}) if found else None
    if kind in OF_REFUNDS:
        refunds = Refund.objects.filter(payment__request__in=mine)
        refund = refunds.select_related("payment__request__site").order_by("-pk").first()
        return (refund.payment.request, {"refund": refund.pk}) if refund else None
    if kind == Kind.AGENCY_DISPUTE:
        disputes = Dispute.objects.filter(payment__request__in=mine)
        dispute = disputes.select_related("payment__request__site").order_by("-pk").first()
        return (dispute.payment.request, {"dispute": dispute.pk}) if dispute else None
    requests = reachable.select_related("site").order_by("-pk")
    fitting = requests.filter(status=FITTING[kind]).first() if kind in FITTING else None
    request = fitting or requests.first()
    if request is None:
        return None
    return request, _edit(request) if kind == Kind.CHANGED else {}


def _edit(request: BillingRequest) -> dict[str, Any]:
    edits = request.log_entries.filter(action=LogEntry.Action.EDITED).order_by("-pk")
    edit = edits.first()
    return {"edit": edit.pk} if edit else {}


def _notice(kind: str, language: str) -> Sample | None:
    sent = EmailDelivery.objects.filter(kind=kind).exists()
    if kind == Kind.AGENCY_MAIL:
        server = MailServer.current()
        if server is None or not server.host:
            return None
        return Sample(_delivery(kind, language, None, {}), sent)
    active = StripeConnection.objects.active()
    connection = active.exclude(broken_at=None).first() or active.first()
    if connection is None:
        return None
    return Sample(_delivery(kind, language, None, {"connection": connection.pk}), sent)
