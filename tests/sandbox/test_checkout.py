"""Paying: the actions, the hosted page, and two clicks at once."""

import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from wagtail_client_billing.sandbox import books, checkout, checkout_pages, clock, deliveries

TOKEN = re.compile(r'name="csrfmiddlewaretoken" value="([^"]+)"')


class Browser(requests.Session):
    """A payer's browser: cookies, CSRF token, no redirects followed."""

    def press(self, url, **data):
        page = self.get(url, timeout=20)
        data["csrfmiddlewaretoken"] = TOKEN.search(page.text)[1]
        return self.post(url, data=data, allow_redirects=False, timeout=30)


@pytest.fixture
def browser():
    with Browser() as opened:
        yield opened


def test_pay(session):
    outcome = checkout.pay(session.id)
    assert (outcome.session["status"], outcome.session["payment_status"]) == ("complete", "paid")
    (payment,) = books.payments("request-1")
    assert payment["amount_received"] == 12345
    assert [event["type"] for event in books.events()] == [
        "charge.succeeded",
        "payment_intent.succeeded",
        "checkout.session.completed",
    ]
    assert books.events()[-1]["id"] == outcome.event
    with pytest.raises(checkout.NotOpen, match="complete"):
        checkout.pay(session.id)
    assert len(books.payments()) == len(books.charges()) == 1


def test_decline_leaves_it_open_and_uses_one_payment_intent(client, session):
    assert checkout.decline(session.id).session["status"] == "open"
    declined = client.v1.checkout.sessions.retrieve(session.id)
    assert (declined.status, declined.payment_intent) == ("open", None)
    assert books.payments() == []
    (intent,) = books.payments(status="requires_payment_method")
    assert intent["last_payment_error"]["decline_code"] == "generic_decline"
    assert books.events("payment_intent.payment_failed")
    checkout.pay(session.id)
    assert [p["id"] for p in books.payments(status=None)] == [intent["id"]]
    assert [c["status"] for c in books.charges()] == ["failed", "succeeded"]


@pytest.mark.parametrize(
    ("succeeded", "payment_status", "intent", "event"),
    [
        (True, "paid", "succeeded", "async_payment_succeeded"),
        (False, "unpaid", "requires_payment_method", "async_payment_failed"),
    ],
)
def test_pay_later(client, session, succeeded, payment_status, intent, event):
    outcome = checkout.pay_later(session.id)
    assert (outcome.session["status"], outcome.session["payment_status"]) == ("complete", "unpaid")
    assert books.payments() == [] and len(books.payments(status="processing")) == 1
    settled = checkout.settle_later(session.id, succeeded)
    assert settled.session["payment_status"] == payment_status
    assert settled.session["status"] == "complete"
    assert books.payments(status=None)[0]["status"] == intent
    assert books.events()[-1]["type"] == f"checkout.session.{event}"
    assert client.v1.payment_intents.list().data[0].status == intent
    with pytest.raises(checkout.NotProcessing):
        checkout.settle_later(session.id)


def test_nothing_to_settle(session):
    with pytest.raises(checkout.NotProcessing):
        checkout.settle_later(session.id)
    with pytest.raises(checkout.UnknownSession):
        checkout.settle_later("cs_none")


def test_an_expired_session_cannot_be_paid(client, session):
    client.v1.checkout.sessions.expire(session.id)
    for action in (checkout.pay, checkout.decline, checkout.pay_later):
        with pytest.raises(checkout.NotOpen, match="expired"):
            action(session.id)
    assert books.payments(status=None) == []


def test_two_clicks_at_once_pay_once(session):
    def click(_):
        try:
            return checkout.pay(session.id).session["id"]
        except checkout.NotOpen:
            return None

    with ThreadPoolExecutor(12) as pool:
        outcomes = list(pool.map(click, range(12)))
    assert outcomes.count(session.id) == 1
    assert len(books.payments()) == len(books.charges()) == 1
    assert len(books.events("checkout.session.completed")) == 1


def test_two_clicks_at_once_in_browsers_pay_once(session):
    barrier = threading.Barrier(6)

    def click(_):
        with Browser() as browser:
            token = TOKEN.search(browser.get(session.url, timeout=20).text)[1]
            barrier.wait(20)
            return browser.post(
                session.url,
                data={"csrfmiddlewaretoken": token, "action": "pay"},
                allow_redirects=False,
                timeout=30,
            ).status_code

    with ThreadPoolExecutor(6) as pool:
        statuses = sorted(pool.map(click, range(6)))
    assert statuses == [303, 409, 409, 409, 409, 409]
    assert len(books.payments()) == 1


def test_pay_against_expire(client, params):
    """Whoever comes first wins; never both."""
    for _ in range(5):
        session = client.v1.checkout.sessions.create(params())

        def pay(id=session.id):
            try:
                return checkout.pay(id).session["status"]
            except checkout.NotOpen:
                return None

        def expire(id=session.id):
            try:
                return client.v1.checkout.sessions.expire(id).status
            except Exception:
                return None

        with ThreadPoolExecutor(2) as pool:
            results = [pool.submit(pay), pool.submit(expire)]
            answers = [result.result() for result in results]
        assert answers.count(None) == 1
        assert books.sessions(id=session.id)[0]["status"] in answers


