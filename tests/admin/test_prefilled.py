"""What is known of a site: its defaults, how they are checked, and how they fill in the form."""

import html
import re
from datetime import timedelta

import pytest
from django.test import override_settings

from tests.fixtures import make_connection
from wagtail_client_billing.models import BillingRequest, SiteBillingSettings, StripeConnection

GOOD = {
    "currency": "CHF",
    "success_url": "https://a.example.com/thanks",
    "cancel_url": "https://a.example.com/cancelled",
    "link_lifetime_number": "7",
    "link_lifetime_unit": "days",
    "time_zone": "Europe/Zurich",
    "client_emails": "anna@a.example\r\n  bert@a.example \r\n\r\nANNA@a.example\r\n",
    "language": "fr",
    "billing_address": "",
}


def errors_of(response):
    return {name: list(errors) for name, errors in response.context["form"].errors.items()}


def options(text, name):
    """The choices of a list in the form that adds requests, and which one is chosen."""
    inside = re.search(rf'<select[^>]*name="{name}"[^>]*id="wcb-request-.*?</select>', text, re.S)[
        0
    ]
    values = re.findall(r'<option value="([^"]*)"', inside)
    chosen = re.findall(r'<option value="([^"]*)" selected', inside)
    return values, chosen


# --- The tab Defaults -----------------------------------------------------------------------


def test_defaults_are_saved(alice, site_a, client_for, site_url):
    assert client_for(alice).post(site_url(site_a), GOOD).status_code == 302
    row = SiteBillingSettings.objects.get()
    assert (row.currency, row.time_zone, row.language) == ("CHF", "Europe/Zurich", "fr")
    assert row.link_lifetime == timedelta(days=7)
    assert row.client_emails == "anna@a.example\nbert@a.example"
    assert row.emails == ["anna@a.example", "bert@a.example"]
    text = client_for(alice).get(site_url(site_a)).content.decode()
    fields = re.findall(r'<input[^>]*name="link_lifetime_number"[^>]*>', text)
    assert len(fields) == 1 and 'value="7"' in fields[0]


def test_what_is_left_blank_is_the_installations(alice, site_a, settings, client_for, site_url):
    client = client_for(alice)
    client.post(site_url(site_a), GOOD)
    blank = {**GOOD, "link_lifetime_number": "", "time_zone": "", "client_emails": ""}
    assert client.post(site_url(site_a), blank).status_code == 302
    row = SiteBillingSettings.objects.get()
    assert (row.link_lifetime, row.time_zone, row.client_emails) == (None, "", "")
    changed = {**settings.WAGTAIL_CLIENT_BILLING, "LINK_LIFETIME": timedelta(minutes=90)}
    with override_settings(WAGTAIL_CLIENT_BILLING=changed, TIME_ZONE="Asia/Tokyo"):
        text = html.unescape(client.get(site_url(site_a)).content.decode())
    assert "Leave blank for 90 minutes." in text
    assert "The website's own: Asia/Tokyo" in text
    assert "Leave blank for 24 hours." in html.unescape(
        client.get(site_url(site_a)).content.decode()
    )


@pytest.mark.parametrize(
    ("number", "unit", "saved"),
    [
        ("1", "hours", timedelta(hours=1)),
        ("2160", "hours", timedelta(days=90)),
        ("90", "days", timedelta(days=90)),
        ("0", "hours", None),
        ("-5", "days", None),
        ("91", "days", None),
        ("2161", "hours", None),
        ("999999999999", "days", None),
        ("1.5", "hours", None),
        ("9" * 10**6, "hours", None),
        ("5", "weeks", None),
        ("5", "", None),
        ("five", "days", None),
        ("\N{MONEY BAG}", "days", None),
        ("5\0", "days", None),
    ],
)
def test_a_lifetime_has_bounds(number, unit, saved, alice, site_a, client_for, site_url):
    data = {**GOOD, "link_lifetime_number": number, "link_lifetime_unit": unit}
    response = client_for(alice).post(site_url(site_a), data)
    if saved:
        assert response.status_code == 302
        assert SiteBillingSettings.objects.get().link_lifetime == saved
    else:
        assert response.status_code == 200
        assert set(errors_of(response)) == {"link_lifetime"}


