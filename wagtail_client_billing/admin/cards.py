"""The connection cards of the agency settings: one for live, one for test."""

from dataclasses import dataclass, field
from datetime import datetime

from django.db.models import Max
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from .. import rights
from ..conf import billing_settings
from ..gateway import connect
from ..gateway.endpoints import EVENTS, endpoint_of
from ..gateway.platform_endpoints import heard_by
from ..gateway.unlink import sessions_left
from ..models import BillingRequest, StripeConnection, StripeEvent, WebhookEndpoint
from .formats import country_name
from .notices import key_readable
from .requirements import in_words
from .urls import admin_url


@dataclass(frozen=True)
class State:
    """How something is; ``why`` and ``what`` say why it is not well and what to do."""

    kind: str
    word: str
    why: str = ""
    what: str = ""
    moment: datetime | None = None


@dataclass(frozen=True)
class Leaving:
    """An account that is being unlinked, and what is left to do."""

    name: str
    sentence: str
    go_on_url: str


@dataclass(frozen=True)
class Card:
    """One mode's connection, or the absence of one."""

    livemode: bool
    connection: StripeConnection | None = None
    state: State | None = None
    webhook: State | None = None
    country: str = ""
    # Boxes to tick on Stripe's page of the key.
    missing_boxes: list[str] = field(default_factory=list)
    # Where Stripe has to be told by hand to deliver, and what.
    register_url: str = ""
    events: tuple[str, ...] = ()
    urls: dict[str, str] = field(default_factory=dict)
    # Accounts of this mode that are gone, or on their way.
    leaving: list[Leaving] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    # What Stripe still asks of an account that was opened through the platform.
    needs: tuple[str, ...] = ()

    @property
    def short_id(self) -> str:
        """The account's id, short enough to be compared by eye."""
        full = self.connection.account_id if self.connection else ""
        return f"{full[:9]}…{full[-4:]}" if len(full) > 16 else full


def cards() -> list[Card]:
    """Both cards, the live one first."""
    linked = {
        connection.livemode: connection
        for connection in StripeConnection.objects.filter(unlinked_at=None)
    }
    return [_card(livemode, linked.get(livemode)) for livemode in (True, False)]


def _card(livemode: bool, connection: StripeConnection | None) -> Card:
    leaving = [
        _leaving(other)
        for other in StripeConnection.objects.being_unlinked()
        if other.livemode == livemode
    ]
    if connection is None:
        return Card(livemode, leaving=leaving, gone=_gone(livemode))
    by_key = connection.flow == StripeConnection.Flow.RESTRICTED_KEY
    endpoint = endpoint_of(connection) if by_key else None
    missing = endpoint is not None and endpoint.state == WebhookEndpoint.State.MISSING
    urls = {
        "dashboard": connect.dashboard_url(connection),
        "keys": connect.dashboard_url(connection, "apikeys"),
        "check": admin_url("check_account", connection.pk),
        "legal_pages": admin_url("legal_pages", connection.pk),
        "unlink": admin_url("unlink", connection.pk),
    }
    if _goes_on(connection):
        urls["continue"] = admin_url("onboarding", connection.pk)
    if connection.unfinished:
        urls["start_over"] = admin_url("start_over", connection.pk)
    if by_key:
        urls["replace_key"] = admin_url("replace_key", connection.pk)
        if endpoint is not None and endpoint.state != WebhookEndpoint.State.CREATING:
            urls["webhook"] = admin_url("webhook", connection.pk)
    return Card(
        livemode=livemode,
        connection=connection,
        state=state_of(connection),
        webhook=webhook_state(connection),
        country=country_name(connection.country),
        missing_boxes=rights.boxes(connection.missing_rights) if by_key else [],
        register_url=endpoint.url if endpoint is not None and missing else "",
        events=EVENTS if missing else (),
        urls=urls,
        needs=tuple(in_words(connection.requirements)) if not connection.ready else (),
        leaving=leaving,
    )


