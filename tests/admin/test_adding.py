"""Add Billing Request: what is taken, what is refused, and that nothing typed is lost."""

import html
import json
import re

import pytest
import time_machine
from django.contrib.messages import get_messages
from django.db import transaction
from django.test import override_settings
from django.utils import timezone

from tests.fixtures import LIVE_KEY, TEST_KEY, make_connection
from wagtail_client_billing.models import (
    BillingRequest,
    EmailDelivery,
    LogEntry,
    SiteBillingSettings,
    StripeConnection,
)


def messages_of(response):
    return [str(message) for message in get_messages(response.wsgi_request)]


def errors_of(response):
    return {name: list(errors) for name, errors in response.context["form"].errors.items()}


def tokens_in(response):
    return re.findall(r'name="csrfmiddlewaretoken" value="([^"]+)"', response.content.decode())


def test_the_dialog_sends_a_request(
    alice, site_a, connected_test, typed, client_for, site_url, admin_url
):
    client = client_for(alice, enforce_csrf_checks=True)
    page = client.get(site_url(site_a))
    text = page.content.decode()
    assert "Add Billing Request" in text and "Send Billing Request" in text
    settings_form, dialog = tokens_in(page)
    back = re.search(r'name="next" value="([^"]+)"', text)[1]
    assert client.post(admin_url("add"), typed).status_code == 403
    response = client.post(admin_url("add"), {**typed, "csrfmiddlewaretoken": dialog, "next": back})
    assert response.status_code == 302
    assert response["Location"] == back == site_url(site_a) + "#tab-requests"
    made = BillingRequest.objects.get()
    assert (made.site, made.email, made.currency, made.amount_minor) == (
        site_a,
        "new@customer-of-a.example",
        "EUR",
        123450,
    )
    assert (made.livemode, made.account_id) == (False, connected_test.account_id)
    assert (made.description, made.created_by) == ("Website, November", alice)
    assert made.deliveries.get().state == EmailDelivery.State.QUEUED
    assert made.log_entries.get().user == alice
    assert made.number in messages_of(response)[0]
    text = client.get(site_url(site_a)).content.decode()
    assert made.number in text and "€1,234.50" in text and "E-mail queued" in text


def test_a_foreign_next_is_ignored(alice, site_a, connected_test, typed, client_for, admin_url):
    response = client_for(alice).post(admin_url("add"), {**typed, "next": "https://evil.example/"})
    assert response["Location"].startswith("/admin/")


def test_it_calls_nobody_and_works_inside_a_transaction(
    alice, connected_test, typed, client_for, admin_url
):
    with transaction.atomic():
        assert client_for(alice).post(admin_url("add"), typed).status_code == 302


def test_nothing_connected_says_who_can_connect(
    alice, boss, site_a, typed, client_for, site_url, admin_url
):
    text = client_for(alice).get(site_url(site_a)).content.decode()
    assert "No Stripe account is connected yet" in text
    assert "boss" in text
    assert "Send Billing Request" not in text
    assert "tab-client_billing" not in text
    assert "#tab-client_billing" in client_for(boss).get(site_url(site_a)).content.decode()
    assert "Send Billing Request" not in client_for(alice).get(admin_url("add")).content.decode()
    response = client_for(alice).post(admin_url("add"), typed)
    assert response.status_code == 200
    assert not BillingRequest.objects.exists()


def test_broken_connections_are_no_connections(alice, connected_test, typed, client_for, admin_url):
    StripeConnection.objects.update(broken_at="2026-11-01T00:00Z")
    response = client_for(alice).post(admin_url("add"), typed)
    assert response.status_code == 200
    assert "cannot be used at the moment" in response.content.decode()
    assert not BillingRequest.objects.exists()


