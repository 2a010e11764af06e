"""What a reader was last told of a request, and what has changed since."""

from dataclasses import dataclass
from typing import Any

from ..models import BillingRequest, EmailDelivery, LogEntry

Kind = EmailDelivery.Kind

# The mails that name the terms of a bill.
NAMES_TERMS = (Kind.PAYMENT_LINK, Kind.REMINDER, Kind.CHANGED)
# What its reader is told of.
TOLD = ("amount_minor", "description")


@dataclass(frozen=True)
class Change:
    """One value of a request: what the reader knows, and what is true."""

    name: str
    before: Any
    now: Any


def was_told(delivery: EmailDelivery) -> bool:
    """Whether an earlier mail with the terms was accepted for this reader."""
    return _last_told(delivery) is not None


def changes_since_told(delivery: EmailDelivery) -> list[Change]:
    """What of amount and description is not as the reader knows it.

    Several edits are one change; one that was taken back is none. A preview names the one edit
    that it is about.
    """
    request, told = delivery.request, _last_told(delivery)
    if request is None:
        return []
    edits = LogEntry.objects.filter(request=request, action=LogEntry.Action.EDITED)
    if edit := edits.filter(pk=delivery.facts.get("edit")).first():
        changed = edit.evidence.get("changed", {})
        return [Change(name, *changed[name]) for name in TOLD if name in changed]
    if told is None:
        return []
    # A text is composed once its row is claimed.
    since = edits.filter(at__gt=told.claimed_at or told.created_at).order_by("pk")
    known: dict[str, Any] = {}
    for entry in since:
        for name, (before, _after) in entry.evidence.get("changed", {}).items():
            known.setdefault(name, before)
    return [
        Change(name, known[name], getattr(request, name))
        for name in TOLD
        if name in known and known[name] != getattr(request, name)
    ]


def is_superseded(delivery: EmailDelivery, request: BillingRequest) -> bool:
    """Whether a later mail with the terms goes to the same reader anyway."""
    waiting = (EmailDelivery.State.QUEUED, EmailDelivery.State.SENDING, EmailDelivery.State.SENT)
    later = EmailDelivery.objects.filter(
        request=request, kind__in=NAMES_TERMS, to=delivery.to, pk__gt=delivery.pk
    )
    return later.filter(state__in=waiting).exists()


def _last_told(delivery: EmailDelivery) -> EmailDelivery | None:
    earlier = EmailDelivery.objects.filter(
        request=delivery.request_id,
        kind__in=NAMES_TERMS,
        to=delivery.to,
        state=EmailDelivery.State.SENT,
    )
    return earlier.exclude(pk=delivery.pk).order_by("-sent_at", "-pk").first()
