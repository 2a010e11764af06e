"""When a client is reminded of a bill: before its link ends, and never at night."""

from dataclasses import dataclass
from datetime import datetime, time, timedelta, tzinfo

NIGHT_BEGINS = time(21)
NIGHT_ENDS = time(8)
# Where what would fall into the night goes to.
EVENING = time(20)
# How long a client has had the link before, and can still pay after, a reminder.
LEAST = timedelta(hours=1)
# The sweep comes every minute, and may be late.
GRACE = timedelta(minutes=15)
# The furthest that a reminder can be brought forward: to the evening before.
MOST_EARLIER = timedelta(hours=13)


@dataclass(frozen=True)
class Deadline:
    """One running link: until when, for how long, and since when its client has it.

    ``zone`` is the site's time zone.
    """

    expires_at: datetime
    lifetime: timedelta
    told_at: datetime
    zone: tzinfo


def is_night(moment: datetime, zone: tzinfo) -> bool:
    """Whether people sleep in that time zone."""
    clock = moment.astimezone(zone).time()
    return clock >= NIGHT_BEGINS or clock < NIGHT_ENDS


def morning_after(moment: datetime, zone: tzinfo) -> datetime:
    """When the night ends in which a moment lies."""
    local = moment.astimezone(zone)
    day = local.date() + timedelta(days=1 if local.time() >= NIGHT_BEGINS else 0)
    return datetime.combine(day, NIGHT_ENDS, tzinfo=zone).astimezone(moment.tzinfo)


def due_at(deadline: Deadline, offset: timedelta) -> datetime | None:
    """When the client is reminded ``offset`` before the link ends; None is not at all.

    Only where the link lasts at least twice as long. What would come at night comes in the
    evening before, if the client has had the link for an hour by then; else in the morning, if an
    hour is left to pay; else not.
    """
    if deadline.lifetime < 2 * offset:
        return None
    earliest = deadline.told_at + LEAST
    moment = max(deadline.expires_at - offset, earliest)
    if is_night(moment, deadline.zone):
        evening = _evening_before(moment, deadline.zone)
        moment = evening if evening >= earliest else morning_after(moment, deadline.zone)
    return moment if moment <= _latest(deadline, offset) else None


def goes_now(deadline: Deadline, offset: timedelta, now: datetime) -> bool:
    """Whether this reminder is due and still worth sending; the sweep may come a little late."""
    moment = due_at(deadline, offset)
    if moment is None or now < moment or is_night(now, deadline.zone):
        return False
    return now < deadline.expires_at and now <= max(moment, _latest(deadline, offset)) + GRACE


def _latest(deadline: Deadline, offset: timedelta) -> datetime:
    # A reminder that was asked for less than an hour before goes when it was asked for.
    return deadline.expires_at - min(LEAST, offset)


def _evening_before(moment: datetime, zone: tzinfo) -> datetime:
    local = moment.astimezone(zone)
    day = local.date() - timedelta(days=0 if local.time() >= NIGHT_BEGINS else 1)
    return datetime.combine(day, EVENING, tzinfo=zone).astimezone(moment.tzinfo)
