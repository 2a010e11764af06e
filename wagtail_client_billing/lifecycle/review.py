"""The ways out of a review: accept the money, give it back, or let it be."""

from typing import Any

from django.db import transaction

from ..errors import BeingChanged, ChangedMeanwhile, NotAllowed
from ..models import BillingRequest, Payment, Refund
from .money_in import count_payment, money_of, review, thank
from .record import Action, Cause, lock, note, write

NO_REVIEW: dict[str, Any] = {"review_since": None, "review_reason": "", "review_evidence": {}}


def accept_review(request_pk: int, *, user: Any, seen: str | None = None) -> BillingRequest:
    """Takes the money as it came: it counts, and the request is paid.

    ``seen`` is the moment of the review that was looked at, in ISO 8601. Raises ``NotAllowed``
    without a review or without money to accept, ``ChangedMeanwhile`` when the review is another
    one by now, ``BeingChanged`` under a hold.
    """
    with transaction.atomic():
        request = _in_review(request_pk, seen)
        waiting = list(request.payments.filter(mismatch=True, taken_back_at=None))
        doubled = request.payments.filter(duplicate=True, taken_back_at=None)
        if not waiting and not doubled.exists():
            raise NotAllowed()
        accepted = [*waiting, *doubled.filter(mismatch=False)]
        _end(request, "accepted", user)
        for payment in accepted:
            booked = not payment.mismatch
            payment.mismatch = payment.duplicate = False
            payment.save(update_fields=["mismatch", "duplicate"])
            if booked:
                thank(request, payment)
                continue
            note(
                request,
                Action.PAYMENT,
                cause=Cause.EDITOR,
                user=user,
                evidence=money_of(payment),
            )
            count_payment(request, payment, cause=Cause.EDITOR, user=user)
    return request


def dismiss_review(
    request_pk: int, *, user: Any, why: str = "", seen: str | None = None
) -> BillingRequest:
    """Ends a review and changes nothing else; the evidence stays in the log.

    Raises as ``accept_review`` does, except that there need not be any money.
    """
    with transaction.atomic():
        request = _in_review(request_pk, seen)
        _end(request, "dismissed", user, why=why)
    return request


def settle_review(request: BillingRequest, *, cause: str, user: Any = None) -> bool:
    """Ends the review of a locked request once Stripe has given all the doubtful money back."""
    if request.review_since is None:
        return False
    doubtful = request.payments.exclude(mismatch=False, duplicate=False)
    doubtful = doubtful.filter(taken_back_at=None)
    left = [payment for payment in doubtful if _given_back(payment) < payment.amount_minor]
    if left or not doubtful:
        return False
    _end(request, "refunded", user, cause=cause)
    return True


def raise_again(request: BillingRequest, payment: Payment, *, cause: str, user: Any = None) -> None:
    """A refund of doubtful money failed: with it in hand again, a person has to look again."""
    if request.review_since or not (payment.mismatch or payment.duplicate):
        return
    reason = "mismatch" if payment.mismatch else "duplicate"
    evidence = {"payment": payment.source}
    review(request, reason, evidence, cause=cause, user=user)


def _given_back(payment: Payment) -> int:
    """What Stripe said it gave back, in minor units; what we only asked for is none of it."""
    told = payment.refunds.filter(state__in=Refund.COUNTS).exclude(state=Refund.State.CREATING)
    return sum(told.values_list("amount_minor", flat=True))


def _in_review(request_pk: int, seen: str | None) -> BillingRequest:
    request = lock(request_pk)
    if request.review_since is None:
        raise NotAllowed()
    if request.hold:
        raise BeingChanged()
    if seen is not None and seen != request.review_since.isoformat():
        raise ChangedMeanwhile()
    return request


def _end(
    request: BillingRequest, outcome: str, user: Any, cause: str = Cause.EDITOR, **more: Any
) -> None:
    evidence = {"reason": request.review_reason, "outcome": outcome, **more}
    write(request, **NO_REVIEW)
    note(request, Action.REVIEWED, cause=cause, user=user, evidence=evidence)
