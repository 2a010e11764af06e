"""Connecting a Stripe account with a restricted key of its own."""

import re
from typing import Any
from urllib.parse import urlencode

from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.views.decorators.debug import sensitive_variables

from .. import sealing
from ..conf import billing_settings
from ..errors import AccountLost, BillingError, NoSuchObject, StripeRefused
from ..hosts import this_host
from ..lifecycle.record import user_name
from ..models import StripeConnection
from ..transactions import outside_transaction
from .client import Api, api_for
from .copies import refuse_copy
from .endpoints import ensure_endpoint
from .unlink import UnlinkReport, unlink, unlink_preview

__all__ = [
    "KeyRefused",
    "UnlinkReport",
    "check",
    "connect_with_key",
    "dashboard_url",
    "key_page_url",
    "unlink",
    "unlink_preview",
]

KEY = re.compile(r"^(rk|sk)_(test|live)_[A-Za-z0-9_]{8,240}$")

# Slug for Stripe's page that makes a key, and the words of the box to tick there.
RIGHTS: dict[str, Any] = {
    "rak_checkout_session_write": _("Checkout Sessions: write"),
    "rak_payment_intent_read": _("PaymentIntents: read"),
    "rak_charge_read": _("Charges and Refunds: read"),
    "rak_connected_account_read": _("Connected accounts (Accounts): read"),
    "rak_webhook_write": _("Webhook Endpoints: write"),
    "rak_event_read": _("Events: read"),
}


class KeyRefused(BillingError):
    """The connection cannot be made as typed; ``field`` names what to change."""

    def __init__(self, sentence: object, field: str = "key") -> None:
        super().__init__(sentence)
        self.field = field


def key_page_url(livemode: bool) -> str:
    """Stripe's page that makes a restricted key, with the right boxes already ticked."""
    query = urlencode(
        [("name", "Wagtail Client Billing"), *(("permissions[]", right) for right in RIGHTS)]
    )
    return f"{_dashboard(livemode)}/apikeys/create?{query}"


def dashboard_url(connection: StripeConnection, path: str = "") -> str:
    """Where the account, or one object of it, is seen at Stripe."""
    return f"{_dashboard(connection.livemode)}/{path}".rstrip("/")


def _dashboard(livemode: bool) -> str:
    base = billing_settings.STRIPE_DASHBOARD_BASE or "https://dashboard.stripe.com"
    return base.rstrip("/") + ("" if livemode else "/test")


@sensitive_variables("key", "found")
def connect_with_key(
    *,
    key: str,
    livemode: bool,
    country: str,
    privacy_policy_url: str,
    terms_url: str,
    user: Any,
) -> StripeConnection:
    """Probes the key, reads the account with it, stores it sealed, and makes the webhook endpoint.

    Another country than the account's gives way to the account's. Raises ``KeyRefused`` with the
    field to change, or ``StripeUnavailable``; then nothing is stored.
    """
    outside_transaction()
    key = key.strip()
    _check_kind(key, livemode)
    api = Api(key, waiting=True)
    account = _probe(api)
    values = {
        "flow": StripeConnection.Flow.RESTRICTED_KEY,
        **_account_values(account),
        "country": account.get("country") or country,
        "sealed_key": sealing.seal(key),
        "key_last4": key[-4:],
        "privacy_policy_url": privacy_policy_url,
        "terms_url": terms_url,
        "connected_by": user,
        "connected_by_name": user_name(user),
        "connected_at": timezone.now(),
        "unlinked_at": None,
        "host": this_host(),
    }
    connection = _store(account["id"], livemode, values)
    ensure_endpoint(connection, waiting=True)
    return connection


