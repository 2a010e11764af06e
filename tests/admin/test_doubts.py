"""Amounts that can be read in two ways, bills that are too small or sent twice: confirm or not."""

import re
from datetime import timedelta
from decimal import Decimal

import pytest
from django.test import Client
from django.utils import timezone, translation
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from wagtail_client_billing import lifecycle
from wagtail_client_billing.admin.request_form import BillingRequestForm
from wagtail_client_billing.models import BillingRequest
from wagtail_client_billing.money import CURRENCIES, MoneyError, to_minor

ONCE = "1b4e28ba-2fa1-41d2-883f-0016d3cca427"


def boxes(response):
    """What the page asks to confirm: names and values of its boxes."""
    text = response.content.decode()
    found = re.findall(r'<input type="checkbox" name="(confirm_\w+)" value="([^"]*)"', text)
    return dict(found)


def sent():
    return list(BillingRequest.objects.order_by("pk").values_list("amount_minor", "currency"))


@pytest.fixture
def post(alice, connected_test, typed, client_for, admin_url):
    client = client_for(alice)

    def post(url=None, **changed):
        return client.post(url or admin_url("add"), {**typed, **changed})

    return post


# --- Which amounts can be read in two ways --------------------------------------------------

# Of each locale the mark of thousands and the mark of decimals, as a keyboard has them.
MARKS = {
    "en": (",", "."),
    "fr": (" ", ","),
    "de": (".", ","),
    "de-ch": ("'", "."),
    "sv": (" ", ","),
    "ja": (",", "."),
}
CODES = ("JPY", "KRW", "EUR", "SEK", "CHF", "USD", "KWD", "TND")


def readings(typed, code):
    """Everything that anybody, whatever their locale, could take the amount for.

    Written down apart from the product: a mark with three digits behind it separates thousands
    or decimals. Nobody has decimals of a currency without any.
    """
    found = set()
    if re.fullmatch(r"[1-9]\d{0,2}([ '.,])\d{3}(\1\d{3})*", typed) or typed.isdecimal():
        found.add(Decimal(re.sub(r"\D", "", typed)))
    if re.fullmatch(r"\d+[.,]\d+", typed):
        found.add(Decimal(typed.replace(",", ".")))
    both = re.fullmatch(r"(\d{1,3}(?:[ '.,]\d{3})+)([.,])(\d+)", typed)
    if both:
        found.add(Decimal(re.sub(r"\D", "", both[1]) + "." + both[3]))
    return found


def ambiguous(typed, locale, code):
    if not re.fullmatch(r"[1-9]\d{0,2}[.,]\d{3}", typed):
        return False
    thousands, _decimals = MARKS[locale]
    is_thousands = typed[-4] == thousands
    return len(readings(typed, code)) == 2 and (not is_thousands or CURRENCIES[code].digits > 0)


amounts = st.one_of(
    st.from_regex(r"[0-9]{1,4}[.,' ][0-9]{1,4}", fullmatch=True),
    st.from_regex(r"[1-9][0-9]{0,2}[.,][0-9]{3}", fullmatch=True),
    st.from_regex(r"[1-9][0-9]{0,2}[.,' ][0-9]{3}[.,][0-9]{2}", fullmatch=True),
    st.from_regex(r"[0-9]{1,7}", fullmatch=True),
)


def form_for(user, site, connection, typed, **changed):
    data = {**typed, **changed}
    return BillingRequestForm(data, user=user, site=site, connections={False: connection})


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(amount=amounts, locale=st.sampled_from(sorted(MARKS)), code=st.sampled_from(CODES))
@example(amount="1,234", locale="en", code="EUR")
@example(amount="1.234", locale="de", code="EUR")
@example(amount="1.230", locale="en", code="EUR")
@example(amount="1.230", locale="de-ch", code="KWD")
@example(amount="1,230", locale="fr", code="KWD")
@example(amount="1.000", locale="ja", code="JPY")
@example(amount="1,000", locale="ja", code="JPY")
@example(amount="100.000", locale="en", code="KRW")
def test_rule_1_an_ambiguous_amount_is_never_sent_unasked_and_no_other_asks(
    amount, locale, code, boss, site_a, connected_test, typed
):
    with translation.override(locale):
        form = form_for(boss, site_a, connected_test, typed, amount=amount, currency=code)
        valid = form.is_valid()
        asks = {doubt.kind for doubt in form.doubts}
        if "amount" in form.errors:
            return
        taken = form.cleaned_data["amount_minor"]
        assert taken in {
            minor for each in readings(amount, code) if (minor := in_minor(each, code))
        }
        assert ("reading" in asks) == ambiguous(amount, locale, code)
        assert valid == (not asks)
        confirmed = {doubt.name: doubt.confirms for doubt in form.doubts}
        again = form_for(
            boss, site_a, connected_test, typed, amount=amount, currency=code, **confirmed
        )
        assert again.is_valid() and again.cleaned_data["amount_minor"] == taken


