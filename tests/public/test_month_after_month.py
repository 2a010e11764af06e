"""A subscription and its money, from the first press to the end, with the sandbox as Stripe."""

import re

import pytest
import requests
from django.test import Client
from django.utils import timezone

from tests.public.conftest import address
from tests.public.test_pages import text_of
from tests.public.test_paying import session_of, stripe_down
from tests.public.test_subscribed import BUTTON, press, shown
from wagtail_client_billing.gateway.reconcile import reconcile
from wagtail_client_billing.gateway.refunds import refund_payment
from wagtail_client_billing.mail.compose import compose
from wagtail_client_billing.mail.moments import day
from wagtail_client_billing.mail.obsolete import is_obsolete
from wagtail_client_billing.models import EmailDelivery, LogEntry
from wagtail_client_billing.sandbox import books, checkout, clock, portal, refunds

Kind = EmailDelivery.Kind
State = EmailDelivery.State


@pytest.fixture
def connection(connected):
    return connected


@pytest.fixture
def monthly(make_bill, press_pay, client):
    """A monthly bill whose first payment has come, and its client is back."""
    bill = make_bill(billing_type="monthly", amount_minor=4900)
    press_pay(bill)
    session = session_of(bill)
    checkout.pay(session["id"])
    response = client.get(address("return", bill), {"session_id": session["id"]})
    assert (response.status_code, response.url) == (303, bill.success_url)
    return bill


def look_again(bill):
    reconcile(bill.pk, cause=LogEntry.Cause.SWEEP, payments=None)


def at_stripe():
    (subscription,) = books.subscriptions()
    return subscription


def mail_of(bill, kind):
    return EmailDelivery.objects.get(request_id=bill.pk, kind=kind)


def receipts_on(page):
    return re.findall(r'href="([^"]+/receipt/\d+/)"', page.content.decode())


def test_the_first_payment(monthly, client):
    text = shown(client, monthly)
    due = day(monthly.subscriptions.get().current_period_end).text
    assert f"The next payment of €49.00 is charged on {due}." in text
    (link,) = receipts_on(client.get(address("pay", monthly)))
    receipt = text_of(client.get(link))
    assert f"Period {day(timezone.now()).text} to {due}" in receipt
    assert "card ending in 4242" in receipt
    assert link in compose(mail_of(monthly, Kind.RECEIPT)).body


def test_cancelling_at_stripe(monthly, client):
    assert press(monthly).status_code == 303
    portal.cancel_at_period_end(at_stripe()["id"])
    look_again(monthly)
    text = shown(client, monthly)
    assert "You will not be charged again." in text
    assert BUTTON in text
    message = compose(mail_of(monthly, Kind.AGENCY_CANCELED))
    assert "The client will not be charged again." in message.body
    clock.advance_months()
    look_again(monthly)
    assert "This subscription has ended" in shown(client, monthly)
    assert "Your subscription ended on" in compose(mail_of(monthly, Kind.CANCELED)).body
    assert monthly.payments.count() == 1
    assert Client().post(address("portal", monthly)).status_code == 409


def test_the_portal_is_that_of_this_client(monthly):
    page = requests.get(press(monthly).url, timeout=20).text
    assert "€49.00 every month" in page
    assert address("pay", monthly) in page


def test_a_renewal_has_its_receipt(monthly, client):
    clock.advance_months()
    look_again(monthly)
    links = receipts_on(client.get(address("pay", monthly)))
    assert len(links) == 2
    assert links[0] in compose(mail_of(monthly, Kind.RENEWAL_RECEIPT)).body


def test_a_card_that_fails_and_another_one(monthly, client):
    portal.update_card(at_stripe()["id"], "declines")
    clock.advance_months()
    look_again(monthly)
    assert "A payment did not go through" in shown(client, monthly)
    failed = mail_of(monthly, Kind.RENEWAL_FAILED)
    assert "change your card, and pay the invoice" in compose(failed).body
    assert not is_obsolete(failed)
    portal.update_card(at_stripe()["id"], "works")
    look_again(monthly)
    assert "Thank you, this bill is paid" in shown(client, monthly)
    assert is_obsolete(mail_of(monthly, Kind.RENEWAL_FAILED))
    assert is_obsolete(mail_of(monthly, Kind.AGENCY_RENEWAL))
    assert not is_obsolete(mail_of(monthly, Kind.RENEWAL_RECEIPT))


def test_a_bank_that_asks_its_client(monthly, client):
    portal.update_card(at_stripe()["id"], "asks")
    clock.advance_months()
    look_again(monthly)
    assert "Your bank wants you to confirm it." in shown(client, monthly)
    assert "please confirm" in compose(mail_of(monthly, Kind.RENEWAL_FAILED)).subject


def test_money_that_goes_back(monthly, client):
    refund_payment(monthly.payments.get().pk, amount_minor=1000, user=None)
    page = client.get(address("pay", monthly))
    assert "€10.00 refunded on" in text_of(page)
    (link,) = receipts_on(page)
    assert "Paid after refunds: €39.00" in text_of(client.get(link))
    assert "a refund of €10.00" in compose(mail_of(monthly, Kind.REFUNDED)).subject


def test_money_that_does_not_arrive(monthly, client):
    refund = refund_payment(monthly.payments.get().pk, amount_minor=1000, user=None)
    refunds.fail(refund.stripe_id)
    look_again(monthly)
    assert "refunded" not in shown(client, monthly)
    assert is_obsolete(mail_of(monthly, Kind.REFUNDED))
    message = compose(mail_of(monthly, Kind.AGENCY_REFUND))
    assert "card has expired or was cancelled" in message.body


def test_stripe_down_changes_nothing_and_the_next_press_leads_on(monthly):
    with stripe_down():
        response = press(monthly)
    assert response.status_code == 503
    assert "Nothing was changed" in text_of(response)
    assert press(monthly).status_code == 303