@pytest.mark.parametrize(
    ("name", "bad", "words"),
    [
        ("time_zone", "Mars/Olympus", "valid choice"),
        ("time_zone", "../../etc/passwd", "valid choice"),
        ("time_zone", "Factory", "valid choice"),
        ("time_zone", "x" * 10**6, "valid choice"),
        ("client_emails", "anna@a.example\nnobody", "“nobody” is not an e-mail address."),
        ("client_emails", "a@b.example, c@d.example", "is not an e-mail address."),
        ("client_emails", "a@b.example\0", "Null characters"),
        ("client_emails", "<script>alert(1)</script>", "is not an e-mail address."),
        ("client_emails", "\N{RIGHT-TO-LEFT OVERRIDE}a@b.example", "is not an e-mail address."),
        ("client_emails", f"{'x' * 300}@b.example", "is not an e-mail address."),
        ("client_emails", "\n".join(f"c{n}@b.example" for n in range(21)), "at most 20"),
        ("client_emails", "x" * 10**6, "2000"),
    ],
)
def test_what_cannot_be_a_default(name, bad, words, alice, site_a, client_for, site_url):
    response = client_for(alice).post(site_url(site_a), {**GOOD, name: bad})
    assert response.status_code == 200
    assert set(errors_of(response)) == {name}
    assert words in " ".join(errors_of(response)[name])
    assert "<script>alert(1)" not in response.content.decode()
    assert not SiteBillingSettings.objects.filter(currency="CHF").exists()


def test_twenty_addresses_are_kept_once_each(alice, site_a, client_for, site_url):
    emails = [f"c{n}@b.example" for n in range(20)]
    twice = "\n".join([*emails, *(email.upper() for email in emails)])
    assert client_for(alice).post(site_url(site_a), {**GOOD, "client_emails": twice})
    assert SiteBillingSettings.objects.get().emails == emails


# --- Filled in ------------------------------------------------------------------------------


@pytest.fixture
def known(site_a):
    return SiteBillingSettings.objects.create(
        site=site_a,
        currency="GBP",
        language="fr",
        link_lifetime=timedelta(days=3),
        client_emails="anna@a.example\nbert@a.example",
    )


@pytest.fixture
def shown(alice, site_a, connected_test, client_for, site_url, admin_url):
    def shown():
        client = client_for(alice)
        return [client.get(url).content.decode() for url in (site_url(site_a), admin_url("add"))]

    return shown


def test_the_sites_addresses_are_offered(known, shown):
    for text in shown():
        offered = re.search(r'<datalist id="([^"]+)">(.*?)</datalist>', text, re.S)
        assert re.findall(r'value="([^"]+)"', offered[2]) == ["anna@a.example", "bert@a.example"]
        email = re.search(r'<input[^>]*name="email"[^>]*>', text)[0]
        assert f'list="{offered[1]}"' in email and "value=" not in email


def test_the_only_address_is_filled_in(known, shown):
    SiteBillingSettings.objects.update(client_emails="anna@a.example")
    for text in shown():
        assert 'value="anna@a.example"' in re.search(r'<input[^>]*name="email"[^>]*>', text)[0]


def test_language_and_lifetime_are_the_sites(known, shown, alice, client_for, admin_url, typed):
    for text in shown():
        assert options(text, "language") == (["fr", "en"], ["fr"])
        assert options(text, "link_lifetime_unit") == (["hours", "days"], ["days"])
        inside = text[text.index("wcb-more") :]
        assert re.search(r'<input[^>]*name="link_lifetime_number"[^>]*>', inside)
        assert 'value="3"' in re.search(r'<input[^>]*name="link_lifetime_number"[^>]*>', inside)[0]
    # Left out, or left blank: the same.
    client_for(alice).post(admin_url("add"), typed)
    made = BillingRequest.objects.get()
    assert (made.language, made.link_lifetime) == ("fr", timedelta(days=3))


