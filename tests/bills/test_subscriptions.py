"""Recurring bills: first payments, renewals, failures, ends; with webhooks and without."""

import time
from datetime import UTC, date, datetime, timedelta
from functools import partial

import pytest
import time_machine
from django.utils import timezone

from wagtail_client_billing import lifecycle
from wagtail_client_billing.errors import NotAllowed
from wagtail_client_billing.gateway import portal as our_portal
from wagtail_client_billing.gateway import webhooks
from wagtail_client_billing.gateway.checkout import open_checkout
from wagtail_client_billing.gateway.client import api_for
from wagtail_client_billing.gateway.reconcile import reconcile
from wagtail_client_billing.gateway.refunds import refund_payment
from wagtail_client_billing.gateway.subscription_changes import change_subscription
from wagtail_client_billing.gateway.sweeping import sweep_stripe
from wagtail_client_billing.lifecycle import SubscriptionFacts
from wagtail_client_billing.models import SubscriptionChange
from wagtail_client_billing.sandbox import (
    books,
    checkout,
    due,
    faults,
    portal,
    refunds,
    subscriptions,
)

Kind = SubscriptionChange.Kind
START = datetime(2026, 1, 31, 12, tzinfo=UTC)


@pytest.fixture
def now():
    """A clock to turn, which the sandbox shares; it starts on the last day of a long month."""
    with time_machine.travel(START, tick=False) as traveller:
        yield lambda **by: traveller.shift(timedelta(**by))


@pytest.fixture
def subscribe(world, now, make_bill):
    """Makes a recurring bill and pays it."""

    def subscribe(**given):
        bill = make_bill(**{"billing_type": "monthly", "amount_minor": 4900, **given})
        open_checkout(bill.pk)
        (session,) = world.payable(bill)
        checkout.pay(session["id"])
        reconcile(bill.pk, cause="sweep")
        bill.refresh_from_db()
        return bill

    return subscribe


@pytest.fixture
def bill(subscribe):
    return subscribe()


def sweep():
    """Stripe's share of the sweep, and the events that it took."""
    sweep_stripe(time.monotonic() + 30)
    webhooks.drain(time.monotonic() + 30)


def ours(bill):
    return bill.subscriptions.get()


def theirs(bill):
    due.apply()
    (found,) = books.subscriptions(str(bill.uuid))
    return found


def ledger(bill):
    return list(
        bill.payments.order_by("received_at").values_list("kind", "amount_minor", "duplicate")
    )


def actions(bill):
    return list(bill.log_entries.order_by("pk").values_list("action", flat=True))


def kinds(bill):
    return list(bill.deliveries.order_by("pk").values_list("kind", flat=True))


# --- The first payment ------------------------------------------------------------------------


def test_paying_starts_a_subscription(bill):
    assert bill.status == "paid" and not bill.review_since
    subscription = ours(bill)
    told = theirs(bill)
    assert (subscription.stripe_id, subscription.status) == (told["id"], "active")
    assert subscription.customer_id == told["customer"]
    assert subscription.current_period_end == datetime(2026, 2, 28, 12, tzinfo=UTC)
    payment = bill.payments.get()
    assert (payment.kind, payment.amount_minor, payment.currency) == ("first", 4900, "EUR")
    assert payment.source.startswith("in_") and payment.intent_id.startswith("pi_")
    assert (payment.method, payment.last4) == ("visa", "4242")
    assert (payment.period_start, payment.period_end) == (START, subscription.current_period_end)
    assert bill.attempts.get().state == "complete"
    assert actions(bill)[-3:] == ["subscribed", "payment", "paid"]
    assert kinds(bill) == ["payment_link", "receipt", "agency_paid"]


@pytest.mark.parametrize(
    ("kind", "interval"),
    [
        ("weekly", ("week", 1)),
        ("monthly", ("month", 1)),
        ("quarterly", ("month", 3)),
        ("yearly", ("year", 1)),
    ],
)
def test_stripe_is_asked_for_the_interval_that_was_agreed(subscribe, kind, interval):
    plan = theirs(subscribe(billing_type=kind))["items"]["data"][0]["price"]["recurring"]
    assert (plan["interval"], plan["interval_count"]) == interval


def test_a_bank_debit_is_processing_and_then_paid(world, now, make_bill):
    bill = make_bill(billing_type="monthly")
    open_checkout(bill.pk)
    session = world.pay_later(bill)
    reconcile(bill.pk, cause="sweep")
    bill.refresh_from_db()
    assert bill.status == "pending" and bill.processing_since
    world.settle(session, True)
    now(hours=2)
    sweep()
    bill.refresh_from_db()
    assert (bill.status, bill.processing_since) == ("paid", None)
    assert ledger(bill) == [("first", 12345, False)]


