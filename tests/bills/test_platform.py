"""The operator's platform: accounts made or linked through it, and what they can do."""

import json
import logging
import sys
from datetime import timedelta
from urllib.parse import urlsplit

import pytest
import time_machine
from django.conf import settings
from django.test import Client, override_settings
from django.utils import timezone
from django.views.debug import ExceptionReporter

from tests.bills.conftest import Making
from wagtail_client_billing import lifecycle, sealing, tasks
from wagtail_client_billing.errors import (
    AccountLost,
    CopyOfProduction,
    NotConnected,
    StripeRefused,
    StripeUnavailable,
)
from wagtail_client_billing.gateway import connect, oauth, onboarding, webhooks
from wagtail_client_billing.gateway.checkout import open_checkout
from wagtail_client_billing.gateway.client import api_for
from wagtail_client_billing.gateway.connect import KeyRefused
from wagtail_client_billing.gateway.platform import give_back
from wagtail_client_billing.gateway.platform_endpoints import (
    PLATFORM_EVENTS,
    by_hand_url,
    ensure_platform_endpoint,
)
from wagtail_client_billing.models import StripeConnection, StripeEvent, WebhookEndpoint
from wagtail_client_billing.sandbox import books, faults, keys, platforms

SECRET = "sk_test_theOperatorsPlatform"
PLATFORM = {
    "test": {"secret_key": SECRET, "client_id": "ca_test_ofThePlatform"},
    "live": {"secret_key": "sk_live_theOperatorsPlatform", "client_id": "ca_live_ofThePlatform"},
}
TYPED = {
    "livemode": False,
    "country": "FR",
    "privacy_policy_url": "https://atelier.test/privacy",
    "terms_url": "https://atelier.test/terms",
    "user": None,
}
FLOWS = ["restricted_key", "connect", "oauth"]
V2 = "/v2/core/accounts"


def with_platform(**changed):
    ours = {**settings.WAGTAIL_CLIENT_BILLING, "CONNECT_FLOWS": FLOWS, "PLATFORM": PLATFORM}
    return override_settings(WAGTAIL_CLIENT_BILLING={**ours, **changed})


@pytest.fixture(autouse=True)
def platform(world, db):
    with with_platform():
        yield


@pytest.fixture
def begun(agency):
    return onboarding.begin(**TYPED)


def press(url, action):
    """The owner of the new account answers, or does not."""
    return Client().post(urlsplit(url).path, {"action": action})


@pytest.fixture
def connection(begun):
    """An account that the platform has made, and that may take payments."""
    press(onboarding.go_on(begun), "finish")
    connect.read_again(begun)
    return begun


def code_for(account="new", **asked):
    """What OAuth comes back with once the owner has agreed."""
    query = {
        "response_type": "code",
        "client_id": "ca_test_ofThePlatform",
        "redirect_uri": "http://localhost/",
        **asked,
    }
    answer = Client().post(
        "/sandbox/stripe/oauth/authorize",
        {"action": "approve", "account": account},
        query_params=query,
    )
    return answer["Location"].partition("code=")[2]


def calls(path, method="POST", **filters):
    return [c for c in books.api_calls(method=method, **filters) if c["path"] == path]


def event_of(type):
    return books.events(type)[-1]


def deliver(world, event, endpoint, **changed):
    """A delivery to the platform's endpoint names the account."""
    assert world.deliver(event, endpoint, **changed).status_code == 200
    row = StripeEvent.objects.get(event_id=event["id"], endpoint=endpoint)
    webhooks.process(row)
    return row


def endpoint_of(livemode=False):
    return WebhookEndpoint.objects.get(connection=None, livemode=livemode, state="active")


# --- A new account --------------------------------------------------------------------------