def _leaving(connection: StripeConnection) -> Leaving:
    left = sessions_left(connection)
    if left:
        text = ngettext(
            "%(count)d open payment page is still to be closed at Stripe.",
            "%(count)d open payment pages are still to be closed at Stripe.",
            left,
        ) % {"count": left}
    else:
        text = _("What is left is to tell Stripe, and to wipe the key.")
    return Leaving(
        connection.account_name or connection.account_id,
        text,
        admin_url("unlink", connection.pk),
    )


def _gone(livemode: bool) -> list[str]:
    """What waits for an account that was unlinked to be linked again."""
    found = []
    unlinked = StripeConnection.objects.exclude(unlinked_at=None).filter(livemode=livemode)
    for connection in unlinked.exclude(account_id=""):
        unchecked = StripeEvent.objects.filter(
            endpoint__connection=connection, state=StripeEvent.State.UNCHECKED
        ).count()
        pending = BillingRequest.objects.filter(
            account_id=connection.account_id,
            livemode=livemode,
            status=BillingRequest.Status.PENDING,
        ).count()
        if unchecked or pending:
            text = _(
                "%(account)s was unlinked. Pending requests of it: %(pending)d; Stripe events not"
                " checked: %(events)d. Link the same account again, and both are looked into."
            )
            name = connection.account_name or connection.account_id
            found.append(text % {"account": name, "pending": pending, "events": unchecked})
    return found


def _goes_on(connection: StripeConnection) -> bool:
    of_platform = connection.flow == StripeConnection.Flow.CONNECT
    return of_platform and not connection.charges_enabled and connection.broken_at is None


def state_of(connection: StripeConnection) -> State:
    """Ready, restricted or broken."""
    if not key_readable(connection):
        return State(
            "critical",
            _("Broken"),
            _("The stored key cannot be read: the installation's encryption keys have changed."),
            _("Replace the key, or restore the old encryption keys."),
        )
    if connection.through_platform and not billing_settings.platform(connection.livemode):
        return State(
            "critical",
            _("Broken"),
            _("This installation has no platform key for this mode any more."),
            _("Whoever runs the installation has to set PLATFORM again."),
        )
    if connection.broken_at and connection.through_platform:
        return State(
            "critical",
            _("Broken"),
            connection.broken_why,
            _("Check again. If that does not help, unlink the account and connect it again."),
        )
    if not connection.account_id:
        return State(
            "warning",
            _("Not finished"),
            _("The account has not been opened at Stripe yet."),
            _("Continue on Stripe, or start over."),
        )
    if connection.unfinished:
        return State(
            "warning",
            _("Not finished"),
            _("Stripe does not let this account take payments yet."),
            _("Continue on Stripe, or start over."),
        )
    if connection.broken_at:
        return State(
            "critical",
            _("Broken"),
            connection.broken_why or _("Stripe no longer accepts the key of this account."),
            _("Create a new key at Stripe and press Replace key. Until then nothing can be sent."),
        )
    if connection.is_copy:
        return State(
            "warning",
            _("Not used here"),
            _("It was connected at %(host)s, and this may be a copy of that installation.")
            % {"host": connection.host},
            _("Say above which one is the real one."),
        )
    if not connection.charges_enabled:
        return State(
            "warning",
            _("Restricted"),
            _("Stripe does not let this account take payments yet."),
            _("Open the account at Stripe, answer what is asked there, then check again."),
        )
    return State("positive", _("Ready"))


def webhook_state(connection: StripeConnection) -> State:
    """Whether Stripe tells us of payments by itself."""
    endpoint = heard_by(connection)
    slower = _("Until then the status is checked every 10 minutes.")
    if endpoint is None or endpoint.state == WebhookEndpoint.State.MISSING:
        why = (endpoint and endpoint.error) or _("No webhook endpoint could be made.")
        return State("warning", _("No webhook"), why, slower)
    if endpoint.state == WebhookEndpoint.State.CREATING:
        return State("warning", _("Webhook being made"), "", slower)
    # One that is being replaced is heard as well.
    own = connection.endpoints.aggregate(last=Max("last_event_at"))["last"]
    last = own or endpoint.last_event_at
    if last is None:
        return State("info", _("No event yet"))
    return State("positive", _("Working"), moment=last)
