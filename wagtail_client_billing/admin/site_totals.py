"""What one site's clients have paid this month, and what they still owe: the line on its tab."""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Any

from django.db.models import QuerySet, Sum
from django.utils import timezone
from wagtail.models import Site

from ..models import BillingRequest, Payment, Refund, SiteBillingSettings
from ..zones import zone_called
from .formats import money_text


@dataclass(frozen=True)
class SiteTotals:
    """Amounts as text, one for each currency: two currencies are never added."""

    test: bool
    paid: list[str]
    pending: list[str]


def totals_of(site: Site) -> SiteTotals | None:
    """The totals of live mode, or of test mode where there is no live request; None without any.

    Five queries, however many requests there are.
    """
    requests = BillingRequest.objects.filter(site=site)
    modes = set(requests.order_by().values_list("livemode", flat=True).distinct())
    if not modes:
        return None
    live = True in modes
    payments = Payment.objects.counted().filter(
        request__site=site,
        livemode=live,
        received_at__gte=start_of_month(timezone.now(), zone_of(site)),
    )
    refunds = Refund.objects.filter(payment__in=payments, state__in=Refund.COUNTS)
    pending = requests.filter(livemode=live, status=BillingRequest.Status.PENDING)
    paid = sums(payments)
    paid.subtract(sums(refunds))
    return SiteTotals(test=not live, paid=in_words(paid), pending=in_words(sums(pending)))


def sums(rows: QuerySet[Any]) -> Counter[str]:
    """Minor units by currency."""
    found = rows.order_by().values_list("currency").annotate(Sum("amount_minor"))
    return Counter(dict(found))


def in_words(amounts: Counter[str]) -> list[str]:
    """The amounts as money, the currencies in the order of their codes."""
    return [money_text(minor, currency) for currency, minor in sorted(amounts.items()) if minor]


def zone_of(site: Site) -> tzinfo:
    """The site's time zone; where it has none, that of whoever looks."""
    defaults = SiteBillingSettings.current(site)
    if defaults is not None and defaults.time_zone:
        return zone_called(defaults.time_zone)
    return timezone.get_current_timezone()


def start_of_month(now: datetime, zone: tzinfo) -> datetime:
    """When the month began in which it is now there."""
    local = timezone.localtime(now, zone)
    return datetime(local.year, local.month, 1, tzinfo=zone)
