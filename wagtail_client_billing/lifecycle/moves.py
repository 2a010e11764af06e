"""The moves from one status to another, and nothing else may make them."""

from datetime import datetime
from typing import Any

from django.db import transaction
from django.utils import timezone

from ..models import BillingRequest, EmailDelivery, Payment
from .mailing import tell_client
from .record import Action, Cause, live_attempt_of, note

Status = BillingRequest.Status

# Money wins: whatever was decided before, a payment is a payment. The way back from paid is for
# staff who take back what they had marked by hand.
ALLOWED_MOVES: dict[str, frozenset[str]] = {
    Status.PAID: frozenset({Status.PENDING, Status.EXPIRED, Status.DELETED}),
    Status.EXPIRED: frozenset({Status.PENDING}),
    Status.DELETED: frozenset({Status.PENDING, Status.EXPIRED}),
    Status.PENDING: frozenset({Status.EXPIRED, Status.PAID}),
}
ACTIONS: dict[str, str] = {
    Status.PAID: Action.PAID,
    Status.EXPIRED: Action.EXPIRED,
    Status.DELETED: Action.DELETED,
}
ACTIONS_BACK: dict[str, str] = {
    Status.EXPIRED: Action.RENEWED,
    Status.PAID: Action.TAKEN_BACK,
}


def move(
    requests: Any,
    to: str,
    *,
    cause: str,
    user: Any = None,
    evidence: dict[str, Any] | None = None,
    now: datetime | None = None,
) -> list[BillingRequest]:
    """Moves those of the requests that may move; returns them as they are now.

    Rows are locked first, in the order of their keys. A request with a live attempt is never
    moved to expired or deleted, one that is on hold or not yet over never to expired: whoever
    wants that closes the session at Stripe first. Back from paid goes only what was marked by
    hand and taken back; back from expired only what has a new deadline. Staying where it is
    counts as not moved.
    """
    now = now or timezone.now()
    moved = []
    with transaction.atomic():
        pks = list(requests.order_by("pk").values_list("pk", flat=True))
        rows = BillingRequest.objects.select_for_update().filter(pk__in=pks).order_by("pk")
        for request in rows:
            old = request.status
            if old not in ALLOWED_MOVES[to] or not _may_end(request, to, now):
                continue
            if _change(request, to, now):
                note(
                    request,
                    ACTIONS_BACK[old] if to == Status.PENDING else ACTIONS[to],
                    cause=cause,
                    user=user,
                    old=old,
                    new=to,
                    evidence=evidence,
                )
                if to == Status.EXPIRED and request.sent_at is not None:
                    # Whom no link had reached cannot have waited with it.
                    tell_client(request, EmailDelivery.Kind.EXPIRED)
                moved.append(request)
    return moved


def _may_end(request: BillingRequest, to: str, now: datetime) -> bool:
    if to == Status.PAID:
        return True
    if live_attempt_of(request) is not None or request.review_since:
        return False
    if to == Status.EXPIRED:
        return not request.hold and request.expires_at <= now
    if to == Status.PENDING:
        by_hand = Payment.Kind.BY_HAND
        kept = request.payments.exclude(kind=by_hand, taken_back_at__isnull=False)
        return not kept.exists() and (request.status == Status.PAID or request.expires_at > now)
    return True


def _change(request: BillingRequest, to: str, now: datetime) -> bool:
    old = request.status
    values: dict[str, Any] = {"status": to}
    if to == Status.PAID:
        values |= {
            "paid_at": now,
            "paid_late": old != Status.PENDING,
            "processing_since": None,
            "not_confirmed": False,
            **NO_HOLD,
        }
    else:
        values["not_confirmed"] = request.attempts.filter(not_confirmed=True).exists()
        if to == Status.PENDING:
            values |= {"paid_at": None, "paid_late": False}
        elif to == Status.DELETED:
            values |= {"deleted_at": now, **NO_HOLD}
    # The old value stays in the WHERE, for databases whose row locks do nothing.
    if not BillingRequest.objects.filter(pk=request.pk, status=old).update(**values):
        return False
    for name, value in values.items():
        setattr(request, name, value)
    return True


NO_HOLD: dict[str, Any] = {"hold": "", "hold_since": None, "hold_by": None, "hold_data": {}}


def expire_overdue(*, limit: int = 200, now: datetime | None = None) -> int:
    """Expires what is over and has no live attempt; returns how many requests."""
    now = now or timezone.now()
    due = BillingRequest.objects.with_facts().overdue(now)
    due = due.filter(has_live_attempt=False)  # type: ignore[misc]  # an annotation
    due = due.filter(review_since=None).order_by("expires_at")
    pks = list(due.values_list("pk", flat=True)[:limit])
    if not pks:
        return 0
    chosen = BillingRequest.objects.filter(pk__in=pks)
    return len(move(chosen, Status.EXPIRED, cause=Cause.SWEEP, now=now))
