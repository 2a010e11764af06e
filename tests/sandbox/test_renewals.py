"""What time does to subscriptions: periods, failed charges and further tries, planned ends."""

from datetime import UTC, datetime, timedelta

import pytest
import time_machine

from wagtail_client_billing.sandbox import (
    books,
    checkout,
    clock,
    deliveries,
    due,
    invoice_pages,
    periods,
    portal,
    subscriptions,
)

from .conftest import subscription_params, wait_until


def day(moment):
    return datetime.fromtimestamp(moment, tz=UTC).date().isoformat()


def types(after=0):
    return [event["type"] for event in books.events()][after:]


def statuses():
    due.apply()
    return [invoice["status"] for invoice in books.invoices()]


def status():
    due.apply()
    return books.subscriptions()[-1]["status"]


# --------------------------------------------------------------------------- the calendar


@pytest.mark.parametrize(
    ("start", "interval", "count", "days"),
    [
        (
            "2026-01-31",
            "month",
            1,
            ["2026-01-31", "2026-02-28", "2026-03-31", "2026-04-30", "2026-05-31"],
        ),
        ("2028-01-30", "month", 1, ["2028-01-30", "2028-02-29", "2028-03-30"]),
        ("2026-11-30", "month", 3, ["2026-11-30", "2027-02-28", "2027-05-30", "2027-08-30"]),
        ("2028-02-29", "year", 1, ["2028-02-29", "2029-02-28", "2030-02-28", "2031-02-28"]),
        ("2028-02-29", "year", 3, ["2028-02-29", "2031-02-28", "2034-02-28"]),
        ("2026-12-28", "week", 1, ["2026-12-28", "2027-01-04", "2027-01-11"]),
        ("2026-12-31", "day", 2, ["2026-12-31", "2027-01-02", "2027-01-04"]),
    ],
)
def test_boundaries(start, interval, count, days):
    anchor = int(datetime.fromisoformat(f"{start}T13:14:15+00:00").timestamp())
    found = [periods.boundary(anchor, interval, count, number) for number in range(len(days))]
    assert [day(moment) for moment in found] == days
    assert {datetime.fromtimestamp(moment, tz=UTC).time() for moment in found} == {
        datetime(2026, 1, 1, 13, 14, 15).time()
    }


def test_a_month_keeps_the_day_of_its_anchor(client, client_for):
    with time_machine.travel(datetime(2027, 1, 31, 12, tzinfo=UTC)) as traveller:
        checkout.pay(client.v1.checkout.sessions.create(subscription_params()).id)
        seen = []
        for moment in ((2027, 2, 28, 12, 1), (2027, 3, 31, 11, 59), (2027, 3, 31, 12, 1)):
            traveller.move_to(datetime(*moment, tzinfo=UTC))
            (subscription,) = client.v1.subscriptions.list().data  # reading lets it happen
            period = subscription["items"].data[0]
            seen.append((day(period.current_period_start), day(period.current_period_end)))
            assert client.v1.invoices.list().data[0].id == subscription.latest_invoice
    assert seen == [
        ("2027-02-28", "2027-03-31"),
        ("2027-02-28", "2027-03-31"),
        ("2027-03-31", "2027-04-30"),
    ]
    assert statuses() == ["paid", "paid", "paid"]


def test_advancing_by_months():
    with time_machine.travel(datetime(2027, 1, 31, 12, tzinfo=UTC), tick=False):
        clock.advance_months()
        assert day(clock.now()) == "2027-02-28"
        clock.advance_months(12)
        assert day(clock.now()) == "2028-02-28"


# --------------------------------------------------------------------------- renewals


