"""Objects: what the API creates, shows, lists and refuses."""

import base64
import time

import pytest
import requests
import stripe

from wagtail_client_billing.sandbox import books, checkout, deliveries, faults, keys

from .conftest import KEY


def test_account_is_opened_by_the_first_call(client):
    account = client.v1.accounts.retrieve_current()
    assert account.id.startswith("acct_")
    assert (account.country, account.default_currency) == ("DE", "eur")
    assert account.charges_enabled and account.details_submitted
    assert client.v1.accounts.retrieve(account.id).id == account.id


def test_account_says_what_the_page_was_told(client):
    account = client.v1.accounts.retrieve_current()
    keys.change_account(
        account.id,
        name="Agency",
        country="fr",
        default_currency="CHF",
        charges_enabled=False,
        details_submitted=False,
    )
    account = client.v1.accounts.retrieve_current()
    assert (account.business_profile.name, account.country) == ("Agency", "FR")
    assert account.default_currency == "chf"
    assert not account.charges_enabled and not account.details_submitted


def test_another_account_cannot_be_read(client):
    with pytest.raises(stripe.PermissionError) as caught:
        client.v1.accounts.retrieve("acct_ofsomebodyelse")
    assert caught.value.error.code == "account_invalid"
    with pytest.raises(stripe.PermissionError):
        client.v1.checkout.sessions.list(options={"stripe_account": "acct_ofsomebodyelse"})


def test_own_account_may_be_named(client):
    own = client.v1.accounts.retrieve_current().id
    assert client.v1.checkout.sessions.list(options={"stripe_account": own}).data == []


def test_test_and_live_key_share_the_account(client_for):
    test, live, other = (
        client_for(key).v1.accounts.retrieve_current().id
        for key in ("rk_test_agency42", "rk_live_agency42", "rk_test_agency43")
    )
    assert test == live != other


@pytest.mark.parametrize("key", ["nonsense", "pk_test_agency42", "rk_test_", "rk_other_agency42"])
def test_malformed_key_is_401(client_for, key):
    with pytest.raises(stripe.AuthenticationError, match="Invalid API Key provided"):
        client_for(key).v1.accounts.retrieve_current()


def test_no_key_is_401(server):
    answer = requests.get(f"{server.base}/v1/account", timeout=10)
    assert answer.status_code == 401
    assert "did not provide an API key" in answer.json()["error"]["message"]


def test_basic_authentication(server):
    answer = requests.get(f"{server.base}/v1/account", auth=(KEY, ""), timeout=10)
    assert answer.status_code == 200
    for header in ("Basic !!!", "Basic " + base64.b64encode(b":x").decode(), "Digest a", "Bearer"):
        answer = requests.get(
            f"{server.base}/v1/account", headers={"Authorization": header}, timeout=10
        )
        assert answer.status_code == 401


def test_unknown_url_is_stripes_404(client, server):
    with pytest.raises(stripe.InvalidRequestError, match="Unrecognized request URL"):
        client.raw_request("get", "/v1/no_such_thing")
    answer = requests.delete(f"{server.base}/v1/account", auth=(KEY, ""), timeout=10)
    assert answer.status_code == 404


def test_new_session(client, params, server):
    session = client.v1.checkout.sessions.create(params())
    assert session.id.startswith("cs_test_")
    assert session.url == f"{server.root}/sandbox/checkout/{session.id}/"
    assert (session.status, session.payment_status) == ("open", "unpaid")
    assert (session.amount_total, session.amount_subtotal, session.currency) == (
        12345,
        12345,
        "eur",
    )
    assert session.payment_intent is None
    assert session.metadata["wcb_request"] == "request-1"
    assert session.client_reference_id == "ref-1"
    assert session.customer_details.email == "client@example.com"
    assert session.livemode is False
    assert session.success_url.endswith("{CHECKOUT_SESSION_ID}")
    assert client.v1.checkout.sessions.retrieve(session.id).id == session.id


def test_expires_at_defaults_to_a_day(client, params):
    given = params()
    del given["expires_at"]
    session = client.v1.checkout.sessions.create(given)
    assert session.expires_at - session.created == 24 * 3600


def test_live_mode_comes_from_the_key(client_for, params):
    session = client_for("rk_live_agency42").v1.checkout.sessions.create(params())
    assert session.livemode is True
    assert session.id.startswith("cs_live_")


