"""The rules of the house, as far as clients' pages keep them."""

import pytest
from django.db import connection as database
from django.test import Client, override_settings
from django.test.utils import CaptureQueriesContext
from django.urls import get_resolver
from wagtail.models import Site

from tests.public.conftest import PAID_STATES, STATES, address, pay
from wagtail_client_billing.links import admin_link, payment_link, receipt_link, webhook_url
from wagtail_client_billing.models import SiteBillingSettings

WRITES = ("INSERT", "UPDATE", "DELETE", "REPLACE", "SAVEPOINT", "BEGIN")


def public_urls():
    """Every URL that we publish, taken from the URLconf."""
    (_, resolver) = get_resolver("tests.urls").namespace_dict["client_billing"]
    return {pattern.name for pattern in resolver.url_patterns}


def writing(queries):
    return [each["sql"] for each in queries if each["sql"].lstrip().upper().startswith(WRITES)]


def test_the_urls_are_those_that_the_docs_promise():
    assert public_urls() == {"pay", "checkout", "return", "receipt", "portal", "webhook"}


@pytest.mark.parametrize("method", ["get", "head"])
@pytest.mark.parametrize("state", [*STATES, "unknown"])
def test_rule_8_get_never_writes(bill_in, state, method):
    bill = bill_in("payable" if state == "unknown" else state)
    if state == "unknown":
        bill.token = "C" * 43
    # No row that Wagtail's own ways of reading settings would create.
    SiteBillingSettings.objects.all().delete()
    client = Client()
    with CaptureQueriesContext(database) as queries:
        response = getattr(client, method)(address("pay", bill))
    assert response.status_code == (404 if state == "unknown" else 200)
    assert queries.captured_queries
    assert writing(queries.captured_queries) == []
    assert "sessionid" not in response.cookies
    assert not SiteBillingSettings.objects.exists()


@pytest.mark.parametrize("state", STATES)
def test_rule_8_head_on_the_return_page_asks_nobody(bill_in, state):
    bill = bill_in(state)
    with CaptureQueriesContext(database) as queries:
        response = Client().head(address("return", bill))
    assert response.status_code == (303 if state in PAID_STATES else 200)
    assert writing(queries.captured_queries) == []


@pytest.mark.parametrize("method", ["get", "head"])
@pytest.mark.parametrize("known", [True, False])
def test_rule_8_a_receipt_is_only_read(bill, method, known):
    payment = pay(bill)
    SiteBillingSettings.objects.all().delete()
    number = payment.pk if known else payment.pk + 1
    with CaptureQueriesContext(database) as queries:
        response = getattr(Client(), method)(f"{address('pay', bill)}receipt/{number}/")
    assert response.status_code == (200 if known else 404)
    assert queries.captured_queries
    assert writing(queries.captured_queries) == []
    assert response.cookies == {}
    assert not SiteBillingSettings.objects.exists()


@pytest.mark.parametrize("name", ["checkout", "portal", "webhook"])
@pytest.mark.parametrize("method", ["get", "head", "put", "delete", "patch", "options"])
def test_rule_8_what_changes_something_takes_post_alone(bill, endpoint, name, method):
    path = webhook_path(endpoint) if name == "webhook" else address(name, bill)
    with CaptureQueriesContext(database) as queries:
        response = getattr(Client(), method)(path)
    assert response.status_code == 405
    assert queries.captured_queries == []


@pytest.mark.parametrize("name", ["pay", "return"])
@pytest.mark.parametrize("method", ["post", "put", "delete", "patch", "options"])
def test_pages_to_look_at_take_get_alone(bill, name, method):
    assert getattr(Client(), method)(address(name, bill)).status_code == 405


@pytest.mark.parametrize("method", ["post", "put", "delete", "patch", "options"])
def test_receipts_are_to_be_looked_at(bill, method):
    path = f"{address('pay', bill)}receipt/{pay(bill).pk}/"
    assert getattr(Client(), method)(path).status_code == 405


def webhook_path(endpoint):
    from django.urls import reverse

    return reverse("client_billing:webhook", args=[endpoint.uuid])


# --- Rule 14: addresses come from stored data -----------------------------------------------


@pytest.mark.parametrize(
    ("hostname", "port", "debug", "expected"),
    [
        ("bakery.example", 80, False, "https://bakery.example"),
        ("bakery.example", 80, True, "http://bakery.example"),
        ("bakery.example", 443, False, "https://bakery.example"),
        ("bakery.localhost", 8000, True, "http://bakery.localhost:8000"),
        ("bakery.localhost", 8000, False, "http://bakery.localhost:8000"),
    ],
)
def test_rule_14_links_follow_the_site(bill, hostname, port, debug, expected):
    Site.objects.filter(pk=bill.site_id).update(hostname=hostname, port=port)
    bill.site.refresh_from_db()
    with override_settings(DEBUG=debug):
        assert payment_link(bill) == f"{expected}/billing/pay/{bill.token}/"
        assert payment_link(bill, "return") == f"{expected}/billing/pay/{bill.token}/done/"


@pytest.mark.parametrize("given", ["https://pay.example.com", "https://pay.example.com/"])
def test_rule_14_the_billing_address_comes_first(bill, given):
    SiteBillingSettings.objects.create(site=bill.site, billing_address=given)
    assert payment_link(bill) == f"https://pay.example.com/billing/pay/{bill.token}/"


def test_rule_14_receipts_are_where_the_bill_is(bill):
    payment = pay(bill)
    SiteBillingSettings.objects.create(site=bill.site, billing_address="https://pay.example.com")
    expected = f"https://pay.example.com/billing/pay/{bill.token}/receipt/{payment.pk}/"
    assert receipt_link(bill, payment) == expected


def test_rule_14_the_bills_of_a_deleted_site_keep_a_link(bill):
    bill.site = None
    assert payment_link(bill) == f"http://localhost:8000/billing/pay/{bill.token}/"


def test_rule_14_webhooks_come_to_the_address_of_the_admin(endpoint, settings):
    path = webhook_path(endpoint)
    assert webhook_url(endpoint.uuid) == f"http://localhost:8000{path}"
    settings.WAGTAIL_CLIENT_BILLING = {"WEBHOOK_BASE_URL": "https://hooks.example.com/"}
    assert webhook_url(endpoint.uuid) == f"https://hooks.example.com{path}"


@pytest.mark.parametrize("state", STATES)
def test_rule_14_the_host_of_the_request_is_in_no_link(bill_in, client, state):
    page = client.get(address("pay", bill_in(state)), headers={"host": "evil.example"})
    assert page.status_code == 200
    assert b"evil.example" not in page.content


def test_rule_14_the_agency_is_led_to_its_own_admin(bill, settings):
    link = admin_link(bill)
    assert link == "" or link.startswith("http://localhost:8000/admin/")
    settings.WAGTAILADMIN_BASE_URL = None
    assert admin_link(bill) == ""
