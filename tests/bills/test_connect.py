"""Connecting an account with a key of its own, and letting it go again."""

import json
import logging
import sys
import traceback
from datetime import timedelta

import pytest
import time_machine
from django.apps import apps
from django.test import override_settings
from django.utils import timezone
from django.views.debug import ExceptionReporter
from django.views.decorators.debug import sensitive_variables

from tests.bills.conftest import KEY, Making
from wagtail_client_billing import lifecycle, rights, sealing, tasks
from wagtail_client_billing.errors import (
    AccountLost,
    BillingError,
    NotConnected,
    StripeUnavailable,
)
from wagtail_client_billing.gateway import client, connect
from wagtail_client_billing.gateway.changes import Outcome, delete_request
from wagtail_client_billing.gateway.checkout import open_checkout
from wagtail_client_billing.gateway.client import mark_broken
from wagtail_client_billing.gateway.connect import KeyRefused
from wagtail_client_billing.gateway.endpoints import EVENTS, ensure_endpoint
from wagtail_client_billing.gateway.reconcile import reconcile
from wagtail_client_billing.gateway.unlink import finish_unlink, sessions_left
from wagtail_client_billing.links import webhook_url
from wagtail_client_billing.models import LogEntry, StripeConnection, WebhookEndpoint
from wagtail_client_billing.models.connection import StripeConnectionQuerySet
from wagtail_client_billing.sandbox import books, faults, keys

OTHER_KEY = "rk_test_another_9876543210"
LIVE_KEY = "rk_live_bills_0123456789"
ENDPOINTS = "/v1/webhook_endpoints"
SESSIONS = "/v1/checkout/sessions"


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    """No repetitions by the SDK and no lingering: neither is what is tested here."""
    monkeypatch.setattr(client, "RETRIES_WAITING", 0)
    monkeypatch.setattr(tasks, "LINGER_SECONDS", 0)


def connect_with(key=KEY, **given):
    values = {
        "livemode": "_live_" in key,
        "country": "FR",
        "privacy_policy_url": "https://atelier.test/privacy",
        "terms_url": "https://atelier.test/terms",
        "user": None,
        **given,
    }
    return connect.connect_with_key(key=key, **values)


def nothing_stored():
    return not StripeConnection.objects.exists() and not WebhookEndpoint.objects.exists()


def calls_of(part, method=None):
    return [
        call
        for call in books.api_calls()
        if part in call["path"] and method in (None, call["method"])
    ]


# --- Which keys are taken -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "says"),
    [
        ("", "not a Stripe key"),
        ("hello", "not a Stripe key"),
        ("rk_test_short", "not a Stripe key"),
        ("rk_prod_0123456789abcdef", "not a Stripe key"),
        ("rk_test_0123456789 abcdef", "not a Stripe key"),
        ("rk_test_0123456789abcdéf", "not a Stripe key"),
        ("pk_test_0123456789abcdef", "publishable"),
        ("whsec_0123456789abcdef", "signing secret"),
        ("sk_org_live_0123456789abcdef", "organisation"),
        ("sk_live_0123456789abcdef", "every right"),
    ],
)
def test_what_is_not_a_restricted_key_is_refused_before_stripe_is_asked(world, db, key, says):
    with pytest.raises(KeyRefused, match=says) as caught:
        connect_with(key, livemode="_live_" in key)
    assert caught.value.field == "key"
    assert nothing_stored()
    assert books.api_calls() == []


@pytest.mark.parametrize("key", ["sk_test_0123456789abcdef", f"  {KEY}\n"])
def test_a_secret_test_key_and_spaces_around_a_key_are_taken(world, db, key):
    assert connect_with(key).usable


def test_a_secret_live_key_is_taken_only_where_the_operator_says_so(world, db, settings):
    changed = {**settings.WAGTAIL_CLIENT_BILLING, "ALLOW_SECRET_KEYS": True}
    with override_settings(WAGTAIL_CLIENT_BILLING=changed):
        assert connect_with("sk_live_0123456789abcdef").livemode


@pytest.mark.parametrize(("key", "livemode"), [(KEY, True), (LIVE_KEY, False)])
def test_rule_12_a_key_of_the_other_mode_is_refused(world, db, key, livemode):
    with pytest.raises(KeyRefused, match="test mode" if livemode else "live mode"):
        connect_with(key, livemode=livemode)
    assert nothing_stored()
    assert books.api_calls() == []