def test_a_renewal(client, subscribe):
    subscription = subscribe("week")
    before = len(books.events())
    clock.advance(days=7)
    assert types(before) == [
        "customer.subscription.updated",
        "invoice.created",
        "invoice.finalized",
        "charge.succeeded",
        "payment_intent.succeeded",
        "invoice_payment.paid",
        "invoice.paid",
        "invoice.payment_succeeded",
    ]
    first, second = books.invoices(subscription["id"])
    assert second["billing_reason"] == "subscription_cycle" and second["attempt_count"] == 1
    assert first["lines"]["data"][0]["period"]["end"] == second["created"] == second["period_end"]
    assert second["number"].endswith("-0002") and first["number"][:8] == second["number"][:8]
    assert second["status_transitions"]["paid_at"] == second["created"]
    assert second["parent"]["subscription_details"]["metadata"]["wcb_request"] == "request-1"
    assert client.v1.subscriptions.retrieve(subscription["id"]).latest_invoice == second["id"]
    assert len(books.payments("request-1")) == len(books.charges()) == 2
    assert len(client.v1.charges.list({"customer": subscription["customer"]}).data) == 2
    assert client.v1.invoices.retrieve(second["id"]).amount_paid == 12345


def test_several_periods_at_once_make_invoices_in_order(subscribe):
    subscribe("week")
    clock.advance(days=29)
    found = books.invoices()
    assert [invoice["status"] for invoice in found] == ["paid"] * 5
    starts = [invoice["lines"]["data"][0]["period"]["start"] for invoice in found]
    assert [later - earlier for earlier, later in zip(starts, starts[1:], strict=False)] == [
        7 * 86400
    ] * 4
    assert [invoice["created"] for invoice in found] == starts
    assert due.apply() == 0


def test_nothing_renews_early(subscribe):
    subscribe("week")
    clock.advance(days=6.99)
    assert statuses() == ["paid"]
    clock.advance(days=0.02)
    assert statuses() == ["paid", "paid"]


def test_real_time_renews_too(client, subscribe):
    subscribe("week")
    with time_machine.travel(datetime.now(tz=UTC) + timedelta(days=8)):
        assert len(client.v1.invoices.list().data) == 2


def test_two_subscriptions_take_turns(subscribe):
    weekly, daily = subscribe("week"), subscribe("day", 3)
    clock.advance(days=8)
    renewed = books.events("invoice.paid")[2:]
    details = [event["data"]["object"]["parent"]["subscription_details"] for event in renewed]
    assert [one["subscription"] for one in details] == [daily["id"], daily["id"], weekly["id"]]


def test_the_thread_renews(automatic, subscribe):
    subscribe("day")
    with books.write() as db:
        books.note(db, "clock_offset", 86400 + 60)
    deliveries.wake()
    assert wait_until(lambda: len(books.invoices()) == 2)


# --------------------------------------------------------------------------- failed charges


def test_a_declined_renewal_is_tried_three_times_more_then_it_ends(client, subscribe):
    id = subscribe()["id"]
    subscriptions.set_card(id, "declines")
    before = len(books.events())
    clock.advance_months()
    assert types(before)[3:] == [
        "charge.failed",
        "payment_intent.payment_failed",
        "invoice.payment_failed",
        "customer.subscription.updated",
    ]
    invoice = client.v1.invoices.list().data[0]
    assert (invoice.status, invoice.attempt_count, invoice.amount_due) == ("open", 1, 12345)
    assert invoice.amount_remaining == 12345
    assert client.v1.subscriptions.retrieve(id).status == "past_due"
    failed = books.events("invoice.payment_failed")[0]["data"]["object"]
    assert failed["next_payment_attempt"] - failed["created"] == 3 * 86400
    tries = []
    for number in range(1, 8):
        clock.advance(days=1)
        found = client.v1.invoices.retrieve(invoice.id)
        tries.append((number, found.attempt_count))
    assert tries == [(1, 1), (2, 1), (3, 2), (4, 2), (5, 3), (6, 3), (7, 4)]
    ended = client.v1.subscriptions.retrieve(id)
    assert (ended.status, ended.cancellation_details.reason) == ("canceled", "payment_failed")
    found = client.v1.invoices.retrieve(invoice.id)
    assert (found.status, found.next_payment_attempt, found.auto_advance) == ("open", None, False)
    assert types()[-2:] == ["invoice.payment_failed", "customer.subscription.deleted"]
    assert len(books.payments(status=None)) == 2  # one PaymentIntent for the four tries
    clock.advance(days=400)
    assert statuses() == ["paid", "open"]


