"""Giving a payment back from the admin: how much, what is said of it, and never twice."""

import re
import threading
import time
from datetime import timedelta

import pytest
import time_machine
from django.contrib.messages import get_messages
from django.db import connection as database
from django.utils import timezone

from tests.admin.money_moved import pay
from tests.fixtures import grant
from wagtail_client_billing.gateway.sweeping import sweep_stripe
from wagtail_client_billing.models import BillingRequest, LogEntry, Payment, Refund
from wagtail_client_billing.sandbox import disputes, refunds


@pytest.fixture
def bill(paid):
    return paid()


@pytest.fixture
def url(bill, admin_url):
    return admin_url("refund", bill.pk, bill.payments.get().pk)


def said(response):
    return " ".join(str(message) for message in get_messages(response.wsgi_request))


@pytest.mark.parametrize(("deleted", "word"), [(False, "had expired on"), (True, "had deleted")])
def test_late_money_says_so_and_is_a_click_from_going_back(
    deleted, word, bill, url, alice, client_for, admin_url
):
    client = client_for(alice)
    assert word not in client.get(admin_url("inspect", bill.pk)).content.decode()
    at = timezone.now() if deleted else None
    BillingRequest.objects.filter(pk=bill.pk).update(paid_late=True, deleted_at=at)
    page = client.get(admin_url("inspect", bill.pk)).content.decode()
    assert word in page
    assert re.search(rf'<a class="button[^"]*" href="{url}">Refund €1,234.56</a>', page)
    BillingRequest.objects.filter(pk=bill.pk).update(review_since=timezone.now())
    assert word not in client.get(admin_url("inspect", bill.pk)).content.decode()


def test_the_only_payment_that_can_go_back_has_its_button_at_the_top(
    bill, url, alice, client_for, admin_url
):
    head = re.compile(rf'wcb-head__buttons.*?href="{url}">Refund</a>.*?</header>', re.DOTALL)
    client = client_for(alice)
    assert head.search(client.get(admin_url("inspect", bill.pk)).content.decode())
    Refund.objects.create(
        payment=bill.payments.get(), amount_minor=123456, currency="EUR", state="succeeded"
    )
    assert not head.search(client.get(admin_url("inspect", bill.pk)).content.decode())


def test_all_that_is_left_is_offered_and_given_back(bill, url, post, alice, client_for, admin_url):
    client = client_for(alice)
    detail = client.get(admin_url("inspect", bill.pk)).content.decode()
    assert url in detail
    page = client.get(url).content.decode()
    for shown in ('value="1234.56"', "Amount in EUR", "At most €1,234.56", bill.email):
        assert shown in page, shown
    response = post(url, reason="Goodwill é 👍")
    assert response["Location"] == admin_url("inspect", bill.pk)
    assert "€1,234.56 was refunded to" in said(response)
    refund = Refund.objects.get()
    assert (refund.state, refund.amount_minor, refund.reason) == (
        "succeeded",
        123456,
        "Goodwill é 👍",
    )
    assert refund.created_by == alice
    text = client.get(admin_url("inspect", bill.pk)).content.decode()
    for told in (
        "Refund of €1,234.56 started",
        "€1,234.56 refunded",
        "Refunded: €1,234.56",
        "Goodwill é 👍",
        refund.stripe_id,
        ">Refunded<",
    ):
        assert told in text, told
    # Nothing is left, so nothing is offered.
    assert url not in text
    over = client.get(url).content.decode()
    assert "all of it was refunded" in over
    assert 'name="amount"' not in over


def test_a_part_of_it_and_then_the_rest(bill, url, post, alice, client_for, admin_url):
    assert "€34.56 was refunded" in said(post(url, amount="34.56"))
    client = client_for(alice)
    page = client.get(url).content.decode()
    assert 'value="1200.00"' in page
    assert "€34.56 of it was refunded before" in page
    text = client.get(admin_url("inspect", bill.pk)).content.decode()
    assert "Partly refunded" in text
    post(url)
    payment = bill.payments.get()
    assert (payment.refunded_minor, payment.refundable_minor) == (123456, 0)


@pytest.mark.parametrize(
    ("typed", "field"),
    [
        ({"amount": "1234.57"}, "amount"),
        ({"amount": "-5"}, "amount"),
        ({"amount": "0"}, "amount"),
        ({"amount": ""}, "amount"),
        ({"amount": "12,3"}, "amount"),
        ({"amount": "1.005"}, "amount"),
        ({"amount": "9" * 40}, "amount"),
        ({"amount": "9" * 1_000_000}, "amount"),
        ({"amount": "1e3"}, "amount"),
        ({"amount": "\0"}, "amount"),
        ({"reason": "two\nlines"}, "reason"),
        ({"reason": "x" * 251}, "reason"),
        ({"reason": "x" * 1_000_000}, "reason"),
        ({"reason": "nul \0"}, "reason"),
    ],
)
def test_bad_input_is_told_beside_its_field_and_loses_nothing(url, post, typed, field):
    response = post(url, **{"reason": "kept é 👍 שלום", **typed})
    assert response.status_code == 200
    assert list(response.context["form"].errors) == [field]
    if field != "reason":
        assert "kept é 👍 שלום" in response.content.decode()
    assert not Refund.objects.exists()


