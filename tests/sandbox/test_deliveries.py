"""Webhooks: signed, repeated, swallowed, repeated on demand, reordered, to this computer only."""

import json
import threading
import time

import pytest
import stripe

from wagtail_client_billing.sandbox import books, checkout, deliveries, faults

from .conftest import wait_until


def states(**filters):
    return [row["state"] for row in books.deliveries(**filters)]


def test_signed(client, session, endpoint, receiver):
    checkout.pay(session.id)
    assert receiver.got == []
    assert deliveries.deliver_due() == 3
    assert receiver.types == [
        "charge.succeeded",
        "payment_intent.succeeded",
        "checkout.session.completed",
    ]
    path, headers, body = receiver.got[-1]
    header = headers["Stripe-Signature"]
    assert path == "/hook/?a=1"
    assert headers["Host"] == f"localhost:{receiver.port}"
    assert stripe.WebhookSignature.verify_header(body, header, endpoint.secret, 300)
    with pytest.raises(stripe.SignatureVerificationError):
        stripe.WebhookSignature.verify_header(body + " ", header, endpoint.secret, 300)
    event = client.construct_event(body.encode(), header, endpoint.secret)
    assert event.data.object.id == session.id
    assert "account" not in json.loads(body)
    assert states() == ["delivered"] * 3
    assert client.v1.events.retrieve(event.id).pending_webhooks == 0
    assert deliveries.deliver_due() == 0


def test_only_what_the_endpoint_wants(client, client_for, session, receiver):
    wanted = {"url": receiver.url, "enabled_events": ["checkout.session.completed"]}
    off = client.v1.webhook_endpoints.create(wanted)
    client.v1.webhook_endpoints.update(off.id, {"disabled": True})
    client_for("rk_test_somebodyelse").v1.webhook_endpoints.create(wanted)
    client_for("rk_live_sandboxtests").v1.webhook_endpoints.create(wanted)
    client.v1.webhook_endpoints.create(wanted)
    checkout.pay(session.id)
    deliveries.deliver_due()
    assert receiver.types == ["checkout.session.completed"]


@pytest.mark.parametrize("status", [500, 404, 301])
def test_anything_but_2xx_is_repeated(session, endpoint, receiver, status):
    receiver.statuses += [status]
    receiver.headers = {"Location": receiver.url}
    checkout.decline(session.id)
    deliveries.deliver_due()
    assert states(type="charge.failed") == ["due"]
    assert len(receiver.got) == 2  # the redirect was not followed
    assert books.deliveries()[0]["answer"] == status
    assert deliveries.deliver_due() == 0  # not yet
    assert deliveries.deliver_due(ignore_back_off=True) == 1
    assert states() == ["delivered", "delivered"]
    assert receiver.events[0]["id"] == receiver.events[2]["id"]


def test_given_up_in_the_end(client, session, endpoint, receiver):
    receiver.statuses += [500] * 20
    client.v1.checkout.sessions.expire(session.id)
    for _ in range(8):
        deliveries.deliver_due(ignore_back_off=True)
    assert states() == ["failed"]
    assert len(receiver.got) == 1 + len(deliveries.BACK_OFF)
    assert client.v1.events.list({"delivery_success": False}).data
    assert not client.v1.events.list({"delivery_success": True}).data


def test_nobody_there(client, session, receiver):
    url = receiver.url
    receiver.stop()
    client.v1.webhook_endpoints.create({"url": url, "enabled_events": ["*"]})
    client.v1.checkout.sessions.expire(session.id)
    deliveries.deliver_due()
    (row,) = books.deliveries()
    assert row["state"] == "due" and "Refused" in row["error"]


def test_deleted_endpoint(client, session, endpoint, receiver):
    client.v1.checkout.sessions.expire(session.id)
    client.v1.webhook_endpoints.delete(endpoint.id)
    deliveries.deliver_due()
    assert states() == ["failed"] and receiver.got == []


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://localhost:8000/a/?b=1", ("127.0.0.1", 8000, "localhost:8000", "/a/?b=1")),
        ("http://bakery.localhost/", ("127.0.0.1", 80, "bakery.localhost", "/")),
        ("http://127.0.0.1:9", ("127.0.0.1", 9, "127.0.0.1:9", "/")),
        ("http://[::1]:9/x", ("::1", 9, "[::1]:9", "/x")),
    ],
)
def test_where_a_name_is_dialled(url, expected):
    assert deliveries.loopback(url) == expected


@pytest.mark.parametrize(
    "url",
    [
        "http://site.example/",
        "http://10.0.0.1/",
        "http://localhost.site.example/",
        "http://localhost@site.example/",
        "http://0.0.0.0/",
        "https://localhost/",
        "http://127.0.0.1.nip.example/",
    ],
)
def test_nothing_leaves_this_computer(client, session, url):
    with pytest.raises(deliveries.NotLoopback):
        deliveries.loopback(url)