def test_from_the_row_to_an_account_that_can_charge(begun, agency):
    assert (begun.account_id, begun.ready, begun.unfinished) == ("", False, True)
    assert books.api_calls() == []
    url = onboarding.go_on(begun)
    assert begun.account_id.startswith("acct_")
    (made,) = calls(V2)
    assert made["idempotency_key"] == begun.idempotency_key
    assert made["params"]["identity"] == {"country": "fr"}
    assert made["params"]["contact_email"] == agency.contact_email
    (endpoint,) = books.endpoints()
    assert set(endpoint["enabled_events"]) == set(PLATFORM_EVENTS)

    press(url, "half")
    connect.read_again(begun)
    assert begun.unfinished and begun.requirements == list(platforms.DUE[2:])
    assert begun.account_name == "Atelier Web"
    assert not StripeConnection.objects.ready().exists()
    with pytest.raises(NotConnected):
        lifecycle.create_request(
            site=None,
            connection=begun,
            email="client@bakery.test",
            currency="EUR",
            amount_minor=100,
            success_url="https://bakery.test/thanks",
            cancel_url="https://bakery.test/cancelled",
        )

    press(onboarding.go_on(begun), "review")
    connect.read_again(begun)
    assert (begun.unfinished, begun.ready, begun.requirements) == (False, False, [])
    keys.change_account(
        begun.account_id,
        name="Atelier",
        country="DE",
        default_currency="chf",
        charges_enabled=True,
        details_submitted=True,
    )
    connect.read_again(begun)
    assert begun.ready and StripeConnection.objects.ready().get() == begun
    assert (begun.country, begun.default_currency) == ("DE", "CHF")
    assert len(calls(V2)) == len(books.endpoints()) == 1


@pytest.mark.parametrize(
    ("fault", "path"),
    [
        ("lost", V2),
        ("503", V2),
        ("lost", "/v1/webhook_endpoints"),
        ("503", "/v2/core/account_links"),
    ],
)
def test_rule_4_the_next_click_goes_on_with_the_same_account(begun, fault, path):
    faults.add(fault, path=path, method="POST", times=3)
    try:
        onboarding.go_on(begun)
    except StripeUnavailable:
        begun.refresh_from_db()
    assert begun.unfinished
    faults.clear()
    again = onboarding.begin(**{**TYPED, "country": "DE", "terms_url": "https://atelier.test/2"})
    assert again.pk == begun.pk and again.terms_url == "https://atelier.test/2"
    assert onboarding.go_on(again)
    assert StripeConnection.objects.count() == 1
    assert len(platforms.connected()) == 1
    WebhookEndpoint.objects.update(created_at=timezone.now() - timedelta(minutes=3))
    tasks.sweep()
    assert endpoint_of().stripe_id == books.endpoints()[0]["id"]
    assert len(books.endpoints()) == 1


@pytest.mark.parametrize("fault", ["500", "401"])
def test_an_account_that_is_refused_is_forgotten_and_can_be_begun_again(begun, fault):
    faults.add(fault, path=V2, times=3)
    with pytest.raises(StripeRefused):
        onboarding.go_on(begun)
    begun.refresh_from_db()
    assert begun.unlinked_at and not begun.broken_at
    again = onboarding.begin(**TYPED)
    assert again.pk != begun.pk
    faults.clear()
    assert onboarding.go_on(again)


def test_starting_over_forgets_the_row_and_deletes_nothing(begun):
    onboarding.go_on(begun)
    onboarding.start_over(begun)
    assert begun.unlinked_at and platforms.connected(account=begun.account_id, ended_at=None)
    other = onboarding.begin(**TYPED)
    onboarding.go_on(other)
    assert other.account_id != begun.account_id
    tasks.sweep()
    assert platforms.connected(account=begun.account_id, ended_at=None)


def test_what_is_finished_cannot_be_started_over(connection):
    onboarding.start_over(connection)
    assert connection.usable and connection.unlinked_at is None
    with pytest.raises(KeyRefused, match="Another account"):
        onboarding.begin(**TYPED)


def test_a_key_cannot_take_the_place_of_an_account_that_is_being_set_up(begun):
    with pytest.raises(KeyRefused, match="start over"):
        connect.connect_with_key(key="rk_test_bills_0123456789", **TYPED)


def test_without_the_operators_key_nothing_is_begun(world):
    with with_platform(PLATFORM={}), pytest.raises(NotConnected, match="test mode"):
        onboarding.begin(**TYPED)
    assert not StripeConnection.objects.exists()


# --- A bill through the platform ------------------------------------------------------------


def test_a_bill_is_paid_through_the_platform_and_its_webhook(world, connection, site, agency):
    bill = Making(site, connection)()
    assert open_checkout(bill.pk).url
    world.pay(bill)
    event = event_of("checkout.session.completed")
    row = deliver(world, event, endpoint_of(), account=connection.account_id)
    assert row.state == "processed"
    bill.refresh_from_db()
    assert bill.status == "paid"
    assert bill.account_id == connection.account_id
    assert {c["account"] for c in books.api_calls() if "checkout" in c["path"]} == {
        connection.account_id
    }


