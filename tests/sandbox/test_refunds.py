"""Refunds: by the API, as from the Dashboard, slow ones, failed ones, refused ones."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import stripe

from wagtail_client_billing.sandbox import books, checkout, disputes, refunds
from wagtail_client_billing.sandbox.problems import ApiProblem


@pytest.fixture
def paid(session):
    """A PaymentIntent over 12345."""
    checkout.pay(session.id)
    return books.payments()[0]


def refused(call):
    with pytest.raises(stripe.InvalidRequestError) as caught:
        call()
    return caught.value


def charge(client):
    (found,) = client.v1.charges.list().data
    return found.amount_refunded, found.refunded


def types():
    return [event["type"] for event in books.events()][3:]  # after those of the payment


def test_a_refund_of_all(client, paid):
    made = client.v1.refunds.create(
        {
            "payment_intent": paid["id"],
            "reason": "requested_by_customer",
            "metadata": {"wcb_refund": "7"},
        }
    )
    assert (made.amount, made.status, made.currency) == (12345, "succeeded", "eur")
    assert made.payment_intent == paid["id"] and made.metadata["wcb_refund"] == "7"
    assert client.v1.refunds.retrieve(made.id).charge == paid["latest_charge"]
    assert charge(client) == (12345, True)
    assert types() == ["refund.created", "charge.refunded"]
    snapshot = books.events("charge.refunded")[0]["data"]["object"]
    assert snapshot["amount_refunded"] == 12345


def test_refunds_in_parts(client, paid):
    client.v1.refunds.create({"payment_intent": paid["id"], "amount": 5000})
    assert charge(client) == (5000, False)
    problem = refused(
        lambda: client.v1.refunds.create({"payment_intent": paid["id"], "amount": 7346})
    )
    assert problem.http_status == 400 and problem.param == "amount"
    assert "greater than unrefunded amount on charge (7345)" in problem.user_message
    client.v1.refunds.create({"charge": paid["latest_charge"]})
    assert charge(client) == (12345, True)
    assert [refund["amount"] for refund in books.refunds()] == [5000, 7345]
    problem = refused(lambda: client.v1.refunds.create({"payment_intent": paid["id"]}))
    assert problem.code == "charge_already_refunded"


def test_the_same_key_refunds_once(client, paid):
    for _ in range(3):
        client.v1.refunds.create(
            {"payment_intent": paid["id"], "amount": 100}, {"idempotency_key": "once"}
        )
    assert len(books.refunds()) == 1 and charge(client) == (100, False)


def test_refunds_at_once_never_give_back_too_much(client_for, paid):
    def refund(_):
        try:
            client_for().v1.refunds.create({"payment_intent": paid["id"], "amount": 5000})
        except stripe.InvalidRequestError:
            return 0
        return 5000

    with ThreadPoolExecutor(6) as pool:
        given = sum(pool.map(refund, range(6)))
    assert given == 10000 == books.charges()[0]["amount_refunded"]


def test_what_cannot_be_refunded(client, session, params):
    checkout.decline(session.id)
    (declined,) = books.payments(status=None)
    problem = refused(lambda: client.v1.refunds.create({"payment_intent": declined["id"]}))
    assert "does not have a successful charge" in problem.user_message
    problem = refused(lambda: client.v1.refunds.create({"charge": declined["latest_charge"]}))
    assert "has not succeeded" in problem.user_message
    for missing in ("payment_intent", "charge"):
        problem = refused(lambda missing=missing: client.v1.refunds.create({missing: "xx_none"}))
        assert problem.code == "resource_missing"
    assert "One of the following" in refused(lambda: client.v1.refunds.create({})).user_message
    assert books.refunds() == []


@pytest.mark.parametrize(
    ("given", "param"),
    [({"amount": 0}, "amount"), ({"reason": "mood"}, "reason"), ({"note": "x"}, "note")],
)
def test_wrong_parameters(client, paid, given, param):
    problem = refused(lambda: client.v1.refunds.create({"payment_intent": paid["id"], **given}))
    assert problem.param == param
    assert books.refunds() == []


def test_lists(client, client_for, paid, params):
    for amount in (1, 2, 3):
        client.v1.refunds.create({"payment_intent": paid["id"], "amount": amount})
    checkout.pay(client.v1.checkout.sessions.create(params()).id)
    other = books.payments()[1]
    client.v1.refunds.create({"charge": other["latest_charge"], "amount": 4})

    def amounts(**given):
        return [refund.amount for refund in client.v1.refunds.list(given).auto_paging_iter()]

    assert amounts(limit=2) == [4, 3, 2, 1]
    assert amounts(payment_intent=paid["id"]) == [3, 2, 1]
    assert amounts(charge=other["latest_charge"]) == [4]
    assert amounts(created={"gt": int(time.time()) + 60}) == []
    assert client_for("rk_test_somebodyelse").v1.refunds.list().data == []


def test_expanding(client, paid):
    made = client.v1.refunds.create({"payment_intent": paid["id"], "expand": ["charge"]})
    assert made.charge.amount_refunded == 12345
    found = client.v1.refunds.list({"expand": ["data.payment_intent.latest_charge"]}).data[0]
    assert found.payment_intent.latest_charge.refunded


def test_from_the_dashboard(client, paid):
    refunds.from_dashboard(paid["id"], 45)
    refunds.from_dashboard(paid["id"])
    assert [refund["amount"] for refund in books.refunds()] == [45, 12300]
    assert charge(client) == (12345, True)
    with pytest.raises(LookupError):
        refunds.from_dashboard("pi_none")


def test_a_slow_refund_arrives(client, paid):
    refunds.be_slow()
    made = client.v1.refunds.create({"payment_intent": paid["id"]})
    assert (made.status, made.pending_reason) == ("pending", "processing")
    assert charge(client) == (12345, True)
    refunds.settle(made.id)
    assert client.v1.refunds.retrieve(made.id).status == "succeeded"
    assert types() == ["refund.created", "charge.refunded", "refund.updated"]
    with pytest.raises(refunds.NotPossible):
        refunds.settle(made.id)
    refunds.be_slow(False)
    assert not refunds.are_slow()


@pytest.mark.parametrize("slow", [False, True])
def test_a_failed_refund_is_on_the_charge_again(client, paid, slow):
    refunds.be_slow(slow)
    client.v1.refunds.create({"payment_intent": paid["id"], "amount": 345})
    made = client.v1.refunds.create({"payment_intent": paid["id"]})
    refunds.fail(made.id)
    failed = client.v1.refunds.retrieve(made.id)
    assert (failed.status, failed.failure_reason) == ("failed", "expired_or_canceled_card")
    assert charge(client) == (345, False)
    assert types()[-2:] == ["refund.updated", "refund.failed"]
    with pytest.raises(refunds.NotPossible):
        refunds.fail(made.id)
    with pytest.raises(LookupError):
        refunds.fail("re_none")
    assert client.v1.refunds.create({"payment_intent": paid["id"]}).amount == 12000


# --------------------------------------------------------------------------- disputes


def test_a_dispute_that_is_lost(client, paid):
    opened = disputes.open(paid["id"])
    found = client.v1.disputes.retrieve(opened["id"])
    assert (found.amount, found.status, found.reason) == (12345, "needs_response", "fraudulent")
    assert found.payment_intent == paid["id"] and found.balance_transactions[0].amount == -12345
    assert client.v1.charges.retrieve(paid["latest_charge"]).disputed
    problem = refused(lambda: client.v1.refunds.create({"payment_intent": paid["id"]}))
    assert problem.code == "charge_disputed"
    disputes.close(opened["id"], won=False)
    assert client.v1.disputes.retrieve(opened["id"]).status == "lost"
    assert types() == [
        "charge.dispute.created",
        "charge.dispute.funds_withdrawn",
        "charge.dispute.closed",
    ]
    problem = refused(lambda: client.v1.refunds.create({"payment_intent": paid["id"]}))
    assert problem.code == "charge_disputed"
    with pytest.raises(disputes.NotPossible):
        disputes.close(opened["id"], won=True)


def test_a_dispute_that_is_won(client, paid):
    client.v1.refunds.create({"payment_intent": paid["id"], "amount": 345})
    opened = disputes.open(paid["id"], "product_not_received")
    assert opened["amount"] == 12000
    disputes.answer(opened["id"])
    assert client.v1.disputes.retrieve(opened["id"]).status == "under_review"
    disputes.close(opened["id"], won=True)
    found = client.v1.disputes.retrieve(opened["id"], {"expand": ["charge"]})
    assert found.status == "won" and found.charge.disputed
    assert [moved.amount for moved in found.balance_transactions] == [-12000, 12000]
    assert types()[2:] == [
        "charge.dispute.created",
        "charge.dispute.funds_withdrawn",
        "charge.dispute.updated",
        "charge.dispute.closed",
        "charge.dispute.funds_reinstated",
    ]
    assert client.v1.refunds.create({"payment_intent": paid["id"]}).amount == 12000


def test_what_cannot_be_disputed(client, session, params):
    with pytest.raises(LookupError):
        disputes.open("pi_none")
    checkout.decline(session.id)
    with pytest.raises(disputes.NotPossible, match="requires_payment_method"):
        disputes.open(books.payments(status=None)[0]["id"])
    checkout.pay(session.id)
    (paid,) = books.payments()
    opened = disputes.open(paid["id"])
    for again in (disputes.open, refunds.from_dashboard):
        with pytest.raises((disputes.NotPossible, ApiProblem), match="disputed|charged back"):
            again(paid["id"])
    with pytest.raises(LookupError):
        disputes.close("du_none", won=True)
    assert books.disputes(id=opened["id"])[0]["status"] == "needs_response"


def test_lists_of_disputes(client, params):
    intents = []
    for _ in range(2):
        checkout.pay(client.v1.checkout.sessions.create(params()).id)
        intents.append(books.payments()[-1])
        disputes.open(intents[-1]["id"])

    def found(**given):
        return [dispute.payment_intent for dispute in client.v1.disputes.list(given).data]

    assert found() == [intents[1]["id"], intents[0]["id"]]
    assert found(payment_intent=intents[0]["id"]) == [intents[0]["id"]]
    assert found(charge=intents[1]["latest_charge"]) == [intents[1]["id"]]
    assert found(created={"gt": int(time.time()) + 60}) == []


def test_a_bank_debit_can_be_refunded_and_disputed(client, session):
    checkout.pay_later(session.id)
    intent = books.payments(status="processing")[0]["id"]
    refused(lambda: client.v1.refunds.create({"payment_intent": intent}))
    checkout.settle_later(session.id)
    client.v1.refunds.create({"payment_intent": intent, "amount": 5})
    assert disputes.open(intent)["amount"] == 12340
