"""The three ways out of a review, as editors find them: accept, refund, dismiss."""

import pytest
from django.contrib.messages import get_messages
from django.utils import timezone

from tests.admin.money_moved import pay
from tests.fixtures import grant
from wagtail_client_billing.lifecycle import PaymentFacts, flag_review, record_payment
from wagtail_client_billing.models import BillingRequest, CheckoutAttempt


@pytest.fixture
def attempt(site_a, connected_test, make_request):
    request = make_request(site_a, connected_test)
    return CheckoutAttempt.objects.create(
        request=request,
        n=1,
        account_id=request.account_id,
        livemode=False,
        amount_minor=request.amount_minor,
        currency="EUR",
        params={},
        idempotency_key="k",
        expires_at=request.expires_at,
        session_id="cs_test_1",
        state="open",
    )


@pytest.fixture
def wrong_money(attempt):
    """Stripe has 20 dollars where €1,234.56 was asked for."""
    differs = {
        "amount_total": {"expected": 123456, "found": 2000},
        "currency": {"expected": "eur", "found": "usd"},
    }
    facts = PaymentFacts(
        source="pi_wrong",
        intent_id="pi_wrong",
        amount_minor=2000,
        currency="USD",
        received_at=timezone.now(),
    )
    evidence = {"differs": differs, "event": "evt_1", "type": "checkout.session.completed"}
    flag_review(attempt, "mismatch", evidence, facts=facts, cause="webhook")
    attempt.request.refresh_from_db()
    return attempt.request


def said(response):
    return " ".join(str(message) for message in get_messages(response.wsgi_request))


def test_the_panel_tells_the_evidence_and_the_ways_out(wrong_money, alice, client_for, admin_url):
    text = client_for(alice).get(admin_url("inspect", wrong_money.pk)).content.decode()
    payment = wrong_money.payments.get()
    for shown in (
        "The payment at Stripe is not the one that was asked for.",
        "$20.00 instead of €1,234.56",
        "USD instead of EUR",
        "pi_wrong",
        "cs_test_1",
        "evt_1",
        "Not what was asked for",
        "Refund $20.00",
        admin_url("accept_review", wrong_money.pk),
        admin_url("dismiss_review", wrong_money.pk),
        admin_url("refund", wrong_money.pk, payment.pk),
    ):
        assert shown in text, shown
    # Money that does not count has no receipt.
    assert f"/receipt/{payment.pk}" not in text


def test_accepted_money_counts(wrong_money, post, alice, client_for, admin_url):
    url = admin_url("accept_review", wrong_money.pk)
    page = client_for(alice).get(url).content.decode()
    assert "$20.00 came in" in page
    assert "which asked for €1,234.56" in page
    response = post(url)
    assert response["Location"] == admin_url("inspect", wrong_money.pk)
    assert "is paid" in said(response)
    wrong_money.refresh_from_db()
    assert (wrong_money.status, wrong_money.review_since) == ("paid", None)
    assert wrong_money.payments.counted().get().amount_minor == 2000
    text = client_for(alice).get(admin_url("inspect", wrong_money.pk)).content.decode()
    assert "Review ended: the money was accepted" in text
    assert "Needs review" in text  # in what happened
    assert 'aria-labelledby="wcb-review"' not in text
    assert f"/receipt/{wrong_money.payments.get().pk}" in text


def test_dismissed_it_stays_as_it_is(wrong_money, post, alice, client_for, admin_url):
    response = post(admin_url("dismiss_review", wrong_money.pk), why="A test of ours é 👍")
    assert "was dismissed" in said(response)
    wrong_money.refresh_from_db()
    assert (wrong_money.status, wrong_money.review_since) == ("pending", None)
    assert not wrong_money.payments.counted().exists()
    text = client_for(alice).get(admin_url("inspect", wrong_money.pk)).content.decode()
    assert "Review ended: it was dismissed" in text
    assert "A test of ours é 👍" in text