def in_minor(amount, code):
    try:
        return to_minor(amount, code)
    except MoneyError:
        return None


@pytest.mark.parametrize(
    ("locale", "amount", "code", "shown", "other"),
    [
        ("en", "1,234", "EUR", "€1,234.00", "1.234 EUR"),
        ("en", "1.230", "EUR", "€1.23", "€1,230.00"),
        ("de", "1.234", "EUR", "1.234,00\xa0€", "1,234 EUR"),
        ("en", "1,230", "KWD", "KWD\xa01,230.000", "KWD\xa01.230"),
        ("ja", "100.000", "JPY", "￥100", "￥100,000"),
    ],
)
def test_both_readings_are_shown_as_money(
    locale, amount, code, shown, other, boss, site_a, connected_test, typed
):
    with translation.override(locale):
        form = form_for(boss, site_a, connected_test, typed, amount=amount, currency=code)
        assert not form.is_valid()
        assert form.errors.as_data()["__all__"][0].code == "unconfirmed"
        (doubt,) = form.doubts
        assert shown in doubt.text and other in doubt.text and amount in doubt.text
        assert shown in doubt.label


# --- One way to confirm ---------------------------------------------------------------------


def test_a_doubt_is_shown_and_confirmed_on_the_page(
    alice, site_a, connected_test, typed, client_for, admin_url
):
    client = client_for(alice, enforce_csrf_checks=True)
    page = client.get(admin_url("add"))

    def fields(response):
        text = response.content.decode()
        token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', text)[1]
        once = re.search(r'name="once" value="([^"]+)"', text)[1]
        return {"csrfmiddlewaretoken": token, "once": once}

    data = {**typed, **fields(page), "amount": "1,234", "next": "/admin/reports/"}
    response = client.post(admin_url("add"), data)
    assert response.status_code == 200 and sent() == []
    text = response.content.decode()
    assert "“1,234” can be read in two ways: as €1,234.00 or as 1.234 EUR." in text
    assert boxes(response) == {"confirm_reading": "123400 EUR"}
    assert fields(response)["once"] == data["once"], "it is the same form"
    form = response.context["form"]
    for name in typed.keys() - {"test_mode", "site", "amount"}:
        assert str(form[name].value()) == typed[name]
    assert 'value="1,234"' in text and 'value="/admin/reports/"' in text
    done = client.post(admin_url("add"), {**data, **fields(response), **boxes(response)})
    assert done.status_code == 302 and done["Location"] == "/admin/reports/"
    assert sent() == [(123400, "EUR")]


@pytest.mark.parametrize(
    "confirmed",
    ["", "on", "true", "123400", "123400 USD", "123500 EUR", "123400 EUR ", "x" * 10**6],
)
def test_a_box_confirms_what_it_says_and_nothing_else(confirmed, post):
    assert post(amount="1,234", confirm_reading=confirmed).status_code == 200
    assert sent() == []
    assert post(amount="1,235", confirm_reading="123400 EUR").status_code == 200
    assert post(amount="1,234", currency="USD", confirm_reading="123400 EUR").status_code == 200
    assert post(amount="1,234", confirm_minimum="123400 EUR").status_code == 200
    assert sent() == []
    assert post(amount="1,234", confirm_reading="123400 EUR").status_code == 302
    assert sent() == [(123400, "EUR")]


