"""A connection to the agency's own mail server: guarded, encrypted, and never endless."""

import re
import smtplib
import socket
import ssl
import time
from contextlib import suppress
from typing import Any

from django.views.decorators.debug import sensitive_variables

from .. import netguard, sealing
from ..models import MailServer

# Seconds for one step, for getting as far as being logged in, for one message, and for goodbye.
STEP_SECONDS = 10.0
CONNECT_SECONDS = 15.0
MESSAGE_SECONDS = 20.0
GOODBYE_SECONDS = 2.0
# What a server may say between two of our lines.
LONGEST_ANSWER = 64 * 1024
GREETED = 220
DOMAIN = re.compile(r"[A-Za-z0-9.-]{1,253}")


class NoEncryption(smtplib.SMTPNotSupportedError):
    """The connection cannot be encrypted as it was chosen; nothing was said in plain text."""


class LoginFailed(smtplib.SMTPAuthenticationError):
    """The server does not know us. Without the password, which smtplib's traceback holds."""


class TakesTooLong(TimeoutError):
    """All that it took together is too much, however small the steps were."""


class Clock:
    """How much time is left, and how much a server has said since it was our turn."""

    def __init__(self, seconds: float) -> None:
        self.restart(seconds)

    def restart(self, seconds: float) -> None:
        self.ends_at = time.monotonic() + seconds
        self.heard = 0

    def step(self) -> float:
        """Seconds that the next step may take; raises ``TakesTooLong``."""
        left = self.ends_at - time.monotonic()
        if left <= 0:
            raise TakesTooLong("The mail server takes too long")
        return min(left, STEP_SECONDS)

    def hear(self, count: int) -> None:
        """Counts bytes; raises ``TakesTooLong`` for an answer without an end."""
        self.heard += count
        if self.heard > LONGEST_ANSWER:
            raise TakesTooLong("The mail server's answer has no end")


class _InTime:
    """A socket whose every step has the time that is left, so that drops do not add up."""

    clock: Clock

    def recv_into(self, *args: Any, **kwargs: Any) -> int:
        self.settimeout(self.clock.step())  # type: ignore[attr-defined]
        count = super().recv_into(*args, **kwargs)  # type: ignore[misc]
        self.clock.hear(count)
        return int(count)

    def sendall(self, *args: Any, **kwargs: Any) -> None:
        self.settimeout(self.clock.step())  # type: ignore[attr-defined]
        self.clock.heard = 0
        super().sendall(*args, **kwargs)  # type: ignore[misc]

    def send(self, *args: Any, **kwargs: Any) -> int:
        # What sendall() is made of under TLS.
        self.settimeout(self.clock.step())  # type: ignore[attr-defined]
        return int(super().send(*args, **kwargs))  # type: ignore[misc]

    def do_handshake(self, *args: Any, **kwargs: Any) -> None:
        self.settimeout(self.clock.step())  # type: ignore[attr-defined]
        super().do_handshake(*args, **kwargs)  # type: ignore[misc]


def _socket_class(base: type, clock: Clock) -> type:
    # Made for each connection: TLS shakes hands before anything could be set on the socket.
    return type(f"InTime{base.__name__}", (_InTime, base), {"clock": clock})


class Client(smtplib.SMTP):
    """smtplib's, dialling judged addresses only, each message in bounded time."""

    clock: Clock
    message_seconds: float

    def _get_socket(self, host: str, port: int, timeout: float) -> Any:
        endpoints = netguard.resolve_once(host, port, seconds=self.clock.step())
        for place, endpoint in enumerate(endpoints, start=1):
            dialled = _socket_class(socket.socket, self.clock)(endpoint.family, socket.SOCK_STREAM)
            try:
                dialled.settimeout(self.clock.step())
                dialled.connect(endpoint.sockaddr)
            except BaseException as error:
                dialled.close()
                if not isinstance(error, OSError) or place == len(endpoints):
                    raise
            else:
                return dialled
        raise AssertionError("A host without addresses is unknown")

    def getreply(self) -> tuple[int, bytes]:
        try:
            return super().getreply()
        except smtplib.SMTPResponseException:
            # smtplib's way to say that a line has no end; what it says would count as an answer.
            raise TakesTooLong("A line of the mail server has no end") from None

    def mail(self, *args: Any, **kwargs: Any) -> tuple[int, bytes]:
        """Begins a message, and its time."""
        self.clock.restart(self.message_seconds)
        return super().mail(*args, **kwargs)

    def quit(self) -> tuple[int, bytes]:
        self.clock.restart(GOODBYE_SECONDS)
        return super().quit()


