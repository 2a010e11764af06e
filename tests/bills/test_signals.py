"""Signals for integrators: from the log entry, by the worker, at least once, in order."""

import time
from datetime import timedelta

import pytest
from django.db import connection as database
from django.db import transaction
from django.utils import timezone

from wagtail_client_billing import lifecycle, signals, tasks
from wagtail_client_billing.gateway.changes import delete_request
from wagtail_client_billing.gateway.checkout import open_checkout
from wagtail_client_billing.gateway.reconcile import reconcile
from wagtail_client_billing.models import BillingRequest, LogEntry
from wagtail_client_billing.signals import send_due_signals

NAMES = {
    name: getattr(signals, name)
    for name in (
        "billing_request_sent",
        "billing_request_paid",
        "billing_request_expired",
        "billing_request_deleted",
        "payment_received",
        "payment_failed",
    )
}
ENTRIES = {
    "billing_request_sent": "sent",
    "billing_request_paid": "paid",
    "billing_request_expired": "expired",
    "billing_request_deleted": "deleted",
    "payment_received": "payment",
    "payment_failed": "payment_failed",
}


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    monkeypatch.setattr(tasks, "LINGER_SECONDS", 0)


@pytest.fixture
def heard():
    """What a receiver of every signal heard: (name, number, id of the entry)."""
    ears, told = [], []
    for name, signal in NAMES.items():

        def ear(sender, request, log_entry, log_entry_id, signal, name=name, **more):
            assert sender is BillingRequest
            assert log_entry.pk == log_entry_id
            assert log_entry.request_id == request.pk
            assert log_entry.action == ENTRIES[name]
            ours = [b for b in database.atomic_blocks if not getattr(b, "_from_testcase", False)]
            assert ours == [], "inside a transaction"
            told.append((name, request.number, log_entry_id))

        signal.connect(ear)
        ears.append((signal, ear))
    yield told
    for signal, ear in ears:
        signal.disconnect(ear)


def tell():
    return send_due_signals(time.monotonic() + 20)


def names(told, bill=None):
    return [name for name, number, _pk in told if bill in (None, number)]


def pay(world, bill):
    open_checkout(bill.pk)
    world.pay(bill)
    reconcile(bill.pk, cause=LogEntry.Cause.CHECK)


def test_every_signal_comes_from_its_log_entry(world, make_bill, overdue, heard):
    paid, expired, deleted, failed = (make_bill() for _ in range(4))
    tasks.drain_outbox()
    pay(world, paid)
    lifecycle.move(
        BillingRequest.objects.filter(pk=overdue(expired).pk),
        "expired",
        cause=LogEntry.Cause.SWEEP,
    )
    delete_request(deleted.pk, user=None)
    open_checkout(failed.pk)
    session_id = world.pay_later(failed)
    reconcile(failed.pk, cause=LogEntry.Cause.CHECK)
    world.settle(session_id, False)
    reconcile(failed.pk, cause=LogEntry.Cause.CHECK)
    assert heard == [], "the worker tells, nobody else"

    tasks.drain_events()

    assert names(heard, paid.number) == [
        "billing_request_sent",
        "payment_received",
        "billing_request_paid",
    ]
    assert names(heard, expired.number) == ["billing_request_sent", "billing_request_expired"]
    assert names(heard, deleted.number) == ["billing_request_sent", "billing_request_deleted"]
    assert names(heard, failed.number) == ["billing_request_sent", "payment_failed"]
    tasks.drain_events()
    tasks.sweep()
    assert len({pk for _name, _number, pk in heard}) == len(heard)
    assert not LogEntry.objects.filter(told_at=None).exists()


def test_every_signal_that_exists_has_an_entry():
    public = [value for value in vars(signals).values() if isinstance(value, signals.Signal)]
    assert set(signals.BY_ACTION.values()) == set(public)


def test_a_receiver_that_raises_keeps_nobody_from_hearing(world, bill, heard, caplog):
    def boom(**given):
        raise ZeroDivisionError

    signals.payment_received.connect(boom)
    try:
        pay(world, bill)
        tell()
    finally:
        signals.payment_received.disconnect(boom)
    assert names(heard) == ["payment_received", "billing_request_paid"]
    assert "failed for log entry" in caplog.text
    assert tell() == 0
    bill.refresh_from_db()
    assert bill.status == "paid"


def test_a_signal_is_sent_again_after_a_crash_and_tells_that_it_is_the_same(world, bill, heard):
    def crash(**given):
        raise SystemExit

    pay(world, bill)
    signals.billing_request_paid.connect(crash)
    try:
        with pytest.raises(SystemExit):
            tell()
    finally:
        signals.billing_request_paid.disconnect(crash)
    assert tell() == 1
    assert names(heard) == ["payment_received", "billing_request_paid", "billing_request_paid"]
    assert heard[1] == heard[2], "log_entry_id names the repetition"


def test_signals_come_in_the_order_of_what_happened(world, make_bill, heard):
    bills = [make_bill() for _ in range(3)]
    for bill in bills:
        pay(world, bill)
    tell()
    ids = [pk for _name, _number, pk in heard]
    assert ids == sorted(ids)
    for bill in bills:
        assert names(heard, bill.number) == ["payment_received", "billing_request_paid"]


def test_what_another_worker_told_meanwhile_is_not_told_again(world, make_bill, heard):
    for _ in range(2):
        pay(world, make_bill())

    def other_worker(**given):
        LogEntry.objects.filter(told_at=None).update(told_at=timezone.now())

    signals.payment_received.connect(other_worker)
    try:
        assert tell() == 1
    finally:
        signals.payment_received.disconnect(other_worker)
    assert len(heard) == 1


def test_what_is_rolled_back_is_never_told(world, bill, heard, overdue):
    overdue(bill)
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        assert lifecycle.expire_overdue() == 1
        raise ZeroDivisionError
    assert tell() == 0
    assert heard == []


def test_a_receiver_sees_what_was_committed_and_may_write(world, bill):
    seen = []

    def look(request, **given):
        with transaction.atomic():
            request.description = "seen"
            request.save(update_fields=["description"])
        seen.append(request.status)

    pay(world, bill)
    signals.payment_received.connect(look)
    try:
        tell()
    finally:
        signals.payment_received.disconnect(look)
    assert seen == ["paid"]
    bill.refresh_from_db()
    assert bill.description == "seen"


def test_what_has_no_signal_counts_as_told(world, bill):
    open_checkout(bill.pk)
    assert set(bill.log_entries.values_list("action", flat=True)) == {"created", "pay_pressed"}
    assert not LogEntry.objects.filter(told_at=None).exists()


def test_the_deadline_ends_the_telling(world, bill, heard):
    pay(world, bill)
    assert send_due_signals(time.monotonic() - 1) == 0
    assert heard == []
    assert tell() == 2


def test_a_payment_that_comes_twice_is_told_once(world, bill, heard):
    pay(world, bill)
    bill.attempts.update(asked_at=timezone.now() - timedelta(days=1))
    for cause in (LogEntry.Cause.CHECK, LogEntry.Cause.WEBHOOK):
        reconcile(bill.pk, cause=cause, session_id=bill.attempts.get().session_id)
    tell()
    assert names(heard) == ["payment_received", "billing_request_paid"]