def test_an_amount_that_can_be_read_in_two_ways_is_asked_about(url, post):
    response = post(url, amount="1,234")
    assert "can be read in two ways" in response.content.decode()
    assert not Refund.objects.exists()
    (doubt,) = response.context["form"].doubts
    post(url, amount="1,234", **{doubt.name: doubt.confirms})
    assert Refund.objects.get().amount_minor == 123400


def test_pressed_twice_it_is_refunded_once(bill, url, post, alice, client_for, world):
    page = client_for(alice).get(url)
    first = post(url, page=page, amount="100")
    again = post(url, page=page, amount="100")
    assert said(first) == said(again) == said(post(url, page=page, amount="5"))
    assert Refund.objects.get().amount_minor == 10000
    assert len(world.events("refund.created")) == 1
    # Also when nothing is left by then.
    page = client_for(alice).get(url)
    assert "was refunded" in said(post(url, page=page))
    assert "was refunded" in said(post(url, page=page))
    assert Refund.objects.count() == 2


def test_of_two_people_the_second_is_told(url, post, boss, client_for):
    page = client_for(boss).get(url)
    post(url, amount="100")
    response = post(url, user=boss, page=page, amount="100", reason="Mine")
    text = response.content.decode()
    assert "This payment was changed meanwhile, and €1,134.56 is left of it." in text
    assert 'value="Mine"' in text
    assert Refund.objects.count() == 1
    # Now it was shown: pressing once more is a decision.
    assert "was refunded" in said(post(url, user=boss, page=response, amount="100"))
    assert Refund.objects.count() == 2


