import pytest
from django.urls import reverse

from tests.bills.conftest import connection, sandbox_server, world
from wagtail_client_billing.gateway.checkout import open_checkout
from wagtail_client_billing.gateway.reconcile import reconcile
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


@pytest.fixture
def paid(world, site_a, connection, make_request):
    """Makes a bill that a client has paid in the sandbox; of €1,234.56 unless said otherwise."""

    def make(site=site_a, **values):
        bill = make_request(site, connection, **values)
        open_checkout(bill.pk)
        world.pay(bill)
        reconcile(bill.pk, cause="check")
        bill.refresh_from_db()
        assert bill.status == "paid"
        return bill

    return make


@pytest.fixture
def post(alice, client_for):
    """Opens a page as alice, fills in what is given, and presses its button; with CSRF."""

    def _post(url, user=alice, page=None, **typed):
        client = client_for(user, enforce_csrf_checks=True)
        page = client.get(url) if page is None else page
        sent = {"csrfmiddlewaretoken": str(page.context["csrf_token"])}
        client.cookies["csrftoken"] = page.cookies["csrftoken"].value
        form = page.context.get("form")
        if form is not None:
            sent |= {field.html_name: field.value() for field in form}
            sent = {key: value for key, value in sent.items() if value not in (None, False)}
        return client.post(url, {**sent, **typed})

    return _post


__all__ = ["connection", "sandbox_server", "world"]
