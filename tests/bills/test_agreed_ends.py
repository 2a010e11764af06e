# ruff: noqa: F401, F811
"""The end that was agreed from the start: never lost, never late, and dropped only on purpose."""

import json
from dataclasses import replace
from datetime import date, timedelta
from functools import partial

import pytest
from django.utils import timezone

from tests.bills.test_subscriptions import (
    actions,
    bill,
    kinds,
    ledger,
    now,
    ours,
    subscribe,
    sweep,
    theirs,
)
from wagtail_client_billing import lifecycle
from wagtail_client_billing.gateway.checkout import open_checkout
from wagtail_client_billing.gateway.reconcile import reconcile
from wagtail_client_billing.gateway.subscription_changes import change_subscription, finish_change
from wagtail_client_billing.models import SubscriptionChange
from wagtail_client_billing.sandbox import books, faults, portal

Kind = SubscriptionChange.Kind
facts = partial(lifecycle.SubscriptionFacts, customer_id="cus_2")


@pytest.fixture
def ending(subscribe):
    """A recurring bill of three payments, whose end Stripe has confirmed."""
    bill = subscribe(ends_after=3)
    sweep()
    assert theirs(bill)["cancel_at"]
    return bill


def end_of(bill):
    return theirs(bill)["cancel_at"], theirs(bill)["cancel_at_period_end"]


def test_keeping_after_a_cancellation_restores_the_agreed_end(ending, boss):
    agreed = end_of(ending)
    change_subscription(ours(ending).pk, Kind.CANCEL_LATER, user=boss)
    assert end_of(ending) != agreed
    change_subscription(ours(ending).pk, Kind.KEEP, user=boss)
    assert end_of(ending) == agreed
    assert int(ours(ending).cancel_at.timestamp()) == agreed[0]


def test_keeping_it_beyond_the_agreed_end_drops_that_for_good(ending, now, boss):
    change_subscription(ours(ending).pk, Kind.KEEP, user=boss)
    assert end_of(ending) == (None, False)
    change_subscription(ours(ending).pk, Kind.CANCEL_LATER, user=boss)
    change_subscription(ours(ending).pk, Kind.KEEP, user=boss)
    for _month in range(5):
        now(days=30)
        sweep()
    assert end_of(ending) == (None, False) and len(ledger(ending)) > 3


def test_a_client_who_takes_their_cancellation_back_has_the_agreed_end_again(ending, now):
    agreed = end_of(ending)
    portal.cancel_at_period_end(theirs(ending)["id"])
    now(minutes=11)
    sweep()
    portal.keep(theirs(ending)["id"])
    assert end_of(ending) == (None, False)
    for _round in range(2):
        now(minutes=11)
        sweep()
    assert end_of(ending) == agreed


def test_an_agreed_end_that_was_never_set_is_set_after_keeping(subscribe, boss):
    """Cancelled before the sweep had come to it."""
    bill = subscribe(ends_after=3)
    change_subscription(ours(bill).pk, Kind.CANCEL_LATER, user=boss)
    assert bill.subscriptions.get().changes.get(kind=Kind.SET_END).state == "superseded"
    change_subscription(ours(bill).pk, Kind.KEEP, user=boss)
    assert end_of(bill)[0] and not end_of(bill)[1]


def test_where_no_end_was_agreed_keeping_sets_none(bill, boss):
    change_subscription(ours(bill).pk, Kind.CANCEL_LATER, user=boss)
    change_subscription(ours(bill).pk, Kind.KEEP, user=boss)
    assert end_of(bill) == (None, False)


# --- When Stripe does not set it --------------------------------------------------------------


def test_an_agreed_end_that_is_past_ends_it_now(subscribe, now):
    """Stripe was out of reach for longer than the subscription was to go on."""
    bill = subscribe(ends_on=date(2026, 2, 10))
    now(days=12)
    sweep()
    assert ours(bill).status == theirs(bill)["status"] == "canceled"
    assert ledger(bill) == [("first", 4900, False)]


