"""What a payment link shows."""

import re

import pytest
from django.test import Client, override_settings
from django.urls import reverse
from django.utils import timezone

from tests.public.conftest import STATES, address
from wagtail_client_billing.models import AgencySettings, StripeConnection
from wagtail_client_billing.public import limits

SAYS = {
    "payable": "Pay €1,234.56",
    "paid": "Thank you, this bill is paid",
    "processing": "Please do not pay twice",
    "closing": "This link is closing",
    "changing": "This bill is being changed",
    "expired": "This link has expired",
    "deleted": "This bill was cancelled",
    "review": "We have your payment",
    "not_ready": "Nothing was charged",
    "refunded": "Your payment was refunded",
    "past_due": "A payment did not go through",
    "ended": "This subscription has ended",
}


def text_of(response):
    return " ".join(re.sub(r"<[^>]+>", " ", response.content.decode()).split())


@pytest.mark.parametrize("state", STATES)
def test_each_state_has_its_own_page(bill_in, client, state):
    response = client.get(address("pay", bill_in(state)))
    assert response.status_code == 200
    text = text_of(response)
    for other, words in SAYS.items():
        if words != "Nothing was charged":
            assert (words in text) == (other == state), other
    assert SAYS[state] in text
    has_button = state in ("payable", "past_due")
    assert ("<form" in response.content.decode()) == has_button


def test_the_payable_page_tells_all_there_is_to_know(bill, client):
    page = client.get(address("pay", bill)).content.decode()
    for words in (
        "Bakery Website",
        "Atelier Web",
        "Homepage, first half",
        bill.number,
        "€1,234.56",
        'href="https://atelier.example/terms"',
        'href="https://atelier.example/privacy"',
        "mailto:hello@atelier.example",
        "card details never reach this site",
        "(UTC)",
    ):
        assert words in page, words
    moment = re.search(r'<time datetime="([^"]+)"', page)[1]
    assert timezone.datetime.fromisoformat(moment) == bill.expires_at.replace(
        second=0, microsecond=0
    )


def test_the_page_keeps_quiet_about_everything_else(bill, client):
    page = client.get(address("pay", bill)).content.decode()
    connection = StripeConnection.objects.get()
    for secret in (connection.sealed_key, connection.account_id, bill.email, str(bill.uuid)):
        assert secret not in page


def test_a_test_bill_says_so_and_a_live_one_does_not(make_bill, connection, client):
    assert "No real money is moved" in text_of(client.get(address("pay", make_bill())))
    StripeConnection.objects.update(livemode=True)
    connection.refresh_from_db()
    live = client.get(address("pay", make_bill(connection=connection)))
    assert "TEST" not in text_of(live)


@pytest.mark.parametrize("state", STATES)
def test_every_state_in_french(bill_in, client, state):
    response = client.get(address("pay", bill_in(state, language="fr")))
    text = response.content.decode()
    assert '<html lang="fr" dir="ltr">' in text
    assert response.headers["Content-Language"] == "fr"
    assert SAYS[state] not in text_of(response)
    assert "1 234,56 €" in text.replace("\u202f", " ").replace("\xa0", " ")


def test_the_language_of_the_bill_comes_before_that_of_the_browser(make_bill, client):
    bill = make_bill(language="fr")
    response = client.get(address("pay", bill), headers={"accept-language": "en"})
    assert response.headers["Content-Language"] == "fr"


def test_a_bill_without_a_language_we_have_follows_the_browser(make_bill, client):
    bill = make_bill(language="xx")
    response = client.get(address("pay", bill), headers={"accept-language": "fr"})
    assert response.headers["Content-Language"] == "fr"


@override_settings(MIDDLEWARE=[])
def test_the_language_needs_no_middleware(make_bill, client):
    response = client.get(address("pay", make_bill(language="fr")))
    assert response.status_code == 200
    assert response.headers["Content-Language"] == "fr"
    from django.utils.translation import get_language

    assert get_language() == "en"


@override_settings(LANGUAGES=[("en", "English"), ("ar", "Arabic")])
def test_right_to_left(make_bill, client):
    page = client.get(address("pay", make_bill(language="ar"))).content.decode()
    assert '<html lang="ar" dir="rtl">' in page


def test_without_agency_or_connection_the_page_still_answers(bill, client):
    AgencySettings.objects.all().delete()
    StripeConnection.objects.update(account_id="acct_other")
    response = client.get(address("pay", bill))
    assert response.status_code == 200
    assert "Nothing was charged" in text_of(response)


def test_names_are_text_and_never_markup(make_bill, agency, client):
    agency.agency_name = "<script>alert(1)</script>"
    agency.save()
    for language in ("en", "fr"):
        bill = make_bill(description='"><img src=x onerror=alert(1)>', language=language)
        page = client.get(address("pay", bill)).content.decode()
        assert "<script" not in page
        assert "<img" not in page


@override_settings(ROOT_URLCONF="tests.urls", ALLOWED_HOSTS=["*"])
@pytest.mark.parametrize("host", ["bakery.example", "localhost", "other.example"])
def test_the_token_alone_names_the_bill(bill, client, host):
    response = client.get(address("pay", bill), headers={"host": host})
    assert response.status_code == 200


UNKNOWN = [
    "x",
    "unknown",
    "A" * 43,
    "A" * 5000,
    "%00",
    "a%00" * 10,
    "..",
    "%2e%2e%2f",
    "💥",
    "'; DROP TABLE wagtail_client_billing_billingrequest; --",
    "%F0%28%8C%28",
]


@pytest.mark.parametrize("name", ["pay", "return", "checkout"])
@pytest.mark.parametrize("token", UNKNOWN, ids=range(len(UNKNOWN)))
def test_unknown_and_malformed_tokens_look_alike(db, name, token):
    path = {"pay": "", "return": "done/", "checkout": "checkout/"}[name]
    client = Client()
    ask = client.post if name == "checkout" else client.get
    response = ask(f"/billing/pay/{token}/{path}")
    known = ask(reverse(f"client_billing:{name}", args=["B" * 43]))
    if "/" in token or "%2f" in token:
        # Not a path of ours at all.
        assert response.status_code == 404
        return
    assert (response.status_code, known.status_code) == (404, 404)
    assert response.content == known.content
    assert "There is no bill at this address" in text_of(response)


def test_the_token_is_in_no_log(bill, press_pay, caplog, client, monkeypatch):
    monkeypatch.setattr(limits, "PAY", limits.Limit("pay", 1))
    # Below INFO the SDK writes down all that it sends: the docs forbid that in production.
    with caplog.at_level("INFO"):
        client.get(address("pay", bill))
        press_pay(bill)
        client.get(address("return", bill))
        for _each in range(2):
            client.post(address("checkout", bill))
    assert caplog.records
    assert bill.token not in " ".join(record.getMessage() for record in caplog.records)


def test_a_site_may_bring_a_base_template_of_its_own(bill, client):
    from django.conf import settings

    (engine,) = settings.TEMPLATES
    options = dict(engine["OPTIONS"])
    own = {"wagtail_client_billing/public/base.html": "<html>OURS{% block content %}{% endblock %}"}
    options["loaders"] = [
        ("django.template.loaders.locmem.Loader", own),
        "django.template.loaders.app_directories.Loader",
    ]
    with override_settings(TEMPLATES=[{**engine, "APP_DIRS": False, "OPTIONS": options}]):
        page = client.get(address("pay", bill)).content.decode()
    assert page.startswith("<html>OURS")
    assert "Pay €1,234.56" in page
