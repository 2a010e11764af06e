"""Sends one delivery: by the agency's mail server, by default mail, or by the one for the other."""

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.utils import parseaddr

from django.core.mail import EmailMessage
from django.utils import timezone

from .. import lifecycle
from ..models import BillingRequest, EmailDelivery, MailServer
from ..rounds import Round
from .addressing import names_of
from .compose import compose
from .obsolete import is_obsolete
from .problems import FOR_NOW, OF_SERVER, described, problem_of
from .providers import problem_by_provider
from .senders import sender_of
from .sending import AgencyMailer, NothingTaken, Way, default_mailer

logger = logging.getLogger(__name__)

Kind = EmailDelivery.Kind
Problem = EmailDelivery.Problem
Via = EmailDelivery.Via

RETRY_MINUTES = (1, 5, 15, 30, 60)
# What waits for a server costs nobody a try, and few of it at a time find out that it works again.
SERVER_RETRY_MINUTES = (1, 2, 5, 10, 15)
TRY_FOR = timedelta(hours=24)


class ClaimLost(Exception):
    """Somebody took this worker for dead, and the delivery for theirs."""


class Try:
    """One try of a delivery: commits that the text is handed over before it is."""

    def __init__(self, delivery: EmailDelivery) -> None:
        self.delivery = delivery
        self.done = False

    def __call__(self) -> None:
        if not lifecycle.delivery_handed_over(self.delivery):
            raise ClaimLost("Another worker has taken this delivery.")
        self.done = True


@dataclass(frozen=True)
class Result:
    """What came of a try; without a problem it was accepted."""

    problem: str = ""
    error: str = ""
    provider_id: str = ""
    handed_over: bool = False
    from_email: str = ""

    @property
    def is_of_server(self) -> bool:
        """Whether any other message would have met it as well."""
        return self.problem in OF_SERVER


class Courier:
    """Delivers one after the other, over connections that it keeps until ``close``."""

    def __init__(self) -> None:
        self._default = Way(default_mailer)
        self._custom: Way | None = None
        self._server: MailServer | None = None
        # With three failures in a row the agency's server is spared where default mail steps in.
        self._failures = Round()

    def close(self) -> None:
        """Ends all connections."""
        self._default.close()
        self._leave_server()

    def deliver(self, delivery: EmailDelivery) -> str:
        """Sends one claimed delivery and writes down what came of it; returns the problem, or "".

        The claim is committed before a mail server is called. Whatever stops the worker itself
        (``SystemExit``, ``KeyboardInterrupt``) is written down and raised again.
        """
        try:
            obsolete = _is_obsolete_now(delivery)
            later = lifecycle.put_off_until(delivery, timezone.now())
        except Exception as error:
            logger.exception("Delivery %s could not be looked into", delivery.pk)
            return _write(delivery, Result(Problem.OTHER, described(error)), "")
        if obsolete:
            lifecycle.delivery_dropped(delivery)
            return Problem.OBSOLETE
        if later:
            lifecycle.delivery_put_off(delivery, later)
            return ""
        # That custom SMTP fails is never told by custom SMTP.
        server = None if delivery.kind == Kind.AGENCY_MAIL else MailServer.in_use()
        if server is None:
            return _write(delivery, self._by_default(delivery, Via.DEFAULT), Via.DEFAULT)
        if not server.falls_back:
            return self._end_custom(delivery, server, self._by_custom(delivery, server))
        first = None
        if not self._failures.over:
            first = self._by_custom(delivery, server)
            if not first.is_of_server or first.handed_over:
                return self._end_custom(delivery, server, first)
        second = self._by_default(delivery, Via.FALLBACK)
        if first is not None and second.is_of_server:
            both = f"{first.error[:110]}; default mail: {second.error[:110]}"
            return _write(delivery, Result(first.problem, both), Via.CUSTOM)
        return _write(delivery, second, Via.FALLBACK)

    def _by_default(self, delivery: EmailDelivery, via: str) -> Result:
        return _try(delivery, self._default, None, via)

    def _by_custom(self, delivery: EmailDelivery, server: MailServer) -> Result:
        result = _try(delivery, self._way_to(server), server, Via.CUSTOM)
        if result.is_of_server and not _is_of_site(result, server):
            lifecycle.mail_server_failed(server, result.problem)
        self._failures.note(not result.is_of_server)
        return result

    def _end_custom(self, delivery: EmailDelivery, server: MailServer, result: Result) -> str:
        # What became of the message first: whatever goes wrong after that leaves no doubt of it.
        problem = _write(delivery, result, Via.CUSTOM)
        if not problem:
            lifecycle.mail_server_works(server)
        return problem

    def _way_to(self, server: MailServer) -> Way:
        known = self._server
        if self._custom is None or known is None or known.changed_at != server.changed_at:
            self._leave_server()
            self._custom, self._server = Way(lambda: AgencyMailer(server)), server
            self._failures = Round()
        return self._custom

    def _leave_server(self) -> None:
        if self._custom is not None:
            self._custom.close()


