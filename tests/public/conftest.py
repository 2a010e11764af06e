"""A site with a bill in each state that its link can show; the sandbox where money moves."""

import re
from datetime import timedelta

import pytest
from django.conf import settings
from django.core.cache import cache
from django.test import Client, override_settings
from django.urls import reverse
from django.utils import timezone
from wagtail.models import Site

from tests.sandbox_server import SandboxServer
from wagtail_client_billing import lifecycle, sealing
from wagtail_client_billing.models import (
    AgencySettings,
    BillingRequest,
    CheckoutAttempt,
    Payment,
    Refund,
    StripeConnection,
    Subscription,
    WebhookEndpoint,
)

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


@pytest.fixture(autouse=True)
def empty_cache():
    cache.clear()
    yield
    cache.clear()


@pytest.fixture
def site(db):
    site = Site.objects.get(is_default_site=True)
    site.hostname, site.site_name, site.port = "bakery.example", "Bakery Website", 443
    site.save()
    return site


@pytest.fixture
def agency(db):
    return AgencySettings.objects.create(
        agency_name="Atelier Web", contact_email="hello@atelier.example"
    )


@pytest.fixture
def connection(db):
    """Connected as far as our tables know; Stripe was never asked."""
    return StripeConnection.objects.create(
        livemode=False,
        flow="restricted_key",
        account_id="acct_bakery",
        account_name="Atelier",
        charges_enabled=True,
        sealed_key=sealing.seal("rk_test_pages_0123456789"),
        privacy_policy_url="https://atelier.example/privacy",
        terms_url="https://atelier.example/terms",
    )


@pytest.fixture
def endpoint(connection):
    return WebhookEndpoint.objects.create(
        connection=connection,
        livemode=False,
        url="http://localhost:8000/",
        idempotency_key="k",
        sealed_secrets=[sealing.seal("whsec_pages")],
        state="active",
    )


@pytest.fixture
def make_bill(site, agency, connection):
    def make(**given):
        facts = {name: given.pop(name) for name in list(given) if name in FACTS}
        values = {
            "site": site,
            "connection": connection,
            "email": "client@customer.example",
            "currency": "EUR",
            "amount_minor": 123456,
            "description": "Homepage, first half",
            "success_url": "https://bakery.example/thanks",
            "cancel_url": "https://bakery.example/cancelled",
            "language": "en",
            **given,
        }
        bill = lifecycle.create_request(**values)
        # The states of pages are made by hand here; how they come about is tested elsewhere.
        BillingRequest.objects.filter(pk=bill.pk).update(**facts)
        bill.refresh_from_db()
        return bill

    return make


FACTS = {
    "status",
    "expires_at",
    "paid_at",
    "deleted_at",
    "processing_since",
    "review_since",
    "review_reason",
    "hold",
    "hold_since",
    "livemode",
    "account_id",
    "token",
}


@pytest.fixture
def bill(make_bill):
    return make_bill()


def _attempt(bill, state):
    return CheckoutAttempt.objects.create(
        request=bill,
        n=1,
        state=state,
        account_id=bill.account_id,
        livemode=bill.livemode,
        amount_minor=bill.amount_minor,
        currency=bill.currency,
        idempotency_key=f"key-{bill.pk}",
        session_id=f"cs_test_{bill.pk}",
        expires_at=timezone.now() + HOUR,
    )


def pay(bill, source="pi_1", **given):
    """A payment of the bill, which is paid by it."""
    now = given.get("received_at") or timezone.now()
    BillingRequest.objects.filter(pk=bill.pk).update(status="paid", paid_at=now)
    bill.refresh_from_db()
    return Payment.objects.create(
        **{
            "request": bill,
            "account_id": bill.account_id,
            "livemode": bill.livemode,
            "source": source,
            "intent_id": f"intent_{source}",
            "amount_minor": bill.amount_minor,
            "currency": bill.currency,
            "method": "visa",
            "last4": "4242",
            "received_at": now,
            **given,
        }
    )


