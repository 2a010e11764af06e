"""The pages of payments and subscriptions, and the clock's buttons."""

import re

import pytest
import requests

from wagtail_client_billing.sandbox import books, checkout, clock, refunds

from .test_checkout import TOKEN, Browser


@pytest.fixture
def browser():
    with Browser() as opened:
        yield opened


@pytest.fixture
def press(server, browser):
    """``press("payments/", action=…, id=…)``: status and text of the page after it."""

    def send(path, **data):
        url = f"{server.pages}{path}"
        token = TOKEN.search(browser.get(server.pages, timeout=20).text)[1]
        answer = browser.post(url, data={"csrfmiddlewaretoken": token, **data}, timeout=20)
        return answer.status_code, answer.text

    return send


@pytest.fixture
def intent(session):
    checkout.pay(session.id)
    return books.payments()[0]["id"]


def charge():
    (found,) = books.charges()
    return found["amount_refunded"]


def test_refund_buttons(press, intent):
    status, page = press("payments/", action="refund", id=intent, amount="23.45")
    assert status == 200 and "€23.45, succeeded" in page and charge() == 2345
    for wrong in ("nonsense", "-1", "1.234", "100.01", "0"):
        status, page = press("payments/", action="refund", id=intent, amount=wrong)
        assert status == 400 and 'role="alert"' in page and charge() == 2345
    press("payments/", action="slow", slow="on")
    assert refunds.are_slow()
    status, page = press("payments/", action="refund", id=intent, amount="")
    assert "€100.00, pending" in page and "Let it arrive" in page and charge() == 12345
    pending = books.refunds(status="pending")[0]["id"]
    assert press("payments/", action="settle_refund", id=pending)[0] == 200
    assert press("payments/", action="settle_refund", id=pending)[0] == 400
    assert press("payments/", action="fail_refund", id=pending)[0] == 200
    assert charge() == 2345 and books.refunds(status="failed")[0]["id"] == pending
    press("payments/", action="slow")
    assert not refunds.are_slow()


def test_dispute_buttons(press, intent):
    status, page = press("payments/", action="dispute", id=intent)
    assert status == 200 and "€123.45, needs_response" in page
    (dispute,) = books.disputes()
    assert press("payments/", action="refund", id=intent, amount="")[0] == 400
    assert "under_review" in press("payments/", action="answer_dispute", id=dispute["id"])[1]
    assert "€123.45, won" in press("payments/", action="win_dispute", id=dispute["id"])[1]
    assert press("payments/", action="lose_dispute", id=dispute["id"])[0] == 400
    assert books.money("request-1")[0]["disputed"] == 0


def test_a_lost_dispute(press, intent):
    press("payments/", action="dispute", id=intent)
    (dispute,) = books.disputes()
    assert "€123.45, lost" in press("payments/", action="lose_dispute", id=dispute["id"])[1]
    assert books.money("request-1")[0]["disputed"] == 12345


def test_buttons_that_do_not_exist(press, intent, server):
    assert press("payments/", action="dance", id=intent)[0] == 400
    assert press("payments/", action="dispute", id="pi_none")[0] == 400
    assert press("payments/", action="refund", id="pi_none", amount="1")[0] == 400
    assert press("subscriptions/", action="dance")[0] == 400
    assert press("subscriptions/", action="works", id="sub_none")[0] == 400
    for path in ("payments/", "subscriptions/"):
        data = {"action": "dispute", "id": intent}
        assert requests.post(server.pages + path, data=data, timeout=20).status_code == 403
    assert books.disputes() == []


def test_subscription_buttons(press, subscribe):
    id = subscribe()["id"]

    def act(action):
        status, page = press("subscriptions/", action=action, id=id)
        (found,) = books.subscriptions()
        return status, found["status"], re.sub(r"\s+", " ", page)

    assert act("declines")[1] == "active"
    status, state, page = act("next_charge")
    assert (status, state) == (200, "past_due") and "open, again" in page
    assert act("next_charge")[1] == "past_due"  # the second try, on the third day
    assert books.invoices()[-1]["attempt_count"] == 2
    act("works")
    assert act("next_charge")[1] == "active"
    assert "€123.45, paid" in page and len(books.money("request-1")) == 2
    assert "Keep" in act("cancel_at_period_end")[2]
    assert books.subscriptions()[0]["cancel_at_period_end"]
    act("keep")
    assert not books.subscriptions()[0]["cancel_at_period_end"]
    assert act("asks")[0] == 200
    assert act("next_charge")[1] == "past_due"
    assert act("cancel_now")[:2] == (200, "canceled")
    for action in ("cancel_now", "next_charge", "keep"):
        assert act(action)[0] == 400


def test_the_clock_goes_on_by_a_month(server, browser, subscribe):
    subscribe()
    token = TOKEN.search(browser.get(server.pages, timeout=20).text)[1]
    for months in ("nonsense", "1"):
        answer = browser.post(
            f"{server.pages}clock/",
            data={"csrfmiddlewaretoken": token, "months": months},
            timeout=20,
        )
        assert answer.status_code == 200
    assert " days" in answer.text and len(books.invoices(status="paid")) == 2
    with books.read() as db:
        assert 27 * 86400 < clock.offset(db) < 32 * 86400
