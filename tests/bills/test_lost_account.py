"""An account that is lost to us for a while, or a key that may not do everything."""

import time
from datetime import timedelta

import pytest
import time_machine
from django.utils import timezone

from tests.bills.conftest import KEY
from wagtail_client_billing import lifecycle, sealing
from wagtail_client_billing.admin.request_form import BillingRequestForm, connections_by_mode
from wagtail_client_billing.errors import NotAllowed
from wagtail_client_billing.gateway import client, connect, event_list, webhooks
from wagtail_client_billing.gateway.checkout import open_checkout
from wagtail_client_billing.gateway.reconcile import reconcile
from wagtail_client_billing.gateway.refunds import refund_payment
from wagtail_client_billing.gateway.subscription_changes import change_subscription
from wagtail_client_billing.gateway.sweeping import sweep_stripe
from wagtail_client_billing.health import Level, diagnose
from wagtail_client_billing.models import (
    BillingRequest,
    CheckoutAttempt,
    EmailDelivery,
    Payment,
    StripeConnection,
    StripeEvent,
    Subscription,
)
from wagtail_client_billing.sandbox import books, disputes, faults, keys, objects, refunds


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    monkeypatch.setattr(client, "RETRIES_WAITING", 0)


@pytest.fixture
def now():
    """A clock to turn, which the sandbox shares."""
    with time_machine.travel(timezone.now(), tick=False) as traveller:
        yield lambda **by: traveller.shift(timedelta(**by))


def sweep():
    return sweep_stripe(time.monotonic() + 20)


def give_key(connection, without=()):
    """Another key of the same account, as an administrator links it."""
    return connect.connect_with_key(
        key=keys.make_key(connection.account_id, without=without),
        livemode=False,
        country="FR",
        privacy_policy_url="https://atelier.test/privacy",
        terms_url="https://atelier.test/terms",
        user=None,
    )


def take_rights(connection, *without):
    """What the key may do is changed at Stripe, behind our back."""
    key = keys.make_key(connection.account_id, without=without)
    StripeConnection.objects.update(sealed_key=sealing.seal(key))


def mails(bill, kind):
    return EmailDelivery.objects.filter(request=bill, kind=kind).count()


# --- What a bank is working on --------------------------------------------------------------


@pytest.fixture
def long_bill(make_bill):
    """One that lasts longer than a session does."""
    return make_bill(link_lifetime=timedelta(days=20))


def test_a_debit_under_way_outlives_the_loss_of_the_key(world, long_bill, connection, now):
    open_checkout(long_bill.pk)
    debit = world.pay_later(long_bill)
    reconcile(long_bill.pk, cause="sweep")
    keys.revoke_key(KEY)
    now(hours=25)
    assert reconcile(long_bill.pk, cause="sweep").lost
    long_bill.refresh_from_db()
    attempt = long_bill.attempts.get()
    assert (attempt.state, attempt.not_confirmed) == ("processing", False)
    assert long_bill.processing_since and not long_bill.not_confirmed
    give_key(connection)
    assert open_checkout(long_bill.pk).url is None
    assert world.payable(long_bill) == []
    world.settle(debit, succeeded=False)
    now(hours=2)
    sweep()
    long_bill.refresh_from_db()
    assert (long_bill.processing_since, long_bill.attempts.get().state) == (None, "failed")
    assert mails(long_bill, "payment_failed") == 1
    assert open_checkout(long_bill.pk).url


def test_a_debit_that_began_while_the_key_was_lost_is_found_before_anything_is_opened(
    world, long_bill, connection, now
):
    open_checkout(long_bill.pk)
    debit = world.pay_later(long_bill)
    keys.revoke_key(KEY)
    now(hours=25)
    reconcile(long_bill.pk, cause="sweep")
    attempt = long_bill.attempts.get()
    assert (attempt.state, attempt.not_confirmed) == ("expired", True)
    give_key(connection)
    # The client is faster than the sweep.
    assert open_checkout(long_bill.pk).url is None
    assert world.payable(long_bill) == []
    long_bill.refresh_from_db()
    attempt.refresh_from_db()
    assert (attempt.state, attempt.not_confirmed) == ("processing", False)
    assert long_bill.processing_since and not long_bill.not_confirmed
    world.settle(debit, succeeded=True)
    now(hours=2)
    sweep()
    long_bill.refresh_from_db()
    assert (long_bill.status, long_bill.payments.count()) == ("paid", 1)