def test_language_and_lifetime_of_one_request(
    known, alice, connected_test, client_for, admin_url, typed
):
    data = {**typed, "language": "en", "link_lifetime_number": "36", "link_lifetime_unit": "hours"}
    assert client_for(alice).post(admin_url("add"), data).status_code == 302
    made = BillingRequest.objects.get()
    assert (made.language, made.link_lifetime) == ("en", timedelta(hours=36))
    assert made.deliveries.get().language == "en"
    again = client_for(alice).get(admin_url("send_again", made.pk))
    form = again.context["form"]
    assert (form["language"].value(), form["link_lifetime"].value()) == ("en", timedelta(hours=36))


@pytest.mark.parametrize(
    ("lifetime", "number", "unit"),
    [
        (timedelta(hours=24), "24", "hours"),
        (timedelta(hours=36), "36", "hours"),
        (timedelta(days=2), "2", "days"),
        (timedelta(minutes=90), "", "hours"),
        (timedelta(seconds=5), "", "hours"),
        (timedelta(days=120), "", "hours"),
    ],
)
def test_any_lifetime_of_the_installation_can_be_sent_as_it_is_shown(
    lifetime, number, unit, shown, settings, alice, connected_test, client_for, admin_url, typed
):
    changed = {**settings.WAGTAIL_CLIENT_BILLING, "LINK_LIFETIME": lifetime}
    with override_settings(WAGTAIL_CLIENT_BILLING=changed):
        for text in shown():
            box = re.search(r'<input[^>]*name="link_lifetime_number"[^>]*id="wcb[^>]*>', text)[0]
            assert ([*re.findall(r'value="(\d+)"', box), ""])[0] == number
            assert options(text, "link_lifetime_unit")[1] == [unit]
        sent = {"link_lifetime_number": number, "link_lifetime_unit": unit}
        response = client_for(alice).post(admin_url("add"), {**typed, **sent})
    assert response.status_code == 302
    assert BillingRequest.objects.get().link_lifetime == lifetime


@pytest.mark.parametrize(
    ("minor", "currency", "amount"),
    [(1230, "KWD", "1.23"), (123450, "KWD", "123.45"), (5000, "JPY", "5000"), (100, "EUR", "1.00")],
)
def test_an_amount_that_is_filled_in_is_no_riddle(
    minor,
    currency,
    amount,
    alice,
    site_a,
    connected_test,
    make_request,
    client_for,
    admin_url,
    typed,
):
    earlier = make_request(site_a, connected_test, amount_minor=minor, currency=currency)
    client, url = client_for(alice), admin_url("send_again", earlier.pk)
    form = client.get(url).context["form"]
    assert form["amount"].value() == amount
    response = client.post(url, {**typed, "amount": amount, "currency": currency})
    assert response.status_code == 302
    assert BillingRequest.objects.latest("pk").amount_minor == minor


def test_more_opens_where_something_is_wrong_in_it(
    alice, connected_test, client_for, admin_url, typed
):
    client = client_for(alice)
    fine = client.post(admin_url("add"), {**typed, "email": ""}).content.decode()
    assert re.search(r'<details class="wcb-details wcb-more">', fine)
    wrong = client.post(admin_url("add"), {**typed, "link_lifetime_number": "0"}).content.decode()
    assert re.search(r'<details class="wcb-details wcb-more" open>', wrong)


# --- Currencies that can be charged ---------------------------------------------------------


def test_only_what_the_accounts_can_charge_is_offered(shown, connected_test, connected_live):
    StripeConnection.objects.filter(livemode=True).update(currencies=["USD", "JPY", "SEK"])
    StripeConnection.objects.filter(livemode=False).update(currencies=["EUR", "USD", "XXX"])
    for text in shown():
        offered, chosen = options(text, "currency")
        assert offered == ["", "EUR", "USD", "SEK", "JPY"], "the common ones first"
        assert chosen == ["EUR"]
    StripeConnection.objects.filter(livemode=True).update(currencies=[])
    for text in shown():
        assert "KWD" in options(text, "currency")[0], "nobody knows what that account can charge"


