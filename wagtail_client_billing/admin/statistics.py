"""The numbers of the report, added up by the database.

All of them are of one mode, and each amount of one currency. Nothing here knows the user:
whoever calls hands in the requests that count.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from typing import Any

from django.db.models import (
    Avg,
    Case,
    Count,
    DateField,
    DurationField,
    ExpressionWrapper,
    F,
    Max,
    OuterRef,
    QuerySet,
    Subquery,
    Sum,
    Value,
    When,
    Window,
)
from django.db.models.functions import Coalesce, RowNumber, TruncMonth
from django.utils import timezone

from ..models import BillingRequest, Payment, Refund
from ..models.billing import BillingRequestQuerySet

MOST_SITES = 20


@dataclass(frozen=True)
class Period:
    """From one day to another, both included, in the time zone of whoever asks."""

    start: date
    end: date

    @property
    def moments(self) -> tuple[datetime, datetime]:
        """The first moment of the period, and the first one after it."""
        return _midnight(self.start), _midnight(self.end + timedelta(days=1))

    def months(self) -> Iterator[date]:
        """The first day of every month that the period touches."""
        month = self.start.replace(day=1)
        while month <= self.end:
            yield month
            month = (month + timedelta(days=31)).replace(day=1)


@dataclass(frozen=True)
class SiteRevenue:
    """What came in for one site."""

    name: str
    revenue: int


@dataclass
class InCurrency:
    """What one currency's part of the report says; amounts are in minor units.

    ``sites`` are the ones that brought the most, of ``all_sites``.
    """

    code: str
    months: dict[date, int]
    sites: list[SiteRevenue] = field(default_factory=list)
    all_sites: int = 0
    payments: int = 0
    outstanding: int = 0
    outstanding_requests: int = 0

    @property
    def revenue(self) -> int:
        """What came in during the whole period."""
        return sum(self.months.values())

    @property
    def rest(self) -> int:
        """What came in for the sites that are not named."""
        return self.revenue - sum(site.revenue for site in self.sites)


@dataclass(frozen=True)
class Statistics:
    """The whole report, with the currency of the most payments first.

    ``time_to_pay`` is None where nothing was paid in the period.
    """

    currencies: list[InCurrency]
    time_to_pay: timedelta | None
    paid_requests: int


def statistics(requests: BillingRequestQuerySet, period: Period) -> Statistics:
    """What came in during a period for these requests, and what is still to come."""
    found: dict[str, InCurrency] = {}

    def of(code: str) -> InCurrency:
        return found.setdefault(code, InCurrency(code, dict.fromkeys(period.months(), 0)))

    received = _received(requests, period)
    for row in _by_month(received):
        of(row["currency"]).months[row["month"]] = row["revenue"]
        of(row["currency"]).payments += row["payments"]
    for row in _outstanding(requests):
        of(row["currency"]).outstanding = row["amount"]
        of(row["currency"]).outstanding_requests = row["requests"]
    for row in _best_sites(received):
        part = of(row["currency"])
        name = row["kept_name"] or row["site_name"] or row["hostname"]
        part.sites.append(SiteRevenue(name or "", row["revenue"]))
        part.all_sites = row["sites"]
    paid = _time_to_pay(requests, period)
    currencies = sorted(
        found.values(), key=lambda part: (-part.payments, -part.outstanding_requests, part.code)
    )
    return Statistics(currencies, paid["time_to_pay"], paid["requests"])


def _midnight(day: date) -> datetime:
    return timezone.make_aware(datetime.combine(day, time.min))


def _received(requests: BillingRequestQuerySet, period: Period) -> QuerySet[Payment]:
    """Payments of the period that count, with what is left of each after refunds.

    A refund lowers the month in which its payment came, so that no month is below nothing.
    """
    start, after = period.moments
    refunded = (
        Refund.objects.filter(
            payment=OuterRef("pk"), currency=OuterRef("currency"), state__in=Refund.COUNTS
        )
        .order_by()
        .values("payment")
        .annotate(amount=Sum("amount_minor"))
        .values("amount")
    )
    return (
        Payment.objects.counted()
        .filter(
            request__in=requests.order_by().values("pk"),
            received_at__gte=start,
            received_at__lt=after,
        )
        .annotate(kept=F("amount_minor") - Coalesce(Subquery(refunded), 0))
        .order_by()
    )


def _by_month(received: QuerySet[Payment]) -> Iterable[Any]:
    zone = timezone.get_current_timezone()
    month = TruncMonth("received_at", tzinfo=zone, output_field=DateField())
    return (
        received.annotate(month=month)
        .values("currency", "month")
        .annotate(revenue=Sum("kept"), payments=Count("pk"))
    )


def _outstanding(requests: BillingRequestQuerySet) -> Iterable[Any]:
    """What is still to be paid, whenever it was asked for."""
    return (
        requests.filter(status=BillingRequest.Status.PENDING)
        .order_by()
        .values("currency")
        .annotate(amount=Sum("amount_minor"), requests=Count("pk"))
    )


def _best_sites(received: QuerySet[Payment]) -> Iterable[Any]:
    """The sites that brought the most, a few in each currency, and how many there are in all.

    A deleted site has no row of its own any more, and goes by the name that its bills keep.
    """
    kept_name = Case(When(request__site=None, then=F("request__site_name")), default=Value(""))
    by_revenue = [F("revenue").desc(), F("request__site").asc(), F("kept_name").asc()]
    return (
        received.annotate(kept_name=kept_name)
        .values("currency", "request__site", "kept_name")
        .annotate(
            revenue=Sum("kept"),
            site_name=Max("request__site__site_name"),
            hostname=Max("request__site__hostname"),
        )
        .annotate(
            rank=Window(RowNumber(), partition_by="currency", order_by=by_revenue),
            sites=Window(Count("*"), partition_by="currency"),
        )
        .filter(rank__lte=MOST_SITES)
        .order_by("currency", "rank")
    )


def _time_to_pay(requests: BillingRequestQuerySet, period: Period) -> dict[str, Any]:
    start, after = period.moments
    taken = ExpressionWrapper(F("paid_at") - F("created_at"), output_field=DurationField())
    return requests.filter(
        status=BillingRequest.Status.PAID, paid_at__gte=start, paid_at__lt=after
    ).aggregate(time_to_pay=Avg(taken), requests=Count("pk"))
