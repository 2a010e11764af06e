"""Mails are queued with the change that they tell of."""

import hashlib
import re
from collections.abc import Collection
from datetime import datetime, timedelta
from email.utils import make_msgid, parseaddr
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from ..errors import BeingChanged, CopyOfProduction, NotAllowed, TooSoon
from ..models import (
    AgencySettings,
    BillingRequest,
    EmailDelivery,
    MessageSettings,
    StripeConnection,
)
from ..permissions import works_on
from ..waking import wake_on_commit
from .deliveries import delivery_dropped
from .record import Action, Cause, lock, note

# How long to wait before the same request is mailed by hand again.
RESEND_AFTER = timedelta(minutes=1)
DOMAIN = re.compile(r"[A-Za-z0-9.-]+")


def tell_client(
    request: BillingRequest,
    kind: str,
    *,
    once: str = "",
    facts: dict[str, Any] | None = None,
    only: Collection[tuple[str, str]] | None = None,
) -> list[EmailDelivery]:
    """Queues one kind of e-mail to everybody whom the client's mails go to.

    ``only`` are those of the request's ``recipients`` that get it. Nothing where the agency has
    switched the kind off. What has the same ``once`` is queued once.
    """
    return _queue(
        request,
        kind,
        [
            (role, address, request.language)
            for role, address in (request.recipients if only is None else only)
        ],
        facts=facts or {},
        once=once,
    )


def tell_agency(request: BillingRequest | None, kind: str, **facts: Any) -> list[EmailDelivery]:
    """Queues a notice to the agency's address, and to whoever has sent the request.

    To the latter only while they may still see it.
    """
    agency = AgencySettings.current()
    address = agency.notify if agency is not None else ""
    role = EmailDelivery.Role.TO.value
    queued = _queue(request, kind, [(role, address, "")], facts=facts) if address else []
    sender = request.created_by if request is not None else None
    if (
        sender is not None
        and sender.is_active
        and sender.email
        and sender.email.lower() != address.lower()
        and works_on(sender, request)
    ):
        reader = (role, sender.email, _language_of(sender))
        queued += _queue(request, kind, [reader], facts={**facts, "reader": sender.pk})
    return queued


def account_broken(connection_pk: int, *, since: datetime) -> list[EmailDelivery]:
    """Tells the agency that Stripe refuses an account. Call it with the change that says so."""
    return tell_agency(
        None,
        EmailDelivery.Kind.AGENCY_CONNECTION,
        connection=connection_pk,
        broken_at=since.isoformat(),
    )


def _queue(
    request: BillingRequest | None,
    kind: str,
    readers: list[tuple[str, str, str]],
    *,
    facts: dict[str, Any],
    once: str = "",
) -> list[EmailDelivery]:
    """Queues e-mails in the current transaction and wakes the outbox on commit."""
    if not MessageSettings.is_on(kind):
        return []
    queued = []
    for role, address, language in readers:
        # An address may be longer than the key: two that begin alike are two readers.
        reader = hashlib.sha256(f"{role} {address.lower()}".encode()).hexdigest()[:32]
        key = f"{once} {reader}" if once else None
        if key and EmailDelivery.objects.filter(once=key).exists():
            continue
        queued.append(
            EmailDelivery.objects.create(
                request=request,
                kind=kind,
                to=address,
                role=role,
                language=language or settings.LANGUAGE_CODE,
                facts=facts,
                once=key,
                message_id=make_msgid(domain=_sending_domain()),
            )
        )
    if queued:
        wake_on_commit("drain_outbox")
    return queued


def _language_of(user: Any) -> str:
    """The language that a user has chosen for the admin; empty without a choice."""
    profile = getattr(user, "wagtail_userprofile", None)
    return profile.preferred_language if profile else ""


def _sending_domain() -> str:
    """The domain that mail is sent from: filters distrust any other in a Message-ID.

    Never the machine's own name, which is nobody's business and slow to look up.
    """
    _local, at, domain = parseaddr(settings.DEFAULT_FROM_EMAIL)[1].rpartition("@")
    return domain if at and DOMAIN.fullmatch(domain) else "localhost"


def resend(
    request: BillingRequest, *, only: tuple[str, str] | None = None, user: Any
) -> list[EmailDelivery]:
    """Queues the e-mails with the link once more; what still waits of them is due now instead.

    ``only`` is the one of the request's ``recipients`` that gets it again. Raises ``NotAllowed``
    unless pending or for somebody who is no recipient, ``BeingChanged`` under a hold, ``TooSoon``
    within a minute of the last time, and ``CopyOfProduction`` where nothing is mailed.
    """
    connection = StripeConnection.objects.of_account(request.account_id, request.livemode)
    if connection is not None and connection.is_copy:
        raise CopyOfProduction()
    kind = EmailDelivery.Kind.PAYMENT_LINK
    with transaction.atomic():
        request = lock(request.pk)
        if request.hold:
            raise BeingChanged()
        if request.status != request.Status.PENDING or request.is_over or request.review_since:
            raise NotAllowed()
        readers = request.recipients if only is None else [only]
        if not set(readers).issubset(request.recipients):
            raise NotAllowed()
        now = timezone.now()
        if request.log_entries.filter(action=Action.RESENT, at__gt=now - RESEND_AFTER).exists():
            raise TooSoon()
        note(request, Action.RESENT, cause=Cause.EDITOR, user=user)
        waiting = request.deliveries.filter(kind=kind, state=EmailDelivery.State.QUEUED)
        due = [each for each in waiting if (each.role, each.to) in readers]
        EmailDelivery.objects.filter(pk__in=[each.pk for each in due]).update(next_try_at=now)
        wake_on_commit("drain_outbox")
        waits = {(each.role, each.to) for each in due}
        new = [each for each in readers if each not in waits]
        return [*due, *tell_client(request, kind, only=new)]


def drop_queued(account_id: str, livemode: bool, *, user: Any) -> int:
    """Ends what still waits to be mailed for an account's requests; returns how many mails."""
    queued = EmailDelivery.objects.filter(
        state=EmailDelivery.State.QUEUED,
        request__account_id=account_id,
        request__livemode=livemode,
    )
    return sum(
        delivery_dropped(delivery, cause=Cause.EDITOR, user=user)
        for delivery in list(queued.order_by("pk"))
    )
