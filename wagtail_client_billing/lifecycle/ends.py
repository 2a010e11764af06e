"""When a recurring bill that was to end does end."""

import calendar
from datetime import datetime, time, timedelta

from django.utils import timezone

from ..models import BillingRequest, SiteBillingSettings, Subscription
from ..zones import zone_called

Type = BillingRequest.BillingType

# Stripe makes the next invoice at the very moment that a period ends: be gone before.
BEFORE_THE_NEXT_CHARGE = timedelta(hours=1)
WEEK = timedelta(weeks=1)
MONTHS: dict[str, int] = {Type.MONTHLY: 1, Type.QUARTERLY: 3, Type.YEARLY: 12}


def agreed_end(request: BillingRequest, subscription: Subscription) -> datetime | None:
    """When Stripe has to end the subscription so that no charge follows the last agreed one.

    None where no end was agreed. A day is over at its midnight in the site's time zone.
    """
    start = subscription.started_at or subscription.created_at
    if request.ends_after:
        last = charge_at(start, request.billing_type, request.ends_after)
        return (last - BEFORE_THE_NEXT_CHARGE).replace(microsecond=0)
    end = _last_midnight(request)
    if end is not None:
        # Whoever pays on the last day has paid for a period: not before an hour has gone.
        return max(end, start + BEFORE_THE_NEXT_CHARGE).replace(microsecond=0)
    return None


def is_past_its_end(request: BillingRequest) -> bool:
    """Whether the last day of a recurring bill is over, so that nothing of it is to be paid."""
    end = _last_midnight(request)
    return end is not None and end <= timezone.now()


def _last_midnight(request: BillingRequest) -> datetime | None:
    if request.ends_on is None:
        return None
    defaults = SiteBillingSettings.current(request.site)
    zone = zone_called(defaults.time_zone if defaults else "")
    return datetime.combine(request.ends_on + timedelta(days=1), time(), tzinfo=zone)


def charge_at(start: datetime, billing_type: str, n: int) -> datetime:
    """When the charge after ``n`` payments falls due; the first payment is at ``start``.

    Months keep the day of the start where they have it, and else end on their last day, as
    Stripe's do.
    """
    if billing_type == Type.WEEKLY:
        return start + n * WEEK
    months = start.month - 1 + n * MONTHS[billing_type]
    year, month = start.year + months // 12, months % 12 + 1
    day = min(start.day, calendar.monthrange(year, month)[1])
    return start.replace(year=year, month=month, day=day)
