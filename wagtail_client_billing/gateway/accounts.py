"""The account behind a connection: reading it, and noting what is true of it."""

from collections.abc import Callable
from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from .. import rights
from ..errors import BillingError, NoSuchObject, StripeRefused
from ..models import StripeConnection
from . import platform
from .client import Api, api_for
from .copies import refuse_copy
from .currencies import note_currencies


class KeyRefused(BillingError):
    """The connection cannot be made as typed; ``field`` names what to change."""

    def __init__(self, sentence: object, field: str = "key") -> None:
        super().__init__(sentence)
        self.field = field


def store(
    account_id: str,
    livemode: bool,
    values: dict[str, Any],
    along: Callable[[StripeConnection], Any] | None = None,
) -> StripeConnection:
    """The account's row, its old one if it was linked before, with these values.

    ``along`` is called with it in the same transaction. Raises ``KeyRefused`` where the mode has
    another account, and ``CopyOfProduction``.
    """
    other = None
    for _try in range(2):
        try:
            with transaction.atomic():
                linked = StripeConnection.objects.filter(livemode=livemode, unlinked_at=None)
                other = linked.exclude(account_id=account_id).first()
                if other is not None:
                    raise taken_by(other)
                # Connecting is no word on which installation is the real one.
                refuse_copy(linked.filter(account_id=account_id).first())
                before = StripeConnection.objects.of_account(account_id, livemode)
                if before is None:
                    values = {**values, "events_read_until": timezone.now()}
                elif before.events_read_until is None:
                    # What happened while it was unlinked is news as well.
                    values = {**values, "events_read_until": before.connected_at}
                if before is not None and _leads_elsewhere(before, values):
                    # Clients would go on being shown the pages that it was made with.
                    values = {**values, "portal_configuration_id": ""}
                connection, _created = StripeConnection.objects.update_or_create(
                    account_id=account_id, livemode=livemode, defaults=values
                )
                if along is not None:
                    along(connection)
            return connection
        except IntegrityError:
            # Two people connected at once; the database let one through. Look once more whether
            # it was the same account.
            continue
    raise taken_by(other)


def _leads_elsewhere(before: StripeConnection, values: dict[str, Any]) -> bool:
    pages = ("privacy_policy_url", "terms_url")
    return any(values.get(name, getattr(before, name)) != getattr(before, name) for name in pages)


def taken_by(other: StripeConnection | None) -> KeyRefused:
    """Why a mode cannot have another connection."""
    if other is not None and other.unfinished:
        sentence = _(
            "An account is being set up for this mode. Finish that at Stripe, or start over."
        )
    else:
        sentence = _("Another account is connected for this mode. Unlink it first.")
    return KeyRefused(sentence, field="livemode")


def read_again(
    connection: StripeConnection, *, waiting: bool = True, currencies_too: bool = False
) -> None:
    """Notes what has changed about the account; a connection that answers is whole.

    Its currencies change seldom and are asked for once a day, unless ``currencies_too``.

    Raises what ``Api.call`` raises; a lost account is then marked as broken, and a right that is
    missing is noted.
    """
    same = StripeConnection.objects.filter(pk=connection.pk)
    if connection.flow == StripeConnection.Flow.CONNECT:
        same.update(**platform.read_account(connection, waiting=waiting))
    else:
        api = api_for(connection, waiting=waiting)
        try:
            account = api.call(lambda client: client.v1.accounts.retrieve_current())
        except StripeRefused as refused:
            if refused.missing_right:
                noted = sorted({*connection.missing_rights, refused.missing_right})
                same.update(missing_rights=noted)
            raise
        if account["id"] != connection.account_id:
            raise StripeRefused(_("The key belongs to another account now."))
        same.update(**account_values(account))
        if not connection.through_platform:
            same.update(missing_rights=missing_rights(api))
    connection.refresh_from_db()
    note_currencies(connection, waiting=waiting, at_once=currencies_too)


def account_values(account: dict[str, Any]) -> dict[str, Any]:
    """An account, as Stripe's v1 shows it, as values of our row."""
    profile = account.get("business_profile") or {}
    dashboard = (account.get("settings") or {}).get("dashboard") or {}
    name = profile.get("name") or dashboard.get("display_name") or account.get("email") or ""
    return {
        "account_name": name[:255],
        "default_currency": (account.get("default_currency") or "").upper()[:3],
        "charges_enabled": bool(account.get("charges_enabled")),
        "details_submitted": bool(account.get("details_submitted")),
        "requirements": list((account.get("requirements") or {}).get("currently_due") or []),
        "checked_at": timezone.now(),
        "broken_at": None,
        "broken_why": "",
    }


def missing_rights(api: Api) -> list[str]:
    """Slugs of the permissions that the key lacks. Nothing is changed at Stripe.

    Raises ``StripeUnavailable``, ``AccountLost``, or ``StripeRefused`` for another refusal.
    """
    missing = []
    for probe in rights.PROBES:
        try:
            api.call(probe)
        except NoSuchObject:
            continue
        except StripeRefused as refused:
            if not refused.missing_right:
                raise
            missing.append(refused.missing_right)
    return missing
