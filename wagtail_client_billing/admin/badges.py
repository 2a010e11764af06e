"""The small words beside a status: facts that are no status of their own.

Each badge is one object, which says of a loaded row whether it is shown and, to the database,
which rows show it. Later facts come as further objects in ``BADGES``.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from django.db.models import F, Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from ..models import BillingRequest, EmailDelivery, Subscription
from .formats import day_text

Status = BillingRequest.Status
State = EmailDelivery.State
GOING_ON = (Subscription.Status.ACTIVE, Subscription.Status.TRIALING)


@dataclass(frozen=True)
class Badge:
    """``kind`` says how it looks: test, info, warning or critical.

    ``shown`` takes a request that ``with_facts()`` loaded, ``where`` gives the same condition for
    a queryset that has them. ``words`` is for a label that depends on the row.
    """

    code: str
    label: Any
    kind: str
    title: Any
    shown: Callable[[Any], bool]
    where: Callable[[], Q]
    words: Callable[[Any], Any] | None = None

    def on(self, request: BillingRequest) -> "ShownBadge":
        """The badge as this row shows it."""
        label = self.words(request) if self.words else self.label
        return ShownBadge(self.code, str(label), self.kind, str(self.title))


@dataclass(frozen=True)
class ShownBadge:
    """A badge beside the status of one request."""

    code: str
    label: str
    kind: str
    title: str


def _mail(code: str, state: str, label: Any, kind: str, title: Any) -> Badge:
    # Once a request is over, nobody waits for its mail any more.
    return Badge(
        code,
        label,
        kind,
        title,
        shown=lambda request: (
            request.status == Status.PENDING
            and request.__dict__.get("link_delivery_state") == state
        ),
        where=lambda: Q(status=Status.PENDING, link_delivery_state=state),
    )


def _fact(request: BillingRequest, name: str) -> Any:
    """What ``with_facts()`` has added to a row."""
    return request.__dict__.get(name)


def _subscription(
    code: str, label: Any, kind: str, title: Any, *, ending: bool, **more: Any
) -> Badge:
    """Of one that goes on: for good, or until a day that is known."""
    return Badge(
        code,
        label,
        kind,
        title,
        shown=lambda request: (
            _fact(request, "subscription_status") in GOING_ON
            and bool(_fact(request, "subscription_ending")) == ending
        ),
        where=lambda: Q(subscription_status__in=GOING_ON, subscription_ending=ending),
        **more,
    )


def _ends(request: Any) -> Any:
    end = _fact(request, "subscription_ends_at")
    return _("Ends on %(day)s") % {"day": day_text(end)} if end else _("Ends soon")


TEST = Badge(
    "test",
    _("TEST"),
    "test",
    _("Test mode: no real money moves."),
    shown=lambda request: not request.livemode,
    where=lambda: Q(livemode=False),
)

# The most important ones first.
BADGES: tuple[Badge, ...] = (
    Badge(
        "review",
        _("Needs review"),
        "critical",
        _("Money came in that is not what was asked for. Somebody has to look at it."),
        shown=lambda request: request.review_since is not None,
        where=lambda: Q(review_since__isnull=False),
    ),
    Badge(
        "duplicate",
        _("Paid twice"),
        "critical",
        _("The client has paid more than once. Refund the second payment, or accept it."),
        shown=lambda request: (
            request.review_since is not None and request.review_reason == "duplicate"
        ),
        where=lambda: Q(review_since__isnull=False, review_reason="duplicate"),
    ),
    Badge(
        "disputed",
        _("Disputed"),
        "critical",
        _("The client's bank has called a payment into question."),
        shown=lambda request: bool(_fact(request, "has_open_dispute")),
        where=lambda: Q(has_open_dispute=True),
    ),
    Badge(
        "past_due",
        _("Past due"),
        "critical",
        _("A charge of the subscription did not come."),
        shown=lambda request: _fact(request, "subscription_status") in Subscription.IN_ARREARS,
        where=lambda: Q(subscription_status__in=Subscription.IN_ARREARS),
    ),
    Badge(
        "held",
        _("Being changed"),
        "warning",
        _("A change is under way. Until it is done, the client cannot pay."),
        shown=lambda request: bool(request.hold),
        where=lambda: ~Q(hold=""),
        words=lambda request: request.get_hold_display(),
    ),
    Badge(
        "late",
        _("Paid late"),
        "warning",
        _("The money came after the request had expired or been deleted."),
        shown=lambda request: request.paid_late,
        where=lambda: Q(paid_late=True),
    ),
    Badge(
        "processing",
        _("Processing"),
        "info",
        _("The client has paid; their bank is working on it."),
        shown=lambda request: request.processing_since is not None,
        where=lambda: Q(processing_since__isnull=False),
    ),
    Badge(
        "closing",
        _("Closing"),
        "info",
        _("The time is up. A payment that had been started may still come in."),
        shown=lambda request: request.is_closing,
        where=lambda: Q(
            status=Status.PENDING, expires_at__lte=timezone.now(), processing_since__isnull=True
        ),
    ),
    Badge(
        "not_confirmed",
        _("Not confirmed"),
        "warning",
        _("Stripe could not be asked whether this was paid."),
        shown=lambda request: request.not_confirmed,
        where=lambda: Q(not_confirmed=True),
    ),
    Badge(
        "refunded",
        _("Refunded"),
        "info",
        _("All that came through Stripe was given back."),
        shown=lambda request: (
            bool(_fact(request, "refunded_sum"))
            and _fact(request, "refunded_sum") >= _fact(request, "received_sum")
        ),
        where=lambda: Q(refunded_sum__gt=0, refunded_sum__gte=F("received_sum")),
    ),
    Badge(
        "partly_refunded",
        _("Partly refunded"),
        "info",
        _("Some of what came through Stripe was given back."),
        shown=lambda request: (
            bool(_fact(request, "refunded_sum"))
            and _fact(request, "refunded_sum") < _fact(request, "received_sum")
        ),
        where=lambda: Q(refunded_sum__gt=0, refunded_sum__lt=F("received_sum")),
    ),
    _subscription(
        "subscribed",
        _("Subscription active"),
        "info",
        _("The client is charged again and again until somebody cancels."),
        ending=False,
    ),
    _subscription(
        "ends",
        _("Subscription ends"),
        "info",
        _("The subscription goes on until this day."),
        ending=True,
        words=_ends,
    ),
    Badge(
        "ended",
        _("Subscription ended"),
        "info",
        _("Nothing more is charged."),
        shown=lambda request: _fact(request, "subscription_status") in Subscription.ENDED,
        where=lambda: Q(subscription_status__in=Subscription.ENDED),
    ),
    _mail(
        "mail_queued",
        State.QUEUED,
        _("E-mail queued"),
        "info",
        _("The e-mail waits to be sent."),
    ),
    _mail(
        "mail_sending",
        State.SENDING,
        _("E-mail sending"),
        "info",
        _("The e-mail is being sent."),
    ),
    _mail(
        "mail_failed",
        State.FAILED,
        _("E-mail failed"),
        "critical",
        _("The e-mail with the payment link was not accepted, or nobody knows whether it was."),
    ),
    _mail(
        "mail_bounced",
        State.BOUNCED,
        _("E-mail bounced"),
        "critical",
        _("The e-mail with the payment link came back."),
    ),
)


def badges_of(request: BillingRequest) -> list[ShownBadge]:
    """All badges of a request that ``with_facts()`` loaded, TEST and the most important first."""
    return [badge.on(request) for badge in (TEST, *BADGES) if badge.shown(request)]


def badge_choices() -> list[tuple[str, Any]]:
    """What a filter offers; whether it is a test is a filter of its own."""
    return [(badge.code, badge.label) for badge in BADGES]


def with_any_badge(codes: Iterable[str]) -> Q:
    """The requests that show one of these badges, for a queryset with facts."""
    chosen = set(codes)
    found = Q()
    for badge in BADGES:
        if badge.code in chosen:
            found |= badge.where()
    return found