def test_a_far_endpoint_is_given_up_at_once(client, session):
    client.v1.webhook_endpoints.create(
        {"url": "https://site.example/hook/", "enabled_events": ["*"]}
    )
    client.v1.checkout.sessions.expire(session.id)
    deliveries.deliver_due()
    (row,) = books.deliveries()
    assert row["state"] == "failed" and "not this computer" in row["error"]


def test_swallowed(client, session, endpoint, receiver):
    faults.add("swallow", path="checkout.session.", times=1)
    event = checkout.pay(session.id).event
    deliveries.deliver_due()
    assert receiver.types == ["charge.succeeded", "payment_intent.succeeded"]
    assert states(event=event) == ["swallowed"]
    assert [e.id for e in client.v1.events.list({"delivery_success": False}).data] == [event]
    assert deliveries.fire_again(event) == 1
    deliveries.deliver_due()
    assert receiver.types[-1] == "checkout.session.completed"


def test_swallowed_until_switched_off(client, params, endpoint, receiver):
    fault = faults.add("swallow", times=None)
    for _ in range(3):
        checkout.pay(client.v1.checkout.sessions.create(params()).id)
    deliveries.deliver_due()
    assert receiver.got == [] and set(states()) == {"swallowed"}
    faults.remove(fault)
    client.v1.checkout.sessions.expire(client.v1.checkout.sessions.create(params()).id)
    deliveries.deliver_due()
    assert receiver.types == ["checkout.session.expired"]


def test_fire_again(session, endpoint, receiver):
    event = checkout.pay(session.id).event
    deliveries.deliver_due()
    deliveries.fire_again(event)
    deliveries.fire_again(event)
    deliveries.deliver_due()
    assert [e["id"] for e in receiver.events].count(event) == 3
    with pytest.raises(LookupError):
        deliveries.fire_again("evt_none")


def test_orders(session, endpoint, receiver):
    checkout.pay(session.id)
    deliveries.deliver_due(order="newest")
    assert receiver.types[0] == "checkout.session.completed"
    with pytest.raises(ValueError, match="order"):
        deliveries.hold(order="sideways")


def test_held_back_and_let_go(automatic, session, endpoint, receiver):
    deliveries.hold()
    checkout.pay(session.id)
    # For longer than the thread takes to deliver what is not held back.
    assert not wait_until(lambda: receiver.got or states() != ["due"] * 3, seconds=0.8)
    assert receiver.got == [] and states() == ["due"] * 3
    deliveries.hold(False, order="newest")
    assert wait_until(lambda: len(receiver.got) == 3)
    assert receiver.types[0] == "checkout.session.completed"


def test_the_thread_delivers_repeats_and_ends(
    automatic, monkeypatch, client, session, endpoint, receiver
):
    monkeypatch.setattr(deliveries, "BACK_OFF", (0.1, 0.1))
    monkeypatch.setattr(deliveries, "IDLE_ENDS", 0.2)
    receiver.statuses += [503]
    client.v1.checkout.sessions.expire(session.id)
    assert wait_until(lambda: states() == ["delivered"])
    assert len(receiver.got) == 2
    assert wait_until(lambda: not deliveries._thread.is_alive())


def test_two_processes_send_each_delivery_once(session, endpoint, receiver):
    checkout.pay(session.id)
    threads = [threading.Thread(target=deliveries.deliver_due) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(receiver.got) == 3


def test_a_delivery_whose_process_died_is_sent(session, endpoint, receiver):
    checkout.pay(session.id)
    with books.write() as db:
        db.execute("UPDATE deliveries SET state = 'sending', claimed_at = ?", (time.time(),))
    assert deliveries.deliver_due() == 0
    with books.write() as db:
        db.execute("UPDATE deliveries SET claimed_at = ?", (time.time() - 60,))
    assert deliveries.deliver_due() == 3


def test_books_that_were_taken_away_do_not_kill_the_thread(automatic, session, monkeypatch):
    monkeypatch.setattr(deliveries, "IDLE_ENDS", 0.1)

    def gone():
        raise deliveries.sqlite3.OperationalError("unable to open database file")

    monkeypatch.setattr(deliveries, "held", gone)
    deliveries.wake()
    assert wait_until(lambda: not deliveries._thread.is_alive())


def test_waiting_has_an_end(automatic, session, endpoint, monkeypatch):
    event = checkout.pay(session.id).event
    assert deliveries.wait_for(event)
    monkeypatch.setattr(deliveries, "wake", lambda: None)
    deliveries.stop()
    again = deliveries.fire_again(event)
    assert again == 1 and not deliveries.wait_for(event, seconds=0.2)
