"""Connecting through the operator's platform, as the agency sees it."""

import re
from datetime import timedelta
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
import time_machine
from django.conf import settings
from django.contrib.messages import get_messages
from django.test import Client, override_settings
from django.utils import timezone
from wagtail.models import ModelLogEntry

from tests.bills.test_platform import FLOWS, PLATFORM, SECRET
from wagtail_client_billing.models import StripeConnection
from wagtail_client_billing.sandbox import books, faults, keys, platforms

KEY = "rk_test_adminpages_0123456789"


@pytest.fixture
def offered(world):
    ours = {**settings.WAGTAIL_CLIENT_BILLING, "CONNECT_FLOWS": FLOWS, "PLATFORM": PLATFORM}
    with override_settings(WAGTAIL_CLIENT_BILLING=ours):
        yield


@pytest.fixture
def typed():
    return {
        "flow": "connect",
        "test_mode": "on",
        "country": "FR",
        "privacy_policy_url": "https://agency.example/privacy",
        "terms_url": "https://agency.example/terms",
        "key": "",
    }


@pytest.fixture
def client(boss, client_for):
    return client_for(boss)


def messages_of(response):
    return [str(message).strip() for message in get_messages(response.wsgi_request)]


def errors_of(response):
    return {name: " ".join(found) for name, found in response.context["form"].errors.items()}


def ask_stripe(url, **pressed):
    """What the agency does on Stripe's page; returns where Stripe leads back to."""
    parts = urlsplit(url)
    answer = Client().post(f"{parts.path}?{parts.query}", pressed)
    assert answer.status_code == 303, answer.content
    return answer["Location"].removeprefix("http://localhost:8000")


def to_stripe(client, admin_url, typed):
    response = client.post(admin_url("connect"), typed)
    assert response.status_code == 303, errors_of(response)
    return response["Location"]


def actions():
    return list(ModelLogEntry.objects.order_by("pk").values_list("action", flat=True))


# --- The dialog -----------------------------------------------------------------------------


def test_with_one_flow_nothing_is_asked(world, boss, client, agency_url):
    text = client.get(agency_url).content.decode()
    assert "How to connect" not in text and "Restricted key" in text


def test_with_several_flows_the_first_is_chosen(offered, client, agency_url):
    response = client.get(agency_url)
    text = response.content.decode()
    assert text.index("Paste a key") < text.index("Open a new") < text.index("Log in to a Stripe")
    assert 'value="restricted_key" id="wcb-connect-flow_0" checked' in " ".join(
        text.replace("required", "").split()
    )
    assert SECRET not in text


def test_without_the_key_flow_there_is_no_key(world, client, agency_url, admin_url, typed):
    only = {**settings.WAGTAIL_CLIENT_BILLING, "CONNECT_FLOWS": ["connect"], "PLATFORM": PLATFORM}
    with override_settings(WAGTAIL_CLIENT_BILLING=only):
        text = client.get(agency_url).content.decode()
        assert "How to connect" not in text and "Restricted key" not in text
        del typed["flow"]
        assert "/onboarding/" in to_stripe(client, admin_url, typed)


@pytest.mark.parametrize(
    ("changed", "field", "words"),
    [
        ({"flow": ""}, "flow", "required"),
        ({"flow": "carrier_pigeon"}, "flow", "valid choice"),
        ({"flow": "restricted_key"}, "key", "required"),
        ({"country": ""}, "country", "required"),
        ({"terms_url": "http://agency.example/"}, "terms_url", "https://"),
    ],
)
def test_errors_stand_beside_their_field(offered, client, admin_url, typed, changed, field, words):
    response = client.post(admin_url("connect"), {**typed, **changed})
    assert response.status_code == 200
    assert words in errors_of(response)[field]
    assert books.api_calls() == [] and not StripeConnection.objects.exists()


@pytest.mark.parametrize("flow", ["connect", "oauth"])
def test_a_mode_without_a_platform_says_so_beside_the_mode(offered, client, admin_url, typed, flow):
    ours = {**settings.WAGTAIL_CLIENT_BILLING, "PLATFORM": {"test": PLATFORM["test"]}}
    with override_settings(WAGTAIL_CLIENT_BILLING=ours):
        response = client.post(admin_url("connect"), {**typed, "flow": flow, "test_mode": ""})
    assert "platform" in errors_of(response)["test_mode"]


def test_the_accounts_country_wins_and_that_is_said(offered, client, admin_url, typed):
    response = client.post(admin_url("connect"), {**typed, "flow": "restricted_key", "key": KEY})
    assert "The account is in Germany, not in France" in messages_of(response)[0]
    assert StripeConnection.objects.get().country == "DE"


# --- A new account --------------------------------------------------------------------------


