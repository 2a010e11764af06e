"""At once: threads with connections of their own, through the URL, on PostgreSQL.

SQLite lets one writer in at a time and would prove nothing here.
"""

import threading
import time
from collections import Counter
from contextlib import contextmanager, suppress
from datetime import timedelta

import pytest
from django.contrib.contenttypes.models import ContentType
from django.db import IntegrityError, connections
from django.db import connection as database
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from wagtail.models import Locale, ModelLogEntry, Page, Site

from tests.bills.conftest import KEY, Making
from tests.bills.test_platform import TYPED, with_platform
from wagtail_client_billing import lifecycle
from wagtail_client_billing.errors import BillingError
from wagtail_client_billing.gateway import bulk, connect, onboarding
from wagtail_client_billing.gateway.changes import (
    delete_request,
    edit_request,
    finish_hold,
    mark_request_paid,
)
from wagtail_client_billing.gateway.checkout import open_checkout
from wagtail_client_billing.gateway.reconcile import reconcile
from wagtail_client_billing.gateway.webhooks import receive
from wagtail_client_billing.models import (
    BillingRequest,
    BulkItem,
    BulkJob,
    CheckoutAttempt,
    EmailDelivery,
    LogEntry,
    Payment,
    StripeConnection,
    StripeEvent,
    WebhookEndpoint,
)
from wagtail_client_billing.sandbox import books, checkout, faults, platforms

pytestmark = pytest.mark.postgres

SESSIONS = "/v1/checkout/sessions"
HELD_MS = 300
TABLES = [
    BulkJob,
    ModelLogEntry,
    StripeEvent,
    LogEntry,
    EmailDelivery,
    Payment,
    CheckoutAttempt,
    BillingRequest,
    WebhookEndpoint,
    StripeConnection,
]


@pytest.fixture
def committed(django_db_setup, django_db_blocker):
    """The database without a transaction around the test; what the test wrote is taken out again.

    A flush, as in Django's own test case for this, would take Wagtail's root page along.
    """
    with django_db_blocker.unblock():
        yield
        for table in TABLES:
            table.objects.all().delete()


@pytest.fixture
def bill(committed, world):
    connection = connect.connect_with_key(
        key=KEY,
        livemode=False,
        country="FR",
        privacy_policy_url="https://atelier.test/privacy",
        terms_url="https://atelier.test/terms",
        user=None,
    )
    return Making(default_site(), connection)()


def default_site():
    """Wagtail's own, or its like where another test has flushed the database."""
    site = Site.objects.filter(is_default_site=True).first()
    if site is None:
        ContentType.objects.clear_cache()
        Locale.objects.get_or_create(language_code="en")
        root = Page.add_root(instance=Page(title="Root", slug="root"))
        home = root.add_child(instance=Page(title="Home", slug="home"))
        site = Site.objects.create(hostname="localhost", root_page=home, is_default_site=True)
    return site


@pytest.mark.django_db
def test_the_database_of_these_tests_locks_rows():
    """Marked, so that the database is made also when this module runs alone."""
    assert database.features.has_select_for_update


def at_once(*calls):
    """Runs all of them at the same moment, each on a connection of its own; errors are raised."""
    start = threading.Barrier(len(calls))
    errors = []

    def run(call):
        try:
            start.wait()
            call()
        except BillingError:
            pass  # a refusal is an answer
        except Exception as error:
            errors.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run, args=[call]) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


def press_pay(bill):
    url = reverse("client_billing:checkout", args=[bill.token])
    answer = Client().post(url)
    assert answer.status_code in (200, 303, 409, 429, 503), answer.status_code
    return answer


def six_pay_and_one_deletes(bill):
    faults.add("hold", path=SESSIONS, method="POST", times=None, delay_ms=HELD_MS)
    at_once(
        *[lambda: press_pay(bill)] * 6,
        lambda: delete_request(bill.pk, user=None),
    )
    faults.clear()


def settle(bill):
    """Who was refused because somebody else was at it is heard by the sweep."""
    bill.refresh_from_db()
    if bill.hold:
        finish_hold(bill.pk)
    reconcile(bill.pk, cause=LogEntry.Cause.SWEEP)
    bill.refresh_from_db()


