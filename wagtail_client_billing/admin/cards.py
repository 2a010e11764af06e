"""The connection cards of the agency settings: one for live, one for test."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils.translation import gettext as _

from ..conf import billing_settings
from ..gateway import connect
from ..gateway.platform_endpoints import endpoint_of
from ..models import StripeConnection, WebhookEndpoint
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
class Card:
    """One mode's connection, or the absence of one."""

    livemode: bool
    connection: StripeConnection | None = None
    state: State | None = None
    webhook: State | None = None
    country: str = ""
    dashboard_url: str = ""
    check_url: str = ""
    unlink_url: str = ""
    needs: tuple[str, ...] = ()
    continue_url: str = ""
    start_over_url: str = ""

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
    return [
        _card(linked[livemode]) if livemode in linked else Card(livemode)
        for livemode in (True, False)
    ]


def _card(connection: StripeConnection) -> Card:
    return Card(
        livemode=connection.livemode,
        connection=connection,
        state=state_of(connection),
        webhook=webhook_state(connection),
        country=country_name(connection.country),
        dashboard_url=connect.dashboard_url(connection),
        check_url=admin_url("check_account", connection.pk),
        unlink_url=admin_url("unlink", connection.pk),
        needs=tuple(in_words(connection.requirements)) if not connection.ready else (),
        continue_url=admin_url("onboarding", connection.pk) if _goes_on(connection) else "",
        start_over_url=(admin_url("start_over", connection.pk) if connection.unfinished else ""),
    )


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
            _("Unlink the account and connect it again with its key, or restore the old keys."),
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
            _("Create a new key at Stripe, unlink the account and connect it again."),
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
    endpoint: Any = endpoint_of(connection)
    slower = _("Payments are still found, within a few minutes, by asking Stripe.")
    if endpoint is None or endpoint.state == WebhookEndpoint.State.MISSING:
        why = (endpoint and endpoint.error) or _("No webhook endpoint could be made.")
        return State("warning", _("No webhook"), why, slower)
    if endpoint.state == WebhookEndpoint.State.CREATING:
        return State("warning", _("Webhook being made"), "", slower)
    if endpoint.last_event_at is None:
        return State("info", _("No event yet"))
    return State("positive", _("Working"), moment=endpoint.last_event_at)
