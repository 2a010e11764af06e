"""Addresses that leave the house, built from stored data and never from a request's Host."""

from urllib.parse import urlsplit
from uuid import UUID

from django.conf import settings
from django.urls import NoReverseMatch, reverse
from wagtail.models import Site

from .conf import billing_settings
from .models import BillingRequest, SiteBillingSettings


def payment_link(request: BillingRequest, name: str = "pay") -> str:
    """The absolute address of a public page of the billing request: ``pay`` or ``return``.

    Bills of a deleted site are reached under the address of the admin.
    """
    return _absolute(site_address(request.site), name, request.token)


def webhook_url(endpoint_uuid: UUID) -> str:
    """Where Stripe delivers events for this endpoint."""
    return _absolute(billing_settings.webhook_base_url, "webhook", endpoint_uuid)


def admin_link(request: BillingRequest) -> str:
    """The billing request in the admin; empty where the admin's own address is not set."""
    base = str(getattr(settings, "WAGTAILADMIN_BASE_URL", "") or "").rstrip("/")
    try:
        path = reverse(
            "client_billing_admin:inspect", urlconf=settings.ROOT_URLCONF, args=[request.pk]
        )
    except NoReverseMatch:
        return ""
    return f"{base}{path}" if base else ""


def admin_page_url(name: str, *args: object) -> str:
    """A page of ours in the admin, for somebody who comes back from Stripe.

    The admin's own address comes first: that is where this person is logged in.
    """
    base = str(getattr(settings, "WAGTAILADMIN_BASE_URL", "") or "").rstrip("/")
    path = reverse(f"client_billing_admin:{name}", urlconf=settings.ROOT_URLCONF, args=args)
    return f"{base or billing_settings.webhook_base_url}{path}"


def site_address(site: Site | None) -> str:
    """Under which address clients reach a site's bills, without a trailing slash.

    Empty if there is neither a site nor an address of the admin.
    """
    if site is None:
        return billing_settings.webhook_base_url
    chosen = SiteBillingSettings.current(site)
    if chosen is not None and chosen.billing_address:
        return chosen.billing_address.rstrip("/")
    return _root_url(site) or billing_settings.webhook_base_url


def _root_url(site: Site) -> str:
    if not site.hostname:
        return ""
    root = urlsplit(site.root_url)
    # Port 80 is Wagtail's default, also where a proxy in front speaks TLS.
    if root.scheme == "http" and site.port == 80 and not settings.DEBUG:
        root = root._replace(scheme="https")
    return root.geturl().rstrip("/")


def _absolute(base: str, name: str, argument: object) -> str:
    # The root URLconf: a middleware may have chosen another one for the host of this request.
    path = reverse(f"client_billing:{name}", urlconf=settings.ROOT_URLCONF, args=[argument])
    return f"{base}{path}"
