"""Amounts, countries and times in the language of whoever looks."""

import unicodedata
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from pathlib import Path

from babel import Locale, UnknownLocaleError
from babel.dates import format_timedelta
from babel.numbers import format_decimal
from babel.units import format_unit
from django.apps import apps
from django.conf import settings
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import get_language, get_language_info

from ..models import BillingRequest
from ..money import MoneyError, currency_of, format_money, from_minor

# Where Stripe opens accounts; Stripe has the last word when one is connected.
COUNTRIES = """
    AE AT AU BE BG BR CA CH CY CZ DE DK EE ES FI FR GB GH GI GR HK HR HU ID IE IN IT JP KE LI LT
    LU LV MT MX MY NG NL NO NZ PL PT RO SE SG SI SK TH US ZA
"""


def language() -> str:
    """The language of the person in front of the screen, as a Django code."""
    return get_language() or "en"


def amount_text(request: BillingRequest) -> str:
    """The amount of a request; never fails, whatever is stored."""
    return money_text(request.amount_minor, request.currency)


def money_text(minor: int, currency: str) -> str:
    """An amount of money; one in a currency that we no longer know in minor units."""
    try:
        return format_money(minor, currency, language())
    except MoneyError:
        return f"{minor} {currency}"


def typed_amount(request: BillingRequest) -> str:
    """The amount of a request as the reader would type it; empty for an unknown currency."""
    return typed_money(request.amount_minor, request.currency)


def typed_money(minor: int, code: str) -> str:
    """An amount as the reader would type it into a form; empty for an unknown currency."""
    try:
        currency = currency_of(code)
    except MoneyError:
        return ""
    digits = currency.digits
    if digits == 3 and minor % 10 == 0:
        # Without the 0 that Stripe wants there nobody takes the decimals for thousands.
        digits = 2
    amount = from_minor(minor, code)
    pattern = "#0" + ("." + "0" * digits if digits else "")
    return format_decimal(amount, format=pattern, locale=babel_locale(language()))


def amount_example() -> str:
    """Some amount in the reader's way of writing, without a currency."""
    return format_decimal(Decimal("1234.50"), format="#,##0.00", locale=babel_locale(language()))


# From here on a distance is said in months, which French shortens as it does minutes.
IN_MONTHS = timedelta(days=45)


def relative_text(moment: datetime, *, short: bool = False) -> str:
    """How far away a moment is: "in 3 hours", "5 minutes ago"."""
    distance = moment - timezone.now()
    return format_timedelta(
        distance,
        add_direction=True,
        threshold=1.5,
        format="short" if short and abs(distance) < IN_MONTHS else "long",
        locale=babel_locale(language()),
    )


def moment_text(moment: datetime) -> str:
    """A moment as people write it, in the time zone of whoever looks."""
    return date_format(timezone.localtime(moment), "DATETIME_FORMAT")


def day_text(moment: datetime | date) -> str:
    """The day of a moment, in the time zone of whoever looks."""
    day = timezone.localtime(moment) if isinstance(moment, datetime) else moment
    return date_format(day, "DATE_FORMAT")


def lifetime_text(lifetime: timedelta) -> str:
    """How long a link lasts, exactly: "24 hours", "7 days"."""
    minutes = round(lifetime.total_seconds() / 60)
    for unit, size in (("day", 24 * 60), ("hour", 60), ("minute", 1)):
        # One day is said as the 24 hours that it is.
        if minutes % size == 0 and (minutes >= 2 * size or unit != "day"):
            break
    locale = babel_locale(language())
    return format_unit(minutes // size, f"duration-{unit}", length="long", locale=locale)


def country_name(code: str) -> str:
    """The country's name in the reader's language; the code where it has none."""
    return babel_locale(language()).territories.get(code.upper(), code) if code else ""


def country_choices() -> list[tuple[str, str]]:
    """Stripe's countries, sorted by their names in the reader's language."""
    return _country_choices(language())


@lru_cache(maxsize=64)
def _country_choices(code: str) -> list[tuple[str, str]]:
    names = babel_locale(code).territories
    return sorted(
        ((country, names.get(country, country)) for country in COUNTRIES.split()),
        key=lambda choice: _sort_key(choice[1]),
    )


def _sort_key(name: str) -> str:
    # Without it, Émirats and Österreich would follow Z.
    plain = unicodedata.normalize("NFKD", name)
    return "".join(letter for letter in plain if not unicodedata.combining(letter)).casefold()


def client_language_choices() -> list[tuple[str, str]]:
    """The project's languages that our e-mails and pages are written in, by their own names."""
    catalogues = Path(apps.get_app_config("wagtail_client_billing").path) / "locale"
    ours = {"en", *(folder.name for folder in catalogues.glob("*") if folder.is_dir())}
    return [
        (code, get_language_info(code)["name_local"].capitalize())
        for code, _name in settings.LANGUAGES
        if code.split("-")[0] in ours
    ]


@lru_cache(maxsize=64)
def babel_locale(code: str) -> Locale:
    """Babel's locale for a Django language code."""
    for candidate in (code, code.split("-")[0]):
        try:
            return Locale.parse(candidate, sep="-")
        except (UnknownLocaleError, ValueError, TypeError):
            continue
    return Locale("en")
