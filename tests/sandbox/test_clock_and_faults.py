"""The clock that ends sessions, and faults on demand."""

import time

import pytest
import stripe

from wagtail_client_billing.sandbox import books, checkout, clock, deliveries, faults, sessions

from .conftest import wait_until


def test_a_session_ends_on_the_sandboxs_clock(client, session):
    clock.advance(minutes=119)
    assert client.v1.checkout.sessions.retrieve(session.id).status == "open"
    assert len(books.payable_sessions("request-1")) == 1
    clock.advance(minutes=2)
    ended = client.v1.checkout.sessions.retrieve(session.id)
    assert (ended.status, ended.url, ended.payment_status) == ("expired", None, "unpaid")
    assert books.payable_sessions("request-1") == []
    assert [event["type"] for event in books.events()] == ["checkout.session.expired"]


def test_payable_does_not_wait_for_somebody_to_look(session):
    with books.write() as db:
        books.note(db, "clock_offset", 7201)
    assert books.sessions()[0]["status"] == "open"
    assert books.payable_sessions() == []
    assert sessions.end_due() == 1
    assert sessions.end_due() == 0


def test_new_sessions_live_in_real_time(client, params):
    clock.advance(hours=48)
    session = client.v1.checkout.sessions.create(params())  # two hours from now, really
    assert client.v1.checkout.sessions.retrieve(session.id).status == "open"
    assert abs(session.created - time.time()) < 10
    clock.advance(hours=3)
    assert client.v1.checkout.sessions.retrieve(session.id).status == "expired"


def test_a_paid_session_does_not_end(client, session):
    checkout.pay(session.id)
    clock.advance(hours=30)
    assert client.v1.checkout.sessions.retrieve(session.id).status == "complete"


def test_the_clock_does_not_go_back():
    assert clock.advance(minutes=1.5) == 90
    assert clock.advance() == 90
    assert abs(clock.now() - time.time() - 90) < 5
    with pytest.raises(ValueError, match="back"):
        clock.advance(minutes=-1)


def test_the_thread_ends_sessions(automatic, client, session):
    deliveries.wake()
    with books.write() as db:
        books.note(db, "clock_offset", 7201)
    assert wait_until(lambda: books.sessions()[0]["status"] == "expired")


@pytest.mark.parametrize(
    ("kind", "error", "status"),
    [
        ("401", stripe.AuthenticationError, 401),
        ("429", stripe.RateLimitError, 429),
        ("500", stripe.APIError, 500),
        ("503", stripe.APIError, 503),
    ],
)
def test_answers(client, kind, error, status):
    faults.add(kind, times=2)
    for _ in range(2):
        with pytest.raises(error) as caught:
            client.v1.checkout.sessions.list()
        assert caught.value.http_status == status
    assert client.v1.checkout.sessions.list().data == []
    assert [call["status"] for call in books.api_calls()] == [status, status, 200]


def test_a_fault_can_be_aimed(client, session):
    faults.add("500", path="/v1/checkout/sessions", method="POST")
    client.v1.checkout.sessions.list()
    client.v1.accounts.retrieve_current()
    with pytest.raises(stripe.APIError):
        client.v1.checkout.sessions.expire(session.id)
    assert client.v1.checkout.sessions.expire(session.id).status == "expired"


def test_a_fault_until_it_is_removed(client):
    fault = faults.add("503", times=None)
    for _ in range(3):
        with pytest.raises(stripe.APIError):
            client.v1.checkout.sessions.list()
    assert faults.active()[0]["remaining"] is None
    faults.remove(fault)
    client.v1.checkout.sessions.list()
    faults.add("503", times=None)
    faults.clear()
    client.v1.checkout.sessions.list()


def test_slow_makes_the_client_give_up_before_anything_is_done(client_for, params):
    faults.add("slow", method="POST", delay_ms=2000)
    with pytest.raises(stripe.APIConnectionError):
        client_for(timeout=0.5).v1.checkout.sessions.create(params())
    assert books.sessions() == []
    assert wait_until(lambda: len(books.sessions()) == 1)  # then Stripe does it all the same


def test_slow_answers_in_the_end(client, params):
    faults.add("slow", delay_ms=300)
    started = time.monotonic()
    client.v1.checkout.sessions.list()
    assert time.monotonic() - started >= 0.3


def test_delay_and_error_together(client):
    faults.add("hold", delay_ms=200)
    faults.add("slow", delay_ms=200)
    faults.add("500")
    faults.add("503")
    with pytest.raises(stripe.APIError):
        client.v1.checkout.sessions.list()
    assert [fault["kind"] for fault in faults.active()] == ["slow", "503"]
    assert books.api_calls()[-1]["fault"] == "hold 500"


@pytest.mark.parametrize(
    "given", [{"kind": "402"}, {"kind": "500", "times": 0}, {"kind": "slow", "delay_ms": -1}]
)
def test_faults_that_do_not_exist(given):
    with pytest.raises(ValueError, match="Unknown fault|times|delay_ms"):
        faults.add(**given)