def test_from_the_dialog_to_stripe_and_back(
    offered, client, admin_url, agency_url, typed, site_a, site_url
):
    url = to_stripe(client, admin_url, typed)
    made = StripeConnection.objects.get()
    assert made.unfinished and made.account_id

    response = client.get(ask_stripe(url, action="half"))
    assert response["Location"].endswith("#tab-client_billing")
    assert "Stripe still needs something" in messages_of(response)[0]
    text = client.get(agency_url).content.decode()
    for shown in (
        "Stripe still needs:",
        "The address of your website",
        "A bank account for payouts",
        "Continue on Stripe",
        "Start over",
    ):
        assert shown in text
    for hidden in ("Unlink account", "defaults.profile.business_url", SECRET):
        assert hidden not in text
    # It cannot charge: nobody can send a bill with it.
    assert "wcb-add" not in client.get(site_url(site_a)).content.decode()

    response = client.post(admin_url("onboarding", made.pk))
    assert response.status_code == 303
    response = client.get(ask_stripe(response["Location"], action="finish"))
    assert f"Connected to {made.account_name}" in messages_of(response)[-1]
    text = client.get(agency_url).content.decode()
    assert "Continue on Stripe" not in text and "Unlink account" in text
    assert actions()[-2:] == ["client_billing.begin", "client_billing.connect"]
    assert len(platforms.connected()) == 1


def test_a_link_that_was_used_up_leads_to_a_new_one(offered, client, admin_url, typed):
    url = to_stripe(client, admin_url, typed)
    again = ask_stripe(url, action="expire")
    response = client.get(again)
    assert response.status_code == 303
    assert "/onboarding/" in response["Location"] and response["Location"] != url
    assert len(platforms.connected()) == 1
    # A loop comes to an end.
    with time_machine.travel(timezone.now(), tick=False):
        assert {client.get(again).status_code for _time in range(12)} == {302, 303}


def test_coming_back_only_reads(offered, client, admin_url, typed):
    back = ask_stripe(to_stripe(client, admin_url, typed), action="back")
    before = len(books.api_calls())
    for _time in range(12):
        assert "Stripe still needs something" in messages_of(client.get(back))[-1]
    reads = [call["method"] for call in books.api_calls()[before:]]
    assert set(reads) == {"GET"} and 5 <= len(reads) <= 11, "ten a minute"


def test_stripe_down_keeps_what_was_begun(offered, client, admin_url, agency_url, typed):
    faults.add("503", times=None)
    response = client.post(admin_url("connect"), typed)
    assert response["Location"].endswith("#tab-client_billing")
    assert "What you entered is kept" in messages_of(response)[0]
    text = client.get(agency_url).content.decode()
    assert "has not been opened at Stripe yet" in text and "Open in Stripe" not in text
    made = StripeConnection.objects.get()
    response = client.post(admin_url("onboarding", made.pk))
    assert "cannot be reached" in messages_of(response)[-1]
    faults.clear()
    assert client.post(admin_url("onboarding", made.pk)).status_code == 303


def test_what_stripe_refuses_is_said_in_the_form(offered, client, admin_url, typed):
    keys.revoke_key(SECRET)
    response = client.post(admin_url("connect"), typed)
    assert "key of our platform" in errors_of(response)["__all__"]
    assert response.context["form"]["terms_url"].value() == typed["terms_url"]
    assert not StripeConnection.objects.filter(unlinked_at=None).exists()


def test_starting_over(offered, client, admin_url, agency_url, typed):
    to_stripe(client, admin_url, typed)
    made = StripeConnection.objects.get()
    assert (
        "Nothing is deleted at Stripe"
        in client.get(admin_url("start_over", made.pk)).content.decode()
    )
    response = client.post(admin_url("start_over", made.pk))
    assert "is forgotten" in messages_of(response)[-1]
    assert "$ Create Client Billing Account" in client.get(agency_url).content.decode()
    assert client.post(admin_url("onboarding", made.pk)).status_code == 404
    assert actions()[-1] == "client_billing.forget"


@pytest.mark.parametrize(
    "name", ["onboarding", "onboarding_refresh", "onboarding_return", "start_over"]
)
def test_only_those_with_the_right_go_on(
    offered, client, carol, client_for, admin_url, typed, name
):
    to_stripe(client, admin_url, typed)
    url = admin_url(name, StripeConnection.objects.get().pk)
    before = len(books.api_calls())
    for somebody in (Client(), client_for(carol)):
        response = somebody.get(url)
        assert response.status_code == 302 and "onboarding/" not in response["Location"][:8]
        assert "stripe" not in response["Location"]
    assert len(books.api_calls()) == before


# --- OAuth ----------------------------------------------------------------------------------


@pytest.fixture
def authorize(offered, client, admin_url, typed):
    """Stripe's page that the dialog leads to."""
    return to_stripe(client, admin_url, {**typed, "flow": "oauth"})


