"""The webhook endpoint of the operator's platform: one a mode, for all accounts of it.

It is made at Stripe with the platform's key. Where the operator gives its signing secrets in
``PLATFORM`` it was made by hand: then its address is the same for ever, so that it can be named
in the documentation, and we only verify what comes.
"""

import uuid
from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone
from django.views.decorators.debug import sensitive_variables

from .. import sealing
from ..conf import billing_settings
from ..errors import BillingError, StripeUnavailable
from ..links import webhook_url
from ..models import StripeConnection, WebhookEndpoint
from ..transactions import outside_transaction
from .client import platform_api
from .endpoints import EVENTS, endpoint_of

State = WebhookEndpoint.State

PLATFORM_EVENTS = (
    *EVENTS,
    "account.updated",
    "account.application.deauthorized",
    "capability.updated",
)
# Rows that a mode has one of.
CURRENT = (State.CREATING, State.ACTIVE, State.MISSING)
# Of endpoints made by hand: known before there is any row.
BY_HAND = {
    False: uuid.UUID("8d4bb6a2-93b1-5f0e-9a57-2d1c6a0f7e01"),
    True: uuid.UUID("8d4bb6a2-93b1-5f0e-9a57-2d1c6a0f7e02"),
}


def secrets_given(livemode: bool) -> list[str]:
    """The signing secrets that the operator has set for the platform's endpoint of a mode."""
    return list(billing_settings.platform(livemode).get("webhook_secrets") or [])


def by_hand_url(livemode: bool) -> str:
    """The address to enter at Stripe for an endpoint that is made by hand."""
    return webhook_url(BY_HAND[livemode])


def heard_by(connection: StripeConnection) -> WebhookEndpoint | None:
    """The endpoint that hears of a connection: its own, or its platform's."""
    if not connection.through_platform:
        return endpoint_of(connection)
    return _current(connection.livemode)


def ensure_platform_endpoint(livemode: bool, *, waiting: bool = False) -> WebhookEndpoint:
    """The platform's endpoint of a mode, made at Stripe if it is not there yet.

    Never raises for what Stripe does: without it payments are found by asking. The row then says
    *missing*, or *creating* when Stripe could not be reached and the sweep goes on.
    """
    outside_transaction()
    endpoint, old = _row(livemode)
    if old is not None and old.stripe_id and not is_of_another_host(livemode):
        _delete(old, waiting)
    if endpoint.state == State.ACTIVE:
        return endpoint
    try:
        _create(endpoint, waiting)
    except StripeUnavailable:
        pass
    except BillingError as error:
        WebhookEndpoint.objects.filter(pk=endpoint.pk, state=State.CREATING).update(
            state=State.MISSING, error=str(error)[:255]
        )
    endpoint.refresh_from_db()
    return endpoint


def is_of_another_host(livemode: bool) -> bool:
    """Whether the rows came with a copy: then what stands at Stripe is the real installation's."""
    copies = StripeConnection.objects.copies().filter(livemode=livemode)
    return copies.exclude(flow=StripeConnection.Flow.RESTRICTED_KEY).exists()


def _current(livemode: bool) -> WebhookEndpoint | None:
    return WebhookEndpoint.objects.filter(
        connection=None, livemode=livemode, state__in=CURRENT
    ).first()


def _row(livemode: bool) -> tuple[WebhookEndpoint, WebhookEndpoint | None]:
    """The row to go on with, and the one in whose place it came."""
    by_hand = bool(secrets_given(livemode))
    try:
        with transaction.atomic():
            found = _current(livemode)
            if found is not None and _serves(found, by_hand):
                return found, None
            if found is not None:
                WebhookEndpoint.objects.filter(pk=found.pk).update(
                    state=State.DELETED, deleted_at=timezone.now()
                )
            return _new_row(livemode, by_hand), found
    except IntegrityError:
        # Two at once; the database let one through.
        endpoint = _current(livemode)
        if endpoint is None:
            raise
        return endpoint, None


def _serves(endpoint: WebhookEndpoint, by_hand: bool) -> bool:
    if by_hand != (endpoint.uuid in BY_HAND.values()):
        return False
    # A refusal is remembered with its key; another try is another call.
    return endpoint.state != State.MISSING and (
        endpoint.state != State.ACTIVE or endpoint.url == webhook_url(endpoint.uuid)
    )


def _new_row(livemode: bool, by_hand: bool) -> WebhookEndpoint:
    identity = BY_HAND[livemode] if by_hand else uuid.uuid4()
    values: dict[str, Any] = {
        "connection": None,
        "livemode": livemode,
        "url": webhook_url(identity),
        "state": State.ACTIVE if by_hand else State.CREATING,
        "deleted_at": None,
    }
    endpoint, _made = WebhookEndpoint.objects.update_or_create(
        uuid=identity,
        defaults=values,
        create_defaults={**values, "idempotency_key": f"wcb-endpoint-{identity}"},
    )
    return endpoint


@sensitive_variables("made")
def _create(endpoint: WebhookEndpoint, waiting: bool) -> None:
    import stripe

    params: dict[str, Any] = {
        "url": endpoint.url,
        "enabled_events": list(PLATFORM_EVENTS),
        "api_version": stripe.api_version,
        "connect": True,
        "description": "wagtail-client-billing",
        "metadata": {"wcb_endpoint": str(endpoint.uuid)},
    }
    options = {"idempotency_key": endpoint.idempotency_key}
    made = platform_api(endpoint.livemode, waiting=waiting).call(
        lambda client: client.v1.webhook_endpoints.create(params, options)
    )
    # The secret is told once, here.
    WebhookEndpoint.objects.filter(pk=endpoint.pk).update(
        state=State.ACTIVE,
        stripe_id=made["id"],
        sealed_secrets=[sealing.seal(made["secret"])],
        error="",
    )


def _delete(endpoint: WebhookEndpoint, waiting: bool) -> None:
    # Its row counts as deleted already; what arrives there is only ever a hint.
    try:
        platform_api(endpoint.livemode, waiting=waiting).call(
            lambda client: client.v1.webhook_endpoints.delete(endpoint.stripe_id)
        )
    except BillingError:
        return
