# ruff: noqa: F401, F811
"""Money that comes when a subscription has ended already, and money that a bank still moves."""

import pytest

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
from wagtail_client_billing.gateway.reconcile import reconcile
from wagtail_client_billing.models import LogEntry, StripeConnection
from wagtail_client_billing.sandbox import (
    books,
    due,
    faults,
    invoice_pages,
    subscriptions,
)


@pytest.fixture
def owing(bill, now):
    """A subscription that has ended with an invoice that its client may still pay at Stripe."""
    subscriptions.set_card(theirs(bill)["id"], "declines")
    now(days=29)
    due.apply()
    sweep()
    subscriptions.cancel_now(theirs(bill)["id"])
    reconcile(bill.pk, cause="sweep")
    now(minutes=11)
    sweep()
    assert ours(bill).has_ended and ours(bill).ask_at is None
    return bill


def pay_what_is_owed(bill):
    invoice_pages.pay(theirs(bill)["latest_invoice"])


def test_an_invoice_that_is_paid_after_the_end_is_booked_without_a_webhook(owing, now):
    pay_what_is_owed(owing)
    # The list of events is caught up part by part.
    for _part in range(12):
        now(minutes=1)
        sweep()
    assert ledger(owing) == [("first", 4900, False), ("renewal", 4900, False)]
    assert kinds(owing).count("renewal_receipt") == 1
    assert ours(owing).has_ended and ours(owing).ask_at is None


def test_an_invoice_that_is_paid_after_the_end_is_found_by_check_with_stripe(owing):
    pay_what_is_owed(owing)
    reconcile(owing.pk, cause=LogEntry.Cause.CHECK, subscription_ids=None)
    assert ledger(owing) == [("first", 4900, False), ("renewal", 4900, False)]


def test_a_key_that_may_not_list_events_asks_about_what_has_ended_too(owing, connection, now):
    StripeConnection.objects.update(missing_rights=["rak_event_read"])
    pay_what_is_owed(owing)
    for _day in range(3):
        now(days=1)
        sweep()
    assert ledger(owing) == [("first", 4900, False), ("renewal", 4900, False)]


def test_a_long_silence_loses_nothing_of_a_subscription_that_has_ended(subscribe, now):
    bill = subscribe(billing_type="weekly")
    faults.add("swallow", times=None)
    now(weeks=30)
    for _step in range(30):
        due.apply()
    subscriptions.cancel_now(theirs(bill)["id"])
    paid = len([money for money in books.money(str(bill.uuid)) if money["paid"]])
    for _round in range(6):
        reconcile(bill.pk, cause="sweep")
    assert ours(bill).has_ended
    assert bill.payments.count() == paid > 25
    assert ours(bill).ask_at is None, "nothing is left to be read"


# --- A bank takes days over a renewal ----------------------------------------------------------


@pytest.fixture
def debited(subscribe, now):
    """A subscription that is paid by bank debit, whose first renewal the bank is working on."""
    bill = subscribe()
    subscriptions.set_card(theirs(bill)["id"], "debit")
    now(days=28, hours=3)
    due.apply()
    sweep()
    assert theirs(bill)["status"] == ours(bill).status == "active"
    return bill


def news(bill):
    return {"renewal_failed", "agency_renewal", "renewal_receipt"} & set(kinds(bill))


def test_a_renewal_that_a_bank_is_working_on_has_not_failed(debited, now):
    seen = ours(debited).renewal_processing_since
    assert seen
    now(hours=13)
    sweep()
    assert ours(debited).renewal_processing_since == seen
    assert "renewal_failed" not in actions(debited) and not news(debited)
    assert ledger(debited) == [("first", 4900, False)]
    # Nobody tells us, and still we hear of it.
    faults.add("503", path="/v1/events", times=None)
    now(days=5)
    due.apply()
    sweep()
    assert ledger(debited) == [("first", 4900, False), ("renewal", 4900, False)]
    assert news(debited) == {"renewal_receipt"}
    assert ours(debited).renewal_processing_since is None


def test_a_debit_that_the_bank_refuses_is_told_when_it_has(debited, now):
    subscriptions.set_card(theirs(debited)["id"], "declines")
    now(days=5)
    due.apply()
    sweep()
    assert actions(debited).count("renewal_failed") == 1
    assert news(debited) == {"renewal_failed", "agency_renewal"}
    assert ours(debited).renewal_processing_since is None
    assert ledger(debited) == [("first", 4900, False)]


def test_a_debit_outlives_its_subscription(debited, now):
    subscriptions.cancel_now(theirs(debited)["id"])
    reconcile(debited.pk, cause="sweep")
    assert ours(debited).has_ended and ours(debited).ask_at
    faults.add("503", path="/v1/events", times=None)
    now(days=5)
    due.apply()
    sweep()
    assert ledger(debited) == [("first", 4900, False), ("renewal", 4900, False)]
    assert ours(debited).ask_at is None
