"""No network call inside a database transaction."""

import inspect
import time
from importlib import import_module
from pkgutil import iter_modules

import pytest
from django.db import connections, transaction
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from tests.bills.conftest import KEY
from tests.bills.test_platform import TYPED
from wagtail_client_billing import gateway, tasks
from wagtail_client_billing.gateway import (
    accounts,
    attempts,
    bulk,
    changes,
    charges,
    checkout,
    checkup,
    connect,
    copies,
    currencies,
    endpoints,
    event_list,
    oauth,
    onboarding,
    platform,
    platform_endpoints,
    portal,
    reconcile,
    refunds,
    sessions,
    subscription_changes,
    subscriptions,
    sweeping,
    unlink,
    webhooks,
)
from wagtail_client_billing.gateway.asker import Asker
from wagtail_client_billing.gateway.client import Api, api_for
from wagtail_client_billing.mail import outbox
from wagtail_client_billing.models import (
    LogEntry,
    Payment,
    Refund,
    StripeConnection,
    StripeEvent,
    Subscription,
    SubscriptionChange,
    WebhookEndpoint,
)
from wagtail_client_billing.sandbox import books
from wagtail_client_billing.transactions import outside_transaction


def soon():
    return time.monotonic() + 5


class Story:
    """A bill that was opened, its session, and an event about it."""

    def __init__(self, bill, connection):
        self.bill = bill
        self.connection = StripeConnection.objects.get(pk=connection.pk)
        self.endpoint = connection.endpoints.get()
        self.attempt = bill.attempts.get()
        self.api = api_for(self.connection)
        self.event = StripeEvent.objects.create(
            endpoint=self.endpoint,
            event_id="evt_1",
            type="checkout.session.completed",
            livemode=False,
            object_id=self.attempt.session_id,
        )
        whose = {
            "request": bill,
            "account_id": bill.account_id,
            "livemode": bill.livemode,
        }
        self.subscription = Subscription.objects.create(
            **whose, stripe_id="sub_1", customer_id="cus_1", status="active"
        )
        self.change = SubscriptionChange.objects.create(
            subscription=self.subscription, kind="keep", idempotency_key="change"
        )
        self.payment = Payment.objects.create(
            **whose,
            source="pi_1",
            intent_id="pi_1",
            amount_minor=500,
            currency="EUR",
            received_at=timezone.now(),
        )
        self.refund = Refund.objects.create(
            payment=self.payment, amount_minor=1, currency="EUR", idempotency_key="refund"
        )
        self.asker = Asker(LogEntry.Cause.CHECK)


@pytest.fixture
def story(world, bill, connection):
    checkout.open_checkout(bill.pk)
    return Story(bill, connection)


def connect_again(story):
    connect.connect_with_key(
        key=KEY,
        livemode=False,
        country="FR",
        privacy_policy_url="https://atelier.test/privacy",
        terms_url="https://atelier.test/terms",
        user=None,
    )


def make_another_endpoint(story):
    WebhookEndpoint.objects.update(state="deleted")
    endpoints.ensure_endpoint(story.connection)


def retiring(story):
    WebhookEndpoint.objects.update(state="retiring", retire_at="2020-01-01T00:00Z")
    return story.connection