def _store(account_id: str, livemode: bool, values: dict[str, Any]) -> StripeConnection:
    taken = KeyRefused(
        _("Another account is connected for this mode. Unlink it first."), field="livemode"
    )
    try:
        with transaction.atomic():
            active = StripeConnection.objects.active().filter(livemode=livemode)
            if active.exclude(account_id=account_id).exists():
                raise taken
            # Pasting a key is no word on which installation is the real one.
            refuse_copy(active.filter(account_id=account_id).first())
            connection, _created = StripeConnection.objects.update_or_create(
                account_id=account_id, livemode=livemode, defaults=values
            )
    except IntegrityError:
        # Two people connected at once; the database let one through.
        raise taken from None
    return connection


def check(connection: StripeConnection) -> None:
    """Reads the account again and notes what has changed; a connection that answers is whole.

    Raises what ``Api.call`` raises; a lost account is then marked as broken.
    """
    account = api_for(connection, waiting=True).call(
        lambda client: client.v1.accounts.retrieve_current()
    )
    if account["id"] != connection.account_id:
        raise StripeRefused(_("The key belongs to another account now."))
    StripeConnection.objects.filter(pk=connection.pk).update(**_account_values(account))
    connection.refresh_from_db()
    ensure_endpoint(connection, waiting=True)


def _account_values(account: dict[str, Any]) -> dict[str, Any]:
    profile = account.get("business_profile") or {}
    dashboard = (account.get("settings") or {}).get("dashboard") or {}
    name = profile.get("name") or dashboard.get("display_name") or account.get("email") or ""
    return {
        "account_name": name[:255],
        "default_currency": (account.get("default_currency") or "").upper()[:3],
        "charges_enabled": bool(account.get("charges_enabled")),
        "checked_at": timezone.now(),
        "broken_at": None,
        "broken_why": "",
    }


@sensitive_variables("key", "found")
def _check_kind(key: str, livemode: bool) -> None:
    if key.startswith("pk_"):
        raise KeyRefused(
            _("This is a publishable key. It cannot take payments; paste a restricted key (rk_…).")
        )
    if key.startswith("whsec_"):
        raise KeyRefused(_("This is a webhook signing secret. Paste a restricted key (rk_…)."))
    if key.startswith("sk_org_"):
        raise KeyRefused(_("Keys of an organisation cannot be used. Paste one of the account's."))
    found = KEY.match(key)
    if not found:
        raise KeyRefused(_("This is not a Stripe key. A restricted key starts with rk_."))
    kind, mode = found.groups()
    if kind == "sk" and mode == "live" and not billing_settings.ALLOW_SECRET_KEYS:
        raise KeyRefused(
            _(
                "This is a secret key with every right. Create a restricted key (rk_live_…) and "
                "paste that instead."
            )
        )
    if (mode == "live") != livemode:
        sentence = (
            _("This key is for live mode. Switch test mode off, or paste a test key.")
            if mode == "live"
            else _("This key is for test mode. Switch test mode on, or paste a live key.")
        )
        raise KeyRefused(sentence)


def _probe(api: Api) -> dict[str, Any]:
    """The account, if the key may do all that we need. Nothing is changed at Stripe.

    Stripe checks rights before existence: asking for something that cannot exist tells a missing
    right (403) from a missing object (404).
    """
    probes = (
        lambda client: client.v1.checkout.sessions.list({"limit": 1}),
        lambda client: client.v1.checkout.sessions.expire("cs_wcb_probe"),
        lambda client: client.v1.payment_intents.retrieve("pi_wcb_probe"),
    )
    try:
        account = api.call(lambda client: client.v1.accounts.retrieve_current())
        for probe in probes:
            try:
                api.call(probe)
            except NoSuchObject:
                continue
    except AccountLost as lost:
        raise KeyRefused(
            _("Stripe does not know this key. Was it copied whole, or revoked?")
        ) from lost
    except StripeRefused as refused:
        raise KeyRefused(_refusal(refused)) from refused
    return account


def _refusal(refused: StripeRefused) -> object:
    if not refused.missing_right:
        return str(refused)
    box = RIGHTS.get(refused.missing_right, refused.missing_right.removeprefix("rak_"))
    return _("The key may not do all that is needed. Tick this box on Stripe’s page: %(box)s.") % {
        "box": box
    }
