"""Pressing Pay and coming back, with the sandbox at the other end."""

import re
from contextlib import contextmanager

import pytest
from django.test import Client, override_settings
from django.utils import timezone

from tests.public.conftest import HOUR, STATES, address
from tests.public.test_pages import text_of
from wagtail_client_billing.gateway import connect
from wagtail_client_billing.models import BillingRequest, CheckoutAttempt, StripeConnection
from wagtail_client_billing.sandbox import books, checkout, faults


@pytest.fixture
def connection(connected):
    return connected


@contextmanager
def stripe_down():
    faults.add("503", times=None)
    try:
        yield
    finally:
        faults.clear()


def session_of(bill):
    (session,) = books.payable_sessions(str(bill.uuid))
    return session


def test_pay_leads_to_stripe_and_a_second_press_to_the_same_session(bill, press_pay, sandbox):
    first = press_pay(bill)
    assert first.status_code == 303
    assert first.url.startswith(sandbox.root)
    assert press_pay(bill).url == first.url
    assert len(books.payable_sessions(str(bill.uuid))) == 1


def test_pay_needs_the_token_of_the_form(bill, sandbox):
    response = Client(enforce_csrf_checks=True).post(address("checkout", bill))
    assert response.status_code == 403
    assert not bill.attempts.exists()


@override_settings(MIDDLEWARE=[])
def test_pay_is_protected_without_the_middleware_too(bill, press_pay, sandbox):
    response = Client(enforce_csrf_checks=True).post(address("checkout", bill))
    assert response.status_code == 403
    assert press_pay(bill).status_code == 303


def test_what_is_posted_changes_nothing_about_the_bill(bill, sandbox):
    sent = {
        "amount": "1",
        "amount_minor": "1",
        "success_url": "https://evil.example",
        "status": "paid",
    }
    response = Client().post(address("checkout", bill), sent)
    assert response.status_code == 303
    session = session_of(bill)
    assert session["amount_total"] == bill.amount_minor
    assert "evil" not in str(session)


@pytest.mark.parametrize("state", [each for each in STATES if each != "payable"])
def test_only_a_payable_bill_can_be_paid(bill_in, client, state):
    bill = bill_in(state)
    before = bill.attempts.count()
    response = client.post(address("checkout", bill))
    assert response.status_code in (409, 503)
    assert bill.attempts.count() == before
    assert address("checkout", bill) not in response.content.decode()


def test_stripe_down_says_so_and_the_next_press_pays(bill, press_pay, sandbox):
    with stripe_down():
        response = press_pay(bill)
    assert response.status_code == 503
    assert "cannot be reached" in text_of(response)
    assert "Nothing was charged" in text_of(response)
    assert "Pay €1,234.56" in text_of(response)
    assert press_pay(bill).status_code == 303
    assert len(books.payable_sessions(str(bill.uuid))) == 1


def test_a_key_that_nobody_can_open_is_no_error_page(bill, press_pay, sandbox):
    StripeConnection.objects.update(sealed_key="enc1:nonsense")
    response = press_pay(bill)
    assert response.status_code == 503
    assert "is being checked" in text_of(response)
    assert "<form" not in response.content.decode()


def test_an_unlinked_account_is_not_ready(bill, press_pay, client, connection):
    StripeConnection.objects.update(unlinked_at=timezone.now())
    assert "is being checked" in text_of(client.get(address("pay", bill)))
    assert client.post(address("checkout", bill)).status_code == 503


# --- Coming back ----------------------------------------------------------------------------


def test_paid_leads_to_the_success_url(bill, press_pay, client):
    press_pay(bill)
    session = session_of(bill)
    checkout.pay(session["id"])
    response = client.get(address("return", bill), {"session_id": session["id"]})
    assert response.status_code == 303
    assert response.url == "https://bakery.example/thanks"
    bill.refresh_from_db()
    assert bill.status == "paid"
    assert "Paid on" in text_of(client.get(address("pay", bill)))
    assert client.get(address("return", bill)).status_code == 303


def test_coming_back_unpaid_says_so_and_offers_no_second_payment(bill, press_pay, client):
    press_pay(bill)
    response = client.get(address("return", bill), {"session_id": session_of(bill)["id"]})
    assert response.status_code == 200
    assert "Stripe has not told us of a payment yet" in text_of(response)
    assert "<form" not in response.content.decode()
    bill.refresh_from_db()
    assert bill.status == "pending"


def test_processing_says_so(bill, press_pay, client):
    press_pay(bill)
    session = session_of(bill)
    checkout.pay_later(session["id"])
    response = client.get(address("return", bill), {"session_id": session["id"]})
    assert response.status_code == 200
    assert "Your payment is on its way" in text_of(response)
    assert "Your payment is on its way" in text_of(client.get(address("pay", bill)))