@pytest.mark.parametrize("name", ["accept_review", "dismiss_review"])
def test_another_review_than_the_one_that_was_looked_at_stays(
    name, wrong_money, post, alice, client_for, admin_url
):
    url = admin_url(name, wrong_money.pk)
    page = client_for(alice).get(url)
    later = timezone.now()
    BillingRequest.objects.update(review_since=later)
    for seen in ({}, {"seen": ""}, {"seen": "x"}, {"seen": "0" * 1_000_000}):
        response = post(url, page=page, **seen)
        assert response.status_code == 200
        if len(seen.get("seen", "")) < 40:
            assert "was changed meanwhile" in response.content.decode()
    wrong_money.refresh_from_db()
    assert wrong_money.review_since == later


@pytest.mark.parametrize("why", ["two\nlines", "x" * 251, "x" * 1_000_000, "nul\0"], ids=len)
def test_a_bad_reason_ends_nothing(why, wrong_money, post, admin_url):
    response = post(admin_url("dismiss_review", wrong_money.pk), why=why)
    assert list(response.context["form"].errors) == ["why"]
    wrong_money.refresh_from_db()
    assert wrong_money.review_since is not None


@pytest.mark.parametrize("name", ["accept_review", "dismiss_review"])
def test_there_is_nothing_to_end_without_a_review(
    name, wrong_money, post, alice, client_for, admin_url
):
    url = admin_url(name, wrong_money.pk)
    page = client_for(alice).get(url)
    post(url)
    assert "needs no review any more" in client_for(alice).get(url).content.decode()
    # Pressed a second time.
    assert "needs no review any more" in post(url, page=page).content.decode()


def test_the_same_paid_twice(attempt, post, alice, client_for, admin_url):
    request = attempt.request
    pay(request, intent_id="pi_first")
    facts = PaymentFacts(
        source="pi_second",
        intent_id="pi_second",
        amount_minor=123456,
        currency="EUR",
        received_at=timezone.now(),
    )
    record_payment(attempt, facts, cause="webhook")
    second = request.payments.get(source="pi_second")
    client = client_for(alice)
    text = client.get(admin_url("inspect", request.pk)).content.decode()
    assert "The client has paid more than once." in text
    assert admin_url("refund", request.pk, second.pk) in text
    assert "the client cannot pay again" not in text
    assert "Paid twice" in client.get(admin_url("index")).content.decode()
    found = client.get(admin_url("index"), {"badge": "duplicate"}).context["object_list"]
    assert list(found) == [request]
    post(admin_url("accept_review", request.pk))
    request.refresh_from_db()
    assert request.review_since is None
    assert request.payments.counted().count() == 2


def test_nothing_to_accept_without_money(attempt, alice, client_for, admin_url):
    flag_review(attempt, "no_payment", {"payment_status": "no_payment_required"}, cause="webhook")
    client = client_for(alice)
    text = client.get(admin_url("inspect", attempt.request_id)).content.decode()
    assert admin_url("accept_review", attempt.request_id) not in text
    assert admin_url("dismiss_review", attempt.request_id) in text
    page = client.get(admin_url("accept_review", attempt.request_id)).content.decode()
    assert "Accept the money</em>" not in page


def test_rights(wrong_money, carol, alice, site_a, client_for, admin_url):
    grant(carol.groups.get(), site_a, BillingRequest, "refund_billingrequest")
    client = client_for(carol)
    text = client.get(admin_url("inspect", wrong_money.pk)).content.decode()
    assert "Refund $20.00" in text
    for name in ("accept_review", "dismiss_review"):
        url = admin_url(name, wrong_money.pk)
        assert url not in text
        assert client.get(url).status_code == client.post(url).status_code == 302
        assert client_for(alice, enforce_csrf_checks=True).post(url).status_code == 403
    wrong_money.refresh_from_db()
    assert wrong_money.review_since is not None
