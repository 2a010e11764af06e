"""Reports → Client billing: the right sums, of the right sites, in the right month and mode."""

import csv
import io
import re
from datetime import UTC, datetime, timedelta
from html import unescape

import pytest
from django.contrib.auth.models import Permission
from django.test import override_settings
from django.urls import reverse
from django.utils import timezone
from openpyxl import load_workbook
from wagtail.models import Site

from tests.admin.money_moved import client_of, copies, pay, refund
from tests.counting import counted
from tests.fixtures import home_page
from wagtail_client_billing.admin.chart import bar_chart
from wagtail_client_billing.admin.report import days_text
from wagtail_client_billing.models import BillingRequest, Payment

AUTUMN = {"start": "2026-09-01", "end": "2026-11-30"}


def at(text):
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.fixture
def live(site_a, connected_live, make_request):
    def make(site=site_a, **values):
        return make_request(site, connected_live, **values)

    return make


@pytest.fixture
def report(boss, client_for, admin_url):
    def show(user=boss, **query):
        return client_for(user).get(admin_url("report"), {**AUTUMN, **query})

    return show


def numbers(response):
    """Per currency: months with anything, sites, and what is outstanding."""
    return {
        part.code: (
            {f"{month:%Y-%m}": sum_ for month, sum_ in part.numbers.months.items() if sum_},
            list(part.sites()),
            part.numbers.outstanding,
        )
        for part in response.context["parts"]
    }


def test_revenue_by_month_and_site_in_each_currency(report, live, site_a, site_b):
    pay(live(), 10000, at=at("2026-09-10"))
    pay(live(), 5000, at=at("2026-11-01"))
    pay(live(site_b), 20000, at=at("2026-11-02"))
    pay(live(currency="JPY"), 700, at=at("2026-10-05"))
    live(amount_minor=111)
    live(site_b, amount_minor=222)
    live(currency="USD", amount_minor=333)
    assert numbers(report()) == {
        "EUR": (
            {"2026-09": 10000, "2026-11": 25000},
            [("Lawyers B", 20000), ("Bakery A", 15000)],
            333,
        ),
        "JPY": ({"2026-10": 700}, [("Bakery A", 700)], 0),
        "USD": ({}, [], 333),
    }
    page = report().content.decode()
    for text in ("€350.00", "€3.33 in 2 requests", "¥700", "$3.33 in 1 request", "Sep 2026"):
        assert text in page, text


def test_renewals_count_in_their_month_and_doubtful_money_in_none(report, live):
    request = live()
    pay(request, 4900, at=at("2026-09-10"))
    for month in ("2026-10-10", "2026-11-10"):
        pay(request, 4900, at=at(month), kind="renewal")
    doubtful = pay(request, 7700, at=at("2026-10-11"), kind="renewal", mismatch=True)
    refund(doubtful, 700)
    pay(request, 100, at=at("2026-10-12"), duplicate=True)
    months = {"2026-09": 4900, "2026-10": 5000, "2026-11": 4900}
    assert numbers(report())["EUR"][:2] == (months, [("Bakery A", 14800)])


def test_what_was_taken_back_or_refunded_is_no_revenue(report, live):
    kept = pay(live(), 10000, at=at("2026-09-10"))
    refund(kept, 2500)
    refund(kept, 500, state="pending")
    refund(kept, 600, state="failed")
    refund(kept, 700, currency="USD")
    pay(live(), 4000, at=at("2026-09-11"), taken_back_at=timezone.now(), kind="by_hand")
    pay(live(), 1000, at=at("2026-09-12"), kind="by_hand")
    refund(pay(live(), 300, at=at("2026-10-12")), 300)
    assert numbers(report())["EUR"][:2] == ({"2026-09": 8000}, [("Bakery A", 8000)])


