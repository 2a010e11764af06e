"""The page of a request and what can be done there, against the sandbox."""

from datetime import timedelta

import pytest
from django.contrib.messages import get_messages
from django.utils import timezone

from wagtail_client_billing import lifecycle
from wagtail_client_billing.gateway import checkout, connect
from wagtail_client_billing.links import payment_link
from wagtail_client_billing.models import BillingRequest, EmailDelivery, LogEntry, StripeConnection
from wagtail_client_billing.sandbox import checkout as at_stripe

KEY = "rk_test_requestpages_0123456789"


@pytest.fixture
def sandbox_account(world, db):
    return connect.connect_with_key(
        key=KEY,
        livemode=False,
        country="FR",
        privacy_policy_url="https://agency.example/privacy",
        terms_url="https://agency.example/terms",
        user=None,
    )


@pytest.fixture
def bill(site_a, sandbox_account, make_request):
    return make_request(site_a, sandbox_account, description="Website, November")


def messages_of(response):
    return " ".join(str(message) for message in get_messages(response.wsgi_request))


def text_of(client, url):
    return client.get(url).content.decode()


def over(bill):
    BillingRequest.objects.filter(pk=bill.pk).update(expires_at=timezone.now() - timedelta(hours=1))
    lifecycle.expire_overdue()


def test_the_page_of_a_pending_request(alice, bill, client_for, admin_url):
    text = text_of(client_for(alice), admin_url("inspect", bill.pk))
    for shown in (
        "€1,234.56",
        "Pending",
        "TEST",
        "E-mail queued",
        bill.number,
        bill.email,
        "Website, November",
        "Copy link",
        "Check with Stripe",
        "Resend e-mail",
        "Delete",
        payment_link(bill),
        "Created",
        "What happened",
    ):
        assert shown in text, shown
    assert "Send again" not in text


@pytest.mark.parametrize("name", ["check", "delete", "resend"])
def test_rule_8_looking_asks_nobody_and_writes_nothing(name, alice, bill, client_for, admin_url):
    before = (LogEntry.objects.count(), EmailDelivery.objects.count())
    assert bill.number in text_of(client_for(alice), admin_url(name, bill.pk))
    bill.refresh_from_db()
    assert (bill.status, bill.hold) == ("pending", "")
    assert (LogEntry.objects.count(), EmailDelivery.objects.count()) == before


@pytest.mark.parametrize("name", ["check", "delete", "resend"])
def test_posts_need_a_token(name, alice, bill, client_for, admin_url):
    client = client_for(alice, enforce_csrf_checks=True)
    assert client.post(admin_url(name, bill.pk)).status_code == 403
    page = client.get(admin_url("inspect", bill.pk))
    token = str(page.context["csrf_token"])
    response = client.post(admin_url(name, bill.pk), {"csrfmiddlewaretoken": token})
    assert response.status_code == 302


def test_check_with_stripe(world, alice, bill, client_for, admin_url):
    client = client_for(alice)
    url = admin_url("check", bill.pk)
    response = client.post(url)
    assert response["Location"] == admin_url("inspect", bill.pk)
    assert "has not pressed Pay" in messages_of(response)
    checkout.open_checkout(bill.pk)
    assert "no news" in messages_of(client.post(url))
    world.pay(bill)
    response = client.post(url, {"next": "/admin/reports/"})
    assert response["Location"] == "/admin/reports/"
    assert "is now paid" in messages_of(response)
    bill.refresh_from_db()
    assert bill.status == "paid"
    paid = bill.log_entries.get(action=LogEntry.Action.PAID)
    assert (paid.cause, paid.user) == (LogEntry.Cause.CHECK, alice)
    text = text_of(client, admin_url("inspect", bill.pk))
    for shown in ("Paid", "by Check with Stripe, alice", "4242", "pi_", "cs_test_", "Attempt 1"):
        assert shown in text, shown
    for gone in ("Copy link", "Resend e-mail", ">Delete<"):
        assert gone not in text, gone


def test_stripe_down_is_said_and_changes_nothing(world, alice, bill, client_for, admin_url):
    checkout.open_checkout(bill.pk)
    world.down(times=None)
    client = client_for(alice)
    assert "cannot be reached" in messages_of(client.post(admin_url("check", bill.pk)))
    bill.refresh_from_db()
    assert bill.status == "pending"
    response = client.post(admin_url("delete", bill.pk))
    assert "as soon as Stripe answers" in messages_of(response)
    text = text_of(client, admin_url("inspect", bill.pk))
    assert "Being deleted" in text
    assert "Resend e-mail" not in text


