"""Pay: one live attempt, frozen before Stripe is asked."""

import json
from datetime import timedelta

import pytest
from django.db import IntegrityError, transaction
from django.test import override_settings
from django.utils import timezone

from wagtail_client_billing import lifecycle
from wagtail_client_billing.errors import (
    AccountLost,
    BeingChanged,
    NotAllowed,
    NotConnected,
    StripeRefused,
    StripeUnavailable,
)
from wagtail_client_billing.gateway.checkout import open_checkout
from wagtail_client_billing.gateway.reconcile import reconcile
from wagtail_client_billing.models import BillingRequest, CheckoutAttempt, LogEntry
from wagtail_client_billing.sandbox import books, checkout, faults, keys

SESSIONS = "/v1/checkout/sessions"


def creates():
    return [call for call in books.api_calls(method="POST") if call["path"] == SESSIONS]


def test_rule_4_pay_pressed_twice_finds_the_same_session(world, bill):
    first, second = open_checkout(bill.pk), open_checkout(bill.pk)
    assert first.url and first.url == second.url
    assert len(world.sessions(bill)) == 1
    assert bill.attempts.count() == 1


def test_rule_4_the_database_refuses_a_second_live_attempt(world, bill):
    open_checkout(bill.pk)
    (attempt,) = bill.attempts.all()
    with pytest.raises(IntegrityError), transaction.atomic():
        CheckoutAttempt.objects.create(
            request=bill,
            n=2,
            account_id=attempt.account_id,
            livemode=False,
            amount_minor=1,
            currency="EUR",
            idempotency_key="another",
            expires_at=timezone.now(),
        )


def test_rule_4_money_is_compared_with_the_attempt_and_not_with_the_request(world, bill):
    open_checkout(bill.pk)
    BillingRequest.objects.filter(pk=bill.pk).update(amount_minor=1, currency="JPY")
    world.pay(bill)
    reconcile(bill.pk, cause=LogEntry.Cause.CHECK)
    bill.refresh_from_db()
    assert bill.status == "paid"
    assert bill.payments.get().amount_minor == 12345


def test_what_stripe_is_asked_for(world, bill):
    open_checkout(bill.pk)
    (session,) = world.sessions(bill)
    assert (session["amount_total"], session["currency"]) == (12345, "eur")
    assert session["customer_details"] is None or session["customer_email"] == bill.email
    assert session["client_reference_id"] == str(bill.uuid)
    assert session["cancel_url"] == "https://bakery.test/cancelled"
    assert session["success_url"].endswith("?session_id={CHECKOUT_SESSION_ID}")
    assert "https://atelier.test/terms" in session["custom_text"]["submit"]["message"]
    assert session["livemode"] is False
    (attempt,) = bill.attempts.all()
    assert session["expires_at"] == int(attempt.expires_at.timestamp())


def test_a_lost_answer_is_found_again_with_the_same_key(world, bill):
    faults.add("lost", path=SESSIONS, method="POST", times=3)
    with pytest.raises(StripeUnavailable):
        open_checkout(bill.pk)
    (attempt,) = bill.attempts.all()
    assert (attempt.state, attempt.session_id) == ("creating", None)
    assert open_checkout(bill.pk).url
    attempt.refresh_from_db()
    assert attempt.state == "open"
    assert len(world.sessions(bill)) == 1
    assert {call["idempotency_key"] for call in creates()} == {attempt.idempotency_key}


def test_the_same_bytes_are_sent_again(world, bill):
    faults.add("503", path=SESSIONS, method="POST", times=3)
    with pytest.raises(StripeUnavailable):
        open_checkout(bill.pk)
    open_checkout(bill.pk)
    sent = {json.dumps(call["params"]) for call in creates()}
    assert len(creates()) == 4
    assert len(sent) == 1


def test_stripe_down_loses_nothing_and_heals(world, bill):
    world.down()
    with pytest.raises(StripeUnavailable):
        open_checkout(bill.pk)
    world.up()
    assert open_checkout(bill.pk).url
    assert len(world.payable(bill)) == 1


def test_a_refusal_fails_the_attempt_and_the_next_press_is_a_new_one(world, bill):
    with override_link_to("ftp://nowhere"), pytest.raises(StripeRefused):
        open_checkout(bill.pk)
    assert list(bill.attempts.values_list("state", flat=True)) == ["failed"]
    assert world.sessions(bill) == []
    BillingRequest.objects.filter(pk=bill.pk).update(cancel_url="https://bakery.test/no")
    assert open_checkout(bill.pk).url
    assert list(bill.attempts.values_list("n", "state")) == [(1, "failed"), (2, "open")]


class override_link_to:
    """A stored cancel URL that Stripe will not have."""

    def __init__(self, url):
        self.url = url

    def __enter__(self):
        BillingRequest.objects.update(cancel_url=self.url)

    def __exit__(self, *exc_info):
        pass