def next_try(delivery: EmailDelivery, problem: str, now: datetime) -> datetime | None:
    """When a delivery that failed is tried again; None when there is no use in it.

    What is wrong with the server is waited for; the rest is tried for a day, if it may pass.
    """
    if problem in OF_SERVER:
        return now + _step(SERVER_RETRY_MINUTES, delivery)
    moment = now + _step(RETRY_MINUTES, delivery)
    return moment if problem in FOR_NOW and moment < delivery.created_at + TRY_FOR else None


def _step(minutes: tuple[int, ...], delivery: EmailDelivery) -> timedelta:
    return timedelta(minutes=minutes[min(max(delivery.attempts, 1), len(minutes)) - 1])


def _is_obsolete_now(delivery: EmailDelivery) -> bool:
    if delivery.request_id is not None:
        if delivery.kind == Kind.PAYMENT_LINK:
            # Before the text is composed, so that it names the right time.
            lifecycle.move_once_for_first_delivery(delivery.request_id)
        delivery.request = BillingRequest.objects.select_related("site").get(pk=delivery.request_id)
    return is_obsolete(delivery)


def _try(delivery: EmailDelivery, way: Way, server: MailServer | None, via: str) -> Result:
    """Composes and sends; what stops the worker itself is written down and raised again."""
    try:
        message = compose(delivery, server)
    except Exception as error:
        logger.exception("Delivery %s could not be composed", delivery.pk)
        return Result(Problem.OTHER, described(error))
    attempt = Try(delivery)
    try:
        provider_id = way.send(message, attempt, names_of(delivery))
    except BaseException as error:
        result = _failed(error, attempt, message)
        logger.warning(
            "Delivery %s failed: %s (%s)", delivery.pk, result.problem, type(error).__name__
        )
        if not isinstance(error, Exception):
            _write(delivery, result, via)
            raise
        return result
    return Result(provider_id=provider_id, handed_over=True)


def _failed(error: BaseException, attempt: Try, message: EmailMessage) -> Result:
    if isinstance(error, NothingTaken):
        problem = Problem.UNCERTAIN if error.may_have_arrived else Problem.OTHER
    else:
        said = problem_by_provider(error) if attempt.done else None
        problem = said or problem_of(error, handed_over=attempt.done)
    return Result(
        problem,
        described(error),
        handed_over=attempt.done,
        from_email=parseaddr(message.from_email)[1],
    )


def _is_of_site(result: Result, server: MailServer) -> bool:
    """Whether a site's own sender was refused, which others need not be."""
    own = parseaddr(sender_of(None, server).from_email)[1]
    return result.problem == Problem.SENDER and result.from_email != own


def _write(delivery: EmailDelivery, result: Result, via: str) -> str:
    if result.problem:
        again = next_try(delivery, result.problem, timezone.now())
        lifecycle.delivery_failed(
            delivery, result.problem, result.error, next_try_at=again, via=via
        )
        return result.problem
    had_waited = delivery.problem in OF_SERVER
    lifecycle.delivery_accepted(delivery, via=via, provider_id=result.provider_id)
    if had_waited:
        # So the others need wait no longer.
        lifecycle.retry_waiting_mail()
    return ""
