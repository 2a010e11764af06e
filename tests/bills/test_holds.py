"""Delete: Stripe first, then here."""

from datetime import timedelta

import pytest
from django.utils import timezone

from wagtail_client_billing import lifecycle, tasks
from wagtail_client_billing.errors import BeingChanged, NotAllowed
from wagtail_client_billing.gateway.changes import Outcome, delete_request, finish_hold
from wagtail_client_billing.gateway.checkout import open_checkout
from wagtail_client_billing.gateway.reconcile import reconcile
from wagtail_client_billing.models import BillingRequest, LogEntry
from wagtail_client_billing.sandbox import books, faults, keys

SESSIONS = "/v1/checkout/sessions"


def left_alone(bill, minutes=3):
    BillingRequest.objects.filter(pk=bill.pk).update(
        hold_since=timezone.now() - timedelta(minutes=minutes)
    )


def test_deleting_a_bill_that_nobody_opened_asks_nobody(world, bill):
    before = len(books.api_calls())
    assert delete_request(bill.pk, user=None) == Outcome.DONE
    bill.refresh_from_db()
    assert (bill.status, bill.hold) == ("deleted", "")
    assert bill.deleted_at
    assert len(books.api_calls()) == before


def test_rule_5_delete_closes_the_session_at_stripe_first(world, bill):
    open_checkout(bill.pk)
    assert delete_request(bill.pk, user=None) == Outcome.DONE
    bill.refresh_from_db()
    assert bill.status == "deleted"
    assert [s["status"] for s in world.sessions(bill)] == ["expired"]
    assert list(bill.attempts.values_list("state", flat=True)) == ["expired"]


def test_rule_5_with_stripe_down_nothing_changes_and_the_sweep_goes_on(world, bill):
    open_checkout(bill.pk)
    world.down()
    assert delete_request(bill.pk, user=None) == Outcome.WAITING
    bill.refresh_from_db()
    assert (bill.status, bill.hold) == ("pending", "delete")
    with pytest.raises(BeingChanged):
        open_checkout(bill.pk)
    tasks.sweep()
    bill.refresh_from_db()
    assert bill.status == "pending", "a hold of seconds is still in somebody's hands"
    world.up()
    left_alone(bill)
    tasks.sweep()
    bill.refresh_from_db()
    assert (bill.status, bill.hold) == ("deleted", "")
    assert world.payable(bill) == []


def test_rule_5_what_was_paid_meanwhile_is_not_deleted(world, bill):
    open_checkout(bill.pk)
    world.pay(bill)
    assert delete_request(bill.pk, user=None) == Outcome.PAID
    bill.refresh_from_db()
    assert (bill.status, bill.hold, bill.paid_late) == ("paid", "", False)


def test_rule_5_what_is_processing_is_not_deleted(world, bill):
    open_checkout(bill.pk)
    world.pay_later(bill)
    assert delete_request(bill.pk, user=None) == Outcome.PROCESSING
    bill.refresh_from_db()
    assert (bill.status, bill.hold) == ("pending", "")
    assert bill.processing_since
    with pytest.raises(NotAllowed):
        delete_request(bill.pk, user=None)


def test_rule_5_a_session_whose_answer_was_lost_is_closed_too(world, bill):
    faults.add("lost", path=SESSIONS, method="POST", times=3)
    with pytest.raises(Exception, match="Stripe"):
        open_checkout(bill.pk)
    assert len(world.payable(bill)) == 1
    assert delete_request(bill.pk, user=None) == Outcome.DONE
    assert world.payable(bill) == []


def test_rule_5_an_account_that_is_lost_ends_with_the_sessions_own_end(world, bill):
    open_checkout(bill.pk)
    keys.revoke_key("rk_test_bills_0123456789")
    assert delete_request(bill.pk, user=None) == Outcome.LOST
    left_alone(bill)
    tasks.sweep()
    bill.refresh_from_db()
    assert (bill.status, bill.hold) == ("pending", "delete")
    bill.attempts.update(expires_at=timezone.now() - timedelta(minutes=4))
    assert finish_hold(bill.pk) == Outcome.LOST
    bill.attempts.update(expires_at=timezone.now() - timedelta(minutes=6))
    tasks.sweep()
    bill.refresh_from_db()
    assert (bill.status, bill.not_confirmed) == ("deleted", True)


def test_an_expired_bill_may_be_deleted_and_a_paid_one_not(world, make_bill, overdue):
    expired = overdue(make_bill())
    lifecycle.expire_overdue()
    assert delete_request(expired.pk, user=None) == Outcome.DONE
    paid = make_bill()
    open_checkout(paid.pk)
    world.pay(paid)
    reconcile(paid.pk, cause=LogEntry.Cause.CHECK)
    with pytest.raises(NotAllowed):
        delete_request(paid.pk, user=None)


def test_two_changes_at_once_are_one(world, bill):
    lifecycle.place_hold(bill.pk, BillingRequest.Hold.DELETE)
    with pytest.raises(BeingChanged):
        delete_request(bill.pk, user=None)


def test_a_hold_is_not_applied_while_a_session_lives(world, bill):
    open_checkout(bill.pk)
    lifecycle.place_hold(bill.pk, BillingRequest.Hold.DELETE)
    assert lifecycle.apply_hold(bill.pk) is False
    bill.refresh_from_db()
    assert bill.status == "pending"
    assert lifecycle.lift_hold(bill.pk, cause=LogEntry.Cause.SWEEP) is True
    assert lifecycle.lift_hold(bill.pk, cause=LogEntry.Cause.SWEEP) is False
    assert open_checkout(bill.pk).url


def test_late_money_on_a_deleted_bill_wins(world, bill):
    open_checkout(bill.pk)
    keys.revoke_key("rk_test_bills_0123456789")
    delete_request(bill.pk, user=None)
    bill.attempts.update(expires_at=timezone.now() - timedelta(minutes=6))
    finish_hold(bill.pk)
    bill.refresh_from_db()
    assert bill.status == "deleted"
    # The session had been paid before it ended; the account is connected again with another key.
    world.pay(bill)
    from wagtail_client_billing.gateway import connect

    key = keys.make_key(bill.account_id)
    connect.connect_with_key(
        key=key,
        livemode=False,
        country="FR",
        privacy_policy_url="https://atelier.test/privacy",
        terms_url="https://atelier.test/terms",
        user=None,
    )
    reconcile(bill.pk, cause=LogEntry.Cause.CHECK)
    bill.refresh_from_db()
    assert (bill.status, bill.paid_late, bill.not_confirmed) == ("paid", True, False)
    assert bill.deliveries.filter(kind="agency_late").count() == 1
