"""Money as Stripe counts it: an integer in minor units together with its currency code.

The exponents below are Stripe's, not ISO 4217's: five ISK travel as 500 and must end in 00.
Nothing here rounds, and no float comes in or goes out. Amounts are turned into text, and text
into amounts, by Babel.
"""

import re
import unicodedata
from collections.abc import Container, Iterator
from copy import copy
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache

from babel import Locale, UnknownLocaleError
from babel.numbers import (
    NumberFormatError,
    get_currency_name,
    get_decimal_symbol,
    get_group_symbol,
    parse_decimal,
)


class MoneyError(ValueError):
    """An amount or a currency that cannot be taken exactly as it is."""


@dataclass(frozen=True)
class Currency:
    """How Stripe takes one currency.

    ``minimum_minor`` is the least that Stripe charges when the currency is also the one that the
    account is paid out in; 0 where no figure is known. Stripe has the last word on it.
    """

    code: str
    exponent: int
    multiple_of: int
    minimum_minor: int

    @property
    def digits(self) -> int:
        """Decimals that people see and type: none for JPY, ISK and UGX, three for KWD."""
        return 0 if self.multiple_of == 10**self.exponent else self.exponent


# Left out because Stripe's present state is doubtful: AFN, ANG and XCG, BGN (Bulgaria has the
# euro), BYN, RUB, STD and STN.
_TWO_DECIMALS = """
    AED ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BRL BSD BWP BZD CAD CDF CHF CNY COP
    CRC CVE CZK DKK DOP DZD EGP ETB EUR FJD FKP GBP GEL GIP GMD GTQ GYD HKD HNL HTG HUF IDR ILS
    INR JMD KES KGS KHR KYD KZT LAK LBP LKR LRD LSL MAD MDL MKD MMK MNT MOP MUR MVR MWK MXN MYR
    MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD SAR SBD SCR SEK SGD SHP SLE
    SOS SRD SZL THB TJS TOP TRY TTD TWD TZS UAH USD UYU UZS WST XCD YER ZAR ZMW
"""
_NO_DECIMALS = "BIF CLP DJF GNF JPY KMF KRW MGA PYG RWF VND VUV XAF XOF XPF"
# No decimals in life, two on the way to Stripe.
_HUNDREDFOLD = "ISK UGX"
# The last of the three decimals has to be 0.
_THREE_DECIMALS = "BHD JOD KWD OMR TND"

_MINIMUM_MINOR = {
    "AED": 200,
    "ARS": 50,
    "AUD": 50,
    "BRL": 50,
    "CAD": 50,
    "CHF": 50,
    "COP": 50,
    "CZK": 1500,
    "DKK": 250,
    "EUR": 50,
    "GBP": 30,
    "HKD": 400,
    "HUF": 17500,
    "IDR": 50,
    "ILS": 50,
    "INR": 50,
    "JPY": 50,
    "KRW": 50,
    "MXN": 1000,
    "MYR": 200,
    "NOK": 300,
    "NZD": 50,
    "PHP": 50,
    "PLN": 200,
    "RON": 200,
    "SEK": 300,
    "SGD": 50,
    "THB": 1000,
    "USD": 50,
    "ZAR": 50,
}

MAX_MINOR = 99_999_999
_MAX_MINOR_OF = {"COP": 9_999_999_999, "IDR": 999_999_999_999, "INR": 999_999_999}

# Offered first, in this order.
COMMON: tuple[str, ...] = ("EUR", "USD", "GBP", "CHF", "CAD", "AUD", "SEK", "NOK", "DKK", "PLN")


def _table() -> Iterator[Currency]:
    for codes, exponent, multiple_of in (
        (_TWO_DECIMALS, 2, 1),
        (_NO_DECIMALS, 0, 1),
        (_HUNDREDFOLD, 2, 100),
        (_THREE_DECIMALS, 3, 10),
    ):
        for code in codes.split():
            yield Currency(code, exponent, multiple_of, _MINIMUM_MINOR.get(code, 0))


CURRENCIES: dict[str, Currency] = {
    currency.code: currency for currency in sorted(_table(), key=lambda currency: currency.code)
}

# Beyond any sum of money; keeps "1E+999999" from becoming a number with a million digits.
_MOST_DIGITS = 24
# Three digits behind a single mark: thousands to some, decimals to others.
_EITHER_WAY = re.compile(r"([1-9][0-9]{0,2})([.,])([0-9]{3})")


def currency_of(code: str) -> Currency:
    """The currency with this code, in either case (Stripe's own codes are lower case)."""
    if isinstance(code, str) and code.isascii():
        currency = CURRENCIES.get(code.upper())
        if currency is not None:
            return currency
    raise MoneyError(f"{code!r} is not a currency that can be billed")


def maximum_minor(code: str) -> int:
    """The largest amount, in minor units, that every way of paying takes."""
    return _MAX_MINOR_OF.get(currency_of(code).code, MAX_MINOR)


