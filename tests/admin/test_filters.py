"""Search, filters, order and totals of Invoices: what they find, and nothing of other people."""

import itertools
import random
import re
from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone, translation

from wagtail_client_billing.admin.badges import BADGES, badges_of, with_any_badge
from wagtail_client_billing.admin.totals import totals_of
from wagtail_client_billing.models import (
    BillingRequest,
    EmailDelivery,
    Payment,
    Refund,
    SiteBillingSettings,
)

NOW = timezone.now()


@pytest.fixture
def found(boss, client_for, admin_url):
    """The numbers that the list shows for a query."""
    client = client_for(boss)

    def ask(**query):
        response = client.get(admin_url("index"), query)
        assert response.status_code == 200
        return {row.number for row in response.context["object_list"]}

    return ask


def pills(html):
    return [
        (" ".join(label.split()), value)
        for label, value in re.findall(
            r'class="w-text-14">(.*?)</span>\s*<b class="w-ml-1">(.*?)</b>', html, re.S
        )
    ]


def money_of(rows, chance):
    """Payments, refunds, disputes and subscriptions of some of the rows."""
    account = {"account_id": rows[0].account_id, "livemode": rows[0].livemode}
    for n, row in enumerate(rows):
        if row.review_since and n % 3 == 0:
            row.review_reason = "duplicate"
            row.save(update_fields=["review_reason"])
        if n % 2:
            status = chance.choice(["active", "trialing", "past_due", "unpaid", "canceled"])
            ends = chance.choice([None, NOW])
            values = {"status": status, "cancel_at": ends, "current_period_end": NOW}
            row.subscriptions.create(**account, stripe_id=f"sub_{n}", **values)
        if n % 3:
            money = {"amount_minor": 100, "currency": "EUR"}
            payment = row.payments.create(
                **account, **money, source=f"pi_{n}", intent_id=f"pi_{n}", received_at=NOW
            )
            state = chance.choice(["succeeded", "pending", "failed"])
            amount = chance.choice([40, 100])
            payment.refunds.create(amount_minor=amount, currency="EUR", state=state)
            disputed = chance.choice(["needs_response", "under_review", "won", "lost"])
            payment.disputes.create(**money, stripe_id=f"dp_{n}", state=disputed)


def test_a_badge_and_its_filter_cannot_differ(site_a, connected_live, make_request):
    """Rows with every combination of facts: the filter finds those that show the badge."""
    facts = itertools.product(
        BillingRequest.Status.values,
        (None, NOW),  # processing_since
        (None, NOW),  # review_since
        (False, True),  # paid_late
        (False, True),  # not_confirmed
        ("", "delete"),  # hold
        (timedelta(hours=-1), timedelta(hours=1)),
    )
    base = make_request(site_a, connected_live)
    chance = random.Random(1)
    states, kinds = [None, *EmailDelivery.State.values], EmailDelivery.Kind.values[:2]
    values = {
        field.attname: getattr(base, field.attname)
        for field in BillingRequest._meta.concrete_fields
        if field.attname not in ("id", "uuid", "token", "number")
    }
    rows = BillingRequest.objects.bulk_create(
        BillingRequest(
            **{
                **values,
                "number": f"BR-{n}",
                "status": status,
                "processing_since": processing,
                "review_since": review,
                "paid_late": late,
                "not_confirmed": not_confirmed,
                "hold": hold,
                "expires_at": NOW + ends,
            }
        )
        for n, (status, processing, review, late, not_confirmed, hold, ends) in enumerate(facts)
    )
    EmailDelivery.objects.bulk_create(
        EmailDelivery(
            request=row, kind=chance.choice(kinds), to="x@x.example", state=state, message_id=n
        )
        for n, row in enumerate([*rows, *rows])
        if (state := chance.choice(states))
    )
    money_of(rows, chance)
    everything = BillingRequest.objects.with_facts()
    shown = {row.pk: {badge.code for badge in badges_of(row)} for row in everything}
    for badge in BADGES:
        by_filter = set(
            everything.filter(with_any_badge([badge.code])).values_list("pk", flat=True)
        )
        by_badge = {pk for pk, codes in shown.items() if badge.code in codes}
        assert by_filter == by_badge, badge.code
        assert 0 < len(by_badge) < len(shown), badge.code
    codes = ["review", "late"]
    both = set(everything.filter(with_any_badge(codes)).values_list("pk", flat=True))
    assert both == {pk for pk, of_row in shown.items() if of_row & set(codes)}
    assert len({badge.code for badge in BADGES}) == len(BADGES)


