"""What the doctor looks at. Reads only our own tables: Stripe and the mail server are not asked."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from django.core import checks as system_checks
from django.db import connections as databases
from django.db.migrations.executor import MigrationExecutor
from django.db.models import Exists, Max, OuterRef
from django.utils import timezone

from .. import sealing
from ..checks import TAG
from ..models import (
    AgencySettings,
    BillingRequest,
    EmailDelivery,
    Heartbeat,
    Payment,
    StripeConnection,
    StripeEvent,
    WebhookEndpoint,
)

SWEEP_IS_LATE = timedelta(minutes=5)
HOLD_IS_STUCK = timedelta(minutes=10)
MAIL_IS_LATE = timedelta(minutes=15)
EVENT_IS_LATE = timedelta(minutes=15)
# Stripe delivers within seconds, and repeats for hours.
WEBHOOK_IS_LATE = timedelta(hours=1)
LOOK_BACK = timedelta(days=7)


class Level(StrEnum):
    """``PROBLEM`` needs doing; ``ADVICE`` works as it is."""

    OK = "ok"
    ADVICE = "advice"
    PROBLEM = "problem"


@dataclass(frozen=True)
class Finding:
    """What was looked at, how it is, and what to do about it (empty where nothing is to do)."""

    check: str
    level: Level
    text: str
    todo: str = ""


def diagnose() -> list[Finding]:
    """Everything that was found, good and bad. Without our tables only that."""
    found = [*_settings(), *_migrations()]
    if any(each.check == "migrations" and each.level != Level.OK for each in found):
        return found
    for look in LOOKS:
        found += look(timezone.now())
    return found


def _ok(check: str, text: str) -> Finding:
    return Finding(check, Level.OK, text)


def _advice(check: str, text: str, todo: str) -> Finding:
    return Finding(check, Level.ADVICE, text, todo)


def _problem(check: str, text: str, todo: str) -> Finding:
    return Finding(check, Level.PROBLEM, text, todo)


def _settings() -> Iterator[Finding]:
    messages = system_checks.run_checks(tags=[TAG])
    for message in messages:
        is_error = message.level >= system_checks.ERROR
        level = Level.PROBLEM if is_error else Level.ADVICE
        yield Finding("settings", level, f"{message.msg} ({message.id})", message.hint or "")
    if not messages:
        yield _ok("settings", "The settings are in order.")


def _migrations() -> Iterator[Finding]:
    executor = MigrationExecutor(databases["default"])
    targets = [key for key in executor.loader.graph.leaf_nodes() if key[0] == TAG]
    waiting = len(executor.migration_plan(targets))
    if waiting:
        yield _problem("migrations", f"Migrations not applied: {waiting}.", "Run migrate.")
    else:
        yield _ok("migrations", "All migrations are applied.")


def _secrets(now: datetime) -> Iterator[Finding]:
    unreadable = False
    for connection in StripeConnection.objects.active().exclude(sealed_key=""):
        if not _opens(connection.sealed_key):
            unreadable = True
            todo = "Put the old key back into ENCRYPTION_KEYS, or replace the Stripe key."
            yield _problem("secrets", f"The key of {connection} cannot be opened.", todo)
    for endpoint in WebhookEndpoint.objects.filter(state=WebhookEndpoint.State.ACTIVE):
        if not all(_opens(secret) for secret in endpoint.sealed_secrets):
            unreadable = True
            todo = "Put the old key back into ENCRYPTION_KEYS, or connect the account again."
            yield _problem("secrets", f"A secret of webhook {endpoint} cannot be opened.", todo)
    if not unreadable:
        yield _ok("secrets", "All secrets can be opened.")


def _opens(sealed: str) -> bool:
    try:
        sealing.open(sealed)
    except sealing.SecretUnreadable:
        return False
    return True


def _connections(now: datetime) -> Iterator[Finding]:
    active = list(StripeConnection.objects.active())
    if not active:
        todo = "Connect one in Settings → Agency settings → Client billing."
        yield _advice("connections", "No Stripe account is connected.", todo)
    for connection in active:
        if connection.broken_at:
            todo = "Replace its key in Settings → Agency settings → Client billing."
            yield _problem("connections", f"{connection}: {connection.broken_why}", todo)
        elif not connection.charges_enabled:
            todo = "See what Stripe still wants in its dashboard."
            yield _problem("connections", f"{connection} cannot take payments yet.", todo)
        else:
            yield _ok("connections", f"{connection} is ready.")


def _webhooks(now: datetime) -> Iterator[Finding]:
    for connection in StripeConnection.objects.usable():
        endpoint = connection.endpoints.filter(state=WebhookEndpoint.State.ACTIVE).first()
        if endpoint is None:
            text = f"{connection} has no webhook endpoint; the sweep asks Stripe instead."
            yield _advice("webhooks", text, "Connect it again, with a key that may make one.")
            continue
        paid = Payment.objects.filter(
            account_id=connection.account_id,
            livemode=connection.livemode,
            attempt__isnull=False,
            received_at__gt=max(now - LOOK_BACK, endpoint.created_at),
        ).aggregate(last=Max("received_at"))["last"]
        heard = endpoint.last_event_at
        if paid and now - paid > WEBHOOK_IS_LATE and (heard is None or heard < paid):
            text = f"{connection}: no event has come since the payment of {paid:%Y-%m-%d %H:%M}."
            todo = f"See in Stripe's dashboard what {endpoint.url} answers."
            yield _problem("webhooks", text, todo)
        else:
            last = f"{heard:%Y-%m-%d %H:%M}" if heard else "none so far"
            yield _ok("webhooks", f"{connection}: last event {last}.")


def _worker(now: datetime) -> Iterator[Finding]:
    beat = Heartbeat.objects.filter(name="sweep").first()
    if beat is not None and now - beat.beat_at <= SWEEP_IS_LATE:
        yield _ok("worker", f"The sweep ran at {beat.beat_at:%Y-%m-%d %H:%M}.")
        return
    when = f"not since {beat.beat_at:%Y-%m-%d %H:%M}" if beat else "never"
    todo = "Start a worker (manage.py qcluster), or run client_billing_sweep every minute."
    yield _problem("worker", f"The sweep has run {when}.", todo)


def _mail(now: datetime) -> Iterator[Finding]:
    sent_later = EmailDelivery.objects.filter(
        request=OuterRef("request"),
        kind=OuterRef("kind"),
        pk__gt=OuterRef("pk"),
        state=EmailDelivery.State.SENT,
    )
    failed = (
        EmailDelivery.objects.filter(
            state=EmailDelivery.State.FAILED, created_at__gt=now - LOOK_BACK
        )
        .exclude(problem=EmailDelivery.Problem.OBSOLETE)
        .exclude(Exists(sent_later))
        .select_related("request")
    )
    late = EmailDelivery.objects.filter(
        state=EmailDelivery.State.QUEUED, created_at__lt=now - MAIL_IS_LATE
    )
    for delivery in failed[:20]:
        text = f"An e-mail of {delivery.request} failed: {delivery.get_problem_display()}"
        yield _problem("mail", text, "Correct the address or the mail server; send it again.")
    if waiting := late.count():
        last = late.exclude(problem="").order_by("-claimed_at").first()
        why = f" {last.get_problem_display()}" if last else ""
        text = f"E-mails waiting for more than 15 minutes: {waiting}.{why}"
        yield _problem("mail", text, "See whether the worker runs and the mail server answers.")
    if not failed.exists() and not waiting:
        yield _ok("mail", "No e-mail failed, and none waits.")


def _requests(now: datetime) -> Iterator[Finding]:
    review = BillingRequest.objects.exclude(review_since=None).count()
    if review:
        text = f"Billing requests that need a review: {review}."
        yield _problem("requests", text, "Look at them under Invoices.")
    stuck = BillingRequest.objects.filter(hold_since__lt=now - HOLD_IS_STUCK).exclude(hold="")
    for request in stuck[:20]:
        text = f"{request}: {request.get_hold_display()} since {request.hold_since:%H:%M}."
        yield _problem("requests", text, "Stripe cannot be reached, or the sweep does not run.")
    if not review and not stuck.exists():
        yield _ok("requests", "No billing request waits for anybody.")


def _events(now: datetime) -> Iterator[Finding]:
    waiting = StripeEvent.objects.filter(
        state=StripeEvent.State.RECEIVED, received_at__lt=now - EVENT_IS_LATE
    )
    if count := waiting.count():
        error = waiting.exclude(last_error="").values_list("last_error", flat=True).first()
        text = f"Stripe events waiting for more than 15 minutes: {count}. {error or ''}".strip()
        yield _problem("events", text, "See whether the worker runs and Stripe can be reached.")
    else:
        yield _ok("events", "No event waits.")


def _agency(now: datetime) -> Iterator[Finding]:
    agency = AgencySettings.current()
    if agency is None or not agency.notify:
        todo = "Give a contact e-mail in Settings → Agency settings."
        yield _advice("agency", "Nobody is told of payments.", todo)
    else:
        yield _ok("agency", f"Payments are told to {agency.notify}.")


LOOKS: tuple[Callable[[datetime], Iterator[Finding]], ...] = (
    _secrets,
    _connections,
    _webhooks,
    _worker,
    _mail,
    _requests,
    _events,
    _agency,
)
