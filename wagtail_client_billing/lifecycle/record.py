"""Locking a request, and writing down what happened to it."""

from typing import Any

from django.db import models
from django.utils import timezone
from wagtail.log_actions import log

from ..models import BillingRequest, CheckoutAttempt, LogEntry
from ..signals import BY_ACTION
from ..waking import wake_on_commit

Cause = LogEntry.Cause
Action = LogEntry.Action

# What Wagtail's history tells as well. More people read that: no address, and no amount.
HISTORY = frozenset(
    {
        Action.CREATED,
        Action.RESENT,
        Action.REMINDER_ASKED,
        Action.EDITED,
        Action.MARKED_PAID,
        Action.PAID,
        Action.EXPIRED,
        Action.RENEWED,
        Action.TAKEN_BACK,
        Action.DELETED,
        Action.REVIEW,
        Action.REVIEWED,
        Action.REFUND_ASKED,
        Action.REFUNDED,
        Action.REFUND_FAILED,
        Action.DISPUTED,
        Action.DISPUTE_CLOSED,
        Action.SUBSCRIBED,
        Action.RENEWAL_FAILED,
        Action.CANCEL_PLANNED,
        Action.CANCEL_DROPPED,
        Action.CANCELED,
    }
)


def lock(request_pk: int) -> BillingRequest:
    """The request with its row locked; the lock order is request, connection, attempt.

    SQLite has no row locks; there the transaction itself is exclusive (IMMEDIATE).
    """
    return BillingRequest.objects.select_for_update().get(pk=request_pk)


def live_attempt_of(request: BillingRequest) -> CheckoutAttempt | None:
    """The one attempt whose session may still be paid or is being settled. Ask under the lock."""
    return request.attempts.filter(state__in=CheckoutAttempt.LIVE).first()


def user_name(user: Any) -> str:
    """What the log keeps of a user who may be deleted one day."""
    if user is None:
        return ""
    return (user.get_full_name() or user.get_username())[:150]


def note(
    request: BillingRequest,
    action: str,
    *,
    cause: str,
    user: Any = None,
    old: str = "",
    new: str = "",
    evidence: dict[str, Any] | None = None,
    quiet: bool = False,
) -> LogEntry:
    """Writes a log entry. Entries that nobody is told of, as a ``quiet`` one, count as told."""
    told = action in BY_ACTION and not quiet
    entry = LogEntry.objects.create(
        request=request,
        action=action,
        cause=cause,
        user=user,
        user_name=user_name(user),
        old_status=old,
        new_status=new,
        evidence={key: value for key, value in (evidence or {}).items() if value not in ("", None)},
        told_at=None if told else timezone.now(),
    )
    if told:
        wake_on_commit("drain_events")
    if action in HISTORY:
        data = {"cause": cause, "by": entry.user_name} | ({"status": new} if new else {})
        log(instance=request, action=history_action(action), user=user, data=data)
    return entry


def history_action(action: str) -> str:
    """The name of an action in Wagtail's history."""
    return f"client_billing.request_{action}"


def write(request: BillingRequest, **values: Any) -> None:
    """Updates the locked row and the object in hand alike."""
    BillingRequest.objects.filter(pk=request.pk).update(**values)
    for name, value in values.items():
        if not isinstance(value, models.Expression):
            setattr(request, name, value)