@pytest.mark.parametrize("amount", ["0.49", "0.01"])
def test_less_than_stripes_minimum_is_a_doubt(amount, post):
    response = post(amount=amount)
    assert "Most Stripe accounts cannot take less than €0.50." in response.content.decode()
    assert sent() == []
    assert post(amount=amount, **boxes(response)).status_code == 302
    assert sent() == [(round(float(amount) * 100), "EUR")]


@pytest.mark.parametrize("amount", ["0", "0.00", "00"])
def test_nothing_is_no_amount_whoever_confirms_it(amount, post):
    response = post(amount=amount, confirm_minimum="0 EUR")
    assert response.context["form"].errors["amount"] == ["Enter an amount above zero."]
    assert boxes(response) == {} and sent() == []


def test_several_doubts_are_confirmed_each(post):
    assert post(amount="0.20", confirm_minimum="20 EUR").status_code == 302
    response = post(amount="0.20", confirm_minimum="20 EUR")
    assert set(boxes(response)) == {"confirm_minimum", "confirm_repeat"}
    checked = re.findall(r'name="(confirm_\w+)"[^>]* checked', response.content.decode())
    assert checked == ["confirm_minimum"]
    assert len(sent()) == 1
    assert post(amount="0.20", **boxes(response)).status_code == 302


# --- The same bill once more ----------------------------------------------------------------


def test_the_same_bill_within_ten_minutes_asks(post):
    assert post().status_code == 302
    (first,) = BillingRequest.objects.all()
    response = post(email="NEW@customer-of-a.example")
    assert boxes(response) == {"confirm_repeat": f"123450 EUR {first.number}"}
    assert f"{first.number} asked new@customer-of-a.example for €1,234.50" in (
        response.content.decode()
    )
    assert len(sent()) == 1
    assert post(email="NEW@customer-of-a.example", **boxes(response)).status_code == 302
    third = post(**boxes(response))
    assert third.status_code == 200, "what was confirmed was one more, not every further one"
    assert len(sent()) == 2


@pytest.mark.parametrize(
    "changed",
    [
        {"email": "other@customer-of-a.example"},
        {"amount": "1,234.51"},
        {"currency": "USD"},
    ],
)
def test_another_bill_is_another_bill(changed, post):
    post()
    assert post(**changed).status_code == 302


def test_another_site_mode_or_time_is_another_bill(
    boss, site_a, site_b, connected_test, connected_live, make_request, client_for, typed, admin_url
):
    def ask(**changed):
        values = {**typed, "email": "client@customer.example", "amount": "1,234.56", **changed}
        return client_for(boss).post(admin_url("add"), values)

    same = make_request(site_a, connected_test)
    assert ask(site=site_b.pk).status_code == 302
    assert ask(test_mode="").status_code == 302
    assert ask().status_code == 200
    BillingRequest.objects.filter(pk=same.pk).update(
        created_at=timezone.now() - timedelta(minutes=10, seconds=1)
    )
    assert ask().status_code == 302


@pytest.mark.parametrize(
    ("status", "code"), [("deleted", 302), ("expired", 302), ("pending", 200), ("paid", 200)]
)
def test_a_bill_that_is_over_asks_nobody_for_anything(status, code, post):
    post()
    BillingRequest.objects.update(status=status)
    assert post().status_code == code


def test_pressing_send_twice_is_one_bill_and_no_doubt(post):
    assert post(once=ONCE).status_code == 302
    assert post(once=ONCE).status_code == 302
    assert len(sent()) == 1
    assert boxes(post(once=ONCE, description="Another one")).keys() == set()
    assert len(sent()) == 2, "another description with it is another bill"


def test_send_again_goes_through_the_same(
    alice, site_a, connected_test, make_request, client_for, typed, admin_url
):
    earlier = make_request(site_a, connected_test, email=typed["email"], amount_minor=123450)
    client = client_for(alice)
    url = admin_url("send_again", earlier.pk)
    response = client.post(url, typed)
    assert boxes(response) == {"confirm_repeat": f"123450 EUR {earlier.number}"}
    assert client.post(url, {**typed, **boxes(response)}).status_code == 302
    ambiguous = client.post(url, {**typed, "amount": "1,234"})
    assert boxes(ambiguous) == {"confirm_reading": "123400 EUR"}


