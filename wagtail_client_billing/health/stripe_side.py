"""How we stand with Stripe, as far as our tables know."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from django.db.models import Max, Q
from django.utils.translation import gettext as _

from .. import sealing
from ..gateway.platform_endpoints import heard_by
from ..hosts import this_host
from ..mail.outbox import waiting_for
from ..models import (
    BillingRequest,
    MailServer,
    Payment,
    StripeConnection,
    Subscription,
    WebhookEndpoint,
)
from ..rights import NEEDED, NEEDED_FOR_RECURRING, boxes
from .findings import Finding, advice, ok, problem, when

# Stripe delivers within seconds, and repeats for hours.
WEBHOOK_IS_LATE = timedelta(hours=1)
LOOK_BACK = timedelta(days=7)
# Stripe refuses sessions that end too early or too late by its own clock, and we signatures that
# are five minutes old.
SKEW_IS_SEEN_SECONDS = 30
SKEW_IS_HARMFUL_SECONDS = 120

State = WebhookEndpoint.State


def copies(now: datetime) -> Iterator[Finding]:
    """Whether this is a copy of the installation at which an account was connected."""
    found = list(StripeConnection.objects.active().copies())
    for connection in found:
        facts = {
            "account": connection,
            "there": connection.host,
            "here": this_host(),
            "count": waiting_for(connection),
        }
        text = _(
            "%(account)s was connected at %(there)s, and this is %(here)s: nothing is mailed for it"
            " (waiting: %(count)d) and nothing is changed at Stripe."
        )
        todo = _(
            "In Agency settings → Client billing, say which one is the real one, or forget the"
            " connection."
        )
        yield problem("copies", text % facts, todo)
    if not found:
        yield ok("copies", _("This is no copy of another installation."))


def connections(now: datetime) -> Iterator[Finding]:
    """Each linked account: usable, restricted or broken."""
    active = list(StripeConnection.objects.active())
    if not active:
        todo = _("Connect one in Settings → Agency settings → Client billing.")
        yield advice("connections", _("No Stripe account is connected."), todo)
    for connection in active:
        facts = {"account": connection, "why": connection.broken_why}
        if connection.broken_at:
            todo = _("Give it a new key in Settings → Agency settings → Client billing.")
            yield problem("connections", _("%(account)s: %(why)s") % facts, todo)
        elif not connection.charges_enabled:
            todo = _("Answer in Stripe's dashboard what is asked there, then check again.")
            text = _("%(account)s cannot take payments yet.") % facts
            yield problem("connections", text, todo)
        else:
            yield ok("connections", _("%(account)s is ready.") % facts)


def rights(now: datetime) -> Iterator[Finding]:
    """Whether each key may do all that is needed."""
    for connection in StripeConnection.objects.active().exclude(sealed_key=""):
        missing = [str(slug) for slug in connection.missing_rights]
        if not missing:
            yield ok(
                "rights", _("The key of %(account)s has its permissions.") % {"account": connection}
            )
            continue
        text = _("The key of %(account)s lacks permissions: %(boxes)s.")
        todo = _("Tick these boxes on Stripe's page of the key, then check again.")
        # Without the others bills are paid all the same, only later or with less to see.
        needed = NEEDED | NEEDED_FOR_RECURRING if _has_recurring(connection) else NEEDED
        say = problem if needed & set(missing) else advice
        facts = {"account": connection, "boxes": ", ".join(boxes(missing))}
        yield say("rights", text % facts, todo)


def _has_recurring(connection: StripeConnection) -> bool:
    """Whether a recurring bill is to be paid, or goes on."""
    recurring = BillingRequest.objects.filter(
        account_id=connection.account_id, livemode=connection.livemode
    ).exclude(billing_type=BillingRequest.BillingType.ONE_TIME)
    pending = Q(status=BillingRequest.Status.PENDING) | Q(processing_since__isnull=False)
    going_on = Subscription.objects.exclude(status__in=Subscription.ENDED)
    return recurring.filter(pending | Q(subscriptions__in=going_on)).exists()


def webhooks(now: datetime) -> Iterator[Finding]:
    """Whether Stripe can tell us of payments, and does."""
    for connection in StripeConnection.objects.usable():
        endpoint = heard_by(connection)
        if endpoint is None or endpoint.state != State.ACTIVE:
            yield _no_endpoint(connection, endpoint)
            continue
        paid = Payment.objects.filter(
            account_id=connection.account_id,
            livemode=connection.livemode,
            attempt__isnull=False,
            received_at__gt=max(now - LOOK_BACK, endpoint.created_at),
        ).aggregate(last=Max("received_at"))["last"]
        heard = endpoint.last_event_at
        facts = {"account": connection, "url": endpoint.url}
        if paid and now - paid > WEBHOOK_IS_LATE and (heard is None or heard < paid):
            text = _("%(account)s: since the payment of %(moment)s no event has come.")
            todo = _("See in Stripe's dashboard what %(url)s answers.") % facts
            yield problem("webhooks", text % {**facts, "moment": when(paid)}, todo)
        elif heard:
            text = _("%(account)s: the last event came: %(moment)s")
            yield ok("webhooks", text % {**facts, "moment": when(heard)})
        else:
            yield ok("webhooks", _("%(account)s: no event has come so far.") % facts)


def _no_endpoint(connection: StripeConnection, endpoint: WebhookEndpoint | None) -> Finding:
    facts = {"account": connection, "why": endpoint.error if endpoint else ""}
    if endpoint is not None and endpoint.state == State.CREATING:
        text = _("%(account)s: the webhook endpoint is being made.") % facts
        return advice("webhooks", text, _("Wait a few minutes, or press Check again."))
    text = _(
        "%(account)s has no webhook endpoint: payments are found by asking Stripe, within ten"
        " minutes. %(why)s"
    )
    todo = _("Press Check again in the agency settings, with a key that may make one.")
    return advice("webhooks", (text % facts).strip(), todo)


def clock(now: datetime) -> Iterator[Finding]:
    """How far our clock is from Stripe's, when it was last compared."""
    for connection in StripeConnection.objects.active().exclude(clock_skew_seconds=None):
        skew = connection.clock_skew_seconds or 0
        off = abs(skew)
        if off < SKEW_IS_SEEN_SECONDS:
            continue
        text = (
            _("This server's clock is %(count)d seconds ahead of Stripe's.")
            if skew > 0
            else _("This server's clock is %(count)d seconds behind Stripe's.")
        )
        say = problem if off >= SKEW_IS_HARMFUL_SECONDS else advice
        todo = _("Let the server set its clock by itself (NTP), then check again.")
        yield say("clock", text % {"count": off}, todo)
        return
    yield ok("clock", _("No difference from Stripe's clock was seen."))


