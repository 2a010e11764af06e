"""The pages that change a request that was sent: their forms, their words, and who may."""

import re
from datetime import timedelta

import pytest
from django.contrib.messages import get_messages
from django.utils import timezone

from wagtail_client_billing import lifecycle
from wagtail_client_billing.gateway import connect
from wagtail_client_billing.gateway.checkout import open_checkout
from wagtail_client_billing.models import BillingRequest, CheckoutAttempt, Payment

KEY = "rk_test_changingpages_0123456789"
NAMES = ["edit", "renew", "mark_paid", "take_back"]


@pytest.fixture
def bill(world, site_a, make_request):
    account = connect.connect_with_key(
        key=KEY,
        livemode=False,
        country="FR",
        privacy_policy_url="https://agency.example/privacy",
        terms_url="https://agency.example/terms",
        user=None,
    )
    return make_request(site_a, account, description="Website")


@pytest.fixture
def post(alice, bill, client_for, admin_url):
    """Opens the page as alice, fills in what is given, and presses its button; with CSRF."""
    client = client_for(alice, enforce_csrf_checks=True)

    def _post(name, bill=bill, **typed):
        url = admin_url(name, bill.pk)
        page = client.get(url)
        form = page.context.get("form")
        sent = {"csrfmiddlewaretoken": str(page.context["csrf_token"])}
        if form is not None:
            sent |= {field.html_name: field.value() for field in form}
            sent = {key: value for key, value in sent.items() if value not in (None, False)}
        return client.post(url, {**sent, **typed})

    return _post


def said(response):
    return " ".join(str(message) for message in get_messages(response.wsgi_request))


def expire(bill):
    past = timezone.now() - timedelta(hours=1)
    BillingRequest.objects.filter(pk=bill.pk).update(expires_at=past)
    lifecycle.expire_overdue()


def test_edit_shows_what_is_and_writes_what_is_typed(post, bill, alice, client_for, admin_url):
    page = client_for(alice).get(admin_url("edit", bill.pk)).content.decode()
    for shown in ('value="1234.56"', f'value="{bill.email}"', 'value="Website"', "Amount in EUR"):
        assert shown in page, shown
    # The amount is said back as in the form that sends one.
    assert f'data-w-swap-src-value="{admin_url("said_back")}"' in page
    assert re.search(r"<output[^>]*>\s*<strong>€1,234.56, one time</strong>", page)
    response = post("edit", amount="2,000.50", description="Website and logo")
    assert response["Location"] == admin_url("inspect", bill.pk)
    assert "It asks for €2,000.50" in said(response)
    bill.refresh_from_db()
    assert (bill.amount_minor, bill.description) == (200050, "Website and logo")
    text = client_for(alice).get(admin_url("inspect", bill.pk)).content.decode()
    for told in ("Edited", "€2,000.50 instead of €1,234.56", "Website and logo instead of Website"):
        assert told in text, told


@pytest.mark.parametrize(
    ("typed", "field"),
    [
        ({"amount": "12,3"}, "amount"),
        ({"amount": "-5"}, "amount"),
        ({"amount": "1.005"}, "amount"),
        ({"amount": "99999999999"}, "amount"),
        ({"amount": ""}, "amount"),
        ({"email": "nobody"}, "email"),
        ({"email": "a@b.example\r\nBcc: x@y.example"}, "email"),
        ({"description": "two\nlines"}, "description"),
        ({"description": "x" * 251}, "description"),
        ({"description": "x" * 1_000_000}, "description"),
    ],
)
def test_bad_input_is_told_beside_its_field_and_loses_nothing(post, bill, typed, field):
    before = BillingRequest.objects.values().get(pk=bill.pk)
    response = post("edit", **{"description": "kept é 👍 שלום", **typed})
    assert response.status_code == 200
    assert list(response.context["form"].errors) == [field]
    if field != "description":
        assert "kept é 👍 שלום" in response.content.decode()
    assert BillingRequest.objects.values().get(pk=bill.pk) == before


def test_two_who_edit_at_once_do_not_overwrite_each_other(post, bill, alice, client_for, admin_url):
    client = client_for(alice)
    mine = client.get(admin_url("edit", bill.pk)).context["form"]["shown"].value()
    post("edit", amount="500")
    typed = {"shown": mine, "email": bill.email, "amount": "600", "description": ""}
    response = client.post(admin_url("edit", bill.pk), typed)
    assert "was changed meanwhile" in response.content.decode()
    bill.refresh_from_db()
    assert bill.amount_minor == 50000
    for forged in ("", "x", "é", "0" * 40, f"{bill.terms} {bill.email}"):
        response = client.post(admin_url("edit", bill.pk), {**typed, "shown": forged})
        assert response.status_code == 200
    bill.refresh_from_db()
    assert bill.amount_minor == 50000


