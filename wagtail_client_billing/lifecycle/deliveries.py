"""What came of each e-mail. Only the worker that holds a delivery's claim writes its result."""

from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import F, QuerySet
from django.utils import timezone

from ..models import BillingRequest, EmailDelivery
from .record import Action, Cause, lock, note, write

State = EmailDelivery.State
Problem = EmailDelivery.Problem

FIRST_DELIVERY_GRACE = timedelta(minutes=15)
# What the timeline says of a message that was accepted; of receipts it has the payment.
SENT_AS: dict[str, str] = {
    EmailDelivery.Kind.PAYMENT_LINK: Action.SENT,
    EmailDelivery.Kind.CHANGED: Action.SENT,
    EmailDelivery.Kind.REMINDER: Action.REMINDED,
}


def move_once_for_first_delivery(request_pk: int) -> datetime | None:
    """Gives the client the whole lifetime when the first mail leaves late; returns the deadline.

    Called before the text is composed, so that the mail names the right time. Until the first
    acceptance every later try moves the deadline again: nobody has been told an earlier one.
    """
    now = timezone.now()
    with transaction.atomic():
        request = lock(request_pk)
        waiting = request.status == request.Status.PENDING and request.sent_at is None
        if waiting and not request.hold and now - request.created_at > FIRST_DELIVERY_GRACE:
            expires_at = now + request.link_lifetime
            first_time = not request.log_entries.filter(action=Action.DEADLINE_MOVED).exists()
            write(request, expires_at=expires_at)
            if first_time:
                note(
                    request,
                    Action.DEADLINE_MOVED,
                    cause=Cause.WORKER,
                    evidence={"expires_at": expires_at.isoformat()},
                )
        return request.expires_at


def delivery_claimed(pk: int) -> EmailDelivery | None:
    """Takes a due delivery for the worker at hand; None when another one was faster.

    The moment tells the claim: whoever writes a result has to name it.
    """
    # Whoever changes the row first has it. By its key alone: PostgreSQL does not ask a subquery
    # again when it has waited for another worker's change, and both would have it.
    now = timezone.now()
    due = EmailDelivery.objects.filter(pk=pk, state=State.QUEUED, next_try_at__lte=now)
    mine = due.update(
        state=State.SENDING, claimed_at=now, handed_over_at=None, attempts=F("attempts") + 1
    )
    return EmailDelivery.objects.get(pk=pk) if mine else None


def delivery_handed_over(delivery: EmailDelivery) -> bool:
    """The text is about to be given to a server: from now on it may have arrived.

    False when the claim is lost, because somebody took the worker for dead: nothing may be sent.
    """
    return _end(delivery, State.SENDING, handed_over_at=timezone.now())


def delivery_accepted(delivery: EmailDelivery, *, via: str = "", provider_id: str = "") -> None:
    """A mail server took the message: the only thing that makes a delivery *sent*.

    ``provider_id`` is what a provider calls it, so that its news of a bounce finds it.
    """
    now = timezone.now()
    values: dict[str, Any] = {"via": via, "provider_id": provider_id[:255], "sent_at": now}
    with transaction.atomic():
        request = _lock_request(delivery)
        if not _end(delivery, State.SENT, problem="", error="", **values):
            return
        if request is None or delivery.kind not in SENT_AS:
            return
        if (
            delivery.kind == EmailDelivery.Kind.PAYMENT_LINK
            and delivery.role == EmailDelivery.Role.TO
            and request.sent_at is None
        ):
            write(request, sent_at=now)
        note(
            request,
            SENT_AS[delivery.kind],
            cause=Cause.WORKER,
            evidence={
                "to": delivery.to,
                "kind": delivery.kind,
                "message_id": delivery.message_id,
            },
            # A request is sent once, however many copies of the mail there are.
            quiet=delivery.role != EmailDelivery.Role.TO,
        )


def delivery_failed(
    delivery: EmailDelivery,
    problem: str,
    error: str = "",
    *,
    next_try_at: datetime | None = None,
    via: str = "",
) -> None:
    """A try failed. Without ``next_try_at`` the delivery has failed for good."""
    values: dict[str, Any] = {"problem": problem, "error": error[:255], "via": via}
    with transaction.atomic():
        request = _lock_request(delivery)
        if next_try_at:
            _end(delivery, State.QUEUED, next_try_at=next_try_at, **values)
        elif _end(delivery, State.FAILED, **values) and request is not None:
            evidence = {"to": delivery.to, "kind": delivery.kind, "problem": problem}
            note(request, Action.MAIL_FAILED, cause=Cause.WORKER, evidence=evidence)


def delivery_put_off(delivery: EmailDelivery, until: datetime) -> None:
    """It is true, and not the time for it: due again then, as if nobody had tried."""
    _end(delivery, State.QUEUED, next_try_at=until, attempts=max(delivery.attempts - 1, 0))


def delivery_taken_back(delivery: EmailDelivery) -> None:
    """Its worker died. Unless the text may have been given away it is due again.

    Under the same Message-ID. What may have arrived is for a person to decide.
    """
    if delivery.handed_over_at is None:
        # It may not have been dead, and have gone on meanwhile.
        still = _claim_of(delivery).filter(handed_over_at=None)
        still.update(state=State.QUEUED, next_try_at=timezone.now())
    else:
        delivery_failed(delivery, Problem.UNCERTAIN, "The worker stopped while sending.")


def delivery_dropped(
    delivery: EmailDelivery, *, cause: str = Cause.WORKER, user: Any = None
) -> bool:
    """What the message would say is no longer true: it is not sent. Returns whether that was news."""
    with transaction.atomic():
        request = _lock_request(delivery)
        problem = Problem.OBSOLETE.value
        if not _end(delivery, State.DROPPED, problem=problem, error=""):
            return False
        if request is not None:
            evidence = {"to": delivery.to, "kind": delivery.kind}
            note(request, Action.MAIL_DROPPED, cause=cause, user=user, evidence=evidence)
    return True


def delivery_bounced(delivery: EmailDelivery, reason: str = "") -> bool:
    """What a server had taken came back. Returns whether that was news."""
    with transaction.atomic():
        request = _lock_request(delivery)
        sent = EmailDelivery.objects.filter(pk=delivery.pk, state=State.SENT)
        bounced = {"state": State.BOUNCED, "problem": Problem.BOUNCED, "error": reason[:255]}
        if not sent.update(**bounced):
            return False
        if request is not None:
            evidence = {"to": delivery.to, "kind": delivery.kind, "error": reason[:255]}
            note(request, Action.MAIL_BOUNCED, cause=Cause.WORKER, evidence=evidence)
    return True


def _lock_request(delivery: EmailDelivery) -> BillingRequest | None:
    return lock(delivery.request_id) if delivery.request_id is not None else None


def _claim_of(delivery: EmailDelivery) -> QuerySet[EmailDelivery]:
    """The row as long as nobody else has claimed it since."""
    return EmailDelivery.objects.filter(
        pk=delivery.pk, state=delivery.state, claimed_at=delivery.claimed_at
    )


def _end(delivery: EmailDelivery, state: str, **values: Any) -> bool:
    """Writes the result of the try in hand: never that of another worker's later one."""
    return bool(_claim_of(delivery).update(state=state, **values))
