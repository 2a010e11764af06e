"""The reasons why a billing request needs somebody."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Exists, Max, Min, OuterRef, Q, Subquery
from django.utils.translation import gettext as _

from ..models import (
    BillingRequest,
    Dispute,
    EmailDelivery,
    LogEntry,
    Refund,
    Subscription,
    SubscriptionChange,
)
from .formats import moment_text

RECENT = timedelta(days=7)
Status = BillingRequest.Status


def _nothing(request: Any) -> str:
    return ""


@dataclass(frozen=True)
class Kind:
    """A reason why a request needs somebody; ``since`` names the moment that it began.

    ``query`` filters Invoices to these requests, where a filter can. ``by_fact`` says that the
    condition asks for what ``with_facts()`` adds, which is dear to ask of all requests.
    ``annotations`` are for the few rows that are shown, and ``fact`` is what is to be known of one
    of them instead of its amount.
    """

    name: str
    title: str
    condition: Q
    since: str
    query: dict[str, str]
    by_fact: bool = False
    soonest_first: bool = False
    annotations: dict[str, Any] = field(default_factory=dict)
    fact: Callable[[Any], str] = _nothing

    @property
    def order(self) -> str:
        """What the requests are listed by."""
        return self.since if self.soonest_first else f"-{self.since}"


def kinds(now: datetime) -> list[Kind]:
    """The reasons, the most urgent one first. A request may have several."""
    quiet = Q(review_since=None)
    recently = now - RECENT
    return [
        _disputed(),
        Kind(
            "review",
            _("Needs review"),
            Q(review_since__isnull=False),
            "review_since",
            {"badge": "review"},
        ),
        _renewal_failed(),
        _end_refused(),
        _refund_failed(recently),
        Kind(
            "mail_failed",
            _("The e-mail with the payment link was not accepted"),
            quiet & Q(status=Status.PENDING, link_delivery_state=EmailDelivery.State.FAILED),
            "created_at",
            {"badge": "mail_failed"},
            by_fact=True,
        ),
        Kind(
            "mail_bounced",
            _("The e-mail with the payment link came back"),
            quiet & Q(status=Status.PENDING, link_delivery_state=EmailDelivery.State.BOUNCED),
            "created_at",
            {"badge": "mail_bounced"},
            by_fact=True,
        ),
        Kind(
            "late",
            _("Paid late in the last week"),
            quiet & Q(status=Status.PAID, paid_late=True, paid_at__gte=recently),
            "paid_at",
            {"badge": "late"},
        ),
        Kind(
            "expired",
            _("Expired in the last week"),
            quiet & Q(status=Status.EXPIRED, expires_at__gte=recently, expires_at__lte=now),
            "expires_at",
            {"status": Status.EXPIRED.value},
        ),
    ]


def _disputed() -> Kind:
    waiting = Dispute.objects.filter(state__in=Dispute.NEEDS_ANSWER)
    own = waiting.filter(payment__request=OuterRef("pk")).order_by().values("payment__request")

    def answer_by(request: Any) -> str:
        due = request.dispute_due
        return _("answer by %(due)s") % {"due": moment_text(due)} if due else ""

    return Kind(
        "disputed",
        _("A dispute has to be answered"),
        Q(pk__in=waiting.values("payment__request")),
        "dispute_due",
        {"badge": "disputed"},
        soonest_first=True,
        annotations={"dispute_due": Subquery(own.annotate(due=Min("due_by")).values("due"))},
        fact=answer_by,
    )


def _renewal_failed() -> Kind:
    in_arrears = Subscription.objects.filter(status__in=Subscription.IN_ARREARS)
    told = LogEntry.objects.filter(
        request=OuterRef("pk"), action=LogEntry.Action.RENEWAL_FAILED
    ).order_by("-pk")
    return Kind(
        "past_due",
        _("A charge of a subscription did not come"),
        Q(pk__in=in_arrears.values("request")),
        "renewal_failed_at",
        {"badge": "past_due"},
        annotations={"renewal_failed_at": Subquery(told.values("at")[:1])},
    )


def _end_refused() -> Kind:
    refused = SubscriptionChange.objects.filter(
        kind=SubscriptionChange.Kind.SET_END, state=SubscriptionChange.State.ASKING
    ).exclude(error="")
    of_request = refused.filter(subscription__request=OuterRef("pk")).order_by()
    own = of_request.values("subscription__request")
    return Kind(
        "end_refused",
        _("Stripe refused the agreed end of a subscription"),
        Q(pk__in=refused.values("subscription__request")),
        "end_refused_at",
        {},
        annotations={"end_refused_at": Subquery(own.annotate(last=Max("asked_at")).values("last"))},
    )


def _refund_failed(recently: datetime) -> Kind:
    """Of the last week, and nothing of that payment was given back since."""
    since = Refund.objects.filter(
        payment=OuterRef("payment"), pk__gt=OuterRef("pk"), state__in=Refund.COUNTS
    )
    failed = Refund.objects.filter(
        ~Exists(since),
        state__in=(Refund.State.FAILED, Refund.State.REFUSED),
        created_at__gte=recently,
    )
    own = failed.filter(payment__request=OuterRef("pk")).order_by().values("payment__request")
    return Kind(
        "refund_failed",
        _("A refund failed in the last week"),
        Q(pk__in=failed.values("payment__request")),
        "refund_failed_at",
        {},
        annotations={
            "refund_failed_at": Subquery(own.annotate(last=Max("created_at")).values("last"))
        },
    )
