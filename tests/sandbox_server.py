"""The whole site, sandbox included, on a free port of 127.0.0.1, in threads of this process."""

import socket
import threading
import time
from contextlib import contextmanager, suppress
from wsgiref.handlers import format_date_time

import time_machine
from django.conf import settings
from django.core.handlers.wsgi import WSGIHandler
from django.core.servers.basehttp import ThreadedWSGIServer, WSGIRequestHandler


class _Quiet(WSGIRequestHandler):
    timeout = 60  # seconds: a connection kept open by a client does not keep its thread for ever
    # Head and body are sent one after the other: else the second waits 40 ms for the client.
    disable_nagle_algorithm = True

    def log_message(self, format, *args):
        pass


class _Server(ThreadedWSGIServer):
    request_queue_size = 64

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self._open = set()
        self._lock = threading.Lock()

    def process_request(self, request, client_address):
        with self._lock:
            self._open.add(request)
        super().process_request(request, client_address)

    def close_request(self, request):
        with self._lock:
            self._open.discard(request)
        super().close_request(request)

    def close_kept_connections(self):
        """End the threads of connections that a client keeps open."""
        with self._lock:
            kept = list(self._open)
        for connection in kept:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request, client_address):
        pass  # a client that went away, or a lost answer


def real_time():
    """Seconds since 1970, whatever time a test pretends."""
    try:
        return time_machine.escape_hatch.time.time()
    except ValueError:  # No test does.
        return time.time()


def _dated(application):
    """Stripe's clock is right, also where a test has moved ours."""

    def dated(environ, start_response):
        def start(status, headers, exc_info=None):
            headers = [*headers, ("Date", format_date_time(real_time()))]
            return start_response(status, headers, exc_info)

        return application(environ, start)

    return dated


class SandboxServer:
    """``SandboxServer()`` serves at once; ``.base`` is for ``STRIPE_API_BASE``; ``stop()``.

    ``connections_override`` lends database connections to its threads, as Django's LiveServer
    does (only needed for a database in memory).
    """

    def __init__(self, *, connections_override=None, static=True):
        self._server = _Server(("127.0.0.1", 0), _Quiet, connections_override=connections_override)
        application = WSGIHandler()
        if static and "django.contrib.staticfiles" in settings.INSTALLED_APPS:
            from django.contrib.staticfiles.handlers import StaticFilesHandler

            application = StaticFilesHandler(application)
        self._server.set_app(_dated(application))
        self.port = self._server.server_address[1]
        self.root = f"http://127.0.0.1:{self.port}"
        self.pages = f"{self.root}/sandbox/"
        self.base = f"{self.root}/sandbox/stripe"
        self._thread = threading.Thread(
            target=self._server.serve_forever,
            kwargs={"poll_interval": 0.05},
            name="sandbox-server",
            daemon=True,
        )
        self._thread.start()

    def stop(self):
        self._server.shutdown()
        self._thread.join(10)
        self._server.close_kept_connections()
        self._server.server_close()

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        self.stop()


@contextmanager
def sandbox_books(path):
    """Give the sandbox a file of its own for a while."""
    from django.test import override_settings

    changed = {**settings.WAGTAIL_CLIENT_BILLING, "SANDBOX_FILE": str(path)}
    with override_settings(WAGTAIL_CLIENT_BILLING=changed):
        yield