def test_rule_12_one_account_in_each_mode(world, db):
    test, live = connect_with(KEY), connect_with(LIVE_KEY)
    assert (test.livemode, live.livemode) == (False, True)
    assert test.account_id == live.account_id
    assert StripeConnection.objects.usable().count() == 2
    assert [e["livemode"] for e in books.endpoints()] == [False, True]


def test_a_revoked_key_is_refused(world, db):
    keys.revoke_key(KEY)
    with pytest.raises(KeyRefused, match="revoked"):
        connect_with()
    assert nothing_stored()


@pytest.mark.parametrize(
    ("right", "box"),
    [
        ("connected_account_read", "Connected accounts (Accounts): read"),
        ("checkout_session_write", "Checkout Sessions: write"),
        ("payment_intent_read", "PaymentIntents: read"),
    ],
)
def test_a_missing_right_is_named_by_its_box(world, db, right, box):
    account = keys.identify(KEY).account
    key = keys.make_key(account, without=[right])
    with pytest.raises(KeyRefused) as caught:
        connect_with(key)
    assert box in str(caught.value)
    assert nothing_stored()


@pytest.mark.parametrize(
    ("right", "box"),
    [
        ("charge_read", "Charges and Refunds: read"),
        ("refund_write", "Charges and Refunds: write"),
        ("dispute_read", "Disputes: read"),
        ("subscription_write", "Subscriptions: write"),
        ("invoice_read", "Invoices: read"),
        ("customer_portal_write", "Customer portal: write"),
        ("event_read", "Events: read"),
    ],
)
def test_a_right_that_one_time_bills_do_without_is_noted(world, db, right, box):
    connection = connect_with(keys.make_key(keys.identify(KEY).account, without=[right]))
    assert rights.boxes(connection.missing_rights) == [box]


def test_the_page_that_makes_a_key_ticks_what_is_needed():
    url = connect.key_page_url(livemode=False)
    assert url.startswith("https://dashboard.stripe.com/test/apikeys/create?")
    assert all(right in url for right in rights.TICKED)


@pytest.mark.parametrize("fault", ["503", "500", "429", "lost"])
def test_with_stripe_down_nothing_is_stored(world, db, fault):
    faults.add(fault, times=None)
    with pytest.raises(StripeUnavailable):
        connect_with()
    assert nothing_stored()
    faults.clear()
    assert connect_with().usable


def test_probing_changes_nothing_at_stripe(world, db):
    connect_with()
    assert {call["path"] for call in books.api_calls(method="POST") if call["status"] == 200} == {
        ENDPOINTS
    }
    assert books.sessions() == []


# --- What is stored -------------------------------------------------------------------------


def test_the_account_is_read_and_its_country_wins(world, db, django_user_model):
    user = django_user_model.objects.create_user("ann", first_name="Ann", last_name="Lee")
    connection = connect_with(country="FR", user=user)
    connection.refresh_from_db()
    account = keys.identify(KEY).account
    assert connection.account_id == account
    assert connection.account_name == f"Sandbox account {account[-4:]}"
    assert (connection.country, connection.default_currency) == ("DE", "EUR")
    assert connection.charges_enabled
    assert connection.checked_at
    assert (connection.connected_by, connection.connected_by_name) == (user, "Ann Lee")
    assert connection.usable


def everything_stored():
    """Every column of every table of ours, as text."""
    return json.dumps(
        [list(model.objects.values()) for model in apps.get_app_config(APP).get_models()],
        default=str,
    )


APP = "wagtail_client_billing"


def test_rule_10_key_and_signing_secret_are_sealed(world, db, caplog):
    caplog.set_level(logging.DEBUG)
    connection = connect_with()
    endpoint = connection.endpoints.get()
    secret = sealing.open(endpoint.sealed_secrets[0])
    assert sealing.open(connection.sealed_key) == KEY
    assert secret.startswith("whsec_")
    assert connection.key_last4 == KEY[-4:]
    seen = everything_stored() + caplog.text + repr(connection) + str(connection) + repr(endpoint)
    assert KEY not in seen
    assert secret not in seen
    sent = json.dumps(books.api_calls(), default=str)
    assert KEY not in sent


# A global, since an error report shows the local variables of the test as well.
WITH_KEY = {
    "key": KEY,
    "livemode": False,
    "country": "FR",
    "privacy_policy_url": "https://atelier.test/privacy",
    "terms_url": "https://atelier.test/terms",
    "user": None,
}


