"""The sweep expires, finishes, asks and heals; the worker is only ever woken."""

import sys
import time
from datetime import timedelta
from types import SimpleNamespace

import pytest
from django.apps import apps
from django.core import mail
from django.core.cache import cache
from django.core.management import call_command
from django.db import transaction
from django.db.models.signals import post_migrate
from django.utils import timezone

from wagtail_client_billing import lifecycle, scheduling, tasks, waking
from wagtail_client_billing.errors import NotAllowed, StripeUnavailable
from wagtail_client_billing.gateway import client, sweeping
from wagtail_client_billing.gateway.changes import delete_request
from wagtail_client_billing.gateway.checkout import open_checkout
from wagtail_client_billing.gateway.reconcile import reconcile
from wagtail_client_billing.gateway.sweeping import sweep_stripe
from wagtail_client_billing.models import (
    BillingRequest,
    CheckoutAttempt,
    Heartbeat,
    LogEntry,
    StripeConnection,
    StripeEvent,
)
from wagtail_client_billing.sandbox import books, faults, sessions

SESSIONS = "/v1/checkout/sessions"


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    monkeypatch.setattr(client, "RETRIES_WAITING", 0)
    monkeypatch.setattr(tasks, "LINGER_SECONDS", 0)


def fresh(bill):
    bill.refresh_from_db()
    return bill


def asked_about(bill, since=0):
    """How often Stripe was asked about the bill's sessions."""
    ids = [session["id"] for session in books.sessions(str(bill.uuid))]
    return sum(any(i in call["path"] for i in ids) for call in books.api_calls()[since:])


def sweep():
    """The sweep of an installation that has just read Stripe's list of events."""
    now = timezone.now()
    StripeConnection.objects.update(events_read_at=now, events_read_until=now)
    return sweep_stripe(time.monotonic() + 20)


# --- Expiry ---------------------------------------------------------------------------------


def test_rule_5_what_is_over_and_was_never_opened_expires_without_stripe(world, bill, overdue):
    before = len(books.api_calls())
    tasks.sweep()
    assert fresh(bill).status == "pending"
    overdue(bill)
    tasks.sweep()
    assert fresh(bill).status == "expired"
    assert len(books.api_calls()) == before
    entry = bill.log_entries.get(action="expired")
    assert (entry.cause, entry.old_status, entry.new_status) == ("sweep", "pending", "expired")
    tasks.sweep()
    assert bill.log_entries.filter(action="expired").count() == 1


def test_rule_5_what_can_still_be_paid_is_closing_and_not_expired(world, bill, overdue, later):
    open_checkout(bill.pk)
    overdue(bill)
    later(minutes=1)
    tasks.sweep()
    assert (fresh(bill).status, bill.is_closing) == ("pending", True)
    assert len(world.payable(bill)) == 1


def blocked_by(what, bill):
    now = timezone.now()
    if what == "hold":
        lifecycle.place_hold(bill.pk, BillingRequest.Hold.DELETE)
    elif what == "review":
        BillingRequest.objects.filter(pk=bill.pk).update(review_since=now)
    else:
        CheckoutAttempt.objects.create(
            request=bill,
            n=1,
            state=what,
            account_id=bill.account_id,
            livemode=False,
            amount_minor=1,
            currency="EUR",
            idempotency_key="k",
            asked_at=now,
            expires_at=now + timedelta(hours=1),
        )


@pytest.mark.parametrize("what", ["hold", "review", "creating", "open", "processing"])
def test_rule_5_expiry_leaves_alone_what_is_in_other_hands(world, make_bill, overdue, what):
    blocked, free = overdue(make_bill()), overdue(make_bill())
    blocked_by(what, blocked)
    assert lifecycle.expire_overdue() == 1
    assert (fresh(blocked).status, fresh(free).status) == ("pending", "expired")
    # Nor may anybody who asks for it by name.
    chosen = BillingRequest.objects.filter(pk=blocked.pk)
    assert lifecycle.move(chosen, "expired", cause=LogEntry.Cause.SWEEP) == []


