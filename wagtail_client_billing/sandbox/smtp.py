"""The inbox's SMTP server: takes every mail and writes it into the books.

aiosmtpd is imported here only, so this module is imported lazily: it is in the extra ``demo``.
Listens on 127.0.0.1 only. ``bounce@…`` is refused for good, ``greylist@…`` for now.
"""

from __future__ import annotations

import asyncio
import threading
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

from . import books, inbox

OTHER_END_OF_TIME = 10.0  # seconds to start or to stop


class _Handler:
    async def handle_RCPT(
        self, server: Any, session: Any, envelope: Any, address: str, options: list[str]
    ) -> str:
        name = address.partition("@")[0].partition("+")[0].lower()
        if name == "bounce":
            return "550 5.1.1 No such user here"
        if name == "greylist":
            return "450 4.7.1 Greylisted, try again later"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        loop = asyncio.get_running_loop()
        content = envelope.original_content or envelope.content
        await loop.run_in_executor(
            None, inbox.add, envelope.mail_from or "", list(envelope.rcpt_tos), content
        )
        return "250 2.0.0 Written into the sandbox's inbox"


def _authenticate(
    server: Any, session: Any, envelope: Any, mechanism: str, data: Any
) -> AuthResult:
    accepted = isinstance(data, LoginPassword) and (data.login, data.password) == (
        inbox.USER.encode(),
        inbox.PASSWORD.encode(),
    )
    # handled=False: with True a wrong password hangs until the client gives up.
    return AuthResult(success=accepted, handled=False)


class InboxServer:
    """``InboxServer(port)`` listens once started; port 0 takes a free one; see ``.port``.

    ``OSError`` from ``start()`` when the port is taken. The port is kept in the books while it
    runs, for the page.
    """

    def __init__(self, port: int = 0) -> None:
        self.port = port
        self._loop = asyncio.new_event_loop()
        self._server: asyncio.Server | None = None
        self._thread = threading.Thread(target=self._run, name="sandbox-smtp", daemon=True)
        self._connections: set[asyncio.Transport] = set()

    def _protocol(self) -> SMTP:
        return SMTP(
            _Handler(),
            hostname="sandbox.localhost",
            authenticator=_authenticate,
            auth_required=False,
            auth_require_tls=False,
            enable_SMTPUTF8=True,
            loop=self._loop,
        )

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    def _call(self, coroutine: Any) -> Any:
        future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        return future.result(OTHER_END_OF_TIME)

    async def _listen(self) -> asyncio.Server:
        return await self._loop.create_server(self._protocol, inbox.HOST, self.port)

    async def _close(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in asyncio.all_tasks(self._loop) - {asyncio.current_task(self._loop)}:
            task.cancel()
        await asyncio.sleep(0)
        await self._loop.shutdown_default_executor()

    def start(self) -> InboxServer:
        self._thread.start()
        try:
            self._server = self._call(self._listen())
        except OSError:
            self.stop()
            raise
        assert self._server is not None  # noqa: S101 - for the type checker
        self.port = self._server.sockets[0].getsockname()[1]
        with books.write() as db:
            books.note(db, "smtp_port", self.port)
        return self

    def stop(self) -> None:
        """End it; a connection in the middle of a mail is cut."""
        self._call(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(OTHER_END_OF_TIME)
        self._loop.close()
        if self._server is None:
            return
        with books.write() as db:
            if books.noted(db, "smtp_port") == self.port:
                books.note(db, "smtp_port", None)

    def __enter__(self) -> InboxServer:
        return self.start()

    def __exit__(self, *exc_info: object) -> None:
        self.stop()