# --- Said back ------------------------------------------------------------------------------


def say_back(client, admin_url, method="get", **data):
    response = getattr(client, method)(admin_url("said_back"), data)
    assert response.status_code == 200
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", response.content.decode())).strip()


@pytest.mark.parametrize(
    ("amount", "currency", "type", "said"),
    [
        ("1,234.56", "EUR", "one_time", "€1,234.56, one time"),
        ("49.9", "USD", "monthly", "$49.90 now, then $49.90 every month"),
        ("5000", "JPY", "", "¥5,000"),
        ("1,234", "EUR", "one_time", "€1,234.00, one time Could be read as 1.234 EUR, too."),
        ("0.10", "EUR", "one_time", "€0.10, one time"),
        ("1,2", "EUR", "one_time", ""),
        ("", "EUR", "one_time", ""),
        ("5.5", "JPY", "one_time", ""),
        ("5", "", "one_time", ""),
        ("5", "XXX", "one_time", ""),
        ("5", "eur", "one_time", ""),
        ("5", "EUR", "never", "€5.00"),
        ("9" * 10**6, "EUR", "one_time", ""),
        ("5", "E" * 10**6, "one_time", ""),
        ("<b>5</b>", "EUR", "one_time", ""),
        ("5\r\nX: y", "EUR", "one_time", ""),
        ("\N{MONEY BAG}", "EUR", "\N{MONEY BAG}", ""),
        ("\N{RIGHT-TO-LEFT OVERRIDE}5", "EUR", "one_time", ""),
        ("5\0", "EUR\0", "\0", ""),
    ],
)
@pytest.mark.parametrize("method", ["get", "post"])
def test_the_amount_is_said_back(
    amount, currency, type, said, method, alice, site_a, client_for, admin_url
):
    data = {"amount": amount, "currency": currency, "billing_type": type}
    assert say_back(client_for(alice), admin_url, method, **data) == said


def test_rule_8_saying_back_writes_nothing_and_the_whole_form_may_be_sent(
    alice, connected_test, typed, client_for, admin_url, django_assert_num_queries
):
    client = client_for(alice)
    say_back(client, admin_url, "post", **typed)
    assert not BillingRequest.objects.exists()
    assert client.post(admin_url("said_back")).content.strip() == b""
    assert client.put(admin_url("said_back")).status_code == 405


def test_saying_back_is_for_those_who_may_add(carol, boss, client_for, admin_url):
    data = {"amount": "5", "currency": "EUR"}
    assert client_for(carol).get(admin_url("said_back"), data).status_code == 302
    xhr = {"x-requested-with": "XMLHttpRequest"}
    assert client_for(carol).get(admin_url("said_back"), data, headers=xhr).status_code == 403
    assert Client().get(admin_url("said_back"), data).status_code == 302
    strict = client_for(boss, enforce_csrf_checks=True)
    assert strict.post(admin_url("said_back"), data).status_code == 403


def test_both_forms_are_wired_to_it(alice, site_a, connected_test, client_for, site_url, admin_url):
    for url in (site_url(site_a), admin_url("add")):
        text = client_for(alice).get(url).content.decode()
        wired = re.search(
            r'data-w-swap-src-value="([^"]+)"\s+data-w-swap-target-value="#([^"]+)"', text
        )
        assert wired[1] == admin_url("said_back")
        assert f'<output class="wcb-said-back" id="{wired[2]}"' in text
        assert re.search(r'<input[^>]*name="amount"[^>]*data-w-swap-target="input"', text)


def test_a_form_that_comes_back_says_its_amount_itself(post):
    text = post(amount="1,234").content.decode()
    assert "€1,234.00, one time" in text
    assert "Could be read as 1.234 EUR, too." in text


def test_what_is_created_is_what_lifecycle_was_given(post, monkeypatch):
    given_values = {}
    plain = lifecycle.create_request

    def create(**values):
        given_values.update(values)
        return plain(**values)

    monkeypatch.setattr(lifecycle, "create_request", create)
    post(amount="1,234", confirm_reading="123400 EUR")
    assert given_values["amount_minor"] == 123400
