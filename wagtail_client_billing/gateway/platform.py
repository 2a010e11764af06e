"""The operator's Connect platform: reading an account of it, and letting one go."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from ..conf import billing_settings
from ..errors import AccountLost, BillingError, StripeRefused, StripeUnavailable
from ..models import StripeConnection
from ..transactions import outside_transaction
from .client import mark_broken, platform_api, stand_in

# Without being named here these come back empty.
INCLUDE = ["configuration.merchant", "requirements", "identity", "defaults"]


def read_account(connection: StripeConnection, *, waiting: bool = False) -> dict[str, Any]:
    """What is true of an account that the platform has made, as values of our row.

    Raises what ``Api.call`` raises; an account that is lost is marked as broken.
    """
    outside_transaction()
    api = platform_api(connection.livemode, waiting=waiting)
    try:
        account = api.call(
            lambda client: client.v2.core.accounts.retrieve(
                connection.account_id, {"include": INCLUDE}
            )
        )
    except AccountLost as lost:
        # Asked as the platform, not on behalf of the account: nobody else has marked it.
        mark_broken(connection, str(lost))
        raise
    return account_values(connection, account)


def account_values(connection: StripeConnection, account: dict[str, Any]) -> dict[str, Any]:
    """An Accounts v2 object as values of our row."""
    merchant = (account.get("configuration") or {}).get("merchant") or {}
    card_payments = (merchant.get("capabilities") or {}).get("card_payments") or {}
    needed = list(dict.fromkeys(_needed(account)))
    enabled = card_payments.get("status") == "active"
    name = account.get("display_name") or account.get("contact_email") or ""
    country = (account.get("identity") or {}).get("country") or connection.country
    currency = (account.get("defaults") or {}).get("currency") or connection.default_currency
    return {
        "account_name": name[:255],
        "country": country.upper()[:2],
        "default_currency": currency.upper()[:3],
        "charges_enabled": enabled,
        # Once answered is answered: what Stripe asks for later is another matter.
        "details_submitted": connection.details_submitted or enabled or not needed,
        "requirements": needed,
        "checked_at": timezone.now(),
        "broken_at": None,
        "broken_why": "",
    }


def _needed(account: dict[str, Any]) -> Iterator[str]:
    """Stripe's names of what the account's owner has to answer by now."""
    for entry in (account.get("requirements") or {}).get("entries") or []:
        deadline = (entry.get("minimum_deadline") or {}).get("status")
        if entry.get("awaiting_action_from") == "user" and deadline != "eventually_due":
            yield str(entry.get("description") or "")[:200]


def give_back(connection: StripeConnection) -> str:
    """Gives back the platform's access to an account; for an account's own key there is none.

    Always ends. Returns a sentence for the person who unlinks where Stripe would not have it,
    and an empty string otherwise.
    """
    outside_transaction()
    if connection.through_platform and connection.account_id and connection.let_go_at is None:
        return deauthorize(connection.account_id, connection.livemode)
    return ""


def deauthorize(account_id: str, livemode: bool) -> str:
    """Ends the platform's access to an account. Returns a sentence if that was not possible."""
    outside_transaction()
    by_hand = _(
        "Our access to the account could not be ended at Stripe. You can end it there: Settings, "
        "Team and security, Installed applications."
    )
    if not billing_settings.platform(livemode).get("client_id"):
        return str(by_hand)
    try:
        platform_api(livemode).call(
            lambda client: client.oauth.deauthorize({"stripe_user_id": account_id})
        )
    except StripeUnavailable:
        return str(by_hand)
    except BillingError:
        # Stripe refuses for one it has ended already, too.
        return "" if _is_gone(account_id, livemode) else str(by_hand)
    return ""


def _is_gone(account_id: str, livemode: bool) -> bool:
    try:
        platform_api(livemode, account=account_id).call(
            lambda client: client.v1.accounts.retrieve_current()
        )
    except AccountLost as lost:
        return lost.code == "account_invalid"
    except BillingError:
        return False
    return False


def safe_to_visit(url: str) -> str:
    """An address that Stripe gave for a person to go to; raises ``StripeRefused`` for others."""
    parts = urlsplit(url)
    trusted = parts.netloc == stand_in() if stand_in() else parts.scheme == "https"
    if not trusted or parts.scheme not in ("http", "https"):
        raise StripeRefused(_("Stripe sent an address that is not one of its own."))
    return url
