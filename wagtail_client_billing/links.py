"""Addresses that leave the house, built from stored data and never from a request's Host."""

from urllib.parse import urlsplit
from uuid import UUID

from django.conf import settings
from django.urls import NoReverseMatch, reverse
from wagtail.models import Site

from .conf import billing_settings
from .models import AgencySettings, BillingRequest, Payment, SiteBillingSettings


def payment_link(request: BillingRequest, name: str = "pay") -> str:
    """The absolute address of a public page of the billing request: ``pay`` or ``return``.

    Bills of a deleted site are reached under the address of the admin.
    """
    return _absolute(site_address(request.site), name, request.token)


def receipt_link(request: BillingRequest, payment: Payment) -> str:
    """The absolute address of the receipt for a payment of the billing request."""
    return receipt_link_at(site_address(request.site), request.token, payment.pk)


def receipt_link_at(address: str, token: str, payment_pk: int) -> str:
    """The same under a site's address, for who has many receipts and knows it already."""
    return _absolute(address, "receipt", token, payment_pk)


def payment_link_at(address: str, token: str) -> str:
    """The payment link under a site's address, for who has many requests and knows it already."""
    return _absolute(address, "pay", token)


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


def agency_settings_link(tab: str) -> str:
    """A tab of the agency settings; empty where the admin's own address is not set.

    Without the row's key, so that nothing has to be there: Wagtail leads on to it, and the
    browser keeps the tab.
    """
    base = str(getattr(settings, "WAGTAILADMIN_BASE_URL", "") or "").rstrip("/")
    try:
        path = reverse(
            "wagtailsettings:edit",
            urlconf=settings.ROOT_URLCONF,
            args=[AgencySettings._meta.app_label, AgencySettings._meta.model_name],
        )
    except NoReverseMatch:
        return ""
    return f"{base}{path}#tab-{tab}" if base else ""


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
    return address_with(site, chosen.billing_address if chosen is not None else "")


def address_with(site: Site | None, billing_address: str) -> str:
    """The same, with the site's billing address at hand."""
    if billing_address:
        return billing_address.rstrip("/")
    return (_root_url(site) if site else "") or billing_settings.webhook_base_url


def _root_url(site: Site) -> str:
    if not site.hostname:
        return ""
    root = urlsplit(site.root_url)
    # Port 80 is Wagtail's default, also where a proxy in front speaks TLS.
    if root.scheme == "http" and site.port == 80 and not settings.DEBUG:
        root = root._replace(scheme="https")
    return root.geturl().rstrip("/")


def _absolute(base: str, name: str, *arguments: object) -> str:
    # The root URLconf: a middleware may have chosen another one for the host of this request.
    path = reverse(f"client_billing:{name}", urlconf=settings.ROOT_URLCONF, args=arguments)
    return f"{base}{path}"
