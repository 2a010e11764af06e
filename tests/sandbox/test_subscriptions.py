"""Subscriptions: how one begins, what the API shows and changes, and how it ends."""

import time

import pytest
import stripe

from wagtail_client_billing.sandbox import (
    books,
    checkout,
    clock,
    keys,
    portal,
    refunds,
    subscriptions,
)

from .conftest import KEY, subscription_params


def refused(call):
    with pytest.raises(stripe.InvalidRequestError) as caught:
        call()
    return caught.value


def types(after=0):
    return [event["type"] for event in books.events()][after:]


# --------------------------------------------------------------------------- beginning


def test_a_paid_session_begins_a_subscription(client):
    session = client.v1.checkout.sessions.create(subscription_params("month", 3))
    assert (session.mode, session.subscription, session.customer) == ("subscription", None, None)
    checkout.pay(session.id)
    paid = client.v1.checkout.sessions.retrieve(session.id)
    assert (paid.status, paid.payment_status, paid.payment_intent) == ("complete", "paid", None)
    assert paid.customer and paid.invoice and paid.subscription

    subscription = client.v1.subscriptions.retrieve(paid.subscription)
    assert (subscription.status, subscription.customer) == ("active", paid.customer)
    assert subscription.latest_invoice == paid.invoice
    assert subscription.metadata["wcb_request"] == "request-1"
    item = subscription["items"].data[0]
    assert item.current_period_start == subscription.billing_cycle_anchor
    assert 89 <= (item.current_period_end - item.current_period_start) / 86400 <= 92
    assert item.price.recurring.interval_count == 3 and item.price.unit_amount == 12345
    assert "current_period_end" not in subscription

    invoice = client.v1.invoices.retrieve(paid.invoice)
    assert (invoice.status, invoice.billing_reason) == ("paid", "subscription_create")
    assert (invoice.amount_paid, invoice.amount_remaining, invoice.currency) == (12345, 0, "eur")
    assert invoice.parent.subscription_details.subscription == subscription.id
    assert invoice.parent.subscription_details.metadata["wcb_request"] == "request-1"
    assert invoice.lines.data[0].period.end == item.current_period_end
    assert invoice.status_transitions.paid_at and "payment_intent" not in invoice
    assert types() == [
        "customer.created",
        "charge.succeeded",
        "payment_intent.succeeded",
        "customer.subscription.created",
        "invoice.created",
        "invoice.finalized",
        "invoice_payment.paid",
        "invoice.paid",
        "invoice.payment_succeeded",
        "checkout.session.completed",
    ]


def test_from_a_payment_to_its_invoice_and_back(client, subscribe):
    subscription = subscribe()
    (intent,) = books.payments("request-1")
    (found,) = client.v1.invoice_payments.list(
        {"payment": {"type": "payment_intent", "payment_intent": intent["id"]}}
    ).data
    assert (found.invoice, found.status) == (subscription["latest_invoice"], "paid")
    assert found.amount_paid == 12345
    (found,) = client.v1.invoice_payments.list(
        {
            "invoice": subscription["latest_invoice"],
            "status": "paid",
            "expand": ["data.payment.payment_intent.latest_charge"],
        }
    ).data
    assert found.payment.payment_intent.latest_charge.paid
    assert client.v1.invoice_payments.list({"status": "open"}).data == []
    other = {"type": "payment_intent", "payment_intent": "pi_none"}
    assert client.v1.invoice_payments.list({"payment": other}).data == []


def test_expanding(client, subscribe):
    id = subscribe()["id"]
    session = client.v1.checkout.sessions.list(
        {"subscription": id, "expand": ["data.subscription.latest_invoice", "data.invoice"]}
    ).data[0]
    assert session.subscription.latest_invoice.status == session.invoice.status == "paid"
    invoice = client.v1.invoices.retrieve(
        session.invoice.id,
        {
            "expand": [
                "parent.subscription_details.subscription",
                "payments.data.payment.payment_intent",
            ]
        },
    )
    assert invoice.parent.subscription_details.subscription.id == id
    assert invoice.payments.data[0].payment.payment_intent.status == "succeeded"
    problem = refused(lambda: client.v1.invoices.retrieve(invoice.id, {"expand": ["parent.no"]}))
    assert problem.param == "expand"


def test_a_declined_card_leaves_nothing_but_a_try(client):
    session = client.v1.checkout.sessions.create(subscription_params())
    checkout.decline(session.id)
    assert books.subscriptions() == books.invoices() == []
    assert client.v1.checkout.sessions.retrieve(session.id).customer is None
    checkout.pay(session.id)
    assert len(books.subscriptions()) == len(books.invoices()) == 1
    (intent,) = books.payments("request-1")
    assert intent["customer"] == books.subscriptions()[0]["customer"]
    assert [charge["status"] for charge in books.charges()] == ["failed", "succeeded"]