def test_a_revoked_key_breaks_the_connection_and_not_the_attempt(world, bill, connection):
    open_checkout(bill.pk)
    keys.revoke_key("rk_test_bills_0123456789")
    with pytest.raises(AccountLost):
        open_checkout(bill.pk)
    connection.refresh_from_db()
    assert connection.broken_at and connection.broken_why
    with pytest.raises((NotConnected, AccountLost)):
        open_checkout(bill.pk)
    assert bill.attempts.get().state == "open"


def test_nothing_is_opened_after_the_deadline(world, bill, overdue):
    overdue(bill)
    with pytest.raises(NotAllowed):
        open_checkout(bill.pk)
    assert bill.attempts.count() == 0
    assert creates() == []


def test_a_session_opened_before_the_deadline_may_finish(world, bill, overdue):
    open_checkout(bill.pk)
    overdue(bill)
    assert open_checkout(bill.pk).url
    assert bill.is_closing
    world.pay(bill)
    reconcile(bill.pk, cause=LogEntry.Cause.SWEEP)
    bill.refresh_from_db()
    assert (bill.status, bill.paid_late) == ("paid", False)


@pytest.mark.parametrize("status", ["paid", "expired", "deleted"])
def test_only_a_pending_bill_is_paid(world, bill, status):
    BillingRequest.objects.filter(pk=bill.pk).update(status=status)
    with pytest.raises(NotAllowed):
        open_checkout(bill.pk)
    assert creates() == []


def test_a_bill_on_hold_is_not_paid(world, bill):
    lifecycle.place_hold(bill.pk, BillingRequest.Hold.DELETE)
    with pytest.raises(BeingChanged):
        open_checkout(bill.pk)
    assert creates() == []


def test_a_bill_that_needs_review_is_not_paid(world, bill):
    BillingRequest.objects.filter(pk=bill.pk).update(review_since=timezone.now())
    with pytest.raises(NotAllowed):
        open_checkout(bill.pk)


def test_a_paid_session_is_booked_when_pay_is_pressed_again(world, bill):
    open_checkout(bill.pk)
    world.pay(bill)
    assert open_checkout(bill.pk).url is None
    bill.refresh_from_db()
    assert bill.status == "paid"
    assert bill.payments.count() == 1


def test_an_expired_session_makes_room_for_the_next(world, bill):
    open_checkout(bill.pk)
    (session,) = world.payable(bill)
    with_key = keys.identify("rk_test_bills_0123456789")
    assert with_key
    import stripe

    client = stripe.StripeClient(
        "rk_test_bills_0123456789", base_addresses={"api": world.server.base}
    )
    client.v1.checkout.sessions.expire(session["id"])
    out = open_checkout(bill.pk)
    assert out.url and session["id"] not in out.url
    assert list(bill.attempts.values_list("state", flat=True)) == ["expired", "open"]
    assert len(world.payable(bill)) == 1


def test_a_declined_card_leaves_the_session_open_for_another(world, bill):
    url = open_checkout(bill.pk).url
    (session,) = world.payable(bill)
    checkout.decline(session["id"])
    reconcile(bill.pk, cause=LogEntry.Cause.WEBHOOK, session_id=session["id"])
    assert open_checkout(bill.pk).url == url
    world.pay(bill)
    reconcile(bill.pk, cause=LogEntry.Cause.WEBHOOK, session_id=session["id"])
    bill.refresh_from_db()
    assert bill.status == "paid"


def test_the_address_of_checkout_is_pinned(world, bill, settings):
    changed = {**settings.WAGTAIL_CLIENT_BILLING, "CHECKOUT_HOSTS": ["checkout.stripe.com"]}
    with override_settings(WAGTAIL_CLIENT_BILLING=changed), pytest.raises(StripeRefused):
        open_checkout(bill.pk)


@pytest.mark.parametrize(
    ("lifetime", "session"),
    [
        (timedelta(minutes=1), timedelta(minutes=35)),
        (timedelta(hours=2), timedelta(hours=2)),
        (timedelta(days=30), timedelta(hours=23, minutes=55)),
    ],
)
def test_a_session_ends_with_the_bill_within_stripes_bounds(lifetime, session):
    now = timezone.now()
    assert lifecycle.session_end(now + lifetime, now) == now + session


@pytest.mark.parametrize("seconds", [1, 24 * 3600, 90 * 24 * 3600])
def test_both_edges_of_a_sessions_life_are_accepted(world, make_bill, seconds, settings):
    changed = {**settings.WAGTAIL_CLIENT_BILLING, "LINK_LIFETIME": seconds}
    with override_settings(WAGTAIL_CLIENT_BILLING=changed):
        assert open_checkout(make_bill().pk).url