def test_mass_assignment_changes_nothing_but_the_four(post, bill, site_b):
    before = BillingRequest.objects.values().get(pk=bill.pk)
    more = {
        "site": site_b.pk,
        "site_name": "Lawyers B",
        "status": "paid",
        "livemode": "True",
        "test_mode": "",
        "token": "t" * 43,
        "account_id": "acct_evil",
        "currency": "JPY",
        "number": "BR-1",
        "created_by": "1",
        "expires_at": "2099-01-01",
        "paid_at": "2020-01-01",
        "success_url": "https://evil.example",
        "billing_type": "monthly",
        "hold": "delete",
    }
    post("edit", amount="77", **more)
    after = BillingRequest.objects.values().get(pk=bill.pk)
    changed = {key for key in after if after[key] != before[key]}
    assert changed == {"amount_minor", "amended_at", "amended_from_minor"}
    post("mark_paid", **{**more, "amount": "1", "amount_minor": "1", "note": "n"})
    assert Payment.objects.get().amount_minor == 7700


def test_an_edit_that_meets_a_payment_says_so(world, post, bill):
    open_checkout(bill.pk)
    world.pay(bill)
    assert "the client has paid it" in said(post("edit", amount="5"))
    bill.refresh_from_db()
    assert (bill.status, bill.amount_minor) == ("paid", 123456)


def test_an_edit_with_stripe_down_says_so(world, post, bill):
    open_checkout(bill.pk)
    world.down()
    assert "as soon as Stripe answers" in said(post("edit", amount="5"))
    assert "under way" not in said(post("edit", amount="6"))
    bill.refresh_from_db()
    assert (bill.hold, bill.amount_minor) == ("edit", 123456)


def test_renew(post, bill, alice, client_for, admin_url):
    client = client_for(alice)
    assert "cannot be done" in client.get(admin_url("renew", bill.pk)).content.decode()
    expire(bill)
    text = client.get(admin_url("inspect", bill.pk)).content.decode()
    assert admin_url("renew", bill.pk) in text
    assert "is queued for" in said(post("renew"))
    bill.refresh_from_db()
    assert (bill.status, bill.deliveries.count()) == ("pending", 2)
    assert "cannot be done" in post("renew").content.decode()


def test_mark_as_paid_and_take_back(post, bill, alice, client_for, admin_url):
    client = client_for(alice)
    response = post("mark_paid", note="Bank transfer")
    assert "is marked as paid" in said(response)
    text = client.get(admin_url("inspect", bill.pk)).content.decode()
    for shown in ("Marked by hand", "Bank transfer", "Take payment back", "by alice"):
        assert shown in text, shown
    assert "Mark as paid<" not in text
    payment = bill.payments.get()
    assert timezone.now() - payment.received_at < timedelta(minutes=1)
    response = post("take_back", why="Another bill's money")
    assert "is now pending" in said(response)
    text = client.get(admin_url("inspect", bill.pk)).content.decode()
    for shown in ("Taken back", "Another bill&#x27;s money", "Mark as paid<"):
        assert shown in text, shown
    bill.refresh_from_db()
    assert bill.status == "pending"


@pytest.mark.parametrize("day", ["2999-01-01", "1999-01-01", "yesterday", "", "2026-13-45"])
def test_the_day_of_the_money_is_a_day(post, bill, day):
    response = post("mark_paid", received_on=day)
    assert list(response.context["form"].errors) == ["received_on"]
    assert not Payment.objects.exists()


def test_a_day_in_the_past_is_kept(post, bill):
    day = timezone.localdate() - timedelta(days=3)
    post("mark_paid", received_on=day.isoformat(), mail="")
    assert timezone.localtime(bill.payments.get().received_at).date() == day


@pytest.mark.parametrize("name", NAMES)
def test_each_needs_its_right(name, bill, billers_a, alice, client_for, admin_url):
    right = {"edit": "change", "renew": "change"}.get(name, "mark_paid")
    billers_a.site_permissions.filter(permission__codename=f"{right}_billingrequest").delete()
    client = client_for(alice)
    before = BillingRequest.objects.values().get(pk=bill.pk)
    for answer in (client.get(admin_url(name, bill.pk)), client.post(admin_url(name, bill.pk), {})):
        assert answer.status_code == 302
    assert BillingRequest.objects.values().get(pk=bill.pk) == before
    assert admin_url(name, bill.pk) not in client.get(admin_url("index")).content.decode()


@pytest.mark.parametrize("name", NAMES)
def test_rule_8_looking_changes_nothing(name, bill, alice, client_for, admin_url):
    before = BillingRequest.objects.values().get(pk=bill.pk)
    assert client_for(alice).get(admin_url(name, bill.pk)).status_code == 200
    assert BillingRequest.objects.values().get(pk=bill.pk) == before
    assert bill.log_entries.count() == 1


