"""A year of a monthly subscription, line by line: what was booked, and who was written to."""

import time
from datetime import UTC, datetime, timedelta

import pytest
import time_machine

from tests.bills.life import mails_queued, mails_that_follow
from wagtail_client_billing.gateway import webhooks
from wagtail_client_billing.gateway.checkout import open_checkout
from wagtail_client_billing.gateway.refunds import refund_payment
from wagtail_client_billing.gateway.sweeping import sweep_stripe
from wagtail_client_billing.sandbox import books, checkout, due, portal, subscriptions

START = datetime(2026, 1, 31, 9, tzinfo=UTC)

LEDGER = """
2026-01-31 first EUR 49.00
2026-02-28 renewal EUR 49.00
2026-03-31 renewal EUR 49.00, refunded EUR 19.00
2026-04-30 renewal EUR 49.00
2026-05-31 renewal EUR 49.00
2026-07-02 renewal EUR 49.00
2026-07-31 renewal EUR 49.00
2026-08-31 renewal EUR 49.00
2026-09-30 renewal EUR 49.00
2026-10-31 renewal EUR 49.00
2026-11-30 renewal EUR 49.00
2026-12-31 renewal EUR 49.00
"""
MAILS = """
2026-01-31 payment_link to client@bakery.test
2026-01-31 receipt to client@bakery.test
2026-01-31 agency_paid to hello@atelier.test
2026-02-28 renewal_receipt to client@bakery.test
2026-03-31 renewal_receipt to client@bakery.test
2026-04-15 refunded to client@bakery.test
2026-04-30 renewal_receipt to client@bakery.test
2026-05-31 renewal_receipt to client@bakery.test
2026-06-30 renewal_failed to client@bakery.test
2026-06-30 agency_renewal to hello@atelier.test
2026-07-03 renewal_receipt to client@bakery.test
2026-07-31 renewal_receipt to client@bakery.test
2026-08-31 renewal_receipt to client@bakery.test
2026-09-30 renewal_receipt to client@bakery.test
2026-10-31 renewal_receipt to client@bakery.test
2026-11-30 renewal_receipt to client@bakery.test
2026-12-31 renewal_receipt to client@bakery.test
2027-01-31 canceled to client@bakery.test
2027-01-31 agency_canceled to hello@atelier.test
"""


def lines(text):
    return text.strip().splitlines()


def ledger(bill):
    found = []
    for payment in bill.payments.order_by("received_at"):
        line = f"{payment.received_at:%Y-%m-%d} {payment.kind} EUR {payment.amount_minor / 100:.2f}"
        if payment.refunded_minor:
            line += f", refunded EUR {payment.refunded_minor / 100:.2f}"
        found.append(line)
    return found


def mails(bill):
    rows = bill.deliveries.order_by("pk")
    return [f"{mail.created_at:%Y-%m-%d} {mail.kind} to {mail.to}" for mail in rows]


@pytest.mark.timeout(300)
def test_a_year_of_a_monthly_subscription(world, connection, make_bill, boss):
    """One renewal fails and is mended by another card, one payment goes back in part."""
    with time_machine.travel(START, tick=False) as clock:
        bill = make_bill(billing_type="monthly", amount_minor=4900, ends_after=12)
        open_checkout(bill.pk)
        (session,) = world.payable(bill)
        checkout.pay(session["id"])
        heard, endpoint = set(), connection.endpoints.get()
        for _day in range(366):
            due.apply()
            for event in books.events():
                if event["id"] not in heard:
                    heard.add(event["id"])
                    world.deliver(event, endpoint)
            webhooks.drain(time.monotonic() + 30)
            sweep_stripe(time.monotonic() + 30)
            clock.shift(timedelta(hours=12))
            today = f"{datetime.now(UTC):%m-%d}"
            subscription = bill.subscriptions.get()
            if today == "04-15" and not bill.deliveries.filter(kind="refunded").exists():
                march = bill.payments.order_by("-received_at")[0]
                refund_payment(march.pk, amount_minor=1900, user=boss)
            if today == "06-15":
                subscriptions.set_card(subscription.stripe_id, "declines")
            if today == "07-02" and subscription.status == "past_due":
                portal.update_card(subscription.stripe_id, "works")
            clock.shift(timedelta(hours=12))
        bill.refresh_from_db()
        subscription.refresh_from_db()
    assert ledger(bill) == lines(LEDGER)
    assert mails(bill) == lines(MAILS)
    # And none but what the log asks for.
    assert mails_queued(bill) == mails_that_follow(bill)
    assert (bill.status, bill.review_since, subscription.status) == ("paid", None, "canceled")
    (money,) = [each for each in books.money(str(bill.uuid)) if each["refunded"]]
    assert (money["paid"], money["refunded"]) == (4900, 1900)
    assert not world.payable(bill)
