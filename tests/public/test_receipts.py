"""Receipts: for whom, of what, and what stands on them."""

from datetime import UTC, datetime, timedelta

import pytest
from django.test import override_settings
from django.utils import timezone

from tests.public.conftest import address, give_back, pay, subscribe
from tests.public.test_pages import text_of
from wagtail_client_billing.models import BillingRequest, SiteBillingSettings

JUNE = datetime(2027, 6, 3, 12, 5, tzinfo=UTC)


def receipt_of(client, bill, number):
    return client.get(f"{address('pay', bill)}receipt/{number}/")


def test_it_says_all_that_a_bookkeeper_asks_for(make_bill, client):
    bill = make_bill()
    text = text_of(receipt_of(client, bill, pay(bill, received_at=JUNE).pk))
    for words in (
        "Receipt €1,234.56",
        "Bakery Website",
        "What for Homepage, first half",
        "Paid on June 3, 2027, 12:05",
        "Means of payment card ending in 4242",
        f"Number {bill.number}",
        "Client client@customer.example",
        "Received by Atelier Web hello@atelier.example",
        "TEST No real money is moved.",
    ):
        assert words in text, words
    for words in ("Period", "Refunds", "after refunds"):
        assert words not in text, words


def test_a_live_one_is_not_marked_as_a_test(make_bill, client):
    bill = make_bill(livemode=True)
    assert "TEST" not in text_of(receipt_of(client, bill, pay(bill).pk)).replace(bill.number, "")


def test_refunds_stand_on_it_with_what_is_left(bill, client):
    payment = pay(bill)
    give_back(payment, 1000, created_at=JUNE)
    give_back(payment, 400, state="pending", created_at=JUNE + timedelta(days=1))
    text = text_of(receipt_of(client, bill, payment.pk))
    assert "€10.00 refunded on June 3, 2027" in text
    assert "€4.00 refunded on June 4, 2027" in text
    assert "Paid after refunds: €1,220.56" in text


@pytest.mark.parametrize("state", ["creating", "failed", "canceled", "refused"])
def test_a_refund_that_is_not_sure_is_not_promised(bill, client, state):
    payment = pay(bill)
    give_back(payment, 1000, state=state)
    assert "refund" not in text_of(receipt_of(client, bill, payment.pk)).lower()
    assert "refunded" not in text_of(client.get(address("pay", bill)))


def test_a_refund_that_waits_for_the_client_says_so(bill, client):
    payment = pay(bill)
    give_back(payment, 1000, state="requires_action")
    assert "Stripe waits for your answer" in text_of(receipt_of(client, bill, payment.pk))


def test_what_was_paid_by_hand_says_so_and_names_the_day_alone(bill, client):
    payment = pay(bill, "by_hand_1", kind="by_hand", method="", last4="", received_at=JUNE)
    text = text_of(receipt_of(client, bill, payment.pk))
    assert "Paid on June 3, 2027 Means of payment by hand, not through Stripe" in text


def test_a_renewal_names_its_period(make_bill, client):
    bill = make_bill(billing_type="monthly")
    subscription = subscribe(bill)
    renewal = pay(
        bill,
        "in_2",
        kind="renewal",
        subscription=subscription,
        period_start=JUNE,
        period_end=JUNE + timedelta(days=30),
    )
    assert "Period June 3, 2027 to July 3, 2027" in text_of(receipt_of(client, bill, renewal.pk))


def test_days_are_those_of_the_site(bill, client):
    SiteBillingSettings.objects.create(site=bill.site, time_zone="Pacific/Kiritimati")
    payment = pay(bill, received_at=JUNE)
    give_back(payment, 1, created_at=JUNE)
    text = text_of(receipt_of(client, bill, payment.pk))
    assert "refunded on June 4, 2027" in text
    assert "Paid on June 4, 2027, 2:05" in text


@override_settings(TIME_ZONE="Pacific/Kiritimati")
def test_a_day_that_staff_have_said_is_that_day_everywhere(bill, client):
    SiteBillingSettings.objects.create(site=bill.site, time_zone="Pacific/Pago_Pago")
    noon = timezone.make_aware(datetime(2027, 6, 3, 12), timezone.get_default_timezone())
    payment = pay(bill, "by_hand_1", kind="by_hand", received_at=noon)
    assert "Paid on June 3, 2027" in text_of(receipt_of(client, bill, payment.pk))
    assert "€1,234.56 June 3, 2027 Receipt" in text_of(client.get(address("pay", bill)))


