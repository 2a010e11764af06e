"""Hands a message to the project's default mailer: in bounded time, and leaving nothing open."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from django.core import mail

# Seconds that one step of the conversation may take where the project's mailer sets no limit.
STEP_SECONDS = 10


def send(message: mail.EmailMessage) -> int:
    """How many messages the mailer took; raises what the mailer raises."""
    with no_endless_wait():
        if not hasattr(mail, "mailers"):  # before Django 6.1
            try:
                return message.send()
            finally:
                _close(message.connection)
        mailer = mail.mailers.default
        try:
            return mailer.send_messages([message])
        finally:
            _close(mailer)


def _close(mailer: Any) -> None:
    """Django's own mailer leaves its connection open when the login is refused.

    What goes wrong while closing says nothing about the message.
    """
    with suppress(Exception):
        mailer.close()


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
