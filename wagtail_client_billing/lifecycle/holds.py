"""Holds: a change under way that stops Pay while the session is closed at Stripe."""

from collections.abc import Callable
from typing import Any

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from ..errors import BeingChanged, BillingError, ChangedMeanwhile, NotAllowed
from ..models import BillingRequest, CheckoutAttempt
from .by_hand import mark_paid
from .editing import edit
from .moves import ALLOWED_MOVES, NO_HOLD, move
from .record import Action, Cause, live_attempt_of, lock, note, write

Hold = BillingRequest.Hold
Status = BillingRequest.Status

# In which statuses a change may begin.
ALLOWED: dict[str, frozenset[str]] = {
    Hold.DELETE: ALLOWED_MOVES[Status.DELETED],
    Hold.EDIT: frozenset({Status.PENDING}),
    # Late money counts, however it came.
    Hold.MARK_PAID: frozenset({Status.PENDING, Status.EXPIRED}),
    Hold.UNLINK: frozenset({Status.PENDING}),
}


def place_holds(
    requests: Any, hold: str, *, user: Any = None, data: dict[str, Any] | None = None
) -> tuple[list[BillingRequest], dict[int, BillingError]]:
    """Stops Pay on those of the requests that may be changed, until the hold is applied or lifted.

    ``data`` is what the change needs to know, and ``seen`` in it the ``terms`` that were looked at.
    Returns them, and by primary key why the others stay as they are: ``BeingChanged`` when another
    change is under way, ``ChangedMeanwhile`` when the terms are others by now, ``NotAllowed`` when
    one is past changing or money is on its way. Rows are locked first, in the order of their keys.
    """
    held: list[BillingRequest] = []
    refused: dict[int, BillingError] = {}
    with transaction.atomic():
        pks = list(requests.order_by("pk").values_list("pk", flat=True))
        rows = BillingRequest.objects.select_for_update().filter(pk__in=pks).order_by("pk")
        for request in rows:
            try:
                _check(request, hold, data or {})
            except BillingError as error:
                refused[request.pk] = error
                continue
            write(
                request,
                hold=hold,
                hold_since=timezone.now(),
                hold_by=user,
                hold_data=data or {},
            )
            note(request, Action.HOLD, cause=Cause.EDITOR, user=user, evidence={"hold": hold})
            held.append(request)
    return held, refused


def place_hold(
    request_pk: int, hold: str, *, user: Any = None, data: dict[str, Any] | None = None
) -> BillingRequest:
    """The same for one request; raises why it stays as it is."""
    one = BillingRequest.objects.filter(pk=request_pk)
    held, refused = place_holds(one, hold, user=user, data=data)
    if refused:
        raise refused[request_pk]
    return held[0]


def _check(request: BillingRequest, hold: str, data: dict[str, Any]) -> None:
    if request.hold:
        raise BeingChanged()
    if data.get("seen", request.terms) != request.terms:
        raise ChangedMeanwhile()
    if request.status not in ALLOWED[hold]:
        raise NotAllowed()
    if hold == Hold.EDIT and request.is_over:
        raise NotAllowed(_("The time to pay this bill is over."))
    live = live_attempt_of(request)
    if live is not None and live.state == CheckoutAttempt.State.PROCESSING:
        raise NotAllowed(_("A payment is being processed by the client's bank."))
    if request.review_since:
        raise NotAllowed(_("This billing request needs a review first."))


def _delete(request: BillingRequest, user: Any, _data: dict[str, Any]) -> bool:
    chosen = BillingRequest.objects.filter(pk=request.pk)
    return bool(move(chosen, Status.DELETED, cause=Cause.EDITOR, user=user))


CHANGES: dict[str, Callable[[BillingRequest, Any, dict[str, Any]], bool]] = {
    Hold.DELETE: _delete,
    Hold.EDIT: edit,
    Hold.MARK_PAID: mark_paid,
}


def apply_hold(request_pk: int) -> bool:
    """Makes the change that the hold was for, if nothing can be paid any more.

    Returns False while an attempt is live or when the hold is gone. A change that has become
    impossible is given up.
    """
    with transaction.atomic():
        request = lock(request_pk)
        change = CHANGES.get(request.hold)
        if change is None or live_attempt_of(request) is not None:
            return False
        made = change(request, request.hold_by, request.hold_data)
        if made:
            write(request, **NO_HOLD)
        else:
            # Its state does not allow it any more, and never will.
            lift_hold(request_pk, cause=Cause.EDITOR)
        return made


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