@pytest.mark.parametrize(
    ("changed", "field", "words"),
    [
        ({"email": ""}, "email", "required"),
        ({"email": "nobody"}, "email", "valid email"),
        ({"email": "a@b.example\r\nBcc: x@y.example"}, "email", ""),
        ({"currency": ""}, "currency", "required"),
        ({"currency": "XXX"}, "currency", "valid choice"),
        ({"amount": ""}, "amount", "required"),
        ({"amount": "a lot"}, "amount", "1,234.50"),
        ({"amount": "-5"}, "amount", "1,234.50"),
        ({"amount": "1e3"}, "amount", "1,234.50"),
        ({"amount": "NaN"}, "amount", "1,234.50"),
        ({"amount": "0"}, "amount", "above zero"),
        ({"language": "tlh"}, "language", "valid choice"),
        ({"link_lifetime_number": "0"}, "link_lifetime", "greater than or equal to 1"),
        ({"link_lifetime_number": "91", "link_lifetime_unit": "days"}, "link_lifetime", "90 days"),
        ({"link_lifetime_number": "5", "link_lifetime_unit": "years"}, "link_lifetime", "choice"),
        ({"link_lifetime_number": "5"}, "link_lifetime", "complete"),
        ({"amount": "1.005"}, "amount", "two decimals"),
        ({"amount": "1,000,000.00"}, "amount", "€999,999.99"),
        ({"amount": "5.5", "currency": "JPY"}, "amount", "no decimals"),
        ({"amount": "5.5", "currency": "ISK"}, "amount", "no decimals"),
        ({"amount": "1.234", "currency": "KWD"}, "amount", "two decimals"),
        ({"amount": "٣٫٥"}, "amount", ""),
        ({"description": "a\nb"}, "description", "Line breaks"),
        ({"description": "x" * 251}, "description", "250"),
        ({"billing_type": "daily"}, "billing_type", "valid choice"),
        ({"ends_after": "12"}, "ends_after", "one-time bill has no end"),
        ({"ends_on": "2999-01-01"}, "ends_on", "one-time bill has no end"),
        ({"billing_type": "monthly", "ends_after": "1"}, "ends_after", "equal to 2"),
        ({"billing_type": "monthly", "ends_after": "-3"}, "ends_after", "equal to 2"),
        ({"billing_type": "monthly", "ends_after": "241"}, "ends_after", "at most 240"),
        ({"billing_type": "yearly", "ends_after": "21"}, "ends_after", "at most 20"),
        ({"billing_type": "weekly", "ends_after": "9" * 30}, "ends_after", "1040"),
        ({"billing_type": "weekly", "ends_after": "a few"}, "ends_after", "whole number"),
        ({"billing_type": "weekly", "ends_on": "tomorrow"}, "ends_on", "valid date"),
        ({"billing_type": "weekly", "ends_on": "2020-01-01"}, "ends_on", "after today"),
        ({"billing_type": "weekly", "ends_on": "9999-12-31"}, "ends_on", "too far"),
        (
            {"billing_type": "weekly", "ends_on": "2030-01-01", "ends_after": "3"},
            "ends_on",
            "one of the two",
        ),
        ({"billing_type": ""}, "billing_type", "required"),
        ({"success_url": ""}, "success_url", "required"),
        ({"success_url": "http://customer.example/"}, "success_url", "https://"),
        ({"success_url": "javascript:alert(1)"}, "success_url", "https://"),
        ({"cancel_url": "https://good@evil.example"}, "cancel_url", "user name"),
        ({"cancel_url": "https:/\\evil.example"}, "cancel_url", "backslashes"),
        ({"test_mode": "false"}, "test_mode", "No live account"),
        ({"test_mode": ""}, "test_mode", "No live account"),
    ],
)
def test_errors_stand_beside_their_field_and_nothing_is_lost(
    changed, field, words, alice, connected_test, typed, client_for, admin_url
):
    data = {**typed, **changed, "next": "/admin/reports/"}
    response = client_for(alice).post(admin_url("add"), data)
    assert response.status_code == 200
    assert not BillingRequest.objects.exists()
    assert words in " ".join(errors_of(response)[field])
    form = response.context["form"]
    for name in typed.keys() - {"test_mode", "site"}:
        assert str(form[name].value()) == data[name]
        if name not in ("currency", "billing_type"):
            assert html.escape(data[name]) in html.unescape(response.content.decode()) or data[
                name
            ] in html.unescape(response.content.decode())
    assert 'value="/admin/reports/"' in response.content.decode()


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("one_time", "€49.00, one time"),
        ("weekly", "€49.00 now, then €49.00 every week"),
        ("monthly", "€49.00 now, then €49.00 every month"),
        ("quarterly", "€49.00 now, then €49.00 every three months"),
        ("yearly", "€49.00 now, then €49.00 every year"),
    ],
)
def test_every_billing_type_is_said_back_and_sent(
    kind, words, alice, connected_test, typed, client_for, admin_url
):
    client = client_for(alice)
    data = {**typed, "amount": "49", "billing_type": kind}
    assert words in client.post(admin_url("said_back"), data).content.decode()
    assert client.post(admin_url("add"), data).status_code == 302
    made = BillingRequest.objects.get()
    assert (made.billing_type, made.ends_after, made.ends_on) == (kind, None, None)
    page = client.get(admin_url("edit", made.pk)).content.decode()
    assert f"for {words.removesuffix(', one time')}." in page


