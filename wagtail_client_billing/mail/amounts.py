"""Amounts of money in the language that is active."""

from django.utils.translation import get_language

from ..money import MoneyError, format_money


def amount_text(minor: int, currency: str) -> str:
    """The amount as people write it; one in a currency that we do not know in minor units.

    Money of such a currency can only be money that nobody asked for.
    """
    try:
        return format_money(minor, currency, get_language() or "")
    except MoneyError:
        return f"{minor} {currency}"
