import pytest
from django.urls import reverse

from tests.bills.conftest import sandbox_server, world
from wagtail_client_billing.models import AgencySettings, BillingRequest, SiteBillingSettings


@pytest.fixture
def request_a(site_a, connected_test, make_request):
    return make_request(site_a, connected_test, email="anna@customer-of-a.example")


@pytest.fixture
def request_b(site_b, connected_test, make_request):
    return make_request(site_b, connected_test, email="bert@customer-of-b.example")


@pytest.fixture
def agency_url(db):
    """Settings → Agency settings, with its row there."""
    return reverse(
        "wagtailsettings:edit",
        args=["wagtail_client_billing", "agencysettings", AgencySettings.load().pk],
    )


@pytest.fixture
def site_url():
    """Settings → Client Billing of a site."""

    def url(site):
        return reverse(
            "wagtailsettings:edit",
            args=["wagtail_client_billing", SiteBillingSettings._meta.model_name, site.pk],
        )

    return url


@pytest.fixture
def admin_url():
    def url(name, *args):
        return reverse(f"client_billing_admin:{name}", args=args)

    return url


@pytest.fixture
def typed(site_a):
    """What an editor types into Add Billing Request while only a test account is connected."""
    return {
        "site": site_a.pk,
        "email": "new@customer-of-a.example",
        "currency": "EUR",
        "amount": "1,234.50",
        "description": "Website, November",
        "billing_type": BillingRequest.BillingType.ONE_TIME.value,
        "success_url": "https://customer.example/thanks",
        "cancel_url": "https://customer.example/cancelled",
        "test_mode": "true",
    }


__all__ = ["sandbox_server", "world"]
