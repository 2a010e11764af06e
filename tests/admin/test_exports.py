"""Spreadsheets: all that is filtered, nothing of others, no formula, no more memory for more rows."""

import csv
import io
import itertools
import tracemalloc
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from django.db import connection
from django.utils.translation import get_language
from openpyxl import load_workbook
from wagtail.users.models import UserProfile

from tests.admin.many import make_many
from tests.admin.money_moved import pay, refund
from tests.fixtures import grant
from wagtail_client_billing.admin.exports import COLUMNS, cell_text, formula_safe
from wagtail_client_billing.models import BillingRequest, Payment

# PostgreSQL stores no NUL.
NUL = "" if connection.vendor == "postgresql" else "\0"
STARTS = ["=", "+", "-", "@", "\t", "\r", "\n", *NUL, "＝", "＋", "－", "＠"]
BEFORE = ["", " ", "\u00a0", "\u3000", "\ufeff", "\u200b", "\x01"]
HEADINGS = [
    "Number",
    "Client",
    "Site",
    "Amount",
    "Currency",
    "Description",
    "Billing type",
    "Status",
    "Badges",
    "Live mode",
    "Created",
    "Sent",
    "Expires",
    "Paid",
    "Paid with",
    "Refunded",
    "Subscription",
]
AT = {heading: index for index, heading in enumerate(HEADINGS)}
TEXTS = {"number": 40, "email": 254, "site_name": 255, "description": 250}


@pytest.fixture
def export(client_for, admin_url):
    def read(user, format="csv", **query):
        response = client_for(user).get(admin_url("index"), {**query, "export": format})
        assert response.status_code == 200
        body = b"".join(response.streaming_content)
        if format == "csv":
            return list(csv.reader(io.StringIO(body.decode(), newline="")))
        rows = load_workbook(io.BytesIO(body)).active
        return [[cell.value for cell in row] for row in rows]

    return read


def test_every_column(boss, site_a, connected_test, make_request, export):
    made = make_request(site_a, connected_test, description="Website, November")
    BillingRequest.objects.update(
        status="paid",
        paid_late=True,
        created_at=datetime(2026, 3, 1, 12, tzinfo=UTC),
        paid_at=datetime(2026, 3, 2, 12, tzinfo=UTC),
    )
    Payment.objects.create(
        request=made,
        account_id=made.account_id,
        livemode=False,
        source="pi_1",
        amount_minor=123456,
        currency="EUR",
        method="card",
        last4="4242",
        received_at=datetime(2026, 3, 2, 12, tzinfo=UTC),
    )
    heads, row = export(boss)
    assert heads == HEADINGS
    assert row[: AT["Created"]] == [
        made.number,
        "client@customer.example",
        "Bakery A",
        "1234.56",
        "EUR",
        "Website, November",
        "One time",
        "Paid",
        "TEST, Paid late",
        "False",
    ]
    assert row[AT["Created"]].startswith("2026-03-01 12:00:00")
    assert row[AT["Paid"]].startswith("2026-03-02 12:00:00")
    assert row[AT["Paid with"]] == "Card ending 4242"
    heads, row = export(boss, "xlsx")
    assert heads == HEADINGS
    assert Decimal(str(row[AT["Amount"]])) == Decimal("1234.56")
    assert row[AT["Created"]] == datetime(2026, 3, 1, 12)
    assert row[AT["Paid with"]] == "Card ending 4242"
    assert list(COLUMNS) and len(COLUMNS) == len(HEADINGS)


@pytest.mark.parametrize("format", ["csv", "xlsx"])
def test_what_was_refunded_and_the_subscription(
    format, boss, site_a, connected_test, make_request, export
):
    made = make_request(site_a, connected_test, billing_type="monthly")
    payment = pay(made, intent_id="pi_x")
    row = export(boss, format)[1]
    assert [row[AT["Refunded"]], row[AT["Subscription"]]] in (["", ""], [None, None])
    refund(payment, 3456)
    refund(payment, 100, state="failed")
    made.subscriptions.create(
        account_id=made.account_id, livemode=False, stripe_id="sub_1", status="past_due"
    )
    row = export(boss, format)[1]
    assert Decimal(str(row[AT["Refunded"]])) == Decimal("34.56")
    assert row[AT["Subscription"]] == "Past due"


