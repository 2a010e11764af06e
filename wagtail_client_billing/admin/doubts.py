"""What has to be confirmed before a request is sent: it can be meant, and may well be a mistake.

Each doubt is a box to tick. The box carries what it confirms, so that another amount, another
address or another earlier request asks again.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.utils import timezone
from django.utils.translation import gettext as _
from wagtail.models import Site

from ..lifecycle import REPEATED_WITHIN
from ..models import BillingRequest
from ..money import currency_of
from .amounts import taken_otherwise
from .formats import money_text, relative_text

# One that is over asks nobody for anything.
ASKS = (BillingRequest.Status.PENDING, BillingRequest.Status.PAID)


@dataclass(frozen=True)
class Doubt:
    """One reason to look again, and the box that answers it."""

    kind: str
    text: str
    label: str
    confirms: str
    confirmed: bool = False

    @property
    def name(self) -> str:
        """The name of the box in the form."""
        return f"confirm_{self.kind}"

    def answered_by(self, given: Mapping[str, Any]) -> "Doubt":
        """The same, confirmed if the box was sent for exactly this."""
        confirmed = given.get(self.name) == self.confirms
        return Doubt(self.kind, self.text, self.label, self.confirms, confirmed)


@dataclass(frozen=True)
class Money:
    """An amount as it was typed, once it was found valid."""

    typed: str
    amount_minor: int
    currency: str

    @property
    def amount(self) -> str:
        """The amount as money."""
        return money_text(self.amount_minor, self.currency)

    @property
    def bound_to(self) -> str:
        """The amount and its currency, as a box carries them."""
        return f"{self.amount_minor} {self.currency}"


@dataclass(frozen=True)
class Asked(Money):
    """What a form asks a client for, once it was found valid."""

    email: str
    site: Site
    livemode: bool
    once: UUID | None


def doubts_about_reading(asked: Money) -> Iterator[Doubt]:
    """What has to be confirmed about an amount that can be read in two ways."""
    amount = {"amount": asked.amount}
    if other := taken_otherwise(asked.typed, asked.currency):
        text = _("“%(typed)s” can be read in two ways: as %(amount)s or as %(other)s.")
        yield Doubt(
            "reading",
            text % {**amount, "typed": asked.typed, "other": other},
            _("Yes, %(amount)s is meant.") % amount,
            asked.bound_to,
        )


def doubts_about_money(asked: Money) -> Iterator[Doubt]:
    """What has to be confirmed about an amount, whoever is asked for it."""
    yield from doubts_about_reading(asked)
    amount = {"amount": asked.amount}
    least = currency_of(asked.currency).minimum_minor
    if asked.amount_minor < least:
        text = _(
            "Most Stripe accounts cannot take less than %(least)s. Your client may not be able "
            "to pay %(amount)s."
        )
        yield Doubt(
            "minimum",
            text % {**amount, "least": money_text(least, asked.currency)},
            _("Yes, ask for %(amount)s all the same.") % amount,
            asked.bound_to,
        )


def doubts_about(asked: Asked) -> Iterator[Doubt]:
    """Everything that has to be confirmed about a new request."""
    yield from doubts_about_money(asked)
    amount = {"amount": asked.amount}
    if earlier := _same_bill(asked):
        text = _("%(number)s asked %(email)s for %(amount)s %(moment)s.")
        facts = {
            "number": earlier.number,
            "email": earlier.email,
            "moment": relative_text(earlier.created_at),
        }
        yield Doubt(
            "repeat",
            text % {**amount, **facts},
            _("Yes, ask for %(amount)s once more.") % amount,
            f"{asked.bound_to} {earlier.number}",
        )


def doubts_about_earlier(earlier: BillingRequest) -> Iterator[Doubt]:
    """What has to be confirmed before the same is asked for once more."""
    if earlier.not_confirmed:
        text = _("Stripe could not be asked whether %(number)s was paid.")
        yield Doubt(
            "unconfirmed",
            text % {"number": earlier.number},
            _("Yes, ask for it all the same."),
            earlier.number,
        )


def _same_bill(asked: Asked) -> BillingRequest | None:
    """The newest request for the same; one that is over asks nobody for anything."""
    same = BillingRequest.objects.filter(
        site=asked.site,
        livemode=asked.livemode,
        email__iexact=asked.email,
        currency=asked.currency,
        amount_minor=asked.amount_minor,
        created_at__gt=timezone.now() - REPEATED_WITHIN,
        status__in=ASKS,
    )
    if asked.once:
        # Pressing Send twice is no second bill: creation finds the first.
        same = same.exclude(uuid=asked.once)
    return same.order_by("-created_at", "-pk").first()
