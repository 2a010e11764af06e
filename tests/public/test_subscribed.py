"""What a link shows once a subscription has begun, and the way to card and cancellation."""

import re
from datetime import UTC, date, datetime, timedelta

import pytest
from django.test import Client, override_settings
from django.utils import timezone

from tests.public.conftest import address, give_back, pay, subscribe
from tests.public.test_pages import text_of
from wagtail_client_billing.models import LogEntry, StripeConnection, Subscription
from wagtail_client_billing.public import limits

JULY = datetime(2027, 7, 3, 12, tzinfo=UTC)
DAY = timedelta(days=1)
BUTTON = "Change card or cancel"


@pytest.fixture
def monthly(make_bill):
    return make_bill(billing_type="monthly", amount_minor=4900)


def shown(client, bill):
    response = client.get(address("pay", bill))
    assert response.status_code == 200
    return text_of(response)


# --- Before it begins -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"billing_type": "weekly"}, "Pay €49.00 now, then €49.00 every week."),
        ({"billing_type": "monthly"}, "Pay €49.00 now, then €49.00 every month."),
        ({"billing_type": "quarterly"}, "Pay €49.00 now, then €49.00 every three months."),
        ({"billing_type": "yearly"}, "Pay €49.00 now, then €49.00 every year."),
        (
            {"billing_type": "monthly", "ends_after": 12},
            "Pay €49.00 now, then €49.00 every month, for 12 payments in all.",
        ),
        (
            {"billing_type": "yearly", "ends_on": date(2030, 12, 31)},
            "Pay €49.00 now, then €49.00 every year, until December 31, 2030.",
        ),
    ],
)
def test_a_recurring_bill_says_what_it_commits_to(make_bill, client, given, words):
    ends = {name: given.pop(name) for name in list(given) if name.startswith("ends_")}
    bill = make_bill(amount_minor=4900, **given)
    for name, value in ends.items():
        setattr(bill, name, value)
    bill.save()
    page = client.get(address("pay", bill))
    assert words in text_of(page)
    assert "change your card or cancel" in text_of(page)
    button = re.search(r'<button class="wcb-button" type="submit">([^<]+)<', page.content.decode())
    assert button[1] == "Pay €49.00"


def test_one_payment_alone_promises_no_other(bill, client):
    text = shown(client, bill)
    for words in ("then", "every", "cancel"):
        assert words not in text, words


# --- While it goes on -----------------------------------------------------------------------


def test_an_active_one_names_the_next_charge(monthly, client):
    subscribe(monthly, current_period_end=JULY)
    text = shown(client, monthly)
    assert "Thank you, this bill is paid" in text
    assert "The next payment of €49.00 is charged on July 3, 2027." in text
    assert BUTTON in text
    assert "ends on" not in text


def test_one_that_is_cancelled_for_the_end_of_its_period(monthly, client):
    subscribe(monthly, current_period_end=JULY, cancel_at_period_end=True)
    text = shown(client, monthly)
    assert "Your subscription ends on July 3, 2027. You will not be charged again." in text
    assert "next payment" not in text
    assert BUTTON in text


def test_one_with_an_agreed_end_far_away_has_charges_before(monthly, client):
    subscribe(monthly, current_period_end=JULY, cancel_at=JULY + 300 * DAY)
    text = shown(client, monthly)
    assert "is charged on July 3, 2027." in text
    assert "Your subscription ends on April 28, 2028." in text
    assert "not be charged again" not in text


def test_the_last_period_of_an_agreed_end(monthly, client):
    subscribe(monthly, current_period_end=JULY, cancel_at=JULY - timedelta(hours=1))
    text = shown(client, monthly)
    assert "ends on July 3, 2027. You will not be charged again." in text
    assert "next payment" not in text


@pytest.mark.parametrize("status", ["past_due", "unpaid"])
def test_one_in_arrears_says_what_to_do(monthly, client, status):
    subscription = subscribe(monthly, status=status)
    failed(subscription, at=JULY)
    text = shown(client, monthly)
    assert "A payment did not go through" in text
    assert "Your payment of €49.00 did not go through on July 3, 2027." in text
    assert "change your card" in text
    assert "confirm" not in text
    assert "nothing left to do" not in text
    assert BUTTON in text