@pytest.mark.parametrize("state", ["complete", "expired", "failed"])
def test_an_attempt_that_is_over_does_not_keep_a_bill_from_expiring(world, bill, overdue, state):
    blocked_by(state, overdue(bill))
    assert lifecycle.expire_overdue() == 1


def test_expiry_is_done_in_portions(world, make_bill, overdue):
    for _ in range(3):
        overdue(make_bill())
    assert lifecycle.expire_overdue(limit=2) == 2
    assert lifecycle.expire_overdue(limit=2) == 1
    assert lifecycle.expire_overdue(limit=2) == 0


def test_rule_5_a_session_that_ended_unpaid_lets_the_bill_expire(world, bill, later):
    open_checkout(bill.pk)
    later(hours=25)
    sessions.end_due()
    tasks.sweep()
    assert fresh(bill).status == "expired"
    assert bill.attempts.get().state == "expired"
    assert bill.not_confirmed is False


def test_rule_5_nothing_new_is_opened_after_the_deadline(world, bill, overdue, later):
    """An attempt that never got through counts as new when Pay is pressed again too late."""
    world.down()
    with pytest.raises(StripeUnavailable):
        open_checkout(bill.pk)
    world.up()
    overdue(bill)
    with pytest.raises(NotAllowed):
        open_checkout(bill.pk)
    assert world.sessions(bill) == []
    later(minutes=3)
    tasks.sweep()
    assert (fresh(bill).status, world.payable(bill)) == ("expired", [])


def test_rule_5_a_session_that_nobody_was_led_to_is_closed_after_the_deadline(
    world, bill, overdue, later
):
    faults.add("lost", path=SESSIONS, method="POST")
    with pytest.raises(StripeUnavailable):
        open_checkout(bill.pk)
    overdue(bill)
    assert len(world.payable(bill)) == 1
    later(minutes=3)
    tasks.sweep()
    assert (fresh(bill).status, world.payable(bill)) == ("expired", [])


# --- Asking ---------------------------------------------------------------------------------


def test_a_young_session_is_asked_about_often_and_an_old_one_every_ten_minutes(world, bill, later):
    open_checkout(bill.pk)
    assert sweep() == 0
    for _ in range(3):
        later(seconds=44)
        assert sweep() == 0
        later(seconds=2)
        assert sweep() == 1
    later(minutes=14)
    assert sweep() == 1
    for _ in range(3):
        later(minutes=9)
        assert sweep() == 0
        later(minutes=2)
        assert sweep() == 1
    assert asked_about(bill) == 7
    assert fresh(bill).status == "pending"


def test_a_session_past_its_end_is_asked_about_often_again(world, bill, later):
    open_checkout(bill.pk)
    later(hours=1)
    assert sweep() == 1
    bill.attempts.update(expires_at=timezone.now())
    later(seconds=46)
    assert sweep() == 1


def test_a_swallowed_webhook_is_found_by_the_sweep(world, bill, later):
    open_checkout(bill.pk)
    faults.add("swallow", times=None)
    world.pay(bill)
    assert not StripeEvent.objects.exists()
    later(minutes=1)
    tasks.sweep()
    assert (fresh(bill).status, bill.paid_late) == ("paid", False)
    assert bill.log_entries.get(action="paid").cause == "sweep"


@pytest.mark.parametrize(("succeeded", "status"), [(True, "paid"), (False, "pending")])
def test_a_delayed_payment_is_processing_until_the_bank_has_spoken(
    world, bill, later, succeeded, status
):
    open_checkout(bill.pk)
    session_id = world.pay_later(bill)
    later(minutes=1)
    tasks.sweep()
    assert fresh(bill).processing_since
    assert bill.attempts.get().state == "processing"
    assert open_checkout(bill.pk).url is None
    # It is asked about every hour, and stays out of expiry.
    later(minutes=59)
    assert sweep() == 0
    later(hours=24)
    tasks.sweep()
    assert (fresh(bill).status, bill.is_over) == ("pending", True)
    world.settle(session_id, succeeded)
    later(minutes=61)
    tasks.sweep()
    fresh(bill)
    assert bill.processing_since is None
    if succeeded:
        assert (bill.status, bill.paid_late) == ("paid", False)
        assert bill.payments.get().source == bill.attempts.get().payment_intent_id
    else:
        # The time to pay had run out meanwhile.
        assert bill.status == "expired"
        assert bill.attempts.get().state == "failed"