def test_a_debit_that_failed_while_the_key_was_lost_is_told_of(world, long_bill, connection, now):
    open_checkout(long_bill.pk)
    debit = world.pay_later(long_bill)
    keys.revoke_key(KEY)
    now(hours=25)
    reconcile(long_bill.pk, cause="sweep")
    world.settle(debit, succeeded=False)
    give_key(connection)
    sweep()
    long_bill.refresh_from_db()
    assert (long_bill.attempts.get().state, long_bill.not_confirmed) == ("failed", False)
    assert mails(long_bill, "payment_failed") == 1
    assert open_checkout(long_bill.pk).url


def test_what_was_opened_meanwhile_is_closed_when_an_older_debit_turns_up(
    world, long_bill, connection, now
):
    open_checkout(long_bill.pk)
    world.pay_later(long_bill)
    keys.revoke_key(KEY)
    now(hours=25)
    reconcile(long_bill.pk, cause="sweep")
    give_key(connection)
    faults.add("503", path="/v1/checkout/sessions/", method="GET")
    assert open_checkout(long_bill.pk).url, "Stripe did not answer when it was asked first"
    reconcile(long_bill.pk, cause="sweep")
    assert world.payable(long_bill) == []
    states = list(long_bill.attempts.order_by("n").values_list("state", flat=True))
    assert states == ["processing", "expired"]


def test_nothing_is_opened_while_a_bank_is_working(world, long_bill):
    """Whatever became of the attempt here."""
    open_checkout(long_bill.pk)
    world.pay_later(long_bill)
    reconcile(long_bill.pk, cause="sweep")
    CheckoutAttempt.objects.update(state="expired")
    with pytest.raises(NotAllowed, match="still working"):
        open_checkout(long_bill.pk)
    # Its failure opens the way again, although it came to an attempt that had ended.
    lifecycle.payment_failed(long_bill.attempts.get(), cause="sweep")
    assert open_checkout(long_bill.pk).url


# --- A key that may not do all that recurring bills need --------------------------------------


@pytest.mark.parametrize("right", ["invoice_read", "subscription_write", "subscription_read"])
def test_a_recurring_bill_is_not_sent_with_a_key_that_cannot_follow_it(
    make_bill, connection, right
):
    connection = give_key(connection, without=[right])
    with pytest.raises(NotAllowed, match="Tick on Stripe’s page: (Invoices|Subscriptions)"):
        make_bill(connection=connection, billing_type="monthly")
    assert BillingRequest.objects.count() == 0
    assert make_bill(connection=connection).billing_type == "one_time"
    connection = give_key(connection)
    assert make_bill(connection=connection, billing_type="monthly").is_recurring


def test_the_form_offers_what_can_be_charged(site, connection, make_bill, admin_user):
    give_key(connection, without=["invoice_read"])
    form = BillingRequestForm(user=admin_user, site=site, connections=connections_by_mode())
    assert [value for value, _label in form.fields["billing_type"].choices] == ["one_time"]
    assert "Invoices: read" in str(form["billing_type"].help_text)
    give_key(connection)
    form = BillingRequestForm(user=admin_user, site=site, connections=connections_by_mode())
    assert len(form.fields["billing_type"].choices) == 5
    assert not form["billing_type"].help_text


def test_the_form_refuses_what_the_chosen_account_cannot_charge(site, connection, admin_user):
    """With two accounts of which one can."""
    poor = StripeConnection(
        livemode=True,
        account_id="acct_live",
        account_name="Live",
        missing_rights=["rak_invoice_read"],
    )
    both = {False: connection, True: poor}
    data = {"email": "client@bakery.test", "currency": "EUR", "amount": "12", "site": site.pk}
    data |= {"success_url": "https://a.test/", "cancel_url": "https://a.test/"}
    data |= {"billing_type": "monthly", "accounts": f"{connection.account_id} acct_live"}
    form = BillingRequestForm(data, user=admin_user, site=site, connections=both)
    assert "Invoices: read" in form.errors["billing_type"][0]
    data["test_mode"] = "on"
    form = BillingRequestForm(data, user=admin_user, site=site, connections=both)
    assert "billing_type" not in form.errors


