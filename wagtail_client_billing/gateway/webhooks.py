"""Stripe's events: verified and stored at once, looked into by the worker."""

import json
import logging
import time
from collections.abc import Collection
from datetime import timedelta
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Q
from django.utils import timezone
from django.views.decorators.debug import sensitive_variables
from wagtail import hooks

from .. import sealing
from ..errors import BadSignature, BillingError, StripeUnavailable
from ..models import LogEntry, StripeConnection, StripeEvent, WebhookEndpoint
from ..rounds import Round
from ..transactions import outside_transaction
from ..waking import wake
from .accounts import read_again
from .endpoints import believed_secrets
from .hints import hints_of, payments_hinted, requests_hinted
from .platform_endpoints import secrets_given
from .reconcile import reconcile

logger = logging.getLogger(__name__)

State = StripeEvent.State

SIGNATURE_TOLERANCE_SECONDS = 300
CLAIM_LASTS = timedelta(minutes=2)
RETRY_MINUTES = (1, 2, 5, 10, 30, 60)
# Tries until an event is given up: three days for Stripe, some hours for what we cannot do.
PATIENCE_WITH_STRIPE = 76
PATIENCE_WITH_US = 10
# Whatever they say, the account itself is read again.
ABOUT_THE_ACCOUNT = ("account.", "capability.", "v2.core.account")
KEEP_NOT_OURS = timedelta(days=7)
KEEP_PROCESSED = timedelta(days=90)
# Stripe tries for three days and shows an event for thirty; after that nobody can ask about it.
KEEP_UNANSWERED = timedelta(days=30)


class AccountCannotBeAsked(Exception):
    """Stripe is well, but not to be asked with what we have of an account."""


def receive(endpoint: WebhookEndpoint, body: bytes, signature: str) -> StripeEvent:
    """Verifies and stores a delivery; the same event again finds its first row.

    Raises ``BadSignature`` for whatever is not Stripe's word for this endpoint.
    """
    _verify(endpoint, body, signature)
    try:
        hints = hints_of(json.loads(body))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadSignature("The delivery is not an event.") from error
    event_id = hints.pop("event_id")
    try:
        with transaction.atomic():
            # Insert first: a look before it would let two deliveries at once both pass.
            event = StripeEvent.objects.create(endpoint=endpoint, event_id=event_id, **hints)
    except IntegrityError:
        event = StripeEvent.objects.get(endpoint=endpoint, event_id=event_id)
    WebhookEndpoint.objects.filter(pk=endpoint.pk).update(last_event_at=timezone.now())
    if event.state == State.RECEIVED:
        wake("drain_events")
    return event


@sensitive_variables("secret")
def _verify(endpoint: WebhookEndpoint, body: bytes, signature: str) -> None:
    import stripe

    for sealed in [*believed_secrets(endpoint), *_given(endpoint)]:
        try:
            secret = sealing.open(sealed)
            # The SDK checks no age unless it is told to.
            stripe.WebhookSignature.verify_header(
                body.decode(), signature, secret, SIGNATURE_TOLERANCE_SECONDS
            )
        except sealing.SecretUnreadable:
            logger.error("A secret of webhook endpoint %s cannot be opened", endpoint.uuid)
        except (stripe.SignatureVerificationError, ValueError, TypeError):
            continue
        else:
            return
    logger.warning("A delivery to webhook endpoint %s has a bad signature", endpoint.uuid)
    raise BadSignature("No secret of this endpoint signed the delivery.")


@sensitive_variables("secret")
def _given(endpoint: WebhookEndpoint) -> list[str]:
    """The secrets of a platform's endpoint that stand in the settings, sealed like the others."""
    if endpoint.connection_id is not None:
        return []
    return [sealing.seal(secret) for secret in secrets_given(endpoint.livemode)]


def drain(deadline: float, stripe_round: Round | None = None) -> int:
    """Processes what is due until ``deadline`` (monotonic clock); returns how many events.

    Three failures to reach Stripe in a row end Stripe's share of the round.
    """
    outside_transaction()
    stripe_round = stripe_round or Round()
    handled = 0
    while time.monotonic() < deadline and not stripe_round.over:
        event = _claim()
        if event is None:
            break
        stripe_round.note(process(event))
        handled += 1
    return handled


def _claim() -> StripeEvent | None:
    now = timezone.now()
    free = Q(claimed_at=None) | Q(claimed_at__lt=now - CLAIM_LASTS)
    copies = StripeConnection.objects.copies()
    due = StripeEvent.objects.filter(free, state=State.RECEIVED, next_try_at__lte=now).exclude(
        Q(endpoint__connection__in=copies) | Q(connection__in=copies)
    )
    origins = due.select_related("endpoint__connection", "connection")
    for event in origins.order_by("pk")[:20]:
        mine = StripeEvent.objects.filter(
            pk=event.pk, state=State.RECEIVED, claimed_at=event.claimed_at
        ).update(claimed_at=now, attempts=event.attempts + 1)
        if mine:
            event.attempts += 1
            return event
    return None


