"""What one mail tells beside the bill: a payment, a refund, a subscription, a dispute.

Everything is read when the mail is written, in the language that is active then. What the mail
was queued with names rows of its request; a row of another request is never found.
"""

from dataclasses import dataclass
from typing import Any

from ..models import BillingRequest, Dispute, EmailDelivery, Refund, Subscription
from .amounts import amount_text
from .bill import zone_of
from .moments import Moment, moment
from .reasons import dispute_words, refund_words
from .receipts import Receipt, receipt_of
from .standing import Standing, standing_of, subscription_of
from .told import changes_since_told


@dataclass(frozen=True)
class RefundNews:
    """A refund; ``why`` it failed, in words, and whether Stripe had begun to carry it out.

    ``waits_for_client`` says that Stripe has written to the client and needs an answer.
    """

    amount: str
    why: str
    began: bool
    waits_for_client: bool


@dataclass(frozen=True)
class DisputeNews:
    """A dispute. ``due`` is until when it has to be answered; ``outcome`` Stripe's state of one
    that is over, else empty; an ``inquiry`` has taken no money yet."""

    amount: str
    why: str
    due: Moment | None
    outcome: str
    inquiry: bool


@dataclass(frozen=True)
class ChangeNews:
    """One value that was changed: as the reader knows it, and as it is; either may be empty."""

    of_amount: bool
    before: str
    now: str


@dataclass(frozen=True)
class News:
    """The facts of one mail. ``amount`` is that of the money that it is about."""

    amount: str
    reason: str
    needs_client: bool
    receipt: Receipt | None
    standing: Standing | None
    refund: RefundNews | None
    dispute: DisputeNews | None
    changes: tuple[ChangeNews, ...]


def news_of(delivery: EmailDelivery, request: BillingRequest) -> News:
    """Reads the facts of a delivery; writes nothing."""
    facts = delivery.facts
    refund = _refund(request, facts.get("refund"))
    dispute = _dispute(request, facts.get("dispute"))
    receipt = receipt_of(request, facts.get("payment"))
    subscription = _subscription(request, facts.get("subscription"))
    about: Any = refund or dispute or receipt
    return News(
        amount=about.amount if about else amount_text(request.amount_minor, request.currency),
        reason=facts.get("reason", ""),
        needs_client=bool(facts.get("needs_client")),
        receipt=receipt,
        standing=standing_of(subscription) if subscription else None,
        refund=refund,
        dispute=dispute,
        changes=_changes(delivery, request),
    )


def _changes(delivery: EmailDelivery, request: BillingRequest) -> tuple[ChangeNews, ...]:
    if delivery.kind != EmailDelivery.Kind.CHANGED:
        return ()

    def words(name: str, value: Any) -> str:
        return amount_text(value, request.currency) if name == "amount_minor" else str(value)

    return tuple(
        ChangeNews(
            change.name == "amount_minor",
            words(change.name, change.before),
            words(change.name, change.now),
        )
        for change in changes_since_told(delivery)
    )


def _subscription(request: BillingRequest, pk: Any) -> Subscription | None:
    """The one that the mail is about, or else the one that the client has."""
    if not request.is_recurring:
        return None
    return request.subscriptions.filter(pk=pk).first() or subscription_of(request)


def _refund(request: BillingRequest, pk: Any) -> RefundNews | None:
    refund = Refund.objects.filter(payment__request=request, pk=pk).first()
    if refund is None:
        return None
    return RefundNews(
        amount=amount_text(refund.amount_minor, refund.currency),
        why=refund_words(refund.error),
        began=refund.stripe_id is not None,
        waits_for_client=refund.state == Refund.State.REQUIRES_ACTION,
    )


def _dispute(request: BillingRequest, pk: Any) -> DisputeNews | None:
    dispute = Dispute.objects.filter(payment__request=request, pk=pk).first()
    if dispute is None:
        return None
    zone = zone_of(request)
    to_answer = dispute.due_by if dispute.state in Dispute.NEEDS_ANSWER else None
    return DisputeNews(
        amount=amount_text(dispute.amount_minor, dispute.currency),
        why=dispute_words(dispute.reason),
        due=moment(to_answer, zone) if to_answer else None,
        outcome=dispute.state if dispute.is_closed else "",
        inquiry=dispute.state.startswith("warning_"),
    )
