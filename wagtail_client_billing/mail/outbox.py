"""Sends what is queued. The rows are the queue; several workers may drain it at once."""

import logging
import time
from datetime import datetime, timedelta

from django.db.models import Exists, OuterRef, QuerySet
from django.utils import timezone

from .. import lifecycle
from ..models import BillingRequest, EmailDelivery, StripeConnection
from ..rounds import Round
from ..transactions import outside_transaction
from .compose import compose
from .problems import described, problem_of
from .sending import send

logger = logging.getLogger(__name__)

Kind = EmailDelivery.Kind
State = EmailDelivery.State
Problem = EmailDelivery.Problem

RETRY_MINUTES = (1, 5, 15, 30, 60)
TRY_FOR = timedelta(hours=24)
TRY_AGAIN = frozenset({Problem.UNREACHABLE, Problem.LOGIN, Problem.LATER, Problem.OTHER})
# What every other mail would meet as well.
OUTAGE = frozenset({Problem.UNREACHABLE, Problem.LOGIN})
STUCK_AFTER = timedelta(minutes=15)


def drain(deadline: float, mail_round: Round | None = None) -> int:
    """Sends what is due until ``deadline`` (monotonic clock); returns how many it handled.

    A message under way is finished even past the deadline. Three failures in a row to reach the
    mail server end its share of the round.
    """
    outside_transaction()
    mail_round = mail_round or Round()
    handled = take_back_stuck()
    while time.monotonic() < deadline and not mail_round.over:
        delivery = _claim()
        if delivery is None:
            break
        mail_round.note(deliver(delivery) not in OUTAGE)
        handled += 1
    return handled


def take_back_stuck() -> int:
    """Ends deliveries whose worker died while sending; returns how many.

    They may have arrived, so that sending them again is for a person to decide.
    """
    stuck = EmailDelivery.objects.filter(
        state=State.SENDING, claimed_at__lt=timezone.now() - STUCK_AFTER
    )
    rows = list(stuck.order_by("pk")[:100])
    for delivery in rows:
        logger.warning("Delivery %s was being sent when its worker stopped", delivery.pk)
        lifecycle.delivery_failed(delivery, Problem.UNCERTAIN, "The worker stopped while sending.")
    return len(rows)


def deliver(delivery: EmailDelivery) -> str:
    """Sends one claimed delivery and writes down what came of it; returns the problem, or "".

    The claim is committed before the mail server is called. Whatever stops the worker itself
    (``SystemExit``, ``KeyboardInterrupt``) is written down and raised again.
    """
    try:
        if delivery.kind == Kind.PAYMENT_LINK:
            # Before the text is composed, so that it names the right time.
            lifecycle.move_once_for_first_delivery(delivery.request_id)
        delivery.request = BillingRequest.objects.select_related("site").get(pk=delivery.request_id)
        if is_obsolete(delivery):
            lifecycle.delivery_failed(delivery, Problem.OBSOLETE)
            return Problem.OBSOLETE
        message = compose(delivery)
    except Exception as error:
        logger.exception("Delivery %s could not be composed", delivery.pk)
        return _failed(delivery, Problem.OTHER, described(error))
    try:
        accepted = send(message)
    except BaseException as error:
        problem = problem_of(error)
        logger.warning("Delivery %s failed: %s (%s)", delivery.pk, problem, type(error).__name__)
        _failed(delivery, problem, described(error))
        if not isinstance(error, Exception):
            raise
        return problem
    if not accepted:
        return _failed(delivery, Problem.OTHER, "The mailer took no message.")
    lifecycle.delivery_accepted(delivery)
    return ""


def is_obsolete(delivery: EmailDelivery) -> bool:
    """Whether the request has changed so that this mail would tell something untrue."""
    request = delivery.request
    if delivery.kind == Kind.PAYMENT_LINK:
        if request.status != BillingRequest.Status.PENDING or request.processing_since:
            return True
        return request.is_over
    if delivery.kind == Kind.PAYMENT_FAILED:
        unpaid = (BillingRequest.Status.PENDING, BillingRequest.Status.EXPIRED)
        return request.status not in unpaid or bool(request.processing_since)
    return False


def next_try(delivery: EmailDelivery, now: datetime) -> datetime | None:
    """When a delivery that failed for now is tried again; None after a day of trying."""
    minutes = RETRY_MINUTES[min(max(delivery.attempts, 1), len(RETRY_MINUTES)) - 1]
    moment = now + timedelta(minutes=minutes)
    return moment if moment < delivery.created_at + TRY_FOR else None


def _failed(delivery: EmailDelivery, problem: Problem, error: str) -> Problem:
    again = next_try(delivery, timezone.now()) if problem in TRY_AGAIN else None
    lifecycle.delivery_failed(delivery, problem, error, next_try_at=again)
    return problem


def due_deliveries() -> QuerySet[EmailDelivery]:
    """What waits to be sent from here; a copy of production writes to nobody's clients."""
    copies = StripeConnection.objects.copies().filter(
        account_id=OuterRef("request__account_id"), livemode=OuterRef("request__livemode")
    )
    return EmailDelivery.objects.filter(~Exists(copies), state=State.QUEUED)


def waiting_for(connection: StripeConnection) -> int:
    """How many mails wait for an account's requests."""
    return EmailDelivery.objects.filter(
        state=State.QUEUED,
        request__account_id=connection.account_id,
        request__livemode=connection.livemode,
    ).count()


def _claim() -> EmailDelivery | None:
    now = timezone.now()
    due = due_deliveries().filter(next_try_at__lte=now)
    for delivery in due.order_by("next_try_at", "pk")[:20]:
        # Whoever changes the row first has it. Without what is due's subquery: PostgreSQL does not
        # ask that again when it has waited for another worker's change, and both would have it.
        mine = EmailDelivery.objects.filter(pk=delivery.pk, state=State.QUEUED).update(
            state=State.SENDING, claimed_at=now, attempts=delivery.attempts + 1
        )
        if mine:
            delivery.refresh_from_db()
            return delivery
    return None
