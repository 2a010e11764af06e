"""Signals for integrators, sent by the worker from the log entries.

At least once and in order per request. Each carries ``log_entry_id``, by which a receiver knows a
repetition, ``request`` (the ``BillingRequest``) and ``log_entry``.
"""

import logging
import time

from django.dispatch import Signal
from django.utils import timezone

from .models import BillingRequest, LogEntry

logger = logging.getLogger(__name__)

billing_request_sent = Signal()
billing_request_paid = Signal()
billing_request_expired = Signal()
billing_request_deleted = Signal()
payment_received = Signal()
payment_failed = Signal()
payment_refunded = Signal()
payment_disputed = Signal()

BY_ACTION: dict[str, Signal] = {
    LogEntry.Action.SENT: billing_request_sent,
    LogEntry.Action.PAID: billing_request_paid,
    LogEntry.Action.EXPIRED: billing_request_expired,
    LogEntry.Action.DELETED: billing_request_deleted,
    LogEntry.Action.PAYMENT: payment_received,
    LogEntry.Action.MARKED_PAID: payment_received,
    LogEntry.Action.PAYMENT_FAILED: payment_failed,
    LogEntry.Action.RENEWAL_FAILED: payment_failed,
    LogEntry.Action.REFUNDED: payment_refunded,
    LogEntry.Action.DISPUTED: payment_disputed,
}


def send_due_signals(deadline: float) -> int:
    """Tells receivers of what happened; returns how many entries were told.

    ``deadline`` is on the monotonic clock. A receiver that raises is logged and does not keep
    the others from hearing.
    """
    told = 0
    entries = LogEntry.objects.filter(told_at=None).select_related("request").order_by("pk")
    for entry in entries[:500]:
        if time.monotonic() > deadline:
            break
        if not LogEntry.objects.filter(pk=entry.pk, told_at=None).exists():
            continue  # another worker told it while this one told those before
        signal = BY_ACTION.get(entry.action)
        if signal is not None:
            answers = signal.send_robust(
                sender=BillingRequest,
                request=entry.request,
                log_entry=entry,
                log_entry_id=entry.pk,
            )
            for receiver, answer in answers:
                if isinstance(answer, Exception):
                    logger.error(
                        "Receiver %r failed for log entry %s", receiver, entry.pk, exc_info=answer
                    )
        LogEntry.objects.filter(pk=entry.pk).update(told_at=timezone.now())
        told += 1
    return told
