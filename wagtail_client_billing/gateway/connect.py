"""Connecting a Stripe account with a restricted key of its own."""

import re
from typing import Any
from urllib.parse import urlencode

from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.views.decorators.debug import sensitive_variables

from .. import lifecycle, sealing
from ..conf import billing_settings
from ..errors import AccountLost, BillingError, NoSuchObject, StripeRefused
from ..hosts import this_host
from ..lifecycle.record import user_name
from ..models import StripeConnection
from ..transactions import outside_transaction
from . import rights, webhooks
from .client import Api, api_for
from .endpoints import ensure_endpoint, remove_strays, row_to_make
from .unlink import UnlinkReport, unlink, unlink_preview

__all__ = [
    "KeyRefused",
    "UnlinkReport",
    "check",
    "connect_with_key",
    "dashboard_url",
    "key_page_url",
    "replace_key",
    "unlink",
    "unlink_preview",
]

KEY = re.compile(r"^(rk|sk)_(test|live)_[A-Za-z0-9_]{8,240}$")


class KeyRefused(BillingError):
    """The connection cannot be made as typed; ``field`` names what to change."""

    def __init__(self, sentence: object, field: str = "key") -> None:
        super().__init__(sentence)
        self.field = field


def key_page_url(livemode: bool) -> str:
    """Stripe's page that makes a restricted key, with the right boxes already ticked."""
    query = urlencode(
        [("name", "Wagtail Client Billing"), *(("permissions[]", right) for right in rights.TICKED)]
    )
    return f"{_dashboard(livemode)}/apikeys/create?{query}"


def dashboard_url(connection: StripeConnection, path: str = "") -> str:
    """Where the account, or one object of it, is seen at Stripe."""
    return f"{_dashboard(connection.livemode)}/{path}".rstrip("/")


def _dashboard(livemode: bool) -> str:
    base = billing_settings.STRIPE_DASHBOARD_BASE or "https://dashboard.stripe.com"
    return base.rstrip("/") + ("" if livemode else "/test")