def allow_all_but(*rights):
    """Ticks the boxes of every key anew."""
    with books.write() as db:
        db.execute("UPDATE api_keys SET without = ?", (json.dumps(rights),))


def test_a_refused_end_is_asked_for_every_day_until_stripe_sets_it(subscribe, now):
    bill = subscribe(ends_after=3)
    allow_all_but("subscription_write")
    for _half_day in range(5):
        sweep()
        now(hours=12)
    change = SubscriptionChange.objects.get()
    assert (change.state, bool(change.error)) == ("asking", True)
    assert actions(bill).count("change_refused") == 1, "it is no news any more"
    assert change.asked_at < timezone.now() - timedelta(hours=11)
    allow_all_but()
    now(days=1)
    sweep()
    assert theirs(bill)["cancel_at"] and SubscriptionChange.objects.get().state == "done"


def test_an_end_on_which_stripe_stumbles_is_asked_for_under_another_key_the_next_day(
    subscribe, now
):
    """Stripe repeats its error 500 under the same key. Found by the machine, seed 1623952987."""
    bill = subscribe(ends_after=2)
    first_key = SubscriptionChange.objects.get().idempotency_key
    faults.add("500", path="/v1/subscriptions", method="POST", times=1)
    for _minute in range(2):
        now(minutes=3)
        sweep()
    change = SubscriptionChange.objects.get()
    assert (change.state, theirs(bill)["cancel_at"]) == ("asking", None)
    assert change.idempotency_key != first_key
    now(hours=25)
    sweep()
    assert theirs(bill)["cancel_at"] and SubscriptionChange.objects.get().state == "done"


def test_a_refused_end_is_in_time_all_the_same(subscribe, now):
    """Nobody waits for the next day when the last charge has been made."""
    bill = subscribe(ends_after=2)
    change = SubscriptionChange.objects.get()
    faults.add("503", path="/v1/subscriptions", method="POST", times=None)
    now(seconds=(change.cancel_at - timezone.now()).total_seconds() - 900)
    sweep()
    SubscriptionChange.objects.update(error="No.", asked_at=timezone.now())
    now(minutes=20)
    sweep()
    assert ours(bill).status == theirs(bill)["status"] == "canceled"
    assert [row[0] for row in ledger(bill)] == ["first", "renewal"]


# --- What nobody waits for --------------------------------------------------------------------


def test_the_end_of_a_second_subscription_is_told_to_nobody(bill):
    """The first one goes on: the mails would say that nothing more is charged."""
    second = facts("sub_second", "active")
    attempt = bill.attempts.get()
    lifecycle.subscription_known(attempt, second, cause="sweep")
    before = kinds(bill)
    planned = replace(second, cancel_at_period_end=True, read_at=timezone.now())
    lifecycle.subscription_known(attempt, planned, cause="sweep")
    over = replace(second, status="canceled", read_at=timezone.now())
    lifecycle.subscription_known(attempt, over, cause="sweep")
    assert kinds(bill) == before
    first = bill.subscriptions.exclude(stripe_id="sub_second").get()
    entry = bill.log_entries.filter(action="canceled").get()
    assert entry.evidence["goes_on"] == first.stripe_id


def test_what_was_never_paid_is_cancelled_by_the_sweep_after_a_crash(
    world,
    now,
    make_bill,
):
    bill = make_bill(billing_type="monthly", link_lifetime=timedelta(days=3))
    open_checkout(bill.pk)
    session = world.pay_later(bill)
    reconcile(bill.pk, cause="sweep")
    world.settle(session, False)
    faults.add("503", path="/v1/subscriptions", method="DELETE", times=None)
    reconcile(bill.pk, cause="sweep")
    change = SubscriptionChange.objects.get()
    assert (change.kind, change.state) == ("cancel_now", "asking")
    faults.clear()
    now(minutes=3)
    finish_change(change.pk)
    assert ours(bill).has_ended
