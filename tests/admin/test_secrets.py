"""Rule 10 over a whole run: no key and no signing secret where none may be."""

import base64
import json
import logging
from urllib.parse import quote

import pytest
from django.test import Client
from django.urls import reverse

from tests import secrets_scan
from wagtail_client_billing import sealing, tasks
from wagtail_client_billing.gateway.checkout import open_checkout
from wagtail_client_billing.models import AgencySettings, StripeConnection, WebhookEndpoint
from wagtail_client_billing.sandbox import books, keys

KEY = "rk_test_scanned_0123456789abcdef"
WRONG = "rk_test_notallowed_0123456789 abc"
MAIL_PASSWORD = "mail password of the scan 0123"
MAIL_SERVER = {
    "agency_name": "Atelier",
    "smtp_enabled": "on",
    "smtp_host": "localhost",
    "smtp_port": "587",
    "smtp_encryption": "starttls",
    "smtp_username": "billing",
    "smtp_from_email": "billing@atelier.example",
}
BY_HAND = "whsec_pasted_0123456789abcdef"


class Watched:
    """A client whose every page is kept."""

    def __init__(self, client, admin_url):
        self.client, self.admin_url, self.pages = client, admin_url, {}

    def get(self, url):
        self._keep(url, self.client.get(url))

    def post(self, name, *args, **typed):
        url = self.admin_url(name, *args)
        self._keep(url, self.client.post(url, typed))
        # Messages are shown by the page after it.
        self.get(reverse("wagtailadmin_home"))

    def post_to(self, url, **typed):
        self._keep(url, self.client.post(url, typed))

    def _keep(self, url, response):
        text = response.content.decode() + str(response.headers) + str(response.cookies)
        self.pages[f"page {len(self.pages)} {url}"] = text


@pytest.fixture
def run(world, boss, site_a, make_request, client_for, admin_url, agency_url, caplog, monkeypatch):
    """Connect, pay, roll, replace, unlink; returns the secrets and all that was to be seen."""
    monkeypatch.setattr(tasks, "LINGER_SECONDS", 0)
    caplog.set_level(logging.DEBUG)
    staff = Watched(client_for(boss), admin_url)
    typed = {
        "test_mode": "on",
        "country": "DE",
        "privacy_policy_url": "https://agency.example/privacy",
        "terms_url": "https://agency.example/terms",
    }
    secrets = {"the key": KEY, "a wrong key": WRONG, "a pasted secret": BY_HAND}
    staff.post("connect", key=WRONG, **typed)
    staff.post("connect", key=KEY, **typed)
    connection = StripeConnection.objects.get()
    staff.get(agency_url)
    bill = make_request(site_a, connection)
    open_checkout(bill.pk)
    world.pay(bill)
    (event,) = world.events("checkout.session.completed")
    endpoint = connection.endpoints.get()
    world.deliver({**event, "account": None}, endpoint)
    tasks.drain_events()
    bill.refresh_from_db()
    assert bill.status == "paid"
    staff.get(admin_url("inspect", bill.pk))
    public = Client().get(reverse("client_billing:pay", args=[bill.token]))
    staff.pages["the client's page"] = public.content.decode()
    staff.post("check_account", connection.pk)
    staff.post("webhook", connection.pk, roll="1")
    staff.post("webhook", connection.pk, secret="not " + BY_HAND)
    staff.post("webhook", connection.pk, secret=BY_HAND)
    other = keys.make_key(connection.account_id)
    secrets["another key"] = other
    staff.post("replace_key", connection.pk, key=other)
    for name in ("replace_key", "webhook", "legal_pages", "unlink"):
        staff.get(admin_url(name, connection.pk))
    for made in WebhookEndpoint.objects.all():
        for number, sealed in enumerate(made.sealed_secrets):
            secrets[f"secret {number} of {made.pk}"] = sealing.open(sealed)
    secrets["the mail server's password"] = MAIL_PASSWORD
    for typed_password in (MAIL_PASSWORD, "", "x" * 300):
        staff.post_to(agency_url, **MAIL_SERVER, smtp_password=typed_password)
    # Nobody listens there; the page and the log say why it failed.
    staff.post("test_mail")
    staff.get(agency_url)
    staff.post("unlink", connection.pk)
    staff.get(agency_url)
    staff.get(reverse("wagtailadmin_reports:site_history"))
    assert len(secrets) == 8 and AgencySettings.objects.exists()
    seen = {
        **staff.pages,
        **secrets_scan.task_payloads(),
        "the log": caplog.text,
        "what the sandbox was asked": json.dumps(books.api_calls(), default=str),
    }
    return secrets, seen


def test_rule_10_no_secret_is_seen_in_a_whole_run_and_a_planted_one_is(run):
    secrets, seen = run
    assert len([place for place in seen if place.startswith("page")]) > 15
    assert secrets_scan.found(secrets, {**seen, **secrets_scan.database_dump()}) == []
    planted = {
        "plain": f"a note about {KEY}.",
        "base64": base64.b64encode(f"user:{KEY}:".encode()).decode(),
        "URL-encoded": "key=" + quote(KEY).replace("_", "%5f"),
    }
    for form, text in planted.items():
        StripeConnection.objects.update(account_name=text)
        (found,) = secrets_scan.found(secrets, secrets_scan.database_dump())
        assert "the key in table wagtail_client_billing_stripeconnection" in found
        assert form in found