def test_a_riddle_of_an_amount_has_to_be_confirmed(post, bill):
    response = post("edit", amount="1,500")
    assert response.status_code == 200
    (doubt,) = response.context["form"].doubts
    assert doubt.kind == "reading"
    bill.refresh_from_db()
    assert bill.amount_minor == 123456
    assert post("edit", amount="1,500", confirm_reading="1 EUR").status_code == 200
    assert post("edit", amount="1,500", confirm_reading=doubt.confirms).status_code == 302
    bill.refresh_from_db()
    assert bill.amount_minor == 150000


def test_too_little_has_to_be_confirmed_unless_it_was_so(post, bill):
    response = post("edit", amount="0.10")
    (doubt,) = response.context["form"].doubts
    assert doubt.kind == "minimum"
    assert post("edit", amount="0.10", confirm_minimum=doubt.confirms).status_code == 302
    assert post("edit", amount="0.10", description="Same amount").status_code == 302


@pytest.mark.parametrize(
    ("typed", "lifetime"),
    [
        ({}, timedelta(hours=24)),
        ({"link_lifetime_number": "7", "link_lifetime_unit": "days"}, timedelta(days=7)),
        ({"link_lifetime_number": "", "link_lifetime_unit": "days"}, timedelta(hours=24)),
    ],
)
def test_renewing_for_as_long_as_is_said(post, bill, typed, lifetime):
    expire(bill)
    post("renew", **typed)
    bill.refresh_from_db()
    assert abs(bill.expires_at - timezone.now() - lifetime) < timedelta(minutes=1)


@pytest.mark.parametrize(("number", "unit"), [("91", "days"), ("0", "hours"), ("1", "years")])
def test_a_link_is_not_renewed_for_ever(post, bill, number, unit):
    expire(bill)
    response = post("renew", link_lifetime_number=number, link_lifetime_unit=unit)
    assert list(response.context["form"].errors) == ["link_lifetime"]
    bill.refresh_from_db()
    assert bill.status == "expired"


def test_no_other_amount_is_marked_as_paid_than_was_shown(post, bill, boss, client_for, admin_url):
    client = client_for(boss)
    seen = client.get(admin_url("mark_paid", bill.pk)).context["form"]["seen"].value()
    post("edit", amount="99.99")
    typed = {"received_on": timezone.localdate().isoformat(), "seen": seen}
    response = client.post(admin_url("mark_paid", bill.pk), typed)
    assert "was changed meanwhile" in response.content.decode()
    bill.refresh_from_db()
    assert (bill.status, bill.hold, Payment.objects.count()) == ("pending", "", 0)


def test_money_that_came_in_time_is_not_late_because_it_was_entered_late(post, bill):
    now = timezone.now()
    BillingRequest.objects.filter(pk=bill.pk).update(
        status="expired",
        created_at=now - timedelta(days=9),
        expires_at=now - timedelta(days=2),
    )
    day = timezone.localdate() - timedelta(days=4)
    post("mark_paid", received_on=day.isoformat())
    bill.refresh_from_db()
    assert (bill.status, bill.paid_late) == ("paid", False)
    assert timezone.localtime(bill.paid_at).date() == day


def unconfirmed(bill):
    CheckoutAttempt.objects.create(
        request=bill,
        n=1,
        state="expired",
        not_confirmed=True,
        account_id=bill.account_id,
        livemode=False,
        amount_minor=bill.amount_minor,
        currency=bill.currency,
        idempotency_key="k",
        expires_at=timezone.now() - timedelta(hours=2),
    )
    BillingRequest.objects.filter(pk=bill.pk).update(not_confirmed=True)


def test_marking_as_paid_does_not_answer_what_stripe_was_not_asked(post, bill):
    unconfirmed(bill)
    post("mark_paid")
    bill.refresh_from_db()
    assert (bill.status, bill.not_confirmed) == ("paid", True)


def test_what_may_have_been_paid_is_asked_for_again_only_on_purpose(
    post, bill, alice, client_for, admin_url
):
    unconfirmed(bill)
    expire(bill)
    response = post("renew")
    assert list(response.context["form"].errors) == ["unconfirmed"]
    page = client_for(alice).get(admin_url("send_again", bill.pk))
    sent = {field.html_name: field.value() for field in page.context["form"]}
    sent = {key: value for key, value in sent.items() if isinstance(value, str) and value}
    sent["test_mode"] = "true"
    response = client_for(alice).post(admin_url("send_again", bill.pk), sent)
    assert [doubt.kind for doubt in response.context["form"].doubts] == ["unconfirmed"]
    assert BillingRequest.objects.count() == 1
    post("renew", unconfirmed="on")
    bill.refresh_from_db()
    assert bill.status == "pending"


def test_no_mail_leaves_while_a_request_is_being_changed(alice, bill, client_for, admin_url):
    BillingRequest.objects.filter(pk=bill.pk).update(hold="delete", hold_since=timezone.now())
    response = client_for(alice).post(admin_url("resend", bill.pk))
    assert "being changed" in said(response)
    assert bill.deliveries.count() == 1
