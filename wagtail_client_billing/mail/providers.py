"""Mail over HTTP by django-anymail, and what it tells of bounces. Works where it is not installed."""

import logging
import socket
from collections.abc import Collection, Iterator
from typing import Any

from .. import lifecycle
from ..models import EmailDelivery

logger = logging.getLogger(__name__)

Problem = EmailDelivery.Problem

REFUSED = frozenset({"invalid", "rejected", "failed"})
# Of its tracking events: what says that the client has not got the message, or does not want it.
CAME_BACK = frozenset({"bounced", "rejected", "complained", "failed"})
# Of its own answers: the text was refused before anything was done with it.
TRY_LATER = frozenset({408, 425, 429, 503})
NOT_LET_IN = frozenset({401, 403})
# Of its exceptions, those of before the call.
NEVER_POSTED = frozenset(
    {
        "AnymailConfigurationError",
        "AnymailInvalidAddress",
        "AnymailSerializationError",
        "AnymailUnsupportedFeature",
    }
)


class RefusedByProvider(Exception):
    """The provider took the call and refused its recipient."""


def is_by_provider(mailer: Any) -> bool:
    """Whether the mailer is one of django-anymail's, which writes To and Cc itself."""
    return any(each.__module__.partition(".")[0] == "anymail" for each in type(mailer).__mro__)


def provider_id_of(message: Any) -> str:
    """What the provider calls a message to one recipient."""
    status = getattr(message, "anymail_status", None)
    known = getattr(status, "message_id", None)
    return known if isinstance(known, str) else ""


def refuse_what_provider_refused(message: Any) -> None:
    """Raises ``RefusedByProvider`` where the project has told anymail to keep that quiet."""
    status = getattr(message, "anymail_status", None)
    said = getattr(status, "status", None) or set()
    if said and REFUSED.issuperset(said):
        raise RefusedByProvider(f"The provider refused the recipient: {', '.join(sorted(said))}")


def problem_by_provider(error: BaseException) -> Problem | None:
    """What an exception of a mailer over HTTP means, if it is one that says so."""
    if isinstance(error, RefusedByProvider) or _is_called(error, {"AnymailRecipientsRefused"}):
        return Problem.REFUSED
    if _is_called(error, NEVER_POSTED):
        return Problem.OTHER
    code = getattr(error, "status_code", None)
    if isinstance(code, int):
        return _by_code(code)
    if any(_never_arrived(each) for each in _causes(error)):
        return Problem.UNREACHABLE
    return None


def _by_code(code: int) -> Problem | None:
    if code in NOT_LET_IN:
        return Problem.LOGIN
    if code in TRY_LATER:
        return Problem.LATER
    return Problem.REFUSED if 400 <= code < 500 else None


def _is_called(error: BaseException, names: Collection[str]) -> bool:
    return any(each.__name__ in names for each in type(error).__mro__)


def _never_arrived(error: BaseException) -> bool:
    refused = (ConnectionRefusedError, socket.gaierror)
    return isinstance(error, refused) or _is_called(error, {"ConnectTimeout"})


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: BaseException | None = error
    for _step in range(10):
        if seen is None:
            return
        yield seen
        seen = seen.__cause__ or seen.__context__


def watch_bounces() -> None:
    """Connects to django-anymail's tracking signal, where it is installed and in use."""
    from django.apps import apps

    if not apps.is_installed("anymail"):
        return
    from anymail.signals import tracking

    tracking.connect(note_bounce, dispatch_uid="wagtail_client_billing.note_bounce")


def note_bounce(sender: Any, event: Any, **kwargs: Any) -> None:
    """Notes on a delivery that it came back. An event that we do not know is none of ours."""
    if event.event_type not in CAME_BACK or not event.message_id or not event.recipient:
        return
    ours = EmailDelivery.objects.filter(
        provider_id=event.message_id, to__iexact=event.recipient
    ).first()
    if ours is None:
        return
    said = event.mta_response or event.description or event.reject_reason or event.event_type
    reason = " ".join(f"{event.event_type}: {said}".split())
    if lifecycle.delivery_bounced(ours, reason):
        logger.warning("Delivery %s came back: %s", ours.pk, event.event_type)