@pytest.mark.parametrize(
    ("end", "words"),
    [
        ({"ends_after": "12"}, "12 payments in all"),
        ({"ends_on": "2030-12-31"}, "until Dec. 31, 2030"),
    ],
)
def test_an_agreed_end_is_kept_and_shown(
    end, words, alice, connected_test, typed, client_for, admin_url
):
    client = client_for(alice)
    data = {**typed, "billing_type": "monthly", **end}
    with time_machine.travel("2026-11-22T12:00Z"):
        client.post(admin_url("add"), data)
        made = BillingRequest.objects.get()
        ((name, value),) = end.items()
        assert str(getattr(made, name)) == value
        for page in ("inspect", "edit"):
            assert words in client.get(admin_url(page, made.pk)).content.decode()
        BillingRequest.objects.update(status="expired")
        again = client.get(admin_url("send_again", made.pk))
        assert str(again.context["form"][name].value()) == value
        assert 'wcb-more" open' in again.content.decode()
    with time_machine.travel("2031-01-01T12:00Z"):
        client = client_for(alice)
        again = client.get(admin_url("send_again", made.pk)).context["form"]
        # A day that is over is not proposed again.
        assert again["ends_on"].value() is None


def rules_in(response):
    """By which billing types the page shows the fields of an agreed end; empty if always."""
    rules = re.search(r'data-w-rules="([^"]+)"', response.content.decode())
    return json.loads(html.unescape(rules[1])) if rules else {}


def test_an_end_is_asked_for_with_recurring_types_only_unless_it_has_to_be_mended(
    alice, site_a, connected_test, typed, client_for, site_url, admin_url
):
    client = client_for(alice)
    recurring = {"billing_type": ["weekly", "monthly", "quarterly", "yearly"]}
    for page in (client.get(site_url(site_a)), client.get(f"{admin_url('add')}?site={site_a.pk}")):
        assert rules_in(page) == recurring
        # Who has no JavaScript sees them.
        assert not re.search(r'<fieldset class="wcb-ends"[^>]* hidden', page.content.decode())
    data = {**typed, "billing_type": "monthly", "ends_after": "1"}
    assert rules_in(client.post(admin_url("add"), data)) == recurring
    for end in ({"ends_after": "12"}, {"ends_on": "tomorrow"}):
        assert rules_in(client.post(admin_url("add"), {**typed, **end})) == {}


HOSTILE = {
    "a million letters": "x" * 1_000_000,
    "NUL": "a\0b",
    "line breaks": "a\r\nBcc: c@d.example",
    "emoji": "\N{MONEY BAG}\N{VARIATION SELECTOR-16}" * 50,
    "right to left": "\N{RIGHT-TO-LEFT OVERRIDE}moc.elpmaxe",
    "markup": "<script>alert(1)</script>",
    "half a pair": "\ud800",
    "template": "{{ settings.SECRET_KEY }}{% debug %}",
}


@pytest.mark.parametrize("name", list(HOSTILE))
@pytest.mark.parametrize(
    "field",
    ["email", "currency", "amount", "billing_type", "success_url", "cancel_url", "test_mode"],
)
def test_hostile_text_gives_an_error_and_never_a_crash(
    name, field, alice, connected_test, typed, client_for, admin_url
):
    text = HOSTILE[name].encode("utf-8", "replace").decode()
    response = client_for(alice).post(admin_url("add"), {**typed, field: text})
    if field == "test_mode":
        # Whatever is not "false" is a ticked box.
        assert response.status_code == 302
        assert BillingRequest.objects.get().livemode is False
    else:
        assert response.status_code == 200
        assert field in errors_of(response)
        assert "<script>alert(1)" not in response.content.decode()


@pytest.mark.parametrize("name", list(HOSTILE))
def test_hostile_descriptions(name, alice, connected_test, typed, client_for, admin_url):
    text = HOSTILE[name].encode("utf-8", "replace").decode()
    response = client_for(alice).post(admin_url("add"), {**typed, "description": text})
    if name in ("a million letters", "NUL", "line breaks"):
        assert "description" in errors_of(response)
    else:
        assert BillingRequest.objects.get().description == text
        page = (
            client_for(alice)
            .get(admin_url("inspect", BillingRequest.objects.get().pk))
            .content.decode()
        )
        assert "<script>alert(1)" not in page


