"""The e-mails of a request as its page shows them: how each went, and what can be done."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils.translation import gettext as _

from ..models import BillingRequest, EmailDelivery
from .actions import can_edit, can_resend

Kind = EmailDelivery.Kind
State = EmailDelivery.State
Problem = EmailDelivery.Problem

TONES: dict[str, str] = {
    State.QUEUED: "warning",
    State.SENDING: "warning",
    State.SENT: "positive",
    State.FAILED: "critical",
    State.BOUNCED: "critical",
    State.DROPPED: "dropped",
}
WENT_WRONG = frozenset({State.FAILED, State.BOUNCED})
# What says whose address it is that is wrong.
OF_ADDRESS = frozenset({Problem.REFUSED, Problem.BOUNCED})


@dataclass(frozen=True)
class DeliveryRow:
    """One e-mail to one recipient. ``can_resend`` and ``can_correct`` are the ways out."""

    delivery: EmailDelivery
    word: str
    tone: str
    since: str
    moment: datetime
    next_try: datetime | None
    can_resend: bool = False
    can_correct: bool = False

    @property
    def role(self) -> str:
        """How the recipient gets it, unless it is simply meant for them."""
        copy = self.delivery.role != EmailDelivery.Role.TO
        return str(self.delivery.get_role_display()) if copy else ""

    @property
    def problem(self) -> str:
        """Why it was not sent, or not at the last try."""
        # The word says it already.
        obvious = self.delivery.state == State.DROPPED
        return "" if obvious or not self.delivery.problem else self.delivery.get_problem_display()

    @property
    def answered(self) -> bool:
        """Whether what is known of the error is a server's own answer, which begins with a code."""
        return self.delivery.error[:1].isdigit()


def delivery_rows(user: Any, request: BillingRequest) -> list[DeliveryRow]:
    """The newest first. Only the newest with the link to one recipient has ways out."""
    resends, edits = can_resend(user, request), can_edit(user, request)
    seen: set[tuple[str, str]] = set()
    rows = []
    for delivery in request.deliveries.order_by("-pk"):
        reader = (delivery.role, delivery.to)
        newest = delivery.carries_link and reader not in seen
        if delivery.carries_link and delivery.state != State.DROPPED:
            seen.add(reader)
        open_end = newest and delivery.state in WENT_WRONG and reader in request.recipients
        rows.append(
            DeliveryRow(
                delivery,
                _word(delivery),
                _tone(delivery),
                *_moment(delivery),
                next_try=_next_try(delivery),
                can_resend=open_end and resends,
                can_correct=open_end and edits and delivery.problem in OF_ADDRESS,
            )
        )
    return rows


def _is_uncertain(delivery: EmailDelivery) -> bool:
    return delivery.state == State.FAILED and delivery.problem == Problem.UNCERTAIN


def _word(delivery: EmailDelivery) -> str:
    if _is_uncertain(delivery):
        return _("May have arrived")
    return str(delivery.get_state_display())


def _tone(delivery: EmailDelivery) -> str:
    return "warning" if _is_uncertain(delivery) else TONES[delivery.state]


def _moment(delivery: EmailDelivery) -> tuple[str, datetime]:
    """What is told of when it was, and when that was."""
    if delivery.sent_at:
        return _("accepted"), delivery.sent_at
    if delivery.claimed_at and delivery.state == State.FAILED:
        return _("last try"), delivery.claimed_at
    return _("queued"), delivery.created_at


def _next_try(delivery: EmailDelivery) -> datetime | None:
    tried = delivery.state == State.QUEUED and delivery.attempts
    return delivery.next_try_at if tried else None
