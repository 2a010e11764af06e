"""Copies of production: a connection belongs to the host at which it was made.

What keeps a copy from writing to Stripe is in ``client.py``, and from writing mail in the outbox;
here is how somebody says which installation is the real one.
"""

from typing import Any

from django.db import transaction
from django.utils import timezone

from .. import lifecycle
from ..errors import CopyOfProduction
from ..hosts import this_host
from ..models import StripeConnection, WebhookEndpoint
from ..transactions import outside_transaction
from ..waking import wake


def refuse_copy(connection: StripeConnection | None) -> None:
    """Raises ``CopyOfProduction`` where a change would be only half made without Stripe."""
    if connection is not None and connection.is_copy:
        raise CopyOfProduction()


def remember_host() -> None:
    """Notes this host on connections that were made while it had no name."""
    if here := this_host():
        StripeConnection.objects.filter(host="").update(host=here)


def confirm_host(connection: StripeConnection) -> bool:
    """*This is the real one*: mail and Stripe go on from here. False if it was so already.

    Asks nobody; the next check makes a webhook endpoint at the new address.
    """
    changed = StripeConnection.objects.copies().filter(pk=connection.pk).update(host=this_host())
    connection.refresh_from_db()
    for task in ("drain_outbox", "drain_events"):
        wake(task)
    return bool(changed)


def forget(connection: StripeConnection, *, user: Any) -> bool:
    """*Forget the connection*: everything here, nothing at Stripe. False if it is no copy.

    The key is wiped, and what waits to be mailed for the account's requests never leaves. The
    host stays, so that even a key from elsewhere could not write for these rows.
    """
    outside_transaction()
    now = timezone.now()
    with transaction.atomic():
        # Pay locks this row before it opens anything.
        locked = StripeConnection.objects.select_for_update().get(pk=connection.pk)
        if not locked.is_copy:
            return False
        locked.unlinked_at = locked.unlinked_at or now
        # Nothing is left to do: what stands at Stripe is the real installation's.
        locked.let_go_at = now
        locked.sealed_key = locked.key_last4 = ""
        locked.save(update_fields=["unlinked_at", "let_go_at", "sealed_key", "key_last4"])
        deleted = WebhookEndpoint.State.DELETED
        locked.endpoints.exclude(state=deleted).update(state=deleted, deleted_at=now)
    lifecycle.drop_queued(connection.account_id, connection.livemode, user=user)
    connection.refresh_from_db()
    return True
