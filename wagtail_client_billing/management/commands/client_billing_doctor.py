"""Says what needs doing."""

import json
import sys
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from wagtail_client_billing.health import Level, examine

MARKS = {Level.OK: "ok     ", Level.ADVICE: "advice ", Level.PROBLEM: "PROBLEM"}


class Command(BaseCommand):
    help = (
        "Looks at settings, connections, worker, mail and requests, and asks Stripe; "
        "exits with 1 on a problem."
    )
    # Otherwise an error of the system checks would end the command before it says anything.
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="A list of findings, as JSON.")
        parser.add_argument(
            "--offline", action="store_true", help="Asks neither Stripe nor the broker."
        )

    def handle(self, *args: Any, **options: Any) -> None:
        findings = examine(offline=options["offline"])
        if options["json"]:
            self.stdout.write(json.dumps([asdict(each) for each in findings], indent=2))
        else:
            for each in findings:
                self.stdout.write(f"{MARKS[each.level]}  {each.text}")
                if each.todo:
                    self.stdout.write(f"         → {each.todo}")
        if any(each.level == Level.PROBLEM for each in findings):
            sys.exit(1)
