"""Whoever brings the news, in whatever order and however often, the end is the same."""

import itertools
from datetime import timedelta

import pytest
import stripe
import time_machine
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from tests.in_process import InProcessStripe
from wagtail_client_billing import tasks
from wagtail_client_billing.gateway.checkout import open_checkout
from wagtail_client_billing.gateway.reconcile import reconcile
from wagtail_client_billing.models import (
    EmailDelivery,
    LogEntry,
    StripeConnection,
    StripeEvent,
    WebhookEndpoint,
)
from wagtail_client_billing.sandbox import sessions

Kind = EmailDelivery.Kind


class Messengers:
    """Everybody who may bring news of one session."""

    NAMES = ("webhook", "return_page", "check", "sweep", "older_webhook")

    def __init__(self, world, bill, session_id, *, true, older):
        self.world, self.bill, self.session_id = world, bill, session_id
        self.endpoint = bill_endpoint(bill)
        self.event = next(
            event for event in world.events(true) if event["data"]["object"]["id"] == session_id
        )
        # Stripe gives no order: an older event, of another kind, with an older or wrong content.
        self.older = {
            **self.event,
            "id": f"evt_older_{session_id[-20:]}",
            "type": older,
            "created": self.event["created"] - 60,
        }

    def webhook(self):
        assert self.world.deliver(self.event, self.endpoint).status_code == 200
        tasks.drain_events()

    def older_webhook(self):
        assert self.world.deliver(self.older, self.endpoint).status_code == 200
        tasks.drain_events()

    def return_page(self):
        url = reverse("client_billing:return", args=[self.bill.token])
        assert Client().get(url, {"session_id": self.session_id}).status_code in (200, 303)

    def check(self):
        reconcile(self.bill.pk, cause=LogEntry.Cause.CHECK, waiting=True)

    def sweep(self):
        tasks.sweep()


def bill_endpoint(bill):
    return WebhookEndpoint.objects.get(connection__account_id=bill.account_id, state="active")


def picture(bill):
    bill.refresh_from_db()
    return {
        "status": bill.status,
        "late": bill.paid_late,
        "payments": list(bill.payments.values_list("amount_minor", "currency", "duplicate")),
        "mails": sorted(bill.deliveries.values_list("kind", flat=True)),
        "attempts": list(bill.attempts.values_list("state", flat=True)),
        "review": bill.review_reason,
        "processing": bill.processing_since,
        "paid_entries": bill.log_entries.filter(action=LogEntry.Action.PAID).count(),
        "expired_entries": bill.log_entries.filter(action=LogEntry.Action.EXPIRED).count(),
    }


def orders():
    """Every order of the five; every fifth of them said again backwards; and each one alone."""
    for number, order in enumerate(itertools.permutations(Messengers.NAMES)):
        yield order if number % 5 else (*order, *reversed(order))
    for name in ("webhook", "return_page", "check", "sweep"):
        yield (name,)


@pytest.fixture
def soon(monkeypatch):
    """Hundreds of stories: without sockets, and without waiting for more to do."""
    monkeypatch.setattr(stripe, "RequestsClient", InProcessStripe)
    monkeypatch.setattr(tasks, "LINGER_SECONDS", 0)


def run_orders(world, make_bill, prepare, expected, **events):
    seen = 0
    # A sweep asks about a young session after 45 s.
    with time_machine.travel(timezone.now() + timedelta(minutes=1), tick=True) as traveller:
        for order in orders():
            StripeEvent.objects.all().delete()
            bill = make_bill()
            assert open_checkout(bill.pk).url
            bill.attempts.update(created_at=timezone.now() - timedelta(minutes=3), asked_at=None)
            messengers = Messengers(world, bill, prepare(bill, traveller), **events)
            # Stripe's own list of events would bring all news at once.
            now = timezone.now()
            StripeConnection.objects.update(events_read_at=now, events_read_until=now)
            for name in order:
                getattr(messengers, name)()
            assert picture(bill) == expected, order
            assert world.payable(bill) == [], order
            seen += 1
            bill.attempts.update(asked_at=timezone.now() + timedelta(days=1))
    assert seen == 124


@pytest.mark.timeout(600)
def test_rule_6_a_paid_session_ends_in_paid_every_order(world, make_bill, soon):
    run_orders(
        world,
        make_bill,
        lambda bill, traveller: world.pay(bill),
        {
            "status": "paid",
            "late": False,
            "payments": [(12345, "EUR", False)],
            "mails": sorted([Kind.PAYMENT_LINK, Kind.RECEIPT, Kind.AGENCY_PAID]),
            "attempts": ["complete"],
            "review": "",
            "processing": None,
            "paid_entries": 1,
            "expired_entries": 0,
        },
        true="checkout.session.completed",
        older="checkout.session.expired",
    )


@pytest.mark.timeout(600)
def test_rule_6_an_unpaid_session_ends_in_expired_every_order(world, make_bill, soon):

    def time_goes_by(bill, traveller):
        (session,) = world.payable(bill)
        traveller.shift(timedelta(hours=25))
        sessions.end_due()
        return session["id"]

    run_orders(
        world,
        make_bill,
        time_goes_by,
        {
            "status": "expired",
            "late": False,
            "payments": [],
            "mails": [Kind.PAYMENT_LINK],
            "attempts": ["expired"],
            "review": "",
            "processing": None,
            "paid_entries": 0,
            "expired_entries": 1,
        },
        true="checkout.session.expired",
        older="checkout.session.completed",
    )
