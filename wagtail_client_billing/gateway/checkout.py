"""Opening the one live session of a request."""

from dataclasses import dataclass
from datetime import timedelta

from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from .. import lifecycle
from ..errors import NotAllowed, NotConnected, StripeUnavailable
from ..models import BillingRequest, CheckoutAttempt, LogEntry, StripeConnection
from ..transactions import outside_transaction
from . import sessions
from .attempts import close_attempt, create_session
from .client import api_for
from .reconcile import reconcile

State = CheckoutAttempt.State

# Somebody sent to a session needs time to type a card number.
WORTH_OPENING = timedelta(minutes=2)
ROUNDS = 3


@dataclass(frozen=True)
class Checkout:
    """Where to send the client; without ``url`` the page says what is true now."""

    url: str | None = None


def open_checkout(request_pk: int, *, seen: str = "") -> Checkout:
    """Reuses or creates the live session of a request.

    ``seen`` is the ``terms`` that the client was shown. Raises ``BeingChanged``, ``NotAllowed``,
    ``NotConnected``, ``StripeUnavailable`` (the attempt stays and the next press finds it) or
    ``StripeRefused``.
    """
    outside_transaction()
    if CheckoutAttempt.objects.filter(request=request_pk, not_confirmed=True).exists():
        # Its account may be back, and with it the word that this one was paid.
        reconcile(request_pk, cause=LogEntry.Cause.CLIENT, waiting=True)
    for _round in range(ROUNDS):
        attempt = lifecycle.begin_attempt(request_pk, build=sessions.session_params, seen=seen)
        if attempt.state == State.PROCESSING:
            return Checkout()
        connection = StripeConnection.objects.of_account(attempt.account_id, attempt.livemode)
        if connection is None or not connection.usable:
            raise NotConnected()
        api = api_for(connection, waiting=True)
        if attempt.state == State.CREATING:
            session = create_session(api, attempt)
            if attempt.state == State.OPEN and session.get("status") == "open":
                return Checkout(sessions.pinned_url(session))
            continue
        session = sessions.retrieve(api, attempt.session_id or "")
        if session["status"] != "open":
            reconcile(request_pk, cause=LogEntry.Cause.CLIENT, waiting=True)
            if session["status"] == "complete":
                return Checkout()
        elif attempt.expires_at - timezone.now() > WORTH_OPENING:
            return Checkout(sessions.pinned_url(session))
        elif BillingRequest.objects.get(pk=request_pk).is_over:
            raise NotAllowed(_("The time to pay this bill is over."))
        elif not close_attempt(api, attempt):
            reconcile(request_pk, cause=LogEntry.Cause.CLIENT, waiting=True)
            return Checkout()
    raise StripeUnavailable()