def report_of(call):
    """What a person, a log and an error report get to see of what ``call`` raises."""
    try:
        call()
    except Exception as error:
        assert not isinstance(error, AssertionError)
        report = ExceptionReporter(None, *sys.exc_info()).get_traceback_html()
        return str(error) + repr(error) + traceback.format_exc() + report
    raise AssertionError("nothing was raised")


@pytest.mark.parametrize("fault", ["503", "401", "lost"])
def test_rule_10_no_refusal_of_stripes_tells_the_key(world, db, caplog, fault):
    caplog.set_level(logging.DEBUG)
    faults.add(fault, times=None)
    assert KEY not in report_of(lambda: connect.connect_with_key(**WITH_KEY)) + caplog.text


@pytest.mark.parametrize("broken", ["_check_kind", "account_values", "store", "ensure_endpoint"])
def test_rule_10_no_bug_of_ours_tells_the_key(world, db, monkeypatch, broken):
    @sensitive_variables()
    def bug(*args, **kwargs):
        raise ZeroDivisionError

    monkeypatch.setattr(connect, broken, bug)
    assert KEY not in report_of(lambda: connect.connect_with_key(**WITH_KEY))


def test_rule_10_no_error_of_a_connected_account_tells_the_key(world, bill, caplog):
    caplog.set_level(logging.DEBUG)
    world.down()
    assert KEY not in report_of(lambda: open_checkout(bill.pk)) + caplog.text


def test_rule_10_an_unreadable_key_is_no_connection_and_no_crash(world, bill, connection):
    with override_settings(SECRET_KEY="another one, so that nothing can be opened any more"):
        with pytest.raises(sealing.SecretUnreadable):
            open_checkout(bill.pk)
        assert reconcile(bill.pk, cause=LogEntry.Cause.CHECK).lost
        assert connection.endpoints.get().state == "active"
        tasks.sweep()
    assert open_checkout(bill.pk).url


def test_a_second_account_in_the_same_mode_is_refused(world, connection):
    with pytest.raises(KeyRefused) as caught:
        connect_with(OTHER_KEY)
    assert caught.value.field == "livemode"
    assert StripeConnection.objects.get() == connection
    assert sealing.open(StripeConnection.objects.get().sealed_key) == KEY


def test_another_key_of_the_same_account_takes_up_its_row(world, connection, bill):
    mark_broken(connection, "Stripe no longer accepts the key.")
    key = keys.make_key(connection.account_id)
    again = connect_with(key, terms_url="https://atelier.test/terms-2")
    assert again.pk == connection.pk
    assert (again.broken_at, again.broken_why) == (None, "")
    assert again.terms_url == "https://atelier.test/terms-2"
    assert sealing.open(again.sealed_key) == key
    assert WebhookEndpoint.objects.count() == len(books.endpoints()) == 1
    assert open_checkout(bill.pk).url


def test_two_people_who_connect_at_once_connect_one_account(world, connection, monkeypatch):
    # Both looked before either wrote.
    monkeypatch.setattr(StripeConnectionQuerySet, "active", lambda self: self.none())
    with pytest.raises(KeyRefused, match="Another account"):
        connect_with(OTHER_KEY)
    assert StripeConnection.objects.get() == connection


def test_an_answer_about_the_old_key_does_not_break_the_new_one(world, connection):
    slow = client.api_for(StripeConnection.objects.get())
    keys.revoke_key(KEY)
    connect_with(keys.make_key(connection.account_id))
    with pytest.raises(AccountLost):
        slow.call(lambda stripe: stripe.v1.accounts.retrieve_current())
    assert StripeConnection.objects.get().usable


def test_check_reads_the_account_again_and_heals_a_broken_connection(world, connection):
    mark_broken(connection, "Stripe no longer accepts the key.")
    keys.change_account(
        connection.account_id,
        name="Renamed",
        country="DE",
        default_currency="chf",
        charges_enabled=False,
        details_submitted=True,
    )
    connect.check(connection)
    assert (connection.account_name, connection.default_currency) == ("Renamed", "CHF")
    assert not connection.charges_enabled
    assert connection.usable
    keys.revoke_key(KEY)
    with pytest.raises(AccountLost):
        connect.check(connection)
    connection.refresh_from_db()
    assert connection.broken_at and not connection.usable


# --- The webhook endpoint -------------------------------------------------------------------