def test_a_delayed_payment_that_fails_in_time_can_be_paid_again(world, bill, later):
    open_checkout(bill.pk)
    session_id = world.pay_later(bill)
    reconcile(bill.pk, cause=LogEntry.Cause.RETURN_PAGE)
    world.settle(session_id, False)
    later(minutes=61)
    tasks.sweep()
    assert (fresh(bill).status, bill.processing_since) == ("pending", None)
    told = bill.deliveries.filter(kind__in=["payment_failed", "agency_failed"])
    assert sorted(told.values_list("kind", flat=True)) == ["agency_failed", "payment_failed"]
    assert open_checkout(bill.pk).url
    assert list(bill.attempts.values_list("state", flat=True)) == ["failed", "open"]
    tasks.sweep()
    assert told.count() == 2


def test_a_breakdown_that_the_key_remembers_does_not_end_the_bill(world, bill):
    """Stripe repeats the 500 for this key for a day; another key is another try."""
    faults.add("500", path=SESSIONS, method="POST")
    with pytest.raises(StripeUnavailable):
        open_checkout(bill.pk)
    with pytest.raises(Exception, match="Stripe"):
        open_checkout(bill.pk)
    assert open_checkout(bill.pk).url
    assert list(bill.attempts.values_list("state", flat=True)) == ["failed", "open"]
    assert len(world.payable(bill)) == 1


def test_a_session_left_behind_by_a_bill_that_ended_is_closed(world, bill, later):
    open_checkout(bill.pk)
    BillingRequest.objects.filter(pk=bill.pk).update(status="paid")
    later(seconds=1)
    tasks.sweep()
    assert world.payable(bill) == []
    assert bill.attempts.get().state == "expired"
    assert fresh(bill).status == "paid"


# --- Fairness -------------------------------------------------------------------------------


def opened(make_bill, count):
    bills = [make_bill() for _ in range(count)]
    for bill in bills:
        open_checkout(bill.pk)
    return bills


def fail_for(world, bills):
    for bill in bills:
        (session,) = world.payable(bill)
        faults.add("503", path=f"{SESSIONS}/{session['id']}", times=None)


def test_rule_7_three_failures_end_stripes_share_and_mail_still_goes(world, make_bill, later):
    bills = opened(make_bill, 5)
    before = len(books.api_calls())
    later(minutes=1)
    world.down()
    mail.outbox.clear()
    tasks.sweep()
    assert len(books.api_calls()) - before == 3
    assert len(mail.outbox) == 5
    assert Heartbeat.objects.get(name="sweep").beat_at == timezone.now()
    world.up()
    assert [fresh(bill).status for bill in bills] == ["pending"] * 5


def test_rule_7_a_session_that_fails_for_ever_starves_no_other(world, make_bill, later):
    bills = opened(make_bill, 5)
    failing, well = bills[:3], bills[3:]
    fail_for(world, failing)
    for bill in well:
        world.pay(bill)
    for _ in range(2):
        later(minutes=1)
        sweep()
    assert [fresh(bill).status for bill in well] == ["paid", "paid"]


def test_rule_7_holds_that_fail_for_ever_starve_nobody(world, make_bill, later, overdue):
    bills = opened(make_bill, 6)
    failing, held, paid = bills[:4], bills[4], bills[5]
    fail_for(world, failing)
    for bill in failing:
        assert delete_request(bill.pk, user=None) == "waiting"
    lifecycle.place_hold(held.pk, BillingRequest.Hold.DELETE)
    world.pay(paid)
    for _ in range(3):
        later(minutes=3)
        sweep()
    assert fresh(paid).status == "paid"
    assert fresh(held).status == "deleted"
    assert [fresh(bill).status for bill in failing] == ["pending"] * 4


