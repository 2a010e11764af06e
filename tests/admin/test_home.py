"""The dashboard: what is pending and what needs somebody, for those who bill."""

import re
from datetime import timedelta
from html import unescape

import pytest
from django.contrib.auth.models import Permission
from django.urls import reverse
from django.utils import timezone

from tests.admin.money_moved import client_of, copies, pay, refund
from tests.counting import counted
from wagtail_client_billing.models import (
    AgencySettings,
    BillingRequest,
    EmailDelivery,
    StripeConnection,
    StripeEvent,
)

NOW = timezone.now()
PANEL = "client-billing-needs-you"


@pytest.fixture
def live(site_a, connected_live, make_request):
    def make(site=site_a, **values):
        request = make_request(site, connected_live)
        BillingRequest.objects.filter(pk=request.pk).update(**values)
        request.refresh_from_db()
        return request

    return make


@pytest.fixture
def home(boss, client_for):
    def show(user=boss):
        response = client_for(user).get(reverse("wagtailadmin_home"))
        assert response.status_code == 200
        return response.content.decode()

    return show


def summary(page):
    """The texts of the numbers at the top, and where they lead."""
    top = re.search(r'<ul class="w-summary__list">.*?</ul>', page, re.DOTALL)
    items = re.findall(
        r"<li>\s*<svg.*?</svg>\s*<a href=\"([^\"]*)\">(.*?)</a>(.*?)</li>",
        top[0] if top else "",
        re.DOTALL,
    )
    return {
        " ".join(re.sub("<.*?>", " ", text + badge).split()): unescape(url)
        for url, text, badge in items
        if "client-billing" in url
    }


def panel(page):
    """Group: the numbers of its requests, and the link to the rest of them."""
    found = re.search(rf'<section[^>]*id="{PANEL}-section".*', page, re.DOTALL)
    groups = re.findall(r'<section class="wcb-needs">.*?</section>', found[0], re.DOTALL)
    return {
        re.search("<h3>(.*?)</h3>", group)[1]: re.findall(r'<a href="[^"]*">([^<]+)', group)
        for group in groups
    }


KINDS = [
    ("Needs review", {"review_since": NOW}, "badge=review"),
    ("The e-mail with the payment link was not accepted", {}, "badge=mail_failed"),
    (
        "Paid late in the last week",
        {"status": "paid", "paid_late": True, "paid_at": NOW - timedelta(days=6)},
        "badge=late",
    ),
    (
        "Expired in the last week",
        {"status": "expired", "expires_at": NOW - timedelta(days=6)},
        "status=expired",
    ),
]


@pytest.mark.parametrize(("title", "values", "query"), KINDS)
def test_each_kind_and_where_it_leads(
    title, values, query, live, home, admin_url, boss, client_for
):
    request = live(**values)
    if not values:
        EmailDelivery.objects.update(state=EmailDelivery.State.FAILED)
    page = home()
    assert panel(page) == {title: [request.number]}
    assert admin_url("inspect", request.pk) in page
    assert "€1,234.56" in page
    assert request.email in page
    assert "1 needs you" in summary(page)
    for _ in range(6):
        copy = live(**values)
        EmailDelivery.objects.filter(request=copy).update(
            state=EmailDelivery.State.SENT if values else EmailDelivery.State.FAILED
        )
    page = home()
    entries = panel(page)[title]
    assert len(entries) == 6
    assert entries[5] == "and 2 more"
    rest = f"{admin_url('index')}?{query}&livemode=True"
    assert rest in unescape(page)
    other = live(status="deleted")
    listed = client_for(boss).get(rest).context["object_list"]
    assert len(listed) == 7
    assert other not in listed
    assert "7 need you" in summary(page)


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"status": "deleted"},
        {"status": "paid", "paid_at": NOW},
        {"status": "paid", "paid_late": True, "paid_at": NOW - timedelta(days=8)},
        {"status": "expired", "expires_at": NOW - timedelta(days=8)},
    ],
)
def test_gone_when_there_is_nothing(values, live, home):
    live(**values)
    assert PANEL not in home()


def test_only_the_newest_mail_counts_and_only_while_pending(live, home):
    request = live()
    first = EmailDelivery.objects.get(request=request)
    EmailDelivery.objects.update(state=EmailDelivery.State.FAILED)
    BillingRequest.objects.update(status="paid")
    assert PANEL not in home()
    BillingRequest.objects.update(status="pending")
    assert len(panel(home())) == 1
    first.pk, first.message_id, first.state = None, "another", EmailDelivery.State.SENT
    first.save()
    assert PANEL not in home()