def test_every_call_names_the_account(connection):
    api = api_for(connection)
    session = api.call(lambda client: client.v1.checkout.sessions.list({"limit": 1}))
    assert session["data"] == []
    assert books.api_calls()[-1]["account"] == connection.account_id
    with with_platform(PLATFORM={}), pytest.raises(NotConnected, match="platform key"):
        api_for(connection)


@pytest.mark.parametrize(
    ("changed", "state"),
    [
        ({"account": "acct_of_somebody_else"}, "not_ours"),
        ({"livemode": True}, "refused"),
    ],
)
def test_events_of_others_touch_nothing(world, connection, site, agency, changed, state):
    bill = Making(site, connection)()
    open_checkout(bill.pk)
    world.pay(bill)
    event = event_of("checkout.session.completed")
    before = len(books.api_calls())
    changed = {"account": connection.account_id, **changed}
    assert deliver(world, event, endpoint_of(), **changed).state == state
    assert len(books.api_calls()) == before


def test_rule_12_test_events_at_the_live_endpoint_find_the_test_account(
    world, connection, site, agency
):
    live = ensure_platform_endpoint(True)
    bill = Making(site, connection)()
    open_checkout(bill.pk)
    world.pay(bill)
    event = event_of("checkout.session.completed")
    row = deliver(world, event, live, account=connection.account_id)
    assert row.state == "processed"
    bill.refresh_from_db()
    assert bill.status == "paid"


def test_an_account_with_a_key_of_its_own_is_not_the_platforms(world, begun, agency):
    onboarding.go_on(begun)
    onboarding.start_over(begun)
    own = connect.connect_with_key(key="rk_test_bills_0123456789", **TYPED)
    event = {**event_of_updated(own.account_id)}
    assert deliver(world, event, endpoint_of(), account=own.account_id).state == "not_ours"


def event_of_updated(account):
    return {
        "id": "evt_1",
        "object": "event",
        "type": "account.updated",
        "livemode": False,
        "data": {"object": {"id": account, "object": "account"}},
    }


# --- Events about the account itself --------------------------------------------------------


def test_an_update_of_the_account_is_read_from_stripe(world, begun):
    press(onboarding.go_on(begun), "finish")
    event = event_of("account.updated")
    row = deliver(world, event, endpoint_of(), account=begun.account_id)
    begun.refresh_from_db()
    assert row.state == "processed" and begun.ready


def test_a_thin_event_of_v2_names_the_account_as_its_object(world, begun):
    press(onboarding.go_on(begun), "finish")
    event = {
        "id": "evt_v2",
        "object": "v2.core.event",
        "type": "v2.core.account[requirements].updated",
        "livemode": False,
        "created": "2026-11-22T00:00:00Z",
        "related_object": {"id": begun.account_id, "type": "v2.core.account", "url": "/"},
    }
    row = deliver(world, event, endpoint_of())
    begun.refresh_from_db()
    assert row.state == "processed" and begun.ready


def end_at_stripe(connection):
    platforms.disconnect_by_owner(
        keys.identify(SECRET).account, connection.account_id, connection.livemode
    )


def test_rule_6_deauthorized_at_stripe_is_broken_and_sending_stops(world, connection, site, agency):
    endpoint = endpoint_of()
    claim = {
        **event_of_updated(connection.account_id),
        "type": "account.application.deauthorized",
        "data": {"object": {"id": "ca_1", "object": "application"}},
    }
    # Merely said so: nothing of it is true.
    deliver(world, claim, endpoint, account=connection.account_id)
    connection.refresh_from_db()
    assert connection.ready
    end_at_stripe(connection)
    event = event_of("account.application.deauthorized")
    row = deliver(world, event, endpoint, account=connection.account_id)
    connection.refresh_from_db()
    assert (row.state, connection.usable) == ("processed", False)
    assert "no longer connected" in connection.broken_why
    assert not StripeConnection.objects.ready().exists()


def test_deauthorized_is_found_without_any_event(world, connection, site, agency):
    bill = Making(site, connection)()
    end_at_stripe(connection)
    with pytest.raises(AccountLost, match="no longer connected"):
        open_checkout(bill.pk)
    connection.refresh_from_db()
    assert connection.broken_at
    assert bill.log_entries.exists()


def test_a_revoked_platform_key_is_said_to_be_the_operators_matter(connection):
    keys.revoke_key(SECRET)
    with pytest.raises(AccountLost, match="key of our platform"):
        connect.check(connection)


