"""Holds: a change under way that stops Pay while the session is closed at Stripe."""

from typing import Any

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from ..errors import BeingChanged, NotAllowed
from ..models import BillingRequest, CheckoutAttempt
from .moves import ALLOWED_MOVES, NO_HOLD, move
from .record import Action, Cause, live_attempt_of, lock, note, write

Hold = BillingRequest.Hold
Status = BillingRequest.Status


def place_hold(
    request_pk: int, hold: str, *, user: Any = None, data: dict[str, Any] | None = None
) -> BillingRequest:
    """Stops Pay until the hold is applied or lifted.

    Raises ``BeingChanged`` when another change is under way, ``NotAllowed`` when the request is
    past changing or money is on its way.
    """
    with transaction.atomic():
        request = lock(request_pk)
        if request.hold:
            raise BeingChanged()
        allowed = ALLOWED_MOVES[Status.DELETED] if hold == Hold.DELETE else {Status.PENDING}
        if request.status not in allowed:
            raise NotAllowed()
        live = live_attempt_of(request)
        if live is not None and live.state == CheckoutAttempt.State.PROCESSING:
            raise NotAllowed(_("A payment is being processed by the client's bank."))
        if request.review_since:
            raise NotAllowed(_("This billing request needs a review first."))
        write(
            request,
            hold=hold,
            hold_since=timezone.now(),
            hold_by=user,
            hold_data=data or {},
        )
        note(request, Action.HOLD, cause=Cause.EDITOR, user=user, evidence={"hold": hold})
    return request


def apply_hold(request_pk: int) -> bool:
    """Makes the change that the hold was for, if nothing can be paid any more.

    Returns False, changing nothing, while an attempt is live or when the hold is gone.
    """
    with transaction.atomic():
        request = lock(request_pk)
        if not request.hold or live_attempt_of(request) is not None:
            return False
        if request.hold == Hold.DELETE:
            chosen = BillingRequest.objects.filter(pk=request.pk)
            return bool(move(chosen, Status.DELETED, cause=Cause.EDITOR, user=request.hold_by))
        return False


def lift_hold(request_pk: int, *, cause: str, why: str = "") -> bool:
    """Gives the change up; the request is as it was before. Returns whether a hold was there."""
    with transaction.atomic():
        request = lock(request_pk)
        if not request.hold:
            return False
        hold = request.hold
        write(request, **NO_HOLD)
        note(
            request,
            Action.HOLD_LIFTED,
            cause=cause,
            evidence={"hold": hold, "why": why},
        )
    return True
