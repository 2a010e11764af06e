"""A site, a connected sandbox account, bills, and what Stripe's side can do to them."""

import json
from dataclasses import dataclass
from datetime import timedelta

import pytest
import stripe
import time_machine
from django.conf import settings
from django.test import Client, override_settings
from django.urls import reverse
from django.utils import timezone
from wagtail.models import Site

from tests.connected import connected_once
from tests.sandbox_server import SandboxServer
from wagtail_client_billing import lifecycle, sealing
from wagtail_client_billing.gateway import connect
from wagtail_client_billing.models import AgencySettings, BillingRequest
from wagtail_client_billing.sandbox import books, checkout, deliveries, faults

KEY = "rk_test_bills_0123456789"


@pytest.fixture(scope="session")
def sandbox_server():
    with SandboxServer() as server:
        yield server


@pytest.fixture
def world(sandbox_server, tmp_path, monkeypatch):
    """The sandbox with empty books; webhooks leave only when a test delivers them."""
    monkeypatch.setattr(deliveries, "automatic", False)
    changed = {
        **settings.WAGTAIL_CLIENT_BILLING,
        "STRIPE_API_BASE": sandbox_server.base,
        "SANDBOX_FILE": str(tmp_path / "books.sqlite3"),
    }
    with override_settings(WAGTAIL_CLIENT_BILLING=changed):
        yield World(sandbox_server)


class World:
    """Stripe's side of the story."""

    def __init__(self, server):
        self.server = server

    def payable(self, bill):
        return books.payable_sessions(str(bill.uuid))

    def sessions(self, bill):
        return books.sessions(str(bill.uuid))

    def pay(self, bill):
        (session,) = self.payable(bill)
        checkout.pay(session["id"])
        return session["id"]

    def pay_later(self, bill):
        (session,) = self.payable(bill)
        checkout.pay_later(session["id"])
        return session["id"]

    def settle(self, session_id, succeeded):
        checkout.settle_later(session_id, succeeded)

    def down(self, times=None):
        faults.add("503", times=times)

    def up(self):
        faults.clear()

    def events(self, type=None):
        return books.events(type)

    def deliver(self, event, endpoint, *, secret=None, age=0, **changed):
        """Posts one event to our webhook as Stripe would; returns the answer."""
        body = json.dumps({**event, **changed})
        secret = secret or sealing.open(endpoint.sealed_secrets[0])
        moment = int(timezone.now().timestamp()) - age
        header = stripe.WebhookSignature.generate_signature_header(body, secret, moment)
        return Client(enforce_csrf_checks=True).post(
            reverse("client_billing:webhook", args=[endpoint.uuid]),
            data=body,
            content_type="application/json",
            headers={"stripe-signature": header},
        )


@pytest.fixture
def agency(db):
    agency = AgencySettings.load()
    agency.agency_name = "Atelier Web"
    agency.contact_email = "hello@atelier.test"
    agency.save()
    return agency


@pytest.fixture
def site(db):
    return Site.objects.get(is_default_site=True)


@pytest.fixture
def connection(world, db):
    return connected_once(
        lambda: connect.connect_with_key(
            key=KEY,
            livemode=False,
            country="FR",
            privacy_policy_url="https://atelier.test/privacy",
            terms_url="https://atelier.test/terms",
            user=None,
        )
    )


@dataclass
class Making:
    site: Site
    connection: object

    def __call__(self, **given):
        values = {
            "site": self.site,
            "connection": self.connection,
            "email": "client@bakery.test",
            "currency": "EUR",
            "amount_minor": 12345,
            "success_url": "https://bakery.test/thanks",
            "cancel_url": "https://bakery.test/cancelled",
            **given,
        }
        return lifecycle.create_request(**values)


@pytest.fixture
def make_bill(site, connection, agency):
    return Making(site, connection)


@pytest.fixture
def bill(make_bill):
    return make_bill()


@pytest.fixture
def overdue():
    """Moves a bill and its sessions into the past, as waiting would."""

    def _overdue(bill, by=timedelta(minutes=1)):
        now = timezone.now()
        BillingRequest.objects.filter(pk=bill.pk).update(expires_at=now - by)
        bill.refresh_from_db()
        return bill

    return _overdue


@pytest.fixture
def later():
    """A clock to turn; it stands still between two turns."""
    with time_machine.travel(timezone.now(), tick=False) as traveller:
        yield lambda **by: traveller.shift(timedelta(**by))