def test_a_recurring_payment_that_may_not_be_read_is_never_given_up(
    world, make_bill, connection, now
):
    bill = make_bill(billing_type="monthly")
    open_checkout(bill.pk)
    world.pay(bill)
    take_rights(connection, "invoice_read")
    now(hours=25)
    found = reconcile(bill.pk, cause="sweep")
    assert found.lost and "Invoices: read" in found.why
    bill.refresh_from_db()
    attempt = bill.attempts.get()
    assert attempt.state in CheckoutAttempt.LIVE and not attempt.not_confirmed
    assert (bill.status, bill.not_confirmed) == ("pending", False) and bill.processing_since
    rights = [each for each in diagnose() if each.check == "rights"]
    assert [each.level for each in rights] == [Level.PROBLEM]
    assert open_checkout(bill.pk).url is None
    give_key(connection)
    sweep()
    bill.refresh_from_db()
    assert (bill.status, bill.processing_since, bill.payments.count()) == ("paid", None, 1)


def test_a_missing_box_is_a_problem_only_where_there_are_recurring_bills(make_bill, connection):
    bill = make_bill(billing_type="monthly")
    StripeConnection.objects.update(missing_rights=["rak_invoice_read"])

    def level():
        return [each.level for each in diagnose() if each.check == "rights"]

    assert level() == [Level.PROBLEM]
    lifecycle.move(BillingRequest.objects.filter(pk=bill.pk), "deleted", cause="editor")
    assert level() == [Level.ADVICE]


# --- Stripe's list of events ------------------------------------------------------------------


def listed():
    return len(books.api_calls(path="/v1/events"))


def test_what_a_key_may_not_list_is_asked_for_in_the_course_of_a_day(
    world, make_bill, connection, now
):
    faults.add("swallow", times=None)
    payments = []
    for _ in range(3):
        bill = make_bill()
        open_checkout(bill.pk)
        world.pay(bill)
        reconcile(bill.pk, cause="sweep")
        payments.append(bill.payments.get())
    take_rights(connection, "event_read")
    now(minutes=11)
    sweep()
    connection.refresh_from_db()
    assert connection.missing_rights == ["rak_event_read"]
    for _hour in range(25):
        now(hours=1)
        sweep()
    refunds.from_dashboard(payments[0].intent_id, 45)
    disputes.open(payments[1].intent_id)
    before = listed()
    moments = set()
    for _hour in range(49):
        now(hours=1)
        sweep()
        moments |= set(Payment.objects.exclude(ask_at=None).values_list("ask_at", flat=True))
    assert payments[0].refunded_minor == 45 and payments[1].disputes.count() == 1
    assert len(moments) >= 3, "not all at one moment"
    assert listed() == before


def test_an_outage_does_not_ask_about_everything_again_and_again(world, bill, connection, now):
    open_checkout(bill.pk)
    world.pay(bill)
    reconcile(bill.pk, cause="sweep")
    now(days=40)
    faults.add("503", path="/v1/events", times=None)
    asked = []
    for _minute in range(12):
        before = len(books.api_calls(path="/v1/refunds"))
        sweep()
        asked.append(len(books.api_calls(path="/v1/refunds")) - before)
        now(minutes=11)
    assert sum(asked) == 1
    now(days=1)
    sweep()
    assert len(books.api_calls(path="/v1/refunds")) >= 2


def test_the_account_that_was_never_read_comes_first(connection, now):
    now(days=2)
    StripeConnection.objects.update(events_read_at=timezone.now() - timedelta(days=1, minutes=1))
    fresh = StripeConnection.objects.create(
        livemode=True,
        account_id="acct_other",
        flow="restricted_key",
        connected_at=timezone.now() - timedelta(days=2),
    )
    due = list(event_list.accounts_to_read(timezone.now()))
    assert due == [fresh, connection]


