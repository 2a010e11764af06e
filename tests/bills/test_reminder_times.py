"""When a client is reminded: whatever the zone, the deadline and the agency's choice."""

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from wagtail_client_billing.lifecycle.reminder_times import (
    GRACE,
    LEAST,
    MOST_EARLIER,
    Deadline,
    due_at,
    goes_now,
    is_night,
    morning_after,
)

HOUR = timedelta(hours=1)
# Half hours, a zone whose clock is put by half an hour, both ends of the date line, and none.
ZONES = [
    "UTC",
    "Europe/Paris",
    "America/New_York",
    "Asia/Kolkata",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",
    "Pacific/Kiritimati",
    "Pacific/Pago_Pago",
    "America/St_Johns",
    "Africa/Cairo",
]

zones = st.sampled_from(ZONES).map(ZoneInfo)
moments = st.datetimes(datetime(2026, 1, 1), datetime(2028, 1, 1)).map(
    lambda each: each.replace(tzinfo=UTC)
)
lifetimes = st.integers(1, 24 * 90).map(lambda hours: hours * HOUR)
offsets = st.integers(1, 24 * 14).map(lambda hours: hours * HOUR)


@st.composite
def deadlines(draw):
    lifetime = draw(lifetimes)
    expires_at = draw(moments)
    # The client has the link with the deadline, or some time after.
    late = draw(st.integers(0, int(lifetime.total_seconds())))
    told_at = expires_at - lifetime + timedelta(seconds=late)
    return Deadline(expires_at, lifetime, told_at, draw(zones))


def clock(moment, zone):
    return moment.astimezone(zone).time().replace(second=0, microsecond=0)


@given(deadlines(), offsets)
@settings(max_examples=400)
def test_a_reminder_is_never_at_night_too_early_or_useless(deadline, offset):
    moment = due_at(deadline, offset)
    if moment is None:
        return
    assert deadline.lifetime >= 2 * offset
    assert time(8) <= clock(moment, deadline.zone) < time(21)
    assert moment >= deadline.told_at + LEAST
    assert moment <= deadline.expires_at - LEAST
    assert moment >= deadline.expires_at - offset - MOST_EARLIER


@given(deadlines(), offsets)
@settings(max_examples=400)
def test_by_day_it_is_at_its_time_and_at_night_beside_it(deadline, offset):
    assume(deadline.lifetime >= 2 * offset)
    wanted = deadline.expires_at - offset
    earliest = deadline.told_at + LEAST
    assume(wanted >= earliest)
    moment, zone = due_at(deadline, offset), deadline.zone
    local = wanted.astimezone(zone)
    if time(8) <= local.time() < time(21):
        assert moment == wanted
        return
    # Written a second time, by counting up and down.
    evening = morning = wanted.replace(minute=0, second=0, microsecond=0)
    step = timedelta(minutes=15)
    while clock(evening, zone) != time(20):
        evening -= step
    while clock(morning, zone) != time(8):
        morning += step
    if evening >= earliest:
        assert moment == evening
    elif morning <= deadline.expires_at - HOUR:
        assert moment == morning
    else:
        assert moment is None


@given(deadlines(), offsets, st.integers(-60 * 24 * 3, 60 * 24 * 15))
@settings(max_examples=400)
def test_whenever_the_sweep_comes(deadline, offset, minutes):
    now = deadline.expires_at - offset + timedelta(minutes=minutes)
    goes = goes_now(deadline, offset, now)
    moment = due_at(deadline, offset)
    if goes:
        assert moment is not None
        assert moment <= now < deadline.expires_at
        assert not is_night(now, deadline.zone)
        assert now <= deadline.expires_at - HOUR + GRACE
    elif moment is not None and moment <= now <= deadline.expires_at - HOUR:
        # What is still true goes, unless it is night by now.
        assert is_night(now, deadline.zone)


@given(moments, zones)
def test_the_night_ends_at_eight(moment, zone):
    assume(is_night(moment, zone))
    morning = morning_after(moment, zone)
    assert moment < morning <= moment + timedelta(hours=12)
    assert clock(morning, zone) == time(8)
    assert not is_night(morning, zone)


@pytest.mark.parametrize(
    ("expires", "hours", "told", "due"),
    [
        ("2026-05-06T14:00", 4, "2026-05-05T14:00", "2026-05-06T10:00"),
        # 4:00 at night: the evening before.
        ("2026-05-06T08:00", 4, "2026-05-05T08:00", "2026-05-05T20:00"),
        # The client has had it since 19:30 only: in the morning.
        ("2026-05-06T11:00", 4, "2026-05-05T19:30", "2026-05-06T08:00"),
        # And there the morning is too late.
        ("2026-05-06T08:30", 4, "2026-05-05T19:30", None),
        ("2026-05-06T09:00", 4, "2026-05-05T19:30", "2026-05-06T08:00"),
        # 21:00 is night, 20:59 is not.
        ("2026-05-06T01:00", 4, "2026-05-05T01:00", "2026-05-05T20:00"),
        ("2026-05-06T00:59", 4, "2026-05-05T01:00", "2026-05-05T20:59"),
    ],
)
def test_examples_on_the_clock_of_a_site(expires, hours, told, due):
    zone = ZoneInfo("Europe/Paris")
    at = {
        "expires_at": datetime.fromisoformat(expires).replace(tzinfo=zone),
        "told_at": datetime.fromisoformat(told).replace(tzinfo=zone),
    }
    found = due_at(Deadline(lifetime=24 * HOUR, zone=zone, **at), hours * HOUR)
    assert (found and found.astimezone(zone).strftime("%Y-%m-%dT%H:%M")) == due


def test_a_link_that_is_too_short_has_no_reminder():
    expires = datetime(2026, 5, 6, 14, tzinfo=UTC)
    for lifetime, due in ((7, None), (8, expires - 4 * HOUR)):
        told = expires - lifetime * HOUR
        assert due_at(Deadline(expires, lifetime * HOUR, told, UTC), 4 * HOUR) == due