def test_coming_back_while_stripe_is_down_says_what_is_true(bill, press_pay, client):
    press_pay(bill)
    session = session_of(bill)
    checkout.pay(session["id"])
    with stripe_down():
        response = client.get(address("return", bill), {"session_id": session["id"]})
    assert response.status_code == 200
    assert "Stripe cannot be asked at the moment" in text_of(response)
    assert "<form" not in response.content.decode()
    again = client.get(address("return", bill), {"session_id": session["id"]})
    assert again.status_code == 303


@pytest.mark.parametrize(
    "session_id",
    ["", "cs_test_of_somebody_else", "x" * 5000, "cs_\0", "cs_test_1' OR 1=1", "../etc", "💥"],
)
def test_the_session_in_the_address_is_but_a_hint(bill, press_pay, client, session_id):
    press_pay(bill)
    checkout.pay(session_of(bill)["id"])
    response = client.get(address("return", bill), {"session_id": session_id})
    assert response.status_code == 303


def test_another_bills_session_pays_nothing(make_bill, press_pay, client):
    mine, other = make_bill(), make_bill()
    press_pay(mine)
    press_pay(other)
    paid = session_of(other)["id"]
    checkout.pay(paid)
    response = client.get(address("return", mine), {"session_id": paid})
    assert response.status_code == 200
    mine.refresh_from_db()
    assert mine.status == "pending"


def test_where_to_go_is_not_taken_from_the_address(bill, press_pay, client):
    press_pay(bill)
    checkout.pay(session_of(bill)["id"])
    response = client.get(
        address("return", bill), {"success_url": "https://evil.example", "next": "//evil.example"}
    )
    assert response.url == "https://bakery.example/thanks"


def test_expired_and_deleted_bills_say_so_on_the_return_page(make_bill, client):
    for status, words in (("expired", "has expired"), ("deleted", "was cancelled")):
        bill = make_bill(status=status, expires_at=timezone.now() - HOUR)
        assert words in text_of(client.get(address("return", bill)))


def test_late_money_is_found_by_the_return_page(bill, press_pay, client):
    press_pay(bill)
    session = session_of(bill)
    checkout.pay(session["id"])
    BillingRequest.objects.filter(pk=bill.pk).update(status="expired")
    CheckoutAttempt.objects.update(state="expired")
    response = client.get(address("return", bill), {"session_id": session["id"]})
    assert response.status_code == 303


def test_no_view_needs_the_connection_to_be_the_first(bill, press_pay, connected):
    """A second account changes nothing for bills of the first."""
    connect.unlink(connected, user=None)
    connect.connect_with_key(
        key="rk_test_another_0123456789",
        livemode=False,
        country="FR",
        privacy_policy_url="https://atelier.example/privacy",
        terms_url="https://atelier.example/terms",
        user=None,
    )
    response = Client().post(address("checkout", bill))
    assert response.status_code in (409, 503)


def edited(bill, amount_minor):
    BillingRequest.objects.filter(pk=bill.pk).update(
        amount_minor=amount_minor, amended_at=timezone.now(), amended_from_minor=bill.amount_minor
    )
    bill.refresh_from_db()


def test_an_amount_that_was_not_shown_is_not_paid(bill, press_pay, sandbox):
    """The page was open while the agency changed the bill."""
    client = Client(enforce_csrf_checks=True)
    page = client.get(address("pay", bill)).content.decode()
    seen = re.search(r'name="seen" value="([^"]+)"', page)[1]
    token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page)[1]
    edited(bill, 99900)
    sent = {"csrfmiddlewaretoken": token, "seen": seen}
    response = client.post(address("checkout", bill), sent)
    assert response.status_code == 409
    text = text_of(response)
    assert "The amount was changed after you had opened this page" in text
    assert "Pay €999.00" in text
    assert not bill.attempts.exists()
    again = re.search(r'name="seen" value="([^"]+)"', response.content.decode())[1]
    response = client.post(address("checkout", bill), {**sent, "seen": again})
    assert response.status_code == 303
    assert session_of(bill)["amount_total"] == 99900


def test_a_changed_amount_is_told_with_what_it_was(bill, sandbox):
    edited(bill, 99900)
    text = text_of(Client().get(address("pay", bill)))
    assert "The amount was changed on" in text


@pytest.mark.parametrize("seen", ["", "x", "1 EUR", "é" * 5000, "0\0"])
def test_hostile_values_of_what_was_seen(bill, sandbox, seen):
    response = Client().post(address("checkout", bill), {"seen": seen})
    assert response.status_code == (409 if seen else 303)