def test_a_list_that_stripe_refuses_is_left_behind(connection, now, monkeypatch):
    now(hours=1)
    monkeypatch.setattr(event_list, "EVENTS", ("no.such.event",))
    monkeypatch.setattr(event_list, "PAGE", -1)
    assert event_list.read_events(connection)
    connection.refresh_from_db()
    assert connection.events_read_until == timezone.now()
    # A key that is refused says nothing of the list: it is read on when the account is back.
    keys.revoke_key(KEY)
    until = connection.events_read_until
    now(hours=1)
    assert event_list.read_events(connection)
    connection.refresh_from_db()
    assert connection.events_read_until == until and connection.broken_at


# --- What Stripe no longer knows --------------------------------------------------------------


def forget(kind, stripe_id):
    """As deleting the test data of an account does."""
    with books.write() as db:
        objects.remove(db, objects.find(db, kind, stripe_id))


def test_a_subscription_that_stripe_no_longer_knows_has_ended(world, make_bill, now):
    bill = make_bill(billing_type="monthly")
    open_checkout(bill.pk)
    world.pay(bill)
    reconcile(bill.pk, cause="sweep")
    subscription = bill.subscriptions.get()
    forget("subscription", subscription.stripe_id)
    now(minutes=1)
    before = EmailDelivery.objects.count()
    found = reconcile(bill.pk, cause="check", payments=None)
    assert (found.lost, found.unreachable, found.changed) == (False, False, True)
    subscription.refresh_from_db()
    assert subscription.has_ended and subscription.ended_at and subscription.ask_at is None
    entry = bill.log_entries.get(action="canceled")
    assert entry.evidence["subscription"] == subscription.stripe_id and entry.evidence["error"]
    assert EmailDelivery.objects.count() == before
    now(days=40)
    # After so long a silence everything is asked about once.
    sweep()
    now(days=1)
    calls = len(books.api_calls())
    sweep()
    assert not [
        call for call in books.api_calls()[calls:] if subscription.stripe_id in call["path"]
    ]


def test_a_payment_that_stripe_no_longer_knows_is_not_asked_about_for_ever(world, bill):
    open_checkout(bill.pk)
    world.pay(bill)
    reconcile(bill.pk, cause="sweep")
    payment = bill.payments.get()
    Payment.objects.update(ask_at=timezone.now())
    assert lifecycle.payment_forgotten(payment, "No such payment.", cause="sweep")
    payment.refresh_from_db()
    assert payment.ask_at is None
    assert bill.log_entries.get(action="checked").evidence["error"] == "No such payment."
    assert not lifecycle.payment_forgotten(payment, "No such payment.", cause="sweep")
    assert bill.log_entries.filter(action="checked").count() == 1


def test_a_person_looks_after_a_debit_that_stripe_no_longer_knows(world, bill):
    open_checkout(bill.pk)
    session = world.pay_later(bill)
    reconcile(bill.pk, cause="sweep")
    forget("checkout.session", session)
    found = reconcile(bill.pk, cause="check")
    assert (found.lost, found.asked) == (False, 1)
    bill.refresh_from_db()
    assert bill.review_reason == "no_payment" and not bill.processing_since
    assert mails(bill, "payment_failed") == 0


def test_a_recurring_payment_whose_subscription_is_gone_is_looked_after(world, make_bill):
    bill = make_bill(billing_type="monthly")
    open_checkout(bill.pk)
    world.pay(bill)
    (theirs,) = books.subscriptions(str(bill.uuid))
    forget("subscription", theirs["id"])
    assert not reconcile(bill.pk, cause="check").lost
    bill.refresh_from_db()
    assert bill.review_reason == "no_payment" and not bill.processing_since


