"""Refunds of ours and of the Dashboard's, disputes, and the ways out of a review."""

import threading
from datetime import timedelta
from functools import partial

import pytest
import time_machine
from django.db import connection as database
from django.utils import timezone

from wagtail_client_billing import lifecycle, sealing, tasks
from wagtail_client_billing.errors import AmountTooLarge, ChangedMeanwhile, NotAllowed
from wagtail_client_billing.gateway import webhooks
from wagtail_client_billing.gateway.checkout import open_checkout
from wagtail_client_billing.gateway.reconcile import reconcile
from wagtail_client_billing.gateway.refunds import finish_refund, refund_payment
from wagtail_client_billing.lifecycle import DisputeFacts
from wagtail_client_billing.models import (
    BillingRequest,
    LogEntry,
    Payment,
    Refund,
    StripeConnection,
)
from wagtail_client_billing.sandbox import books, disputes, faults, keys, refunds
from wagtail_client_billing.signals import payment_disputed, payment_refunded, send_due_signals

REFUNDS = "/v1/refunds"
Cause = LogEntry.Cause


@pytest.fixture
def payment(world, bill):
    """A paid bill's one payment."""
    open_checkout(bill.pk)
    world.pay(bill)
    reconcile(bill.pk, cause=Cause.SWEEP)
    return bill.payments.get()


@pytest.fixture
def refund(payment, boss):
    return partial(refund_payment, payment.pk, user=boss)


@pytest.fixture
def endpoint(connection):
    return connection.endpoints.get()


def hear(world, endpoint, type):
    """Delivers the newest event of a type, and has it processed."""
    assert world.deliver(world.events(type)[-1], endpoint).status_code == 200
    assert webhooks.drain(float("inf")) == 1


def at_stripe(payment):
    """What the charge says was given back."""
    (charge,) = books.charges(payment_intent=payment.intent_id)
    return charge["amount_refunded"]


def actions(bill):
    return list(bill.log_entries.order_by("pk").values_list("action", flat=True))


def kinds(bill):
    return list(bill.deliveries.order_by("pk").values_list("kind", flat=True))


# --- Refunds of ours --------------------------------------------------------------------------


def test_a_payment_knows_its_intent(payment):
    assert payment.intent_id == payment.source and payment.intent_id.startswith("pi_")


def test_a_part_and_then_the_rest_are_given_back(bill, payment, refund, boss):
    first = refund(amount_minor=345, reason="Too many croissants")
    assert (first.state, first.created_by, first.amount_minor) == ("succeeded", boss, 345)
    assert (at_stripe(payment), payment.refundable_minor) == (345, 12000)
    assert refund(amount_minor=12000).state == "succeeded"
    assert (at_stripe(payment), payment.refundable_minor) == (12345, 0)
    bill.refresh_from_db()
    assert bill.status == "paid", "refunded is a fact beside the status"
    assert actions(bill)[-4:] == ["refund_asked", "refunded", "refund_asked", "refunded"]
    assert kinds(bill).count("refunded") == 2
    with pytest.raises(NotAllowed):
        refund(amount_minor=1)
    assert len(books.refunds()) == 2


@pytest.mark.parametrize("amount", [12346, 10**15])
def test_more_than_was_paid_is_never_given_back(payment, refund, amount):
    with pytest.raises(AmountTooLarge):
        refund(amount_minor=amount)
    assert not Refund.objects.exists()


@pytest.mark.parametrize("amount", [0, -1])
def test_nothing_and_less_are_no_refund(payment, refund, amount):
    with pytest.raises(NotAllowed):
        refund(amount_minor=amount)


def test_a_payment_by_hand_is_not_stripes_to_give_back(make_bill, boss):
    bill = make_bill()
    lifecycle.place_hold(bill.pk, "mark_paid", user=boss)
    assert lifecycle.apply_hold(bill.pk)
    with pytest.raises(NotAllowed):
        refund_payment(bill.payments.get().pk, amount_minor=1, user=boss)