# Every way into the gateway that may end at Stripe.
ENTRIES = {
    "client.Api.call": lambda s: s.api.call(lambda c: c.v1.accounts.retrieve_current()),
    "attempts.create_session": lambda s: attempts.create_session(s.api, s.attempt),
    "attempts.close_attempt": lambda s: attempts.close_attempt(s.api, s.attempt),
    "bulk.drain": lambda s: bulk.drain(soon()),
    "changes.delete_request": lambda s: changes.delete_request(s.bill.pk, user=None),
    "changes.edit_request": lambda s: changes.edit_request(
        s.bill.pk, amount_minor=1, description="", email="a@b.example", user=None
    ),
    "changes.mark_request_paid": lambda s: changes.mark_request_paid(
        s.bill.pk, received_at=timezone.now(), user=None
    ),
    "changes.finish_hold": lambda s: changes.finish_hold(s.bill.pk),
    "charges.every": lambda s: list(charges.every(s.api, lambda c: c.v1.refunds, {})),
    "charges.look_at_payment": lambda s: charges.look_at_payment(s.api, s.payment, s.asker),
    "charges.retrieve_intent": lambda s: charges.retrieve_intent(s.api, "pi_1"),
    "checkout.open_checkout": lambda s: checkout.open_checkout(s.bill.pk),
    "checkup.check_up": lambda s: checkup.check_up(s.connection),
    "connect.connect_with_key": connect_again,
    "connect.check": lambda s: connect.check(s.connection),
    "accounts.read_again": lambda s: accounts.read_again(s.connection),
    "connect.replace_key": lambda s: connect.replace_key(s.connection, key=KEY),
    # Asks nobody, but takes locks one after the other.
    "copies.forget": lambda s: copies.forget(s.connection, user=None),
    "currencies.note_currencies": lambda s: currencies.note_currencies(s.connection, at_once=True),
    "endpoints.ensure_endpoint": make_another_endpoint,
    "endpoints.remove_strays": lambda s: endpoints.remove_strays(s.connection),
    "endpoints.retire_due": lambda s: endpoints.retire_due(retiring(s)),
    "endpoints.roll_secret": lambda s: endpoints.roll_secret(s.connection),
    "endpoints.delete_endpoint": lambda s: endpoints.delete_endpoint(s.endpoint),
    "event_list.read_events": lambda s: event_list.read_events(s.connection),
    "oauth.connect_with_code": lambda s: oauth.connect_with_code(code="ac_1", **TYPED),
    "onboarding.begin": lambda s: onboarding.begin(**TYPED),
    "onboarding.go_on": lambda s: onboarding.go_on(s.connection),
    "platform.deauthorize": lambda s: platform.deauthorize("acct_1", False),
    "platform.give_back": lambda s: platform.give_back(s.connection),
    "platform.read_account": lambda s: platform.read_account(s.connection),
    "platform_endpoints.ensure_platform_endpoint": (
        lambda s: platform_endpoints.ensure_platform_endpoint(False)
    ),
    "portal.open_portal": lambda s: portal.open_portal(s.subscription.request_id),
    "refunds.refund_payment": lambda s: refunds.refund_payment(
        s.payment.pk, amount_minor=1, user=None
    ),
    "refunds.finish_refund": lambda s: refunds.finish_refund(s.refund.pk),
    "subscription_changes.change_subscription": (
        lambda s: subscription_changes.change_subscription(
            s.subscription.pk, "cancel_now", user=None
        )
    ),
    "subscription_changes.finish_change": (
        lambda s: subscription_changes.finish_change(s.change.pk)
    ),
    "subscription_changes.cancel_unpaid": lambda s: subscription_changes.cancel_unpaid(
        s.api, s.attempt, "sub_1", s.asker
    ),
    "subscriptions.first_intent_status": lambda s: subscriptions.first_intent_status(
        s.api, {"invoice": "in_1"}
    ),
    "subscriptions.is_known": lambda s: subscriptions.is_known(s.api, "sub_1"),
    "subscriptions.look_at_subscription": lambda s: subscriptions.look_at_subscription(
        s.api, s.attempt, "sub_1", s.asker
    ),
    "reconcile.reconcile": lambda s: reconcile.reconcile(s.bill.pk, cause=LogEntry.Cause.CHECK),
    "sessions.create": lambda s: sessions.create(s.api, s.attempt),
    "sessions.retrieve": lambda s: sessions.retrieve(s.api, s.attempt.session_id),
    "sessions.expire": lambda s: sessions.expire(s.api, s.attempt.session_id),
    "sweeping.sweep_stripe": lambda s: sweeping.sweep_stripe(soon()),
    "unlink.unlink": lambda s: unlink.unlink(s.connection),
    "unlink.finish_unlink": lambda s: unlink.finish_unlink(s.connection),
    "webhooks.drain": lambda s: webhooks.drain(soon()),
    "webhooks.process": lambda s: webhooks.process(s.event),
    "tasks.drain_events": lambda s: tasks.drain_events(),
    "tasks.drain_bulk": lambda s: tasks.drain_bulk(),
    "tasks.sweep": lambda s: tasks.sweep(),
    "outbox.drain": lambda s: outbox.drain(soon()),
}
# What never leaves the house.
AT_HOME = {
    # Called by Wagtail inside a transaction.
    "bulk.start",
    "bulk.prune",
    "charges.at",
    "charges.id_of",
    "charges.paid_by",
    "charges.refund_facts",
    "charges.was_touched",
    "client.api_for",
    "client.mark_broken",
    "client.platform_api",
    "client.stand_in",
    "connect.dashboard_url",
    "connect.key_page_url",
    "endpoints.believed_secrets",
    "endpoints.count_as_deleted",
    "endpoints.drop_old_secrets",
    "endpoints.endpoint_of",
    "endpoints.row_to_make",
    "endpoints.store_secret",
    "copies.confirm_host",
    "copies.refuse_copy",
    "copies.remember_host",
    "accounts.account_values",
    "accounts.missing_rights",
    "accounts.store",
    "accounts.taken_by",
    "event_list.accounts_to_read",
    "hints.hints_of",
    "hints.payments_hinted",
    "hints.requests_hinted",
    "hints.text",
    "oauth.authorize_url",
    "onboarding.start_over",
    "platform.account_values",
    "platform.safe_to_visit",
    "platform_endpoints.by_hand_url",
    "platform_endpoints.heard_by",
    "platform_endpoints.is_of_another_host",
    "platform_endpoints.secrets_given",
    "portal.managed_subscription",
    "reconcile.give_up_when_over",
    "sessions.intent_id",
    "sessions.intent_status",
    "sessions.mismatch",
    "sessions.payment_facts",
    "sessions.pinned_url",
    "sessions.session_params",
    "sessions.trusted_url",
    "unlink.sessions_left",
    "unlink.unlink_preview",
    "webhooks.look_again",
    "webhooks.prune",
    "webhooks.receive",
    "webhooks.replay",
}


