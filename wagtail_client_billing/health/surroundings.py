"""What we stand on: settings, migrations, the worker and its schedule, addresses."""

from collections.abc import Iterator
from contextlib import nullcontext
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from django.apps import apps
from django.conf import settings
from django.core import checks as system_checks
from django.db import DatabaseError, transaction
from django.db import connections as databases
from django.db.migrations.executor import MigrationExecutor
from django.db.models import OuterRef, Q, QuerySet, Subquery, Value
from django.db.models.functions import Coalesce
from django.utils.translation import gettext as _
from wagtail.models import Site

from ..checks import TAG
from ..hosts import this_host
from ..links import address_with
from ..models import Heartbeat, SiteBillingSettings, StripeConnection
from ..scheduling import NAME
from .findings import Finding, Level, advice, ok, problem, when

# Of sites with a bad address, as many as anybody mends in one go.
MOST_SITES = 20
LOCAL = ("localhost", "127.0.0.1", "::1")
SWEEP_IS_LATE = timedelta(minutes=5)
# A schedule that is due every minute, and whose time lies further away, was put off by somebody.
SCHEDULE_IS_PUT_OFF = timedelta(hours=1)

# Under which name the findings of our system checks go; all others are "settings".
SUBJECTS = {
    "W001": "encryption",
    "E002": "encryption",
    "W006": "worker",
    "W007": "worker",
    "W008": "worker",
    "W009": "database",
    "W010": "mail",
    "W011": "cache",
    "W012": "addresses",
    "W013": "csp",
}


def settings_in_order() -> Iterator[Finding]:
    """What the system checks say of the settings, in the developers' English."""
    messages = system_checks.run_checks(tags=[TAG], include_deployment_checks=not settings.DEBUG)
    messages = [message for message in messages if not message.is_silenced()]
    subjects = set()
    for message in messages:
        number = str(message.id).removeprefix(f"{TAG}.")
        is_error = message.level >= system_checks.ERROR
        level = Level.PROBLEM if is_error else Level.ADVICE
        text = f"{message.msg} ({message.id})"
        subject = SUBJECTS.get(number, "settings")
        subjects.add(subject)
        yield Finding(subject, level, text, str(message.hint or ""))
    if "settings" not in subjects:
        yield ok("settings", _("The settings are in order."))


def migrations() -> Iterator[Finding]:
    """Whether our tables are as the code expects them."""
    executor = MigrationExecutor(databases["default"])
    targets = [key for key in executor.loader.graph.leaf_nodes() if key[0] == TAG]
    waiting = len(executor.migration_plan(targets))
    if waiting:
        text = _("Migrations not applied: %(count)d.") % {"count": waiting}
        yield problem("migrations", text, _("Run migrate."))
    else:
        yield ok("migrations", _("All migrations are applied."))


def worker(now: datetime) -> Iterator[Finding]:
    """Whether the sweep has run lately, by whichever way."""
    beat = Heartbeat.objects.filter(name="sweep").first()
    if beat is not None and now - beat.beat_at <= SWEEP_IS_LATE:
        yield ok("worker", _("The sweep last ran: %(moment)s") % {"moment": when(beat.beat_at)})
        return
    text = (
        _("The sweep has not run since: %(moment)s") % {"moment": when(beat.beat_at)}
        if beat
        else _("The sweep has never run.")
    )
    todo = _("Start a worker (manage.py qcluster), or run client_billing_sweep every minute.")
    yield problem("worker", text, todo)


def schedule(now: datetime) -> Iterator[Finding]:
    """Whether Django-Q will run the sweep; by cron it runs without."""
    if not (apps.is_installed("django_q") and getattr(settings, "Q_CLUSTER", None)):
        return
    rows = _schedules()
    if rows is None:
        text = _("Django-Q's tables are missing, so that no worker can run.")
        yield problem("schedule", text, _("Run migrate."))
        return
    running = [
        row
        for row in rows
        if row.repeats != 0 and row.next_run and row.next_run < now + SCHEDULE_IS_PUT_OFF
    ]
    if running:
        yield ok("schedule", _("The sweep is scheduled every minute."))
        return
    text = _("The schedule of the sweep is paused.") if rows else _("The sweep is not scheduled.")
    beat = Heartbeat.objects.filter(name="sweep", beat_at__gt=now - SWEEP_IS_LATE)
    if beat.exists():
        # Somebody runs it by cron.
        todo = _("Nothing, if client_billing_sweep runs every minute; otherwise run migrate.")
        yield advice("schedule", text, todo)
    else:
        todo = _("Run migrate, or take up the schedule %(name)s again in Django's admin.")
        yield problem("schedule", text, todo % {"name": NAME})


def _schedules() -> list[Any] | None:
    """The rows of our schedule; None where the tables, which are not ours, are not there."""
    # On PostgreSQL an error would spoil the whole of a transaction that is open already.
    inside = databases["default"].in_atomic_block
    try:
        with transaction.atomic() if inside else nullcontext():
            return list(apps.get_model("django_q", "Schedule").objects.filter(name=NAME))
    except DatabaseError:
        return None


def addresses(now: datetime) -> Iterator[Finding]:
    """Whether clients and Stripe are given addresses that work, and by https."""
    found = False
    if not this_host():
        found = True
        text = _("WAGTAILADMIN_BASE_URL is not set: Stripe and e-mails cannot name this address.")
        yield problem("addresses", text, _("Set it to the address of the Wagtail admin."))
    live = StripeConnection.objects.active().filter(livemode=True).exists()
    for site in _in_question()[:MOST_SITES]:
        address = address_with(site, site.chosen)
        parts = urlsplit(address)
        if parts.scheme == "https" or _is_local(parts.hostname or ""):
            continue
        found = True
        say = problem if live else advice
        text = _("Payment links of %(site)s are not sent with https: %(address)s")
        todo = _("Set the site's port to 443, or a billing address in its Client Billing defaults.")
        yield say("addresses", text % {"site": site, "address": address}, todo)
    if not found:
        yield ok("addresses", _("Payment links and events have good addresses."))


def _in_question() -> QuerySet[Any]:
    """The sites whose address may be without https, with their billing address as ``chosen``.

    Told by the database: of hundreds of sites nearly all have a good one.
    """
    defaults = SiteBillingSettings.objects.filter(site=OuterRef("pk"))
    chosen = Coalesce(Subquery(defaults.values("billing_address")[:1]), Value(""))
    # As ``address_with`` judges them.
    good = Q(port=443) if settings.DEBUG else Q(port__in=(80, 443))
    good |= Q(hostname__in=LOCAL) | Q(hostname__endswith=".localhost")
    sites = Site.objects.annotate(chosen=chosen).exclude(chosen__startswith="https://")
    return sites.exclude(Q(chosen="") & good).order_by("pk")


def _is_local(host: str) -> bool:
    return host in LOCAL or host.endswith(".localhost")