def test_the_same_click_twice_gives_back_once(payment, refund):
    assert refund(amount_minor=100, once="click").pk == refund(amount_minor=100, once="click").pk
    assert at_stripe(payment) == 100


def test_what_nobody_has_seen_is_not_refunded(payment, refund):
    refund(amount_minor=100, seen_left=12345, once="first")
    with pytest.raises(ChangedMeanwhile):
        refund(amount_minor=100, seen_left=12345)
    assert refund(amount_minor=100, seen_left=12345, once="first").amount_minor == 100
    assert at_stripe(payment) == 100


def test_rule_4_a_refund_whose_answer_was_lost_is_made_once(bill, payment, refund, later):
    faults.add("lost", path=REFUNDS, method="POST")
    assert refund(amount_minor=500).state in ("succeeded", "creating")
    faults.clear()
    later(minutes=3)
    tasks.sweep()
    assert at_stripe(payment) == 500
    assert [each.state for each in Refund.objects.all()] == ["succeeded"]
    assert len(books.refunds()) == 1
    assert actions(bill).count("refunded") == 1


@pytest.mark.parametrize("hours", [1, 30])
def test_rule_4_an_answer_that_was_never_heard_is_found_when_the_key_is_forgotten(
    payment, refund, boss, hours
):
    row = lifecycle.begin_refund(payment.pk, amount_minor=500, user=boss)
    faults.add("lost", path=REFUNDS, method="POST")
    finish_refund(row.pk)
    faults.clear()
    with time_machine.travel(timezone.now() + timedelta(hours=hours)):
        finish_refund(row.pk)
    assert (at_stripe(payment), len(books.refunds())) == (500, 1)


def test_an_outage_leaves_it_to_the_sweep(bill, payment, refund, later):
    faults.add("503", path=REFUNDS, times=None)
    asked = refund(amount_minor=500)
    assert asked.state == "creating" and asked.payment.refundable_minor == 11845
    with pytest.raises(AmountTooLarge):
        refund(amount_minor=12345)
    later(minutes=3)
    faults.clear()
    tasks.sweep()
    asked.refresh_from_db()
    assert (asked.state, at_stripe(payment)) == ("succeeded", 500)
    (entry,) = bill.log_entries.filter(action="refunded")
    assert entry.evidence["amount_minor"] == 500 and entry.evidence["refund"].startswith("re_")


