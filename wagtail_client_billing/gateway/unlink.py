"""Unlinking an account: everything is asked once more, closed, and the key wiped.

What cannot be done while somebody waits is done by the sweep, with the key that is kept until
then; a crash at any point leaves what the sweep goes on with.
"""

import time
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext as _

from .. import lifecycle
from ..errors import NotConnected, StripeRefused, StripeUnavailable
from ..models import (
    BillingRequest,
    CheckoutAttempt,
    LogEntry,
    Refund,
    StripeConnection,
    Subscription,
    SubscriptionChange,
    WebhookEndpoint,
)
from ..rounds import Round
from ..sealing import SecretUnreadable
from ..transactions import outside_transaction
from .attempts import close_attempt
from .client import Api, api_for
from .copies import refuse_copy
from .endpoints import count_as_deleted, endpoint_of, retire_due
from .platform import give_back
from .reconcile import reconcile
from .refunds import RefundOutcome, finish_refund
from .subscription_changes import finish_change

State = CheckoutAttempt.State
EndpointState = WebhookEndpoint.State
OPEN = (State.CREATING, State.OPEN)

# How long somebody waits for the answer; a step that has begun may take another 25 s.
SECONDS = 20
# Stripe's outages are shorter. After that the key goes, and sessions end by themselves.
GIVE_UP_AFTER = timedelta(hours=1)


@dataclass
class UnlinkReport:
    """What unlinking does: pending requests that cannot be paid, sessions closed, payments still
    processing at Stripe, an endpoint that only a person can remove; numbers of requests whose
    session is still to be closed, and of those whose session can never be. ``asking`` are numbers
    of requests of which Stripe has not answered for a refund or a change of a subscription, and
    ``not_done`` of those for which it is not asked any more.

    ``finished`` is False while the sweep has something left to do.
    """

    pending: int = 0
    closed: int = 0
    processing: int = 0
    by_hand: str = ""
    waiting: list[str] = field(default_factory=list)
    not_closed: list[str] = field(default_factory=list)
    asking: list[str] = field(default_factory=list)
    not_done: list[str] = field(default_factory=list)
    finished: bool = False
    # Subscriptions that Stripe goes on charging without our hearing of it.
    subscriptions: int = 0
    # What is left to do at Stripe, as a sentence, where our access could not be ended.
    still_allowed: str = ""


def unlink_preview(connection: StripeConnection) -> UnlinkReport:
    """The same in numbers, before anything is done and without asking Stripe."""
    report = UnlinkReport(closed=_open(connection).count())
    endpoint = endpoint_of(connection)
    if endpoint is not None and endpoint.state == EndpointState.ACTIVE and not endpoint.stripe_id:
        report.by_hand = endpoint.url
    return _counted(report, connection)


def unlink(connection: StripeConnection, *, user: Any = None) -> UnlinkReport:
    """Unlinks an account. Always ends; what could not be closed (yet) is in the report.

    First nothing new can be opened, then open sessions are closed, then the endpoint and the key
    go. A session that could not be closed ends by itself at its time. Raises ``CopyOfProduction``,
    with nothing changed, where this is a copy: there an account is forgotten instead.
    """
    outside_transaction()
    refuse_copy(connection)
    with transaction.atomic():
        # Pay locks this row before it opens anything, and so does who makes an endpoint.
        locked = StripeConnection.objects.select_for_update().get(pk=connection.pk)
        if locked.unlinked_at is None:
            locked.unlinked_at, locked.let_go_at = timezone.now(), None
            locked.save(update_fields=["unlinked_at", "let_go_at"])
            locked.endpoints.exclude(state=EndpointState.DELETED).update(
                state=EndpointState.RETIRING, retire_at=locked.unlinked_at
            )
    connection.refresh_from_db()
    return finish_unlink(connection, user=user)


def finish_unlink(
    connection: StripeConnection, *, user: Any = None, seconds: float = SECONDS
) -> UnlinkReport:
    """What is left of an unlinking, also after a crash in the middle of one.

    Starts no further step after ``seconds``.
    """
    outside_transaction()
    report = UnlinkReport()
    since = connection.unlinked_at
    if since is None or connection.let_go_at is not None:
        report.finished = True
        return _counted(report, connection)
    deadline = time.monotonic() + seconds
    _close_all(connection, report, user, deadline)
    _finish_asked(connection, report, deadline)
    endpoints_gone = retire_due(connection)
    gives_up = timezone.now() > since + GIVE_UP_AFTER
    if gives_up:
        report.not_closed += report.waiting
        report.waiting = []
        report.asking = []
    if gives_up or (endpoints_gone and not report.waiting and not report.asking):
        _refuse_asked(connection, report)
        report.still_allowed = give_back(connection)
        _let_go(connection, since)
        report.finished = True
    connection.refresh_from_db()
    return _counted(report, connection)


def sessions_left(connection: StripeConnection) -> int:
    """How many sessions of an account that is being unlinked are still to be closed."""
    return _open(connection).count()