def test_a_bank_debit_that_fails_leaves_no_subscription_behind(world, now, make_bill):
    """Stripe would go on trying to collect while the client pays the bill anew."""
    bill = make_bill(billing_type="monthly", link_lifetime=timedelta(days=3))
    open_checkout(bill.pk)
    session = world.pay_later(bill)
    reconcile(bill.pk, cause="sweep")
    world.settle(session, False)
    now(hours=2)
    sweep()
    bill.refresh_from_db()
    assert (bill.status, bill.processing_since) == ("pending", None)
    assert theirs(bill)["status"] in ("canceled", "incomplete_expired")
    assert ours(bill).has_ended
    told = ["payment_link", "payment_failed", "agency_failed"]
    assert kinds(bill) == told, "it had never begun"
    open_checkout(bill.pk)
    world.pay(bill)
    reconcile(bill.pk, cause="sweep")
    assert ledger(bill) == [("first", 12345, False)]


def test_while_that_subscription_cannot_be_cancelled_nobody_pays_anew(world, now, make_bill):
    bill = make_bill(billing_type="monthly", link_lifetime=timedelta(days=3))
    open_checkout(bill.pk)
    session = world.pay_later(bill)
    reconcile(bill.pk, cause="sweep")
    world.settle(session, False)
    faults.add("503", path="/v1/subscriptions", method="DELETE", times=None)
    reconcile(bill.pk, cause="sweep")
    bill.refresh_from_db()
    assert bill.processing_since and open_checkout(bill.pk).url is None
    faults.clear()
    reconcile(bill.pk, cause="sweep")
    bill.refresh_from_db()
    assert bill.processing_since is None


# --- Renewals ---------------------------------------------------------------------------------


def test_renewals_are_booked_without_webhooks(bill, now):
    faults.add("swallow", times=None)
    for _month in range(3):
        now(days=31)
        sweep()
    assert ledger(bill) == [("first", 4900, False)] + 3 * [("renewal", 4900, False)]
    assert kinds(bill).count("renewal_receipt") == 3 and kinds(bill).count("receipt") == 1
    periods = list(bill.payments.order_by("received_at").values_list("period_start", "period_end"))
    assert [end for _start, end in periods[:-1]] == [start for start, _end in periods[1:]]
    assert actions(bill).count("paid") == 1 and actions(bill).count("payment") == 4


def test_a_renewal_is_booked_by_its_webhook(world, connection, bill, now):
    now(days=29)
    due.apply()
    world.deliver(books.events("invoice.paid")[-1], connection.endpoints.get())
    webhooks.drain(float("inf"))
    assert ledger(bill)[-1] == ("renewal", 4900, False)
    assert bill.log_entries.filter(action="payment").last().cause == "webhook"


def test_many_missed_periods_are_booked_in_their_order(bill, now):
    faults.add("swallow", times=None)
    now(days=400)
    for _round in range(3):
        sweep()
        now(hours=1)
    paid = [money for money in books.money(str(bill.uuid)) if money["paid"]]
    assert len(paid) == bill.payments.count() >= 13
    log = list(
        bill.log_entries.filter(action="payment").order_by("pk").values_list("evidence", flat=True)
    )
    in_order = list(bill.payments.order_by("period_start").values_list("source", flat=True))
    assert [evidence["payment"] for evidence in log] == in_order


def test_a_renewal_of_another_amount_is_looked_at_by_a_person(bill, now):
    bill.attempts.update(amount_minor=100)
    now(days=29)
    sweep()
    bill.refresh_from_db()
    assert (bill.status, bill.review_reason) == ("paid", "mismatch")
    assert bill.payments.get(kind="renewal").mismatch


def test_a_renewal_can_be_refunded(bill, now, boss):
    now(days=29)
    sweep()
    renewal = bill.payments.get(kind="renewal")
    assert refund_payment(renewal.pk, amount_minor=900, user=boss).state == "succeeded"
    (money,) = [each for each in books.money(str(bill.uuid)) if each["source"] == renewal.source]
    assert money["refunded"] == 900


def test_a_refund_of_a_renewal_at_stripe_is_heard_of(world, connection, bill, now):
    now(days=29)
    sweep()
    renewal = bill.payments.get(kind="renewal")
    refunds.from_dashboard(renewal.intent_id, 100)
    world.deliver(world.events("charge.refunded")[-1], connection.endpoints.get())
    webhooks.drain(float("inf"))
    assert renewal.refunded_minor == 100


# --- Renewals that fail -----------------------------------------------------------------------


