"""Connecting through the operator's platform: an account that the agency has already (OAuth)."""

from typing import Any

from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.views.decorators.debug import sensitive_variables

from ..conf import billing_settings
from ..errors import BillingError, NotConnected, StripeRefused
from ..hosts import this_host
from ..lifecycle.record import user_name
from ..links import admin_page_url
from ..models import StripeConnection
from ..transactions import outside_transaction
from .accounts import account_values, store, taken_by
from .client import Api, platform_api
from .currencies import note_currencies
from .platform import deauthorize, safe_to_visit
from .platform_endpoints import ensure_platform_endpoint


class CodeRefused(BillingError):
    """Stripe does not take the code that somebody came back with."""

    sentence = _("Stripe did not accept the answer: it was used before, or is too old. Try again.")


class OtherMode(BillingError):
    """The account was authorised in the other mode than was asked for."""

    sentence = _("This account was connected for the other mode. Nothing was connected.")


def authorize_url(*, livemode: bool, state: str, country: str, email: str) -> str:
    """Stripe's page where the owner of an account lets our platform act for it. Calls nobody.

    Raises ``NotConnected`` where the operator has no platform for the mode, ``KeyRefused`` where
    an account is connected in it.
    """
    api = _platform(livemode)
    _refuse_second(livemode)
    person = {"country": country, **({"email": email} if email else {})}
    return safe_to_visit(
        api.address(
            lambda client: client.oauth.authorize_url(
                {
                    "response_type": "code",
                    "scope": "read_write",
                    "state": state,
                    "redirect_uri": admin_page_url("oauth_callback"),
                    "stripe_user": person,
                }
            )
        )
    )


@sensitive_variables("code", "token")
def connect_with_code(
    *,
    code: str,
    livemode: bool,
    country: str,
    privacy_policy_url: str,
    terms_url: str,
    user: Any,
) -> StripeConnection:
    """Connects the account whose owner has agreed. Its id and mode are all that is kept.

    Raises ``KeyRefused``, ``CodeRefused``, ``OtherMode``, or what ``Api.call`` raises; then
    nothing is stored.
    """
    outside_transaction()
    api = _platform(livemode)
    _refuse_second(livemode)
    try:
        token = api.call(
            lambda client: client.oauth.token({"grant_type": "authorization_code", "code": code})
        )
    except StripeRefused as refused:
        raise CodeRefused() from refused
    account_id, authorised = str(token["stripe_user_id"]), bool(token["livemode"])
    # The platform's own key is enough from here on.
    del token
    if authorised != livemode:
        deauthorize(account_id, livemode)
        raise OtherMode()
    account = platform_api(livemode, waiting=True, account=account_id).call(
        lambda client: client.v1.accounts.retrieve_current()
    )
    values = {
        "flow": StripeConnection.Flow.OAUTH,
        **account_values(account),
        "country": account.get("country") or country,
        "sealed_key": "",
        "key_last4": "",
        "privacy_policy_url": privacy_policy_url,
        "terms_url": terms_url,
        "connected_by": user,
        "connected_by_name": user_name(user),
        "connected_at": timezone.now(),
        "unlinked_at": None,
        "let_go_at": None,
        "host": this_host(),
        "missing_rights": [],
    }
    connection = store(account_id, livemode, values)
    ensure_platform_endpoint(livemode, waiting=True)
    note_currencies(connection, waiting=True, at_once=True)
    return connection


def _platform(livemode: bool) -> Api:
    if not billing_settings.platform(livemode).get("client_id"):
        raise NotConnected(_("This installation has no platform with OAuth for this mode."))
    return platform_api(livemode, waiting=True)


def _refuse_second(livemode: bool) -> None:
    """Before anybody is asked at Stripe. An account that broke may be connected anew."""
    found = StripeConnection.objects.filter(
        livemode=livemode, unlinked_at=None, broken_at=None
    ).first()
    if found is not None:
        raise taken_by(found)
