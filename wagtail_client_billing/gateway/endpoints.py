"""Our webhook endpoints at Stripe: a row first, then the call.

An endpoint is replaced by making a second one first. Both are believed until the first retires.
"""

import uuid
from contextlib import suppress
from datetime import timedelta
from functools import partial
from typing import Any

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.views.decorators.debug import sensitive_variables

from .. import sealing
from ..errors import BillingError, NotAllowed, StripeUnavailable
from ..links import webhook_url
from ..models import StripeConnection, WebhookEndpoint
from ..sealing import SecretUnreadable
from ..transactions import outside_transaction
from .client import Api, api_for
from .copies import refuse_copy

State = WebhookEndpoint.State
IN_THE_MAKING = (State.CREATING, State.MISSING)

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
# Stripe signs with an older secret for that long after a new one was made, and so do we believe.
OLD_SECRET_HOLDS = timedelta(hours=24)
# After an account is unlinked what arrives late is still verified and kept.
KEEP_DELETED = timedelta(days=30)
# Stripe allows sixteen endpoints an account.
ALL_OF_THEM = 100


def ensure_endpoint(connection: StripeConnection, *, waiting: bool = False) -> WebhookEndpoint:
    """The connection's webhook endpoint, made at Stripe if it is not there yet.

    Never raises for what Stripe does: without an endpoint the connection works by asking. The
    row then says *missing*, or *creating* when Stripe could not be reached and the sweep goes on.
    Raises ``NotAllowed`` where the account was unlinked meanwhile, and ``CopyOfProduction``: a copy
    leaves the endpoint of the real installation alone.
    """
    refuse_copy(connection)
    endpoint = row_to_make(connection)
    if endpoint.state == State.CREATING:
        try:
            _create(connection, endpoint, waiting)
        except StripeUnavailable:
            pass
        except (BillingError, SecretUnreadable) as error:
            _not_made(endpoint, error)
        endpoint.refresh_from_db()
    retire_due(connection, waiting=waiting)
    return endpoint


def roll_secret(connection: StripeConnection, *, waiting: bool = False) -> WebhookEndpoint:
    """A new endpoint with a new secret; the one before it retires a day later.

    Raises ``StripeUnavailable`` (the row stays, and the sweep goes on with it), or what Stripe
    refused; then the endpoint is what it was.
    """
    outside_transaction()
    refuse_copy(connection)
    endpoint = row_to_make(connection, another=True)
    try:
        _create(connection, endpoint, waiting)
    except StripeUnavailable:
        raise
    except (BillingError, SecretUnreadable) as error:
        _not_made(endpoint, error)
        raise
    endpoint.refresh_from_db()
    return endpoint


def row_to_make(connection: StripeConnection, *, another: bool = False) -> WebhookEndpoint:
    """The row to go on with: one in the making, else the one that works at today's address.

    ``another`` asks for a second one beside it. Raises ``NotAllowed`` for an unlinked account.
    """
    with transaction.atomic():
        _lock_linked(connection)
        rows = connection.endpoints
        # One that was there once is gone, or switched off: its secrets and events stay, and what
        # is left of it at Stripe goes.
        rows.filter(state=State.MISSING).exclude(stripe_id="").update(
            state=State.RETIRING, retire_at=timezone.now()
        )
        endpoint = rows.filter(state__in=IN_THE_MAKING).first()
        if endpoint is None:
            works = rows.filter(state=State.ACTIVE).first()
            if works is not None and not another and not _moved(works):
                return works
            return _new_row(connection)
        if endpoint.state == State.MISSING:
            # A refusal is remembered with its key; another try is another call. The row stays,
            # since somebody may be registering its address by hand.
            endpoint.state, endpoint.error = State.CREATING, ""
            endpoint.url = webhook_url(endpoint.uuid)
            endpoint.idempotency_key = f"wcb-endpoint-{uuid.uuid4()}"
            endpoint.created_at = timezone.now()
            endpoint.save()
    return endpoint