@pytest.mark.parametrize("format", ["csv", "xlsx"])
def test_no_text_is_ever_a_formula(format, boss, site_a, connected_test, make_request, export):
    """Every text column with every dangerous beginning, also behind what spreadsheets trim."""
    made = make_request(site_a, connected_test)
    values = {
        field.attname: getattr(made, field.attname)
        for field in BillingRequest._meta.concrete_fields
        if field.attname not in ("id", "uuid", "token")
    }
    made.deliveries.all().delete()
    made.log_entries.all().delete()
    made.delete()
    cases = list(itertools.product(TEXTS, BEFORE, STARTS))
    evils = {
        f"{n:04}": (field, f"{before}{start}1+cmd|' /C calc'!A0 {n:04}")
        for n, (field, before, start) in enumerate(cases)
    }
    BillingRequest.objects.bulk_create(
        BillingRequest(**{**values, "number": f"BR-{key}", field: evil})
        for key, (field, evil) in evils.items()
    )
    rows = export(boss, format)[1:]
    assert len(rows) == len(cases)
    seen = set()
    for row in rows:
        for field in TEXTS:
            cell = str(row[list(COLUMNS).index(field)])
            if "cmd" not in cell:
                continue
            key = cell[-4:]
            seen.add(key)
            _field, evil = evils[key]
            assert cell.startswith("'"), repr(evil)
            if format == "csv":
                assert cell == f"'{evil}"
    assert seen == set(evils)


def test_characters_that_a_workbook_refuses(boss, site_a, connected_test, make_request, export):
    refused = NUL + "".join(map(chr, range(1, 32))) + "\ufffe\uffff"
    made = make_request(site_a, connected_test)
    BillingRequest.objects.update(description=f"a{refused}b\U0001f4b8\u202e")
    (_heads, row) = export(boss, "xlsx")
    assert row[0] == made.number
    assert row[AT["Description"]].replace("\r", "\n") in ("a\t\n\nb\U0001f4b8\u202e",)
    assert export(boss)[1][AT["Description"]].startswith(f"a{refused[:5]}")


def test_formula_safe():
    harmless = ["", "a=1", "1+1", "Bakery - bread", "é", "'=1", "a\t=1"]
    assert [formula_safe(text) for text in harmless] == harmless
    assert [formula_safe(text) for text in (None, "=1", " =1", "\0", "＝1")] == [
        "",
        "'=1",
        "' =1",
        "'\0",
        "'＝1",
    ]
    assert formula_safe(" \u200b\u00a0 @1") == "' \u200b\u00a0 @1"
    assert cell_text("\x00=1") == "'=1"


@pytest.mark.parametrize("format", ["csv", "xlsx"])
def test_all_pages_of_what_is_filtered_in_its_order(
    format, boss, alice, site_a, site_b, connected_test, make_request, export
):
    for _ in range(25):
        make_request(site_a, connected_test, email="anna@x.example")
    other = make_request(site_b, connected_test, email="bert@x.example")
    everything = [row[0] for row in export(boss, format)[1:]]
    assert len(everything) == 26
    assert everything[0] == other.number
    assert [row[0] for row in export(boss, format, ordering="number", p="2")[1:]] == sorted(
        everything
    )
    assert len(export(boss, format, q="anna")[1:]) == 25
    assert [row[0] for row in export(boss, format, site=site_b.pk)[1:]] == [other.number]
    assert other.number not in [row[0] for row in export(alice, format)[1:]]


def test_a_client_exports_nothing(carol, site_a, request_a, client_for, admin_url):
    grant(carol.groups.get(), site_a, BillingRequest, "view_billingrequest")
    for name in ("index", "index_results", "own", "own_results"):
        for format in ("csv", "xlsx"):
            response = client_for(carol).get(admin_url(name), {"export": format}, follow=True)
            assert not response.streaming
            assert "attachment" not in response.get("Content-Disposition", "")


def test_an_unknown_currency_is_exported_all_the_same(
    boss, site_a, connected_test, make_request, export
):
    make_request(site_a, connected_test)
    BillingRequest.objects.update(currency="XXX")
    assert export(boss)[1][AT["Amount"]] == "123456 XXX"


def test_more_rows_need_no_more_memory(boss, site_a, connected_test, client_for, admin_url):
    client = client_for(boss)

    def peak():
        response = client.get(admin_url("index"), {"export": "csv"})
        tracemalloc.start()
        try:
            length = sum(len(part) for part in response.streaming_content)
            return length, tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    make_many(1000, [site_a])
    peak()
    small, few = peak()
    make_many(4000, [site_a])
    large, many = peak()
    assert large > 4 * small
    assert many < 1.5 * few, (few, many)


def test_both_files_speak_the_readers_language(
    boss, site_a, connected_test, make_request, client_for, admin_url
):
    make_request(site_a, connected_test)
    profile = UserProfile.get_for_user(boss)
    profile.preferred_language = "fr"
    profile.save()
    client = client_for(boss)
    sheet = client.get(admin_url("index"), {"export": "csv"})
    text = b"".join(sheet.streaming_content).decode()
    for word in ("Numéro", "En attente"):
        assert word in text
    assert get_language() == "en"
