"""Our webhook endpoints at Stripe: a row first, then the call."""

import uuid
from typing import Any

from django.db import transaction
from django.utils import timezone
from django.views.decorators.debug import sensitive_variables

from .. import sealing
from ..errors import BillingError, StripeRefused, StripeUnavailable
from ..links import webhook_url
from ..models import StripeConnection, WebhookEndpoint
from ..sealing import SecretUnreadable
from .client import api_for
from .copies import refuse_copy

State = WebhookEndpoint.State

EVENTS = (
    "checkout.session.completed",
    "checkout.session.expired",
    "checkout.session.async_payment_succeeded",
    "checkout.session.async_payment_failed",
    "charge.refunded",
    "refund.created",
    "refund.updated",
    "refund.failed",
    "charge.dispute.created",
    "charge.dispute.updated",
    "charge.dispute.closed",
    "charge.dispute.funds_withdrawn",
    "charge.dispute.funds_reinstated",
    "invoice.paid",
    "invoice.payment_failed",
    "invoice.payment_action_required",
    "invoice.voided",
    "invoice.marked_uncollectible",
    "customer.subscription.updated",
    "customer.subscription.deleted",
    "customer.subscription.paused",
    "customer.subscription.resumed",
)


def ensure_endpoint(connection: StripeConnection, *, waiting: bool = False) -> WebhookEndpoint:
    """The connection's webhook endpoint, made at Stripe if it is not there yet.

    Never raises for what Stripe does: without an endpoint the connection works by asking. The
    row then says *missing*, or *creating* when Stripe could not be reached and the sweep goes on.
    Raises ``CopyOfProduction``: a copy leaves the endpoint of the real installation alone.
    """
    refuse_copy(connection)
    endpoint, old = _row_for(connection)
    if old is not None:
        delete_endpoint(old, waiting=waiting)
    if endpoint.state == State.ACTIVE:
        return endpoint
    try:
        _create(connection, endpoint, waiting)
    except StripeUnavailable:
        pass
    except (StripeRefused, BillingError, SecretUnreadable) as error:
        WebhookEndpoint.objects.filter(pk=endpoint.pk).update(
            state=State.MISSING, error=str(error)[:255]
        )
    endpoint.refresh_from_db()
    return endpoint


def _row_for(connection: StripeConnection) -> tuple[WebhookEndpoint, WebhookEndpoint | None]:
    """The row to go on with, and an endpoint whose address has changed since it was made."""
    with transaction.atomic():
        # Locked, so that two at once end with one endpoint and not with two.
        StripeConnection.objects.select_for_update().get(pk=connection.pk)
        endpoint = connection.endpoints.filter(
            state__in=[State.ACTIVE, State.CREATING, State.MISSING]
        ).first()
        if endpoint is not None and endpoint.state == State.MISSING:
            if endpoint.stripe_id:
                # It was there once: its secrets and events stay, and what is left of it goes.
                return _new_row(connection), endpoint
            # A refusal is remembered with its key; another try is another call.
            endpoint.delete()
            endpoint = None
        if endpoint is None:
            return _new_row(connection), None
        if endpoint.state == State.ACTIVE and _moved(endpoint):
            return _new_row(connection), endpoint
    return endpoint, None


@sensitive_variables("made")
def _create(connection: StripeConnection, endpoint: WebhookEndpoint, waiting: bool) -> None:
    import stripe

    params: dict[str, Any] = {
        "url": endpoint.url,
        "enabled_events": list(EVENTS),
        "api_version": stripe.api_version,
        "description": "wagtail-client-billing",
        "metadata": {"wcb_endpoint": str(endpoint.uuid)},
    }
    options = {"idempotency_key": endpoint.idempotency_key}
    made = api_for(connection, waiting=waiting).call(
        lambda client: client.v1.webhook_endpoints.create(params, options)
    )
    # The secret is told once, here.
    WebhookEndpoint.objects.filter(pk=endpoint.pk).update(
        state=State.ACTIVE,
        stripe_id=made["id"],
        sealed_secrets=[sealing.seal(made["secret"])],
        error="",
    )


def delete_endpoint(endpoint: WebhookEndpoint, *, waiting: bool = False) -> bool:
    """Removes an endpoint at Stripe; the row keeps its secrets for late deliveries.

    Returns False when Stripe could not be asked; the row then counts as deleted all the same,
    since what arrives there is only ever a hint. Raises ``CopyOfProduction``.
    """
    refuse_copy(endpoint.connection)
    deleted = True
    if endpoint.stripe_id:
        try:
            api_for(endpoint.connection, waiting=waiting).call(
                lambda client: client.v1.webhook_endpoints.delete(endpoint.stripe_id)
            )
        except (BillingError, SecretUnreadable) as error:
            deleted = getattr(error, "status", 0) == 404
    WebhookEndpoint.objects.filter(pk=endpoint.pk).update(
        state=State.DELETED, deleted_at=timezone.now()
    )
    return deleted


def _moved(endpoint: WebhookEndpoint) -> bool:
    return endpoint.url != webhook_url(endpoint.uuid)


def _new_row(connection: StripeConnection) -> WebhookEndpoint:
    identity = uuid.uuid4()
    return WebhookEndpoint.objects.create(
        uuid=identity,
        connection=connection,
        livemode=connection.livemode,
        url=webhook_url(identity),
        idempotency_key=f"wcb-endpoint-{identity}",
    )