def to_minor(amount: Decimal, code: str) -> int:
    """The amount in minor units, exactly. Sign, minimum and maximum are the caller's business."""
    currency = currency_of(code)
    if not isinstance(amount, Decimal):
        raise MoneyError(f"An amount is a Decimal, not {type(amount).__name__}")
    if not amount.is_finite():
        raise MoneyError(f"{amount} is not an amount")
    sign, digits, exponent = amount.as_tuple()
    if not any(digits):
        return 0
    if len(digits) > _MOST_DIGITS or amount.adjusted() > _MOST_DIGITS:
        raise MoneyError("The amount is too long")
    # In integers: Decimal.scaleb() would round to the precision of the current context.
    units = int("".join(map(str, digits)))
    shift = int(exponent) + currency.exponent
    minor, rest = (units * 10**shift, 0) if shift >= 0 else divmod(units, 10**-shift)
    if rest or minor % currency.multiple_of:
        raise MoneyError(f"{amount} has more decimals than {currency.code} takes")
    return -minor if sign else minor


def from_minor(minor: int, code: str) -> Decimal:
    """The amount in major units, exactly, with as many decimals as Stripe counts.

    Takes what ``to_minor`` would refuse to make, such as 550 ISK: what Stripe reports must be
    showable.
    """
    currency = currency_of(code)
    _check_minor(minor)
    digits = tuple(map(int, str(abs(minor))))
    return Decimal((int(minor < 0), digits, -currency.exponent))


def format_money(minor: int, code: str, locale: str) -> str:
    """The amount as people of that locale write it; a Django language code is a locale here."""
    currency = currency_of(code)
    amount = from_minor(minor, code)
    digits = currency.exponent if minor % currency.multiple_of else currency.digits
    babel_locale = _locale(locale)
    # Babel would take the number of decimals from ISO 4217.
    pattern = copy(babel_locale.currency_formats["standard"])
    pattern.frac_prec = (digits, digits)
    text = pattern.apply(amount, babel_locale, currency=currency.code, currency_digits=False)
    # CLDR wants a space between a code and a number, Babel leaves it out: "ISK5".
    return re.sub(r"(?<=[^\W\d_])(?=\d)", "\N{NO-BREAK SPACE}", text)


def parse_amount(text: str, locale: str) -> Decimal:
    """The amount that somebody typed, without sign, in the way of writing of that locale.

    A point in a language that does not use it (French: 49.90) is taken as the decimal mark, as
    number pads write it, unless three digits follow: 1.250 may be meant as a thousand.
    """
    if not isinstance(text, str):
        raise MoneyError("An amount is typed as text")
    babel_locale = _locale(locale)
    group, decimal = get_group_symbol(babel_locale), get_decimal_symbol(babel_locale)
    typed = _plain(text)
    if not typed or len(typed) > _MOST_DIGITS:
        raise MoneyError("This is not an amount")
    if group.isspace():
        typed = typed.replace(" ", group)
    elif group == "\N{RIGHT SINGLE QUOTATION MARK}":
        typed = typed.replace("'", group)
    if "." not in (group, decimal) and re.fullmatch(r"[0-9]+\.([0-9]{1,2}|[0-9]{4,})", typed):
        typed = typed.replace(".", decimal)
    shape = rf"[0-9]+(?:{re.escape(group)}[0-9]+)*(?:{re.escape(decimal)}[0-9]+)?"
    if not re.fullmatch(shape, typed):
        raise MoneyError("This is not an amount")
    try:
        return parse_decimal(typed, locale=babel_locale, strict=True)
    except NumberFormatError:
        raise MoneyError("The digits of this amount are grouped in an unusual way") from None


def other_reading(text: str, locale: str, code: str) -> Decimal | None:
    """What somebody else could take a typed amount for, which ``parse_amount`` can read.

    1,234 is more than a thousand to one and little more than one to another, and 1.234 the other
    way round. None where there is only one reading: nobody writes decimals of a currency that
    has none, and the mark of the thousands is none of its decimals.
    """
    found = _EITHER_WAY.fullmatch(_plain(text))
    if found is None:
        return None
    whole, mark, rest = found.groups()
    if mark == get_decimal_symbol(_locale(locale)):
        return Decimal(whole + rest)
    return Decimal(f"{whole}.{rest}") if currency_of(code).digits else None


def currency_choices(locale: str, codes: Container[str] = CURRENCIES) -> list[tuple[str, str]]:
    """These currencies as choices of a form, named in that locale, the common ones first."""
    babel_locale = _locale(locale)
    rest = (code for code in CURRENCIES if code not in COMMON)
    return [
        (code, f"{code} – {get_currency_name(code, locale=babel_locale)}")
        for code in (*COMMON, *rest)
        if code in codes
    ]


def _check_minor(minor: int) -> None:
    if isinstance(minor, bool) or not isinstance(minor, int):
        raise MoneyError(f"Minor units are an int, not {type(minor).__name__}")


def _plain(text: str) -> str:
    """Full-width marks and the many spaces as ASCII, digits of every script as 0 to 9.

    Not by Unicode's compatibility forms, which make 52 of 5².
    """
    marks = {"\N{FULLWIDTH COMMA}": ",", "\N{FULLWIDTH FULL STOP}": "."}
    return "".join(
        str(unicodedata.decimal(character))
        if character.isdecimal()
        else " "
        if character.isspace()
        else marks.get(character, character)
        for character in text.strip()
    )


@lru_cache(maxsize=128)
def _locale(code: str) -> Locale:
    """Babel's locale for a Django language code: ``pt-br``, else its language, else English."""
    wanted = (code or "").replace("_", "-")
    for candidate in (wanted, wanted.split("-")[0]):
        try:
            return Locale.parse(candidate, sep="-")
        except (UnknownLocaleError, ValueError, TypeError):
            continue
    return Locale("en")
