"""Reminders: each once for each deadline, also after an outage, and never what is no longer true."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
import time_machine
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wagtail_client_billing import lifecycle, tasks
from wagtail_client_billing.errors import BeingChanged, NotAllowed, RemindedAlready
from wagtail_client_billing.gateway import bulk
from wagtail_client_billing.lifecycle import reminders as due_reminders
from wagtail_client_billing.lifecycle.reminder_times import is_night
from wagtail_client_billing.mail.obsolete import is_obsolete
from wagtail_client_billing.models import (
    AgencySettings,
    BillingRequest,
    BulkJob,
    EmailDelivery,
    LogEntry,
    MessageSettings,
    SiteBillingSettings,
    StripeConnection,
)

HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)
NOON = datetime(2026, 5, 5, 12, tzinfo=UTC)
Kind = EmailDelivery.Kind


def accept(request=None):
    """The mail server takes what waits, but for reminders."""
    waiting = EmailDelivery.objects.filter(state="queued").exclude(kind=Kind.REMINDER)
    for delivery in waiting:
        lifecycle.delivery_accepted(delivery)


def reminders(request=None):
    found = EmailDelivery.objects.filter(kind=Kind.REMINDER).order_by("pk")
    return list(found.filter(request=request) if request else found)


@pytest.fixture
def clock():
    with time_machine.travel(NOON, tick=False) as traveller:
        yield traveller


@pytest.fixture
def sent(clock, make_bill):
    """A bill of 24 hours, sent at noon: reminded at eight in the morning."""

    def make(**given):
        bill = make_bill(**given)
        accept()
        bill.refresh_from_db()
        return bill

    return make


def at(clock, moment):
    """How many requests are reminded then."""
    clock.move_to(moment)
    return lifecycle.queue_due(timezone.now())


def test_a_reminder_goes_four_hours_before_the_end_and_once(sent, clock):
    bill = sent()
    assert at(clock, NOON + 20 * HOUR - MINUTE) == 0
    assert at(clock, NOON + 20 * HOUR) == 1
    assert at(clock, NOON + 21 * HOUR + MINUTE) == 0
    (reminder,) = reminders()
    assert (reminder.to, reminder.language, reminder.role) == (bill.email, "en", "to")
    assert not is_obsolete(reminder)
    lifecycle.delivery_accepted(reminder)
    assert bill.log_entries.filter(action=LogEntry.Action.REMINDED).count() == 1


def test_a_week_has_two(sent, clock):
    sent(link_lifetime=timedelta(days=7))
    moment, queued = NOON, []
    while moment < NOON + timedelta(days=7):
        if at(clock, moment):
            queued.append(moment - NOON)
        moment += HOUR
    assert queued == [timedelta(days=4), timedelta(days=6, hours=20)]


def test_everybody_who_has_the_bill_is_reminded_once(sent, clock):
    long = "x" * 60 + "@" + "y" * 60 + ".example"
    sent(cc=[long, long.replace(".example", ".test")], bcc="boss@customer.example")
    for minutes in (0, 61, 122):
        at(clock, NOON + 20 * HOUR + minutes * MINUTE)
    assert [each.role for each in reminders()] == ["to", "cc", "cc", "bcc"]


def test_after_an_outage_only_the_later_one_goes(sent, clock):
    sent(link_lifetime=timedelta(days=7))
    assert at(clock, NOON + timedelta(days=6, hours=21)) == 1
    assert at(clock, NOON + timedelta(days=6, hours=22, minutes=30)) == 0
    assert [each.facts["which"] for each in reminders()] == ["second"]


def test_after_an_outage_the_first_goes_while_the_second_is_to_come(sent, clock):
    sent(link_lifetime=timedelta(days=7))
    assert at(clock, NOON + timedelta(days=6)) == 1
    assert at(clock, NOON + timedelta(days=6, hours=20)) == 1
    assert [each.facts["which"] for each in reminders()] == ["first", "second"]


def test_of_two_that_waited_for_the_mail_server_the_later_one_goes(sent, clock):
    sent(link_lifetime=timedelta(days=7))
    at(clock, NOON + timedelta(days=4))
    at(clock, NOON + timedelta(days=6, hours=20))
    first, second = reminders()
    assert (is_obsolete(first), is_obsolete(second)) == (True, False)


def test_in_the_last_hour_it_is_too_late(sent, clock):
    sent()
    assert at(clock, NOON + 23 * HOUR + 16 * MINUTE) == 0


def test_at_night_it_waits_for_the_morning(sent, clock, site):
    SiteBillingSettings.objects.create(site=site, time_zone="Europe/Paris")
    # Sent at 14:00 in Paris with 20 hours: at 6:00 it is night, the evening before at 20:00 is not.
    sent(link_lifetime=20 * HOUR)
    assert at(clock, NOON + 6 * HOUR - MINUTE) == 0
    # The worker stands still from before 20:00 until 22:00.
    assert at(clock, NOON + 8 * HOUR) == 0
    assert at(clock, NOON + 18 * HOUR - MINUTE) == 0
    assert at(clock, NOON + 18 * HOUR) == 1


@pytest.mark.parametrize(
    "values",
    [
        {"status": "paid"},
        {"status": "deleted"},
        {"status": "expired"},
        {"hold": "edit"},
        {"processing_since": NOON},
        {"review_since": NOON},
        {"sent_at": None},
        {"expires_at": NOON},
    ],
)
def test_who_is_not_reminded(sent, clock, values):
    sent()
    BillingRequest.objects.update(**values)
    assert at(clock, NOON + 20 * HOUR) == 0
    BillingRequest.objects.update(
        status="pending", hold="", processing_since=None, review_since=None
    )
    BillingRequest.objects.update(sent_at=NOON, expires_at=NOON + 24 * HOUR)
    assert at(clock, NOON + 20 * HOUR) == 1


@pytest.mark.parametrize(
    "values",
    [
        {"status": "paid"},
        {"status": "deleted"},
        {"status": "expired"},
        {"processing_since": NOON},
        {"review_since": NOON},
        {"email": "other@customer.example"},
        {"expires_at": NOON + 48 * HOUR},
        {"expires_at": NOON},
    ],
)
def test_what_is_no_longer_true_by_the_time_that_it_is_sent(sent, clock, values):
    sent()
    at(clock, NOON + 20 * HOUR)
    BillingRequest.objects.update(**values)
    (reminder,) = reminders()
    assert is_obsolete(reminder)


def test_switched_off_is_off_at_once(sent, clock):
    bill = sent()
    at(clock, NOON + 20 * HOUR)
    MessageSettings.objects.create(kind=Kind.REMINDER, enabled=False)
    (reminder,) = reminders()
    assert is_obsolete(reminder)
    EmailDelivery.objects.filter(kind=Kind.REMINDER).delete()
    assert at(clock, NOON + 20 * HOUR) == 0
    with pytest.raises(NotAllowed, match="switched off"):
        lifecycle.remind(bill, user=None)
    MessageSettings.objects.update(enabled=True)
    AgencySettings.objects.update(second_reminder=None)
    assert at(clock, NOON + 20 * HOUR) == 0


def test_a_renewed_bill_is_reminded_again(sent, clock):
    bill = sent()
    at(clock, NOON + 20 * HOUR)
    clock.move_to(NOON + 25 * HOUR)
    lifecycle.expire_overdue()
    lifecycle.renew(bill.pk, user=None)
    # Nobody has had the new link yet.
    assert at(clock, NOON + 45 * HOUR) == 0
    clock.move_to(NOON + 25 * HOUR)
    accept()
    assert at(clock, NOON + 45 * HOUR) == 1
    assert len(reminders()) == 2


def test_another_reader_has_just_had_the_link(sent, clock):
    bill = sent()
    assert at(clock, NOON + 20 * HOUR) == 1
    lifecycle.place_hold(bill.pk, "edit", user=None, data={"email": "new@customer.example"})
    lifecycle.apply_hold(bill.pk)
    accept()
    assert at(clock, NOON + 21 * HOUR + 2 * MINUTE) == 0
    assert len(reminders()) == 1


def test_one_that_waited_into_the_night_is_put_off(sent, clock):
    bill = sent(link_lifetime=16 * HOUR)
    # Ends at 4:00, would be at midnight: goes at 20:00.
    assert at(clock, NOON + 8 * HOUR) == 1
    (reminder,) = reminders()
    evening, night = NOON + 8 * HOUR, NOON + 10 * HOUR
    assert lifecycle.put_off_until(reminder, evening) is None
    assert lifecycle.put_off_until(reminder, night) == NOON + 20 * HOUR
    BillingRequest.objects.update(hold="edit", hold_since=evening)
    reminder.request.refresh_from_db()
    assert lifecycle.put_off_until(reminder, evening) == evening + 2 * MINUTE
    # What staff ask for goes when they ask.
    reminder.facts = {"expires_at": bill.expires_at.isoformat()}
    reminder.request.hold = ""
    assert lifecycle.put_off_until(reminder, night) is None


def test_the_sweep_queues_them(sent, clock):
    sent()
    clock.move_to(NOON + 20 * HOUR)
    tasks.sweep()
    assert len(reminders()) == 1


def test_a_limit_is_kept_and_the_rest_follows(sent, clock):
    for _each in range(3):
        sent()
    clock.move_to(NOON + 20 * HOUR)
    assert lifecycle.queue_due(timezone.now(), 2) == 2
    assert lifecycle.queue_due(timezone.now(), 2) == 1


# --- By staff -------------------------------------------------------------------------------


def test_staff_remind_at_most_once_an_hour(sent, clock, django_user_model):
    user = django_user_model.objects.create_user("ed")
    bill = sent(cc=["copy@customer.example"])
    assert len(lifecycle.remind(bill, user=user)) == 2
    with pytest.raises(RemindedAlready):
        lifecycle.remind(bill, user=user)
    clock.move_to(NOON + HOUR + MINUTE)
    lifecycle.remind(bill, user=user)
    asked = bill.log_entries.filter(action=LogEntry.Action.REMINDER_ASKED)
    assert [entry.user for entry in asked] == [user, user]


def test_the_sweep_leaves_an_hour_after_staff(sent, clock):
    bill = sent()
    clock.move_to(NOON + 20 * HOUR - 5 * MINUTE)
    lifecycle.remind(bill, user=None)
    assert at(clock, NOON + 20 * HOUR) == 0
    assert at(clock, NOON + 21 * HOUR) == 1


@pytest.mark.parametrize(
    ("values", "error"),
    [
        ({"hold": "edit"}, BeingChanged),
        ({"sent_at": None}, NotAllowed),
        ({"status": "paid"}, NotAllowed),
        ({"processing_since": NOON}, NotAllowed),
        ({"review_since": NOON}, NotAllowed),
        ({"expires_at": NOON}, NotAllowed),
    ],
)
def test_what_staff_cannot_remind_of(sent, values, error):
    bill = sent()
    BillingRequest.objects.update(**values)
    with pytest.raises(error):
        lifecycle.remind(bill, user=None)
    assert reminders() == []


def test_many_at_once(sent, clock):
    bills = [sent() for _each in range(4)]
    lifecycle.remind(bills[0], user=None)
    BillingRequest.objects.filter(pk=bills[1].pk).update(status="paid")
    BillingRequest.objects.filter(pk=bills[2].pk).update(hold="edit")
    job = bulk.start(BulkJob.Kind.REMIND, BillingRequest.objects.all(), user=None)
    while bulk.drain(float("inf")):
        pass
    results = dict(job.items.values_list("request", "result"))
    assert [results[bill.pk] for bill in bills] == ["too_soon", "paid", "held", "reminded"]
    # A worker that died after it had reminded: the next one finds it.
    clock.move_to(NOON + 2 * HOUR)
    last = job.items.filter(request=bills[3])
    last.update(state="working", claimed_at=NOON)
    assert bulk.drain(float("inf")) == 1
    assert last.get().result == "reminded"
    assert len(reminders(bills[3])) == 1


# --- Whatever happens -----------------------------------------------------------------------


@given(
    zone=st.sampled_from(["UTC", "Europe/Paris", "Asia/Kathmandu", "Pacific/Kiritimati"]),
    first=st.one_of(st.none(), st.integers(1, 96)),
    second=st.one_of(st.none(), st.integers(1, 48)),
    hours=st.integers(1, 200),
    start=st.integers(0, 24 * 60),
    waits=st.lists(st.integers(1, 36 * 60), min_size=5, max_size=14),
    renewals=st.sets(st.integers(0, 13), max_size=3),
)
@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_reminders_machine(
    make_bill, agency, connection, zone, first, second, hours, start, waits, renewals
):
    """Sweeps at any times, with outages between them; bills that are renewed after their end."""
    EmailDelivery.objects.all().delete()
    lengths = {"first": first and first * HOUR, "second": second and second * HOUR}
    AgencySettings.objects.update(
        first_reminder=lengths["first"], second_reminder=lengths["second"]
    )
    with time_machine.travel(NOON + start * MINUTE, tick=False) as clock:
        bill = make_bill(link_lifetime=hours * HOUR)
        SiteBillingSettings.objects.update_or_create(site=bill.site, defaults={"time_zone": zone})
        accept()
        told = timezone.now()
        for n, wait in enumerate(waits):
            clock.shift(wait * MINUTE)
            now = timezone.now()
            lifecycle.expire_overdue()
            bill.refresh_from_db()
            if bill.status == "expired" and n in renewals:
                lifecycle.renew(bill.pk, user=None)
                accept()
                bill.refresh_from_db()
                told = now
            before = len(reminders(bill))
            lifecycle.queue_due(now)
            lifecycle.queue_due(now)
            new = reminders(bill)[before:]
            assert len(new) <= 1
            for reminder in new:
                assert bill.status == "pending"
                assert not is_night(now, ZoneInfo(zone))
                assert told + HOUR <= now <= bill.expires_at - 45 * MINUTE
                assert not is_obsolete(reminder)
                assert hours * HOUR >= 2 * lengths[reminder.facts["which"]]
        seen = [(each.facts["which"], each.facts["expires_at"]) for each in reminders(bill)]
        assert len(seen) == len(set(seen))
        rank = {name: length for name, length in lengths.items() if length}
        for deadline in {end for _which, end in seen}:
            order = [rank[which] for which, end in seen if end == deadline]
            # The one closer to the end is the last.
            assert order == sorted(order, reverse=True)
    StripeConnection.objects.update(broken_at=None)


def test_whoever_comes_second_to_the_lock_finds_it_queued(sent, clock):
    """Two workers had both seen it due before either had the lock."""
    bill = sent()
    clock.move_to(NOON + 20 * HOUR)
    offsets = due_reminders._offsets()
    assert due_reminders._remind_if_due(bill.pk, offsets, timezone.now())
    clock.move_to(NOON + 21 * HOUR + MINUTE)
    assert not due_reminders._remind_if_due(bill.pk, offsets, timezone.now())
    assert len(reminders()) == 1