def test_requirements_are_read_once_a_day(connection):
    keys.change_account(
        connection.account_id,
        name="Atelier",
        country="FR",
        default_currency="eur",
        charges_enabled=False,
        details_submitted=False,
    )
    before = len(books.api_calls())
    tasks.sweep()
    assert len(books.api_calls()) == before
    with time_machine.travel(timezone.now() + timedelta(hours=25), tick=False):
        tasks.sweep()
        tasks.sweep()
    assert len(calls(f"{V2}/{connection.account_id}", "GET")) == 2
    connection.refresh_from_db()
    assert not connection.charges_enabled and connection.requirements
    assert not connection.unfinished, "it had been finished once: it is unlinked, not forgotten"


# --- OAuth ----------------------------------------------------------------------------------


@pytest.fixture
def own_account():
    return keys.identify("rk_test_ownAccountOfTheAgency").account


def test_a_linked_account_keeps_its_id_and_mode_and_no_token(own_account, caplog):
    caplog.set_level(logging.DEBUG)
    made = oauth.connect_with_code(code=code_for(own_account), **TYPED)
    assert (made.account_id, made.livemode, made.flow) == (own_account, False, "oauth")
    assert (made.country, made.default_currency) == ("DE", "EUR"), "the account's own"
    assert made.ready and made.sealed_key == ""
    assert endpoint_of()
    row = json.dumps(StripeConnection.objects.filter(pk=made.pk).values().get(), default=str)
    for kept in (row, caplog.text):
        assert "access_token" not in kept and "sk_test_" not in kept


def test_a_code_works_once(own_account):
    code = code_for(own_account)
    made = oauth.connect_with_code(code=code, **TYPED)
    connect.unlink(made)
    with pytest.raises(oauth.CodeRefused):
        oauth.connect_with_code(code=code, **TYPED)
    made.refresh_from_db()
    assert made.unlinked_at


def test_an_account_of_the_other_mode_is_let_go_again(own_account):
    swapped = {"test": PLATFORM["live"], "live": PLATFORM["test"]}
    with with_platform(PLATFORM=swapped), pytest.raises(oauth.OtherMode):
        oauth.connect_with_code(code=code_for(own_account), **TYPED)
    assert not StripeConnection.objects.exists()


def test_a_second_account_is_refused_before_stripe_is_asked(own_account, begun):
    before = len(books.api_calls())
    for call in (
        lambda: oauth.authorize_url(livemode=False, state="s", country="FR", email=""),
        lambda: oauth.connect_with_code(code="ac_1", **TYPED),
    ):
        with pytest.raises(KeyRefused, match="start over"):
            call()
    assert len(books.api_calls()) == before


def test_without_a_client_id_there_is_no_oauth():
    keys_only = {"test": {"secret_key": SECRET}}
    with with_platform(PLATFORM=keys_only), pytest.raises(NotConnected):
        oauth.authorize_url(livemode=False, state="s", country="FR", email="")


# --- Unlinking ------------------------------------------------------------------------------


def test_unlinking_ends_the_platforms_access_and_nothing_is_asked_again(
    world, connection, site, agency
):
    bill = Making(site, connection)()
    open_checkout(bill.pk)
    report = connect.unlink(connection)
    connection.refresh_from_db()
    assert report.still_allowed == "" and connection.let_go_at
    assert world.payable(bill) == []
    assert platforms.connected(ended_at=None) == []
    with pytest.raises(NotConnected):
        api_for(connection)
    assert endpoint_of(), "it is the operator's, and serves other accounts"
    # Its own goodbye arrives, and is kept without being looked into.
    event = event_of("account.application.deauthorized")
    row = deliver(world, event, endpoint_of(), account=connection.account_id)
    assert row.state == "unchecked"


def test_unlinking_ends_although_stripe_would_not_have_it(connection):
    faults.add("lost", path="/oauth", times=None)
    assert "could not be ended" in connect.unlink(connection).still_allowed
    connection.refresh_from_db()
    assert connection.unlinked_at and connection.let_go_at


def test_unlinking_what_was_deauthorized_says_nothing_more(connection):
    end_at_stripe(connection)
    assert connect.unlink(connection).still_allowed == ""


def test_an_unlinking_that_was_interrupted_is_finished_by_the_sweep(connection):
    now = timezone.now()
    StripeConnection.objects.update(unlinked_at=now - timedelta(minutes=6))
    tasks.sweep()
    connection.refresh_from_db()
    assert connection.let_go_at
    before = len(books.api_calls())
    tasks.sweep()
    assert len(books.api_calls()) == before