@pytest.mark.parametrize("_round", range(3))
def test_rule_4_six_press_pay_and_a_seventh_deletes(bill, world, _round):
    six_pay_and_one_deletes(bill)
    assert len(world.payable(bill)) <= 1
    settle(bill)
    if bill.status == "deleted":
        assert world.payable(bill) == []
        assert not bill.live_attempt
    else:
        assert (bill.status, bill.hold) == ("pending", "")
        assert len(world.payable(bill)) <= 1


def test_rule_4_six_press_pay_and_one_session_is_made(bill, world):
    faults.add("hold", path=SESSIONS, method="POST", times=None, delay_ms=HELD_MS)
    at_once(*[lambda: press_pay(bill)] * 6)
    assert len(world.sessions(bill)) == 1
    (attempt,) = bill.attempts.all()
    # The lock let one through; were it ever forgotten, the constraint still would.
    attempt.pk, attempt.n = None, 2
    attempt.session_id, attempt.idempotency_key = None, "another"
    with pytest.raises(IntegrityError):
        attempt.save(force_insert=True)


@pytest.mark.parametrize("_round", range(3))
def test_rule_5_payment_meets_delete(bill, world, _round):
    open_checkout(bill.pk)
    (session,) = world.payable(bill)

    def pay():
        with suppress(checkout.NotOpen):
            checkout.pay(session["id"])

    at_once(pay, lambda: delete_request(bill.pk, user=None))
    settle(bill)
    paid = bool(books.payments(str(bill.uuid)))
    assert bill.status == ("paid" if paid else "deleted")
    assert bill.payments.count() == int(paid)
    assert not bill.paid_late


def test_rule_6_one_payment_told_by_six_at_once_is_booked_once(bill, world):
    open_checkout(bill.pk)
    world.pay(bill)
    at_once(*[lambda: reconcile(bill.pk, cause=LogEntry.Cause.WEBHOOK)] * 6)
    bill.refresh_from_db()
    assert bill.status == "paid"
    assert bill.payments.count() == 1
    assert bill.deliveries.filter(kind=EmailDelivery.Kind.RECEIPT).count() == 1
    assert bill.log_entries.filter(action=LogEntry.Action.PAID).count() == 1


def test_the_same_event_delivered_six_times_at_once_is_one_row(bill, world):
    open_checkout(bill.pk)
    world.pay(bill)
    (event,) = world.events("checkout.session.completed")
    endpoint = WebhookEndpoint.objects.get(state="active")
    at_once(*[lambda: world.deliver(event, endpoint)] * 6)
    assert StripeEvent.objects.filter(event_id=event["id"]).count() == 1
    assert receive  # the function behind the URL


@contextmanager
def one_blocked_by(bill):
    """Holds the row lock of a bill, as a transaction of somebody else would."""
    from django.db import transaction

    with transaction.atomic():
        BillingRequest.objects.select_for_update().get(pk=bill.pk)
        yield


def test_rule_2_pay_waits_for_the_row_lock(bill, world):
    """Without the lock this press would look, find nothing, and open a session meanwhile."""
    entered = threading.Event()
    done = threading.Event()

    def press():
        entered.set()
        try:
            press_pay(bill)
        finally:
            done.set()
            connections.close_all()

    thread = threading.Thread(target=press)
    with one_blocked_by(bill):
        thread.start()
        entered.wait()
        wait_until_blocked()
        BillingRequest.objects.filter(pk=bill.pk).update(status="deleted")
        assert not done.is_set()
    thread.join()
    assert world.sessions(bill) == []
    assert bill.attempts.count() == 0