@sensitive_variables("key", "values")
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

    Another country than the account's gives way to the account's. An account that was linked
    before takes up its old row, and what came meanwhile is looked into. Raises ``KeyRefused``
    with the field to change, or ``StripeUnavailable``; then nothing is stored.
    """
    outside_transaction()
    key = key.strip()
    _check_kind(key, livemode)
    account, missing = _probe(Api(key, waiting=True))
    values = {
        "flow": StripeConnection.Flow.RESTRICTED_KEY,
        **_account_values(account),
        **_key_values(key, missing),
        "country": account.get("country") or country,
        "privacy_policy_url": privacy_policy_url,
        "terms_url": terms_url,
        "connected_by": user,
        "connected_by_name": user_name(user),
        "connected_at": timezone.now(),
        "unlinked_at": None,
        "host": this_host(),
        "let_go_at": None,
    }
    connection = _store(account["id"], livemode, values)
    remove_strays(connection, waiting=True)
    ensure_endpoint(connection, waiting=True)
    lifecycle.ask_again(connection.account_id, livemode)
    webhooks.look_again(connection)
    return connection


@sensitive_variables("key", "values")
def replace_key(connection: StripeConnection, *, key: str) -> None:
    """Takes another key of the same account and mode; a broken connection is whole again.

    Raises ``KeyRefused``, or ``StripeUnavailable``; then the old key stays.
    """
    outside_transaction()
    key = key.strip()
    _check_kind(key, connection.livemode, replacing=True)
    account, missing = _probe(Api(key, waiting=True))
    if account["id"] != connection.account_id:
        text = _(
            "This key is of another account (%(account)s). To change the account, unlink this one"
            " and connect the other."
        )
        raise KeyRefused(text % {"account": account["id"]})
    values = {**_account_values(account), **_key_values(key, missing)}
    if not StripeConnection.objects.active().filter(pk=connection.pk).update(**values):
        raise KeyRefused(_("The account was unlinked meanwhile. Connect it again."))
    connection.refresh_from_db()
    ensure_endpoint(connection, waiting=True)


def _store(account_id: str, livemode: bool, values: dict[str, Any]) -> StripeConnection:
    taken = KeyRefused(
        _("Another account is connected for this mode. Unlink it first."), field="livemode"
    )
    for _try in range(2):
        try:
            with transaction.atomic():
                active = StripeConnection.objects.active().filter(livemode=livemode)
                if active.exclude(account_id=account_id).exists():
                    raise taken
                connection, _created = StripeConnection.objects.update_or_create(
                    account_id=account_id, livemode=livemode, defaults=values
                )
                # With it, so that the sweep makes the endpoint if we die before we have.
                row_to_make(connection)
            return connection
        except IntegrityError:
            # Two people connected at once; the database let one through. Look once more whether
            # it was the same account.
            continue
    raise taken


def check(connection: StripeConnection) -> None:
    """Reads the account again and notes what has changed; a connection that answers is whole.

    Raises what ``Api.call`` raises; a lost account is then marked as broken, and a right that is
    missing is noted.
    """
    api = api_for(connection, waiting=True)
    try:
        account = api.call(lambda client: client.v1.accounts.retrieve_current())
    except StripeRefused as refused:
        if refused.missing_right:
            noted = sorted({*connection.missing_rights, refused.missing_right})
            StripeConnection.objects.filter(pk=connection.pk).update(missing_rights=noted)
        raise
    if account["id"] != connection.account_id:
        raise StripeRefused(_("The key belongs to another account now."))
    same = StripeConnection.objects.filter(pk=connection.pk)
    same.update(**_account_values(account))
    same.update(missing_rights=_missing_rights(api))
    connection.refresh_from_db()
    remove_strays(connection, waiting=True)
    ensure_endpoint(connection, waiting=True)


@sensitive_variables("key")
def _key_values(key: str, missing: list[str]) -> dict[str, Any]:
    return {"sealed_key": sealing.seal(key), "key_last4": key[-4:], "missing_rights": missing}


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
def _check_kind(key: str, livemode: bool, *, replacing: bool = False) -> None:
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
        raise KeyRefused(_other_mode(mode, replacing))


def _other_mode(mode: str, replacing: bool) -> object:
    if replacing:
        return (
            _("This key is for live mode, and the account is connected in test mode.")
            if mode == "live"
            else _("This key is for test mode, and the account is connected in live mode.")
        )
    return (
        _("This key is for live mode. Switch test mode off, or paste a test key.")
        if mode == "live"
        else _("This key is for test mode. Switch test mode on, or paste a live key.")
    )


def _probe(api: Api) -> tuple[dict[str, Any], list[str]]:
    """The account, and what the key may not; raises ``KeyRefused`` where that is too much."""
    try:
        account = api.call(lambda client: client.v1.accounts.retrieve_current())
        missing = _missing_rights(api)
    except AccountLost as lost:
        raise KeyRefused(
            _("Stripe does not know this key. Was it copied whole, or revoked?")
        ) from lost
    except StripeRefused as refused:
        if refused.missing_right:
            raise KeyRefused(_box_to_tick([refused.missing_right])) from refused
        raise KeyRefused(str(refused)) from refused
    needed = [right for right in missing if right in rights.NEEDED]
    if needed:
        raise KeyRefused(_box_to_tick(needed))
    return account, missing


def _missing_rights(api: Api) -> list[str]:
    """Slugs of the permissions that the key lacks. Nothing is changed at Stripe.

    Raises ``StripeUnavailable``, ``AccountLost``, or ``StripeRefused`` for another refusal.
    """
    missing = []
    for probe in rights.PROBES:
        try:
            api.call(probe)
        except NoSuchObject:
            continue
        except StripeRefused as refused:
            if not refused.missing_right:
                raise
            missing.append(refused.missing_right)
    return missing


def _box_to_tick(missing: list[str]) -> object:
    found = rights.boxes(missing)
    if len(found) == 1:
        text = _("The key may not do all that is needed. Tick this box on Stripe’s page: %(box)s.")
        return text % {"box": found[0]}
    text = _("The key may not do all that is needed. Tick these boxes on Stripe’s page: %(boxes)s.")
    return text % {"boxes": "; ".join(found)}