def test_the_account_of_the_chosen_mode_has_to_charge_it(
    alice, connected_test, connected_live, client_for, admin_url, typed
):
    StripeConnection.objects.filter(livemode=True).update(currencies=["USD"])
    StripeConnection.objects.filter(livemode=False).update(currencies=["EUR"])
    client = client_for(alice)
    live = client.post(admin_url("add"), {**typed, "test_mode": ""})
    assert errors_of(live) == {"currency": ["The account Agency live cannot charge EUR."]}
    assert client.post(admin_url("add"), {**typed, "currency": "USD"}).status_code == 200
    gone = client.post(admin_url("add"), {**typed, "currency": "JPY"})
    assert "valid choice" in errors_of(gone)["currency"][0]
    assert not BillingRequest.objects.exists()
    assert client.post(admin_url("add"), typed).status_code == 302


def test_a_default_that_cannot_be_charged_is_not_chosen(site_a, shown, connected_test):
    StripeConnection.objects.update(currencies=["EUR"])
    SiteBillingSettings.objects.create(site=site_a, currency="GBP")
    for text in shown():
        assert options(text, "currency") == (["", "EUR"], [])


def test_accounts_of_other_modes_or_unlinked_ones_add_nothing(shown, connected_test):
    StripeConnection.objects.update(currencies=["EUR"])
    make_connection(livemode=True, currencies=["USD"], broken_at="2026-11-01T00:00Z")
    for text in shown():
        assert options(text, "currency")[0] == ["", "EUR"]


# --- What a form may not say ----------------------------------------------------------------

ASKED_FOR = {
    "site",
    "email",
    "cc",
    "bcc",
    "language",
    "currency",
    "description",
    "billing_type",
    "ends_after",
    "ends_on",
    "success_url",
    "cancel_url",
    "link_lifetime",
}
OTHERS = sorted(
    {name for field in BillingRequest._meta.concrete_fields for name in (field.name, field.attname)}
    - ASKED_FOR
)


def test_there_are_fields_that_nobody_is_asked_for():
    assert {"status", "livemode", "token", "account_id", "number", "paid_at", "site_id"} <= set(
        OTHERS
    )


@pytest.mark.parametrize("where", ["add", "send_again"])
@pytest.mark.parametrize("value", ["1", "true", "paid", "2020-01-01", "acct_other"])
def test_mass_assignment_changes_nothing(
    where,
    value,
    alice,
    boss,
    site_a,
    site_b,
    connected_test,
    connected_live,
    make_request,
    client_for,
    admin_url,
    typed,
):
    earlier = make_request(site_b if where == "add" else site_a, connected_live)
    before = BillingRequest.objects.filter(pk=earlier.pk).values().get()
    known = {"id": earlier.pk, "pk": earlier.pk, "number": earlier.number, "token": earlier.token}
    extra = {
        **dict.fromkeys(OTHERS, value),
        **known,
        "created_by": boss.pk,
        "created_by_id": boss.pk,
    }
    extra["site_id"] = site_b.pk
    args = [earlier.pk] if where == "send_again" else []
    response = client_for(alice).post(admin_url(where, *args), {**typed, **extra})
    assert response.status_code == 302
    assert BillingRequest.objects.filter(pk=earlier.pk).values().get() == before
    made = BillingRequest.objects.exclude(pk=earlier.pk).get()
    assert (made.site, made.site_name, made.created_by) == (site_a, "Bakery A", alice)
    assert (made.status, made.livemode, made.account_id) == (
        "pending",
        False,
        connected_test.account_id,
    )
    assert (made.amount_minor, made.currency) == (123450, "EUR")
    assert made.expires_at == made.created_at + timedelta(hours=24)
    assert made.number == f"TEST-{made.created_at.year}-{made.pk:06d}"
    assert made.token != earlier.token and len(made.token) == 43
    untouched = {
        field.name: field.get_default()
        for field in BillingRequest._meta.concrete_fields
        if re.match("sent|paid|deleted|processing|not_|review|amended|hold", field.name)
    }
    assert len(untouched) >= 15
    assert {name: getattr(made, name) for name in untouched} == untouched