def _close_all(
    connection: StripeConnection, report: UnlinkReport, user: Any, deadline: float
) -> None:
    """Asks about every session whose end we have not heard, and closes the open ones."""
    try:
        api = api_for(connection)
    except (NotConnected, SecretUnreadable):
        api = None
    stripe_round = Round()
    for attempt in _unsettled(connection).select_related("request"):
        was_open = attempt.state in OPEN
        ended: bool | None = False
        if api is not None:
            ended = None
            if not stripe_round.over and time.monotonic() < deadline:
                try:
                    ended = _closed(api, attempt, user)
                except StripeUnavailable:
                    stripe_round.note(False)
                else:
                    stripe_round.note(True)
        if ended:
            report.closed += int(was_open)
        elif attempt.state in OPEN:
            (report.waiting if ended is None else report.not_closed).append(attempt.request.number)


def _finish_asked(connection: StripeConnection, report: UnlinkReport, deadline: float) -> None:
    """Has Stripe do what was written down to be asked of it, while there is a key."""
    stripe_round = Round()
    for row in _asked(connection):
        answered = False
        if not stripe_round.over and time.monotonic() < deadline:
            answered = _finish(row)
            stripe_round.note(answered)
        row.refresh_from_db(fields=["state"])
        if not answered:
            report.asking.append(_number_of(row))
        elif row.state == type(row).State.REFUSED:
            report.not_done.append(_number_of(row))


def _finish(row: Refund | SubscriptionChange) -> bool:
    if isinstance(row, Refund):
        return finish_refund(row.pk, cause=LogEntry.Cause.UNLINK) != RefundOutcome.WAITING
    return finish_change(row.pk, cause=LogEntry.Cause.UNLINK)


def _refuse_asked(connection: StripeConnection, report: UnlinkReport) -> None:
    """Without a key nobody will ever ask for the rest: it must not wait for ever."""
    error = _(
        "The account was unlinked before Stripe had confirmed this. See at Stripe what became of it."
    )
    cause = LogEntry.Cause.UNLINK
    for row in _asked(connection):
        if isinstance(row, Refund):
            refused = lifecycle.refund_refused(row, error, cause=cause)
        else:
            refused = lifecycle.change_refused(row, error, cause=cause)
        if refused:
            report.not_done.append(_number_of(row))


def _asked(connection: StripeConnection) -> list[Refund | SubscriptionChange]:
    account, livemode = connection.account_id, connection.livemode
    refunds = Refund.objects.filter(
        state=Refund.State.CREATING, payment__account_id=account, payment__livemode=livemode
    )
    changes = SubscriptionChange.objects.filter(
        state=SubscriptionChange.State.ASKING,
        subscription__account_id=account,
        subscription__livemode=livemode,
    )
    return [
        *refunds.select_related("payment__request").order_by("pk"),
        *changes.select_related("subscription__request").order_by("pk"),
    ]


def _number_of(row: Refund | SubscriptionChange) -> str:
    of = row.payment if isinstance(row, Refund) else row.subscription
    return str(of.request.number)


def _let_go(connection: StripeConnection, since: datetime) -> None:
    with transaction.atomic():
        locked = StripeConnection.objects.select_for_update().get(pk=connection.pk)
        # Somebody may have linked the account again meanwhile, with a key that is to stay.
        if locked.unlinked_at != since:
            return
        for endpoint in locked.endpoints.filter(state=EndpointState.RETIRING):
            count_as_deleted(endpoint)
        locked.sealed_key = locked.key_last4 = ""
        locked.let_go_at = timezone.now()
        locked.save(update_fields=["sealed_key", "key_last4", "let_go_at"])


def _closed(api: Api, attempt: CheckoutAttempt, user: Any) -> bool:
    """Whether nothing can come of the attempt any more. Raises ``StripeUnavailable``."""
    try:
        if attempt.state in OPEN and close_attempt(api, attempt):
            return True
    except StripeRefused:
        return False
    asked = reconcile(
        attempt.request_id, cause=LogEntry.Cause.UNLINK, session_id=attempt.session_id, user=user
    )
    if asked.unreachable:
        raise StripeUnavailable()
    attempt.refresh_from_db()
    return attempt.state not in CheckoutAttempt.LIVE


def _counted(report: UnlinkReport, connection: StripeConnection) -> UnlinkReport:
    requests = BillingRequest.objects.filter(
        account_id=connection.account_id, livemode=connection.livemode
    )
    report.pending = requests.filter(
        status=BillingRequest.Status.PENDING, processing_since=None
    ).count()
    report.processing = requests.exclude(processing_since=None).count()
    report.subscriptions = (
        Subscription.objects.filter(account_id=connection.account_id, livemode=connection.livemode)
        .exclude(status__in=Subscription.ENDED)
        .count()
    )
    return report


def _unsettled(connection: StripeConnection) -> Any:
    return CheckoutAttempt.objects.filter(
        Q(state__in=CheckoutAttempt.LIVE) | Q(not_confirmed=True),
        account_id=connection.account_id,
        livemode=connection.livemode,
    ).order_by("pk")


def _open(connection: StripeConnection) -> Any:
    return _unsettled(connection).filter(state__in=OPEN)
