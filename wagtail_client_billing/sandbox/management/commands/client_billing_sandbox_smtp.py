"""``manage.py client_billing_sandbox_smtp``: the inbox's SMTP server, until Ctrl-C."""

from __future__ import annotations

import signal
import threading
from argparse import ArgumentParser
from types import FrameType
from typing import Any

from django.core.management.base import BaseCommand, CommandError


class Command(BaseCommand):
    help = (
        "Receives mail on 127.0.0.1 and shows it in the sandbox's inbox. Takes any mail; user "
        '"demo" and password "demo" may be given but need not.'
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--port", type=int, default=2525, help="default: 2525")
        parser.add_argument(
            "--last-port",
            type=int,
            help="take the next free port up to this one when --port is taken",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            from wagtail_client_billing.sandbox.smtp import InboxServer
        except ImportError as error:
            if (error.name or "").partition(".")[0] != "aiosmtpd":
                raise
            raise CommandError(
                "The inbox needs aiosmtpd: pip install 'wagtail-client-billing[demo]'"
            ) from None

        first = options["port"]
        last = max(first, options["last_port"] or first)
        server = None
        for port in range(first, last + 1):
            try:
                server = InboxServer(port).start()
                break
            except OSError as error:
                problem = error
        if server is None:
            taken = first if first == last else f"{first}-{last}"
            raise CommandError(f"No SMTP server on 127.0.0.1:{taken}: {problem}")

        ended = threading.Event()

        def end(number: int, frame: FrameType | None) -> None:
            ended.set()

        before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
        self.stdout.write(f"SMTP on 127.0.0.1:{server.port} (user demo, password demo)")
        self.stdout.flush()
        try:
            # In slices: a wait without a limit is not interrupted by signals everywhere.
            while not ended.wait(0.5):
                pass
        finally:
            server.stop()
            for number, handler in before.items():
                signal.signal(number, handler)
