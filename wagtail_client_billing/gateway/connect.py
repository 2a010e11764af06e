"""Connecting a Stripe account with a restricted key of its own."""

import re
from typing import Any
from urllib.parse import urlencode

from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.views.decorators.debug import sensitive_variables

from .. import lifecycle, rights, sealing
from ..conf import billing_settings
from ..errors import AccountLost, StripeRefused
from ..hosts import this_host
from ..lifecycle.record import user_name
from ..models import StripeConnection
from ..transactions import outside_transaction
from . import webhooks
from .accounts import KeyRefused, account_values, missing_rights, read_again, store
from .client import Api
from .copies import refuse_copy
from .currencies import note_currencies
from .endpoints import ensure_endpoint, remove_strays, row_to_make
from .platform_endpoints import ensure_platform_endpoint
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
        **account_values(account),
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
    # With its endpoint's row, so that the sweep makes the endpoint if we die before we have.
    connection = store(account["id"], livemode, values, along=row_to_make)
    remove_strays(connection, waiting=True)
    ensure_endpoint(connection, waiting=True)
    lifecycle.ask_again(connection.account_id, livemode)
    webhooks.look_again(connection)
    note_currencies(connection, waiting=True, at_once=True)
    return connection


@sensitive_variables("key", "values")
def replace_key(connection: StripeConnection, *, key: str) -> None:
    """Takes another key of the same account and mode; a broken connection is whole again.

    Raises ``KeyRefused``, ``StripeUnavailable`` or ``CopyOfProduction``; then the old key stays.
    """
    outside_transaction()
    refuse_copy(connection)
    key = key.strip()
    _check_kind(key, connection.livemode, replacing=True)
    account, missing = _probe(Api(key, waiting=True))
    if account["id"] != connection.account_id:
        text = _(
            "This key is of another account (%(account)s). To change the account, unlink this one"
            " and connect the other."
        )
        raise KeyRefused(text % {"account": account["id"]})
    values = {**account_values(account), **_key_values(key, missing)}
    if not StripeConnection.objects.active().filter(pk=connection.pk).update(**values):
        raise KeyRefused(_("The account was unlinked meanwhile. Connect it again."))
    connection.refresh_from_db()
    ensure_endpoint(connection, waiting=True)
    # What the old key could not tell, the new one may.
    lifecycle.ask_again(connection.account_id, connection.livemode)
    note_currencies(connection, waiting=True, at_once=True)


def check(connection: StripeConnection, *, waiting: bool = True) -> None:
    """Reads the account again, and makes its webhook endpoint if there is none.

    Raises what ``read_again`` raises, and ``CopyOfProduction``: a copy has read the account, and
    leaves its endpoint alone.
    """
    # Where a person waits, they asked to check again.
    read_again(connection, waiting=waiting, currencies_too=waiting)
    refuse_copy(connection)
    if connection.through_platform:
        ensure_platform_endpoint(connection.livemode, waiting=waiting)
        return
    remove_strays(connection, waiting=waiting)
    ensure_endpoint(connection, waiting=waiting)


@sensitive_variables("key")
def _key_values(key: str, missing: list[str]) -> dict[str, Any]:
    return {"sealed_key": sealing.seal(key), "key_last4": key[-4:], "missing_rights": missing}


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
        missing = missing_rights(api)
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


def _box_to_tick(missing: list[str]) -> object:
    found = rights.boxes(missing)
    if len(found) == 1:
        text = _("The key may not do all that is needed. Tick this box on Stripe’s page: %(box)s.")
        return text % {"box": found[0]}
    text = _("The key may not do all that is needed. Tick these boxes on Stripe’s page: %(boxes)s.")
    return text % {"boxes": "; ".join(found)}
