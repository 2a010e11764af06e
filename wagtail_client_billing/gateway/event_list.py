"""Stripe's own list of events, for what no webhook brought.

It is read on from where it was read last: often while no webhook arrives, else daily. Where the
key may not read it, all that may have changed is asked about instead, spread over each day.
"""

import logging
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import F, Max, Q
from django.utils import timezone

from ..errors import AccountLost, NotConnected, StripeRefused, StripeUnavailable
from ..models import Payment, StripeConnection, StripeEvent, Subscription, WebhookEndpoint
from ..sealing import SecretUnreadable
from ..waking import wake
from .charges import PAGE, every
from .client import Api, api_for
from .endpoints import EVENTS
from .hints import hints_of

logger = logging.getLogger(__name__)

RIGHT = "rak_event_read"
READ_WHILE_SILENT_EVERY = timedelta(minutes=10)
READ_EVERY = timedelta(days=1)
# While a part of it could not be read, or was more than a window.
CATCH_UP_EVERY = timedelta(seconds=30)
# Webhooks that are younger say that the endpoint works.
HEARD_LATELY = timedelta(days=1)
# Stripe keeps events that long; what is older shows on the objects alone.
STRIPE_KEEPS = timedelta(days=30)
# Events may be listed a little after their own time.
OVERLAP = timedelta(minutes=10)
# One step of the sweep reads that much.
WINDOW = timedelta(days=3)
# Stripe lists by at most that many types at once.
TYPES_AT_ONCE = 20
# Of what the books can still change about after the list of events has forgotten it.
LOOK_BACK = timedelta(days=200)
# Asking about everything is one burst after a long silence, and goes round in so many parts a day.
PARTS = 48


def accounts_to_read(now: datetime) -> Iterator[StripeConnection]:
    """Connections whose list of events is due, the longest unread first."""
    unread_first = F("events_read_at").asc(nulls_first=True)
    for connection in StripeConnection.objects.usable().order_by(unread_first):
        read = connection.events_read_at or connection.connected_at
        if RIGHT in connection.missing_rights:
            if read < now - READ_EVERY:
                yield connection
            continue
        until = connection.events_read_until or connection.connected_at
        wait = READ_EVERY if _hears(connection, now) else READ_WHILE_SILENT_EVERY
        if read < now - (CATCH_UP_EVERY if until < read else wait):
            yield connection


def read_events(connection: StripeConnection) -> bool:
    """Takes the next part of an account's events into our inbox; False without an answer.

    Where Stripe has forgotten some that we never saw, or the key may not read them, all that may
    have changed is asked about by itself.
    """
    now = timezone.now()
    rows = StripeConnection.objects.filter(pk=connection.pk)
    rows.update(events_read_at=now)
    if RIGHT in connection.missing_rights:
        _ask_in_parts(connection, now)
        return True
    since = connection.events_read_until or connection.connected_at
    if since < now - STRIPE_KEEPS:
        _ask_about_everything(connection, now)
        # Noted at once: in an outage that goes on it is asked for again tomorrow, not in a minute.
        since = now - STRIPE_KEEPS + READ_EVERY
        rows.update(events_read_until=since)
    until = min(since + WINDOW, now)
    try:
        api = api_for(connection)
        taken = sum(_take(connection, told) for told in _listed(api, since - OVERLAP, until))
    except StripeUnavailable:
        return False
    except (AccountLost, NotConnected, SecretUnreadable):
        # Read on from here when the account is back.
        return True
    except StripeRefused as refused:
        if refused.missing_right:
            # Until the account is checked with a better key.
            rows.update(missing_rights=sorted({*connection.missing_rights, RIGHT}))
            _ask_in_parts(connection, now)
        else:
            # What Stripe will not list today it will not list tomorrow.
            logger.warning("Stripe does not list the events of %s: %s", connection, refused)
            rows.update(events_read_until=until)
        return True
    rows.update(events_read_until=until)
    if taken:
        wake("drain_events")
    return True


def _hears(connection: StripeConnection, now: datetime) -> bool:
    endpoints = WebhookEndpoint.objects.filter(connection=connection)
    if connection.through_platform:
        endpoints = WebhookEndpoint.objects.filter(connection=None, livemode=connection.livemode)
    heard = endpoints.aggregate(last=Max("last_event_at"))["last"]
    return heard is not None and heard > now - HEARD_LATELY


def _listed(api: Api, since: datetime, until: datetime) -> list[dict[str, Any]]:
    """The events of our types between two moments, oldest first."""
    found: list[dict[str, Any]] = []
    created = {"gte": int(since.timestamp()), "lte": int(until.timestamp())}
    for start in range(0, len(EVENTS), TYPES_AT_ONCE):
        types = list(EVENTS[start : start + TYPES_AT_ONCE])
        params = {"types": types, "created": created, "limit": PAGE}
        found += every(api, lambda client: client.v1.events, params)
    return sorted(found, key=lambda told: told["created"])


def _take(connection: StripeConnection, told: dict[str, Any]) -> bool:
    """Puts an event into the inbox, unless it is there; whether it was new."""
    hints = hints_of(told)
    event_id, livemode = hints.pop("event_id"), hints["livemode"]
    if livemode != connection.livemode:
        return False
    if StripeEvent.objects.filter(event_id=event_id, livemode=livemode).exists():
        return False
    try:
        with transaction.atomic():
            StripeEvent.objects.create(connection=connection, event_id=event_id, **hints)
    except IntegrityError:
        return False
    return True


def _ask_in_parts(connection: StripeConnection, now: datetime) -> None:
    """The same within a day from now, each at its own time of it."""
    for part in range(PARTS):
        due = now + READ_EVERY * part / PARTS
        for rows in _all_that_may_change(connection, now):
            later = rows.annotate(part=F("pk") % PARTS).filter(part=part)
            later.filter(Q(ask_at=None) | Q(ask_at__gt=due)).update(ask_at=due)


def _ask_about_everything(connection: StripeConnection, now: datetime) -> None:
    """Makes due all that may have changed after the list of events has forgotten it."""
    for rows in _all_that_may_change(connection, now):
        rows.update(ask_at=now)


def _all_that_may_change(connection: StripeConnection, now: datetime) -> list[Any]:
    ours = {"account_id": connection.account_id, "livemode": connection.livemode}
    # An invoice that is still owed can be paid after its subscription has ended.
    lately = ~Q(status__in=Subscription.ENDED) | Q(ended_at__gt=now - LOOK_BACK)
    subscriptions = Subscription.objects.filter(lately, **ours)
    young = Payment.objects.from_stripe().filter(**ours, received_at__gt=now - LOOK_BACK)
    return [subscriptions, young]