def test_what_is_not_asked_for_changes_nothing(
    alice, boss, site_a, connected_test, typed, client_for, admin_url
):
    extra = {
        "status": "paid",
        "livemode": "true",
        "account_id": "acct_other",
        "number": "BR-1",
        "token": "known",
        "amount_minor": "1",
        "created_by": boss.pk,
        "paid_at": "2026-01-01",
        "site_name": "Elsewhere",
        "connection": "7",
    }
    client_for(alice).post(admin_url("add"), {**typed, **extra})
    made = BillingRequest.objects.get()
    assert (made.status, made.livemode, made.account_id) == (
        "pending",
        False,
        connected_test.account_id,
    )
    assert (made.amount_minor, made.created_by, made.paid_at) == (123450, alice, None)
    assert made.number.startswith("TEST-") and made.token != "known"
    assert made.site_name == site_a.site_name


class TestRule12:
    def test_rule_12_one_mode_is_shown_and_fixed(
        self, alice, site_a, connected_test, client_for, site_url
    ):
        text = client_for(alice).get(site_url(site_a)).content.decode()
        assert "Only a test account is connected, Agency test:" in text
        shown = re.search(r'<input[^>]*name="test_mode_shown"[^>]*>', text)[0]
        assert "disabled" in shown and "checked" in shown
        assert '<input type="hidden" name="test_mode" value="true">' in text

    def test_rule_12_a_form_from_before_a_change_is_refused(
        self, alice, connected_test, connected_live, typed, client_for, admin_url
    ):
        client = client_for(alice)
        live = {**typed, "test_mode": "false"}
        StripeConnection.objects.filter(livemode=True).update(unlinked_at="2026-11-01T00:00Z")
        response = client.post(admin_url("add"), live)
        assert "No live account" in errors_of(response)["test_mode"][0]
        assert not BillingRequest.objects.exists()

    def test_rule_12_both_modes_can_be_chosen_and_live_comes_first(
        self, alice, site_a, connected_test, connected_live, typed, client_for, site_url, admin_url
    ):
        client = client_for(alice)
        text = client.get(site_url(site_a)).content.decode()
        box = re.search(r'<input[^>]*name="test_mode"[^>]*>', text)[0]
        assert "disabled" not in box and "checked" not in box
        client.post(admin_url("add"), {**typed, "test_mode": "on"})
        live = {name: value for name, value in typed.items() if name != "test_mode"}
        client.post(admin_url("add"), live)
        assert list(
            BillingRequest.objects.order_by("pk").values_list("livemode", "account_id")
        ) == [(False, connected_test.account_id), (True, connected_live.account_id)]

    def test_rule_12_the_accounts_are_named_and_another_one_is_not_used_unseen(
        self, alice, site_a, connected_test, connected_live, typed, client_for, site_url, admin_url
    ):
        client = client_for(alice)
        text = client.get(site_url(site_a)).content.decode()
        assert "Agency test is the test account, Agency live the live one." in text
        shown = re.search(r'name="accounts" value="([^"]+)"', text)[1]
        StripeConnection.objects.filter(pk=connected_test.pk).update(unlinked_at=timezone.now())
        make_connection(livemode=False, account_id="acct_1Another", account_name="Another")
        response = client.post(admin_url("add"), {**typed, "accounts": shown})
        assert "Another account is connected now: Another." in errors_of(response)["test_mode"][0]
        assert not BillingRequest.objects.exists()
        now = re.search(r'name="accounts" value="([^"]+)"', response.content.decode())[1]
        assert client.post(admin_url("add"), {**typed, "accounts": now}).status_code == 302
        assert BillingRequest.objects.get().account_id == "acct_1Another"

    def test_rule_12_http_is_for_test_mode(
        self, alice, connected_test, connected_live, typed, client_for, admin_url
    ):
        client = client_for(alice)
        here = {**typed, "success_url": "http://localhost:8000/thanks"}
        here.pop("test_mode")
        assert "success_url" in errors_of(client.post(admin_url("add"), here))
        here["test_mode"] = "on"
        assert client.post(admin_url("add"), here).status_code == 302

    def test_rule_12_test_rows_carry_a_badge(
        self, boss, site_a, connected_test, connected_live, make_request, client_for, admin_url
    ):
        make_request(site_a, connected_live)
        client = client_for(boss)
        badge = "wcb-badge--test"
        assert badge not in client.get(admin_url("index")).content.decode()
        test = make_request(site_a, connected_test)
        assert client.get(admin_url("index")).content.decode().count(badge) == 1
        assert badge in client.get(admin_url("inspect", test.pk)).content.decode()


def test_redirect_hosts(settings, alice, connected_test, typed, client_for, admin_url):
    changed = {**settings.WAGTAIL_CLIENT_BILLING, "REDIRECT_HOSTS": ["customer.example"]}
    with override_settings(WAGTAIL_CLIENT_BILLING=changed):
        client = client_for(alice)
        data = {**typed, "cancel_url": "https://elsewhere.example/"}
        assert (
            "elsewhere.example" in errors_of(client.post(admin_url("add"), data))["cancel_url"][0]
        )
        assert client.post(admin_url("add"), typed).status_code == 302