@pytest.mark.parametrize(("card", "needs_client"), [("declines", None), ("asks", True)])
def test_a_failed_renewal_is_told_to_both_sides_once(bill, now, card, needs_client):
    subscriptions.set_card(theirs(bill)["id"], card)
    now(days=29)
    sweep()
    sweep()
    subscription = ours(bill)
    assert subscription.status == "past_due"
    assert ledger(bill) == [("first", 4900, False)]
    entry = bill.log_entries.get(action="renewal_failed")
    assert entry.evidence.get("needs_client") == needs_client
    assert kinds(bill)[3:] == ["renewal_failed", "agency_renewal"]
    # Another card, and Stripe tries again.
    portal.update_card(subscription.stripe_id, "works")
    now(hours=13)
    sweep()
    assert ours(bill).status == "active"
    assert ledger(bill)[-1] == ("renewal", 4900, False)


def test_a_card_that_never_works_ends_the_subscription(bill, now):
    subscriptions.set_card(theirs(bill)["id"], "declines")
    now(days=29)
    for _day in range(20):
        now(days=1)
        sweep()
    subscription = ours(bill)
    assert subscription.status == "canceled" and subscription.ended_at
    assert actions(bill).count("renewal_failed") > 1
    assert kinds(bill).count("renewal_failed") == 1 and kinds(bill).count("canceled") == 1
    bill.refresh_from_db()
    assert bill.status == "paid"


# --- Ending -----------------------------------------------------------------------------------


def test_cancelled_now(bill, now, boss):
    change = change_subscription(ours(bill).pk, Kind.CANCEL_NOW, user=boss)
    assert change.state == "done"
    assert theirs(bill)["status"] == ours(bill).status == "canceled"
    entry = bill.log_entries.get(action="canceled")
    assert (entry.cause, entry.user) == ("editor", boss)
    now(days=40)
    sweep()
    assert ledger(bill) == [("first", 4900, False)]
    with pytest.raises(NotAllowed):
        change_subscription(ours(bill).pk, Kind.CANCEL_NOW, user=boss)


def test_cancelled_at_the_end_of_the_period_and_kept_after_all(bill, now, boss):
    change = partial(change_subscription, ours(bill).pk, user=boss)
    assert change(Kind.CANCEL_LATER).state == "done"
    assert ours(bill).is_ending and theirs(bill)["cancel_at_period_end"]
    assert change(Kind.KEEP).state == "done"
    assert not ours(bill).is_ending and not theirs(bill)["cancel_at_period_end"]
    assert actions(bill)[-2:] == ["cancel_planned", "cancel_dropped"]
    assert change(Kind.CANCEL_LATER).state == "done"
    now(days=29)
    sweep()
    assert ours(bill).status == "canceled"
    assert ledger(bill) == [("first", 4900, False)]


def test_a_client_who_cancels_is_heard_of(bill, now):
    portal.cancel_at_period_end(theirs(bill)["id"])
    now(minutes=11)
    sweep()
    assert ours(bill).is_ending and actions(bill)[-1] == "cancel_planned"


def test_rule_4_a_change_in_an_outage_is_made_by_the_sweep(bill, now, boss):
    faults.add("503", path="/v1/subscriptions", times=None)
    change = change_subscription(ours(bill).pk, Kind.CANCEL_NOW, user=boss)
    assert (change.state, theirs(bill)["status"]) == ("asking", "active")
    faults.clear()
    now(minutes=3)
    sweep()
    change.refresh_from_db()
    assert (change.state, ours(bill).status) == ("done", "canceled")


def test_rule_4_a_change_whose_answer_was_lost_is_heard_of(bill, now, boss):
    faults.add("lost", path="/v1/subscriptions", method="DELETE", times=3)
    change_subscription(ours(bill).pk, Kind.CANCEL_NOW, user=boss)
    faults.clear()
    now(minutes=3)
    sweep()
    assert ours(bill).status == "canceled"
    assert not SubscriptionChange.objects.filter(state="asking").exists()


def test_an_older_answer_changes_nothing(bill, now):
    """Two workers asked; the one who had asked first is the last to write."""
    row, attempt = ours(bill), bill.attempts.get()
    read_at = timezone.now()
    facts = partial(SubscriptionFacts, row.stripe_id, "active", row.customer_id)
    newer = facts(cancel_at_period_end=True, read_at=read_at)
    older = facts(read_at=read_at - timedelta(seconds=1))
    lifecycle.subscription_known(attempt, newer, cause="sweep")
    lifecycle.subscription_known(attempt, older, cause="webhook")
    assert ours(bill).is_ending and actions(bill).count("cancel_dropped") == 0


@pytest.mark.parametrize("kind", ["weekly", "monthly", "quarterly", "yearly"])
def test_after_n_payments_it_ends(subscribe, now, kind):
    bill = subscribe(billing_type=kind, ends_after=3)
    sweep()
    assert SubscriptionChange.objects.get().state == "done"
    assert ours(bill).cancel_at and theirs(bill)["cancel_at"]
    assert "agency_canceled" not in kinds(bill), "it was agreed"
    for _step in range(14):
        now(days=100 if kind == "yearly" else 30)
        sweep()
    assert [row[0] for row in ledger(bill)] == ["first", "renewal", "renewal"]
    assert len([each for each in books.money(str(bill.uuid)) if each["paid"]]) == 3
    assert ours(bill).status == "canceled"


