"""Whether the agency's own mail server works, and what is told when it does not."""

from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone

from ..models import EmailDelivery, MailServer
from ..waking import wake_on_commit
from .mailing import tell_agency

Kind = EmailDelivery.Kind

# What may pass by itself is told once it has lasted so long.
PASSING_LASTS = timedelta(hours=1)
# A server that comes and goes is not told of each time.
AT_MOST_EVERY = timedelta(hours=1)


def mail_server_failed(server: MailServer, problem: str) -> None:
    """It met what every message would meet (``EmailDelivery.OF_SERVER``).

    Nothing when it was changed since: that says nothing of the server as it is now.
    """
    with transaction.atomic():
        row = _locked(server)
        if row is None or row.changed_at != server.changed_at:
            return
        row.failing_since = row.failing_since or timezone.now()
        row.failing_problem = problem
        row.save(update_fields=["failing_since", "failing_problem"])
        _tell(row)


def mail_server_works(server: MailServer) -> None:
    """It took a message: what waits for it is due now."""
    if server.failing_since is None:
        return
    with transaction.atomic():
        if _not_failing(server):
            retry_waiting_mail()


def mail_server_saved(server: MailServer) -> None:
    """It was changed: what waits is tried again at once. Switched off, it fails no more."""
    with transaction.atomic():
        if not server.enabled:
            _not_failing(server)
        retry_waiting_mail()


def tell_of_mail_server() -> None:
    """Tells of a failing that has lasted, also where no message has met it since."""
    server = MailServer.in_use()
    if server is None or server.failing_since is None or server.failing_told_at is not None:
        return
    with transaction.atomic():
        row = _locked(server)
        if row is not None:
            _tell(row)


def retry_waiting_mail() -> int:
    """Makes due what waits for a mail server to work again; returns how many mails."""
    waiting = EmailDelivery.objects.filter(
        state=EmailDelivery.State.QUEUED, problem__in=EmailDelivery.OF_SERVER
    )
    found = waiting.filter(next_try_at__gt=timezone.now()).update(next_try_at=timezone.now())
    wake_on_commit("drain_outbox")
    return found


def _locked(server: MailServer) -> MailServer | None:
    return MailServer.objects.select_for_update().filter(pk=server.pk, enabled=True).first()


def _not_failing(server: MailServer) -> bool:
    failing = MailServer.objects.filter(pk=server.pk, failing_since__isnull=False)
    nothing: dict[str, Any] = {"failing_since": None, "failing_problem": ""}
    return bool(failing.update(**nothing, failing_told_at=None))


def _tell(row: MailServer) -> None:
    """Queues the notice once for each time that it fails. By default mail, as the outbox knows."""
    now = timezone.now()
    if row.failing_since is None or row.failing_told_at is not None:
        return
    lasts = row.failing_problem not in EmailDelivery.PASSING
    if not lasts and now - row.failing_since < PASSING_LASTS:
        return
    if _told_since(now - AT_MOST_EVERY):
        return
    row.failing_told_at = now
    row.save(update_fields=["failing_told_at"])
    tell_agency(
        None,
        Kind.AGENCY_MAIL,
        problem=row.failing_problem,
        since=row.failing_since.isoformat(),
    )


def _told_since(moment: datetime) -> bool:
    return EmailDelivery.objects.filter(kind=Kind.AGENCY_MAIL, created_at__gt=moment).exists()
