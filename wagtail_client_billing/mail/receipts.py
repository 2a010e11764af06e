"""What a client has on paper of a payment: that it came, what for, and what went back of it."""

from dataclasses import dataclass

from django.db.models import Q, Sum
from django.db.models.functions import Coalesce
from django.utils.translation import gettext as _

from ..links import receipt_link, receipt_link_at, site_address
from ..models import BillingRequest, Payment, Refund
from .amounts import amount_text
from .bill import zone_of
from .means import paid_with
from .moments import Moment, day, moment

# What Stripe has confirmed, so that a client may count on it.
TOLD = frozenset({Refund.State.PENDING, Refund.State.REQUIRES_ACTION, Refund.State.SUCCEEDED})


@dataclass(frozen=True)
class GivenBack:
    """One refund, as its client hears of it."""

    amount: str
    day: Moment
    waits_for_client: bool


@dataclass(frozen=True)
class Receipt:
    """One payment. Plain text only, as ``Bill`` is. ``left`` is empty while nothing went back."""

    pk: int
    amount: str
    received: Moment
    day: Moment
    paid_with: str
    by_hand: bool
    period_start: Moment | None
    period_end: Moment | None
    refunds: tuple[GivenBack, ...]
    left: str
    nothing_left: bool
    link: str


def receipts_of(request: BillingRequest) -> list[Receipt]:
    """The receipts of all money that counts, the newest first."""
    payments = request.payments.counted().order_by("-received_at", "-pk")
    zone, address = zone_of(request), site_address(request.site)
    rows = payments.prefetch_related("refunds")
    return [_receipt(each, zone, receipt_link_at(address, request.token, each.pk)) for each in rows]


def receipt_of(request: BillingRequest, payment_pk: int | None) -> Receipt | None:
    """The receipt of one payment of this request, if it counts."""
    if payment_pk is None:
        return None
    payment = request.payments.counted().filter(pk=payment_pk).first()
    if payment is None:
        return None
    return _receipt(payment, zone_of(request), receipt_link(request, payment))


def all_went_back(request: BillingRequest) -> bool:
    """Whether the client has back, or soon will have, every payment that counts."""
    told = Sum("refunds__amount_minor", filter=Q(refunds__state__in=TOLD))
    paid = list(request.payments.counted().order_by().annotate(back=Coalesce(told, 0)))
    return bool(paid) and all(each.back >= each.amount_minor for each in paid)


def _receipt(payment: Payment, zone: str, link: str) -> Receipt:
    by_hand = payment.kind == Payment.Kind.BY_HAND
    told = [each for each in payment.refunds.all() if each.state in TOLD]
    # Of two refunds in other currencies than the payment's nobody knows a sum.
    back = sum(each.amount_minor for each in told if each.currency == payment.currency)
    start, end = payment.period_start, payment.period_end
    return Receipt(
        pk=payment.pk,
        amount=amount_text(payment.amount_minor, payment.currency),
        day=day(payment.received_at, "" if by_hand else zone),
        # Of money that came by hand staff have said a day alone, in the project's time zone.
        received=day(payment.received_at) if by_hand else moment(payment.received_at, zone),
        paid_with=_("by hand, not through Stripe") if by_hand else paid_with(payment),
        by_hand=by_hand,
        period_start=day(start, zone) if start else None,
        period_end=day(end, zone) if end else None,
        refunds=tuple(given_back(each, zone) for each in told),
        left=amount_text(payment.amount_minor - back, payment.currency) if told else "",
        nothing_left=bool(told) and back >= payment.amount_minor,
        link=link,
    )


def given_back(refund: Refund, zone: str) -> GivenBack:
    """A refund in words."""
    return GivenBack(
        amount=amount_text(refund.amount_minor, refund.currency),
        day=day(refund.created_at, zone),
        waits_for_client=refund.state == Refund.State.REQUIRES_ACTION,
    )
