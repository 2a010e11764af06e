"""A billing request comes into being."""

import secrets
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone
from wagtail.models import Site

from ..conf import billing_settings
from ..errors import NotAllowed, NotConnected
from ..models import BillingRequest, EmailDelivery, SiteBillingSettings, StripeConnection
from .mailing import queue
from .record import Action, Cause, note


def create_request(
    *,
    site: Site,
    connection: StripeConnection,
    email: str,
    currency: str,
    amount_minor: int,
    success_url: str,
    cancel_url: str,
    description: str = "",
    billing_type: str = BillingRequest.BillingType.ONE_TIME,
    language: str = "",
    user: Any = None,
    once: UUID | None = None,
) -> BillingRequest:
    """Stores a request and queues the e-mail with its link, in one transaction; calls nobody.

    Account and mode are frozen from the connection. ``amount_minor`` is in the currency's minor
    units; without ``language`` the client is written to in the site's. The same values with the
    same ``once`` are one request, however often and however simultaneously they come; other
    values with it are another. Raises ``NotAllowed`` for a billing type that cannot be charged,
    ``NotConnected`` for a connection that is broken or unlinked.
    """
    if billing_type not in BillingRequest.CHARGEABLE:
        raise NotAllowed()
    if not connection.ready:
        raise NotConnected()
    values: dict[str, Any] = {
        "site": site,
        "account_id": connection.account_id,
        "livemode": connection.livemode,
        "email": email,
        "currency": currency,
        "amount_minor": amount_minor,
        "description": description,
        "billing_type": billing_type,
        "success_url": success_url,
        "cancel_url": cancel_url,
        "created_by": user,
    }
    language = language or _language(site)
    if once is not None:
        try:
            with transaction.atomic():
                return _create(values, language, uuid=once)
        except IntegrityError:
            if made := BillingRequest.objects.filter(uuid=once, **values).first():
                return made
    return _create(values, language)


def _create(values: dict[str, Any], language: str, **more: Any) -> BillingRequest:
    now = timezone.now()
    site, user = values["site"], values["created_by"]
    with transaction.atomic():
        request = BillingRequest.objects.create(
            **values,
            **more,
            number=f"new-{secrets.token_hex(8)}",
            site_name=(site.site_name or site.hostname)[:255],
            language=language,
            created_at=now,
            expires_at=now + billing_settings.link_lifetime,
        )
        request.number = _number(request)
        request.save(update_fields=["number"])
        note(request, Action.CREATED, cause=Cause.EDITOR, user=user, new=request.status)
        queue(request, EmailDelivery.Kind.PAYMENT_LINK, to=request.email, language=language)
    return request


def _language(site: Site) -> str:
    defaults = SiteBillingSettings.current(site)
    return (defaults.language if defaults else "") or settings.LANGUAGE_CODE


def _number(request: BillingRequest) -> str:
    prefix = "BR" if request.livemode else "TEST"
    return f"{prefix}-{request.created_at.year}-{request.pk:06d}"