def test_an_account_that_is_there_is_linked(authorize, client, admin_url, agency_url):
    asked = parse_qs(urlsplit(authorize).query)
    assert asked["client_id"] == [PLATFORM["test"]["client_id"]]
    assert asked["redirect_uri"] == [f"http://localhost:8000{admin_url('oauth_callback')}"]
    assert asked["scope"] == ["read_write"] and asked["stripe_user[country]"] == ["FR"]
    assert SECRET not in authorize
    account = keys.identify(KEY).account
    response = client.get(ask_stripe(authorize, action="approve", account=account))
    made = StripeConnection.objects.get()
    assert (made.account_id, made.flow) == (account, "oauth")
    assert made.terms_url == "https://agency.example/terms"
    assert messages_of(response) == [
        f"Connected to {made.account_name}. The account is in Germany, not in France: that is what counts."
    ]
    assert actions()[-1] == "client_billing.connect"
    text = client.get(agency_url).content.decode()
    assert "Unlink account" in text and SECRET not in text
    response = client.post(admin_url("unlink", made.pk))
    assert platforms.connected(ended_at=None) == []


def test_refusing_says_so_and_loses_nothing(authorize, client, agency_url):
    response = client.get(ask_stripe(authorize, action="refuse"))
    assert messages_of(response) == ["Access was refused at Stripe. Nothing was connected."]
    text = client.get(agency_url).content.decode()
    assert 'value="https://agency.example/terms"' in text
    assert re.search(r'value="oauth"[^>]*checked', text)
    assert not StripeConnection.objects.exists()


def test_a_state_works_once(authorize, client):
    back = ask_stripe(authorize, action="refuse")
    client.get(back)
    response = client.get(back)
    assert "used before" in messages_of(response)[-1]


def test_a_state_belongs_to_its_session(authorize, boss, client_for, client):
    back = ask_stripe(authorize, action="approve")
    response = client_for(boss).get(back)
    assert "another browser" in messages_of(response)[-1]
    assert not StripeConnection.objects.exists()
    # The one who asked is not hindered by that.
    assert "Connected to" in messages_of(client.get(back))[-1]


def test_a_state_belongs_to_its_user(authorize, client, django_user_model):
    back = ask_stripe(authorize, action="approve")
    kept = client.session["wagtail_client_billing.oauth"]
    client.force_login(django_user_model.objects.create_superuser("chief", "c@x.example", "pw"))
    session = client.session
    session["wagtail_client_billing.oauth"] = kept
    session.save()
    assert "somebody else" in messages_of(client.get(back))[-1]
    assert not StripeConnection.objects.exists()


@pytest.mark.parametrize("minutes", [9, 11])
def test_a_state_lasts_ten_minutes(authorize, client, minutes):
    back = ask_stripe(authorize, action="refuse")
    with time_machine.travel(timezone.now() + timedelta(minutes=minutes), tick=False):
        (said,) = messages_of(client.get(back))
    assert ("longer than ten minutes" in said) == (minutes > 10)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ({"code": "ac_nonsense"}, "used before, or is too old"),
        ({"code": "ac_<script>"}, "answered with an error"),
        ({"code": "x" * 100_000}, "answered with an error"),
        ({"code": "ac_\0"}, "answered with an error"),
        ({"error": "server_error", "error_description": "<b>Call me</b>"}, "with an error"),
        ({}, "answered with an error"),
    ],
)
def test_whatever_comes_back_has_its_sentence(authorize, client, admin_url, answer, words):
    state = parse_qs(urlsplit(authorize).query)["state"][0]
    url = f"{admin_url('oauth_callback')}?{urlencode({**answer, 'state': state})}"
    response = client.get(url)
    assert response["Location"].endswith("#tab-client_billing")
    (said,) = messages_of(response)
    assert words in said and "Call me" not in said
    assert not StripeConnection.objects.exists()


def test_stripe_down_on_the_way_back(authorize, client):
    back = ask_stripe(authorize, action="approve")
    faults.add("503", times=None)
    assert "cannot be reached" in messages_of(client.get(back))[-1]
    assert not StripeConnection.objects.exists()


def test_somebody_else_was_quicker(authorize, client, admin_url, typed):
    back = ask_stripe(authorize, action="approve")
    client.post(admin_url("connect"), {**typed, "flow": "restricted_key", "key": KEY})
    assert "Unlink it first" in messages_of(client.get(back))[-1]
    assert StripeConnection.objects.get().flow == "restricted_key"


# --- Broken ---------------------------------------------------------------------------------


def test_deauthorized_at_stripe_is_broken_with_what_to_do(authorize, client, admin_url, agency_url):
    client.get(ask_stripe(authorize, action="approve"))
    made = StripeConnection.objects.get()
    platforms.disconnect_by_owner(keys.identify(SECRET).account, made.account_id, False)
    response = client.post(admin_url("check_account", made.pk))
    assert "no longer connected to our platform" in messages_of(response)[-1]
    text = client.get(agency_url).content.decode()
    assert "Broken" in text and "unlink the account and connect it again" in text


def test_a_platform_that_was_taken_away_is_said_on_the_card(authorize, client, agency_url, world):
    client.get(ask_stripe(authorize, action="approve"))
    ours = {**settings.WAGTAIL_CLIENT_BILLING, "PLATFORM": {}}
    with override_settings(WAGTAIL_CLIENT_BILLING=ours):
        assert "no platform key for this mode" in client.get(agency_url).content.decode()