def wait_until_blocked():
    """Until PostgreSQL says that somebody waits for a lock of this database."""
    waiting = (
        "SELECT count(*) FROM pg_stat_activity "
        "WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    for _ in range(2000):
        with database.cursor() as cursor:
            # Inside a transaction PostgreSQL shows the picture of the first look for ever.
            cursor.execute("SELECT pg_stat_clear_snapshot(), pg_sleep(0.005)")
            cursor.execute(waiting)
            if cursor.fetchone()[0]:
                return
    raise AssertionError("Nobody waited for the lock")


def test_rule_4_two_who_connect_at_once_make_one_account_and_one_endpoint(committed, world):
    links = []

    def person():
        row = onboarding.begin(**TYPED)
        links.append(onboarding.go_on(row))

    # Both are in the middle of it at the same time.
    faults.add("hold", path="/v2/core/accounts", method="POST", times=None, delay_ms=HELD_MS)
    with with_platform():
        at_once(person, person)
    faults.clear()
    assert len(links) == len(set(links)) == 2
    row = StripeConnection.objects.get()
    (made,) = platforms.connected()
    assert made["account"] == row.account_id
    endpoint = WebhookEndpoint.objects.get()
    assert (endpoint.state, endpoint.stripe_id) == ("active", books.endpoints()[0]["id"])
    assert len(books.endpoints()) == 1


@pytest.mark.parametrize("_round", range(3))
@pytest.mark.parametrize("change", ["edit", "mark_paid"])
def test_rule_5_payment_meets_another_change(bill, world, change, _round):
    open_checkout(bill.pk)
    (session,) = world.payable(bill)

    def pay():
        with suppress(checkout.NotOpen):
            checkout.pay(session["id"])

    def edit():
        edit_request(bill.pk, amount_minor=500, description="", email=bill.email, user=None)

    def mark():
        mark_request_paid(bill.pk, received_at=timezone.now(), user=None)

    at_once(pay, edit if change == "edit" else mark)
    settle(bill)
    paid = bool(books.payments(str(bill.uuid)))
    # Either the money came at the old terms, or the change was made and nothing came.
    if change == "edit":
        assert (bill.status, bill.amount_minor) == (("paid", 12345) if paid else ("pending", 500))
    else:
        assert bill.status == "paid"
        assert bill.payments.get().kind == ("first" if paid else "by_hand")
    assert not bill.hold
    assert not bill.review_since
    assert bool(world.payable(bill)) is False


def test_a_payment_by_hand_is_marked_and_taken_back_once(bill, world):
    def mark():
        mark_request_paid(bill.pk, received_at=timezone.now(), user=None)

    at_once(*[mark] * 6)
    settle(bill)
    assert bill.payments.count() == 1
    at_once(*[lambda: lifecycle.take_back(bill.pk, user=None)] * 6)
    assert bill.log_entries.filter(action=LogEntry.Action.TAKEN_BACK).count() == 1


def test_two_who_send_the_same_again_at_once_bill_the_client_once(bill, world):
    lifecycle.move(BillingRequest.objects.all(), "deleted", cause="editor")

    def slowly(execute, sql, *more):
        # All six have looked before the first has written, unless something keeps them waiting.
        if sql.startswith(f'INSERT INTO "{BulkItem._meta.db_table}"'):
            time.sleep(HELD_MS / 1000)
        return execute(sql, *more)

    def send_again():
        chosen = BillingRequest.objects.filter(pk=bill.pk)
        with database.execute_wrapper(slowly):
            bulk.start(BulkJob.Kind.SEND_AGAIN, chosen, user=None)

    at_once(*[send_again] * 6)
    bulk.drain(time.monotonic() + 20)
    results = Counter(BulkItem.objects.values_list("result", flat=True))
    assert results == {"sent": 1, "repeated": 5}
    assert BillingRequest.objects.count() == 2
    BulkJob.objects.update(created_at=timezone.now() - timedelta(minutes=11))
    send_again()
    bulk.drain(time.monotonic() + 20)
    assert BillingRequest.objects.count() == 3, "later it may well be meant"


def test_rule_11_two_workers_share_a_bulk_job(bill, world):
    lifecycle.move(BillingRequest.objects.all(), "deleted", cause="editor")
    job = bulk.start(BulkJob.Kind.SEND_AGAIN, BillingRequest.objects.all(), user=None)
    at_once(*[lambda: bulk.drain(time.monotonic() + 20)] * 4)
    assert list(job.items.values_list("result", "tries")) == [("sent", 1)]
    assert BillingRequest.objects.count() == 2
