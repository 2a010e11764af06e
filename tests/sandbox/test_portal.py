"""The customer portal and the hosted invoice: API, pages, and what a payer may do there."""

import pytest
import requests
import stripe

from wagtail_client_billing.sandbox import books, checkout, clock, subscriptions

from .conftest import subscription_params
from .test_checkout import TOKEN, Browser

FEATURES = {
    "payment_method_update": {"enabled": True},
    "subscription_cancel": {"enabled": True, "mode": "at_period_end"},
    "invoice_history": {"enabled": True},
}


@pytest.fixture
def browser():
    with Browser() as opened:
        yield opened


@pytest.fixture
def portal_of(client):
    """``portal_of(subscription)``: a portal session of its customer."""

    def make(subscription, **features):
        configuration = client.v1.billing_portal.configurations.create(
            {"features": {**FEATURES, **features}}
        )
        return client.v1.billing_portal.sessions.create(
            {
                "customer": subscription["customer"],
                "configuration": configuration.id,
                "return_url": "https://site.example/bill/",
            }
        )

    return make


def one(subscription):
    (found,) = books.subscriptions(id=subscription["id"])
    return found


def refused(call):
    with pytest.raises(stripe.InvalidRequestError) as caught:
        call()
    return caught.value


# --------------------------------------------------------------------------- the API


def test_without_a_configuration_there_is_no_portal(client, subscribe):
    customer = subscribe()["customer"]
    create = client.v1.billing_portal.sessions.create
    problem = refused(lambda: create({"customer": customer}))
    assert "No configuration provided" in problem.user_message
    made = client.v1.billing_portal.configurations.create(
        {
            "features": FEATURES,
            "default_return_url": "https://site.example/default/",
            "business_profile": {"headline": "Agency", "privacy_policy_url": "https://a.example/p"},
        }
    )
    assert made.is_default and made.active and made.business_profile.headline == "Agency"
    assert made.features.subscription_cancel.mode == "at_period_end"
    assert not made.features.subscription_update.enabled
    opened = create({"customer": customer})
    assert (opened.configuration, opened.customer) == (made.id, customer)
    assert opened.return_url == "https://site.example/default/"
    assert refused(lambda: create({"customer": "cus_none"})).param == "customer"
    problem = refused(lambda: create({"customer": customer, "configuration": "bpc_none"}))
    assert (problem.code, problem.param) == ("resource_missing", "configuration")
    assert refused(lambda: create({})).param == "customer"


def test_configurations_are_listed(client, client_for):
    make = client.v1.billing_portal.configurations.create
    first, second = (make({"features": FEATURES}) for _ in range(2))
    listing = client.v1.billing_portal.configurations.list
    assert [found.id for found in listing().data] == [second.id, first.id]
    assert [found.id for found in listing({"is_default": True}).data] == [first.id]
    assert listing({"active": False}).data == []
    other = client_for("rk_test_somebodyelse")
    assert other.v1.billing_portal.configurations.list().data == []
    assert refused(lambda: make({})).param == "features"


# --------------------------------------------------------------------------- the page


def test_the_page_shows_what_the_customer_has(browser, client, subscribe, portal_of):
    mine = subscribe("month", 3)
    subscribe("week", amount=999)
    opened = portal_of(mine)
    page = browser.get(opened.url, timeout=20)
    assert page.status_code == 200 and page.text.count("<h1>") == 1
    for text in (
        "€123.45 every 3 months",
        "A stand-in for Stripe",
        "Change to a card that works",
        "Change to a card that will be declined",
        "Change to a card that asks for 3-D Secure",
        "Cancel at the end of the period",
        'href="https://site.example/bill/"',
    ):
        assert text in page.text
    assert "9.99" not in page.text
    assert "<script" not in page.text and "style=" not in page.text
    assert browser.get(f"{opened.url[:-5]}/", timeout=20).status_code == 404


