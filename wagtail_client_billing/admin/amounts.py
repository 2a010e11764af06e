"""Amounts as editors type them: read, refused with a reason, and said back as money."""

from decimal import Decimal

from babel.numbers import format_decimal
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from ..models import BillingRequest
from ..money import (
    CURRENCIES,
    MoneyError,
    currency_of,
    maximum_minor,
    other_reading,
    parse_amount,
    to_minor,
)
from .formats import amount_example, amount_text, babel_locale, day_text, language, money_text

# More than any amount that can be billed takes.
LONGEST_AMOUNT = 40

Type = BillingRequest.BillingType


def read_amount(typed: str) -> Decimal:
    """The amount in the editor's way of writing; raises ``ValidationError``."""
    try:
        return parse_amount(typed, language())
    except MoneyError:
        text = _("Enter an amount like %(example)s.") % {"example": amount_example()}
        raise ValidationError(text, code="amount") from None


def minor_units(amount: Decimal, code: str) -> int:
    """The amount as Stripe counts it.

    Raises ``ValidationError`` for what cannot be billed in this currency, whoever confirms it.
    """
    try:
        minor = to_minor(amount, code)
    except MoneyError:
        raise ValidationError(_decimals_error(code), code="decimals") from None
    if minor <= 0:
        raise ValidationError(_("Enter an amount above zero."), code="zero")
    if minor > maximum_minor(code):
        text = _("The largest amount that Stripe takes is %(amount)s.")
        most = money_text(maximum_minor(code), code)
        raise ValidationError(text % {"amount": most}, code="too_large")
    return minor


def _decimals_error(code: str) -> str:
    if currency_of(code).digits == 0:
        return _("Amounts in %(currency)s have no decimals.") % {"currency": code}
    return _("Amounts in %(currency)s have at most two decimals.") % {"currency": code}


def taken_otherwise(typed: str, code: str) -> str:
    """As what else somebody could have meant the amount; empty where there is one way to read it."""
    amount = other_reading(typed, language(), code)
    if amount is None:
        return ""
    try:
        return money_text(to_minor(amount, code), code)
    except MoneyError:
        # More decimals than the currency has: no money, but what somebody may have typed.
        return f"{_plain_number(amount)} {code}"


def _plain_number(amount: Decimal) -> str:
    return format_decimal(amount, format="#,##0.000", locale=babel_locale(language()))


def said_back(typed: str, code: str, billing_type: str = "") -> dict[str, str]:
    """The amount as the client will be asked for it, and as what else it could be meant.

    Both are empty while the amount cannot be read.
    """
    nothing = {"text": "", "otherwise": ""}
    if not typed or len(typed) > LONGEST_AMOUNT or code not in CURRENCIES:
        return nothing
    try:
        amount = money_text(minor_units(read_amount(typed), code), code)
    except ValidationError:
        return nothing
    return {"text": in_words(amount, billing_type), "otherwise": taken_otherwise(typed, code)}


def in_words(amount: str, billing_type: str) -> str:
    """An amount of money with what it is charged now and later."""
    words = {
        Type.ONE_TIME: _("%(amount)s, one time"),
        Type.WEEKLY: _("%(amount)s now, then %(amount)s every week"),
        Type.MONTHLY: _("%(amount)s now, then %(amount)s every month"),
        Type.QUARTERLY: _("%(amount)s now, then %(amount)s every three months"),
        Type.YEARLY: _("%(amount)s now, then %(amount)s every year"),
    }
    text = {str(kind): text for kind, text in words.items()}.get(billing_type, "%(amount)s")
    return text % {"amount": amount}


def terms_text(request: BillingRequest) -> str:
    """What a request asks for; of a recurring one with its rhythm and its agreed end."""
    if not request.is_recurring:
        return amount_text(request)
    words = in_words(amount_text(request), request.billing_type)
    end = end_text(request)
    return _("%(terms)s, %(end)s") % {"terms": words, "end": end} if end else words


def end_text(request: BillingRequest) -> str:
    """The agreed end of a recurring bill; empty where it goes on until it is cancelled."""
    if request.ends_after:
        text = ngettext("%(count)s payment in all", "%(count)s payments in all", request.ends_after)
        return text % {"count": request.ends_after}
    if request.ends_on:
        return _("until %(day)s") % {"day": day_text(request.ends_on)}
    return ""