def test_each_filter(site_a, site_b, connected_test, connected_live, make_request, found):
    euro = make_request(site_a, connected_test)
    yen = make_request(site_b, connected_live, currency="JPY", amount_minor=5000)
    BillingRequest.objects.filter(pk=euro.pk).update(
        status="expired", created_at=NOW - timedelta(days=40), billing_type="monthly", hold="edit"
    )
    old, new = {euro.number}, {yen.number}
    day = (NOW - timedelta(days=40)).date().isoformat()
    for query, numbers in [
        ({"status": "expired"}, old),
        ({"badge": "held"}, old),
        ({"badge": ["held", "mail_queued"]}, old | new),
        ({"site": site_b.pk}, new),
        ({"site_name": "bakery"}, old),
        ({"site_name": "b.example"}, new),
        ({"site_name": "bakery", "site": site_b.pk}, set()),
        ({"livemode": "False"}, old),
        ({"currency": "JPY"}, new),
        ({"billing_type": "monthly"}, old),
        ({"created_to": day}, old),
        ({"created_from": day, "created_to": day}, old),
        ({"created_from": (NOW - timedelta(days=2)).date().isoformat()}, new),
        ({"created_from": "2999-12-31"}, set()),
        ({"status": "expired", "currency": "JPY"}, set()),
    ]:
        assert found(**query) == numbers, query


def test_days_are_those_of_the_reader(site_a, connected_test, make_request, found, settings):
    made = make_request(site_a, connected_test)
    BillingRequest.objects.update(created_at=datetime(2026, 3, 1, 23, 30, tzinfo=UTC))
    assert found(created_from="2026-03-01", created_to="2026-03-01") == {made.number}
    settings.TIME_ZONE = "Europe/Paris"
    assert found(created_to="2026-03-01") == set()
    assert found(created_from="2026-03-02", created_to="2026-03-02") == {made.number}


HOSTILE = ["x", "-1", "9" * 40, "1 OR 1=1", "\0", "²", "é" * 1000, "\r\n", "💸", "\u202eabc"]


@pytest.mark.parametrize("name", ["index", "index_results"])
def test_what_is_no_valid_filter_filters_nothing_and_others_still_do(
    name, alice, site_b, request_a, request_b, client_for, admin_url
):
    client = client_for(alice)
    parameters = ["status", "badge", "site", "livemode", "currency", "billing_type"]
    for parameter in [*parameters, "created_from", "created_to", "p", "ordering", "export"]:
        for value in [*HOSTILE[:: 4 if name == "index" else 1], site_b.pk]:
            response = client.get(admin_url(name), {parameter: value})
            assert response.status_code == 200, (parameter, value)
            assert [row.pk for row in response.context["object_list"]] == [request_a.pk]
            assert "Lawyers B" not in response.content.decode()
    both = client.get(admin_url(name), {"status": "paid", "site": site_b.pk})
    assert not both.context["object_list"]
    for day in ("0001-01-01", "9999-12-31", "2026-02-30"):
        for parameter in ("created_from", "created_to"):
            assert client.get(admin_url(name), {parameter: day}).status_code == 200
    for value in HOSTILE[:: 4 if name == "index" else 1]:
        for parameter in ("q", "site_name"):
            assert client.get(admin_url(name), {parameter: value}).status_code == 200
    for parameter in ("q", "site_name", "site", "badge", "created_from"):
        huge = client.get(admin_url(name), {parameter: "x" * 1_000_000})
        assert huge.status_code == 200, parameter