def test_duplicates_count_until_they_are_refunded(report, live):
    request = live()
    pay(request, 1000, at=at("2026-09-10"))
    extra = pay(request, 1000, at=at("2026-09-10"), duplicate=True)
    assert numbers(report())["EUR"][0] == {"2026-09": 2000}
    refund(extra, 1000)
    assert numbers(report())["EUR"][0] == {"2026-09": 1000}


@pytest.mark.parametrize(
    ("zone", "month"),
    [("UTC", "2026-09"), ("Europe/Paris", "2026-10"), ("America/New_York", "2026-09")],
)
def test_months_are_those_of_the_current_time_zone(zone, month, report, live):
    pay(live(), 100, at=at("2026-09-30T22:30"))
    with override_settings(TIME_ZONE=zone):
        assert numbers(report())["EUR"][0] == {month: 100}
        first = report(start="2026-10-01", end="2026-10-01")
    assert (numbers(first).get("EUR", ({},))[0] == {month: 100}) == (month == "2026-10")


def test_the_users_own_time_zone_counts(report, boss, live):
    from wagtail.users.models import UserProfile

    profile = UserProfile.get_for_user(boss)
    profile.current_time_zone = "Asia/Tokyo"
    profile.save()
    pay(live(), 100, at=at("2026-09-30T15:00"))
    pay(live(), 200, at=at("2026-09-30T14:59"))
    assert numbers(report())["EUR"][0] == {"2026-09": 200, "2026-10": 100}


def test_both_days_are_in(report, live):
    for minor, moment in (
        (1, "2026-08-31T23:59:59"),
        (2, "2026-09-01T00:00"),
        (4, "2026-09-05T23:59:59"),
        (8, "2026-09-06T00:00"),
    ):
        pay(live(), minor, at=at(moment))
    found = numbers(report(start="2026-09-01", end="2026-09-05"))
    assert found["EUR"][0] == {"2026-09": 6}


def test_time_to_pay(report, live):
    for days, moment in ((1, "2026-09-10"), (4, "2026-10-10"), (30, "2026-12-01")):
        request = live()
        pay(request, 100, at=at(moment))
        BillingRequest.objects.filter(pk=request.pk).update(
            created_at=at(moment) - timedelta(days=days)
        )
    live()
    page = report().content.decode()
    assert "Average time to pay: 2.5 days (2 requests)" in page


@pytest.mark.parametrize(
    ("taken", "text"),
    [
        (None, ""),
        (timedelta(seconds=-3), "0 days"),
        (timedelta(minutes=71), "0 days"),
        (timedelta(minutes=72), "0.1 days"),
        (timedelta(days=1), "1 day"),
        (timedelta(days=1234, hours=12), "1,234.5 days"),
    ],
)
def test_days(taken, text):
    assert days_text(taken) == text


def test_rule_9_only_sites_that_one_works_on(report, alice, live, site_a, site_b, client_for):
    pay(live(site_a), 100, at=at("2026-09-10"))
    pay(live(site_b, currency="USD"), 999, at=at("2026-09-10"))
    live(site_b, amount_minor=55)
    gone = live(site_b)
    pay(gone, 7, at=at("2026-09-10"))
    BillingRequest.objects.filter(pk=gone.pk).update(site=None, site_name="Closed shop")
    mine = report(alice)
    assert numbers(mine) == {"EUR": ({"2026-09": 100}, [("Bakery A", 100)], 0)}
    assert not re.search("Lawyers|Closed|USD", mine.content.decode())
    everything = numbers(report())
    assert everything["EUR"] == ({"2026-09": 107}, [("Bakery A", 100), ("Closed shop", 7)], 55)
    assert everything["USD"][1] == [("Lawyers B", 999)]
    sheet = b"".join(report(alice, export="csv").streaming_content).decode()
    assert "Bakery A" in sheet
    assert not re.search("Lawyers|Closed|USD", sheet)