def test_a_request_is_listed_once(live, home):
    request = live(review_since=NOW, status="paid", paid_late=True, paid_at=NOW)
    live(review_since=NOW, status="expired", expires_at=NOW - timedelta(days=1))
    assert request.number in panel(home())["Needs review"]
    assert len(panel(home())) == 1
    assert "2 need you" in summary(home())


def test_the_numbers_lead_to_the_list_and_to_the_panel(live, home, admin_url, boss, client_for):
    pending = live()
    live(review_since=NOW)
    live(status="deleted")
    found = summary(home())
    assert found == {
        "2 pending invoices": f"{admin_url('index')}?status=pending&livemode=True",
        "1 needs you": f"#{PANEL}-section",
    }
    listed = client_for(boss).get(found["2 pending invoices"]).context["object_list"]
    assert len(listed) == 2
    assert pending in listed


def test_nothing_at_all(home, alice):
    assert list(summary(home())) == ["0 pending invoices"]
    assert PANEL not in home(alice)


def test_rule_9_only_sites_that_one_works_on(live, home, alice, carol, site_a, site_b):
    mine = live(review_since=NOW)
    theirs = live(site_b, review_since=NOW)
    gone = live(site_b, review_since=NOW, site_name="Closed shop")
    BillingRequest.objects.filter(pk=gone.pk).update(site=None)
    page = home(alice)
    assert panel(page) == {"Needs review": [mine.number]}
    assert list(summary(page)) == ["1 pending invoice", "1 needs you"]
    assert not re.search("Lawyers|Closed", page)
    everything = panel(home())["Needs review"]
    assert sorted(everything) == sorted([mine.number, theirs.number, gone.number])
    carol.user_permissions.add(Permission.objects.get(codename="view_billingrequest"))
    assert len(panel(home(carol))["Needs review"]) == 3


@pytest.mark.parametrize("who", ["carol", "dora"])
def test_nothing_for_those_who_do_not_bill(who, request, site_a, connected_live, live, home):
    live(review_since=NOW)
    StripeConnection.objects.update(broken_at=NOW)
    user = client_of(site_a) if who == "dora" else request.getfixturevalue("carol")
    page = home(user)
    assert PANEL not in page
    assert summary(page) == {}


def test_turned_away_by_the_operator(live, home, settings):
    live(review_since=NOW)
    settings.WAGTAIL_CLIENT_BILLING = {
        **settings.WAGTAIL_CLIENT_BILLING,
        "ACCESS_CHECK": "tests.admin.test_report.nobody",
    }
    assert PANEL not in home()
    assert summary(home()) == {}


def test_rule_12_test_bills_count_where_there_are_no_others(
    live, home, site_a, connected_test, make_request, admin_url
):
    trial = make_request(site_a, connected_test)
    BillingRequest.objects.update(review_since=NOW)
    page = home()
    assert summary(page) == {
        "1 pending invoice TEST": f"{admin_url('index')}?status=pending&livemode=False",
        "1 needs you TEST": f"#{PANEL}-section",
    }
    assert panel(page) == {"Needs review": [trial.number]}
    assert page.count(">TEST</span>") == 3
    live()
    page = home()
    assert list(summary(page)) == ["1 pending invoice"]
    assert PANEL not in page
    assert "TEST" not in page


def test_a_broken_connection_is_for_those_who_can_mend_it(
    live, home, alice, connected_test, connected_live
):
    live()
    StripeConnection.objects.filter(livemode=False).update(broken_at=NOW)
    page = home()
    assert panel(page) == {"Stripe account cannot be used": ["Agency test"]}
    assert ">TEST</span>" in page
    assert list(summary(page)) == ["1 pending invoice"]
    StripeConnection.objects.update(broken_at=NOW)
    page = home()
    assert panel(page) == {"Stripe account cannot be used": ["Agency test", "Agency live"]}
    assert "1 needs you" in summary(page)
    assert "/agencysettings/#tab-client_billing" in page
    assert PANEL not in home(alice)


def test_looking_writes_nothing(live, home):
    live(review_since=NOW)
    StripeConnection.objects.update(broken_at=NOW)
    home()
    assert AgencySettings.objects.count() == 0
    with counted() as found:
        home()
    written = [each for each in found.statements if re.match("INSERT|UPDATE|DELETE", each)]
    # Logging in is the test's own doing.
    assert not [each for each in written if "session" not in each and "last_login" not in each]


