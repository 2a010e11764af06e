"""Who connected, unlinked and changed what, in Wagtail's own history; never a secret."""

import json

import pytest
from django.urls import reverse
from wagtail.models import ModelLogEntry

from wagtail_client_billing.models import AgencySettings, StripeConnection

KEY = "rk_test_audited_0123456789"


@pytest.fixture
def history():
    return reverse("wagtailadmin_reports:site_history")


@pytest.fixture
def connected(world, boss, client_for, admin_url):
    """Connected and unlinked by the boss, in the admin."""
    typed = {
        "test_mode": "on",
        "country": "FR",
        "privacy_policy_url": "https://agency.example/privacy",
        "terms_url": "https://agency.example/terms",
        "key": KEY,
    }
    assert client_for(boss).post(admin_url("connect"), typed).status_code == 302
    made = StripeConnection.objects.get()
    assert client_for(boss).post(admin_url("unlink", made.pk)).status_code == 302
    return made


def test_history_says_who_connected_and_unlinked_and_tells_no_secret(
    connected, boss, alice, client_for, history
):
    entries = ModelLogEntry.objects.filter(action__startswith="client_billing.")
    assert {entry.action for entry in entries} >= {
        "client_billing.connect",
        "client_billing.unlink",
    }
    for entry in entries:
        assert entry.user == boss
        assert entry.data["account"] == connected.account_id
        assert entry.data["mode"] == "test"
        kept = json.dumps(entry.data) + entry.label
        assert "rk_test" not in kept and "whsec" not in kept
    text = client_for(boss).get(history).content.decode()
    for shown in ("Connected a Stripe account", "Unlinked a Stripe account", str(connected)):
        assert shown in text
    # Rights on one site are no right on the agency's account.
    assert "a Stripe account" not in client_for(alice).get(history).content.decode()


def test_history_shows_no_address_of_anybody(connected_test, make_request, site_a):
    connected_test.account_name = "owner@agency.example"
    request = make_request(site_a, connected_test, email="client@customer.example")
    for row in (connected_test, request, request.deliveries.get()):
        assert "agency.example" not in str(row) and "customer.example" not in str(row)
    assert str(connected_test) == f"{connected_test.account_id} (test)"


def test_wagtail_logs_a_change_of_the_agency_settings(boss, client_for, agency_url, history):
    client_for(boss).post(
        agency_url,
        {
            "agency_name": "Atelier",
            "contact_email": "hello@atelier.example",
            "notification_email": "",
        },
    )
    assert AgencySettings.current().agency_name == "Atelier"
    entry = ModelLogEntry.objects.get(action="wagtail.edit")
    assert (entry.user, entry.label) == (boss, "Agency settings")
    assert "hello@atelier.example" not in client_for(boss).get(history).content.decode()