def test_one_whose_bank_waits_for_the_client(monthly, client):
    failed(subscribe(monthly, status="past_due"), at=JULY, needs_client=True)
    text = shown(client, monthly)
    assert "Your bank wants you to confirm it." in text
    assert BUTTON in text


def test_arrears_of_which_no_invoice_is_known(monthly, client):
    subscribe(monthly, status="past_due")
    assert "Your last payment of €49.00 did not go through." in shown(client, monthly)


def test_what_failed_once_is_no_news_when_it_is_paid(monthly, client):
    failed(subscribe(monthly, status="active"), at=JULY, needs_client=True)
    text = shown(client, monthly)
    assert "did not go through" not in text
    assert "confirm" not in text


def test_one_whose_bank_is_working_on_a_charge(monthly, client):
    working = "Your bank is working on a payment of €49.00, which can take several days."
    subscription = subscribe(monthly, current_period_end=JULY, renewal_processing_since=JULY)
    text = shown(client, monthly)
    assert working in text
    assert "is charged on July 3, 2027." in text
    Subscription.objects.filter(pk=subscription.pk).update(status="canceled", ended_at=JULY)
    text = shown(client, monthly)
    assert working in text
    assert "Nothing else will be charged." in text and "not be charged again" not in text
    Subscription.objects.filter(pk=subscription.pk).update(renewal_processing_since=None)
    text = shown(client, monthly)
    assert "bank" not in text and "You will not be charged again." in text


def test_one_that_has_ended(monthly, client):
    subscribe(monthly, status="canceled", ended_at=JULY, current_period_end=JULY + 9 * DAY)
    text = shown(client, monthly)
    assert "This subscription has ended" in text
    assert "It ended on July 3, 2027. You will not be charged again." in text
    assert "next payment" not in text
    assert BUTTON not in text
    assert "Receipt" in text


def test_the_one_that_goes_on_counts_and_not_one_that_never_began(monthly, client):
    subscribe(monthly, current_period_end=JULY)
    Subscription.objects.create(
        request=monthly,
        account_id=monthly.account_id,
        livemode=monthly.livemode,
        stripe_id="sub_second",
        status="incomplete_expired",
    )
    assert "is charged on July 3, 2027" in shown(client, monthly)


def test_a_recurring_bill_that_was_paid_by_hand_has_nothing_to_manage(monthly, client):
    pay(monthly, "by_hand_1", kind="by_hand")
    text = shown(client, monthly)
    assert "Thank you, this bill is paid" in text
    assert BUTTON not in text


def test_without_a_customer_there_is_no_button(monthly, client):
    subscribe(monthly, customer_id="")
    assert BUTTON not in shown(client, monthly)


def test_one_that_has_begun_can_be_cancelled_while_its_money_is_in_review(monthly, client):
    subscribe(monthly)
    monthly.payments.update(mismatch=True)
    type(monthly).objects.filter(pk=monthly.pk).update(
        status="pending", review_since=timezone.now(), review_reason="mismatch"
    )
    text = shown(client, monthly)
    assert "We have your payment" in text
    assert BUTTON in text


def failed(subscription, *, at, **evidence):
    LogEntry.objects.create(
        request=subscription.request,
        action=LogEntry.Action.RENEWAL_FAILED,
        cause=LogEntry.Cause.WEBHOOK,
        at=at,
        evidence={"subscription": subscription.stripe_id, "invoice": "in_open", **evidence},
    )


# --- To the page where card and cancellation are --------------------------------------------


def press(bill, client=None, **meanwhile):
    """What a browser does: opens the page, then posts its form, with CSRF enforced.

    ``meanwhile`` is what becomes of the account between the two.
    """
    client = client or Client(enforce_csrf_checks=True)
    page = client.get(address("pay", bill)).content.decode()
    token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page)
    action = re.search(r'<form[^>]* action="([^"]+)"', page)
    assert token and action, page
    assert action[1] == address("portal", bill)
    if meanwhile:
        StripeConnection.objects.update(**meanwhile)
    return client.post(action[1], {"csrfmiddlewaretoken": token[1]})


def test_without_the_forms_token_nothing_is_opened(monthly):
    subscribe(monthly)
    client = Client(enforce_csrf_checks=True)
    assert client.post(address("portal", monthly)).status_code == 403


@override_settings(MIDDLEWARE=[])
def test_it_is_protected_without_the_middleware_too(monthly):
    subscribe(monthly)
    client = Client(enforce_csrf_checks=True)
    assert client.post(address("portal", monthly)).status_code == 403
    assert press(monthly, client, broken_at=timezone.now()).status_code == 503


