"""Connecting, checking and unlinking the agency's Stripe account, against the sandbox."""

import re

import pytest
from django.contrib.messages import get_messages
from django.db import connection as database
from django.test import override_settings
from django.utils import timezone

from tests.fixtures import make_connection
from wagtail_client_billing.models import (
    BillingRequest,
    CheckoutAttempt,
    StripeConnection,
    WebhookEndpoint,
)
from wagtail_client_billing.sandbox import keys

KEY = "rk_test_adminpages_0123456789"


@pytest.fixture
def typed_account():
    return {
        "test_mode": "on",
        "country": "FR",
        "privacy_policy_url": "https://agency.example/privacy",
        "terms_url": "https://agency.example/terms",
        "key": KEY,
    }


def messages_of(response):
    return [str(message) for message in get_messages(response.wsgi_request)]


def errors_of(response):
    return {name: " ".join(found) for name, found in response.context["form"].errors.items()}


def test_tabs_keep_their_address_in_every_language(boss, agency_url, client_for):
    from wagtail.users.models import UserProfile

    for language in ("en", "fr"):
        profile = UserProfile.get_for_user(boss)
        profile.preferred_language = language
        profile.save()
        text = client_for(boss).get(agency_url).content.decode()
        assert 'href="#tab-general"' in text
        assert 'href="#tab-client_billing"' in text


def test_from_the_dialog_to_connected(
    world, boss, typed_account, client_for, agency_url, admin_url
):
    client = client_for(boss, enforce_csrf_checks=True)
    text = client.get(agency_url).content.decode()
    assert "$ Create Client Billing Account" in text
    assert "opening one takes minutes" in text
    assert "Unlink account" not in text
    _settings, dialog = re.findall(r'name="csrfmiddlewaretoken" value="([^"]+)"', text)
    assert client.post(admin_url("connect"), typed_account).status_code == 403
    response = client.post(admin_url("connect"), {**typed_account, "csrfmiddlewaretoken": dialog})
    assert response.status_code == 302
    assert response["Location"] == f"{agency_url}#tab-client_billing"
    made = StripeConnection.objects.get()
    assert (made.livemode, made.connected_by) == (False, boss)
    assert made.privacy_policy_url == "https://agency.example/privacy"
    assert KEY not in made.sealed_key
    assert made.account_name in messages_of(response)[0]
    text = client.get(agency_url).content.decode()
    for shown in (
        "Connected",
        made.account_name,
        made.account_id[-4:],
        "Open in Stripe ↗",
        "Check again",
        "Unlink account",
        "Connect a live account",
        "https://agency.example/terms",
    ):
        assert shown in text
    assert KEY not in text
    assert "$ Create Client Billing Account" not in text


def test_it_works_with_atomic_requests(
    world, boss, typed_account, client_for, admin_url, monkeypatch, site_a, make_request
):
    monkeypatch.setitem(database.settings_dict, "ATOMIC_REQUESTS", True)
    client = client_for(boss)
    assert client.post(admin_url("connect"), typed_account).status_code == 302
    made = StripeConnection.objects.get()
    request = make_request(site_a, made)
    assert client.post(admin_url("check", request.pk)).status_code == 302
    assert client.post(admin_url("delete", request.pk)).status_code == 302
    request.refresh_from_db()
    assert request.status == "deleted"
    assert client.post(admin_url("check_account", made.pk)).status_code == 302
    assert client.post(admin_url("unlink", made.pk)).status_code == 302
    made.refresh_from_db()
    assert made.unlinked_at


@pytest.mark.parametrize(
    ("changed", "field", "words"),
    [
        ({"country": ""}, "country", "required"),
        ({"country": "XX"}, "country", "valid choice"),
        ({"privacy_policy_url": ""}, "privacy_policy_url", "required"),
        ({"terms_url": ""}, "terms_url", "required"),
        ({"terms_url": "http://agency.example/terms"}, "terms_url", "https://"),
        ({"privacy_policy_url": "https://a@b.example/"}, "privacy_policy_url", "user name"),
        ({"key": ""}, "key", "required"),
        ({"key": "pk_test_0123456789"}, "key", "publishable"),
        ({"key": "sk_live_0123456789", "test_mode": ""}, "key", "every right"),
        ({"key": "rk_live_0123456789"}, "key", "live mode"),
        ({"key": "rk_test_0123456789", "test_mode": ""}, "key", "test mode"),
        ({"key": "whsec_0123456789"}, "key", "webhook"),
        ({"key": "nonsense"}, "key", "not a Stripe key"),
        ({"key": "sk_org_live_0123456789"}, "key", "organisation"),
        ({"key": "rk_test_01234 56789"}, "key", "not a Stripe key"),
        ({"key": "rk_test_revoked_0123456789"}, "key", "revoked"),
        ({"key": "rk_test_" + "x" * 1_000_000}, "key", "255"),
        ({"key": "rk_test_\0"}, "key", "Null"),
        ({"terms_url": "https://a.example/\0"}, "terms_url", "Null"),
        ({"terms_url": "javascript:alert(1)"}, "terms_url", "https://"),
        ({"terms_url": "https://"}, "terms_url", "valid web address"),
        ({"terms_url": "https://a.example/two words"}, "terms_url", "without spaces"),
        ({"privacy_policy_url": "ftp://a.example/"}, "privacy_policy_url", "https://"),
        (
            {"privacy_policy_url": "http://localhost/privacy", "test_mode": ""},
            "privacy_policy_url",
            "test mode",
        ),
        ({"terms_url": "https://a.example/" + "x" * 1_000_000}, "terms_url", "500"),
    ],
)
def test_errors_stand_beside_their_field_and_nothing_but_the_key_is_lost(
    changed, field, words, world, boss, typed_account, client_for, admin_url
):
    keys.revoke_key("rk_test_revoked_0123456789")
    data = {**typed_account, **changed}
    response = client_for(boss).post(admin_url("connect"), data)
    assert response.status_code == 200
    assert not StripeConnection.objects.exists()
    errors = errors_of(response)
    assert words in errors[field]
    text = response.content.decode()
    for name in ("country", "privacy_policy_url", "terms_url"):
        assert str(response.context["form"][name].value()) == data[name]
    assert 'data-action="w-progress#activate"' in text
    if data["key"]:
        assert data["key"] not in text
        assert "key" in errors


