"""The two lists: what they show, in how many queries, and what they export."""

import csv
import io
from datetime import timedelta

import pytest
from django.db import connection as database
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django.utils.translation import override
from openpyxl import load_workbook

from wagtail_client_billing.admin.badges import badges_of
from wagtail_client_billing.admin.exports import formula_safe
from wagtail_client_billing.admin.formats import relative_text
from wagtail_client_billing.models import BillingRequest, EmailDelivery


def numbers(response):
    return [row.number for row in response.context["object_list"]]


@pytest.mark.parametrize("where", ["index", "index_results", "site"])
def test_no_query_a_row(
    where, alice, site_a, connected_test, make_request, client_for, admin_url, site_url
):
    client = client_for(alice)
    url = site_url(site_a) if where == "site" else admin_url(where)

    def queries():
        with CaptureQueriesContext(
            database,
        ) as captured:
            assert client.get(url).status_code == 200
        return len(captured)

    make_request(site_a, connected_test)
    queries()
    few = queries()
    for _ in range(12):
        make_request(site_a, connected_test)
    assert queries() == few


def test_columns_search_filters_order_and_pages(
    boss, site_a, site_b, connected_test, connected_live, make_request, client_for, admin_url
):
    first = make_request(
        site_a, connected_test, email="anna@x.example", amount_minor=5000, currency="JPY"
    )
    second = make_request(site_b, connected_live, email="bert@x.example")
    BillingRequest.objects.filter(pk=first.pk).update(status="expired")
    client = client_for(boss)
    url = admin_url("index")
    # Long addresses may be broken before their @.
    text = client.get(url).content.decode().replace("<wbr>", "")
    for shown in (first.number, "anna@x.example", "Bakery A", "¥5,000", "Expired", "in 24 hr"):
        assert shown in text, shown
    assert admin_url("inspect", first.pk) in text
    for query, found in [
        ({}, [second, first]),
        ({"q": "anna"}, [first]),
        ({"q": second.number}, [second]),
        ({"status": "expired"}, [first]),
        ({"site": site_b.pk}, [second]),
        ({"livemode": "True"}, [second]),
        ({"ordering": "email"}, [first, second]),
        ({"ordering": "-email"}, [second, first]),
        ({"ordering": "token"}, [second, first]),
        ({"status": "nonsense"}, [second, first]),
        ({"q": "nobody"}, []),
    ]:
        assert numbers(client.get(url, query)) == [row.number for row in found], query
    assert "Clear search and filters" in client.get(url, {"q": "nobody"}).content.decode()
    for _ in range(20):
        make_request(site_a, connected_test)
    assert len(numbers(client.get(url))) == 20
    assert len(numbers(client.get(url, {"p": 2}))) == 2


@pytest.mark.parametrize(
    ("away", "words"),
    [
        (timedelta(minutes=-10), "il y a 10 min"),
        (timedelta(hours=24), "dans 24 h"),
        (timedelta(days=-300), "il y a 10 mois"),
    ],
)
def test_months_are_not_taken_for_minutes(away, words):
    with override("fr"):
        text = relative_text(timezone.now() + away, short=True)
    assert text.replace("\N{NO-BREAK SPACE}", " ") == words


def test_nothing_yet(alice, boss, site_a, carol, client_for, admin_url, site_url):
    text = client_for(alice).get(admin_url("index")).content.decode()
    assert "No invoices yet" in text
    assert site_url(site_a) in text
    assert "No billing requests yet" in client_for(alice).get(site_url(site_a)).content.decode()


def test_hostile_text_is_text(boss, site_a, connected_test, make_request, client_for, admin_url):
    site_a.site_name = "<script>alert(1)</script>"
    site_a.save()
    made = make_request(site_a, connected_test, description="<script>alert(1)</script>")
    for url in (admin_url("index"), admin_url("inspect", made.pk), admin_url("add")):
        assert "<script>alert(1)" not in client_for(boss).get(url).content.decode()


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_exports_hold_no_formula(
    start, boss, site_a, connected_test, make_request, client_for, admin_url
):
    evil = f"{start}1+1"
    made = make_request(site_a, connected_test, email="=1+1@x.example", description=evil)
    BillingRequest.objects.filter(pk=made.pk).update(site_name=evil)
    client = client_for(boss)
    sheet = client.get(admin_url("index"), {"export": "csv"})
    rows = list(csv.reader(io.StringIO(b"".join(sheet.streaming_content).decode(), newline="")))
    assert rows[0][:6] == ["Number", "Client", "Site", "Amount", "Currency", "Description"]
    assert rows[1][1:6] == ["'=1+1@x.example", f"'{evil}", "1234.56", "EUR", f"'{evil}"]
    book = client.get(admin_url("index"), {"export": "xlsx"})
    sheet = load_workbook(io.BytesIO(b"".join(book.streaming_content))).active
    cells = list(sheet[2])
    assert cells[1].value == "'=1+1@x.example"
    assert {cell.data_type for cell in cells if isinstance(cell.value, str)} == {"s"}
    assert cells[3].value == pytest.approx(1234.56)


def test_formula_safe():
    assert [formula_safe(value) for value in ("", None, "a=1", "=1", "\0")] == [
        "",
        "",
        "a=1",
        "'=1",
        "'\0",
    ]


NOW = timezone.now()


@pytest.mark.parametrize(
    ("values", "label"),
    [
        ({"livemode": False}, "TEST"),
        ({"review_since": NOW}, "Needs review"),
        ({"hold": "delete"}, "Being deleted"),
        ({"hold": "unlink"}, "Being closed: the account is being unlinked"),
        ({"paid_late": True, "status": "paid"}, "Paid late"),
        ({"processing_since": NOW}, "Processing"),
        ({"expires_at": NOW - timedelta(minutes=1)}, "Closing"),
        ({"not_confirmed": True, "status": "expired"}, "Not confirmed"),
        ({"delivery": EmailDelivery.State.QUEUED}, "E-mail queued"),
        ({"delivery": EmailDelivery.State.SENDING}, "E-mail sending"),
        ({"delivery": EmailDelivery.State.FAILED}, "E-mail failed"),
        ({"status": "deleted", "delivery": EmailDelivery.State.QUEUED}, None),
        ({}, None),
    ],
)
def test_badges(values, label, site_a, connected_live, make_request, boss, client_for, admin_url):
    delivery = values.pop("delivery", EmailDelivery.State.SENT)
    made = make_request(site_a, connected_live)
    EmailDelivery.objects.update(state=delivery)
    BillingRequest.objects.update(**values)
    found = [badge.label for badge in badges_of(BillingRequest.objects.with_facts().get())]
    assert found == ([label] if label else [])
    for url in (admin_url("index"), admin_url("inspect", made.pk)):
        page = client_for(boss).get(url).content.decode()
        assert ("wcb-badge" in page.replace("wcb-badges", "")) == bool(label)