@pytest.mark.parametrize("succeeded", [True, False])
def test_a_bank_debit(client, succeeded):
    session = client.v1.checkout.sessions.create(subscription_params())
    checkout.pay_later(session.id)
    waiting = client.v1.checkout.sessions.retrieve(session.id, {"expand": ["invoice"]})
    assert (waiting.status, waiting.payment_status) == ("complete", "unpaid")
    assert (waiting.invoice.status, waiting.invoice.attempt_count) == ("open", 1)
    assert client.v1.subscriptions.retrieve(waiting.subscription).status == "active"
    assert books.money("request-1") == []
    clock.advance(days=2)
    before = len(books.events())
    checkout.settle_later(session.id, succeeded)
    invoice = client.v1.invoices.retrieve(waiting.invoice.id)
    subscription = client.v1.subscriptions.retrieve(waiting.subscription)
    if succeeded:
        assert (invoice.status, subscription.status) == ("paid", "active")
        assert client.v1.checkout.sessions.retrieve(session.id).payment_status == "paid"
        assert types(before)[-2:] == [
            "invoice.payment_succeeded",
            "checkout.session.async_payment_succeeded",
        ]
        assert books.money("request-1")[0]["source"] == invoice.id
    else:
        assert (invoice.status, subscription.status) == ("open", "past_due")
        assert invoice.next_payment_attempt and invoice.attempt_count == 1
        assert types(before) == [
            "charge.failed",
            "payment_intent.payment_failed",
            "invoice.payment_failed",
            "customer.subscription.updated",
            "checkout.session.async_payment_failed",
        ]
        clock.advance(days=7)
        assert client.v1.subscriptions.retrieve(subscription.id).status == "canceled"


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"customer_creation": "always"}, "customer_creation"),
        ({"payment_intent_data": {"description": "x"}}, "payment_intent_data"),
        ({"submit_type": "pay"}, "submit_type"),
    ],
)
def test_parameters_of_the_other_mode(client, change, param):
    given = {**subscription_params(), **change}
    assert refused(lambda: client.v1.checkout.sessions.create(given)).param == param


def test_prices_of_a_subscription(client):
    where = "line_items[0][price_data][recurring]"
    given = subscription_params()
    del given["line_items"][0]["price_data"]["recurring"]
    assert refused(lambda: client.v1.checkout.sessions.create(given)).param == where
    for interval, count in (("week", 157), ("month", 37), ("year", 4)):
        given = subscription_params(interval, count)
        problem = refused(lambda given=given: client.v1.checkout.sessions.create(given))
        assert problem.param == f"{where}[interval_count]"
    given = subscription_params()
    given["line_items"] += subscription_params("week")["line_items"]
    problem = refused(lambda: client.v1.checkout.sessions.create(given))
    assert "different billing intervals" in problem.user_message
    given["mode"] = "setup"
    assert refused(lambda: client.v1.checkout.sessions.create(given)).param == "mode"
    given = subscription_params()
    given["mode"] = "payment"
    del given["subscription_data"]
    assert refused(lambda: client.v1.checkout.sessions.create(given)).param == where


def test_two_prices_make_one_invoice(client):
    given = subscription_params()
    given["line_items"] += subscription_params(amount=55)["line_items"]
    checkout.pay(client.v1.checkout.sessions.create(given).id)
    (invoice,) = client.v1.invoices.list().data
    assert invoice.amount_paid == 12400 and len(invoice.lines.data) == 2


# --------------------------------------------------------------------------- lists


def test_lists(client, client_for, subscribe):
    first, second = subscribe(), subscribe("week")
    client.v1.subscriptions.cancel(first["id"])

    def found(**given):
        return [one.id for one in client.v1.subscriptions.list(given).data]

    assert found() == [second["id"]]
    assert found(status="all") == [second["id"], first["id"]]
    assert found(status="canceled") == found(status="ended") == [first["id"]]
    assert found(status="active", limit=1) == [second["id"]]
    assert found(customer=first["customer"], status="all") == [first["id"]]
    assert found(status="all", created={"gt": int(time.time()) + 60}) == []
    assert client_for("rk_test_somebodyelse").v1.subscriptions.list({"status": "all"}).data == []

    def invoices(**given):
        return [one.id for one in client.v1.invoices.list(given).data]

    assert invoices() == [second["latest_invoice"], first["latest_invoice"]]
    assert invoices(subscription=first["id"]) == [first["latest_invoice"]]
    assert invoices(customer=second["customer"]) == [second["latest_invoice"]]
    assert invoices(status="open") == [] and len(invoices(status="paid")) == 2
    assert invoices(created={"gte": int(time.time()) + 60}) == []

    for kind in (client.v1.charges, client.v1.payment_intents, client.v1.checkout.sessions):
        (one,) = kind.list({"customer": first["customer"]}).data
        assert one.customer == first["customer"]
    (session,) = client.v1.checkout.sessions.list({"subscription": second["id"]}).data
    assert session.subscription == second["id"]
    intent = books.payments()[0]["id"]
    assert client.v1.checkout.sessions.list({"payment_intent": intent}).data == []


# --------------------------------------------------------------------------- change and end


