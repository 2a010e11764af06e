"""Everything that the schedule does, for cron, or for those who cannot wait."""

import time
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from wagtail_client_billing import tasks
from wagtail_client_billing.gateway import webhooks

# Cron starts the next one after a minute. During an outage there is always something left.
START_NO_ROUND_AFTER_SECONDS = 40


class Command(BaseCommand):
    help = (
        "Does everything that is due: expires bills, sends mail, processes Stripe's events, "
        "finishes what was left. Run it every minute where no Django-Q worker runs."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--once", action="store_true", help="One round, whatever is left.")
        parser.add_argument(
            "--replay",
            action="store_true",
            help="First makes the Stripe events due again that were given up.",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if options["replay"]:
            replayed = webhooks.replay()
            if options["verbosity"]:
                self.stdout.write(f"Events to try again: {replayed}.")
        done = 0
        # What one round does can make the next one due: a payment asks for a receipt.
        enough = time.monotonic() + START_NO_ROUND_AFTER_SECONDS
        while True:
            handled = tasks.sweep()
            done += handled
            if options["once"] or not handled or time.monotonic() > enough:
                break
        if options["verbosity"]:
            self.stdout.write(f"Done: {done}.")
