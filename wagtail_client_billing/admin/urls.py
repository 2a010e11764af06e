"""Names of the admin's pages, and the ways to them."""

from typing import Any

from django.urls import reverse

from ..models import AgencySettings, BillingRequest, SiteBillingSettings

NAMESPACE = "client_billing_admin"
AGENCY_TAB = "client_billing"
DEFAULTS_TAB = "defaults"
EMAIL_TAB = "email"
HEALTH_TAB = "health"
MESSAGES_TAB = "messages"
SITE_TAB = "requests"


def admin_url(name: str, *args: Any) -> str:
    """The address of one of our own admin views."""
    return reverse(f"{NAMESPACE}:{name}", args=args)


def detail_url(request: BillingRequest) -> str:
    """A request's own page."""
    return admin_url("inspect", request.pk)


def agency_settings_url(tab: str = AGENCY_TAB) -> str:
    """Settings → Agency settings, with the tab open. Creates no settings row."""
    return _settings_url(AgencySettings, AgencySettings.current(), tab)


def site_settings_url(site: Any, tab: str = SITE_TAB) -> str:
    """Settings → Client Billing of one site."""
    return _settings_url(SiteBillingSettings, site, tab)


def _settings_url(model: Any, of: Any, tab: str) -> str:
    args = [model._meta.app_label, model._meta.model_name, *([of.pk] if of is not None else [])]
    return f"{reverse('wagtailsettings:edit', args=args)}#tab-{tab}"