def secret_in_the_books(stripe_id):
    with books.read() as db:
        row = db.execute("SELECT extra FROM objects WHERE id = ?", (stripe_id,)).fetchone()
    return json.loads(row["extra"])["secret"]


def grow_old(endpoint, minutes=3):
    WebhookEndpoint.objects.filter(pk=endpoint.pk).update(
        created_at=timezone.now() - timedelta(minutes=minutes)
    )


def test_the_endpoint_is_made_with_its_events_and_its_secret_kept(world, connection):
    endpoint = connection.endpoints.get()
    (made,) = books.endpoints()
    assert endpoint.state == "active"
    assert endpoint.stripe_id == made["id"]
    assert made["url"] == endpoint.url == webhook_url(endpoint.uuid)
    assert set(made["enabled_events"]) == set(EVENTS)
    assert [sealing.open(s) for s in endpoint.sealed_secrets] == [secret_in_the_books(made["id"])]


def test_an_endpoint_that_is_refused_leaves_a_connection_that_works_by_asking(world, db, make_key):
    connection = connect_with(make_key(without=["webhook_write"]))
    endpoint = connection.endpoints.get()
    assert (endpoint.state, endpoint.stripe_id) == ("missing", "")
    assert "Webhook Endpoints: write" in endpoint.error
    assert connection.missing_rights == ["rak_webhook_write"]
    assert books.endpoints() == []
    assert connection.usable


@pytest.fixture
def make_key(world):
    return lambda **given: keys.make_key(keys.identify(KEY).account, **given)


def test_without_an_endpoint_the_sweep_hears_of_the_payment(world, make_key, site, agency):
    bill = Making(site, connect_with(make_key(without=["webhook_write"])))()
    open_checkout(bill.pk)
    world.pay(bill)
    with time_machine.travel(timezone.now() + timedelta(minutes=1)):
        tasks.sweep()
    bill.refresh_from_db()
    assert bill.status == "paid"


def test_a_missing_endpoint_is_made_once_the_right_is_there(world, db, make_key):
    connection = connect_with(make_key(without=["webhook_write"]))
    connection = connect_with(make_key())
    assert connection.endpoints.get().state == "active"
    assert len(books.endpoints()) == 1


def test_rule_4_an_endpoint_whose_answer_was_lost_is_found_by_its_key(world, db):
    faults.add("lost", path=ENDPOINTS, method="POST")
    connection = connect_with()
    endpoint = connection.endpoints.get()
    assert (endpoint.state, endpoint.sealed_secrets) == ("creating", [])
    assert connection.usable
    tasks.sweep()
    endpoint.refresh_from_db()
    assert endpoint.state == "creating", "younger than two minutes it is in somebody's hands"
    grow_old(endpoint)
    tasks.sweep()
    endpoint.refresh_from_db()
    assert endpoint.state == "active"
    (made,) = books.endpoints()
    assert sealing.open(endpoint.sealed_secrets[0]) == secret_in_the_books(made["id"])
    assert {call["idempotency_key"] for call in calls_of(ENDPOINTS, "POST")} == {
        endpoint.idempotency_key
    }


def test_a_breakdown_that_the_key_remembers_is_not_asked_about_for_ever(world, db):
    faults.add("500", path=ENDPOINTS, method="POST")
    endpoint = connect_with().endpoints.get()
    assert endpoint.state == "creating"
    grow_old(endpoint)
    tasks.sweep()
    endpoint.refresh_from_db()
    assert endpoint.state == "missing"
    assert ensure_endpoint(endpoint.connection).state == "active"


def test_an_endpoint_moves_with_the_address_of_the_installation(world, connection, settings):
    (old,) = connection.endpoints.all()
    changed = {**settings.WAGTAIL_CLIENT_BILLING, "WEBHOOK_BASE_URL": "http://localhost:9000"}
    with override_settings(WAGTAIL_CLIENT_BILLING=changed):
        new = ensure_endpoint(connection)
        assert ensure_endpoint(connection) == new
    old.refresh_from_db()
    assert (old.state, new.state) == ("deleted", "active")
    assert old.sealed_secrets, "late deliveries are signed with it"
    (made,) = books.endpoints()
    assert made["id"] == new.stripe_id
    assert made["url"].startswith("http://localhost:9000/billing/")


# --- Unlinking ------------------------------------------------------------------------------