def test_a_card_that_works_again_is_found_by_the_next_try(subscribe):
    id = subscribe()["id"]
    subscriptions.set_card(id, "declines")
    clock.advance_months()
    subscriptions.set_card(id, "works")
    assert (status(), statuses()) == ("past_due", ["paid", "open"])
    clock.advance(days=3)
    assert (status(), statuses()) == ("active", ["paid", "paid"])
    assert types()[-1] == "customer.subscription.updated"
    clock.advance(days=10)
    assert statuses() == ["paid", "paid"]


def test_a_new_card_in_the_portal_pays_at_once(subscribe):
    id = subscribe()["id"]
    subscriptions.set_card(id, "declines")
    clock.advance_months()
    portal.update_card(id, "declines")
    assert status() == "past_due"
    assert books.invoices()[-1]["attempt_count"] == 1  # a try by hand does not count
    portal.update_card(id, "works")
    assert (status(), statuses()) == ("active", ["paid", "paid"])
    with pytest.raises(ValueError, match="card must be"):
        portal.update_card(id, "gold")


def test_a_card_that_asks_for_3d_secure(client, subscribe):
    id = subscribe()["id"]
    subscriptions.set_card(id, "asks")
    before = len(books.events())
    clock.advance_months()
    assert types(before)[3:] == [
        "payment_intent.requires_action",
        "invoice.payment_action_required",
        "customer.subscription.updated",
    ]
    assert status() == "past_due"
    invoice = client.v1.invoices.list().data[0]
    (payment,) = client.v1.invoice_payments.list(
        {"invoice": invoice.id, "expand": ["data.payment.payment_intent"]}
    ).data
    intent = payment.payment.payment_intent
    assert intent.status == "requires_action" and payment.status == "open"
    assert intent.next_action.redirect_to_url.url == invoice.hosted_invoice_url
    assert invoice_pages.pay(invoice.id) == "paid"
    assert (status(), statuses()) == ("active", ["paid", "paid"])
    assert client.v1.payment_intents.retrieve(intent.id).next_action is None


def test_a_week_goes_on_while_it_is_behind(subscribe):
    id = subscribe("week")["id"]
    subscriptions.set_card(id, "declines")
    clock.advance(days=7 + 6.5)
    assert (status(), statuses()) == ("past_due", ["paid", "open"])
    clock.advance(days=1)  # the fourth try comes before the next period
    assert (status(), statuses()) == ("canceled", ["paid", "open"])


# --------------------------------------------------------------------------- planned ends


def test_the_end_of_the_period_makes_no_invoice(client, subscribe):
    subscription = subscribe()
    end = subscription["items"]["data"][0]["current_period_end"]
    portal.cancel_at_period_end(subscription["id"])
    clock.advance_months()
    ended = client.v1.subscriptions.retrieve(subscription["id"])
    assert (ended.status, ended.ended_at, ended.cancel_at) == ("canceled", end, end)
    assert ended.canceled_at < end
    assert statuses() == ["paid"]
    assert types()[-1] == "customer.subscription.deleted"


def test_what_is_kept_is_charged(client, subscribe):
    id = subscribe()["id"]
    portal.cancel_at_period_end(id)
    portal.keep(id)
    clock.advance_months()
    assert (status(), statuses()) == ("active", ["paid", "paid"])


@pytest.mark.parametrize(("days", "invoices"), [(3, 1), (7, 1), (10, 2), (14, 2), (15, 3)])
def test_cancel_at_comes_at_its_moment(client, subscribe, days, invoices):
    subscription = subscribe("week")
    moment = subscription["billing_cycle_anchor"] + days * 86400
    client.v1.subscriptions.update(subscription["id"], {"cancel_at": moment})
    clock.advance(days=30)
    ended = client.v1.subscriptions.retrieve(subscription["id"])
    assert (ended.status, ended.ended_at) == ("canceled", moment)
    assert statuses() == ["paid"] * invoices


def test_a_planned_end_comes_although_it_is_behind(subscribe):
    id = subscribe("week")["id"]
    clock.advance(days=7)
    subscriptions.set_card(id, "declines")
    clock.advance(days=7)
    portal.cancel_at_period_end(id)
    clock.advance(days=4)
    assert status() == "past_due"
    clock.advance(days=4)
    assert status() == "canceled"
    assert books.invoices()[-1]["next_payment_attempt"] is None
