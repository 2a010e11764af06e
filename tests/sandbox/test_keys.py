"""Rights and revocation of keys."""

import re

import pytest
import stripe

from wagtail_client_billing.sandbox import checkout, keys

RIGHT = re.compile(r"Having the '(rak_[a-z_]+)' permission")
CALLS = {
    "checkout_session_write": lambda c: c.v1.checkout.sessions.expire("cs_wcb_probe"),
    "checkout_session_read": lambda c: c.v1.checkout.sessions.retrieve("cs_none"),
    "payment_intent_read": lambda c: c.v1.payment_intents.retrieve("pi_none"),
    "charge_read": lambda c: c.v1.charges.retrieve("ch_none"),
    "refund_write": lambda c: c.v1.refunds.create({"payment_intent": "pi_none"}),
    "refund_read": lambda c: c.v1.refunds.retrieve("re_none"),
    "dispute_read": lambda c: c.v1.disputes.retrieve("du_none"),
    "subscription_write": lambda c: c.v1.subscriptions.cancel("sub_none"),
    "subscription_read": lambda c: c.v1.subscriptions.retrieve("sub_none"),
    "invoice_read": lambda c: c.v1.invoices.retrieve("in_none"),
    "customer_portal_write": lambda c: c.v1.billing_portal.sessions.create({"customer": "cus_no"}),
    "customer_portal_read": lambda c: c.v1.billing_portal.configurations.list(
        {"starting_after": "bpc_none"}
    ),
    "webhook_write": lambda c: c.v1.webhook_endpoints.delete("we_none"),
    "webhook_read": lambda c: c.v1.webhook_endpoints.retrieve("we_none"),
    "event_read": lambda c: c.v1.events.retrieve("evt_none"),
    "connected_account_read": lambda c: c.v1.accounts.retrieve_current(),
}


@pytest.fixture
def account(client):
    return client.v1.accounts.retrieve_current().id


def test_every_right_has_a_call():
    assert set(CALLS) == set(keys.RIGHTS)


@pytest.mark.parametrize("right", keys.RIGHTS)
def test_a_missing_right_is_named(client_for, account, right):
    client = client_for(keys.make_key(account, without=[right]))
    with pytest.raises(stripe.PermissionError) as caught:
        CALLS[right](client)
    assert caught.value.http_status == 403
    assert RIGHT.search(caught.value.user_message)[1] == f"rak_{right}"


@pytest.mark.parametrize("right", sorted(set(keys.RIGHTS) - {"connected_account_read"}))
def test_with_the_right_it_is_a_404(client_for, account, right):
    with pytest.raises(stripe.InvalidRequestError) as caught:
        CALLS[right](client_for(keys.make_key(account)))
    assert (caught.value.http_status, caught.value.code) == (404, "resource_missing")


def test_the_right_comes_before_parameters_and_existence(client_for, account):
    client = client_for(keys.make_key(account, without=["checkout_session_write"]))
    with pytest.raises(stripe.PermissionError):
        client.v1.checkout.sessions.create({"nonsense": "x"})
    with pytest.raises(stripe.PermissionError):
        client.v1.checkout.sessions.expire("cs_wcb_probe")
    assert client.v1.checkout.sessions.list({"limit": 1}).data == []


def test_without_reading_there_is_no_writing(client_for, account):
    client = client_for(keys.make_key(account, without=["webhook_read"]))
    with pytest.raises(stripe.PermissionError):
        CALLS["webhook_write"](client)


def test_expanding_needs_the_right_of_what_is_expanded(client_for, account, session):
    checkout.pay(session.id)
    client = client_for(keys.make_key(account, without=["charge_read"]))
    intent = client.v1.checkout.sessions.retrieve(session.id).payment_intent
    assert client.v1.payment_intents.retrieve(intent).latest_charge
    with pytest.raises(stripe.PermissionError, match="rak_charge_read"):
        client.v1.payment_intents.retrieve(intent, {"expand": ["latest_charge"]})


def test_further_keys_see_the_same_objects(client_for, account, session):
    other = client_for(keys.make_key(account, kind="sk"))
    assert other.v1.checkout.sessions.retrieve(session.id).id == session.id
    live = client_for(keys.make_key(account, livemode=True))
    assert live.v1.accounts.retrieve_current().id == account
    assert live.v1.checkout.sessions.list().data == []


def test_a_secret_key_may_everything(client_for, account):
    key = keys.make_key(account, kind="sk", without=["event_read"])
    assert client_for(key).v1.events.list().data == []


def test_a_revoked_key_is_401(client_for, account):
    key = keys.make_key(account)
    client = client_for(key)
    client.v1.accounts.retrieve_current()
    keys.revoke_key(key)
    with pytest.raises(stripe.AuthenticationError) as caught:
        client.v1.accounts.retrieve_current()
    assert caught.value.error.code == "api_key_expired"
    assert key not in str(caught.value)


def test_a_key_can_be_revoked_before_its_first_use(client_for):
    keys.revoke_key("rk_test_neverused")
    with pytest.raises(stripe.AuthenticationError):
        client_for("rk_test_neverused").v1.accounts.retrieve_current()


def test_mistakes_in_python():
    with pytest.raises(LookupError):
        keys.make_key("acct_none")
    with pytest.raises(ValueError, match="Unknown rights"):
        keys.make_key("acct_none", without=["everything"])
    with pytest.raises(ValueError, match="Not a key"):
        keys.revoke_key("hello")
    with pytest.raises(LookupError):
        keys.change_account(
            "acct_none",
            name="x",
            country="DE",
            default_currency="eur",
            charges_enabled=True,
            details_submitted=True,
        )
