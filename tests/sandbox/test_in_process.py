"""The stand-in without a socket does what the one with a socket does."""

import time

import pytest
import stripe

from tests import exchanges
from tests.in_process import InProcessStripe, deliver
from wagtail_client_billing.gateway import connect
from wagtail_client_billing.gateway.client import api_for
from wagtail_client_billing.sandbox import books, checkout, clock, deliveries, faults

from .conftest import KEY

BASE = "http://127.0.0.1:9/sandbox/stripe"  # nobody listens there
HOOK = "http://localhost/billing/stripe/webhook/6f2a1f0e-3b1c-4a43-8b65-0f7f3ea7e1de/"


@pytest.fixture
def make():
    def client(key=KEY, *, retries=0, timeout=(5, 20)):
        return stripe.StripeClient(
            key,
            base_addresses=dict.fromkeys(("api", "connect", "files", "meter_events"), BASE),
            http_client=InProcessStripe(timeout=timeout),
            max_network_retries=retries,
        )

    return client


@pytest.fixture
def client(make):
    return make()


def test_calls_are_answered_and_validated(client, params):
    before = exchanges.count()
    session = client.v1.checkout.sessions.create(params(), {"idempotency_key": "a"})
    assert session.url.startswith("http://127.0.0.1:9/sandbox/checkout/")
    again = client.v1.checkout.sessions.create(
        {**params(), "expires_at": session.expires_at}, {"idempotency_key": "a"}
    )
    assert again.id == session.id and again.last_response.headers["idempotent-replayed"] == "true"
    assert client.v1.checkout.sessions.list({"limit": 1}).data[0].id == session.id
    checkout.pay(session.id)
    refund = client.v1.refunds.create({"payment_intent": books.payments()[0]["id"]})
    assert refund.status == "succeeded"
    assert client.v1.webhook_endpoints.list().data == []
    assert [call["status"] for call in books.api_calls()] == [200] * 5
    if exchanges.spec() is not None:
        assert exchanges.count() == before + 5


def test_refusals_are_those_of_stripe(client, make):
    with pytest.raises(stripe.InvalidRequestError) as caught:
        client.v1.refunds.retrieve("re_none")
    assert caught.value.code == "resource_missing" and caught.value.request_id
    with pytest.raises(stripe.AuthenticationError):
        make("nonsense").v1.events.list()
    with pytest.raises(stripe.PermissionError):
        client.v1.accounts.retrieve("acct_none")


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("401", stripe.AuthenticationError),
        ("429", stripe.RateLimitError),
        ("500", stripe.APIError),
        ("503", stripe.APIError),
        ("lost", stripe.APIConnectionError),
    ],
)
def test_faults(client, params, kind, error):
    faults.add(kind)
    with pytest.raises(error):
        client.v1.checkout.sessions.create(params())
    assert len(books.sessions()) == (1 if kind == "lost" else 0)


def test_repetitions_do_not_sleep(make, params):
    faults.add("503", times=3)
    faults.add("lost", times=3)
    started = time.monotonic()
    made = make(retries=6).v1.checkout.sessions.create(params())
    assert time.monotonic() - started < 2
    assert [session["id"] for session in books.sessions()] == [made.id]


@pytest.mark.parametrize("kind", ["slow", "hold"])
def test_late_answers_are_lost_without_waiting(make, params, kind):
    faults.add(kind, delay_ms=21_000)
    faults.add(kind, delay_ms=19_000)
    started = time.monotonic()
    with pytest.raises(stripe.APIConnectionError):
        make().v1.checkout.sessions.create(params())
    make(timeout=20).v1.checkout.sessions.create(params())
    assert time.monotonic() - started < 5
    assert len(books.sessions()) == 2


# --------------------------------------------------------------------------- webhooks


@pytest.fixture
def endpoint(client):
    return client.v1.webhook_endpoints.create({"url": HOOK, "enabled_events": ["*"]})


@pytest.fixture
def paid(client, endpoint, params):
    checkout.pay(client.v1.checkout.sessions.create(params()).id)
    return [event["type"] for event in books.events()]


@pytest.mark.django_db
def test_deliveries_come_in_the_order_asked_for(paid):
    # Our site knows no such endpoint: each is refused, and is due again at the next call.
    assert deliver() == [(type, 404) for type in paid]
    assert deliver("newest") == [(type, 404) for type in reversed(paid)]
    assert deliver(lambda rows: rows[1:]) == [(type, 404) for type in paid[1:]]
    assert {row["state"] for row in books.deliveries()} == {"due"}


@pytest.mark.django_db
def test_deliveries_are_dropped_and_repeated(paid):
    last = books.events()[-1]["id"]
    came = deliver(drop=["charge.succeeded"], repeat=[last])
    assert came == [
        ("payment_intent.succeeded", 404),
        ("checkout.session.completed", 404),
        ("checkout.session.completed", 404),
    ]
    assert [row["state"] for row in books.deliveries()] == ["swallowed", "due", "due"]
    assert len(deliver()) == 2


@pytest.mark.django_db
def test_what_the_clock_brought_is_delivered(client, endpoint, params):
    client.v1.checkout.sessions.create(params())
    with books.write() as db:
        books.note(db, "clock_offset", 7201)
    assert deliver() == [("checkout.session.expired", 404)]
    clock.advance(hours=1)
    assert not deliveries.automatic


@pytest.mark.django_db
def test_the_product_needs_no_socket(monkeypatch, params):
    monkeypatch.setattr(stripe, "RequestsClient", InProcessStripe)
    connection = connect.connect_with_key(
        key=KEY,
        livemode=False,
        country="FR",
        privacy_policy_url="https://atelier.test/privacy",
        terms_url="https://atelier.test/terms",
        user=None,
    )
    api_for(connection).call(lambda client: client.v1.checkout.sessions.create(params()))
    checkout.pay(books.sessions()[0]["id"])
    completed = "checkout.session.completed"
    assert (completed, 200) in deliver(repeat=[completed])
    assert connection.endpoints.get().events.filter(type=completed).count() == 1
    assert {row["state"] for row in books.deliveries()} == {"delivered"}
    assert deliver() == []
