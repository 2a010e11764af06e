"""A mail server on loopback, for real: STARTTLS, TLS, AUTH, a CA of its own, and bad moods.

``with SMTPServer(encryption="starttls", login=("u", "p")) as server`` listens on
``server.host``:``server.port``. ``server.mode`` may change at any time; ``server.answers`` maps a
recipient to a reply of their own. ``server.taken`` is what it took, ``server.log`` every step.
"""

import asyncio
import atexit
import os
import socket
import ssl
import tempfile
import threading
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import EmailMessage
from functools import cache
from pathlib import Path

import trustme
from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

# Instead of the first line of a server.
BANNERS = frozenset({"busy", "rejecting", "deaf", "huge_banner", "endless_banner", "drip"})
# Replies to MAIL, RCPT and the text.
REPLIES = {
    "sender": ("MAIL", "550 5.7.1 sender not allowed"),
    "sender_later": ("MAIL", "451 4.7.1 try later"),
    "login_first": ("MAIL", "530 5.7.0 Authentication required"),
    "bounce": ("RCPT", "550 5.1.1 no such user"),
    "greylist": ("RCPT", "450 4.7.1 try later"),
    "spam": ("DATA", "554 5.7.1 looks like spam"),
    "full": ("DATA", "452 4.3.1 no room"),
    "closing": ("DATA", "421 4.3.2 closing"),
}
MODES = frozenset(
    {
        "good",
        *BANNERS,
        *REPLIES,
        # No word after MAIL, or after the text.
        "slow",
        "slow_data",
        # Cut at RCPT, before the text is asked for; after the text, which is kept or is not.
        "drop",
        "break",
        "lost",
        # AUTH is never accepted, or is not offered.
        "wrong_login",
        "login_later",
        "no_auth",
        # Answers EHLO without an end.
        "endless_ehlo",
    }
)
SECONDS = 10


@dataclass(frozen=True)
class Taken:
    """A message as it came, and how."""

    sender: str
    recipients: list[str]
    message: EmailMessage
    raw: bytes
    encrypted: bool
    login: str
    connection: int


class Authority:
    """A CA whose certificates nobody trusts but whom ``trusted`` is given to."""

    def __init__(self):
        self.ca = trustme.CA()
        handle, path = tempfile.mkstemp(suffix=".pem")
        os.close(handle)
        self.path = Path(path)
        atexit.register(self.path.unlink)
        self.ca.cert_pem.write_to_path(self.path)

    def context(self, *names):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.ca.issue_cert(*names).configure_cert(context)
        return context


@cache
def authority():
    """One for the whole run; ``SSL_CERT_FILE`` set to ``authority().path`` trusts it."""
    return Authority()


class _Conversation(SMTP):
    """aiosmtpd's, with another first line where the mode says so."""

    def __init__(self, owner, *args, **kwargs):
        self.owner = owner
        super().__init__(*args, **kwargs)

    def connection_made(self, transport):
        if self.transport is None:
            self.owner.connections += 1
            self.number = self.owner.connections
            self.owner.log.append((self.number, "CONNECT"))
        self.owner.transports.add(transport)
        super().connection_made(transport)

    def connection_lost(self, error):
        self.owner.log.append((self.number, "CLOSED"))
        super().connection_lost(error)

    async def _handle_client(self):
        mode = self.owner.mode
        if mode not in BANNERS:
            await super()._handle_client()
            return
        write = self._writer.write
        match mode:
            case "busy":
                write(b"421 4.3.2 too busy\r\n")
            case "rejecting":
                write(b"554 5.7.1 go away\r\n")
            case "huge_banner":
                write(b"220 " + b"x" * 2**22 + b"\r\n")
            case "endless_banner":
                while True:
                    write(b"220-and another thing\r\n" * 100)
                    await self._writer.drain()
            case "drip":
                # Bytes that come as slowly as the test allows, and never a line's end.
                write(b"220 ")
                while True:
                    write(b"x")
                    await self._writer.drain()
                    await asyncio.sleep(self.owner.drip_seconds)
            case "deaf":
                await asyncio.sleep(3600)
        await self._writer.drain()
        self.transport.close()


