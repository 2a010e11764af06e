"""The money of one request as its page shows it: payments, what went back, what is disputed."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from babel.dates import format_interval
from django.utils import timezone
from django.utils.translation import gettext as _

from ..gateway.connect import dashboard_url
from ..links import receipt_link_at, site_address
from ..mail.reasons import dispute_words, refund_words
from ..models import BillingRequest, Dispute, Payment, Refund, StripeConnection
from ..permissions import may
from .formats import babel_locale, language, moment_text, money_text
from .money_actions import is_refundable
from .urls import admin_url

TONES = {
    Refund.State.SUCCEEDED: "positive",
    Refund.State.FAILED: "critical",
    Refund.State.CANCELED: "critical",
    Refund.State.REFUSED: "critical",
}


@dataclass(frozen=True)
class RefundRow:
    """A refund: how much, how far it is (``tone`` colours it), why, and what went wrong."""

    amount: str
    state: str
    tone: str
    at: datetime
    by: str
    reason: str
    error: str
    stripe_id: str


@dataclass(frozen=True)
class DisputeRow:
    """A dispute; ``loud`` says that somebody has to answer it."""

    amount: str
    state: str
    tone: str
    reason: str
    opened: datetime
    due: str
    url: str
    stripe_id: str
    loud: bool

    @property
    def call(self) -> str:
        """What has to be done about it."""
        text = _("Answer the dispute of %(amount)s at Stripe by %(due)s, or the money is lost.")
        if not self.due:
            text = _("Answer the dispute of %(amount)s at Stripe, or the money is lost.")
        return text % {"amount": self.amount, "due": self.due}


@dataclass(frozen=True)
class PaymentRow:
    """A payment with all that became of it; empty texts and addresses are left out."""

    payment: Payment
    amount: str
    what_for: str
    refunded: str
    receipt_url: str
    refund_url: str
    url: str
    refunds: list[RefundRow] = field(default_factory=list)
    disputes: list[DisputeRow] = field(default_factory=list)


class Receipts:
    """The receipts of a request's payments; looks up its site's address once."""

    def __init__(self, request: BillingRequest) -> None:
        self._token = request.token
        self._address = site_address(request.site)

    def url(self, payment: Payment) -> str:
        """The receipt of a payment; money that does not count has none."""
        if payment.mismatch or payment.taken_back_at is not None:
            return ""
        return receipt_link_at(self._address, self._token, payment.pk)


def payment_rows(user: Any, request: BillingRequest) -> list[PaymentRow]:
    """The payments of a request, the newest first."""
    # A model's own order does not hold in queries that add up.
    payments = request.payments.with_refunded().order_by("-received_at", "-pk")
    payments = payments.prefetch_related("refunds__created_by", "disputes")
    connection = StripeConnection.objects.of_account(request.account_id, request.livemode)
    may_refund = may(user, "refund", request)
    receipts = Receipts(request)
    return [_row(request, payment, connection, receipts, may_refund) for payment in payments]


def _row(
    request: BillingRequest,
    payment: Payment,
    connection: StripeConnection | None,
    receipts: Receipts,
    may_refund: bool,
) -> PaymentRow:
    refunded = payment.refunded_minor
    url = ""
    if payment.intent_id and connection is not None:
        url = dashboard_url(connection, f"payments/{payment.intent_id}")
    refundable = may_refund and is_refundable(payment)
    return PaymentRow(
        payment=payment,
        amount=money_text(payment.amount_minor, payment.currency),
        what_for=what_for(request, payment),
        refunded=money_text(refunded, payment.currency) if refunded else "",
        receipt_url=receipts.url(payment),
        refund_url=admin_url("refund", request.pk, payment.pk) if refundable else "",
        url=url,
        refunds=[_refund(each) for each in payment.refunds.all()],
        disputes=[_dispute(each, url) for each in payment.disputes.all()],
    )


def what_for(request: BillingRequest, payment: Payment) -> str:
    """What a payment is for: "Renewal, 1–31 March"; empty where there is only one thing."""
    if payment.kind == Payment.Kind.FIRST and not request.is_recurring:
        return ""
    kind = str(payment.get_kind_display())
    if payment.period_start is None or payment.period_end is None:
        return kind
    days = (timezone.localdate(payment.period_start), timezone.localdate(payment.period_end))
    period = format_interval(*days, "yMMMd", locale=babel_locale(language()))
    return _("%(kind)s, %(period)s") % {"kind": kind, "period": period}


def _refund(refund: Refund) -> RefundRow:
    by = refund.created_by
    return RefundRow(
        amount=money_text(refund.amount_minor, refund.currency),
        state=str(refund.get_state_display()),
        tone=TONES.get(Refund.State(refund.state), "warning"),
        at=refund.created_at,
        by=(by.get_full_name() or by.get_username()) if by else "",
        reason=refund.reason,
        error=refund_words(refund.error),
        stripe_id=refund.stripe_id or "",
    )


def _dispute(dispute: Dispute, url: str) -> DisputeRow:
    loud = dispute.state in Dispute.NEEDS_ANSWER
    tone = "critical" if loud or dispute.state == Dispute.State.LOST else "warning"
    if dispute.state == Dispute.State.WON:
        tone = "positive"
    return DisputeRow(
        amount=money_text(dispute.amount_minor, dispute.currency),
        state=dispute.state_words,
        tone=tone,
        # Stripe's own code: subscription_canceled, product_not_received.
        reason=dispute_words(dispute.reason),
        opened=dispute.created_at,
        due=moment_text(dispute.due_by) if dispute.due_by else "",
        url=url,
        stripe_id=dispute.stripe_id,
        loud=loud,
    )
