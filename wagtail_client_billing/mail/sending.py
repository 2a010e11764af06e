"""Ways out for mail: in bounded time, one connection for many messages, nothing left open."""

import smtplib
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, Protocol

from django.conf import settings
from django.core import mail
from django.core.mail.backends.smtp import EmailBackend
from django.utils.module_loading import import_string

from ..models import MailServer
from .providers import is_by_provider, provider_id_of, refuse_what_provider_refused
from .smtp import connect

# Seconds that one step of the conversation may take where the project's mailer sets no limit.
STEP_SECONDS = 10
# Servers grow tired of a connection that goes on and on.
PER_CONNECTION = 50


class Handover(Protocol):
    """Told right before a server is given the text. ``done`` says that it was."""

    done: bool

    def __call__(self) -> None: ...


class NothingTaken(Exception):
    """The mailer says that it sent nothing, and not why: some are told to keep that quiet.

    Others, such as django-post_office's, say so of what they have queued to send it later.
    """

    def __init__(self, *, may_have_arrived: bool) -> None:
        super().__init__("The mailer took no message.")
        self.may_have_arrived = may_have_arrived


class AgencyMailer(EmailBackend):
    """Django's SMTP mailer over a connection that the guard has allowed."""

    def __init__(self, server: MailServer) -> None:
        # Everything is given, so that none of it is taken from the project's settings.
        super().__init__(
            alias="client_billing",
            host=server.host,
            port=server.port,
            username="",
            password="",
            use_tls=False,
            use_ssl=False,
            timeout=STEP_SECONDS,
        )
        self.server = server

    def open(self) -> bool:
        if self.connection:
            return False
        self.connection = connect(self.server)
        return True


class Way:
    """One way out, opened with the first message and closed by ``close``."""

    def __init__(self, make_mailer: Callable[[], Any]) -> None:
        self._make_mailer = make_mailer
        self._mailer: Any = None
        self._sent = 0

    def send(self, message: mail.EmailMessage, handover: Handover, names: Mapping[str, str]) -> str:
        """Sends to the message's one recipient; returns what a provider calls it, or "".

        ``names`` are the headers that say who else gets it. A connection that had died since the
        last message is opened once more, as long as nothing was handed over. Raises what the
        mailer raises, and ``NothingTaken``.
        """
        if self._sent >= PER_CONNECTION:
            self.close()
        # Also one that has only ever refused: the next message may find it gone.
        used = self._mailer is not None
        try:
            return self._send(message, handover, names)
        except Exception as error:
            if handover.done or not used or not _has_gone(error):
                raise
        return self._send(message, handover, names)

    def close(self) -> None:
        """Ends the connection, also one that was never quite opened.

        Django's own mailer leaves it open when the login is refused. What goes wrong here says
        nothing about any message.
        """
        mailer, self._mailer, self._sent = self._mailer, None, 0
        smtp = _smtp_of(mailer)
        with suppress(Exception):
            if mailer is not None:
                mailer.close()
        if smtp is not None:
            # Where goodbye could not be said, Django's leaves the socket open.
            smtp.close()

    def _send(
        self, message: mail.EmailMessage, handover: Handover, names: Mapping[str, str]
    ) -> str:
        try:
            with no_endless_wait():
                taken = self._hand_to_mailer(message, handover, names)
        except BaseException as error:
            if not _stays_open(error):
                self.close()
            raise
        if not taken:
            self.close()
            raise NothingTaken(may_have_arrived=handover.done)
        self._sent += 1
        refuse_what_provider_refused(message)
        return provider_id_of(message)

    def _hand_to_mailer(
        self, message: mail.EmailMessage, handover: Handover, names: Mapping[str, str]
    ) -> Any:
        if self._mailer is None:
            self._mailer = self._make_mailer()
        mailer = self._mailer
        mailer.open()
        if not is_by_provider(mailer):
            message.extra_headers.update(names)
        smtp = _smtp_of(mailer)
        if smtp is not None:
            _tell_before_data(smtp, handover)
        else:
            # When it sends cannot be seen from here.
            handover()
        return mailer.send_messages([message])


def default_mailer() -> Any:
    """The project's own; with Django 6.1 the one that is called default."""
    if hasattr(mail, "mailers"):
        return mail.mailers.default
    return import_string(settings.EMAIL_BACKEND)()


def _smtp_of(mailer: Any) -> smtplib.SMTP | None:
    connection = getattr(mailer, "connection", None)
    return connection if isinstance(connection, smtplib.SMTP) else None


def _tell_before_data(smtp: smtplib.SMTP, handover: Handover) -> None:
    def data(text: Any) -> tuple[int, bytes]:
        handover()
        return type(smtp).data(smtp, text)

    smtp.data = data  # type: ignore[assignment, method-assign]


def _code_of(error: BaseException) -> int:
    match error:
        case smtplib.SMTPRecipientsRefused():
            return max((int(reply[0]) for reply in error.recipients.values()), default=0)
        case smtplib.SMTPResponseException():
            return int(error.smtp_code)
    return 0


def _has_gone(error: BaseException) -> bool:
    """Whether the server had ended the conversation by itself; a silent one has not."""
    if code := _code_of(error):
        return code == 421
    # smtplib hides what broke the conversation behind an error of its own.
    hidden = error.__cause__ or error.__context__
    silent = isinstance(error, TimeoutError) or isinstance(hidden, TimeoutError)
    return isinstance(error, OSError) and not silent


def _stays_open(error: BaseException) -> bool:
    """Whether the conversation can go on with another message: smtplib has reset it."""
    refused = (smtplib.SMTPSenderRefused, smtplib.SMTPRecipientsRefused)
    return isinstance(error, refused) and _code_of(error) != 421


@contextmanager
def no_endless_wait() -> Iterator[None]:
    """Gives new sockets a limit where neither the project nor its mailer has set one.

    Django's mailers have none by default, and none can be given to them from outside.
    """
    if socket.getdefaulttimeout() is not None:
        yield
        return
    socket.setdefaulttimeout(STEP_SECONDS)
    try:
        yield
    finally:
        socket.setdefaulttimeout(None)
