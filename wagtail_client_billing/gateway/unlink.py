"""Unlinking an account: everything is asked once more, closed, and the key wiped."""

from dataclasses import dataclass, field
from typing import Any

from django.db import transaction
from django.utils import timezone

from ..errors import NotConnected, StripeRefused, StripeUnavailable
from ..models import (
    BillingRequest,
    CheckoutAttempt,
    LogEntry,
    StripeConnection,
    WebhookEndpoint,
)
from ..rounds import Round
from ..sealing import SecretUnreadable
from ..transactions import outside_transaction
from .attempts import close_attempt
from .client import Api, api_for
from .endpoints import delete_endpoint
from .platform import let_go
from .reconcile import reconcile

State = CheckoutAttempt.State


@dataclass
class UnlinkReport:
    """What unlinking does: pending requests that cannot be paid, sessions closed, numbers of
    requests whose session could not be closed, payments still processing at Stripe."""

    pending: int = 0
    closed: int = 0
    not_closed: list[str] = field(default_factory=list)
    processing: int = 0
    # What is left to do at Stripe, as a sentence, where our access could not be ended.
    still_allowed: str = ""


def unlink_preview(connection: StripeConnection) -> UnlinkReport:
    """The same in numbers, before anything is done and without asking Stripe."""
    requests = _requests(connection)
    return UnlinkReport(
        pending=requests.filter(status=BillingRequest.Status.PENDING).count(),
        closed=_live(connection).exclude(state=State.PROCESSING).count(),
        processing=requests.exclude(processing_since=None).count(),
    )


def unlink(connection: StripeConnection, *, user: Any = None) -> UnlinkReport:
    """Unlinks an account. Always ends; what could not be closed is in the report.

    First nothing new can be opened, then open sessions are closed, then the endpoint and the key
    go. A session that could not be closed ends by itself at its time.
    """
    outside_transaction()
    with transaction.atomic():
        # Pay locks this row before it opens anything.
        locked = StripeConnection.objects.select_for_update().get(pk=connection.pk)
        if locked.unlinked_at is None:
            locked.unlinked_at = timezone.now()
            locked.save(update_fields=["unlinked_at"])
    connection.refresh_from_db()
    return finish_unlink(connection, user=user, waiting=True)


def finish_unlink(
    connection: StripeConnection, *, user: Any = None, waiting: bool = False
) -> UnlinkReport:
    """What is left of an unlinking, also after a crash in the middle of one."""
    report = UnlinkReport()
    try:
        api = api_for(connection, waiting=waiting)
    except (NotConnected, SecretUnreadable):
        api = None
    stripe_round = Round()
    for attempt in _live(connection).select_related("request"):
        closed = False
        if api is not None and not stripe_round.over:
            try:
                closed = _closed(api, attempt, user, waiting)
                stripe_round.note(True)
            except StripeUnavailable:
                stripe_round.note(False)
        if closed:
            report.closed += 1
        elif attempt.state != State.PROCESSING:
            report.not_closed.append(attempt.request.number)
    for endpoint in connection.endpoints.exclude(state=WebhookEndpoint.State.DELETED):
        delete_endpoint(endpoint, waiting=waiting)
    StripeConnection.objects.filter(pk=connection.pk).exclude(unlinked_at=None).update(
        sealed_key="", key_last4=""
    )
    report.still_allowed = let_go(connection)
    requests = _requests(connection)
    report.pending = requests.filter(status=BillingRequest.Status.PENDING).count()
    report.processing = requests.exclude(processing_since=None).count()
    return report


def _closed(api: Api, attempt: CheckoutAttempt, user: Any, waiting: bool) -> bool:
    """Whether nothing can come of the attempt any more. Raises ``StripeUnavailable``."""
    try:
        if attempt.state != State.PROCESSING and close_attempt(api, attempt):
            return True
    except StripeRefused:
        return False
    asked = reconcile(attempt.request_id, cause=LogEntry.Cause.UNLINK, user=user, waiting=waiting)
    if asked.unreachable:
        raise StripeUnavailable()
    attempt.refresh_from_db()
    return attempt.state not in CheckoutAttempt.LIVE


def _requests(connection: StripeConnection) -> Any:
    return BillingRequest.objects.filter(
        account_id=connection.account_id, livemode=connection.livemode
    )


def _live(connection: StripeConnection) -> Any:
    return CheckoutAttempt.objects.filter(
        account_id=connection.account_id,
        livemode=connection.livemode,
        state__in=CheckoutAttempt.LIVE,
    ).order_by("pk")