def process(event: StripeEvent) -> bool:
    """Looks into one event. False when Stripe could not be reached and it stays due.

    It stays due as well where its account cannot be asked, which says nothing of the others.
    """
    outside_transaction()
    try:
        state, error = _look_into(event)
    except StripeUnavailable as unavailable:
        _try_again(event, str(unavailable), PATIENCE_WITH_STRIPE)
        return False
    except AccountCannotBeAsked as lost:
        _try_again(event, f"The account cannot be asked: {lost}", PATIENCE_WITH_STRIPE)
        return True
    except Exception as unexpected:
        logger.exception("Event %s could not be processed", event.event_id)
        _try_again(event, f"{type(unexpected).__name__}: {unexpected}", PATIENCE_WITH_US)
        return True
    event.state, event.processed_at = state, timezone.now()
    event.claimed_at, event.last_error = None, error[:255]
    # Told before it is saved: after a crash in between they hear it again rather than never.
    for tell in hooks.get_hooks("client_billing_stripe_event"):
        try:
            tell(event)
        except Exception:
            logger.exception("A client_billing_stripe_event hook failed for %s", event.event_id)
    event.save(update_fields=["state", "processed_at", "claimed_at", "last_error"])
    return True


def _look_into(event: StripeEvent) -> tuple[str, str]:
    endpoint, connection = event.endpoint, event.connection
    of_platform = endpoint is not None and endpoint.connection_id is None
    if endpoint is not None:
        # A platform's live endpoint hears of test events as well; no other endpoint does.
        if event.livemode != endpoint.livemode and not (of_platform and endpoint.livemode):
            return State.REFUSED, "The event is of the other mode."
        connection = _of_platform(event) if of_platform else endpoint.connection
    if connection is None:
        return State.NOT_OURS, ""
    if event.account and event.account != connection.account_id:
        return State.REFUSED, "The event is of another account."
    if connection.unlinked_at:
        return State.UNCHECKED, ""
    if of_platform and event.type.startswith(ABOUT_THE_ACCOUNT):
        return _look_at_account(connection)
    found = requests_hinted(event, connection.account_id)
    if not found:
        return State.NOT_OURS, ""
    for pk in found:
        result = reconcile(
            pk,
            cause=LogEntry.Cause.WEBHOOK,
            session_id=event.object_id,
            subscription_ids=(event.subscription_id, event.object_id),
            payments=payments_hinted(event, connection.account_id),
            evidence={"event": event.event_id, "type": event.type},
        )
        if result.unreachable:
            raise StripeUnavailable()
        if result.lost:
            raise AccountCannotBeAsked(result.why)
    return State.PROCESSED, ""


def _of_platform(event: StripeEvent) -> StripeConnection | None:
    """The account of our platform that an event is about."""
    # Thin events about an account name it as the object.
    account = event.account or event.object_id
    found = StripeConnection.objects.of_account(account, event.livemode) if account else None
    return found if found is not None and found.through_platform else None


def _look_at_account(connection: StripeConnection) -> tuple[str, str]:
    """Reads an account again; one that is no longer connected is marked as broken by that."""
    try:
        read_again(connection, waiting=False)
    except StripeUnavailable:
        raise
    except BillingError as error:
        return State.PROCESSED, str(error)
    return State.PROCESSED, ""


def _try_again(event: StripeEvent, error: str, patience: int) -> None:
    minutes = RETRY_MINUTES[min(event.attempts, len(RETRY_MINUTES)) - 1]
    values: dict[str, Any] = {"next_try_at": timezone.now() + timedelta(minutes=minutes)}
    if event.attempts >= patience:
        values = {"state": State.PARKED, "processed_at": timezone.now()}
    StripeEvent.objects.filter(pk=event.pk).update(
        claimed_at=None, last_error=error[:255], **values
    )


def replay(pks: Collection[int] | None = None) -> int:
    """Makes events due again that were given up, all of them or these; returns how many."""
    parked = StripeEvent.objects.filter(state=State.PARKED)
    if pks is not None:
        parked = parked.filter(pk__in=pks)
    found = parked.update(
        state=State.RECEIVED, processed_at=None, attempts=0, next_try_at=timezone.now()
    )
    if found:
        wake("drain_events")
    return found


def look_again(connection: StripeConnection) -> int:
    """Makes due what came while the account was unlinked; returns how many events."""
    theirs = (
        Q(endpoint__connection=connection)
        | Q(connection=connection)
        | Q(
            endpoint__isnull=False,
            endpoint__connection=None,
            account=connection.account_id,
            livemode=connection.livemode,
        )
    )
    waiting = StripeEvent.objects.filter(theirs, state__in=[State.UNCHECKED, State.PARKED])
    found = waiting.update(
        state=State.RECEIVED, processed_at=None, attempts=0, next_try_at=timezone.now()
    )
    if found:
        wake("drain_events")
    return found


def prune() -> int:
    """Forgets events that no longer serve; returns how many."""
    now = timezone.now()
    gone, _ = StripeEvent.objects.filter(
        Q(state__in=[State.NOT_OURS, State.REFUSED], received_at__lt=now - KEEP_NOT_OURS)
        | Q(
            state__in=[State.PROCESSED, State.UNCHECKED, State.PARKED],
            received_at__lt=now - KEEP_PROCESSED,
        )
        | Q(state=State.RECEIVED, received_at__lt=now - KEEP_UNANSWERED)
    ).delete()
    return gone