def test_delete_closes_the_session_first(world, alice, bill, client_for, admin_url):
    checkout.open_checkout(bill.pk)
    assert world.payable(bill)
    response = client_for(alice).post(admin_url("delete", bill.pk))
    assert "was deleted" in messages_of(response)
    bill.refresh_from_db()
    assert bill.status == "deleted"
    assert not world.payable(bill)
    text = text_of(client_for(alice), admin_url("inspect", bill.pk))
    assert "Send again" in text and "Deleted" in text
    again = client_for(alice).post(admin_url("delete", bill.pk))
    assert "cannot be changed" in messages_of(again)
    assert "Yes, delete" not in text_of(client_for(alice), admin_url("delete", bill.pk))


@pytest.mark.parametrize("later", [False, True])
def test_money_wins_over_delete(later, world, alice, bill, client_for, admin_url):
    checkout.open_checkout(bill.pk)
    world.pay_later(bill) if later else world.pay(bill)
    response = client_for(alice).post(admin_url("delete", bill.pk))
    assert "was not deleted" in messages_of(response)
    bill.refresh_from_db()
    assert bill.status == ("pending" if later else "paid")
    text = text_of(client_for(alice), admin_url("inspect", bill.pk))
    assert ("Processing" in text) == later


def test_resend(alice, bill, client_for, admin_url):
    bill.deliveries.update(state=EmailDelivery.State.SENT, sent_at=timezone.now())
    response = client_for(alice).post(admin_url("resend", bill.pk))
    assert bill.email in messages_of(response)
    assert bill.deliveries.count() == 2
    over(bill)
    response = client_for(alice).post(admin_url("resend", bill.pk))
    assert bill.deliveries.count() == 2


def test_send_again_makes_a_new_request_from_the_old_one(alice, bill, client_for, admin_url):
    over(bill)
    bill.refresh_from_db()
    assert bill.status == "expired"
    client = client_for(alice)
    assert admin_url("send_again", bill.pk) in text_of(client, admin_url("inspect", bill.pk))
    page = client.get(admin_url("send_again", bill.pk))
    form = page.context["form"]
    typed = {name: form[name].value() for name in form.fields if name != "site"}
    # Browsers send what is left blank as empty text.
    typed |= {name: "" for name, value in typed.items() if value is None}
    assert typed["amount"] == "1234.56"
    assert (typed["email"], typed["description"]) == (bill.email, bill.description)
    typed["test_mode"] = "true"
    response = client.post(admin_url("send_again", bill.pk), typed)
    assert response.status_code == 302
    new = BillingRequest.objects.exclude(pk=bill.pk).get()
    for name in ("site", "email", "currency", "amount_minor", "description", "success_url"):
        assert getattr(new, name) == getattr(bill, name)
    assert (new.status, new.livemode) == ("pending", False)
    bill.refresh_from_db()
    assert bill.status == "expired"


def test_a_review_shows_its_evidence(alice, bill, client_for, admin_url):
    checkout.open_checkout(bill.pk)
    attempt = bill.attempts.get()
    lifecycle.flag_review(
        attempt,
        "mismatch",
        {"differs": {"amount_total": {"expected": 123456, "found": 100}}},
        cause=LogEntry.Cause.WEBHOOK,
    )
    text = text_of(client_for(alice), admin_url("inspect", bill.pk))
    for shown in ("Needs review", "not the one that was asked for", "€1.00 instead of €1,234.56"):
        assert shown in text
    assert ">Delete<" not in text


def test_failed_mail_says_why(alice, bill, client_for, admin_url):
    delivery = lifecycle.delivery_claimed(bill.deliveries.get().pk)
    lifecycle.delivery_failed(delivery, EmailDelivery.Problem.REFUSED, "550 no such user")
    text = text_of(client_for(alice), admin_url("inspect", bill.pk))
    assert "E-mail failed" in text
    assert "refuses this message or its recipient" in text


def test_unlinked_accounts_are_told(alice, bill, sandbox_account, client_for, admin_url):
    checkout.open_checkout(bill.pk)
    StripeConnection.objects.update(unlinked_at=timezone.now(), sealed_key="")
    response = client_for(alice).post(admin_url("check", bill.pk))
    assert "unlinked" in messages_of(response)


def test_decline_leaves_it_pending(world, alice, bill, client_for, admin_url):
    checkout.open_checkout(bill.pk)
    (session,) = world.payable(bill)
    at_stripe.decline(session["id"])
    assert "still pending" in messages_of(client_for(alice).post(admin_url("check", bill.pk)))


@pytest.mark.parametrize("name", ["inspect", "index", "index_results", "add", "connect"])
def test_only_the_methods_that_are_meant(name, boss, bill, client_for, admin_url):
    args = [bill.pk] if name == "inspect" else []
    client = client_for(boss)
    for method in ("put", "patch", "delete"):
        assert getattr(client, method)(admin_url(name, *args)).status_code == 405
    if name in ("inspect", "index", "index_results"):
        assert client.post(admin_url(name, *args)).status_code == 405