def test_every_filter_is_a_pill_in_plain_words(
    boss, site_a, connected_test, make_request, client_for, admin_url
):
    make_request(site_a, connected_test)
    query = {
        "status": "pending",
        "badge": ["mail_queued", "held"],
        "site": site_a.pk,
        "site_name": "Bak",
        "livemode": "False",
        "currency": "EUR",
        "billing_type": "one_time",
        "created_from": "2020-03-01",
        "created_to": "2999-01-02",
    }
    html = client_for(boss).get(admin_url("index"), query).content.decode()
    assert pills(html) == [
        ("Status:", "Pending"),
        ("Badge:", "E-mail queued"),
        ("Badge:", "Being changed"),
        ("Site:", "Bakery A"),
        ("Site:", "Bak"),
        ("Mode:", "Test"),
        ("Currency:", "EUR"),
        ("Billing type:", "One time"),
        ("Created from:", "March 1, 2020"),
        ("Created to:", "Jan. 2, 2999"),
    ]
    urls = re.findall(r'data-w-swap-src-value="([^"]*)"', html)
    without = [url.replace("&amp;", "&") for url in urls if "results/?" in url]
    assert sum("site=" not in url.replace("site_name=", "") for url in without) == 1
    assert sum("site_name=" not in url for url in without) == 1
    # The site of a link stays while somebody types.
    assert f'type="hidden" name="site" value="{site_a.pk}"' in html
    assert 'type="date"' in html


def test_sites_are_not_offered_one_by_one(
    alice, request_a, request_b, client_for, admin_url, site_a
):
    html = client_for(alice).get(admin_url("index")).content.decode()
    assert not re.search(r'<select[^>]*name="site"', html)
    assert 'name="site_name"' in html
    form = client_for(alice).get(admin_url("index")).context["filters"].form
    assert form.fields["currency"].choices[1:] == [("EUR", "EUR")]


def test_currencies_are_those_of_the_users_own_requests(
    alice, boss, site_a, site_b, connected_test, make_request, client_for, admin_url
):
    make_request(site_a, connected_test)
    make_request(site_b, connected_test, currency="GBP")

    def offered(user):
        form = client_for(user).get(admin_url("index")).context["filters"].form
        return [code for code, _label in form.fields["currency"].choices if code]

    assert offered(alice) == ["EUR"]
    assert offered(boss) == ["EUR", "GBP"]


@pytest.mark.parametrize(
    ("language", "typed", "matches"),
    [
        ("en", "1,234.56", {"eur"}),
        ("en", "1234.56", {"eur"}),
        ("en", "€1,234.56", {"eur"}),
        ("en", "EUR 1,234.56", {"eur"}),
        ("en", "USD 1,234.56", set()),
        ("en", "5000", {"jpy", "kwd"}),
        ("en", "5,000 jpy", {"jpy"}),
        ("en", "5.000 KWD", set()),
        ("fr", "1234,56", {"eur"}),
        ("fr", "1\u202f234,56\u00a0€", {"eur"}),
        ("fr", "5 000", {"jpy", "kwd"}),
        ("en", "123456", set()),
        ("en", "9" * 24, set()),
        ("en", "Website", {"eur"}),
        ("en", "anna@", {"kwd"}),
    ],
)
def test_search_finds_amounts_as_they_are_typed(
    language, typed, matches, site_a, connected_test, make_request, boss, client_for, admin_url
):
    made = {
        "eur": make_request(site_a, connected_test, description="Website"),
        "jpy": make_request(site_a, connected_test, currency="JPY", amount_minor=5000),
        "kwd": make_request(
            site_a, connected_test, currency="KWD", amount_minor=5000000, email="anna@x.example"
        ),
    }
    client = client_for(boss)
    with translation.override(language):
        response = client.get(
            admin_url("index_results"), {"q": typed}, headers={"accept-language": language}
        )
    numbers = {row.number for row in response.context["object_list"]}
    assert numbers == {made[name].number for name in matches}


def test_every_column_sorts_and_amounts_by_currency_first(
    boss, site_a, connected_test, make_request, client_for, admin_url
):
    cheap = make_request(site_a, connected_test, amount_minor=100)
    dear = make_request(site_a, connected_test, amount_minor=900)
    yen = make_request(site_a, connected_test, currency="JPY", amount_minor=500)
    client = client_for(boss)
    response = client.get(admin_url("index"))
    columns = response.context["table"].columns.values()
    keys = {column.sort_key for column in columns if column.sort_key}
    assert keys == {
        "number",
        "email",
        "site_name",
        "amount",
        "billing_type",
        "status",
        "created_at",
        "expires_at",
    }
    for key in keys:
        for order in (key, f"-{key}"):
            assert client.get(admin_url("index"), {"ordering": order}).status_code == 200

    def order(key):
        rows = client.get(admin_url("index"), {"ordering": key}).context["object_list"]
        return [row.pk for row in rows]

    assert order("amount") == [cheap.pk, dear.pk, yen.pk]
    assert order("-amount") == [dear.pk, cheap.pk, yen.pk]
    assert order("status") == [cheap.pk, dear.pk, yen.pk]
    assert order("-status") == [yen.pk, dear.pk, cheap.pk]