def test_an_amount_that_was_accepted_stands_as_it_came(bill, client):
    payment = pay(bill, amount_minor=4000)
    text = text_of(receipt_of(client, bill, payment.pk))
    assert "€40.00" in text
    assert "1,234.56" not in text


def test_money_of_an_unknown_currency_breaks_nothing(bill, client):
    payment = pay(bill, currency="XTS", amount_minor=5)
    assert "5 XTS" in text_of(receipt_of(client, bill, payment.pk))
    assert "5 XTS" in text_of(client.get(address("pay", bill)))


def test_in_the_language_of_the_bill(make_bill, client):
    bill = make_bill(language="fr")
    response = receipt_of(client, bill, pay(bill, received_at=JUNE).pk)
    assert response.headers["Content-Language"] == "fr"
    assert "3 juin 2027" in text_of(response)


# --- Whose receipt it is --------------------------------------------------------------------


def unknown_page(client):
    response = client.get(f"/billing/pay/{'A' * 43}/")
    assert response.status_code == 404
    return response.content


def test_the_payment_of_another_link_is_unknown(make_bill, client):
    mine, other = make_bill(), make_bill(description="Somebody else's")
    theirs = pay(other, "pi_2")
    pay(mine)
    response = receipt_of(client, mine, theirs.pk)
    assert response.status_code == 404
    assert response.content == unknown_page(client)


@pytest.mark.parametrize("facts", [{"mismatch": True}, {"taken_back_at": JUNE}])
def test_money_that_does_not_count_has_no_receipt(bill, client, facts):
    payment = pay(bill, **facts)
    response = receipt_of(client, bill, payment.pk)
    assert response.status_code == 404
    assert response.content == unknown_page(client)
    assert "/receipt/" not in client.get(address("pay", bill)).content.decode()


@pytest.mark.parametrize(
    "number",
    ["0", "-1", "x", "1e3", "9" * 18, "9" * 19, "9" * 5000, "%00", "٣", "1 OR 1=1", "💥", "1.0"],
    ids=range(12),
)
def test_hostile_numbers_are_unknown(bill, client, number):
    pay(bill)
    response = receipt_of(client, bill, number)
    assert response.status_code == 404
    assert response.content == unknown_page(client)


@pytest.mark.parametrize("token", ["x", "B" * 43, "%00" * 20, "💥", "A" * 5000], ids=range(5))
def test_hostile_tokens_are_unknown(bill, client, token):
    response = client.get(f"/billing/pay/{token}/receipt/{pay(bill).pk}/")
    assert response.status_code == 404
    assert response.content == unknown_page(client)


# --- Where receipts are found ---------------------------------------------------------------


def test_the_paid_page_lists_them_newest_first(make_bill, client):
    bill = make_bill(billing_type="monthly")
    subscription = subscribe(bill)
    first = bill.payments.get()
    for n in (1, 2):
        pay(
            bill,
            f"in_more_{n}",
            kind="renewal",
            subscription=subscription,
            received_at=timezone.now() + timedelta(days=n),
        )
    page = client.get(address("pay", bill)).content.decode()
    places = [
        page.index(f'href="{address("pay", bill)}receipt/{payment.pk}/"')
        for payment in bill.payments.order_by("-received_at")
    ]
    assert len(places) == 3
    assert places == sorted(places)
    assert receipt_of(client, bill, first.pk).status_code == 200


def test_a_list_of_any_length_takes_as_many_queries(
    make_bill, client, django_assert_max_num_queries
):
    bill = make_bill(billing_type="weekly")
    subscription = subscribe(bill)
    for n in range(30):
        give_back(pay(bill, f"in_more_{n}", kind="renewal", subscription=subscription), 1)
    with django_assert_max_num_queries(20):
        client.get(address("pay", bill))


def test_every_link_on_the_pages_leads_somewhere(bill, client):
    import re

    payment = pay(bill)
    for page in (client.get(address("pay", bill)), receipt_of(client, bill, payment.pk)):
        links = re.findall(r'href="(/billing/[^"]+)"', page.content.decode())
        assert links
        assert [client.get(link).status_code for link in links] == [200] * len(links)


def test_a_bill_that_nobody_paid_lists_nothing(make_bill, client):
    bill = make_bill()
    BillingRequest.objects.filter(pk=bill.pk).update(status="paid", paid_at=JUNE)
    page = client.get(address("pay", bill)).content.decode()
    assert "wcb-receipts" not in page