@pytest.mark.parametrize("token", ["x", "C" * 43, "%00" * 20, "A" * 5000], ids=range(4))
def test_unknown_tokens_show_the_one_page(db, client, token):
    response = client.post(f"/billing/pay/{token}/portal/")
    assert response.status_code == 404
    assert "There is no bill at this address" in text_of(response)


def test_an_account_that_is_no_longer_connected(monthly):
    subscribe(monthly)
    response = press(monthly, broken_at=timezone.now(), broken_why="revoked")
    assert response.status_code == 503
    assert "cannot be changed here at the moment. Nothing was changed." in text_of(response)
    assert BUTTON not in text_of(response)


def test_a_key_that_nobody_can_open(monthly, sandbox):
    subscribe(monthly)
    StripeConnection.objects.update(sealed_key="enc1:nonsense")
    response = press(monthly)
    assert response.status_code == 503
    assert "Nothing was changed" in text_of(response)


def test_stripe_down(monthly, settings):
    subscribe(monthly)
    settings.WAGTAIL_CLIENT_BILLING = {
        **settings.WAGTAIL_CLIENT_BILLING,
        "STRIPE_API_BASE": "http://127.0.0.1:9",
    }
    response = press(monthly)
    assert response.status_code == 503
    assert "cannot be reached at the moment. Nothing was changed." in text_of(response)
    assert BUTTON in text_of(response)


def test_one_that_has_ended_meanwhile(monthly):
    subscription = subscribe(monthly)
    client = Client()
    client.get(address("pay", monthly))
    subscription.status = "canceled"
    subscription.save()
    response = client.post(address("portal", monthly))
    assert response.status_code == 409
    assert "There is nothing left to change or to cancel." in text_of(response)
    assert "This subscription has ended" in text_of(response)


def test_a_bill_without_a_subscription(bill, client):
    response = client.post(address("portal", bill))
    assert response.status_code == 409
    assert "nothing left to change" in text_of(response)


def test_pressing_again_and_again_is_slowed_down(monthly, monkeypatch):
    monkeypatch.setattr(limits, "PORTAL", limits.Limit("portal", 1))
    subscribe(monthly)
    StripeConnection.objects.update(broken_at=timezone.now(), broken_why="revoked")
    client = Client()
    assert client.post(address("portal", monthly)).status_code == 503
    response = client.post(address("portal", monthly))
    assert response.status_code == 429
    assert int(response.headers["Retry-After"]) > 0
    assert "many times" in text_of(response)


def test_a_copy_of_production_opens_nothing(monthly):
    subscribe(monthly)
    response = press(monthly, host="production.example")
    assert response.status_code == 503
    assert "Nothing was changed" in text_of(response)


# --- In another language --------------------------------------------------------------------


def prose(client, bill, language):
    """The lines of a page that have words in them, without names and addresses."""
    type(bill).objects.filter(pk=bill.pk).update(language=language)
    page = client.get(address("pay", bill)).content.decode()
    lines = {" ".join(line.split()) for line in re.split(r"<[^>]+>", page)}
    return {line for line in lines if " " in line and not re.search("Atelier|Bakery|Homep", line)}


@pytest.mark.parametrize(
    ("facts", "told"),
    [
        ({}, {}),
        ({"cancel_at": JULY + 300 * DAY}, {}),
        ({"cancel_at_period_end": True}, {}),
        ({"status": "past_due"}, None),
        ({"status": "past_due"}, {}),
        ({"status": "past_due"}, {"needs_client": True}),
        ({"status": "canceled", "ended_at": JULY}, {}),
    ],
)
def test_every_standing_in_french(monthly, client, facts, told):
    subscription = subscribe(monthly, current_period_end=JULY, **facts)
    give_back(monthly.payments.get(), 100)
    if told is not None:
        failed(subscription, at=JULY, **told)
    assert prose(client, monthly, "en") & prose(client, monthly, "fr") == set()


@pytest.mark.parametrize("ends", [{}, {"ends_after": 3}, {"ends_on": date(2030, 12, 31)}])
def test_a_recurring_bill_in_french(monthly, client, ends):
    type(monthly).objects.filter(pk=monthly.pk).update(**ends)
    assert prose(client, monthly, "en") & prose(client, monthly, "fr") == set()
