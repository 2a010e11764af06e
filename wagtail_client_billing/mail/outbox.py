"""Sends what is queued. The rows are the queue; several workers may drain it at once."""

import logging
import time
from collections.abc import Iterator
from datetime import timedelta

from django.db.models import Exists, OuterRef, QuerySet
from django.utils import timezone

from .. import lifecycle
from ..models import EmailDelivery, StripeConnection
from ..rounds import Round
from ..transactions import outside_transaction
from .delivering import Courier
from .problems import OF_SERVER

logger = logging.getLogger(__name__)

Kind = EmailDelivery.Kind
State = EmailDelivery.State

STUCK_AFTER = timedelta(minutes=15)
# Of what is due, as many are looked up at once; each is claimed when its turn comes.
AT_A_TIME = 20


def drain(deadline: float, mail_round: Round | None = None) -> int:
    """Sends what is due until ``deadline`` (monotonic clock); returns how many it handled.

    A message under way is finished even past the deadline. Three failures in a row to reach the
    mail server end its share of the round. That it fails is told first, and by default mail.
    """
    outside_transaction()
    mail_round = mail_round or Round()
    handled = take_back_stuck()
    lifecycle.tell_of_mail_server()
    courier = Courier()
    try:
        notices = Round()
        handled += _send_all(courier, deadline, notices, kind=Kind.AGENCY_MAIL)
        handled += _send_all(courier, deadline, mail_round)
        # Of what was found out just now.
        handled += _send_all(courier, deadline, notices, kind=Kind.AGENCY_MAIL)
    finally:
        courier.close()
    return handled


def take_back_stuck() -> int:
    """Takes deliveries from workers that died while sending; returns how many.

    They are due again, but for those whose text may have been given away.
    """
    stuck = EmailDelivery.objects.filter(
        state=State.SENDING, claimed_at__lt=timezone.now() - STUCK_AFTER
    )
    rows = list(stuck.order_by("pk")[:100])
    for delivery in rows:
        logger.warning("Delivery %s was being sent when its worker stopped", delivery.pk)
        lifecycle.delivery_taken_back(delivery)
    return len(rows)


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


def _send_all(courier: Courier, deadline: float, mail_round: Round, **only: str) -> int:
    handled = 0
    claims = _claims(**only)
    while time.monotonic() < deadline and not mail_round.over:
        delivery = next(claims, None)
        if delivery is None:
            break
        mail_round.note(courier.deliver(delivery) not in OF_SERVER)
        handled += 1
    return handled


def _claims(**only: str) -> Iterator[EmailDelivery]:
    """Claims one after the other, each when it is asked for."""
    while True:
        due = due_deliveries().filter(next_try_at__lte=timezone.now(), **only)
        found = list(due.order_by("next_try_at", "pk").values_list("pk", flat=True)[:AT_A_TIME])
        claimed = 0
        for pk in found:
            delivery = lifecycle.delivery_claimed(pk)
            if delivery is not None:
                claimed += 1
                yield delivery
        if not claimed:
            return
