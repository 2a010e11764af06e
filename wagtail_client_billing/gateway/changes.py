"""Changes that have to close the session at Stripe before they are made here."""

from collections.abc import Collection
from datetime import datetime
from enum import StrEnum
from typing import Any

from .. import lifecycle
from ..errors import NotConnected, StripeRefused, StripeUnavailable
from ..models import BillingRequest, CheckoutAttempt, LogEntry, StripeConnection
from ..sealing import SecretUnreadable
from ..transactions import outside_transaction
from .attempts import close_attempt
from .client import api_for
from .copies import refuse_copy
from .reconcile import give_up_when_over, reconcile

State = CheckoutAttempt.State
Hold = BillingRequest.Hold


class Outcome(StrEnum):
    """What became of a change."""

    DONE = "done"
    PAID = "paid"
    PROCESSING = "processing"
    WAITING = "waiting"
    LOST = "lost"


def delete_request(request_pk: int, *, user: Any) -> Outcome:
    """Deletes a request: hold, close the session at Stripe, then delete.

    ``PAID`` and ``PROCESSING`` mean that it was not deleted, since money came or is under way.
    ``WAITING`` means that Stripe could not be asked: the hold stays, nothing can be paid through
    our page, and the sweep finishes it. ``LOST`` is the same where the account is lost to us: the
    change is made when its session must be over. Raises ``BeingChanged``, ``NotAllowed`` or
    ``CopyOfProduction``.
    """
    return _change(request_pk, Hold.DELETE, user)


def edit_request(
    request_pk: int,
    *,
    amount_minor: int,
    description: str,
    email: str,
    cc: Collection[str] | None = None,
    bcc: str | None = None,
    mail: bool = False,
    user: Any,
) -> Outcome:
    """Edits a pending request in the same way; raises and returns the same.

    ``amount_minor`` is in minor units of its currency. None leaves the copies as they are.
    ``mail`` sends the e-mail with the link again; a changed address gets it in any case, with a
    new link, and so does a new copy.
    """
    values: dict[str, Any] = {
        "amount_minor": amount_minor,
        "description": description,
        "email": email,
    }
    if cc is not None:
        values["cc"] = "\n".join(cc)
    if bcc is not None:
        values["bcc"] = bcc
    return _change(request_pk, Hold.EDIT, user, {**values, "mail": mail})


def mark_request_paid(
    request_pk: int,
    *,
    received_at: datetime,
    note: str = "",
    mail: bool = False,
    seen: str | None = None,
    user: Any,
) -> Outcome:
    """Records the whole amount as paid past Stripe, in the same way; raises and returns the same.

    ``mail`` sends the client a receipt. ``seen`` is the ``terms`` that somebody looked at: raises
    ``ChangedMeanwhile`` when they are others.
    """
    data = {"received_at": received_at.isoformat(), "note": note, "mail": mail}
    if seen is not None:
        data["seen"] = seen
    return _change(request_pk, Hold.MARK_PAID, user, data)


def _change(request_pk: int, hold: str, user: Any, data: dict[str, Any] | None = None) -> Outcome:
    outside_transaction()
    request = BillingRequest.objects.get(pk=request_pk)
    # Before the hold, which only Stripe's word could lift.
    refuse_copy(StripeConnection.objects.of_account(request.account_id, request.livemode))
    lifecycle.place_hold(request_pk, hold, user=user, data=data)
    return finish_hold(request_pk, waiting=True)


def finish_hold(request_pk: int, *, waiting: bool = False) -> Outcome:
    """Closes what is live at Stripe and makes the held change. May run twice, at once or later."""
    outside_transaction()
    request = BillingRequest.objects.get(pk=request_pk)
    attempt = request.attempts.filter(state__in=CheckoutAttempt.LIVE).first()
    if attempt is not None:
        stays = _close(request, attempt, waiting)
        if stays is not None:
            return stays
    if lifecycle.apply_hold(request_pk):
        return Outcome.DONE
    hold = request.hold
    request.refresh_from_db()
    if request.review_since:
        return Outcome.PAID
    if request.processing_since:
        return Outcome.PROCESSING
    if request.status == BillingRequest.Status.PAID:
        made = hold == Hold.MARK_PAID and lifecycle.by_hand_payment(request) is not None
        return Outcome.DONE if made else Outcome.PAID
    # Somebody else, such as the sweep, has finished it meanwhile.
    return Outcome.WAITING if request.hold else Outcome.DONE


def _close(request: BillingRequest, attempt: CheckoutAttempt, waiting: bool) -> Outcome | None:
    """None once the attempt is out of the way; money that it brought is booked first."""
    lifecycle.attempt_asked(attempt)
    connection = StripeConnection.objects.of_account(attempt.account_id, attempt.livemode)
    try:
        api = api_for(connection, waiting=waiting)
        if attempt.state == State.PROCESSING or not close_attempt(api, attempt):
            reconcile(
                request.pk, cause=LogEntry.Cause.EDITOR, user=request.hold_by, waiting=waiting
            )
    except StripeUnavailable:
        return Outcome.WAITING
    except (StripeRefused, NotConnected, SecretUnreadable):
        return None if give_up_when_over(attempt) else Outcome.LOST
    return None