def test_buttons_of_the_portal(browser, subscribe, portal_of):
    subscription = subscribe()
    url = portal_of(subscription).url

    def press(action, id=subscription["id"]):
        return browser.press(url, action=action, subscription=id).status_code

    assert press("cancel_at_period_end") == 302
    assert one(subscription)["cancel_at_period_end"]
    assert "Keep the subscription" in browser.get(url, timeout=20).text
    assert press("keep") == 302
    assert one(subscription)["cancel_at"] is None
    subscriptions.set_card(subscription["id"], "declines")
    clock.advance_months()
    assert "The last payment is missing" in browser.get(url, timeout=20).text
    assert press("asks") == 302 and one(subscription)["status"] == "past_due"
    assert press("works") == 302 and one(subscription)["status"] == "active"
    assert press("dance") == 400
    other = subscribe("week")
    assert press("cancel_now", other["id"]) == 400 and one(other)["status"] == "active"
    token = TOKEN.search(browser.get(url, timeout=20).text)[1]
    assert press("cancel_now") == 302 and one(subscription)["status"] == "canceled"
    assert "Ended on" in browser.get(url, timeout=20).text
    late = {"csrfmiddlewaretoken": token, "action": "keep", "subscription": subscription["id"]}
    assert browser.post(url, data=late, timeout=20).status_code == 409


def test_the_configuration_says_what_may_be_done(browser, subscribe, portal_of):
    subscription = subscribe()
    url = portal_of(subscription, subscription_cancel={"enabled": False}).url
    assert "Cancel" not in browser.get(url, timeout=20).text
    answer = browser.press(url, action="cancel_now", subscription=subscription["id"])
    assert answer.status_code == 400 and one(subscription)["status"] == "active"


def test_the_portal_needs_the_csrf_token(subscribe, portal_of):
    subscription = subscribe()
    data = {"action": "cancel_now", "subscription": subscription["id"]}
    url = portal_of(subscription).url
    assert requests.post(url, data=data, timeout=20).status_code == 403
    assert one(subscription)["status"] == "active"


# --------------------------------------------------------------------------- the hosted invoice


def test_the_hosted_invoice_takes_another_card(browser, client, subscribe):
    subscription = subscribe()
    subscriptions.set_card(subscription["id"], "asks")
    clock.advance_months()
    invoice = client.v1.invoices.list().data[0]
    url = invoice.hosted_invoice_url
    page = browser.get(url, timeout=20).text
    assert "€123.45" in page and "Confirm with 3-D Secure" in page and invoice.number in page
    assert "<script" not in page and "style=" not in page
    answer = browser.press(url, action="decline")
    assert answer.headers["Location"].endswith("?declined=1")
    assert "declined" in browser.get(f"{url}?declined=1", timeout=20).text
    assert one(subscription)["status"] == "past_due"
    assert browser.press(url, action="dance").status_code == 400
    token = TOKEN.search(browser.get(url, timeout=20).text)[1]
    assert browser.press(url, action="pay").status_code == 302
    assert one(subscription)["status"] == "active"
    again = {"csrfmiddlewaretoken": token, "action": "pay"}
    assert "Paid." in browser.post(url, data=again, timeout=20).text
    assert len(books.money("request-1")) == 2
    assert browser.get(f"{url[:-5]}/", timeout=20).status_code == 404


def test_a_hosted_invoice_waits_for_a_bank_debit(browser, client):
    checkout.pay_later(client.v1.checkout.sessions.create(subscription_params()).id)
    (invoice,) = client.v1.invoices.list().data
    page = browser.get(invoice.hosted_invoice_url, timeout=20).text
    assert "under way" in page and "<button" not in page


@pytest.mark.parametrize(("action", "status"), [("succeeds", "paid"), ("fails", "open")])
def test_the_debit_of_a_renewal_is_decided_on_its_page_or_by_time(browser, client, action, status):
    session = client.v1.checkout.sessions.create(subscription_params())
    checkout.pay(session.id)
    (subscription,) = client.v1.subscriptions.list().data
    subscriptions.set_card(subscription.id, "debit")
    clock.advance_months(1)
    invoice = client.v1.invoices.list().data[0]
    assert (invoice.status, invoice.attempt_count, invoice.attempted) == ("open", 1, True)
    assert client.v1.subscriptions.retrieve(subscription.id).status == "active"
    page = browser.get(invoice.hosted_invoice_url, timeout=20)
    token = TOKEN.search(page.text)[1]
    if action == "succeeds":
        clock.advance(days=4)
    else:
        data = {"csrfmiddlewaretoken": token, "action": f"debit_{action}"}
        assert browser.post(invoice.hosted_invoice_url, data=data, timeout=20).ok
    assert client.v1.invoices.retrieve(invoice.id).status == status
    assert client.v1.subscriptions.retrieve(subscription.id).status == (
        "active" if status == "paid" else "past_due"
    )
