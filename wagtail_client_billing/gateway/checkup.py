"""Asks Stripe how a connection is, and notes the answers on it."""

from django.utils.translation import gettext as _

from ..errors import AccountLost, CopyOfProduction, NoSuchObject, NotConnected, StripeRefused
from ..models import StripeConnection, WebhookEndpoint
from ..sealing import SecretUnreadable
from ..transactions import outside_transaction
from . import connect
from .client import Api, api_for

State = WebhookEndpoint.State


def check_up(connection: StripeConnection) -> None:
    """Reads the account again, looks for the webhook endpoint, and compares the clocks.

    What is wrong is then on the rows: a lost account is *broken*, an endpoint that Stripe has no
    more, or has switched off, is *missing*. Raises ``StripeUnavailable``, and ``StripeRefused``
    for what no row tells.
    """
    outside_transaction()
    try:
        connect.check(connection)
    except (AccountLost, NotConnected, SecretUnreadable):
        return
    except CopyOfProduction:
        # It was read; only the endpoint, which is not ours to make, was not.
        pass
    api = api_for(connection)
    try:
        _look_for_endpoint(api, connection)
        # A call that every key may make, for the date of its answer.
        api.call(lambda client: client.v1.checkout.sessions.list({"limit": 1}))
    except StripeRefused as refused:
        if not refused.missing_right:
            raise
    finally:
        if api.clock_skew_seconds is not None:
            StripeConnection.objects.filter(pk=connection.pk).update(
                clock_skew_seconds=api.clock_skew_seconds
            )


def _look_for_endpoint(api: Api, connection: StripeConnection) -> None:
    endpoint = connection.endpoints.filter(state=State.ACTIVE).exclude(stripe_id="").first()
    if endpoint is None:
        return
    try:
        found = api.call(lambda client: client.v1.webhook_endpoints.retrieve(endpoint.stripe_id))
    except NoSuchObject:
        why = _("Stripe does not have it any more.")
    else:
        if found.get("status") != "disabled":
            return
        why = _("It was switched off at Stripe.")
    WebhookEndpoint.objects.filter(pk=endpoint.pk, state=State.ACTIVE).update(
        state=State.MISSING, error=why
    )