@pytest.mark.parametrize("forged", ["", "x", "é", "0" * 1_000_000], ids=len)
@pytest.mark.parametrize("name", ["shown", "once"])
def test_forged_fingerprints_refund_nothing(name, forged, url, post):
    response = post(url, **{name: forged})
    assert response.status_code == 200
    assert "changed meanwhile" in response.content.decode()
    assert not Refund.objects.exists()


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
def test_twice_at_once_is_once(url, post, alice, client_for, world):
    page = client_for(alice).get(url)
    answers = []

    def press():
        try:
            answers.append(post(url, page=page, amount="1000").status_code)
        finally:
            database.close()

    threads = [threading.Thread(target=press) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [302, 302]
    assert Refund.objects.get().amount_minor == 100000
    assert len(world.events("refund.created")) == 1


def test_while_stripe_is_down_it_waits_and_the_sweep_goes_on(bill, url, post, world):
    world.down()
    response = post(url, amount="100")
    assert "The refund of €100.00 waits for Stripe" in said(response)
    refund = Refund.objects.get()
    assert refund.state == "creating"
    world.up()
    Refund.objects.update(asked_at=None)
    with time_machine.travel(timezone.now() + timedelta(minutes=5)):
        sweep_stripe(time.monotonic() + 30)
    refund.refresh_from_db()
    assert refund.state == "succeeded"
    # The page that was shown tells of it too.
    assert LogEntry.objects.filter(action="refunded").count() == 1


def test_slow_refunds_are_said_to_be_on_their_way(url, post):
    refunds.be_slow()
    try:
        assert "€1,234.56 is on its way back" in said(post(url))
    finally:
        refunds.be_slow(False)


def test_what_stripe_refuses_is_told_with_its_reason_and_loses_nothing(
    bill, url, post, alice, client_for, admin_url
):
    intent = bill.payments.get().intent_id
    refunds.from_dashboard(intent, 123000)
    response = post(url, amount="100", reason="Kept")
    assert response.status_code == 200
    text = response.content.decode()
    assert "Stripe refused to refund €100.00, and nothing was given back:" in text
    assert 'value="Kept"' in text
    assert Refund.objects.get(reason="Kept").state == "refused"
    detail = client_for(alice).get(admin_url("inspect", bill.pk)).content.decode()
    assert "Refund of €100.00 failed" in detail
    # Stripe was asked what is left, and that is offered.
    assert "At most €4.56" in client_for(alice).get(url).content.decode()
    assert "€4.56 was refunded" in said(post(url, page=response, amount="4.56"))


def test_a_disputed_payment_says_so(bill, url, alice, client_for, admin_url):
    disputes.open(bill.payments.get().intent_id)
    client = client_for(alice)
    assert "is disputed" not in client.get(url).content.decode()
    client.post(admin_url("check", bill.pk))
    assert "This payment is disputed" in client.get(url).content.decode()


def test_what_did_not_come_through_stripe_is_not_offered(
    site_a, connected_test, make_request, alice, client_for, admin_url
):
    request = make_request(site_a, connected_test)
    by_hand = pay(request, kind="by_hand", intent_id="")
    nameless = pay(request, intent_id="")
    taken_back = pay(request, intent_id="pi_x", taken_back_at=request.created_at)
    client = client_for(alice, enforce_csrf_checks=True)
    detail = client.get(admin_url("inspect", request.pk)).content.decode()
    for payment, words in [
        (by_hand, "the way it came"),
        (nameless, "no payment that could be refunded"),
        (taken_back, "no payment that could be refunded"),
    ]:
        url = admin_url("refund", request.pk, payment.pk)
        assert url not in detail
        page = client.get(url)
        assert words in page.content.decode()
        sent = {"csrfmiddlewaretoken": str(page.context["csrf_token"]), "amount": "1"}
        assert words in client.post(url, sent).content.decode()
    assert not Refund.objects.exists()


def test_other_requests_payments_and_other_sites_do_not_exist(
    bill, paid, site_b, alice, boss, client_for, admin_url
):
    other, of_b = paid(), paid(site_b)
    mine, theirs = other.payments.get(), of_b.payments.get()
    for user, args in [
        (alice, (bill.pk, mine.pk)),
        (alice, (of_b.pk, theirs.pk)),
        (alice, (bill.pk, theirs.pk)),
        (alice, (bill.pk, 10**15)),
        (boss, (bill.pk, theirs.pk)),
    ]:
        client = client_for(user)
        assert client.get(admin_url("refund", *args)).status_code == 404
        assert client.post(admin_url("refund", *args), {"amount": "1"}).status_code == 404
    assert client_for(boss).get(admin_url("refund", of_b.pk, theirs.pk)).status_code == 200
    assert not Refund.objects.exists()


def test_it_takes_the_right_and_a_token(bill, url, carol, site_a, alice, client_for, admin_url):
    grant(carol.groups.get(), site_a, BillingRequest, "change_billingrequest")
    client = client_for(carol)
    assert client.get(url).status_code == 302
    assert client.post(url, {"amount": "1"}).status_code == 302
    assert url not in client.get(admin_url("inspect", bill.pk)).content.decode()
    assert client_for(alice, enforce_csrf_checks=True).post(url).status_code == 403
    assert not Refund.objects.exists()


def test_the_amount_is_said_back_to_those_who_refund(
    carol, site_a, bill, url, client_for, admin_url
):
    grant(carol.groups.get(), site_a, BillingRequest, "refund_billingrequest")
    client = client_for(carol)
    page = client.get(url)
    assert "<strong>€1,234.56</strong>" in page.content.decode()
    form = page.context["form"]
    sent = {field.html_name: field.value() or "" for field in form} | {"amount": "12.5"}
    answer = client.post(admin_url("said_back"), sent).content.decode()
    assert "<strong>€12.50</strong>" in answer


def test_the_rows_menu_leads_there_where_there_is_one_way(
    bill, url, alice, boss, client_for, admin_url, site_url, site_a, post
):
    for page in (admin_url("index"), site_url(site_a)):
        assert url in client_for(alice).get(page).content.decode()
    second = pay(bill, intent_id="pi_second")
    text = client_for(alice).get(admin_url("index")).content.decode()
    assert not re.search(rf"{bill.pk}/refund/", text)
    second.delete()
    post(url)
    assert url not in client_for(alice).get(admin_url("index")).content.decode()


def test_the_second_subscription_goes_with_its_money(
    world, paid, site_a, post, admin_url, alice, client_for
):
    bill = paid(billing_type="monthly")
    subscription = bill.subscriptions.get()
    payment = bill.payments.get()
    url = admin_url("refund", bill.pk, payment.pk)
    assert "The subscription goes on" in client_for(alice).get(url).content.decode()
    Payment.objects.update(duplicate=True)
    assert "is cancelled along with it" in client_for(alice).get(url).content.decode()
    post(url)
    subscription.refresh_from_db()
    assert subscription.has_ended


def test_refunds_made_at_stripe_show_up_after_a_check(bill, alice, client_for, admin_url):
    refunds.from_dashboard(bill.payments.get().intent_id, 1000)
    client = client_for(alice)
    response = client.post(admin_url("check", bill.pk))
    assert "Stripe had news of" in said(response)
    assert "Refunded: €10.00" in client.get(admin_url("inspect", bill.pk)).content.decode()


def test_rule_7_money_moves_where_every_request_is_a_transaction(
    bill, url, paid, post, admin_url, monkeypatch
):
    recurring = paid(billing_type="monthly")
    subscription = recurring.subscriptions.get()
    monkeypatch.setitem(database.settings_dict, "ATOMIC_REQUESTS", True)
    assert "was refunded" in said(post(url, amount="1"))
    for name, words in (
        ("cancel_later", "ends on"),
        ("keep", "goes on"),
        ("cancel_now", "has ended"),
    ):
        assert words in said(post(admin_url(name, recurring.pk, subscription.pk)))
