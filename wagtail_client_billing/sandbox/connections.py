"""What the sandbox has to know of the server that runs it: threads, and the client's socket."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse

ADVICE = (
    "The sandbox needs a server with threads: the site calls the sandbox while it answers a "
    "request, and the sandbox calls the site's webhook. Use manage.py runserver without "
    "--nothreading, or gunicorn with --threads 4."
)


class NotThreaded(Exception):
    """The server answers one request at a time, so it cannot call itself."""


def is_threaded(request: HttpRequest) -> bool:
    """Whether this server can answer a second request while it is busy with this one."""
    environ: dict[str, Any] = getattr(request, "environ", None) or {}
    if environ.get("wsgi.multithread") is False:
        return False
    if not str(environ.get("SERVER_SOFTWARE", "")).startswith("WSGIServer/"):
        return True
    # runserver says "multithread" even with --nothreading; but then it answers in the thread
    # that runs the server.
    current = threading.current_thread()
    return current is not threading.main_thread() and current.name != "django-main-thread"


def demand_threads(request: HttpRequest) -> None:
    """Raises ``NotThreaded`` with advice."""
    if not is_threaded(request):
        raise NotThreaded(ADVICE)


def _client_socket(request: HttpRequest) -> socket.socket | None:
    """The connection to the client, where the server lets us find it (runserver, gunicorn)."""
    environ: dict[str, Any] = getattr(request, "environ", None) or {}
    known = environ.get("gunicorn.socket")
    if isinstance(known, socket.socket):
        return known
    stream: Any = environ.get("wsgi.input")
    for _ in range(4):  # a few wrappers around the file of the socket
        inner = getattr(getattr(stream, "raw", None), "_sock", None)
        if isinstance(inner, socket.socket):
            return inner
        stream = getattr(getattr(stream, "_read", None), "__self__", None)
    return None


def lose(request: HttpRequest, response: HttpResponse) -> HttpResponseBase:
    """Close the connection instead of answering. Where the socket cannot be found the answer
    breaks off in the middle, which a client cannot use either.
    """
    connection = _client_socket(request)
    if connection is not None:
        with suppress(OSError):  # the client has gone already
            connection.shutdown(socket.SHUT_RDWR)
        return response

    def broken() -> Iterator[bytes]:
        yield response.content[:20]
        raise ConnectionResetError("lost on purpose")

    return StreamingHttpResponse(
        broken(), status=response.status_code, content_type="application/json"
    )
