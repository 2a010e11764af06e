"""Changes that have to close the session at Stripe before they are made here."""

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
    outside_transaction()
    request = BillingRequest.objects.get(pk=request_pk)
    # Before the hold, which only Stripe's word could lift.
    refuse_copy(StripeConnection.objects.of_account(request.account_id, request.livemode))
    lifecycle.place_hold(request_pk, BillingRequest.Hold.DELETE, user=user)
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
    request.refresh_from_db()
    if request.status == BillingRequest.Status.PAID:
        return Outcome.PAID
    if request.processing_since:
        return Outcome.PROCESSING
    if request.status == BillingRequest.Status.DELETED:
        return Outcome.DONE
    if request.review_since:
        return Outcome.PAID
    return Outcome.WAITING


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
