"""The subscription card, and ending or keeping a subscription, against the sandbox."""

import re
from datetime import timedelta

import pytest
from django.contrib.messages import get_messages
from django.utils import timezone
from django.utils.formats import date_format

from tests.fixtures import grant
from wagtail_client_billing.models import BillingRequest, Payment, Subscription, SubscriptionChange

PAGES = ["cancel_now", "cancel_later", "keep"]


@pytest.fixture
def bill(paid):
    return paid(billing_type="monthly", amount_minor=4900)


@pytest.fixture
def subscription(bill):
    return bill.subscriptions.get()


@pytest.fixture
def urls(bill, subscription, admin_url):
    return {name: admin_url(name, bill.pk, subscription.pk) for name in PAGES}


@pytest.fixture
def detail(bill, alice, client_for, admin_url):
    def show(user=alice):
        return client_for(user).get(admin_url("inspect", bill.pk)).content.decode()

    return show


def said(response):
    return " ".join(str(message) for message in get_messages(response.wsgi_request))


def day(moment):
    return date_format(timezone.localtime(moment), "DATE_FORMAT")


def card(page):
    return re.search(r'<section aria-labelledby="wcb-subscription-.*?</section>', page, re.S)[0]


def test_the_card_of_one_that_goes_on(subscription, urls, detail, alice, client_for, admin_url):
    text = card(detail())
    next_charge = day(subscription.current_period_end)
    assert f"Next charge: €49.00 on {next_charge}." in text
    assert ">Active<" in text
    assert urls["cancel_now"] in text
    assert urls["cancel_later"] in text
    assert urls["keep"] not in text
    assert f"/test/subscriptions/{subscription.stripe_id}" in text
    assert "First payment" in detail()
    listed = client_for(alice).get(admin_url("index"), {"badge": "subscribed"})
    assert "Subscription active" in listed.content.decode()
    assert len(listed.context["object_list"]) == 1


def test_the_card_says_that_a_bank_is_working_on_a_charge(subscription, detail):
    assert "bank" not in card(detail())
    Subscription.objects.update(renewal_processing_since=timezone.now() - timedelta(days=2))
    since = day(timezone.now() - timedelta(days=2))
    working = f"bank has been working on a charge since {since}."
    assert working in card(detail())
    Subscription.objects.update(status="canceled", ended_at=timezone.now())
    assert working in card(detail()) and "Nothing else is charged." in card(detail())


def test_cancel_at_the_end_of_the_period_and_keep(
    bill, subscription, urls, detail, post, alice, client_for, admin_url
):
    end = day(subscription.current_period_end)
    page = client_for(alice).get(urls["cancel_later"]).content.decode()
    assert f"runs until {end}" in page
    response = post(urls["cancel_later"])
    assert response["Location"] == admin_url("inspect", bill.pk)
    assert f"ends on {end}" in said(response)
    text = card(detail())
    assert f"Ends on {end}" in text
    assert "Nothing more is charged." in text
    assert urls["cancel_later"] not in text
    assert f"Subscription will end on {end}" in detail()
    listed = client_for(alice).get(admin_url("index"), {"badge": "ends"})
    assert f"Ends on {end}" in listed.content.decode()
    # Pressed twice is the same news.
    assert f"ends on {end}" in said(post(urls["cancel_later"]))
    assert SubscriptionChange.objects.count() == 1

    page = client_for(alice).get(urls["keep"]).content.decode()
    assert f"is charged €49.00 on {end}" in page
    assert "goes on" in said(post(urls["keep"]))
    subscription.refresh_from_db()
    assert not subscription.is_ending
    assert "Subscription goes on" in detail()
    assert "goes on" in said(post(urls["keep"]))


def test_cancel_now(bill, subscription, urls, detail, post, alice, client_for, admin_url, world):
    page = client_for(alice).get(urls["cancel_now"])
    assert "ends at once" in page.content.decode()
    assert "has ended" in said(post(urls["cancel_now"], page=page))
    assert "has ended" in said(post(urls["cancel_now"], page=page))
    assert len(world.events("customer.subscription.deleted")) == 1
    subscription.refresh_from_db()
    assert subscription.status == "canceled"
    text = card(detail())
    assert f"Ended on {day(subscription.ended_at)}" in text
    assert not any(url in text for url in urls.values())
    for name in ("cancel_later", "keep"):
        page = client_for(alice).get(urls[name]).content.decode()
        assert "has ended" in page
        assert 'method="post"' not in re.search(r"<main.*", page, re.S)[0]
    listed = client_for(alice).get(admin_url("index"), {"badge": "ended"})
    assert "Subscription ended" in listed.content.decode()


def test_while_stripe_is_down_the_change_waits(
    subscription, urls, detail, post, world, alice, client_for
):
    world.down()
    assert "waits for Stripe" in said(post(urls["cancel_now"]))
    text = card(detail())
    assert "“Cancel now” waits for Stripe" in text
    # It is under way: nothing else can be asked for.
    assert not any(url in text for url in urls.values())
    later = client_for(alice).get(urls["cancel_later"]).content.decode()
    assert "is under way" in later
    world.up()