class _Handler:
    def __init__(self, owner):
        self.owner = owner

    async def _reply(self, server, step, detail):
        owner = self.owner
        owner.log.append((server.number, step, detail))
        at, reply = REPLIES.get(owner.mode, ("", ""))
        return reply if at == step else ""

    async def handle_EHLO(self, server, session, envelope, hostname, responses):
        self.owner.log.append((server.number, "EHLO", hostname))
        session.host_name = hostname
        if self.owner.mode == "no_auth":
            responses = [line for line in responses if "AUTH" not in line]
        if self.owner.mode == "endless_ehlo":
            while True:
                server._writer.write(b"250-X-MORE\r\n" * 100)
                await server._writer.drain()
        return responses

    async def handle_QUIT(self, server, session, envelope):
        self.owner.log.append((server.number, "QUIT"))
        return "221 Bye"

    async def handle_RSET(self, server, session, envelope):
        self.owner.log.append((server.number, "RSET"))
        return "250 OK"

    async def handle_MAIL(self, server, session, envelope, address, options):
        reply = await self._reply(server, "MAIL", address)
        if self.owner.mode == "slow":
            await asyncio.sleep(3600)
        if self.owner.login and not session.authenticated:
            return "530 5.7.0 Authentication required"
        if reply:
            return reply
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 OK"

    async def handle_RCPT(self, server, session, envelope, address, options):
        reply = await self._reply(server, "RCPT", address)
        if self.owner.mode == "drop":
            server.transport.close()
            return "250 OK"
        reply = self.owner.answers.get(address, reply)
        if reply:
            return reply
        envelope.rcpt_tos.append(address)
        envelope.rcpt_options.extend(options)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        owner = self.owner
        raw = envelope.original_content or envelope.content
        message = message_from_bytes(raw, policy=policy.default)
        reply = await self._reply(server, "DATA", str(message["Message-ID"]))
        if reply:
            return reply
        if owner.mode == "lost":
            server.transport.close()
            return "250 queued"
        data = session.auth_data
        owner.taken.append(
            Taken(
                sender=envelope.mail_from,
                recipients=list(envelope.rcpt_tos),
                message=message,
                raw=raw,
                encrypted=bool(session.ssl)
                or server.transport.get_extra_info("sslcontext") is not None,
                login=data.login.decode() if isinstance(data, LoginPassword) else "",
                connection=server.number,
            )
        )
        if owner.mode == "break":
            server.transport.close()
        if owner.mode == "slow_data":
            await asyncio.sleep(3600)
        return "250 queued"


class SMTPServer:
    """See the module. ``encryption`` is "starttls", "tls" or "none"; ``names`` are the
    certificate's.
    """

    host = "localhost"

    def __init__(
        self, *, encryption="none", login=None, mode="good", names=("localhost",), drip_seconds=1.0
    ):
        self.encryption = encryption
        self.login = login
        self.mode = mode
        self.drip_seconds = drip_seconds
        self.answers = {}
        self.taken = []
        self.log = []
        self.connections = 0
        self.transports = set()
        self._context = authority().context(*names) if encryption != "none" else None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]

    @property
    def messages(self):
        return [each.message for each in self.taken]

    def steps(self, name):
        """What of the log is about one step: ``steps("EHLO")``."""
        return [entry[2:] for entry in self.log if entry[1] == name]

    def _authenticate(self, server, session, envelope, mechanism, data):
        self.log.append((server.number, "AUTH", mechanism))
        if self.mode == "login_later":
            return AuthResult(success=False, handled=False, message="454 4.7.0 try later")
        fits = isinstance(data, LoginPassword) and self.login == (
            data.login.decode(),
            data.password.decode(),
        )
        # handled=True: a wrong password would hang until the client times out.
        return AuthResult(
            success=bool(fits and self.mode != "wrong_login"), handled=False, auth_data=data
        )

    def _conversation(self):
        return _Conversation(
            self,
            _Handler(self),
            hostname="mail.test",
            loop=self._loop,
            enable_SMTPUTF8=True,
            authenticator=self._authenticate if self.login else None,
            auth_exclude_mechanism=None if self.login else ("LOGIN", "PLAIN"),
            auth_require_tls=self.encryption == "starttls",
            tls_context=self._context if self.encryption == "starttls" else None,
            require_starttls=self.encryption == "starttls",
        )

    def _call(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(SECONDS)

    async def _listen(self):
        return await self._loop.create_server(
            self._conversation,
            sock=self._listener,
            ssl=self._context if self.encryption == "tls" else None,
        )

    async def _close(self):
        self._server.close()
        for transport in self.transports:
            transport.abort()
        mine = asyncio.current_task(self._loop)
        for task in asyncio.all_tasks(self._loop) - {mine}:
            task.cancel()
        # Once for what is cancelled, once for what is closed.
        for _ in range(3):
            await asyncio.sleep(0)

    def start(self):
        self._thread.start()
        self._server = self._call(self._listen())
        return self

    def stop(self):
        self._call(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(SECONDS)
        self._loop.close()

    def __enter__(self):
        return self.start()

    def __exit__(self, *exc_info):
        self.stop()