def test_global_view_right_sees_bills_of_deleted_sites(report, live, site_a, carol):
    request = live()
    pay(request, 7, at=at("2026-09-10"))
    carol.user_permissions.add(Permission.objects.get(codename="view_billingrequest"))
    site_a.delete()
    assert numbers(report(carol))["EUR"][1] == [("Bakery A", 7)]


@pytest.mark.parametrize("who", ["carol", "dora"])
def test_no_report_for_those_who_do_not_bill(
    who, request, site_a, live, report, client_for, admin_url
):
    pay(live(), 100, at=at("2026-09-10"))
    user = client_of(site_a) if who == "dora" else request.getfixturevalue("carol")
    for query in ({}, {"export": "csv"}, {"export": "xlsx"}):
        response = report(user, **query)
        assert (response.status_code, response["Location"]) == (302, reverse("wagtailadmin_home"))
    home = client_for(user).get(reverse("wagtailadmin_home")).content.decode()
    assert admin_url("report") not in home


def test_the_menu_leads_there(alice, boss, client_for, admin_url):
    for user in (alice, boss):
        home = client_for(user).get(reverse("wagtailadmin_home")).content.decode()
        assert admin_url("report") in home


def test_turned_away_by_the_operator(boss, report, settings):
    settings.WAGTAIL_CLIENT_BILLING = {
        **settings.WAGTAIL_CLIENT_BILLING,
        "ACCESS_CHECK": "tests.admin.test_report.nobody",
    }
    assert report().status_code == 403


def nobody(user):
    return False


def test_rule_12_live_unless_test_is_chosen(report, live, site_a, connected_test, make_request):
    trial = make_request(site_a, connected_test, amount_minor=9900)
    pay(trial, at=at("2026-09-10"))
    make_request(site_a, connected_test, amount_minor=42)
    only_test = report()
    assert numbers(only_test) == {"EUR": ({"2026-09": 9900}, [("Bakery A", 9900)], 42)}
    assert "TEST" in only_test.content.decode()
    assert "mode" not in only_test.context["form"].fields
    live(amount_minor=5)
    both = report()
    assert numbers(both) == {"EUR": ({}, [], 5)}
    assert "TEST" not in both.content.decode()
    chosen = report(mode="test")
    assert numbers(chosen) == numbers(only_test)
    assert "TEST" in chosen.content.decode()
    rows = b"".join(report(mode="test", export="csv").streaming_content).decode().splitlines()
    assert {row.rsplit(",", 1)[1] for row in rows[1:]} == {"Test"}


def test_the_last_twelve_months_unless_asked(boss, live, client_for, admin_url):
    live()
    form = client_for(boss).get(admin_url("report")).context["form"]
    today = timezone.localdate()
    assert form.period.end == today
    assert len(list(form.period.months())) == 12
    assert form.period.start.day == 1
    assert form["start"].value() == form.period.start.isoformat()
    form = client_for(boss).get(admin_url("report"), {"end": "2024-03-15"}).context["form"]
    assert (str(form.period.start), str(form.period.end)) == ("2023-04-01", "2024-03-15")


@pytest.mark.parametrize(
    ("query", "field", "error"),
    [
        ({"start": "yesterday"}, "start", "Enter a valid date."),
        ({"start": "2026-02-30"}, "start", "Enter a valid date."),
        ({"end": "30/11/2026"}, "end", "Enter a valid date."),
        ({"end": "\0"}, "end", "Enter a valid date."),
        ({"start": "0001-01-01"}, "start", "Choose a day between 2000 and 2099."),
        ({"end": "9999-12-31"}, "end", "Choose a day between 2000 and 2099."),
        ({"start": "2026-12-01"}, "end", "The last day is before the first one."),
        ({"start": "2016-11-30"}, "start", "Choose at most 10 years."),
        ({"mode": "both"}, "mode", "Select a valid choice."),
    ],
)
def test_errors_stand_beside_their_field(
    query, field, error, report, live, site_a, connected_test, make_request
):
    make_request(site_a, connected_test)
    pay(live(), 100)
    response = report(**query)
    assert response.status_code == 200
    form = response.context["form"]
    assert list(form.errors) == [field]
    assert form.errors[field][0].startswith(error)
    page = response.content.decode()
    assert f'id="id_{field}"' in page
    assert 'aria-invalid="true"' in page
    if field == "mode":
        assert str(form.period.start) == AUTUMN["start"]
    else:
        assert form[field].value() == {**AUTUMN, **query}[field]
        assert form.period.end == timezone.localdate()
        assert numbers(response)["EUR"][1] == [("Bakery A", 100)]