def test_a_step_with_a_bug_in_its_way_keeps_nobody_waiting(
    world, make_bill, later, monkeypatch, caplog
):
    bills = opened(make_bill, 3)
    for bill in bills:
        world.pay(bill)
    real = sweeping.reconcile

    def broken(pk, **given):
        if pk == bills[0].pk:
            raise ZeroDivisionError
        return real(pk, **given)

    monkeypatch.setattr(sweeping, "reconcile", broken)
    later(minutes=1)
    tasks.sweep()
    assert [fresh(bill).status for bill in bills] == ["pending", "paid", "paid"]
    assert "A step of the sweep failed" in caplog.text


def test_no_step_is_begun_past_the_deadline(world, make_bill, later):
    opened(make_bill, 2)
    later(minutes=1)
    assert sweep_stripe(time.monotonic() - 1) == 0


@pytest.mark.parametrize(
    ("timeout", "seconds"), [(60, 20), (600, 40), (41, 1), (5, 1), (None, 40), (0, 40)]
)
def test_rule_7_a_budget_ends_before_the_cluster_ends_the_task(settings, timeout, seconds):
    settings.Q_CLUSTER = {"timeout": timeout}
    assert tasks.budget() == seconds
    if timeout and timeout > 40:
        assert tasks.budget() + tasks.SLOWEST_STEP_SECONDS < timeout


def test_without_a_cluster_there_is_a_budget_as_well(settings):
    del settings.Q_CLUSTER
    assert tasks.budget() == 40


# --- Tasks ----------------------------------------------------------------------------------

TASKS = ["drain_events", "drain_outbox", "sweep"]


@pytest.mark.parametrize("name", TASKS)
def test_rule_11_a_task_takes_nothing_and_may_run_twice(world, bill, name):
    open_checkout(bill.pk)
    world.pay(bill)
    endpoint = bill_endpoint(bill)
    (event,) = world.events("checkout.session.completed")
    assert world.deliver(event | {"account": None}, endpoint).status_code == 200
    task = getattr(tasks, name)
    first, second = task(), task()
    assert first >= 1
    if name != "drain_events":
        # What the first run did may be work for the second, but never the same work again.
        task()
    assert len(mail.outbox) == bill.deliveries.filter(state="sent").count()
    assert bill.payments.count() <= 1
    assert Heartbeat.objects.filter(name=name).count() == 1
    assert second >= 0


def bill_endpoint(bill):
    from wagtail_client_billing.models import WebhookEndpoint

    return WebhookEndpoint.objects.get(connection__account_id=bill.account_id)


def test_rule_11_a_drain_looks_again_for_a_while(monkeypatch, db):
    """Work that comes while the worker is idle, and whose wake-up was coalesced, is found."""
    monkeypatch.setattr(tasks, "LINGER_SECONDS", 2.0)
    clock = SimpleNamespace(now=100.0)

    def sleep(seconds):
        clock.now += seconds

    monkeypatch.setattr(tasks, "time", SimpleNamespace(monotonic=lambda: clock.now, sleep=sleep))
    looks = []

    def once(deadline, service):
        looks.append(clock.now)
        return 1 if len(looks) in (1, 6) else 0

    assert tasks._drain("test", once) == 2
    # The last look is two seconds after the last that found something.
    assert looks[-1] - looks[5] >= 2.0
    assert looks[-1] - 100.0 < 4.0


def test_rule_7_a_drain_that_runs_out_of_time_wakes_its_successor(monkeypatch, db):
    clock = SimpleNamespace(now=100.0)
    woken = []
    monkeypatch.setattr(
        tasks, "time", SimpleNamespace(monotonic=lambda: clock.now, sleep=lambda s: None)
    )
    monkeypatch.setattr(tasks, "wake", woken.append)

    def once(deadline, service):
        clock.now += 7
        return 1

    assert tasks._drain("drain_outbox", once) == 3
    assert woken == ["drain_outbox"]


# --- Waking ---------------------------------------------------------------------------------