# --------------------------------------------------------------------------- the page


def test_page_shows_what_is_paid(browser, session):
    page = browser.get(session.url, timeout=20)
    assert page.status_code == 200
    for text in (
        "€123.45",
        "New website",
        "Design &amp; hosting",
        "client@example.com",
        "A stand-in for Stripe",
        "Pay with 4242",
        "Card that is declined",
        "Pay later (bank debit)",
        'href="https://site.example/cancelled/"',
        '<a href="https://site.example/terms">terms</a>',
    ):
        assert text in page.text
    assert "default-src" in page.headers["Content-Security-Policy"]
    assert "<script" not in page.text and "style=" not in page.text


def test_pay_button_leads_to_the_success_url(browser, session):
    answer = browser.press(session.url, action="pay")
    assert answer.status_code == 303
    assert answer.headers["Location"] == f"https://site.example/done/?session_id={session.id}"
    assert len(books.payments("request-1")) == 1
    again = browser.get(session.url, timeout=20)
    assert "<h1>Paid</h1>" in again.text and "Pay with" not in again.text


def test_decline_button(browser, session):
    answer = browser.press(session.url, action="decline")
    assert answer.status_code == 303
    page = browser.get(f"{session.url}?declined=1", timeout=20)
    assert "Your card was declined" in page.text and "Pay with 4242" in page.text


def test_pay_and_close_button(browser, session):
    answer = browser.press(session.url, action="pay_and_close")
    assert answer.headers["Location"].endswith(f"/{session.id}/?closed=1")
    page = browser.get(f"{session.url}?closed=1", timeout=20)
    assert "this window can be closed" in page.text
    assert "site.example" not in page.text
    assert len(books.payments()) == 1


def test_pay_later_button_and_control_page(browser, session):
    assert browser.press(session.url, action="pay_later").status_code == 303
    assert "under way" in browser.get(session.url, timeout=20).text
    control = f"{session.url}later/"
    assert browser.press(control, result="succeed").status_code == 302
    assert "It has succeeded" in browser.get(control, timeout=20).text
    assert len(books.payments()) == 1


def test_control_page_lets_it_fail(browser, client, params, session):
    checkout.pay_later(session.id)
    browser.press(f"{session.url}later/", result="fail")
    assert "It has failed" in browser.get(f"{session.url}later/", timeout=20).text
    assert "bank debit has failed" in browser.get(session.url, timeout=20).text
    other = client.v1.checkout.sessions.create(params())
    assert "Nobody chose" in browser.get(f"{other.url}later/", timeout=20).text
    assert browser.get(f"{other.url[:-5]}/later/", timeout=20).status_code == 404


def test_page_asks_for_an_email_when_there_is_none(browser, client, params):
    given = params()
    del given["customer_email"]
    session = client.v1.checkout.sessions.create(given)
    assert 'name="email"' in browser.get(session.url, timeout=20).text
    browser.press(session.url, action="pay", email="typed@example.com")
    assert books.sessions()[0]["customer_details"]["email"] == "typed@example.com"


def test_page_of_an_expired_session(browser, client, session):
    clock.advance(hours=3)
    page = browser.get(session.url, timeout=20)
    assert "has expired" in page.text and "<button" not in page.text


def test_unknown_session_and_unknown_button(browser, server, session):
    assert browser.get(f"{server.pages}checkout/cs_none/", timeout=20).status_code == 404
    assert browser.press(session.url, action="dance").status_code == 400


def test_paying_needs_the_csrf_token(session):
    assert requests.post(session.url, data={"action": "pay"}, timeout=20).status_code == 403
    assert books.payments() == []


def test_the_payer_is_led_back_after_the_webhook(browser, automatic, session, endpoint, receiver):
    answer = browser.press(session.url, action="pay")
    assert answer.status_code == 303
    assert "checkout.session.completed" in receiver.types


def test_an_endpoint_that_fails_does_not_stop_the_payer(
    browser, automatic, session, endpoint, receiver
):
    receiver.statuses += [500, 500, 500]
    started = time.monotonic()
    assert browser.press(session.url, action="pay").status_code == 303
    assert time.monotonic() - started < 9


def test_no_waiting_while_deliveries_are_held(browser, automatic, session, endpoint):
    deliveries.hold()
    started = time.monotonic()
    assert browser.press(session.url, action="pay").status_code == 303
    assert time.monotonic() - started < 5


def test_return_url_replaces_the_literal_braces_only():
    session = {"id": "cs_1", "success_url": "https://s/?a={CHECKOUT_SESSION_ID}&b=%7BCHECKOUT"}
    assert checkout.return_url(session) == "https://s/?a=cs_1&b=%7BCHECKOUT"


def test_links_in_the_message_are_escaped():
    text = '<b> [a"b](https://x/?y=1&z=2) [no](javascript:x)'
    assert checkout_pages.linked(text) == (
        '&lt;b&gt; <a href="https://x/?y=1&amp;z=2">a&quot;b</a> [no](javascript:x)'
    )