def test_a_key_without_a_right_names_the_box_to_tick(
    world, boss, typed_account, client_for, admin_url
):
    account = keys.identify(KEY).account
    key = keys.make_key(account, without=["checkout_session_write"])
    response = client_for(boss).post(admin_url("connect"), {**typed_account, "key": key})
    assert "Checkout Sessions" in errors_of(response)["key"]
    assert not StripeConnection.objects.exists()


def test_stripe_down_says_so_and_keeps_what_was_typed(
    world, boss, typed_account, client_for, admin_url
):
    world.down()
    world.down(times=None)
    response = client_for(boss).post(admin_url("connect"), typed_account)
    assert response.status_code == 200
    assert "Stripe cannot be reached" in errors_of(response)["__all__"]
    assert "Enter the key again" in errors_of(response)["key"]
    assert KEY not in response.content.decode()


def test_a_second_account_for_the_same_mode_is_refused(
    world, boss, connected_test, typed_account, client_for, admin_url
):
    response = client_for(boss).post(admin_url("connect"), typed_account)
    assert "Unlink it first" in errors_of(response)["test_mode"]


def test_check_again(world, boss, typed_account, client_for, admin_url, agency_url):
    client = client_for(boss)
    client.post(admin_url("connect"), typed_account)
    made = StripeConnection.objects.get()
    url = admin_url("check_account", made.pk)
    assert client.get(url).status_code == 200
    response = client.post(url)
    assert "is in order" in messages_of(response)[-1]
    assert response["Location"].endswith("#tab-client_billing")
    keys.revoke_key(KEY)
    client.post(url)
    text = client.get(agency_url).content.decode()
    assert "Broken" in text
    assert "Create a new key at Stripe" in text
    assert "Connected</span>" not in text


def test_unlinking_says_what_happens_and_happens(
    world, boss, alice, site_a, typed_account, make_request, client_for, admin_url, agency_url
):
    client = client_for(boss)
    client.post(admin_url("connect"), typed_account)
    made = StripeConnection.objects.get()
    make_request(site_a, made)
    page = client.get(admin_url("unlink", made.pk)).content.decode()
    assert "1 pending request cannot be paid until the same account is linked again" in page
    assert "Nothing is deleted" in page
    made.refresh_from_db()
    assert made.unlinked_at is None
    response = client.post(admin_url("unlink", made.pk))
    assert response["Location"].endswith("#tab-client_billing")
    made.refresh_from_db()
    assert made.unlinked_at and not made.sealed_key
    assert BillingRequest.objects.count() == 1
    assert "$ Create Client Billing Account" in client.get(agency_url).content.decode()
    assert client.get(admin_url("unlink", made.pk)).status_code == 404


def test_rule_10_an_unreadable_key_is_a_banner(
    boss, alice, site_a, connected_test, client_for, agency_url, site_url, admin_url
):
    StripeConnection.objects.update(sealed_key="enc1:gAAAAABnot-a-token-of-ours")
    text = client_for(boss).get(agency_url).content.decode()
    assert "The stored key cannot be read" in text
    assert (
        "cannot be used at the moment" in client_for(boss).get(admin_url("index")).content.decode()
    )
    assert "whoever manages" in client_for(alice).get(site_url(site_a)).content.decode()
    response = client_for(boss).post(admin_url("check_account", connected_test.pk))
    assert response.status_code == 302
    assert messages_of(response)
    assert client_for(boss).get(admin_url("unlink", connected_test.pk)).status_code == 200


