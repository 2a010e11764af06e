"""A billing request comes into being."""

import secrets
from collections.abc import Collection
from datetime import date, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone
from wagtail.models import Site

from ..conf import billing_settings
from ..errors import NotAllowed, NotConnected
from ..models import BillingRequest, EmailDelivery, SiteBillingSettings, StripeConnection
from ..rights import why_not_recurring
from .mailing import tell_client
from .record import Action, Cause, note

# Within this time the same bill once more is rather a slip than a second bill.
REPEATED_WITHIN = timedelta(minutes=10)


def create_request(
    *,
    site: Site,
    connection: StripeConnection,
    email: str,
    cc: Collection[str] = (),
    bcc: str = "",
    currency: str,
    amount_minor: int,
    success_url: str,
    cancel_url: str,
    description: str = "",
    billing_type: str = BillingRequest.BillingType.ONE_TIME,
    ends_after: int | None = None,
    ends_on: date | None = None,
    language: str = "",
    link_lifetime: timedelta | None = None,
    user: Any = None,
    once: UUID | None = None,
) -> BillingRequest:
    """Stores a request and queues the e-mail with its link, in one transaction; calls nobody.

    Account and mode are frozen from the connection. ``amount_minor`` is in the currency's minor
    units; without ``language`` the client is written to in the site's, and without
    ``link_lifetime`` the link lasts as long as the site's do. A recurring bill may end after
    ``ends_after`` payments, or with the last charge before the day ``ends_on`` is over. The same
    values with the same ``once`` are one request, however often and however simultaneously they
    come; other values with it are another. Raises ``NotAllowed`` for a billing type that cannot be
    charged, also with a key that may not do all that a recurring bill needs, and ``NotConnected``
    for a connection that is broken or unlinked.
    """
    if billing_type not in BillingRequest.BillingType.values:
        raise NotAllowed()
    if billing_type == BillingRequest.BillingType.ONE_TIME:
        ends_after = ends_on = None
    if not connection.ready:
        raise NotConnected()
    why_not = why_not_recurring(connection.missing_rights)
    if why_not and billing_type != BillingRequest.BillingType.ONE_TIME:
        raise NotAllowed(why_not)
    defaults = SiteBillingSettings.current(site)
    values: dict[str, Any] = {
        "site": site,
        "account_id": connection.account_id,
        "livemode": connection.livemode,
        "email": email,
        "cc": "\n".join(cc),
        "bcc": bcc,
        "currency": currency,
        "amount_minor": amount_minor,
        "description": description,
        "billing_type": billing_type,
        "ends_after": ends_after,
        "ends_on": ends_on,
        "success_url": success_url,
        "cancel_url": cancel_url,
        "created_by": user,
        "language": language or (defaults and defaults.language) or settings.LANGUAGE_CODE,
        "link_lifetime": link_lifetime
        or (defaults and defaults.link_lifetime)
        or billing_settings.link_lifetime,
    }
    if once is not None:
        try:
            with transaction.atomic():
                return _create(values, uuid=once)
        except IntegrityError:
            if made := BillingRequest.objects.filter(uuid=once, **values).first():
                return made
    return _create(values)


def _create(values: dict[str, Any], **more: Any) -> BillingRequest:
    now = timezone.now()
    site, user = values["site"], values["created_by"]
    with transaction.atomic():
        request = BillingRequest.objects.create(
            **values,
            **more,
            number=f"new-{secrets.token_hex(8)}",
            site_name=(site.site_name or site.hostname)[:255],
            created_at=now,
            expires_at=now + values["link_lifetime"],
        )
        request.number = _number(request)
        request.save(update_fields=["number"])
        note(request, Action.CREATED, cause=Cause.EDITOR, user=user, new=request.status)
        tell_client(request, EmailDelivery.Kind.PAYMENT_LINK)
    return request


def _number(request: BillingRequest) -> str:
    prefix = "BR" if request.livemode else "TEST"
    return f"{prefix}-{request.created_at.year}-{request.pk:06d}"
