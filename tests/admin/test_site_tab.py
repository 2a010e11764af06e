"""The tab of one site: its totals, its newest requests, and what a client's own login sees."""

import re
from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from django.utils import timezone

from tests.counting import counted
from tests.fixtures import grant
from wagtail_client_billing.admin.site_totals import totals_of
from wagtail_client_billing.models import (
    BillingRequest,
    Payment,
    Refund,
    SiteBillingSettings,
    StripeConnection,
)


@pytest.fixture
def pay(db):
    """Writes down money that came in for a request."""

    def pay(request, amount_minor=None, *, at=None, currency=None, refunds=(), **values):
        BillingRequest.objects.filter(pk=request.pk).update(status="paid")
        payment = Payment.objects.create(
            request=request,
            account_id=request.account_id,
            livemode=request.livemode,
            source=f"pi_{Payment.objects.count()}",
            amount_minor=amount_minor or request.amount_minor,
            currency=currency or request.currency,
            received_at=at or timezone.now(),
            **values,
        )
        for state, minor in refunds:
            Refund.objects.create(
                payment=payment, amount_minor=minor, currency=payment.currency, state=state
            )
        return payment

    return pay


def line(client, url):
    """The line of totals as text; empty where there is none."""
    text = client.get(url).content.decode()
    found = re.search(r'<dl class="wcb-site-totals">(.*?)</dl>', text, re.S)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", found[1])).strip() if found else ""


def test_one_line_says_what_was_paid_and_what_is_owed(
    alice, site_a, site_b, connected_live, make_request, pay, client_for, site_url
):
    client = client_for(alice)
    assert line(client, site_url(site_a)) == ""
    make_request(site_a, connected_live, amount_minor=10000)
    assert line(client, site_url(site_a)) == "Paid this month – Pending €100.00"
    make_request(site_a, connected_live, amount_minor=500, currency="JPY")
    pay(make_request(site_a, connected_live, amount_minor=20000), refunds=[("succeeded", 5000)])
    pay(make_request(site_a, connected_live, amount_minor=7000, currency="USD"))
    pay(make_request(site_b, connected_live, amount_minor=99999))
    make_request(site_b, connected_live, amount_minor=88888)
    assert line(client, site_url(site_a)) == (
        "Paid this month €150.00 · $70.00 Pending €100.00 · ¥500"
    )


def test_only_money_that_stayed_counts(site_a, connected_live, make_request, pay):
    now = timezone.now()
    request = make_request(site_a, connected_live, amount_minor=1000)
    pay(request, refunds=[("creating", 100), ("failed", 100), ("pending", 100)])
    pay(request, 2000, duplicate=True, refunds=[("succeeded", 500), ("succeeded", 1500)])
    pay(request, 4000, taken_back_at=now, kind="by_hand")
    pay(request, 16000, mismatch=True, refunds=[("succeeded", 6000)])
    pay(request, 8000, at=now - timedelta(days=40), refunds=[("succeeded", 8000)])
    # Not what nobody has accepted, and not what is on its way back.
    assert totals_of(site_a).paid == ["€8.00"]
    assert totals_of(site_a).pending == []


def test_rule_12_live_totals_hold_no_test_money(
    alice, site_a, connected_test, connected_live, make_request, pay, client_for, site_url
):
    client = client_for(alice)
    pay(make_request(site_a, connected_test, amount_minor=5000))
    make_request(site_a, connected_test, amount_minor=6000)
    assert line(client, site_url(site_a)) == "Mode TEST Paid this month €50.00 Pending €60.00"
    make_request(site_a, connected_live, amount_minor=100)
    assert line(client, site_url(site_a)) == "Paid this month – Pending €1.00"


@pytest.mark.parametrize(
    ("zone", "paid"),
    # Half past eight in the evening of 31 October, UTC: November in Tokyo.
    [("", []), ("Asia/Tokyo", ["€10.00"]), ("America/New_York", []), ("Mars/Olympus", [])],
)
def test_the_month_is_the_sites(zone, paid, site_a, connected_live, make_request, pay):
    SiteBillingSettings.objects.create(site=site_a, time_zone=zone)
    received = datetime(2026, 10, 31, 20, 30, tzinfo=UTC)
    with timezone.override("UTC"), time_machine.travel(received + timedelta(days=1), tick=False):
        pay(make_request(site_a, connected_live, amount_minor=1000), at=received)
        assert totals_of(site_a).paid == paid


def test_the_tab_asks_no_more_of_the_database_for_more_requests(
    alice, site_a, connected_live, make_request, pay, client_for, site_url
):
    client = client_for(alice)

    def look():
        with counted() as found:
            assert client.get(site_url(site_a)).status_code == 200
        return found.queries

    make_request(site_a, connected_live)
    pay(make_request(site_a, connected_live), refunds=[("succeeded", 100)])
    look()
    few = look()
    for _n in range(30):
        make_request(site_a, connected_live)
        pay(make_request(site_a, connected_live), refunds=[("succeeded", 100)])
    assert look() <= few


def test_the_newest_are_listed_with_the_way_to_all(
    alice, site_a, connected_live, make_request, client_for, site_url, admin_url
):
    made = [make_request(site_a, connected_live) for _n in range(25)]
    text = client_for(alice).get(site_url(site_a)).content.decode()
    assert [each.number in text for each in made] == [False] * 5 + [True] * 20
    assert f'href="{admin_url("index")}?site={site_a.pk}"' in text
    assert "Add Billing Request" in text


def test_a_clients_own_login_sees_the_way_to_its_invoices_alone(
    boss, carol, site_a, site_b, connected_live, make_request, client_for, site_url, admin_url
):
    group = carol.groups.get()
    grant(group, site_a, SiteBillingSettings, "change_sitebillingsettings")
    grant(group, site_a, BillingRequest, "view_billingrequest")
    made = make_request(site_a, connected_live)
    client = client_for(carol)
    text = client.get(site_url(site_a)).content.decode()
    assert f'href="{admin_url("index")}?site={site_a.pk}"' in text
    assert "Invoices of this site" in text
    assert made.number not in text and made.email not in text.replace("<wbr>", "")
    assert line(client, site_url(site_a)) == ""
    assert "Add Billing Request" not in text
    # Nor who runs the agency, where nothing is connected.
    StripeConnection.objects.update(unlinked_at=timezone.now())
    assert boss.get_username() not in client.get(site_url(site_a)).content.decode()
    StripeConnection.objects.update(unlinked_at=None)
    # One of those who bill, of another site only, is nobody here.
    grant(group, site_b, BillingRequest, "add_billingrequest")
    assert made.number not in client.get(site_url(site_a)).content.decode()
    grant(group, site_a, BillingRequest, "resend_billingrequest")
    assert made.number in client.get(site_url(site_a)).content.decode()