def test_cancel_at_period_end_and_back(client, subscribe):
    id = subscribe()["id"]
    end = client.v1.subscriptions.retrieve(id)["items"].data[0].current_period_end
    changed = client.v1.subscriptions.update(
        id, {"cancel_at_period_end": True, "proration_behavior": "none"}
    )
    assert (changed.cancel_at_period_end, changed.cancel_at) == (True, end)
    assert changed.canceled_at and changed.ended_at is None and changed.status == "active"
    back = client.v1.subscriptions.update(id, {"cancel_at_period_end": False})
    assert (back.cancel_at_period_end, back.cancel_at, back.canceled_at) == (False, None, None)
    assert types()[-2:] == ["customer.subscription.updated"] * 2


def test_cancel_at_a_moment_and_back(client, subscribe):
    id = subscribe()["id"]
    moment = int(time.time()) + 40 * 86400
    assert client.v1.subscriptions.update(id, {"cancel_at": moment}).cancel_at == moment
    assert client.v1.subscriptions.update(id, {"cancel_at": ""}).cancel_at is None
    end = client.v1.subscriptions.retrieve(id)["items"].data[0].current_period_end
    assert client.v1.subscriptions.update(id, {"cancel_at": "min_period_end"}).cancel_at == end
    problem = refused(
        lambda: client.v1.subscriptions.update(
            id, {"cancel_at": moment, "cancel_at_period_end": True}
        )
    )
    assert problem.param == "cancel_at"
    past = int(time.time()) - 60
    problem = refused(lambda: client.v1.subscriptions.update(id, {"cancel_at": past}))
    assert problem.param == "cancel_at"
    assert client.v1.subscriptions.retrieve(id).cancel_at == end


def test_metadata_is_merged(client, subscribe):
    id = subscribe()["id"]
    changed = client.v1.subscriptions.update(id, {"metadata": {"a": "1", "b": "2"}})
    assert changed.metadata.to_dict() == {"wcb_request": "request-1", "a": "1", "b": "2"}
    with books.write() as db:  # Stripe's description does not know that "" unsets one key
        given = {"metadata": {"a": "", "b": "3"}}
        changed = subscriptions.change(db, keys.identify(KEY), id, given)
    assert changed["metadata"] == {"wcb_request": "request-1", "b": "3"}
    assert client.v1.subscriptions.update(id, {"metadata": ""}).metadata.to_dict() == {}


def test_cancel_now(client, subscribe):
    id = subscribe()["id"]
    for given in ({"prorate": True}, {"invoice_now": True}):
        assert refused(lambda given=given: client.v1.subscriptions.cancel(id, given)).param
    ended = client.v1.subscriptions.cancel(id, {"prorate": False})
    assert (ended.status, ended.cancellation_details.reason) == (
        "canceled",
        "cancellation_requested",
    )
    assert ended.ended_at and ended.canceled_at
    assert types()[-1] == "customer.subscription.deleted"
    problem = refused(lambda: client.v1.subscriptions.cancel(id))
    assert (problem.http_status, problem.code) == (404, "resource_missing")
    problem = refused(lambda: client.v1.subscriptions.update(id, {"cancel_at_period_end": True}))
    assert "canceled subscription can only update" in problem.user_message
    assert client.v1.subscriptions.update(id, {"metadata": {"a": "1"}}).metadata["a"] == "1"
    clock.advance(days=400)
    assert len(client.v1.invoices.list().data) == 1
    with pytest.raises(subscriptions.NotPossible):
        subscriptions.cancel_now(id)
    with pytest.raises(subscriptions.NotPossible):
        portal.keep(id)
    with pytest.raises(LookupError):
        subscriptions.cancel_now("sub_none")


def test_the_same_key_cancels_once(client, subscribe):
    id = subscribe()["id"]
    for _ in range(2):
        changed = client.v1.subscriptions.update(
            id, {"cancel_at_period_end": True}, {"idempotency_key": "once"}
        )
    assert changed.cancel_at_period_end
    assert len(books.events("customer.subscription.updated")) == 1


# --------------------------------------------------------------------------- the books


def test_money_of_a_subscription(client, subscribe):
    subscription = subscribe("week")
    clock.advance(days=15)
    first, second, third = books.invoices(subscription["id"])
    assert [one["source"] for one in books.money("request-1")] == [
        first["id"],
        second["id"],
        third["id"],
    ]
    intent = books.money("request-1")[1]["intent"]
    refunds.from_dashboard(intent, 45)
    failed = refunds.from_dashboard(intent, 300)
    refunds.fail(failed["id"])
    assert books.money("request-1")[1] == {
        "source": second["id"],
        "intent": intent,
        "paid": 12345,
        "refunded": 45,
        "disputed": 0,
    }
    assert books.money("request-2") == []


def test_money_of_a_one_time_request(session):
    assert books.money("request-1") == []
    checkout.pay(session.id)
    (found,) = books.money("request-1")
    assert found["source"] == found["intent"] == books.payments()[0]["id"]
    assert (found["paid"], found["refunded"], found["disputed"]) == (12345, 0, 0)
