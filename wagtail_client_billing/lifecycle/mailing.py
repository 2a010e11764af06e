"""Mails are queued with the change that they tell of, and their results are written here."""

import re
from datetime import datetime, timedelta
from email.utils import make_msgid, parseaddr
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from ..conf import billing_settings
from ..errors import CopyOfProduction, NotAllowed
from ..models import AgencySettings, BillingRequest, EmailDelivery, StripeConnection
from ..waking import wake_on_commit
from .record import Action, Cause, lock, note, write

FIRST_DELIVERY_GRACE = timedelta(minutes=15)
DOMAIN = re.compile(r"[A-Za-z0-9.-]+")


def queue(
    request: BillingRequest,
    kind: str,
    *,
    to: str,
    language: str = "",
    facts: dict[str, Any] | None = None,
) -> EmailDelivery:
    """Queues one e-mail in the current transaction and wakes the outbox on commit."""
    delivery = EmailDelivery.objects.create(
        request=request,
        kind=kind,
        to=to,
        language=language or settings.LANGUAGE_CODE,
        facts=facts or {},
        message_id=make_msgid(domain=_sending_domain()),
    )
    wake_on_commit("drain_outbox")
    return delivery


def _sending_domain() -> str:
    """The domain that mail is sent from: filters distrust any other in a Message-ID.

    Never the machine's own name, which is nobody's business and slow to look up.
    """
    _local, at, domain = parseaddr(settings.DEFAULT_FROM_EMAIL)[1].rpartition("@")
    return domain if at and DOMAIN.fullmatch(domain) else "localhost"


def tell_agency(request: BillingRequest, kind: str, **facts: Any) -> EmailDelivery | None:
    """Queues a notice to the agency, if it has given an address."""
    agency = AgencySettings.current()
    if agency is None or not agency.notify:
        return None
    return queue(request, kind, to=agency.notify, facts=facts)


def resend(request: BillingRequest, *, user: Any) -> EmailDelivery:
    """Queues the e-mail with the link once more.

    Raises ``NotAllowed`` unless pending, and ``CopyOfProduction`` where nothing is mailed.
    """
    connection = StripeConnection.objects.of_account(request.account_id, request.livemode)
    if connection is not None and connection.is_copy:
        raise CopyOfProduction()
    with transaction.atomic():
        request = lock(request.pk)
        if request.status != request.Status.PENDING or request.is_over:
            raise NotAllowed()
        note(request, Action.RESENT, cause=Cause.EDITOR, user=user)
        return queue(
            request,
            EmailDelivery.Kind.PAYMENT_LINK,
            to=request.email,
            language=request.language,
        )


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
            expires_at = now + billing_settings.link_lifetime
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


def drop_queued(account_id: str, livemode: bool, *, user: Any) -> int:
    """Ends what still waits to be mailed for an account's requests; returns how many mails."""
    queued = EmailDelivery.objects.filter(
        state=EmailDelivery.State.QUEUED,
        request__account_id=account_id,
        request__livemode=livemode,
    )
    dropped = 0
    for delivery in list(queued.order_by("pk")):
        with transaction.atomic():
            request = lock(delivery.request_id)
            changed = queued.filter(pk=delivery.pk).update(
                state=EmailDelivery.State.FAILED, problem=EmailDelivery.Problem.OBSOLETE
            )
            if changed:
                note(
                    request,
                    Action.MAIL_FAILED,
                    cause=Cause.EDITOR,
                    user=user,
                    evidence={
                        "to": delivery.to,
                        "kind": delivery.kind,
                        "problem": EmailDelivery.Problem.OBSOLETE.value,
                    },
                )
            dropped += changed
    return dropped


def delivery_accepted(delivery: EmailDelivery) -> None:
    """A mail server took the message: the only thing that makes a delivery *sent*."""
    now = timezone.now()
    with transaction.atomic():
        request = lock(delivery.request_id)
        changed = EmailDelivery.objects.filter(
            pk=delivery.pk, state=EmailDelivery.State.SENDING
        ).update(state=EmailDelivery.State.SENT, sent_at=now, problem="", error="")
        if not changed:
            return
        if delivery.kind == EmailDelivery.Kind.PAYMENT_LINK:
            if request.sent_at is None:
                write(request, sent_at=now)
            note(
                request,
                Action.SENT,
                cause=Cause.WORKER,
                evidence={"to": delivery.to, "message_id": delivery.message_id},
            )


def delivery_failed(
    delivery: EmailDelivery,
    problem: str,
    error: str = "",
    *,
    next_try_at: datetime | None = None,
) -> None:
    """A try failed. Without ``next_try_at`` the delivery has failed for good."""
    with transaction.atomic():
        request = lock(delivery.request_id)
        values: dict[str, Any] = {
            "problem": problem,
            "error": error[:255],
            "state": EmailDelivery.State.QUEUED if next_try_at else EmailDelivery.State.FAILED,
        }
        if next_try_at:
            values["next_try_at"] = next_try_at
        changed = EmailDelivery.objects.filter(
            pk=delivery.pk, state=EmailDelivery.State.SENDING
        ).update(**values)
        if changed and not next_try_at:
            note(
                request,
                Action.MAIL_FAILED,
                cause=Cause.WORKER,
                evidence={"to": delivery.to, "kind": delivery.kind, "problem": problem},
            )