def test_line_items(client, params):
    given = params()
    item = {**given["line_items"][0], "quantity": 2}
    session = client.v1.checkout.sessions.create(
        params(line_items=[item, given["line_items"][0]]),
    )
    assert session.amount_total == 3 * 12345
    lines = client.v1.checkout.sessions.line_items.list(session.id)
    assert [line.amount_total for line in lines.data] == [2 * 12345, 12345]
    assert lines.data[0].description == "New website"
    assert lines.data[0].price.unit_amount == 12345
    expanded = client.v1.checkout.sessions.retrieve(session.id, {"expand": ["line_items"]})
    assert len(expanded.line_items.data) == 2


REFUSED = {
    "unknown": ({"surprise": "x"}, "parameter_unknown", "surprise"),
    "nested unknown": (
        {"payment_intent_data": {"surprise": "x"}},
        "parameter_unknown",
        "payment_intent_data[surprise]",
    ),
    "methods": (
        {"payment_method_types": ["card"]},
        "payment_method_types_no_longer_supported",
        "payment_method_types",
    ),
    "mode": ({"mode": "gift"}, None, "mode"),
    "subscription": ({"mode": "subscription"}, None, "customer_creation"),
    "setup": ({"mode": "setup"}, None, "mode"),
    "url": ({"success_url": "site.example"}, "url_invalid", "success_url"),
    "script": ({"cancel_url": "javascript:alert(1)"}, "url_invalid", "cancel_url"),
    "empty": ({"client_reference_id": ""}, "parameter_invalid_empty", "client_reference_id"),
    "long": (
        {"client_reference_id": "x" * 201},
        "parameter_invalid_string_too_long",
        "client_reference_id",
    ),
    "email": ({"customer_email": "nobody"}, "email_invalid", "customer_email"),
    "boolean": ({"adaptive_pricing": {"enabled": 1}}, None, "adaptive_pricing[enabled]"),
    "hash": ({"metadata": "text"}, None, "metadata"),
    "key": ({"metadata": {"k" * 41: "x"}}, None, f"metadata[{'k' * 41}]"),
    "value": (
        {"metadata": {"k": "x" * 501}},
        "parameter_invalid_string_too_long",
        "metadata[k]",
    ),
    "keys": ({"metadata": {str(n): "x" for n in range(51)}}, None, "metadata"),
    "locale": ({"locale": "tlh"}, None, "locale"),
    "terms": (
        {"consent_collection": {"terms_of_service": "required"}},
        None,
        "consent_collection[terms_of_service]",
    ),
    "tax": ({"automatic_tax": {"enabled": True}}, None, "automatic_tax[enabled]"),
    "subscription data": ({"subscription_data": {"description": "x"}}, None, "subscription_data"),
    "no items": ({"line_items": []}, "parameter_missing", "line_items"),
    "too soon": ({"expires_at": lambda now: now + 30 * 60 - 5}, None, "expires_at"),
    "too late": ({"expires_at": lambda now: now + 24 * 3600 + 60}, None, "expires_at"),
    "no number": ({"expires_at": "tomorrow"}, "parameter_invalid_integer", "expires_at"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_session_is_refused(client, params, case):
    changes, code, param = REFUSED[case]
    now = int(time.time())
    changes = {key: value(now) if callable(value) else value for key, value in changes.items()}
    with pytest.raises(stripe.InvalidRequestError) as caught:
        client.v1.checkout.sessions.create(params(**changes))
    assert caught.value.http_status == 400
    assert (caught.value.code, caught.value.param) == (code, param)
    assert books.sessions() == []


@pytest.mark.parametrize("name", ["mode", "line_items", "success_url"])
def test_required_parameters(client, params, name):
    given = params()
    del given[name]
    with pytest.raises(stripe.InvalidRequestError) as caught:
        client.v1.checkout.sessions.create(given)
    assert (caught.value.code, caught.value.param) == ("parameter_missing", name)


PRICES = {
    "upper case": ({"currency": "EUR"}, None, "[currency]"),
    "no currency": ({"currency": "xyz"}, None, "[currency]"),
    "zero": ({"unit_amount": 0}, "parameter_invalid_integer", "[unit_amount]"),
    "negative": ({"unit_amount": -5}, "parameter_invalid_integer", "[unit_amount]"),
    "decimals": ({"unit_amount": "12.50"}, "parameter_invalid_integer", "[unit_amount]"),
    "three decimals": (
        {"currency": "kwd", "unit_amount": 12345},
        "parameter_invalid_integer",
        "[unit_amount]",
    ),
    "krona": (
        {"currency": "isk", "unit_amount": 550},
        "parameter_invalid_integer",
        "[unit_amount]",
    ),
    "recurring": ({"recurring": {"interval": "month"}}, None, "[recurring]"),
    "stored product": ({"product": "prod_1"}, "resource_missing", "[product]"),
    "no name": (
        {"product_data": {"description": "x"}},
        "parameter_missing",
        "[product_data][name]",
    ),
    "unit label": (
        {"product_data": {"name": "x", "unit_label": "x" * 13}},
        "parameter_invalid_string_too_long",
        "[product_data][unit_label]",
    ),
}


@pytest.mark.parametrize("case", PRICES)
def test_price_is_refused(client, params, case):
    changes, code, where = PRICES[case]
    given = params()
    given["line_items"][0]["price_data"].update(changes)
    with pytest.raises(stripe.InvalidRequestError) as caught:
        client.v1.checkout.sessions.create(given)
    assert (caught.value.code, caught.value.param) == (code, f"line_items[0][price_data]{where}")


def test_items_need_a_price_and_one_currency(client, params):
    item = params()["line_items"][0]
    other = {**item, "price_data": {**item["price_data"], "currency": "usd"}}
    for items in ([{"quantity": 1}], [{"price": "price_1", "quantity": 1}], [item, other]):
        with pytest.raises(stripe.InvalidRequestError):
            client.v1.checkout.sessions.create(params(line_items=items))


@pytest.mark.parametrize(
    ("amount", "currency", "code"),
    [
        (49, "eur", "amount_too_small"),
        (1499, "czk", "amount_too_small"),
        (10**12, "eur", "amount_too_large"),
    ],
)
def test_amounts_have_bounds(client, params, amount, currency, code):
    with pytest.raises(stripe.InvalidRequestError) as caught:
        client.v1.checkout.sessions.create(params(amount, currency))
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("amount", "currency"), [(50, "eur"), (50, "jpy"), (500, "isk"), (12340, "kwd")]
)
def test_amounts_in_several_currencies(client, params, amount, currency):
    session = client.v1.checkout.sessions.create(params(amount, currency))
    assert (session.amount_total, session.currency) == (amount, currency)


def test_broken_bodies(server):
    for body in ("a[b]=1&a=2", "a=1&a[b]=2", "[x]=1", "line_items=5&mode=payment", "expand=x"):
        answer = requests.post(
            f"{server.base}/v1/checkout/sessions",
            data=body,
            auth=(KEY, ""),
            headers={"Content-Type": "application/x-www-form-urlencoded"},
            timeout=10,
        )
        assert answer.status_code == 400
        assert answer.json()["error"]["type"] == "invalid_request_error"


def test_expire_once(client, session):
    expired = client.v1.checkout.sessions.expire(session.id)
    assert (expired.status, expired.url) == ("expired", None)
    with pytest.raises(stripe.InvalidRequestError, match="`expired`"):
        client.v1.checkout.sessions.expire(session.id)
    assert [event["type"] for event in books.events()] == ["checkout.session.expired"]


def test_a_paid_session_cannot_be_expired(client, session):
    checkout.pay(session.id)
    with pytest.raises(stripe.InvalidRequestError, match="`complete`"):
        client.v1.checkout.sessions.expire(session.id)


def test_what_is_not_mine_is_not_there(client_for, session):
    checkout.pay(session.id)
    paid = client_for().v1.checkout.sessions.retrieve(session.id)
    for key in ("rk_test_somebodyelse", KEY.replace("_test_", "_live_")):
        other = client_for(key)
        for read in (
            lambda c: c.v1.checkout.sessions.retrieve(session.id),
            lambda c: c.v1.checkout.sessions.line_items.list(session.id),
            lambda c: c.v1.checkout.sessions.expire(session.id),
            lambda c: c.v1.payment_intents.retrieve(paid.payment_intent),
            lambda c: c.v1.checkout.sessions.list({"starting_after": session.id}),
        ):
            with pytest.raises(stripe.InvalidRequestError) as caught:
                read(other)
            assert (caught.value.http_status, caught.value.code) == (404, "resource_missing")
        assert other.v1.checkout.sessions.list().data == []
        assert other.v1.events.list().data == []


def test_list_sessions(client, params):
    made = [client.v1.checkout.sessions.create(params()).id for _ in range(5)]
    newest_first = made[::-1]
    page = client.v1.checkout.sessions.list({"limit": 2})
    assert [s.id for s in page.data] == newest_first[:2]
    assert page.has_more
    assert [s.id for s in page.auto_paging_iter()] == newest_first
    after = client.v1.checkout.sessions.list({"starting_after": made[1]})
    assert [s.id for s in after.data] == made[:1]
    before = client.v1.checkout.sessions.list({"ending_before": made[2], "limit": 1})
    assert [s.id for s in before.data] == [made[3]]
    paid = checkout.pay(made[2]).session
    client.v1.checkout.sessions.expire(made[0])
    by_status = {
        status: [s.id for s in client.v1.checkout.sessions.list({"status": status}).data]
        for status in ("open", "complete", "expired")
    }
    assert by_status == {
        "open": [made[4], made[3], made[1]],
        "complete": [made[2]],
        "expired": [made[0]],
    }
    found = client.v1.checkout.sessions.list({"payment_intent": paid["payment_intent"]})
    assert [s.id for s in found.data] == [made[2]]
    later = {"created": {"gt": int(time.time()) + 60}}
    assert client.v1.checkout.sessions.list(later).data == []
    with pytest.raises(stripe.InvalidRequestError):
        client.v1.checkout.sessions.list({"limit": 101})
    with pytest.raises(stripe.InvalidRequestError):
        client.v1.checkout.sessions.list({"colour": "red"})


def test_payment_intent_and_charge(client, session):
    checkout.pay(session.id)
    paid = client.v1.checkout.sessions.retrieve(session.id)
    assert (paid.status, paid.payment_status, paid.url) == ("complete", "paid", None)
    intent = client.v1.payment_intents.retrieve(paid.payment_intent, {"expand": ["latest_charge"]})
    assert (intent.status, intent.amount_received, intent.currency) == ("succeeded", 12345, "eur")
    assert intent.metadata["wcb_request"] == "request-1"
    assert intent.description == "BR-1"
    card = intent.latest_charge.payment_method_details.card
    assert (card.brand, card.last4) == ("visa", "4242")
    charge = client.v1.charges.retrieve(intent.latest_charge.id, {"expand": ["payment_intent"]})
    assert charge.payment_intent.id == intent.id
    assert (charge.status, charge.amount_captured) == ("succeeded", 12345)
    assert [i.id for i in client.v1.payment_intents.list().data] == [intent.id]
    assert [c.id for c in client.v1.charges.list({"payment_intent": intent.id}).data] == [charge.id]
    assert client.v1.charges.list({"payment_intent": "pi_other"}).data == []
    deep = client.v1.checkout.sessions.list(
        {"expand": ["data.payment_intent.latest_charge", "data.customer"]}
    )
    assert deep.data[0].payment_intent.latest_charge.id == charge.id


def test_what_cannot_be_expanded(client, session):
    for path in ("nonsense", "metadata", "payment_intent.nonsense.deeper", "data"):
        if path.startswith("payment_intent"):
            checkout.pay(session.id)
        with pytest.raises(stripe.InvalidRequestError, match="cannot be expanded"):
            client.v1.checkout.sessions.retrieve(session.id, {"expand": [path]})


def test_a_customer_is_made_when_asked_for(client, params):
    session = client.v1.checkout.sessions.create(params(customer_creation="always"))
    checkout.pay(session.id)
    assert client.v1.checkout.sessions.retrieve(session.id).customer.startswith("cus_")


def test_webhook_endpoint_life(client, client_for):
    made = client.v1.webhook_endpoints.create(
        {
            "url": "http://localhost:8000/hook/",
            "enabled_events": ["checkout.session.completed"],
            "api_version": stripe.api_version,
            "description": "wagtail-client-billing",
            "metadata": {"wcb_endpoint": "1"},
        }
    )
    assert made.secret.startswith("whsec_")
    read = client.v1.webhook_endpoints.retrieve(made.id)
    assert "secret" not in read and read.status == "enabled"
    assert [e.id for e in client.v1.webhook_endpoints.list().data] == [made.id]
    changed = client.v1.webhook_endpoints.update(
        made.id,
        {
            "disabled": True,
            "enabled_events": ["*"],
            "metadata": {"more": "2"},
            "description": "",
            "url": "http://localhost:8001/",
        },
    )
    assert (changed.status, changed.enabled_events, changed.description) == (
        "disabled",
        ["*"],
        None,
    )
    assert changed.metadata.to_dict() == {"wcb_endpoint": "1", "more": "2"}
    with pytest.raises(stripe.InvalidRequestError):
        client_for("rk_test_somebodyelse").v1.webhook_endpoints.delete(made.id)
    assert client.v1.webhook_endpoints.delete(made.id).deleted
    with pytest.raises(stripe.InvalidRequestError) as caught:
        client.v1.webhook_endpoints.retrieve(made.id)
    assert caught.value.http_status == 404


@pytest.mark.parametrize(
    "changes",
    [
        {"url": "nowhere"},
        {"enabled_events": ["nonsense"]},
        {"enabled_events": []},
        {"connect": "perhaps"},
        {"api_version": "1999-01-01"},
        {"colour": "red"},
    ],
)
def test_webhook_endpoint_is_refused(client, changes):
    with pytest.raises(stripe.InvalidRequestError):
        client.v1.webhook_endpoints.create(
            {"url": "http://localhost/", "enabled_events": ["*"], **changes}
        )


def test_live_endpoints_need_https_except_on_this_computer(client_for):
    live = client_for("rk_live_agency42")
    for url in ("http://localhost/hook/", "https://site.example/hook/"):
        assert live.v1.webhook_endpoints.create({"url": url, "enabled_events": ["*"]}).livemode
    with pytest.raises(stripe.InvalidRequestError) as caught:
        live.v1.webhook_endpoints.create({"url": "http://site.example/", "enabled_events": ["*"]})
    assert caught.value.code == "url_invalid"


def test_events(client, session):
    checkout.pay(session.id)
    listed = client.v1.events.list()
    assert [event.type for event in listed.data] == [
        "checkout.session.completed",
        "payment_intent.succeeded",
        "charge.succeeded",
    ]
    event = client.v1.events.retrieve(listed.data[0].id)
    assert event.data.object.id == session.id
    assert event.data.object.payment_status == "paid"
    assert event.livemode is False and event.api_version == stripe.api_version
    assert "account" not in event
    one = client.v1.events.list({"type": "charge.succeeded"})
    assert [e.type for e in one.data] == ["charge.succeeded"]
    two = client.v1.events.list({"types": ["charge.succeeded", "payment_intent.succeeded"]})
    assert len(two.data) == 2
    assert client.v1.events.list({"created": {"lt": 1000}}).data == []
    with pytest.raises(stripe.InvalidRequestError):
        client.v1.events.retrieve("evt_none")


def test_events_by_their_delivery(client, receiver, session):
    checkout.decline(session.id)  # before there is an endpoint

    def types(**given):
        return [event.type for event in client.v1.events.list(given).auto_paging_iter()]

    quiet = ["payment_intent.payment_failed", "charge.failed"]
    assert types(delivery_success=True) == quiet and types(delivery_success=False) == []
    client.v1.webhook_endpoints.create({"url": receiver.url, "enabled_events": ["*"]})
    faults.add("swallow", path="payment_intent")
    receiver.statuses += [500]
    checkout.pay(session.id)
    paid = ["checkout.session.completed", "payment_intent.succeeded", "charge.succeeded"]
    assert types(delivery_success=False) == paid
    deliveries.deliver_due()
    assert types(delivery_success=False) == paid[1:]
    assert types(delivery_success=True) == paid[:1] + quiet
    assert types(delivery_success=False, types=["charge.succeeded"], limit=1) == paid[2:]
    deliveries.deliver_due(ignore_back_off=True)
    swallowed = client.v1.events.list({"delivery_success": False}).data
    assert [event.type for event in swallowed] == paid[1:2]
    assert swallowed[0].pending_webhooks == 1
    receiver.statuses += [500]
    deliveries.fire_again(swallowed[0].id)
    deliveries.deliver_due()
    assert client.v1.events.retrieve(swallowed[0].id).pending_webhooks == 1
    deliveries.deliver_due(ignore_back_off=True)
    assert types(delivery_success=False) == []


def test_events_of_a_group(client, session):
    checkout.pay(session.id)
    found = client.v1.events.list({"type": "checkout.session.*"})
    assert [event.type for event in found.data] == ["checkout.session.completed"]


def test_every_call_is_logged(client, session):
    call = books.api_calls()[-1]
    assert (call["method"], call["path"], call["status"]) == ("POST", "/v1/checkout/sessions", 200)
    assert call["idempotency_key"]  # the SDK makes one up
    assert call["params"]["mode"] == "payment"
    assert not call["replayed"] and call["fault"] == ""


def test_country_specs(client):
    everywhere = client.v1.country_specs.retrieve("FR")
    assert (everywhere.id, everywhere.default_currency) == ("FR", "eur")
    assert {"eur", "usd", "jpy"} <= set(everywhere.supported_payment_currencies)
    assert client.v1.country_specs.retrieve("BR").supported_payment_currencies == ["brl"]
    for unknown in ("XYZ", "1"):
        with pytest.raises(stripe.InvalidRequestError) as refused:
            client.v1.country_specs.retrieve(unknown)
        assert refused.value.http_status == 404