@sensitive_variables("secret")
def store_secret(connection: StripeConnection, secret: str) -> WebhookEndpoint:
    """Takes in the signing secret of an endpoint that was registered, or rolled, by hand.

    The secret before it is believed for another day. Raises ``NotAllowed`` where the account was
    unlinked meanwhile.
    """
    with transaction.atomic():
        _lock_linked(connection)
        endpoint = endpoint_of(connection) or _new_row(connection)
        older = endpoint.sealed_secrets[:1]
        endpoint.sealed_secrets = [sealing.seal(secret), *older]
        endpoint.secret_rolled_at = timezone.now() if older else None
        endpoint.state, endpoint.error = State.ACTIVE, ""
        endpoint.save(update_fields=["sealed_secrets", "secret_rolled_at", "state", "error"])
        _retire_others(endpoint)
    return endpoint


def endpoint_of(connection: StripeConnection) -> WebhookEndpoint | None:
    """The endpoint that people care about: one that works, else one in the making."""
    rows = list(connection.endpoints.filter(state__in=[State.ACTIVE, *IN_THE_MAKING]))
    working = (row for row in rows if row.state == State.ACTIVE and not _moved(row))
    return next(working, rows[0] if rows else None)


def believed_secrets(endpoint: WebhookEndpoint) -> list[str]:
    """The sealed secrets that may sign a delivery now, the newest first."""
    rolled = endpoint.secret_rolled_at
    if rolled is not None and timezone.now() > rolled + OLD_SECRET_HOLDS:
        return endpoint.sealed_secrets[:1]
    return endpoint.sealed_secrets


def delete_endpoint(endpoint: WebhookEndpoint, *, waiting: bool = False) -> bool:
    """Removes an endpoint at Stripe; the row keeps its secrets for late deliveries.

    Returns False when Stripe could not be reached: it is then *retiring*, and the sweep goes on.
    Where Stripe can never be asked it counts as deleted all the same, since what arrives there is
    only ever a hint. Raises ``CopyOfProduction``.
    """
    outside_transaction()
    refuse_copy(endpoint.connection)
    WebhookEndpoint.objects.filter(pk=endpoint.pk).exclude(state=State.DELETED).update(
        state=State.RETIRING, retire_at=timezone.now()
    )
    try:
        api = api_for(endpoint.connection, waiting=waiting)
        # What we gave a secret by hand is not ours to find; all else may stand at Stripe although
        # the answer that would have told us its id was lost.
        found = endpoint.stripe_id or (not endpoint.sealed_secrets and _id_at_stripe(api, endpoint))
        if found:
            api.call(partial(_delete, found))
    except StripeUnavailable:
        return False
    except (BillingError, SecretUnreadable):
        pass
    count_as_deleted(endpoint)
    return True


def count_as_deleted(endpoint: WebhookEndpoint) -> None:
    """Nothing is expected from it any more; late deliveries are still verified."""
    WebhookEndpoint.objects.filter(pk=endpoint.pk).update(
        state=State.DELETED, deleted_at=timezone.now()
    )


def retire_due(connection: StripeConnection, *, waiting: bool = False) -> bool:
    """Deletes what has retired at Stripe. False when Stripe could not be reached."""
    due = connection.endpoints.filter(state=State.RETIRING, retire_at__lte=timezone.now())
    left = [endpoint for endpoint in due if not delete_endpoint(endpoint, waiting=waiting)]
    return not left


def remove_strays(connection: StripeConnection, *, waiting: bool = False) -> None:
    """Deletes what stands at Stripe although we had to give it up when the account was unlinked.

    Found by what we wrote into their metadata. Says nothing where Stripe refuses or is silent:
    what such an endpoint delivers is only ever a hint.
    """
    outside_transaction()
    deleted = {str(row.uuid) for row in connection.endpoints.filter(state=State.DELETED)}
    if not deleted:
        return
    with suppress(BillingError, SecretUnreadable):
        api = api_for(connection, waiting=waiting)
        for found in _all_at_stripe(api):
            if _uuid_in(found) in deleted:
                api.call(partial(_delete, found["id"]))


