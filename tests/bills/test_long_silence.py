# ruff: noqa: F401, F811
"""A subscription that nobody looked at for long, and mails that waited for as long."""

import pytest
from django.utils import timezone

from tests.bills.test_subscriptions import bill, kinds, ledger, now, ours, subscribe, sweep, theirs
from wagtail_client_billing import lifecycle
from wagtail_client_billing.gateway.reconcile import reconcile
from wagtail_client_billing.mail.obsolete import is_obsolete
from wagtail_client_billing.models import BillingRequest, EmailDelivery, Refund
from wagtail_client_billing.sandbox import books, due, faults, subscriptions


def test_thirty_missed_weeks_are_booked_a_dozen_at_a_time(subscribe, now):
    bill = subscribe(billing_type="weekly")
    faults.add("swallow", times=None)
    now(weeks=30)
    for _step in range(30):
        due.apply()
    now(hours=2)
    due.apply()
    paid = len([money for money in books.money(str(bill.uuid)) if money["paid"]])
    counts = []
    for _round in range(4):
        lifecycle.ask_again(bill.account_id, bill.livemode)

        reconcile(bill.pk, cause="sweep")
        counts.append(bill.payments.count())
        if counts[-1] < paid:
            assert ours(bill).ask_at <= timezone.now(), "the sweep goes on"
    assert counts == [13, 25, paid, paid] and paid >= 30
    periods = list(bill.payments.order_by("pk").values_list("period_start", flat=True))
    assert periods == sorted(periods)


def test_a_try_that_the_log_knows_costs_no_more_calls(bill, now):
    subscriptions.set_card(theirs(bill)["id"], "declines")
    now(days=29)
    sweep()
    assert bill.log_entries.filter(action="renewal_failed").count() == 1
    faults.add("503", path="/v1/invoice_payments", times=None)
    assert not reconcile(bill.pk, cause="sweep").unreachable


def mail(bill, kind, **facts):
    return EmailDelivery(request=bill, kind=kind, to=bill.email, facts=facts)


def test_a_failed_refund_that_came_through_after_all_is_not_told(bill):
    payment = bill.payments.get()
    refund = Refund.objects.create(
        payment=payment, amount_minor=1, currency="EUR", state="failed", idempotency_key="k"
    )
    told = mail(bill, "agency_refund", refund=refund.pk)
    assert not is_obsolete(told)
    Refund.objects.update(state="succeeded")
    assert is_obsolete(told)


def test_a_review_that_is_over_is_not_told(bill):
    told = mail(bill, "agency_review", reason="mismatch")
    assert is_obsolete(told)
    bill.review_since = timezone.now()
    assert not is_obsolete(told)


@pytest.mark.parametrize("kind", ["renewal_failed", "agency_renewal"])
def test_a_failed_renewal_is_told_until_it_is_paid_or_all_is_over(bill, kind):
    subscription = ours(bill)
    told = mail(bill, kind, subscription=subscription.pk, invoice="in_failed")
    assert subscription.status == "active" and not is_obsolete(told)
    paid = mail(bill, kind, subscription=subscription.pk, invoice=bill.payments.get().source)
    assert is_obsolete(paid)
    bill.subscriptions.update(status="canceled")
    assert is_obsolete(told)