@pytest.fixture
def queued(monkeypatch):
    import django_q.tasks

    names = []
    monkeypatch.setattr(
        django_q.tasks, "async_task", lambda path, *args, **given: names.append((path, args, given))
    )
    cache.clear()
    yield names
    cache.clear()


def test_rule_11_wake_ups_are_coalesced_within_a_second(queued, later):
    assert [waking.wake("sweep") for _ in range(3)] == [True, False, False]
    assert waking.wake("drain_outbox") is True
    later(seconds=1.1)
    assert waking.wake("sweep") is True
    assert [path for path, _args, _given in queued] == [
        "wagtail_client_billing.tasks.sweep",
        "wagtail_client_billing.tasks.drain_outbox",
        "wagtail_client_billing.tasks.sweep",
    ]


def test_rule_11_a_wake_up_names_a_task_and_carries_nothing(queued):
    for name in TASKS:
        waking.wake(name)
    for path, args, given in queued:
        module, _, name = path.rpartition(".")
        assert callable(getattr(sys.modules[module], name))
        assert args == ()
        assert set(given) == {"task_name"}


@pytest.mark.parametrize("broken", ["broker", "cache", "django_q"])
def test_rule_11_waking_never_raises(monkeypatch, broken, make_bill, caplog):
    cache.clear()

    def down(*args, **kwargs):
        raise ConnectionError("out of order")

    if broken == "cache":
        monkeypatch.setattr(waking, "cache", SimpleNamespace(add=down))
    elif broken == "broker":
        monkeypatch.setattr("django_q.tasks.async_task", down)
    else:
        monkeypatch.setitem(sys.modules, "django_q.tasks", None)
    assert waking.wake("sweep") is False
    assert "Could not wake" in caplog.text
    cache.clear()
    assert make_bill().pk


def test_rule_11_the_worker_is_woken_on_commit_and_not_before(
    queued, make_bill, django_capture_on_commit_callbacks
):
    with django_capture_on_commit_callbacks(execute=True):
        make_bill()
        assert queued == []
    assert [path for path, _args, _given in queued] == ["wagtail_client_billing.tasks.drain_outbox"]


def test_rule_11_what_is_rolled_back_wakes_nobody(
    queued, make_bill, django_capture_on_commit_callbacks
):
    with (
        django_capture_on_commit_callbacks(execute=True),
        pytest.raises(ZeroDivisionError),
        transaction.atomic(),
    ):
        make_bill()
        raise ZeroDivisionError
    assert queued == []


# --- The schedule ---------------------------------------------------------------------------


def schedules():
    return apps.get_model("django_q", "Schedule").objects.filter(name=scheduling.NAME)


def test_rule_11_the_schedule_is_made_once_and_stays_as_the_operator_changed_it(db):
    def migrated():
        config = apps.get_app_config("wagtail_client_billing")
        post_migrate.send(sender=config, app_config=config, using="default", verbosity=0)

    schedules().delete()
    migrated()
    (schedule,) = schedules()
    assert (schedule.func, schedule.minutes, schedule.repeats) == (
        "wagtail_client_billing.tasks.sweep",
        1,
        -1,
    )
    assert schedule.args is None and schedule.kwargs is None
    schedules().update(minutes=5)
    migrated()
    (schedule,) = schedules()
    assert schedule.minutes == 5


def test_the_schedule_is_there_after_migrate(db):
    assert schedules().count() == 1


def test_without_django_q_there_is_no_schedule_and_no_error(db, monkeypatch):
    schedules().delete()
    with monkeypatch.context() as patched:
        patched.setattr(apps, "is_installed", lambda name: False)
        scheduling.schedule_sweep()
    with monkeypatch.context() as patched:
        schedule = apps.get_model("django_q", "Schedule")
        patched.setattr(schedule._meta, "db_table", "not_migrated_yet")
        scheduling.schedule_sweep()
    assert schedules().count() == 0


def test_the_command_does_all_that_the_schedule_does(world, bill, overdue):
    command = "client_billing_sweep"
    from django.core.management import get_commands

    if command not in get_commands():
        pytest.skip("the command is not there yet")
    overdue(bill)
    call_command(command)
    assert fresh(bill).status == "expired"