def test_the_card_tells_of_the_webhook(boss, connected_test, client_for, agency_url):
    def text():
        return client_for(boss).get(agency_url).content.decode()

    assert "No webhook" in text()
    endpoint = WebhookEndpoint.objects.create(
        connection=connected_test,
        livemode=False,
        url="https://agency.example/billing/x/",
        idempotency_key="k",
        state=WebhookEndpoint.State.MISSING,
        error="Stripe refused: not a public address",
    )
    assert "not a public address" in text()
    WebhookEndpoint.objects.update(state=WebhookEndpoint.State.ACTIVE)
    assert "No event yet" in text()
    endpoint.last_event_at = timezone.now()
    WebhookEndpoint.objects.update(last_event_at=endpoint.last_event_at)
    assert "Working:" in text()


def test_a_restricted_account_says_what_to_do(boss, connected_test, client_for, agency_url):
    StripeConnection.objects.update(charges_enabled=False)
    text = client_for(boss).get(agency_url).content.decode()
    assert "Restricted" in text and "answer what is asked there" in text


@pytest.mark.parametrize(
    ("base", "banner"),
    [
        (None, False),
        ("https://api.stripe.com", False),
        ("http://localhost:8000/sandbox/stripe", True),
    ],
)
def test_a_stand_in_for_stripe_is_on_every_page_of_ours(
    base,
    banner,
    settings,
    boss,
    site_a,
    connected_test,
    make_request,
    client_for,
    agency_url,
    site_url,
    admin_url,
):
    made = make_request(site_a, connected_test)
    changed = {**settings.WAGTAIL_CLIENT_BILLING, "STRIPE_API_BASE": base}
    with override_settings(WAGTAIL_CLIENT_BILLING=changed):
        for url in [
            agency_url,
            site_url(site_a),
            *(admin_url(name) for name in ("index", "add", "connect")),
            *(
                admin_url(name, made.pk)
                for name in ("inspect", "send_again", "resend", "check", "delete")
            ),
            admin_url("unlink", connected_test.pk),
            admin_url("check_account", connected_test.pk),
        ]:
            text = client_for(boss).get(url).content.decode()
            assert ("no real money moves" in text and "stand-in" in text) == banner, url


def test_the_accounts_menu_names_the_settings(boss, alice, client_for):
    assert "#tab-general" in client_for(boss).get("/admin/account/").content.decode()
    assert "#tab-general" not in client_for(alice).get("/admin/account/").content.decode()


def test_agency_settings_are_saved_on_one_line(boss, agency_url, client_for):
    good = {
        "agency_name": "Studio",
        "contact_email": "hello@agency.example",
        "notification_email": "",
    }
    client = client_for(boss)
    assert client.post(agency_url, good).status_code == 302
    for name, bad in [
        ("agency_name", "a\r\nBcc: x@y.example"),
        ("agency_name", "a\0b"),
        ("agency_name", "x" * 1_000_000),
        ("contact_email", "x" * 250 + "@y.example"),
        ("notification_email", "a\0@b.example"),
    ]:
        response = client.post(agency_url, {**good, name: bad})
        assert response.status_code == 200
        assert name in response.context["form"].errors


def test_what_could_not_be_closed_is_said(
    world, boss, site_a, typed_account, make_request, client_for, admin_url
):
    client = client_for(boss)
    client.post(admin_url("connect"), typed_account)
    made = StripeConnection.objects.get()
    request = make_request(site_a, made)
    CheckoutAttempt.objects.create(
        request=request,
        n=1,
        state=CheckoutAttempt.State.OPEN,
        account_id=made.account_id,
        livemode=False,
        amount_minor=request.amount_minor,
        currency="EUR",
        idempotency_key="k1",
        session_id="cs_test_gone",
        expires_at=timezone.now() + timezone.timedelta(hours=1),
    )
    page = client.get(admin_url("unlink", made.pk)).content.decode()
    assert "1 open payment page at Stripe is closed." in page
    world.down(times=None)
    response = client.post(admin_url("unlink", made.pk))
    assert request.number in " ".join(messages_of(response))


def test_two_cards_at_once(boss, connected_test, client_for, agency_url):
    make_connection(livemode=True)
    text = client_for(boss).get(agency_url).content.decode()
    assert text.count("Unlink account") == 2
    assert "wcb-connect" not in text


def test_unlinking_counts_the_subscriptions_that_go_on(
    boss, site_a, connected_test, connected_live, make_request, client_for, admin_url
):
    url = admin_url("unlink", connected_test.pk)
    client = client_for(boss)
    assert "goes on at Stripe: its client" not in client.get(url).content.decode()

    def subscribe(connection, status):
        request = make_request(site_a, connection, billing_type="monthly")
        request.subscriptions.create(
            account_id=request.account_id,
            livemode=request.livemode,
            stripe_id=f"sub_{request.pk}",
            status=status,
        )

    subscribe(connected_test, "active")
    subscribe(connected_test, "canceled")
    subscribe(connected_live, "active")
    text = client.get(url).content.decode()
    assert "1 subscription goes on at Stripe: its client is charged as before" in text
    subscribe(connected_test, "past_due")
    assert "2 subscriptions go on at Stripe" in client.get(url).content.decode()