@pytest.mark.parametrize(
    "query",
    [
        {"start": "<script>alert(1)</script>"},
        {"start": "x" * 10**6},
        {"start": "2026-09-01\r\nX: y"},
        {"start": "٢٠٢٦-٠٩-٠١"},
        {"end": "🧾"},
        {"mode": "‮evil"},
        {"export": "exe"},
        {"start": ["2026-09-01", "2026-10-01"]},
        {"start": "2000-01-01", "end": "2009-12-31"},
        {"start": "2099-12-31", "end": "2099-12-31"},
    ],
)
@pytest.mark.parametrize("zone", ["UTC", "Pacific/Kiritimati", "Pacific/Niue"])
def test_hostile_input_is_only_text(query, zone, report, live, boss):
    pay(live(), 100, at=at("2026-09-10"))
    with override_settings(TIME_ZONE=zone):
        response = report(**query)
    assert response.status_code == 200
    assert len(response.content) < 300_000
    assert "<script>alert" not in response.content.decode()


def test_only_reading(boss, client_for, admin_url, live):
    client = client_for(boss)
    for method in ("post", "put", "patch", "delete"):
        assert getattr(client, method)(admin_url("report")).status_code == 405
    assert client.head(admin_url("report")).status_code == 200


def sheet(report, **query):
    response = report(export="csv", **query)
    text = b"".join(response.streaming_content).decode()
    return list(csv.reader(io.StringIO(text, newline="")))


def test_exports_hold_what_is_shown(report, live, site_a):
    pay(live(), 123456, at=at("2026-09-10"))
    pay(live(currency="KWD"), 1500, at=at("2026-11-10"))
    Site.objects.filter(pk=site_a.pk).update(site_name="=cmd()")
    live(amount_minor=50)
    assert sheet(report) == [
        ["Per", "Month or site", "Currency", "Revenue", "Outstanding now", "Mode"],
        ["Total", "", "EUR", "1234.56", "0.50", "Live"],
        ["Month", "2026-09", "EUR", "1234.56", "", "Live"],
        ["Month", "2026-10", "EUR", "0.00", "", "Live"],
        ["Month", "2026-11", "EUR", "0.00", "", "Live"],
        ["Site", "'=cmd()", "EUR", "1234.56", "", "Live"],
        ["Total", "", "KWD", "1.500", "0.000", "Live"],
        ["Month", "2026-09", "KWD", "0.000", "", "Live"],
        ["Month", "2026-10", "KWD", "0.000", "", "Live"],
        ["Month", "2026-11", "KWD", "1.500", "", "Live"],
        ["Site", "'=cmd()", "KWD", "1.500", "", "Live"],
    ]
    book = report(export="xlsx")
    cells = list(load_workbook(io.BytesIO(b"".join(book.streaming_content))).active)
    assert [cell.value or "" for cell in cells[2]] == [
        "Month",
        "2026-09",
        "EUR",
        1234.56,
        "",
        "Live",
    ]
    assert cells[5][1].value == "'=cmd()"
    assert {cell.data_type for row in cells for cell in row} <= {"s", "inlineStr", "n"}
    assert "client-billing-2026-09-01-2026-11-30.xlsx" in book["Content-Disposition"]


