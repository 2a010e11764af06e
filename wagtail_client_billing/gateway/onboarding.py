"""Connecting through the operator's platform: a new account, made for the agency (Accounts v2).

The row comes first and carries the idempotency key, so that after a crash, and for two people at
once, the next click goes on with the same account.
"""

import uuid
from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from ..errors import NotConnected, StripeRefused
from ..hosts import this_host
from ..lifecycle.record import user_name
from ..links import admin_page_url
from ..models import AgencySettings, StripeConnection
from ..transactions import outside_transaction
from .accounts import KeyRefused, taken_by
from .client import Api, platform_api
from .copies import refuse_copy
from .platform import INCLUDE, safe_to_visit
from .platform_endpoints import ensure_platform_endpoint


def begin(
    *, livemode: bool, country: str, privacy_policy_url: str, terms_url: str, user: Any
) -> StripeConnection:
    """Notes that an account is wanted; calls nobody.

    Finds the row that is there if setting one up was begun before, or by somebody else at the
    same time. Raises ``KeyRefused`` where an account is connected in this mode already, and
    ``NotConnected`` where the operator has no platform for it.
    """
    outside_transaction()
    platform_api(livemode)
    identity = uuid.uuid4()
    addresses = {"privacy_policy_url": privacy_policy_url, "terms_url": terms_url}
    try:
        with transaction.atomic():
            return StripeConnection.objects.create(
                uuid=identity,
                livemode=livemode,
                flow=StripeConnection.Flow.CONNECT,
                country=country,
                details_submitted=False,
                host=this_host(),
                idempotency_key=f"wcb-account-{identity}",
                account_params=_account_params(identity, country, user),
                connected_by=user,
                connected_by_name=user_name(user),
                **addresses,
            )
    except IntegrityError:
        found = StripeConnection.objects.filter(livemode=livemode, unlinked_at=None).first()
        if found is None or not found.unfinished:
            raise taken_by(found) from None
    StripeConnection.objects.filter(pk=found.pk).update(**addresses)
    found.refresh_from_db()
    return found


def go_on(connection: StripeConnection) -> str:
    """Where Stripe asks the account's owner what it needs, by a link that works once.

    Makes the account if that has not happened yet. Raises ``StripeUnavailable``, with which the
    row stays for the next click, and ``StripeRefused``: an account that was refused is forgotten.
    """
    outside_transaction()
    refuse_copy(connection)
    api = platform_api(connection.livemode, waiting=True)
    if not connection.account_id:
        _make_account(api, connection)
    ensure_platform_endpoint(connection.livemode, waiting=True)
    params: dict[str, Any] = {
        "account": connection.account_id,
        "use_case": {
            "type": "account_onboarding",
            "account_onboarding": {
                "refresh_url": admin_page_url("onboarding_refresh", connection.pk),
                "return_url": admin_page_url("onboarding_return", connection.pk),
            },
        },
    }
    link = api.call(lambda client: client.v2.core.account_links.create(params))
    return safe_to_visit(link["url"])


def start_over(connection: StripeConnection) -> None:
    """Forgets an account that was never finished. At Stripe it stays as it is."""
    with transaction.atomic():
        locked = StripeConnection.objects.select_for_update().get(pk=connection.pk)
        if locked.unfinished:
            _forget(StripeConnection.objects.filter(pk=locked.pk))
    connection.refresh_from_db()


def _make_account(api: Api, connection: StripeConnection) -> None:
    row = StripeConnection.objects.filter(pk=connection.pk, account_id="")
    options = {"idempotency_key": connection.idempotency_key}
    try:
        account = api.call(
            lambda client: client.v2.core.accounts.create(connection.account_params, options)
        )
    except StripeRefused:
        _forget(row)
        raise
    row.update(account_id=account["id"], account_name=account.get("display_name") or "")
    connection.refresh_from_db()
    if connection.unlinked_at:
        # Somebody started over meanwhile.
        raise NotConnected(_("This account was forgotten meanwhile. Connect one anew."))


def _forget(rows: Any) -> None:
    now = timezone.now()
    rows.update(unlinked_at=now, let_go_at=now)


def _account_params(identity: uuid.UUID, country: str, user: Any) -> dict[str, Any]:
    """What Stripe is asked to make: an account of the agency's own, with Stripe's dashboard."""
    agency = AgencySettings.current()
    email = (agency and agency.contact_email) or getattr(user, "email", "")
    name = (agency and agency.agency_name) or user_name(user)
    params: dict[str, Any] = {
        "dashboard": "full",
        "identity": {"country": country.lower()},
        "configuration": {
            "merchant": {"capabilities": {"card_payments": {"requested": True}}},
        },
        "defaults": {
            "responsibilities": {"fees_collector": "stripe", "losses_collector": "stripe"},
        },
        "metadata": {"wcb_connection": str(identity)},
        "include": INCLUDE,
    }
    if email:
        params["contact_email"] = email
    if name:
        params["display_name"] = name
    return params


__all__ = ["KeyRefused", "begin", "go_on", "start_over"]