def test_a_refused_change_is_told(bill, subscription, urls, detail, post):
    stripe_id = subscription.stripe_id
    Subscription.objects.update(stripe_id="sub_gone")
    assert "Stripe refused, and the subscription is as it was" in said(post(urls["cancel_later"]))
    assert "Stripe refused “Cancel at the end of the period”" in card(detail())
    assert "Stripe refused “Cancel at the end of the period”" in detail()
    Subscription.objects.update(stripe_id=stripe_id)


def test_an_agreed_end_is_said_to_be_confirmed_or_not(
    paid, alice, client_for, admin_url, world, post
):
    bill = paid(billing_type="monthly", ends_after=3)
    client = client_for(alice)
    url = admin_url("inspect", bill.pk)
    assert "3 payments in all" in client.get(url).content.decode()
    change = SubscriptionChange.objects.get()
    assert change.kind == "set_end"
    if change.state == "asking":
        text = card(client.get(url).content.decode())
        assert "The agreed end (3 payments in all) waits to be confirmed by Stripe." in text
        from wagtail_client_billing.gateway.subscription_changes import finish_change

        finish_change(change.pk)
    text = card(client.get(url).content.decode())
    assert "The agreed end (3 payments in all) is confirmed by Stripe." in text
    subscription = bill.subscriptions.get()
    assert f"Ends on {day(subscription.cancel_at)}" in text
    assert f"on {day(subscription.current_period_end)}." in text
    keep = admin_url("keep", bill.pk, subscription.pk)
    assert "The end that was agreed is dropped" in client.get(keep).content.decode()
    assert "goes on" in said(post(keep))
    assert "is confirmed" not in client.get(url).content.decode()


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ("past_due", "Stripe tries it again"),
        ("unpaid", "Stripe no longer tries"),
        ("paused", "Paused"),
        ("incomplete_expired", "Ended"),
    ],
)
def test_states_in_words(status, words, subscription, detail, alice, client_for, admin_url):
    Subscription.objects.update(status=status)
    assert words in card(detail())
    arrears = client_for(alice).get(admin_url("index"), {"badge": "past_due"})
    assert len(arrears.context["object_list"]) == (status in Subscription.IN_ARREARS)


def test_other_subscriptions_do_not_exist(
    bill, subscription, paid, site_b, alice, boss, client_for, admin_url
):
    of_b = paid(site_b, billing_type="weekly")
    theirs = of_b.subscriptions.get()
    for name in PAGES:
        for user, args in [
            (alice, (of_b.pk, theirs.pk)),
            (alice, (bill.pk, theirs.pk)),
            (boss, (bill.pk, theirs.pk)),
            (boss, (bill.pk, 10**15)),
        ]:
            client = client_for(user)
            assert client.get(admin_url(name, *args)).status_code == 404
            assert client.post(admin_url(name, *args)).status_code == 404
    assert not SubscriptionChange.objects.exists()


def test_rights(subscription, urls, detail, carol, alice, site_a, client_for):
    grant(carol.groups.get(), site_a, BillingRequest, "refund_billingrequest")
    text = card(detail(carol))
    for url in urls.values():
        assert url not in text
        client = client_for(carol)
        assert client.get(url).status_code == client.post(url).status_code == 302
        assert client_for(alice, enforce_csrf_checks=True).post(url).status_code == 403
    assert not SubscriptionChange.objects.exists()


def test_the_newest_payment_comes_first(bill, subscription, detail):
    for months in (2, 3, 1):
        Payment.objects.create(
            request=bill,
            subscription=subscription,
            kind="renewal",
            account_id=bill.account_id,
            livemode=False,
            source=f"in_month_{months}",
            amount_minor=4900,
            currency="EUR",
            received_at=timezone.now() + timedelta(days=30 * months),
        )
    first = bill.payments.get(kind="first").source
    shown = re.findall(rf"<code[^>]*>(in_month_\d|{first})<", detail())
    assert shown == ["in_month_3", "in_month_2", "in_month_1", first]


def test_no_query_a_renewal(bill, subscription, alice, client_for, admin_url):
    from tests.admin.money_moved import pay
    from tests.counting import counted

    client = client_for(alice)

    def queries():
        with counted() as found:
            client.get(admin_url("inspect", bill.pk))
        return found.queries

    pay(bill, kind="renewal", intent_id="pi_r")
    queries()
    few = queries()
    for n in range(10):
        now = timezone.now()
        pay(
            bill,
            kind="renewal",
            intent_id=f"pi_r{n}",
            period_start=now,
            period_end=now + timedelta(days=30),
        )
    assert queries() == few


def test_nothing_is_asked_of_an_account_that_is_unlinked(
    bill, subscription, connection, urls, detail, post, alice, client_for
):
    page = client_for(alice).get(urls["cancel_now"])
    connection.unlinked_at = timezone.now()
    connection.save()
    text = card(detail())
    assert "is not seen here until the account is linked again" in text
    assert not any(url in text for url in urls.values())
    assert "cannot be used from here" in client_for(alice).get(urls["cancel_now"]).content.decode()
    assert "cannot be used from here" in said(post(urls["cancel_now"], page=page))
    assert not SubscriptionChange.objects.exists()