def secrets(now: datetime) -> Iterator[Finding]:
    """Whether what is stored encrypted can still be opened."""
    unreadable = False
    todo = _("Put the old key back into ENCRYPTION_KEYS, or connect the account again.")
    for connection in StripeConnection.objects.active().exclude(sealed_key=""):
        if not _opens(connection.sealed_key):
            unreadable = True
            text = _("The key of %(account)s cannot be opened.") % {"account": connection}
            yield problem("secrets", text, todo)
    for endpoint in WebhookEndpoint.objects.filter(state=State.ACTIVE):
        if not all(_opens(secret) for secret in endpoint.sealed_secrets):
            unreadable = True
            text = _("A secret of the webhook endpoint %(id)s cannot be opened.")
            yield problem("secrets", text % {"id": endpoint}, todo)
    for server in MailServer.objects.exclude(sealed_password=""):
        if not _opens(server.sealed_password):
            unreadable = True
            text = _("The password of the mail server %(host)s cannot be opened.")
            todo = _("Put the old key back into ENCRYPTION_KEYS, or enter the password again.")
            yield problem("secrets", text % {"host": server}, todo)
    if not unreadable:
        yield ok("secrets", _("All stored secrets can be opened."))


def _opens(sealed: str) -> bool:
    try:
        sealing.open(sealed)
    except sealing.SecretUnreadable:
        return False
    return True