def test_amounts_are_typed_and_shown_in_the_editors_language(
    alice, connected_test, typed, client_for, admin_url
):
    from wagtail.users.models import UserProfile

    profile = UserProfile.get_for_user(alice)
    profile.preferred_language = "fr"
    profile.save()
    client = client_for(alice)
    response = client.post(admin_url("add"), {**typed, "amount": "1 234,50"})
    assert response.status_code == 302
    assert BillingRequest.objects.get().amount_minor == 123450
    assert "234,50" in client.get(admin_url("index")).content.decode()
    assert "1\u202f234,50" in client.get(admin_url("add")).content.decode()
    assert "EUR – euro" in client.get(admin_url("add")).content.decode()


def test_defaults_of_the_site_are_filled_in(
    alice, site_a, connected_test, client_for, site_url, admin_url
):
    SiteBillingSettings.objects.create(
        site=site_a,
        currency="GBP",
        success_url="https://a.example.com/thanks",
        cancel_url="https://a.example.com/cancelled",
    )
    for url in (site_url(site_a), admin_url("add")):
        text = client_for(alice).get(url).content.decode()
        assert 'value="https://a.example.com/thanks"' in text
        assert '<option value="GBP" selected>' in text


def test_rule_8_looking_at_the_form_writes_nothing(
    alice, site_a, connected_test, client_for, admin_url, django_assert_num_queries
):
    client = client_for(alice)
    client.get(admin_url("add"))
    client.get(admin_url("add"), {"site": site_a.pk})
    assert not SiteBillingSettings.objects.exists()
    assert not LogEntry.objects.exists()


def test_the_tab_saves_defaults_and_checks_them(alice, site_a, client_for, site_url):
    client = client_for(alice)
    good = {
        "currency": "CHF",
        "success_url": "https://a.example.com/thanks",
        "cancel_url": "http://localhost:8000/cancelled",
        "billing_address": "https://billing.a.example.com",
        "language": "en",
    }
    assert client.post(site_url(site_a), good).status_code == 302
    row = SiteBillingSettings.objects.get()
    assert (row.currency, row.billing_address) == ("CHF", "https://billing.a.example.com")
    for name, bad in [
        ("currency", "XXX"),
        ("language", "tlh"),
        ("success_url", "http://a.example.com"),
        ("cancel_url", "https://a@b.example"),
        ("billing_address", "javascript:alert(1)"),
        ("billing_address", "https://a.example.com/?page="),
        ("billing_address", "https://a.example.com/#"),
        ("success_url", "a\0b"),
        ("billing_address", "x" * 1_000_000),
    ]:
        response = client.post(site_url(site_a), {**good, name: bad})
        assert response.status_code == 200
        assert name in errors_of(response)
    row.refresh_from_db()
    assert row.success_url == "https://a.example.com/thanks"


def test_rule_10_no_page_holds_a_key(
    boss,
    site_a,
    connected_test,
    connected_live,
    make_request,
    client_for,
    site_url,
    agency_url,
    admin_url,
):
    made = make_request(site_a, connected_test)
    client = client_for(boss)
    urls = [
        agency_url,
        site_url(site_a),
        admin_url("index"),
        admin_url("add"),
        admin_url("inspect", made.pk),
        admin_url("connect"),
        admin_url("unlink", connected_test.pk),
    ]
    for url in urls:
        text = client.get(url).content.decode()
        for secret in (TEST_KEY, LIVE_KEY, connected_test.sealed_key, connected_live.sealed_key):
            assert secret not in text
            assert secret[-12:] not in text


def test_with_several_sites_the_site_comes_first(
    boss, site_a, site_b, connected_test, client_for, admin_url
):
    client = client_for(boss)
    page = client.get(admin_url("add")).content.decode()
    for site in (site_a, site_b):
        assert f'href="?site={site.pk}"' in page
    assert "Send Billing Request" not in page
    for typed, found in [
        ("lawyers", {site_b}),
        ("a.example", {site_a}),
        (" ", {site_a, site_b}),
        ("nobody", set()),
        ("\0", {site_a, site_b}),
        ("x" * 100_000, set()),
        ("<script>", set()),
    ]:
        page = client.get(admin_url("add"), {"q": typed}).content.decode()
        assert {site for site in (site_a, site_b) if f"?site={site.pk}" in page} == found, typed
        assert "<script>x" not in page
    assert (
        "Send Billing Request" in client.get(admin_url("add"), {"site": site_b.pk}).content.decode()
    )
