"""A copy of the production database at another host: nothing leaves it until somebody decides."""

import time

import pytest
from django.contrib.messages import get_messages
from django.core import mail
from django.test import Client, override_settings
from django.utils import timezone
from wagtail.models import ModelLogEntry

from tests.fixtures import make_connection
from wagtail_client_billing import tasks
from wagtail_client_billing.errors import CopyOfProduction
from wagtail_client_billing.gateway import checkout, connect, copies, sweeping
from wagtail_client_billing.gateway.client import api_for
from wagtail_client_billing.hosts import this_host
from wagtail_client_billing.links import payment_link
from wagtail_client_billing.models import (
    CheckoutAttempt,
    EmailDelivery,
    StripeConnection,
    WebhookEndpoint,
)
from wagtail_client_billing.sandbox import books

KEY = "rk_test_copiespages_0123456789"
REAL = "https://www.agency.example"
STAGING = override_settings(WAGTAILADMIN_BASE_URL="https://staging.agency.example")


@pytest.fixture
def production(world, settings, db):
    """The account, connected at the real host."""
    settings.WAGTAILADMIN_BASE_URL = REAL
    return connect.connect_with_key(
        key=KEY,
        livemode=False,
        country="FR",
        privacy_policy_url="https://agency.example/privacy",
        terms_url="https://agency.example/terms",
        user=None,
    )


@pytest.fixture
def copied(production, site_a, make_request):
    """A request with a session at Stripe and a mail that waits, seen from another host."""
    request = make_request(site_a, production)
    checkout.open_checkout(request.pk)
    with STAGING:
        yield request


def written_to_stripe():
    """How many calls that change something have reached the sandbox."""
    return len([call for call in books.api_calls() if call["method"] != "GET"])


def messages_of(response):
    return " ".join(str(message) for message in get_messages(response.wsgi_request))


@pytest.mark.parametrize(
    ("address", "host"),
    [
        ("https://www.Agency.example", "www.agency.example"),
        ("https://www.agency.example:443/cms", "www.agency.example"),
        ("http://www.agency.example:80", "www.agency.example"),
        ("https://www.agency.example:8443", "www.agency.example:8443"),
        ("https://www.agency.example.", "www.agency.example"),
        ("www.agency.example", "www.agency.example"),
        ("http://localhost:8000", "localhost"),
        ("http://bakery.localhost:8010", "localhost"),
        ("http://127.0.0.1:8010", "localhost"),
        ("http://[::1]:8010", "localhost"),
        ("http://10.0.0.7:8010", "10.0.0.7:8010"),
        ("", ""),
        (None, ""),
        ("https://a.example:port", ""),
        ("https://[broken", ""),
    ],
)
def test_hosts_are_compared_without_what_does_not_matter(address, host, settings):
    settings.WAGTAILADMIN_BASE_URL = address
    assert this_host() == host


def test_connecting_remembers_the_host_and_the_first_sweep_fills_it_in(production):
    assert production.host == "www.agency.example"
    StripeConnection.objects.update(host="")
    production.refresh_from_db()
    assert not production.is_copy
    sweeping.sweep_stripe(time.monotonic() + 5)
    production.refresh_from_db()
    assert production.host == "www.agency.example"
    with override_settings(WAGTAILADMIN_BASE_URL=""):
        assert not production.is_copy
        assert StripeConnection.objects.usable().exists()
        assert not StripeConnection.objects.copies().exists()


def test_a_copy_mails_nobody_and_says_that_the_mail_waits(copied):
    tasks.sweep()
    assert mail.outbox == []
    delivery = EmailDelivery.objects.get()
    assert (delivery.state, delivery.attempts) == ("queued", 0)


def test_a_copy_reads_stripe_and_writes_nothing_to_it(copied, production):
    before = written_to_stripe()
    api = api_for(production)
    assert api.call(lambda client: client.v1.accounts.retrieve_current())["id"]
    session = CheckoutAttempt.objects.get().session_id
    for write in (
        lambda client: client.v1.checkout.sessions.expire(session),
        lambda client: client.v1.webhook_endpoints.create({"url": REAL, "enabled_events": ["*"]}),
        lambda client: client.v1.webhook_endpoints.delete("we_1"),
    ):
        with pytest.raises(CopyOfProduction):
            api.call(write)
    assert written_to_stripe() == before
    assert books.payable_sessions(str(copied.uuid))


def test_on_a_copy_the_client_hears_that_it_is_not_ready(copied):
    with override_settings(ALLOWED_HOSTS=["*"]):
        path = payment_link(copied).split("example.com", 1)[1]
        assert "cannot be paid at the moment" in Client().get(path).content.decode()
        assert Client().post(f"{path}checkout/").status_code == 503
    assert CheckoutAttempt.objects.count() == 1


