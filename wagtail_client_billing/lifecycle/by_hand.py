"""Money that came past Stripe, as staff say, and staff who take that back."""

from typing import Any
from uuid import uuid4

from django.db import transaction
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from ..errors import BeingChanged, NotAllowed
from ..models import BillingRequest, EmailDelivery, Payment
from .mailing import tell_client
from .money_in import thank
from .moves import move
from .record import Action, Cause, lock, note, write

Status = BillingRequest.Status
BY_HAND = Payment.Kind.BY_HAND


def mark_paid(request: BillingRequest, user: Any, data: dict[str, Any]) -> bool:
    """Records the whole amount of a locked request as a payment by hand, and moves it to paid.

    ``data`` holds ``note``, ``received_at`` in ISO 8601, and ``mail``: whether the client gets a
    receipt. Returns False for a request that cannot become paid.
    """
    if request.status not in (Status.PENDING, Status.EXPIRED):
        return False
    payment = Payment.objects.create(
        request=request,
        kind=BY_HAND,
        account_id=request.account_id,
        livemode=request.livemode,
        source=f"by_hand_{uuid4()}",
        amount_minor=request.amount_minor,
        currency=request.currency,
        received_at=parse_datetime(data.get("received_at") or "") or timezone.now(),
        note=data.get("note") or "",
    )
    said = {"note": payment.note}
    note(request, Action.MARKED_PAID, cause=Cause.EDITOR, user=user, evidence=said)
    chosen = BillingRequest.objects.filter(pk=request.pk)
    late = request.status != Status.PENDING and payment.received_at > request.expires_at
    if not move(chosen, Status.PAID, cause=Cause.EDITOR, user=user):
        raise NotAllowed()
    write(
        request,
        paid_at=payment.received_at,
        paid_late=late,
        # What staff say answers nothing of what Stripe could not be asked.
        not_confirmed=request.attempts.filter(not_confirmed=True).exists(),
    )
    if data.get("mail"):
        tell_client(request, EmailDelivery.Kind.RECEIPT, facts={"payment": payment.pk})
    return True


def by_hand_payment(request: BillingRequest) -> Payment | None:
    """The payment by hand that counts, if there is one."""
    return request.payments.filter(kind=BY_HAND, taken_back_at=None).first()


def take_back(request_pk: int, *, user: Any, why: str = "") -> BillingRequest:
    """Takes back the payment by hand of a request.

    Without money from Stripe the request is pending again, until its deadline. With it, it stays
    paid, and what had looked like a second payment is the only one. Raises ``NotAllowed`` when
    there is no payment by hand, ``BeingChanged`` under a hold.
    """
    with transaction.atomic():
        request = lock(request_pk)
        if request.hold:
            raise BeingChanged()
        payment = by_hand_payment(request)
        if payment is None:
            raise NotAllowed()
        Payment.objects.filter(pk=payment.pk, taken_back_at=None).update(
            taken_back_at=timezone.now()
        )
        evidence = {"why": why}
        left = request.payments.counted()
        if not left.exists():
            _end_doubt(request, user)
            chosen = BillingRequest.objects.filter(pk=request.pk)
            moved = move(chosen, Status.PENDING, cause=Cause.EDITOR, user=user, evidence=evidence)
            if not moved:
                raise NotAllowed()
            return moved[0]
        note(request, Action.TAKEN_BACK, cause=Cause.EDITOR, user=user, evidence=evidence)
        if left.count() == 1:
            (only,) = left
            if left.update(duplicate=False) and only.duplicate:
                # Its client was told of no payment while it looked like a second one.
                thank(request, only)
            _end_doubt(request, user)
    return request


def _end_doubt(request: BillingRequest, user: Any) -> None:
    """Ends the review for a second payment, when there is none any more."""
    if request.review_since is None or request.review_reason != "duplicate":
        return
    write(request, review_since=None, review_reason="", review_evidence={})
    note(
        request,
        Action.REVIEWED,
        cause=Cause.EDITOR,
        user=user,
        evidence={"reason": "duplicate"},
    )
