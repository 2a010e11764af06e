"""Right without webhooks: Stripe's own list of events is read, and in the end the objects are."""

import time
from datetime import timedelta

import pytest
import time_machine
from django.utils import timezone

from tests.bills.conftest import KEY
from wagtail_client_billing import sealing
from wagtail_client_billing.gateway import connect, event_list, webhooks
from wagtail_client_billing.gateway.checkout import open_checkout
from wagtail_client_billing.gateway.reconcile import reconcile
from wagtail_client_billing.gateway.sweeping import sweep_stripe
from wagtail_client_billing.gateway.unlink import unlink
from wagtail_client_billing.models import StripeConnection, StripeEvent, WebhookEndpoint
from wagtail_client_billing.sandbox import books, disputes, faults, keys, refunds

EVENTS = "/v1/events"


def sweep():
    """Stripe's share of the sweep, and the events that it took."""
    done = sweep_stripe(time.monotonic() + 20)
    return done + webhooks.drain(time.monotonic() + 20)


def asked(since=0):
    return len([call for call in books.api_calls(path=EVENTS) if call["id"] > since])


@pytest.fixture
def paid(world, bill):
    open_checkout(bill.pk)
    world.pay(bill)
    reconcile(bill.pk, cause="sweep")
    return bill.payments.get()


@pytest.fixture
def now():
    """A clock to turn, which the sandbox shares."""
    with time_machine.travel(timezone.now(), tick=False) as traveller:
        yield lambda **by: traveller.shift(timedelta(**by))


def test_right_without_webhooks_and_with_the_browser_closed(world, bill, now):
    """No webhook arrives, and the client does not come back."""
    faults.add("swallow", times=None)
    open_checkout(bill.pk)
    world.pay(bill)
    now(minutes=1)
    sweep()
    bill.refresh_from_db()
    assert (bill.status, StripeEvent.objects.count()) == ("paid", 0)
    payment = bill.payments.get()
    refunds.from_dashboard(payment.intent_id, 45)
    disputes.open(payment.intent_id)
    now(minutes=11)
    sweep()
    assert payment.refunded_minor == 45 and payment.disputes.count() == 1
    assert set(
        bill.log_entries.filter(action__in=["refunded", "disputed"]).values_list("cause")
    ) == {("webhook",)}
    types = set(StripeEvent.objects.values_list("type", flat=True))
    assert {"checkout.session.completed", "charge.refunded", "charge.dispute.created"} <= types
    assert not StripeEvent.objects.exclude(endpoint=None).exists()


def test_the_list_is_read_every_ten_minutes_while_nothing_arrives(connection, now):
    sweep()
    assert asked() == 0, "nothing can have happened before the account was connected"
    for times in range(1, 4):
        now(minutes=11)
        sweep()
        sweep()
        assert asked() == 2 * times, "Stripe takes twenty types at once"


def test_the_list_is_read_daily_while_webhooks_arrive(connection, now):
    for _hour in range(4):
        now(hours=5)
        WebhookEndpoint.objects.update(last_event_at=timezone.now())
        sweep()
    assert asked() == 0
    now(hours=5)
    WebhookEndpoint.objects.update(last_event_at=timezone.now())
    sweep()
    assert asked() > 0


def test_what_a_webhook_brought_is_not_taken_again(world, paid, connection, now):
    endpoint = connection.endpoints.get()
    for event in world.events():
        world.deliver(event, endpoint)
    before = StripeEvent.objects.count()
    now(minutes=11)
    StripeConnection.objects.update(events_read_at=timezone.now() - timedelta(days=2))
    sweep()
    assert asked() and StripeEvent.objects.filter(endpoint=None).count() == 0
    assert StripeEvent.objects.count() == before


def test_after_days_of_downtime_the_list_is_caught_up_day_by_day(world, paid, now):
    refunds.from_dashboard(paid.intent_id, 45)
    now(days=5)
    for _round in range(8):
        sweep()
        now(minutes=1)
    assert paid.refunded_minor == 45
    connection = StripeConnection.objects.get()
    assert timezone.now() - connection.events_read_until < timedelta(hours=1)


def test_what_the_list_has_forgotten_is_asked_for_by_itself(world, paid, now):
    refunds.from_dashboard(paid.intent_id, 45)
    now(days=40)
    # The sandbox keeps its events for ever; Stripe keeps them for a month.
    faults.add("swallow", times=None)
    sweep()
    sweep()
    paid.refresh_from_db()
    assert paid.refunded_minor == 45


def test_what_happened_while_the_account_was_unlinked_is_heard_of(world, paid, connection, now):
    """Found by the machine: linking it again had begun its list of events anew."""
    # As accounts are that were connected before there was a list.
    StripeConnection.objects.update(events_read_until=None)
    connection.refresh_from_db()
    unlink(connection)
    refunds.from_dashboard(paid.intent_id, 45)
    now(days=4)
    connect.connect_with_key(
        key=KEY,
        livemode=False,
        country="FR",
        privacy_policy_url="https://atelier.test/privacy",
        terms_url="https://atelier.test/terms",
        user=None,
    )
    for _round in range(3):
        now(minutes=11)
        sweep()
    assert paid.refunded_minor == 45


def test_an_outage_loses_no_part_of_the_list(world, paid, now):
    refunds.from_dashboard(paid.intent_id, 45)
    until = StripeConnection.objects.get().events_read_until
    faults.add("503", path=EVENTS, times=None)
    now(minutes=11)
    sweep()
    assert StripeConnection.objects.get().events_read_until == until
    faults.clear()
    now(minutes=11)
    sweep()
    assert paid.refunded_minor == 45


def test_a_key_that_may_not_read_events_stops_nothing_else(world, bill, connection, now):
    key = keys.make_key(connection.account_id, without=["event_read"])
    StripeConnection.objects.update(sealed_key=sealing.seal(key))
    open_checkout(bill.pk)
    world.pay(bill)
    now(minutes=11)
    sweep()
    bill.refresh_from_db()
    assert bill.status == "paid"
    connection.refresh_from_db()
    assert connection.missing_rights == ["rak_event_read"]
    before = asked()
    now(hours=1)
    sweep()
    assert asked() == before


def test_every_type_of_ours_is_asked_for(connection, now):
    now(minutes=11)
    assert event_list.read_events(connection)
    asked_for = [call["params"] for call in books.api_calls(path=EVENTS)]
    types = [value for params in asked_for for value in params["types"].values()]
    assert sorted(types) == sorted(event_list.EVENTS)
    assert max(len(params["types"]) for params in asked_for) <= 20