class TLSClient(smtplib.SMTP_SSL, Client):
    """The same, encrypted from the first byte."""


def connect(
    server: MailServer,
    *,
    seconds: float | None = None,
    message_seconds: float | None = None,
) -> smtplib.SMTP:
    """A connection that is ready for messages; closing it is the caller's.

    ``seconds`` is how long getting there may take, ``message_seconds`` each message after it.
    Raises ``netguard.NotAllowed``, ``sealing.SecretUnreadable``, and what ``problem_of`` knows of
    smtplib, ssl and sockets. No password is ever sent unencrypted.
    """
    clock = Clock(CONNECT_SECONDS if seconds is None else seconds)
    client = _client_for(server, clock)
    client.message_seconds = MESSAGE_SECONDS if message_seconds is None else message_seconds
    code, reply = client.connect(server.host, server.port)
    if code != GREETED:
        client.close()
        raise smtplib.SMTPConnectError(code, reply)
    try:
        client.ehlo_or_helo_if_needed()
        if server.encryption == MailServer.Encryption.STARTTLS:
            _start_tls(client)
        if server.username:
            _log_in(client, server)
    except BaseException:
        close(client)
        raise
    return client


def _client_for(server: MailServer, clock: Clock) -> Client:
    name = _our_name(server)
    client = (
        TLSClient(local_hostname=name, context=_tls_context(clock))
        if server.encryption == MailServer.Encryption.TLS
        else Client(local_hostname=name)
    )
    client.clock = clock
    # Which the certificate must carry; smtplib takes it from its constructor alone.
    client._host = server.host  # type: ignore[attr-defined]
    return client


def _tls_context(clock: Clock) -> ssl.SSLContext:
    """Python's own defaults: the certificate must be trusted and carry the host's name."""
    context = ssl.create_default_context()
    context.sslsocket_class = _socket_class(ssl.SSLSocket, clock)
    return context


def close(client: smtplib.SMTP) -> None:
    """Says goodbye if the server still listens; what goes wrong then says nothing of a message."""
    with suppress(Exception):
        client.quit()
    client.close()


def _start_tls(client: Client) -> None:
    try:
        client.starttls(context=_tls_context(client.clock))
    except (smtplib.SMTPNotSupportedError, smtplib.SMTPResponseException) as error:
        raise NoEncryption(str(error)) from None
    client.ehlo_or_helo_if_needed()


@sensitive_variables("password")
def _log_in(client: Client, server: MailServer) -> None:
    if server.encryption == MailServer.Encryption.NONE:
        raise NoEncryption("A password is not sent unencrypted")
    password = sealing.open(server.sealed_password)
    try:
        client.login(server.username, password)
        return
    except smtplib.SMTPResponseException as error:
        refusal: Exception = LoginFailed(error.smtp_code, b"")
    except smtplib.SMTPServerDisconnected as error:
        refusal = _retold(error)
    except (smtplib.SMTPException, ValueError):
        # No way of logging in that both sides know, or a password that smtplib cannot send.
        refusal = LoginFailed(504, b"")
    except OSError as error:
        refusal = _retold(error)
    finally:
        client.user = client.password = None  # type: ignore[assignment]
        # Nor may this frame show it to an error tracker.
        del password
    # Out here, so that it drags no traceback with the password along.
    raise refusal


def _retold(error: Exception) -> Exception:
    reason = error if isinstance(error, OSError) else error.__context__
    if isinstance(reason, TimeoutError):
        return TakesTooLong("The mail server takes too long to log us in")
    return smtplib.SMTPServerDisconnected("The connection was lost while logging in")


def _our_name(server: MailServer) -> str:
    """How we greet: with the sender's domain, never with this machine's own name."""
    domain = server.from_email.rpartition("@")[2]
    with suppress(UnicodeError):
        domain = domain.encode("idna").decode()
    return domain if DOMAIN.fullmatch(domain) else "localhost"