def test_neither_queries_nor_rows_grow_with_the_requests(live, home, alice, site_a):
    patterns = [live(**values) for _title, values, _query in KINDS]

    def many(count):
        for pattern in patterns:
            made = copies(pattern, count)
            if not any((pattern.review_since, pattern.paid_late, pattern.status == "expired")):
                EmailDelivery.objects.bulk_create(
                    EmailDelivery(
                        request=each,
                        kind=EmailDelivery.Kind.PAYMENT_LINK,
                        to=each.email,
                        message_id=each.number,
                        state=EmailDelivery.State.FAILED,
                    )
                    for each in made
                )

    def measured():
        with counted() as found:
            assert len(panel(home(alice))) == 4
        return found

    many(10)
    measured()
    few = measured()
    many(500)
    lots = measured()
    assert lots.queries == few.queries
    assert lots.fetched() == few.fetched()
    assert "2043 need you" in summary(home(alice))


def test_hostile_text_is_text(live, home):
    live(review_since=NOW, site_name="<script>alert(1)</script>", email="‮a@b.example")
    page = home()
    assert "<script>alert(1)" not in page
    assert "&lt;script&gt;alert(1)" in page


@pytest.fixture
def paid_live(live):
    """A live bill with a payment through Stripe and a subscription."""

    def make(**values):
        request = live()
        payment = pay(request, intent_id="pi_x")
        account = {"account_id": request.account_id, "livemode": True}
        values = {"status": "active", "stripe_id": f"sub_{request.pk}", **account, **values}
        request.subscriptions.create(**values)
        return request, payment

    return make


def dispute(payment, state="needs_response", **values):
    money = {"amount_minor": 500, "currency": "EUR", "stripe_id": f"dp_{payment.pk}_{state}"}
    return payment.disputes.create(state=state, **money, **values)


def test_disputes_that_need_an_answer_come_first_and_soonest(
    paid_live, live, home, boss, client_for
):
    live(review_since=NOW)
    for days in (9, 2):
        request, payment = paid_live()
        dispute(payment, due_by=NOW + timedelta(days=days))
    dispute(paid_live()[1], "under_review")
    dispute(paid_live()[1], "lost")
    title = "A dispute has to be answered"
    page = home()
    assert next(iter(panel(page))) == title
    # The one that is due first is first.
    assert panel(page)[title] == [request.number, *panel(page)[title][1:]]
    assert len(panel(page)[title]) == 2
    assert "answer by" in page
    assert "in 2 days" in page
    assert "3 need you" in summary(page)


def test_a_charge_that_did_not_come(paid_live, home, admin_url):
    request, _payment = paid_live(status="past_due")
    paid_live()
    paid_live(status="canceled")
    page = home()
    assert panel(page) == {"A charge of a subscription did not come": [request.number]}
    request.subscriptions.update(status="active")
    assert not re.search(PANEL, home())


def test_a_refund_that_failed_until_it_is_made(paid_live, home):
    request, payment = paid_live()
    failed = refund(payment, 500, state="refused")
    page = home()
    assert panel(page) == {"A refund failed in the last week": [request.number]}
    failed.created_at = NOW - timedelta(days=8)
    failed.save()
    assert not re.search(PANEL, home())
    failed.created_at, failed.state = NOW, "failed"
    failed.save()
    assert re.search(PANEL, home())
    refund(payment, 500)
    assert not re.search(PANEL, home())


def test_events_that_were_given_up_are_the_agencys(
    connected_live, live, home, boss, alice, admin_url
):
    live()
    for n in range(7):
        StripeEvent.objects.create(
            connection=connected_live,
            event_id=f"evt_{n}",
            type="invoice.paid",
            livemode=True,
            state="parked" if n else "received",
            processed_at=NOW,
        )
    page = home()
    assert panel(page) == {
        "Stripe events were given up": [*["invoice.paid"] * 5, "and 1 more"],
    }
    assert admin_url("health") in page
    assert "6 need you" in summary(page)
    assert "given up" not in home(alice)


def test_of_other_sites_nothing_is_told(paid_live, live, site_b, home, alice):
    request, payment = paid_live(status="past_due")
    BillingRequest.objects.filter(pk=request.pk).update(site=site_b)
    dispute(payment)
    refund(payment, 5, state="failed")
    live()
    assert request.number not in home(alice)
    assert not re.search(PANEL, home(alice))
    assert len(panel(home())) == 3