def give_back(payment, amount_minor, state="succeeded", **given):
    return Refund.objects.create(
        payment=payment,
        amount_minor=amount_minor,
        currency=payment.currency,
        state=state,
        stripe_id=f"re_{payment.pk}_{payment.refunds.count()}",
        **given,
    )


def subscribe(bill, **given):
    """A subscription whose first payment has come."""
    subscription = Subscription.objects.create(
        **{
            "request": bill,
            "account_id": bill.account_id,
            "livemode": bill.livemode,
            "stripe_id": f"sub_{bill.pk}",
            "customer_id": "cus_1",
            "status": "active",
            "started_at": timezone.now(),
            "current_period_end": timezone.now() + 30 * DAY,
            **given,
        }
    )
    pay(bill, f"in_{bill.pk}", subscription=subscription)
    return subscription


STATES = (
    "payable",
    "paid",
    "processing",
    "closing",
    "changing",
    "expired",
    "deleted",
    "review",
    "not_ready",
    "refunded",
    "past_due",
    "ended",
)
# Whose status is paid.
PAID_STATES = ("paid", "refunded", "past_due", "ended")


@pytest.fixture
def bill_in(make_bill, connection):
    """A bill whose link shows the given page."""

    def make(state, **given):
        now = timezone.now()
        if state in ("past_due", "ended"):
            bill = make_bill(**{"billing_type": "monthly", **given})
            canceled = {"status": "canceled", "ended_at": now}
            subscribe(bill, **({"status": "past_due"} if state == "past_due" else canceled))
            return bill
        if state in ("paid", "refunded"):
            bill = make_bill(**given)
            payment = pay(bill)
            if state == "refunded":
                give_back(payment, payment.amount_minor)
            return bill
        if state == "not_ready":
            bill = make_bill(**given)
            StripeConnection.objects.update(broken_at=now, broken_why="revoked")
            return bill
        facts = {
            "payable": {},
            "processing": {"processing_since": now},
            "closing": {"expires_at": now - HOUR},
            "changing": {"hold": "edit", "hold_since": now},
            "expired": {"status": "expired", "expires_at": now - HOUR},
            "deleted": {"status": "deleted", "deleted_at": now},
            "review": {"review_since": now, "review_reason": "mismatch"},
        }[state]
        bill = make_bill(**facts, **given)
        if state == "processing":
            _attempt(bill, "processing")
        if state == "closing":
            _attempt(bill, "open")
        return bill

    return make


def address(name, bill):
    return reverse(f"client_billing:{name}", args=[bill.token])


@pytest.fixture
def press_pay():
    """What a browser does: opens the page, then posts its form, with CSRF enforced."""

    def press(bill, client=None, **more):
        client = client or Client(enforce_csrf_checks=True)
        page = client.get(address("pay", bill), **more).content.decode()
        token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page)
        action = re.search(r'<form[^>]* action="([^"]+)"', page)
        assert token and action, page
        return client.post(action[1], {"csrfmiddlewaretoken": token[1]}, **more)

    return press


@pytest.fixture(scope="module")
def server():
    with SandboxServer() as server:
        yield server


@pytest.fixture
def sandbox(server, tmp_path, monkeypatch):
    """The sandbox with books of its own; webhooks do not leave by themselves."""
    from wagtail_client_billing.sandbox import deliveries

    monkeypatch.setattr(deliveries, "automatic", False)
    changed = {
        **settings.WAGTAIL_CLIENT_BILLING,
        "STRIPE_API_BASE": server.base,
        "SANDBOX_FILE": str(tmp_path / "books.sqlite3"),
    }
    with override_settings(WAGTAIL_CLIENT_BILLING=changed):
        yield server


@pytest.fixture
def connected(sandbox, db):
    """Replaces ``connection`` where Stripe is really asked."""
    from wagtail_client_billing.gateway import connect

    return connect.connect_with_key(
        key="rk_test_pages_0123456789",
        livemode=False,
        country="FR",
        privacy_policy_url="https://atelier.example/privacy",
        terms_url="https://atelier.example/terms",
        user=None,
    )
