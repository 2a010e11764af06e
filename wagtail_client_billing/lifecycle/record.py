"""Locking a request, and writing down what happened to it."""

from typing import Any

from django.db import models
from django.utils import timezone

from ..models import BillingRequest, CheckoutAttempt, LogEntry
from ..signals import BY_ACTION
from ..waking import wake_on_commit

Cause = LogEntry.Cause
Action = LogEntry.Action


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
) -> LogEntry:
    """Writes a log entry. Entries that nobody is told of count as told from the start."""
    entry = LogEntry.objects.create(
        request=request,
        action=action,
        cause=cause,
        user=user,
        user_name=user_name(user),
        old_status=old,
        new_status=new,
        evidence={key: value for key, value in (evidence or {}).items() if value not in ("", None)},
        told_at=None if action in BY_ACTION else timezone.now(),
    )
    if action in BY_ACTION:
        wake_on_commit("drain_events")
    return entry


def write(request: BillingRequest, **values: Any) -> None:
    """Updates the locked row and the object in hand alike."""
    BillingRequest.objects.filter(pk=request.pk).update(**values)
    for name, value in values.items():
        if not isinstance(value, models.Expression):
            setattr(request, name, value)