def test_on_its_last_day_it_ends(subscribe, now):
    bill = subscribe(ends_on=date(2026, 3, 31))
    sweep()
    assert ours(bill).cancel_at >= datetime(2026, 3, 31, 20, tzinfo=UTC)
    for _step in range(6):
        now(days=25)
        sweep()
    # 31 January, 28 February, 31 March
    assert len(ledger(bill)) == 3 and ours(bill).status == "canceled"


def test_the_agreed_end_is_repeated_until_stripe_confirms(subscribe, now):
    faults.add("503", path="/v1/subscriptions", method="POST", times=None)
    bill = subscribe(ends_after=2)
    for _round in range(3):
        sweep()
        now(minutes=3)
    assert SubscriptionChange.objects.get().state == "asking" and not ours(bill).cancel_at
    faults.clear()
    sweep()
    assert SubscriptionChange.objects.get().state == "done" and ours(bill).cancel_at


# --- Twice ------------------------------------------------------------------------------------


def test_money_of_a_second_subscription_goes_back_with_it(world, now, make_bill, boss):
    """Marked as paid past Stripe, while a session had been paid that we had taken for over."""
    bill = make_bill(billing_type="monthly")
    open_checkout(bill.pk)
    world.pay(bill)
    bill.attempts.update(state="expired")
    lifecycle.place_hold(bill.pk, "mark_paid", user=boss)
    assert lifecycle.apply_hold(bill.pk)
    reconcile(bill.pk, cause="sweep", session_id=bill.attempts.get().session_id)
    bill.refresh_from_db()
    assert bill.review_reason == "duplicate"
    payment = bill.payments.get(kind="first")
    assert payment.duplicate
    refund_payment(payment.pk, amount_minor=12345, user=boss)
    bill.refresh_from_db()
    assert bill.review_since is None and bill.status == "paid"
    assert theirs(bill)["status"] == "canceled"


@pytest.fixture
def second(world, now, make_bill, boss):
    """The subscription of a bill that was also marked as paid past Stripe."""
    bill = make_bill(billing_type="monthly")
    open_checkout(bill.pk)
    world.pay(bill)
    bill.attempts.update(state="expired")
    lifecycle.place_hold(bill.pk, "mark_paid", user=boss)
    assert lifecycle.apply_hold(bill.pk)
    reconcile(bill.pk, cause="sweep", session_id=bill.attempts.get().session_id)
    return bill


def test_what_a_second_subscription_charges_later_is_doubtful_too(second, now, boss):
    lifecycle.dismiss_review(second.pk, user=boss)
    now(days=32)
    sweep()
    second.refresh_from_db()
    assert second.payments.get(kind="renewal").duplicate
    assert second.review_reason == "duplicate"
    assert "renewal_receipt" not in kinds(second)


def test_a_crash_after_its_refund_was_written_down_keeps_it_from_charging_on(second, now, boss):
    payment = second.payments.get(kind="first")
    lifecycle.begin_refund(payment.pk, amount_minor=12345, user=boss)
    now(minutes=3)
    sweep()
    assert theirs(second)["status"] == "canceled" and payment.refunded_minor == 12345


# --- The client's own portal ------------------------------------------------------------------


def test_the_client_is_led_to_stripes_portal(bill, connection):
    url = our_portal.open_portal(bill.pk)
    assert "/sandbox/" in url
    connection.refresh_from_db()
    made = connection.portal_configuration_id
    assert made
    our_portal.open_portal(bill.pk)
    connection.refresh_from_db()
    assert connection.portal_configuration_id == made


def test_a_portal_that_was_switched_off_at_stripe_is_made_anew(bill, connection):
    our_portal.open_portal(bill.pk)
    connection.refresh_from_db()
    made = connection.portal_configuration_id
    api = api_for(connection)
    api.call(lambda c: c.v1.billing_portal.configurations.update(made, {"active": False}))
    assert "/sandbox/" in our_portal.open_portal(bill.pk)
    connection.refresh_from_db()
    assert connection.portal_configuration_id not in ("", made)


def test_without_a_subscription_there_is_no_portal(make_bill):
    with pytest.raises(NotAllowed):
        our_portal.open_portal(make_bill().pk)


def test_linking_the_account_again_asks_about_its_subscriptions(bill):
    lifecycle.ask_again(bill.account_id, bill.livemode)
    assert ours(bill).ask_at <= timezone.now()
