"""Stripe's billing portal, where clients change their card or cancel by themselves."""

from hashlib import sha256
from typing import Any

from ..errors import NotAllowed, NotConnected, StripeRefused
from ..links import payment_link
from ..models import BillingRequest, StripeConnection, Subscription
from ..transactions import outside_transaction
from .client import Api, api_for
from .sessions import trusted_url


def open_portal(request_pk: int) -> str:
    """The address of Stripe's portal for the client of a request's subscription.

    Raises ``NotAllowed`` where nothing is left to manage, ``NotConnected``,
    ``StripeUnavailable``, ``StripeRefused`` or ``CopyOfProduction``.
    """
    outside_transaction()
    request = BillingRequest.objects.get(pk=request_pk)
    subscription = managed_subscription(request)
    if subscription is None:
        raise NotAllowed()
    connection = StripeConnection.objects.of_account(subscription.account_id, subscription.livemode)
    if connection is None or not connection.usable:
        raise NotConnected()
    api = api_for(connection, waiting=True)
    params: dict[str, Any] = {
        "customer": subscription.customer_id,
        "return_url": payment_link(request),
        "configuration": _configuration(api, connection),
    }
    try:
        opened = _create(api, params)
    except StripeRefused as error:
        if error.param != "configuration":
            raise
        # Somebody has switched it off in the Dashboard: make another one.
        another = _configuration(api, connection, instead_of=connection.portal_configuration_id)
        opened = _create(api, {**params, "configuration": another})
    return trusted_url(opened.get("url") or "")


def managed_subscription(request: BillingRequest) -> Subscription | None:
    """The subscription whose card the client may change, or that they may cancel."""
    going_on = request.subscriptions.exclude(status__in=Subscription.ENDED)
    return going_on.exclude(customer_id="").order_by("-pk").first()


def _create(api: Api, params: dict[str, Any]) -> dict[str, Any]:
    return api.call(lambda client: client.v1.billing_portal.sessions.create(params))


def _configuration(api: Api, connection: StripeConnection, *, instead_of: str = "") -> str:
    """What clients may do there, in our words and not in the Dashboard's."""
    if connection.portal_configuration_id and not instead_of:
        return connection.portal_configuration_id
    params = {
        "business_profile": {
            "privacy_policy_url": connection.privacy_policy_url,
            "terms_of_service_url": connection.terms_url,
        },
        "features": {
            "customer_update": {"enabled": False},
            "invoice_history": {"enabled": True},
            "payment_method_update": {"enabled": True},
            "subscription_cancel": {"enabled": True, "mode": "at_period_end"},
        },
    }
    # The same account and the same pages are the same configuration, also at once.
    pages = f"{connection.privacy_policy_url} {connection.terms_url} {instead_of}"
    key = f"wcb-portal-{connection.uuid}-{sha256(pages.encode()).hexdigest()[:16]}"
    made = api.call(
        lambda client: client.v1.billing_portal.configurations.create(
            params, {"idempotency_key": key}
        )
    )
    StripeConnection.objects.filter(pk=connection.pk).update(portal_configuration_id=made["id"])
    connection.portal_configuration_id = made["id"]
    return str(made["id"])