def test_rule_5_unlinking_closes_sessions_deletes_the_endpoint_and_wipes_the_key(
    world, make_bill, connection
):
    opened, processing, untouched = make_bill(), make_bill(), make_bill()
    open_checkout(opened.pk)
    open_checkout(processing.pk)
    world.pay_later(processing)
    reconcile(processing.pk, cause=LogEntry.Cause.CHECK)
    preview = connect.unlink_preview(connection)
    assert (preview.pending, preview.closed, preview.processing) == (2, 1, 1)

    report = connect.unlink(connection, user=None)

    assert (report.pending, report.closed, report.processing) == (2, 1, 1)
    assert report.finished and report.not_closed == report.waiting == []
    assert [s["status"] for s in world.sessions(opened)] == ["expired"]
    assert opened.attempts.get().state == "expired"
    connection.refresh_from_db()
    assert (connection.sealed_key, connection.key_last4) == ("", "")
    assert connection.unlinked_at and not connection.usable
    assert books.endpoints() == []
    endpoint = connection.endpoints.get()
    assert endpoint.state == "deleted" and endpoint.deleted_at
    for bill in (opened, untouched):
        with pytest.raises(NotConnected):
            open_checkout(bill.pk)
    assert open_checkout(processing.pk).url is None


def test_unlinking_books_what_was_paid_meanwhile(world, bill, connection):
    open_checkout(bill.pk)
    world.pay(bill)
    report = connect.unlink(connection)
    bill.refresh_from_db()
    assert (bill.status, report.not_closed, report.pending) == ("paid", [], 0)
    assert bill.log_entries.get(action="paid").cause == "unlink"


def later(connection, **after):
    """Has the account unlinked that long ago."""
    StripeConnection.objects.filter(pk=connection.pk).update(
        unlinked_at=timezone.now() - timedelta(**after)
    )
    connection.refresh_from_db()
    return connection


def unlink_in_an_outage(world, connection):
    """Unlinks, and has Stripe silent for so long that it is given up."""
    world.down()
    connect.unlink(connection)
    report = finish_unlink(later(connection, minutes=61))
    world.up()
    return report


def test_with_stripe_down_unlinking_goes_on_until_stripe_answers(world, make_bill, connection):
    bills = [make_bill() for _ in range(5)]
    for bill in bills:
        open_checkout(bill.pk)
    numbers = [bill.number for bill in bills]
    before = len(books.api_calls())
    world.down()
    report = connect.unlink(connection)
    world.up()
    assert (report.waiting, report.not_closed, report.finished) == (numbers, [], False)
    assert report.closed == 0
    # Three failures in a row are an outage; one more call is for the endpoint.
    assert len(books.api_calls()) - before <= 4
    for bill in bills:
        with pytest.raises(NotConnected):
            open_checkout(bill.pk)
    assert list(StripeConnection.objects.being_unlinked()) == [connection]
    assert sessions_left(connection) == 5
    later(connection, minutes=3)
    tasks.sweep()
    connection.refresh_from_db()
    assert (connection.sealed_key, bool(connection.let_go_at)) == ("", True)
    assert books.payable_sessions() == books.endpoints() == []


def test_rule_5_unlinking_ends_with_stripe_down_and_lists_what_is_open(
    world, make_bill, connection
):
    bills = [make_bill() for _ in range(2)]
    for bill in bills:
        open_checkout(bill.pk)
    report = unlink_in_an_outage(world, connection)
    assert report.finished
    assert (report.not_closed, report.waiting) == ([bill.number for bill in bills], [])
    connection.refresh_from_db()
    assert connection.sealed_key == "" and connection.let_go_at


def test_nobody_waits_longer_than_the_time_that_unlinking_has(world, make_bill, connection):
    for _ in range(2):
        open_checkout(make_bill().pk)
    report = finish_unlink(later(connection, minutes=3), seconds=0)
    assert (len(report.waiting), report.closed, report.finished) == (2, 0, False)
    report = finish_unlink(connection)
    assert (report.waiting, report.closed, report.finished) == ([], 2, True)


@pytest.mark.parametrize("minutes", [4, 6])
def test_rule_5_what_unlinking_left_open_ends_with_its_session(
    world, bill, connection, overdue, minutes
):
    open_checkout(bill.pk)
    unlink_in_an_outage(world, connection)
    overdue(bill)
    end = timezone.now() - timedelta(minutes=minutes)
    bill.attempts.update(expires_at=end, asked_at=end)
    tasks.sweep()
    bill.refresh_from_db()
    over = minutes > 5
    assert (bill.status, bill.not_confirmed) == (("expired", True) if over else ("pending", False))


