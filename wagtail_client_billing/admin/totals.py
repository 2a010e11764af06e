"""The sums above the list: what was asked for, what came in, what is open; by currency.

Live money alone counts, unless there is none in the list: then the sums are those of the test
requests, and say TEST. Amounts of two currencies are never added.
"""

from dataclasses import dataclass, field
from typing import Any

from django.db.models import Q, QuerySet, Sum

from ..models import BillingRequest, Payment, Refund
from .formats import money_text


@dataclass
class Sums:
    """The sums of one currency, in minor units."""

    currency: str
    requested: int = 0
    paid: int = 0
    pending: int = 0

    def texts(self) -> dict[str, str]:
        return {
            "requested": money_text(self.requested, self.currency),
            "paid": money_text(self.paid, self.currency),
            "pending": money_text(self.pending, self.currency),
        }


@dataclass
class Totals:
    """``test`` says that these are test requests, ``left_out`` that there are some beside."""

    test: bool = False
    left_out: bool = False
    sums: list[Sums] = field(default_factory=list)

    @property
    def rows(self) -> list[dict[str, str]]:
        """By currency: the code, and each sum as people write it."""
        return [{"currency": sums.currency, **sums.texts()} for sums in self.sums]


def totals_of(requests: QuerySet[BillingRequest]) -> Totals:
    """The totals of a filtered list, added up by the database."""
    # By primary key: what the list is filtered by may be annotations that would group it.
    chosen = BillingRequest.objects.filter(pk__in=requests.order_by().values("pk")).order_by()
    pending = Q(status=BillingRequest.Status.PENDING)
    found = list(
        chosen.values("livemode", "currency").annotate(
            requested=Sum("amount_minor"), open=Sum("amount_minor", filter=pending)
        )
    )
    live = any(row["livemode"] for row in found)
    totals = Totals(
        test=bool(found) and not live,
        left_out=live and not all(row["livemode"] for row in found),
    )
    by_currency: dict[str, Sums] = {}
    for row in found:
        if row["livemode"] == live:
            sums = _of(by_currency, row["currency"])
            sums.requested, sums.pending = int(row["requested"]), int(row["open"] or 0)
    if found:
        for currency, amount in _received(chosen.filter(livemode=live)).items():
            _of(by_currency, currency).paid = amount
    totals.sums = sorted(by_currency.values(), key=lambda sums: sums.currency)
    return totals


def _of(by_currency: dict[str, Sums], currency: str) -> Sums:
    return by_currency.setdefault(currency, Sums(currency))


def _received(requests: QuerySet[BillingRequest]) -> dict[str, int]:
    """What came in and counts, less what was given back of it."""
    payments = Payment.objects.counted().filter(request__in=requests.values("pk"))
    refunds = Refund.objects.filter(
        payment__in=payments.order_by().values("pk"), state__in=Refund.COUNTS
    )
    received = _by_currency(payments)
    for currency, amount in _by_currency(refunds).items():
        received[currency] = received.get(currency, 0) - amount
    return received


def _by_currency(rows: Any) -> dict[str, int]:
    sums = rows.order_by().values_list("currency").annotate(Sum("amount_minor"))
    return {currency: int(amount) for currency, amount in sums}