@pytest.mark.parametrize("entry", ENTRIES)
def test_rule_7_the_gateway_raises_inside_a_transaction(story, entry):
    before = len(books.api_calls())
    with pytest.raises(RuntimeError, match="inside a database transaction"), transaction.atomic():
        ENTRIES[entry](story)
    assert len(books.api_calls()) == before
    story.bill.refresh_from_db()
    assert (story.bill.status, story.bill.hold) == ("pending", "")
    story.connection.refresh_from_db()
    assert story.connection.usable


def public_functions():
    for module in iter_modules(gateway.__path__):
        loaded = import_module(f"{gateway.__name__}.{module.name}")
        for name, value in vars(loaded).items():
            own = inspect.isfunction(value) and value.__module__ == loaded.__name__
            if own and not name.startswith("_"):
                yield f"{module.name}.{name}"


def test_rule_7_every_entry_of_the_gateway_is_known():
    """A new function has to be named above, as one that asks Stripe or one that does not."""
    assert set(public_functions()) - set(ENTRIES) == AT_HOME


def test_rule_7_the_transaction_of_a_test_case_does_not_count(db):
    assert connections["default"].in_atomic_block
    outside_transaction()
    with pytest.raises(RuntimeError), transaction.atomic(savepoint=False):
        outside_transaction()
    outside_transaction()


def test_rule_7_a_call_from_within_on_commit_is_not_inside(
    world, bill, django_capture_on_commit_callbacks
):
    with django_capture_on_commit_callbacks(execute=True), transaction.atomic():
        transaction.on_commit(lambda: checkout.open_checkout(bill.pk))
    assert len(world.payable(bill)) == 1


def test_rule_7_asking_for_a_client_inside_is_harmless_and_using_it_is_not(connection):
    with pytest.raises(RuntimeError), transaction.atomic():
        api = api_for(StripeConnection.objects.get())
        assert isinstance(api, Api)
        api.call(lambda client: pytest.fail("nobody is asked"))


@pytest.fixture
def atomic_requests(monkeypatch):
    monkeypatch.setitem(connections["default"].settings_dict, "ATOMIC_REQUESTS", True)


def test_rule_7_clients_can_pay_where_every_request_is_a_transaction(
    world, bill, atomic_requests, connection
):
    pay = reverse("client_billing:checkout", args=[bill.token])
    response = Client().post(pay)
    assert response.status_code == 303
    world.pay(bill)
    (event,) = world.events("checkout.session.completed")
    assert world.deliver(event | {"account": None}, connection.endpoints.get()).status_code == 200
    back = reverse("client_billing:return", args=[bill.token])
    assert Client().get(back).status_code == 303
    bill.refresh_from_db()
    assert bill.status == "paid"


@pytest.mark.parametrize("name", ["pay", "checkout", "return"])
def test_rule_7_public_views_are_outside_of_request_transactions(bill, name):
    from django.urls import resolve

    view = resolve(reverse(f"client_billing:{name}", args=[bill.token])).func
    assert "default" in view._non_atomic_requests