def test_a_linked_account_can_be_linked_again(own_account):
    made = oauth.connect_with_code(code=code_for(own_account), **TYPED)
    connect.unlink(made)
    again = oauth.connect_with_code(code=code_for(own_account), **TYPED)
    assert again.pk == made.pk
    assert (again.unlinked_at, again.let_go_at, again.ready) == (None, None, True)
    connect.unlink(again)
    by_key = connect.connect_with_key(key="rk_test_ownAccountOfTheAgency", **TYPED)
    assert (by_key.pk, by_key.flow, by_key.let_go_at) == (made.pk, "restricted_key", None)


def test_an_account_with_its_own_key_has_nothing_to_give_back():
    own = connect.connect_with_key(key="rk_test_bills_0123456789", **TYPED)
    assert give_back(own) == ""
    own.refresh_from_db()
    assert own.let_go_at is None, "it is still linked"
    assert calls("/oauth/deauthorize") == []


# --- The platform's endpoint ----------------------------------------------------------------


def test_with_secrets_given_nothing_is_made_and_the_address_stays(world, connection):
    made = endpoint_of()
    secret = "whsec_" + "a" * 32
    given = {"test": {**PLATFORM["test"], "webhook_secrets": [secret]}}
    with with_platform(PLATFORM=given):
        by_hand = ensure_platform_endpoint(False)
        assert ensure_platform_endpoint(False) == by_hand
        assert (by_hand.url, by_hand.state) == (by_hand_url(False), "active")
        assert (by_hand.stripe_id, by_hand.sealed_secrets) == ("", [])
        assert books.endpoints() == [], "the one that was made before is gone"
        made.refresh_from_db()
        assert made.state == "deleted"
        event = event_of("account.updated")
        assert world.deliver(event, by_hand, secret=secret).status_code == 200
        assert world.deliver(event, by_hand, secret="whsec_other").status_code == 400
    again = ensure_platform_endpoint(False)
    assert again.pk != by_hand.pk and again.stripe_id
    with with_platform(PLATFORM=given):
        assert ensure_platform_endpoint(False).pk == by_hand.pk


def test_the_platforms_endpoint_moves_with_the_address_of_the_installation(connection):
    old = endpoint_of()
    with with_platform(WEBHOOK_BASE_URL="http://localhost:9000"):
        new = ensure_platform_endpoint(False)
    (made,) = books.endpoints()
    assert made["id"] == new.stripe_id != old.stripe_id
    assert made["url"].startswith("http://localhost:9000/billing/")


def test_a_copy_leaves_the_platforms_endpoint_alone(connection):
    real = endpoint_of()
    StripeConnection.objects.update(host="www.agency.example")
    with with_platform(WEBHOOK_BASE_URL="http://localhost:9000"):
        with pytest.raises(CopyOfProduction):
            connect.check(connection)
        WebhookEndpoint.objects.update(
            state="creating", created_at=timezone.now() - timedelta(minutes=3)
        )
        tasks.sweep()
        assert [at["id"] for at in books.endpoints()] == [real.stripe_id]
        WebhookEndpoint.objects.update(state="active")
        # Somebody connects an account of their own from here.
        own = ensure_platform_endpoint(False)
    assert {at["id"] for at in books.endpoints()} == {real.stripe_id, own.stripe_id}


def test_a_refused_endpoint_is_tried_again_with_another_call(begun):
    faults.add("500", path="/v1/webhook_endpoints", method="POST", times=3)
    onboarding.go_on(begun)
    assert WebhookEndpoint.objects.get().state in ("creating", "missing")
    faults.clear()
    WebhookEndpoint.objects.update(created_at=timezone.now() - timedelta(minutes=3))
    tasks.sweep()
    assert ensure_platform_endpoint(False).state == "active"
    assert sealing.open(endpoint_of().sealed_secrets[0]).startswith("whsec_")


# --- Secrets --------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["503", "401", "lost"])
def test_rule_10_no_error_tells_the_platforms_key(begun, fault, caplog):
    caplog.set_level(logging.DEBUG)
    faults.add(fault, times=None)
    try:
        onboarding.go_on(begun)
    except (StripeUnavailable, StripeRefused):
        report = ExceptionReporter(None, *sys.exc_info()).get_traceback_html()
        assert SECRET not in report and "PLATFORM" in report
    else:
        raise AssertionError("nothing was raised")
    assert SECRET not in caplog.text