def test_what_stripe_refuses_says_why_and_gives_nothing_back(bill, payment, refund):
    refunds.from_dashboard(payment.intent_id, 12000)
    row = refund(amount_minor=12345)
    assert row.state == "refused" and row.error
    # The one that was made at Stripe was found by the way.
    states = Refund.objects.order_by("pk").values_list("state", "amount_minor")
    assert sorted(states) == [("refused", 12345), ("succeeded", 12000)]
    assert (at_stripe(payment), payment.refundable_minor) == (12000, 345)
    assert kinds(bill).count("refunded") == 1


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True, serialized_rollback=True)
def test_two_refunds_at_once_never_give_back_more_than_was_paid(world, bill, payment, boss):
    barrier, seen = threading.Barrier(2), []

    def give_back():
        barrier.wait()
        try:
            seen.append(refund_payment(payment.pk, amount_minor=10000, user=None).state)
        except AmountTooLarge:
            seen.append("too large")
        finally:
            database.close()

    threads = [threading.Thread(target=give_back) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(seen) == ["succeeded", "too large"]
    assert at_stripe(payment) == 10000


def test_a_key_that_may_not_read_disputes_refunds_once_all_the_same(bill, payment, refund):
    """What was refunded was once taken for refused, since the disputes could not be read."""
    key = keys.make_key(payment.account_id, without=["dispute_read"])
    StripeConnection.objects.update(sealed_key=sealing.seal(key))
    assert refund(amount_minor=5000).state == "succeeded"
    assert (at_stripe(payment), payment.refunded_minor) == (5000, 5000)
    refunds.from_dashboard(payment.intent_id, 45)
    reconcile(bill.pk, cause=Cause.CHECK, payments=None)
    assert payment.refunded_minor == 5045


def test_a_key_that_may_not_refund_says_which_box_to_tick(payment, refund):
    key = keys.make_key(payment.account_id, without=["refund_write"])
    StripeConnection.objects.update(sealed_key=sealing.seal(key))
    row = refund(amount_minor=5000)
    assert row.state == "refused" and "Charges and Refunds: write" in row.error
    assert at_stripe(payment) == 0


# --- News of refunds --------------------------------------------------------------------------


def test_a_refund_of_the_dashboard_is_heard_of(world, bill, payment, endpoint):
    made = refunds.from_dashboard(payment.intent_id, 2345)
    hear(world, endpoint, "charge.refunded")
    row = Refund.objects.get()
    assert (row.stripe_id, row.amount_minor, row.created_by) == (made["id"], 2345, None)
    assert bill.log_entries.get(action="refunded").cause == "webhook"
    hear(world, endpoint, "refund.created")
    assert actions(bill).count("refunded") == 1 and kinds(bill).count("refunded") == 1


def test_a_refund_may_fail_days_later(world, bill, payment, refund, endpoint):
    row = refund(amount_minor=12345)
    refunds.fail(row.stripe_id)
    hear(world, endpoint, "refund.failed")
    row.refresh_from_db()
    assert (row.state, row.error) == ("failed", "expired_or_canceled_card")
    assert (at_stripe(payment), payment.refundable_minor) == (0, 12345)
    assert "agency_refund" in kinds(bill) and actions(bill)[-1] == "refund_failed"
    # It can be tried again, and older news does not bring the first one back.
    assert refund(amount_minor=12345).state == "succeeded"


def test_a_slow_refund_is_asked_about_until_it_arrives(bill, payment, refund, later):
    refunds.be_slow()
    row = refund(amount_minor=100)
    assert row.state == "pending"
    assert kinds(bill).count("refunded") == 1
    assert bill.log_entries.get(action="refunded").evidence["on_its_way"]
    refunds.settle(row.stripe_id)
    later(minutes=61)
    tasks.sweep()
    row.refresh_from_db()
    payment.refresh_from_db()
    assert (row.state, payment.ask_at) == ("succeeded", None)
    assert kinds(bill).count("refunded") == 1


def test_money_that_went_back_before_we_knew_of_it_is_seen_at_once(world, bill):
    open_checkout(bill.pk)
    world.pay(bill)
    (intent,) = books.payments(str(bill.uuid))
    refunds.from_dashboard(intent["id"])
    reconcile(bill.pk, cause=Cause.SWEEP)
    assert bill.payments.get().refunded_minor == 12345


# --- Disputes ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("won", "end"), [(True, "won"), (False, "lost")])
def test_a_dispute_is_told_and_followed_to_its_end(world, bill, payment, endpoint, won, end):
    made = disputes.open(payment.intent_id)
    hear(world, endpoint, "charge.dispute.created")
    row = payment.disputes.get()
    assert (row.stripe_id, row.state, row.reason) == (made["id"], "needs_response", "fraudulent")
    assert row.due_by and row.amount_minor == 12345
    assert kinds(bill)[-1] == "agency_dispute"
    payment.refresh_from_db()
    assert payment.ask_at, "its outcome is asked for, should nobody tell"
    disputes.close(made["id"], won=won)
    hear(world, endpoint, "charge.dispute.closed")
    row.refresh_from_db()
    assert row.state == end and row.is_closed
    assert actions(bill)[-1] == "dispute_closed"
    assert kinds(bill).count("agency_dispute") == 2
    bill.refresh_from_db()
    assert bill.status == "paid"


def test_a_dispute_that_nobody_told_of_is_found_by_check_with_stripe(bill, payment):
    disputes.open(payment.intent_id)
    assert reconcile(bill.pk, cause=Cause.CHECK, payments=None).changed
    assert payment.disputes.count() == 1


def test_signals_tell_of_refunds_and_disputes_once(world, bill, payment, refund, endpoint):
    heard = []

    def hears(signal, **told):
        heard.append((signal, told["request"].pk, told["log_entry"].action))

    payment_refunded.connect(hears)
    payment_disputed.connect(hears)
    try:
        refund(amount_minor=1)
        disputes.open(payment.intent_id)
        hear(world, endpoint, "charge.dispute.created")
        send_due_signals(float("inf"))
    finally:
        payment_refunded.disconnect(hears)
        payment_disputed.disconnect(hears)
    assert heard == [
        (payment_refunded, bill.pk, "refunded"),
        (payment_disputed, bill.pk, "disputed"),
    ]


# --- Reviews ----------------------------------------------------------------------------------


@pytest.fixture
def other_amount(world, bill):
    """Somebody changed the attempt's amount in our table: Stripe was paid another one."""
    open_checkout(bill.pk)
    world.pay(bill)
    bill.attempts.update(amount_minor=500)
    reconcile(bill.pk, cause=Cause.SWEEP)
    bill.refresh_from_db()
    assert (bill.status, bill.review_reason) == ("pending", "mismatch")
    return bill.payments.get()


def test_rule_6_a_mismatch_is_kept_but_does_not_count(bill, other_amount):
    assert other_amount.mismatch and other_amount.amount_minor == 12345
    assert not Payment.objects.counted().exists()
    differs = bill.review_evidence["differs"]
    assert differs == {"amount_total": {"expected": 500, "found": 12345}}
    assert "payment" not in actions(bill)
    reconcile(bill.pk, cause=Cause.SWEEP)
    assert actions(bill).count("review") == 1


def test_rule_6_accepting_makes_it_paid(bill, other_amount, boss):
    lifecycle.accept_review(bill.pk, user=boss)
    bill.refresh_from_db()
    assert (bill.status, bill.review_since) == ("paid", None)
    assert actions(bill)[-3:] == ["reviewed", "payment", "paid"]
    assert "receipt" in kinds(bill)
    with pytest.raises(NotAllowed):
        lifecycle.accept_review(bill.pk, user=boss)


def test_rule_6_refunding_ends_the_review_when_all_is_given_back(bill, other_amount, boss):
    refund_payment(other_amount.pk, amount_minor=12000, user=boss)
    bill.refresh_from_db()
    assert bill.review_since
    refund_payment(other_amount.pk, amount_minor=345, user=boss)
    bill.refresh_from_db()
    assert (bill.status, bill.review_since) == ("pending", None)
    entry = bill.log_entries.get(action="reviewed")
    assert (entry.evidence["outcome"], entry.user) == ("refunded", boss)


def test_rule_6_dismissing_leaves_everything_as_it_is(bill, other_amount, boss):
    lifecycle.dismiss_review(bill.pk, user=boss, why="A test of ours")
    bill.refresh_from_db()
    assert (bill.status, bill.review_since) == ("pending", None)
    entry = bill.log_entries.get(action="reviewed")
    assert (entry.evidence["outcome"], entry.evidence["why"]) == ("dismissed", "A test of ours")
    reconcile(bill.pk, cause=Cause.SWEEP, session_id=bill.attempts.get().session_id)
    bill.refresh_from_db()
    assert bill.review_since is None, "the same money asks only once"


def test_rule_6_a_refund_that_stripe_never_heard_of_ends_no_review(bill, other_amount, boss):
    faults.add("503", path=REFUNDS, method="POST", times=None)
    refund_payment(other_amount.pk, amount_minor=12345, user=boss)
    reconcile(bill.pk, cause=Cause.CHECK, payments=None)
    bill.refresh_from_db()
    assert bill.review_since, "the money is still here"


def test_rule_6_a_refund_that_fails_brings_the_review_back(
    world, bill, other_amount, boss, endpoint
):
    row = refund_payment(other_amount.pk, amount_minor=12345, user=boss)
    refunds.fail(row.stripe_id)
    hear(world, endpoint, "refund.failed")
    bill.refresh_from_db()
    assert (bill.review_reason, bill.status) == ("mismatch", "pending")


def test_rule_6_an_accepted_second_payment_is_a_payment_like_others(world, make_bill, boss):
    bill = make_bill()
    open_checkout(bill.pk)
    world.pay(bill)
    bill.attempts.update(state="expired")
    lifecycle.place_hold(bill.pk, "mark_paid", user=boss)
    assert lifecycle.apply_hold(bill.pk)
    reconcile(bill.pk, cause=Cause.SWEEP, session_id=bill.attempts.get().session_id)
    assert "receipt" not in kinds(bill)
    lifecycle.accept_review(bill.pk, user=boss)
    assert not bill.payments.filter(duplicate=True).exists()
    assert kinds(bill).count("receipt") == 1


def test_an_inquiry_that_becomes_a_dispute_is_told_again(bill, payment, later):
    def known(state, due_by):
        facts = DisputeFacts("du_1", state, 12345, "EUR", timezone.now(), due_by=due_by)
        lifecycle.disputes_known(payment.pk, [facts], cause=Cause.SWEEP)
        return kinds(bill).count("agency_dispute")

    soon, later_on = timezone.now() + timedelta(days=3), timezone.now() + timedelta(days=9)
    assert known("warning_needs_response", soon) == 1
    assert known("under_review", soon) == 1
    assert known("needs_response", later_on) == 2
    assert known("needs_response", later_on) == 2


def test_a_sum_of_another_currency_is_never_added(bill, other_amount):
    Payment.objects.update(currency="JPY")
    Refund.objects.create(
        payment=other_amount, amount_minor=10000, currency="JPY", state="succeeded"
    )
    found = BillingRequest.objects.with_facts().get(pk=bill.pk)
    assert (found.received_sum, found.refunded_sum) == (0, 0)


def test_a_review_that_nobody_has_seen_is_not_decided(bill, other_amount, boss):
    for decide in (lifecycle.accept_review, lifecycle.dismiss_review):
        with pytest.raises(ChangedMeanwhile):
            decide(bill.pk, user=boss, seen="2020-01-01T00:00:00+00:00")
    bill.refresh_from_db()
    lifecycle.accept_review(bill.pk, user=boss, seen=bill.review_since.isoformat())


# --- Events that fail -------------------------------------------------------------------------


def test_an_event_that_fails_again_and_again_is_given_up_and_can_be_replayed(
    world, bill, payment, endpoint, monkeypatch, later
):
    refunds.from_dashboard(payment.intent_id)
    world.deliver(world.events("charge.refunded")[-1], endpoint)
    event = endpoint.events.get(type="charge.refunded")
    real = webhooks.requests_hinted
    monkeypatch.setattr(webhooks, "requests_hinted", lambda *given: 1 / 0)
    for _try in range(webhooks.PATIENCE_WITH_US):
        event.refresh_from_db()
        assert event.state == "received"
        later(hours=2)
        webhooks.drain(float("inf"))
    event.refresh_from_db()
    assert event.state == "parked" and "ZeroDivisionError" in event.last_error
    later(hours=2)
    assert webhooks.drain(float("inf")) == 0
    monkeypatch.setattr(webhooks, "requests_hinted", real)
    assert webhooks.replay() == 1
    webhooks.drain(float("inf"))
    event.refresh_from_db()
    assert event.state == "processed" and payment.refunded_minor == 12345
    assert webhooks.replay() == 0