def test_the_agreed_end_is_news(world, make_bill):
    bill = make_bill(billing_type="monthly", ends_after=3)
    open_checkout(bill.pk)
    world.pay(bill)
    reconcile(bill.pk, cause="sweep")
    end = int((timezone.now() + timedelta(days=50)).timestamp())
    subscription = bill.subscriptions.get()
    api = client.api_for(StripeConnection.objects.get())
    change = {"cancel_at": end, "proration_behavior": "none"}
    api.call(lambda stripe: stripe.v1.subscriptions.update(subscription.stripe_id, change))
    Subscription.objects.update(created_at=timezone.now() - timedelta(minutes=1))
    assert reconcile(bill.pk, cause="check").changed


# --- Events of an account that cannot be asked ------------------------------------------------


def test_events_of_a_lost_account_keep_no_other_waiting(world, make_bill, connection):
    endpoint = connection.endpoints.get()
    bills = [make_bill() for _ in range(4)]
    for bill in bills:
        open_checkout(bill.pk)
        world.pay(bill)
    for event in world.events("checkout.session.completed"):
        world.deliver(event, endpoint)
    assert StripeEvent.objects.filter(state="received").count() == 4
    # The fourth is of an account that can be asked: here, of none at all.
    last = StripeEvent.objects.order_by("-pk").first()
    StripeEvent.objects.filter(pk=last.pk).update(account="acct_other")
    keys.revoke_key(KEY)
    assert webhooks.drain(time.monotonic() + 20) == 4
    last.refresh_from_db()
    assert last.state == "refused"
    waiting = StripeEvent.objects.filter(state="received")
    assert waiting.count() == 3
    assert {event.last_error.partition(":")[0] for event in waiting} == {
        "The account cannot be asked"
    }
    assert "no longer accepts the key" in waiting[0].last_error
    # They are not lost: a new key brings what they tell.
    give_key(connection)
    StripeEvent.objects.update(next_try_at=timezone.now())
    webhooks.drain(time.monotonic() + 20)
    assert Payment.objects.count() == 3


# --- Unlinking with something left to do ------------------------------------------------------


@pytest.fixture
def asked_for(world, make_bill, connection):
    """A refund and a cancellation that Stripe was too busy for."""
    once, monthly = make_bill(), make_bill(billing_type="monthly")
    for bill in (once, monthly):
        open_checkout(bill.pk)
        world.pay(bill)
        reconcile(bill.pk, cause="sweep")
    world.down()
    refund = refund_payment(once.payments.get().pk, amount_minor=45, user=None)
    change = change_subscription(monthly.subscriptions.get().pk, "cancel_now", user=None)
    assert (refund.state, change.state) == ("creating", "asking")
    return refund, change


def states(*rows):
    for row in rows:
        row.refresh_from_db()
    return tuple(row.state for row in rows)


def test_unlinking_does_first_what_was_asked_for(world, connection, asked_for):
    world.up()
    report = connect.unlink(connection)
    assert report.finished and report.not_done == report.asking == []
    assert states(*asked_for) == ("succeeded", "done")
    assert not Subscription.objects.exclude(status="canceled").exists()
    connection.refresh_from_db()
    assert connection.sealed_key == ""


def test_unlinking_waits_with_the_key_for_what_was_asked_for(world, connection, asked_for, now):
    connection.endpoints.update(state="deleted")
    report = connect.unlink(connection)
    assert not report.finished and len(report.asking) == 2
    connection.refresh_from_db()
    assert connection.sealed_key
    world.up()
    now(minutes=5)
    sweep()
    assert states(*asked_for) == ("succeeded", "done")
    connection.refresh_from_db()
    assert connection.sealed_key == "" and connection.let_go_at


@pytest.mark.parametrize("why", ["outage", "revoked"])
def test_what_can_never_be_asked_for_does_not_wait_for_ever(world, connection, asked_for, now, why):
    refund, change = asked_for
    numbers = {refund.payment.request.number, change.subscription.request.number}
    if why == "outage":
        connect.unlink(connection)
        now(hours=2)
    else:
        world.up()
        keys.revoke_key(KEY)
    report = connect.unlink(connection)
    assert report.finished and set(report.not_done) == numbers and report.asking == []
    assert states(refund, change) == ("refused", "refused")
    assert "unlinked before Stripe had confirmed" in refund.error
    assert change.error == refund.error or "no longer accepts the key" in change.error
