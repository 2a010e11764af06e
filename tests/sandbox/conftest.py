"""The sandbox under test: one server for all, books of its own for each test."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import stripe

from tests import exchanges
from tests.sandbox_server import SandboxServer, sandbox_books
from wagtail_client_billing.sandbox import books, checkout, deliveries, shapes

KEY = "rk_test_sandboxtests"


@pytest.fixture(scope="session")
def server():
    with SandboxServer() as running:
        yield running


@pytest.fixture(autouse=True)
def own_books(tmp_path, monkeypatch):
    """A file for each test; deliveries only by ``deliver_due()`` unless a test asks for more."""
    monkeypatch.setattr(deliveries, "automatic", False)
    monkeypatch.setattr(stripe, "enable_telemetry", False)
    with sandbox_books(tmp_path / "books.sqlite3"):
        yield
        deliveries.stop()
        check_events()


@pytest.fixture
def automatic(own_books, monkeypatch):
    """Deliveries by the thread, as in a running site."""
    monkeypatch.setattr(deliveries, "automatic", True)


def check_events():
    """Events are sent, not only answered: hold them against Stripe's description as well."""
    if exchanges.spec() is None:
        return
    for event in books.events():
        del event["account"]
        snapshot = event["data"]["object"]
        assert exchanges.spec().validate_object("event", event) == []
        if snapshot["object"] != "application":  # in no description of Stripe's
            assert exchanges.spec().validate_object(snapshot["object"], snapshot) == []
        assert event["api_version"] == stripe.api_version == shapes.API_VERSION


@pytest.fixture
def client_for(server):
    """``client_for(key)``: the real SDK, speaking to the sandbox."""
    http_clients = []

    def make(key=KEY, *, retries=0, timeout=20):
        http = stripe.RequestsClient(timeout=(5, timeout))
        http_clients.append(http)
        return stripe.StripeClient(
            key,
            base_addresses=dict.fromkeys(("api", "connect", "files", "meter_events"), server.base),
            http_client=http,
            max_network_retries=retries,
        )

    yield make
    for http in http_clients:
        http.close()


@pytest.fixture
def client(client_for):
    return client_for()


def session_params(amount=12345, currency="eur", **changes):
    return {
        "mode": "payment",
        "line_items": [
            {
                "quantity": 1,
                "price_data": {
                    "currency": currency,
                    "unit_amount": amount,
                    "product_data": {"name": "New website", "description": "Design & hosting"},
                },
            }
        ],
        "customer_email": "client@example.com",
        "client_reference_id": "ref-1",
        "metadata": {"wcb_request": "request-1", "wcb_attempt": "1"},
        "success_url": "https://site.example/done/?session_id={CHECKOUT_SESSION_ID}",
        "cancel_url": "https://site.example/cancelled/",
        "expires_at": int(time.time()) + 2 * 3600,
        "locale": "auto",
        "adaptive_pricing": {"enabled": False},
        "custom_text": {"submit": {"message": "See the [terms](https://site.example/terms)."}},
        "customer_creation": "if_required",
        "payment_intent_data": {"description": "BR-1", "metadata": {"wcb_request": "request-1"}},
        **changes,
    }


@pytest.fixture
def params():
    return session_params


def subscription_params(interval="month", count=1, **changes):
    given = session_params(**changes)
    for name in ("customer_creation", "payment_intent_data"):
        del given[name]
    given["mode"] = "subscription"
    given["line_items"][0]["price_data"]["recurring"] = {
        "interval": interval,
        "interval_count": count,
    }
    given["subscription_data"] = {
        "description": "BR-1",
        "metadata": {"wcb_request": "request-1"},
        **changes.get("subscription_data", {}),
    }
    return given


@pytest.fixture
def subscribe(client):
    """``subscribe("month", 3)``: a paid session; returns its subscription as in the books."""

    def make(interval="month", count=1, **changes):
        given = subscription_params(interval, count, **changes)
        checkout.pay(client.v1.checkout.sessions.create(given).id)
        return books.subscriptions()[-1]

    return make


@pytest.fixture
def session(client, params):
    return client.v1.checkout.sessions.create(params())


class Receiver:
    """A webhook endpoint: keeps what it gets, answers ``statuses`` in turn, then 200."""

    def __init__(self):
        self.got, self.statuses, self.headers = [], [], {}
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.got.append((self.path, dict(self.headers), body.decode()))
                self.send_response(receiver.statuses.pop(0) if receiver.statuses else 200)
                for name, value in receiver.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *args):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        self.url = f"http://localhost:{self.port}/hook/?a=1"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)
        self.thread.start()

    @property
    def events(self):
        return [json.loads(body) for _, _, body in self.got]

    @property
    def types(self):
        return [event["type"] for event in self.events]

    def stop(self):
        self.server.shutdown()
        self.thread.join(5)
        self.server.server_close()


@pytest.fixture
def receiver():
    running = Receiver()
    yield running
    running.stop()


@pytest.fixture
def endpoint(client, receiver):
    return client.v1.webhook_endpoints.create({"url": receiver.url, "enabled_events": ["*"]})


def wait_until(condition, seconds=10):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.02)
    return False