@pytest.mark.parametrize("query", [{}, {"start": "nonsense"}])
def test_the_buttons_export_what_the_page_shows(query, report, live, boss, client_for):
    pay(live(), 100, at=at("2026-09-10"))
    page = report(**query)
    for format in ("CSV", "XLSX"):
        found = re.search(rf'href="([^"]*export={format.lower()}[^"]*)"', page.content.decode())
        response = client_for(boss).get(unescape(found[1]))
        period = page.context["form"].period
        assert f"client-billing-{period.start}-{period.end}" in response["Content-Disposition"]


def test_a_name_that_no_spreadsheet_file_can_hold(report, live, site_a):
    pay(live(), 100, at=at("2026-09-10"))
    Site.objects.filter(pk=site_a.pk).update(site_name="Ba\x01kery\x0b")
    book = report(export="xlsx")
    cells = list(load_workbook(io.BytesIO(b"".join(book.streaming_content))).active)
    assert cells[5][1].value == "Bakery"


def test_exports_are_in_the_readers_language(report, live, boss):
    from wagtail.users.models import UserProfile

    profile = UserProfile.get_for_user(boss)
    profile.preferred_language = "fr"
    profile.save()
    pay(live(), 100, at=at("2026-09-10"))
    rows = sheet(report)
    assert rows[0][2] == "Devise"
    assert [rows[1][0], rows[2][0]] == ["Total", "Mois"]
    page = report().content.decode()
    assert "sept. 2026" in page
    assert "1,00\N{NO-BREAK SPACE}€" in page


def test_a_currency_that_we_do_not_know(report, live):
    request = live()
    BillingRequest.objects.update(currency="XTS")
    request.refresh_from_db()
    pay(request, 5, at=at("2026-09-10"))
    assert "5 XTS" in report().content.decode()
    assert ["Site", "Bakery A", "XTS", "5", "", "Live"] in sheet(report)


def test_the_best_sites_and_the_rest_of_them(report, live, site_a):
    page = home_page("Many", "many")
    sites = Site.objects.bulk_create(
        Site(hostname=f"s{n}.example.com", site_name=f"Site {n:02}", root_page=page)
        for n in range(23)
    )
    for n, site in enumerate(sites):
        pay(live(site), 1000 + n, at=at("2026-09-10"))
    pay(live(sites[0], currency="USD"), 1, at=at("2026-09-10"))
    found = numbers(report())
    ranked = found["EUR"][1]
    assert ranked[:2] == [("Site 22", 1022), ("Site 21", 1021)]
    assert ranked[19:] == [("Site 03", 1003), ("3 other sites", 1000 + 1001 + 1002)]
    assert sum(revenue for _name, revenue in ranked) == sum(found["EUR"][0].values())
    assert found["USD"][1] == [("Site 00", 1)]


def test_a_site_goes_by_the_name_that_it_has_now(report, live, site_a):
    for day in ("10", "11"):
        pay(live(), 100, at=at(f"2026-09-{day}"))
        Site.objects.update(site_name="Boulangerie A")
    assert numbers(report())["EUR"][1] == [("Boulangerie A", 200)]
    Site.objects.update(site_name="")
    assert numbers(report())["EUR"][1] == [("a.example.com", 200)]


def test_neither_queries_nor_rows_grow_with_the_requests(report, live, site_a, alice):
    request = live()
    pay(request, at=at("2026-09-10"))

    def measured():
        with counted() as found:
            assert report(alice).status_code == 200
        return found

    def many(count):
        rows = copies(request, count)
        made = Payment.objects.bulk_create(
            Payment(
                request=row,
                account_id=row.account_id,
                livemode=True,
                source=f"pi_many_{row.number}",
                amount_minor=100,
                currency="EUR",
                received_at=at("2026-10-10"),
            )
            for row in rows
        )
        refund(made[0], 50)

    measured()
    many(10)
    few = measured()
    many(2000)
    lots = measured()
    assert lots.queries == few.queries
    assert lots.fetched() == few.fetched()