def test_unlinking_that_was_interrupted_is_finished_by_the_sweep(world, bill, connection):
    open_checkout(bill.pk)
    later(connection, minutes=1)
    tasks.sweep()
    connection.refresh_from_db()
    assert connection.sealed_key, "younger than two minutes it is in somebody's hands"
    later(connection, minutes=3)
    WebhookEndpoint.objects.update(state="retiring", retire_at=timezone.now())
    tasks.sweep()
    connection.refresh_from_db()
    assert connection.sealed_key == ""
    assert world.payable(bill) == []
    assert books.endpoints() == []


def test_unlinking_twice_is_unlinking_once(world, connection):
    connect.unlink(connection)
    connection.refresh_from_db()
    first = connection.unlinked_at
    connect.unlink(connection)
    connection.refresh_from_db()
    assert connection.unlinked_at == first


def test_a_lost_account_is_unlinked_all_the_same(world, bill, connection):
    open_checkout(bill.pk)
    keys.revoke_key(KEY)
    assert connect.unlink(connection).not_closed == [bill.number]
    connection.refresh_from_db()
    assert connection.unlinked_at and connection.sealed_key == ""


def test_unlinking_deletes_an_endpoint_of_which_we_never_heard(world, db):
    faults.add("lost", path=ENDPOINTS, method="POST")
    connection = connect_with()
    assert (connection.endpoints.get().stripe_id, len(books.endpoints())) == ("", 1)
    assert connect.unlink(connection).finished
    assert books.endpoints() == []
    assert connection.endpoints.get().state == "deleted"


def test_linking_again_removes_the_endpoint_that_an_outage_left_at_stripe(world, connection):
    unlink_in_an_outage(world, connection)
    (stray,) = books.endpoints()
    assert connect_with().endpoints.get(state="active").stripe_id != stray["id"]
    assert stray["id"] not in [made["id"] for made in books.endpoints()]


# --- Linking again --------------------------------------------------------------------------


def test_rule_15_linking_the_account_again_takes_up_its_bills(world, bill, connection):
    open_checkout(bill.pk)
    connect.unlink(connection)
    again = connect_with()
    assert again.pk == connection.pk
    assert again.unlinked_at is None
    assert open_checkout(bill.pk).url
    assert list(again.endpoints.order_by("pk").values_list("state", flat=True)) == [
        "deleted",
        "active",
    ]
    assert len(books.endpoints()) == 1


def test_what_was_not_confirmed_is_asked_again_after_linking_again(
    world, bill, connection, overdue
):
    open_checkout(bill.pk)
    unlink_in_an_outage(world, connection)
    world.pay(bill)
    overdue(bill)
    now = timezone.now()
    bill.attempts.update(expires_at=now - timedelta(minutes=6), asked_at=now - timedelta(hours=2))
    tasks.sweep()
    bill.refresh_from_db()
    assert (bill.status, bill.not_confirmed) == ("expired", True)
    connect_with()
    assert len(books.endpoints()) == 1, "what the outage left at Stripe is gone"
    tasks.sweep()
    bill.refresh_from_db()
    assert (bill.status, bill.paid_late, bill.not_confirmed) == ("paid", True, False)


def test_rule_15_another_account_never_touches_old_bills(world, make_bill, connection, overdue):
    opened, untouched = make_bill(), make_bill()
    open_checkout(opened.pk)
    (session,) = world.sessions(opened)
    unlink_in_an_outage(world, connection)
    other = connect_with(OTHER_KEY)
    assert other.account_id != connection.account_id
    before = len(books.api_calls())
    for bill in (opened, untouched):
        with pytest.raises(NotConnected):
            open_checkout(bill.pk)
        reconcile(bill.pk, cause=LogEntry.Cause.CHECK, session_id=session["id"])
    assert delete_request(untouched.pk, user=None) == Outcome.DONE
    assert delete_request(opened.pk, user=None) == Outcome.LOST
    tasks.sweep()
    assert books.api_calls()[before:] == []
    opened.refresh_from_db()
    assert opened.account_id == connection.account_id
    with pytest.raises(BillingError):
        lifecycle.create_request(
            site=opened.site,
            connection=StripeConnection.objects.get(pk=connection.pk),
            email="client@bakery.test",
            currency="EUR",
            amount_minor=100,
            success_url="https://bakery.test/thanks",
            cancel_url="https://bakery.test/cancelled",
        )