def pay(request, amount, **values):
    return Payment.objects.create(
        **{
            "request": request,
            "account_id": request.account_id,
            "livemode": request.livemode,
            "source": f"pi_{request.pk}_{Payment.objects.count()}",
            "amount_minor": amount,
            "currency": request.currency,
            "received_at": NOW,
            **values,
        }
    )


def sums(requests):
    return {
        each.currency: (each.requested, each.paid, each.pending)
        for each in totals_of(requests).sums
    }


def test_rule_12_totals_by_currency_and_live_alone(
    site_a, connected_test, connected_live, make_request
):
    live = make_request(site_a, connected_live, amount_minor=1000)
    paid = make_request(site_a, connected_live, amount_minor=2000)
    make_request(site_a, connected_live, currency="JPY", amount_minor=700)
    test = make_request(site_a, connected_test, amount_minor=50000)
    make_request(site_a, connected_test, currency="GBP", amount_minor=60000)
    BillingRequest.objects.filter(pk__in=[paid.pk]).update(status="paid")
    first = pay(paid, 2000)
    pay(paid, 2000, duplicate=True)
    pay(paid, 2000, taken_back_at=NOW)
    pay(paid, 9000, mismatch=True)
    taken_back = pay(paid, 300, taken_back_at=NOW)
    pay(test, 50000)
    Refund.objects.create(payment=taken_back, amount_minor=300, currency="EUR", state="succeeded")
    for state in ("succeeded", "pending", "failed"):
        Refund.objects.create(payment=first, amount_minor=150, currency="EUR", state=state)
    everything = BillingRequest.objects.with_facts()
    assert sums(everything) == {"EUR": (3000, 3700, 1000), "JPY": (700, 0, 700)}
    totals = totals_of(everything)
    assert (totals.test, totals.left_out) == (False, True)
    assert sums(everything.filter(livemode=False)) == {
        "EUR": (50000, 50000, 50000),
        "GBP": (60000, 0, 60000),
    }
    assert totals_of(everything.filter(livemode=False)).test
    assert sums(everything.filter(pk=live.pk)) == {"EUR": (1000, 0, 1000)}
    assert not totals_of(everything.filter(pk=live.pk)).left_out
    assert sums(everything.none()) == {}


def test_totals_follow_the_filters_and_the_users_sites(
    alice, boss, site_a, site_b, connected_live, make_request, client_for, admin_url
):
    make_request(site_a, connected_live, amount_minor=111100)
    make_request(site_a, connected_live, amount_minor=222200, email="anna@x.example")
    make_request(site_b, connected_live, amount_minor=444400)

    def shown(user, **query):
        html = client_for(user).get(admin_url("index_results"), query).content.decode()
        return re.findall(r"<dt>(\w+)</dt><dd>([^<]*)</dd>", html)[::3]

    assert shown(boss) == [("Requested", "€7,777.00")]
    assert shown(alice) == [("Requested", "€3,333.00")]
    assert shown(alice, q="anna") == [("Requested", "€2,222.00")]
    assert shown(boss, site=site_b.pk) == [("Requested", "€4,444.00")]
    assert shown(alice, site=site_b.pk) == [("Requested", "€3,333.00")]
    assert shown(boss, q="nobody") == []


def test_the_row_menus_know_the_link_of_each_site(
    boss, site_a, site_b, connected_test, make_request, client_for, admin_url
):
    SiteBillingSettings.objects.create(site=site_b, billing_address="https://pay.example.org/")
    one, two = make_request(site_a, connected_test), make_request(site_b, connected_test)
    site_b.refresh_from_db()
    html = client_for(boss).get(admin_url("index")).content.decode()
    assert f"https://a.example.com/billing/pay/{one.token}/" in html
    assert f"https://pay.example.org/billing/pay/{two.token}/" in html