def test_the_picture_says_the_same_as_its_table(report, live):
    pay(live(), 10000, at=at("2026-09-10"))
    pay(live(), 2500, at=at("2026-11-10"))
    page = report().content.decode()
    svg = re.search(r"<svg class=\"wcb-chart.*?</svg>", page, re.DOTALL)[0]
    assert 'role="img"' in svg
    assert "style=" not in svg
    title = re.search(r'<title id="wcb-chart-EUR">(.*?)</title>', svg)[1]
    assert title == "Revenue per month, EUR"
    assert 'aria-labelledby="wcb-chart-EUR"' in svg
    assert "The highest is Sep 2026 with €100.00." in svg
    heights = re.findall(r'<rect class="wcb-chart__bar"[^>]* height="(\d+)"', svg)
    assert heights == ["180", "0", "45"]
    for month, amount in (("Sep 2026", "€100.00"), ("Oct 2026", "€0.00"), ("Nov 2026", "€25.00")):
        assert f"<title>{month}: {amount}</title>" in svg
        row = re.search(rf"<tr>(?:(?!</tr>).)*{month}(?:(?!</tr>).)*</tr>", page, re.DOTALL)[0]
        assert amount in row


def test_numbers_in_the_picture_are_never_localized(report, live, settings):
    settings.USE_THOUSAND_SEPARATOR = True
    pay(live(), 10000, at=at("2026-09-10"))
    page = report(start="2016-12-01").content.decode()
    assert len(re.findall('<rect class="wcb-chart__bar"', page)) == 120
    for value in re.findall(r'<(?:rect|line|text)[^>]* (?:x|y|width|height)="([^"]*)"', page):
        assert re.fullmatch(r"\d+(\.\d\d%)?", value), value


@pytest.mark.parametrize(
    ("highest", "lines"),
    [
        (0, ["2", "1", "0"]),
        (1, ["2", "1", "0"]),
        (3, ["4", "2", "0"]),
        (10, ["10", "5", "0"]),
        (41, ["50", "25", "0"]),
        (100, ["100", "50", "0"]),
        (101, ["200", "100", "0"]),
        (99_999_999, ["100000000", "50000000", "0"]),
    ],
)
def test_round_numbers_beside_the_picture(highest, lines):
    chart = bar_chart([("Jan", highest), ("Feb", 0)], str)
    assert [line.value for line in chart.lines] == lines
    assert (chart.highest is None) == (highest == 0)


def test_little_is_not_nothing_and_less_than_nothing_has_no_bar():
    chart = bar_chart([("Jan", 10**9), ("Feb", 1), ("Mar", 0), ("Apr", -5)], str)
    assert [bar.height for bar in chart.bars] == ["180", "1", "0", "0"]
    assert bar_chart([], str).highest is None


@pytest.mark.parametrize(
    ("months", "on_a_desk", "on_a_phone"),
    [(1, 1, 1), (3, 3, 3), (12, 6, 3), (13, 5, 3), (120, 6, 3)],
)
def test_as_many_words_as_have_room(months, on_a_desk, on_a_phone):
    bars = bar_chart([(str(n), n) for n in range(months)], str).bars
    assert sum(bar.word for bar in bars) == on_a_desk
    assert sum(bar.always for bar in bars) == on_a_phone
    assert all(bar.word for bar in bars if bar.always)


def test_nothing_yet_and_nothing_in_this_time(alice, report, live, site_a, site_url):
    empty = report(alice).content.decode()
    assert "Nothing to report yet" in empty
    assert site_url(site_a) in empty
    request = live()
    pay(request, 100, at=at("2020-01-01"))
    assert "nothing is waiting to be paid" in report(alice).content.decode()
    live()
    assert "Nothing came in during this time" in report(alice).content.decode()