def drop_old_secrets() -> int:
    """Forgets secrets that are believed no longer; returns how many endpoints had some."""
    now = timezone.now()
    gone = WebhookEndpoint.objects.filter(
        state=State.DELETED, deleted_at__lt=now - KEEP_DELETED
    ).exclude(sealed_secrets=[])
    dropped = gone.update(sealed_secrets=[], secret_rolled_at=None)
    for endpoint in WebhookEndpoint.objects.filter(secret_rolled_at__lt=now - OLD_SECRET_HOLDS):
        same = WebhookEndpoint.objects.filter(
            pk=endpoint.pk, secret_rolled_at=endpoint.secret_rolled_at
        )
        dropped += same.update(sealed_secrets=endpoint.sealed_secrets[:1], secret_rolled_at=None)
    return dropped


def _all_at_stripe(api: Api) -> list[dict[str, Any]]:
    listed = api.call(lambda client: client.v1.webhook_endpoints.list({"limit": ALL_OF_THEM}))
    return listed["data"]


def _id_at_stripe(api: Api, endpoint: WebhookEndpoint) -> str:
    wanted = str(endpoint.uuid)
    return next((at["id"] for at in _all_at_stripe(api) if _uuid_in(at) == wanted), "")


def _delete(stripe_id: str, client: Any) -> Any:
    return client.v1.webhook_endpoints.delete(stripe_id)


def _uuid_in(at_stripe: dict[str, Any]) -> str:
    return (at_stripe.get("metadata") or {}).get("wcb_endpoint") or ""


def _lock_linked(connection: StripeConnection) -> None:
    """Locked, so that two at once end with one endpoint and not with two."""
    locked = StripeConnection.objects.select_for_update().get(pk=connection.pk)
    if locked.unlinked_at is not None:
        raise NotAllowed(_("The account is unlinked."))


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
    with transaction.atomic():
        StripeConnection.objects.select_for_update().get(pk=connection.pk)
        # The secret is told once, here. Nothing is undone that was let go meanwhile.
        stored = WebhookEndpoint.objects.filter(pk=endpoint.pk, state=State.CREATING).update(
            state=State.ACTIVE,
            stripe_id=made["id"],
            sealed_secrets=[sealing.seal(made["secret"])],
            error="",
        )
        if stored:
            _retire_others(endpoint)
    if not stored:
        _let_go_if_unwanted(endpoint, made["id"], waiting)


def _let_go_if_unwanted(endpoint: WebhookEndpoint, stripe_id: str, waiting: bool) -> None:
    """While Stripe made it, somebody may have unlinked the account, or pasted a secret."""
    unwanted = WebhookEndpoint.objects.filter(
        pk=endpoint.pk, state__in=[State.RETIRING, State.DELETED]
    )
    if unwanted.update(stripe_id=stripe_id):
        endpoint.refresh_from_db()
        delete_endpoint(endpoint, waiting=waiting)


def _retire_others(endpoint: WebhookEndpoint) -> None:
    """What worked before is heard for another day; at an address that is not ours any more
    nothing will arrive."""
    now = timezone.now()
    for old in WebhookEndpoint.objects.filter(
        connection=endpoint.connection_id, state__in=[State.ACTIVE, *IN_THE_MAKING]
    ).exclude(pk=endpoint.pk):
        made = old.state == State.ACTIVE
        WebhookEndpoint.objects.filter(pk=old.pk).update(
            state=State.RETIRING,
            retire_at=now + OLD_SECRET_HOLDS if made and not _moved(old) else now,
        )


def _not_made(endpoint: WebhookEndpoint, error: Exception) -> None:
    active = WebhookEndpoint.objects.filter(connection=endpoint.connection_id, state=State.ACTIVE)
    works = any(not _moved(other) for other in active)
    # Beside one that works, one that could not be made is of no use to anybody.
    WebhookEndpoint.objects.filter(pk=endpoint.pk, state=State.CREATING).update(
        state=State.DELETED if works else State.MISSING,
        deleted_at=timezone.now() if works else None,
        error=str(error)[:255],
    )


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