def test_on_a_copy_every_change_is_refused_with_the_sentence(
    copied, production, boss, client_for, admin_url
):
    client = client_for(boss)
    before = written_to_stripe()
    again = {
        "test_mode": "on",
        "country": "FR",
        "privacy_policy_url": "https://agency.example/privacy",
        "terms_url": "https://agency.example/terms",
        "key": KEY,
    }
    page = client.post(admin_url("connect"), again).content.decode()
    assert "looks like a copy" in page
    # Probing the key is all that connecting did.
    before = written_to_stripe()
    for url in (
        admin_url("delete", copied.pk),
        admin_url("resend", copied.pk),
        admin_url("unlink", production.pk),
        admin_url("check_account", production.pk),
    ):
        response = client.post(url)
        assert response.status_code == 302
        assert "looks like a copy" in messages_of(client.get(response["Location"]))
    assert written_to_stripe() == before
    copied.refresh_from_db()
    production.refresh_from_db()
    assert (copied.status, copied.hold, production.unlinked_at) == ("pending", "", None)
    assert production.endpoints.get().state == "active"
    assert EmailDelivery.objects.count() == 1


def test_the_sweep_leaves_a_copy_in_peace(copied, production, caplog):
    long_ago = timezone.now() - timezone.timedelta(hours=2)
    CheckoutAttempt.objects.update(created_at=long_ago, asked_at=None, expires_at=long_ago)
    type(copied).objects.update(hold="delete", hold_since=long_ago)
    WebhookEndpoint.objects.update(state="creating", created_at=long_ago)
    StripeConnection.objects.update(unlinked_at=long_ago)
    assert sweeping.sweep_stripe(time.monotonic() + 5) == 0
    assert not [record for record in caplog.records if record.levelname in ("ERROR", "WARNING")]
    production.refresh_from_db()
    assert production.sealed_key
    assert CheckoutAttempt.objects.get().asked_at is None


def test_the_banner_is_on_every_page_and_its_buttons_are_for_those_who_may(
    copied, production, boss, alice, client_for, admin_url, agency_url, site_url, site_a
):
    pages = [
        admin_url("index"),
        admin_url("inspect", copied.pk),
        admin_url("add"),
        site_url(site_a),
    ]
    real, forget = admin_url("confirm_host", production.pk), admin_url("forget", production.pk)
    for url in [*pages, agency_url]:
        text = client_for(boss).get(url).content.decode()
        assert "was connected at www.agency.example" in text, url
        assert real in text and forget in text
    for url in pages:
        text = client_for(alice).get(url).content.decode()
        assert "Please tell whoever manages the agency settings" in text
        assert real not in text
    for url in (real, forget):
        assert client_for(alice).post(url).status_code in (302, 403)
    production.refresh_from_db()
    assert production.is_copy
    assert "Not used here" in client_for(boss).get(agency_url).content.decode()


def test_this_is_the_real_one_and_everything_goes_on(
    copied, production, boss, client_for, admin_url, agency_url
):
    client = client_for(boss, enforce_csrf_checks=True)
    url = admin_url("confirm_host", production.pk)
    page = client.get(url)
    assert "1 waiting e-mail is sent to a client." in page.content.decode()
    assert StripeConnection.objects.copies().exists()
    token = page.context["csrf_token"]
    assert client.post(url).status_code == 403
    response = client.post(url, {"csrfmiddlewaretoken": str(token)})
    assert response["Location"] == f"{agency_url}#tab-client_billing"
    production.refresh_from_db()
    assert (production.host, production.is_copy) == ("staging.agency.example", False)
    # Stripe delivers to the new address, and to no other.
    assert production.endpoints.get(state="active").url.startswith("https://staging.agency.")
    entry = ModelLogEntry.objects.get(action="client_billing.confirm_host")
    assert entry.data["was"] == "www.agency.example"
    tasks.sweep()
    assert [message.to for message in mail.outbox] == [[copied.email]]
    assert "nothing to decide" in client.get(url).content.decode()


def test_forget_touches_nothing_at_stripe_and_no_mail_ever_leaves(
    copied, production, boss, client_for, admin_url, agency_url
):
    before = written_to_stripe()
    client = client_for(boss)
    url = admin_url("forget", production.pk)
    assert "1 waiting e-mail is never sent." in client.get(url).content.decode()
    client.post(url)
    production.refresh_from_db()
    assert production.unlinked_at
    assert (production.sealed_key, production.key_last4) == ("", "")
    assert production.endpoints.get().state == "deleted"
    delivery = EmailDelivery.objects.get()
    assert (delivery.state, delivery.problem) == ("dropped", "obsolete")
    assert written_to_stripe() == before
    assert books.payable_sessions(str(copied.uuid))
    assert ModelLogEntry.objects.filter(action="client_billing.forget").exists()
    # The banner is gone, the mode is free for an account of the copy's own.
    text = client.get(agency_url).content.decode()
    assert "was connected at" not in text
    assert "$ Create Client Billing Account" in text
    # Even at home again nothing is sent, since the mail was given up.
    with override_settings(WAGTAILADMIN_BASE_URL=REAL):
        tasks.sweep()
    assert mail.outbox == []
    assert client.post(url).status_code == 404


def test_only_a_copy_can_be_forgotten(production, boss, client_for, admin_url):
    assert copies.forget(production, user=boss) is False
    response = client_for(boss).post(admin_url("forget", production.pk))
    assert response.status_code == 302
    production.refresh_from_db()
    assert production.sealed_key
    assert production.unlinked_at is None


def test_the_other_mode_has_a_host_of_its_own(
    copied, production, boss, client_for, site_a, site_url
):
    make_connection(livemode=True, host="staging.agency.example")
    text = client_for(boss).get(site_url(site_a)).content.decode()
    assert "Only a live account is connected, Agency live:" in text
    assert "test account" in text
