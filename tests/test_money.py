"""Money: exact both ways, written and read in the reader's locale."""

import decimal
import json
import os
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wagtail_client_billing import money
from wagtail_client_billing.money import (
    COMMON,
    CURRENCIES,
    MoneyError,
    currency_choices,
    format_money,
    from_minor,
    maximum_minor,
    parse_amount,
    to_minor,
)

NBSP = "\N{NO-BREAK SPACE}"
NARROW = "\N{NARROW NO-BREAK SPACE}"
codes = st.sampled_from(sorted(CURRENCIES))
locales = st.sampled_from(["en", "en-gb", "fr", "de", "de-ch", "pt-br", "pl", "es", "ja", "hi"])


@st.composite
def payable(draw):
    """(minor units, code) that Stripe takes."""
    code = draw(codes)
    step = CURRENCIES[code].multiple_of
    return draw(st.integers(0, maximum_minor(code) // step)) * step, code


class TestRule1:
    @pytest.mark.parametrize(
        ("amount", "code", "minor"),
        [
            ("49.90", "EUR", 4990),
            ("49.9", "eur", 4990),
            ("5000", "JPY", 5000),
            ("5E3", "JPY", 5000),
            ("5", "ISK", 500),
            ("7500", "UGX", 750000),
            ("1.23", "KWD", 1230),
            ("1.230", "KWD", 1230),
            ("175", "HUF", 17500),
            ("300", "TWD", 30000),
            ("0", "EUR", 0),
            ("-0.01", "USD", -1),
        ],
    )
    def test_rule_1_money_is_an_integer_in_minor_units_of_stripe(self, amount, code, minor):
        result = to_minor(Decimal(amount), code)
        assert result == minor
        assert type(result) is int

    @pytest.mark.parametrize(
        ("amount", "code"),
        [
            (Decimal("0.001"), "EUR"),
            (Decimal("0.5"), "JPY"),
            (Decimal("5.5"), "ISK"),
            (Decimal("1.234"), "KWD"),
            (Decimal("1E-30"), "EUR"),
            (Decimal("1." + "0" * 40 + "1"), "EUR"),
            (Decimal("1E+999999"), "EUR"),
            (Decimal("NaN"), "EUR"),
            (Decimal("sNaN"), "EUR"),
            (Decimal("Infinity"), "EUR"),
            (49.90, "EUR"),
            (True, "EUR"),
            (49, "EUR"),
            ("49", "EUR"),
            (None, "EUR"),
            (Decimal(1), "XXX"),
            (Decimal(1), "BGN"),
            (Decimal(1), ""),
            (Decimal(1), None),
        ],
    )
    def test_rule_1_money_is_an_integer_in_minor_units_and_never_rounded(self, amount, code):
        with pytest.raises(MoneyError):
            to_minor(amount, code)

    @pytest.mark.parametrize("minor", [1.0, True, Decimal(1), "1", None])
    def test_rule_1_minor_units_are_an_int_and_nothing_like_one(self, minor):
        with pytest.raises(MoneyError):
            from_minor(minor, "EUR")

    @given(payable())
    def test_rule_1_minor_to_major_and_back_is_the_same(self, money_and_code):
        minor, code = money_and_code
        major = from_minor(minor, code)
        assert to_minor(major, code) == minor
        assert -major.as_tuple().exponent == CURRENCIES[code].exponent

    @given(st.decimals(allow_nan=True, allow_infinity=True), codes)
    def test_rule_1_what_is_taken_comes_back_exactly(self, amount, code):
        try:
            minor = to_minor(amount, code)
        except MoneyError:
            return
        assert from_minor(minor, code) == amount

    def test_rule_1_a_small_decimal_context_changes_nothing(self):
        with decimal.localcontext(prec=3):
            assert to_minor(Decimal("123456.78"), "EUR") == 12345678
            assert from_minor(12345678, "EUR") == Decimal("123456.78")


class TestTable:
    def test_doubtful_currencies_are_left_out(self):
        assert not set(CURRENCIES) & {"AFN", "ANG", "BGN", "BYN", "RUB", "STD", "STN", "XCG"}

    def test_common_currencies_exist(self):
        assert set(COMMON) <= set(CURRENCIES)

    @pytest.mark.parametrize("code", sorted(CURRENCIES))
    def test_bounds_can_be_charged(self, code):
        currency = CURRENCIES[code]
        assert currency.minimum_minor % currency.multiple_of == 0
        assert currency.minimum_minor < maximum_minor(code)

    def test_maxima(self):
        assert maximum_minor("EUR") == 99_999_999
        assert maximum_minor("idr") == 999_999_999_999
        assert maximum_minor("COP") == 9_999_999_999
        assert maximum_minor("INR") == 999_999_999
        with pytest.raises(MoneyError):
            maximum_minor("XXX")

    def test_against_stripes_data(self):
        root = Path(__file__).resolve().parent.parent
        folder = Path(os.environ.get("STRIPE_REFERENCE") or root.parent / "shared" / "stripe")
        path = folder / "currencies.json"
        if not path.exists():
            pytest.skip("Stripe's reference data is not here: the currency table is not compared")
        reference = json.loads(path.read_text())
        differences = {
            code: theirs
            for code, theirs in reference["currencies"].items()
            if code in CURRENCIES
            and (theirs["exponent"], theirs["multiple_of"], theirs.get("min_charge_minor", 0))
            != (
                CURRENCIES[code].exponent,
                CURRENCIES[code].multiple_of,
                CURRENCIES[code].minimum_minor,
            )
        }
        assert differences == {}
        assert set(CURRENCIES) <= set(reference["currencies"])
        missing = set(reference["currencies"]) - set(CURRENCIES)
        assert missing == {"AFN", "ANG", "BGN", "BYN", "RUB", "STD"}
        assert reference["max_minor_default"] == money.MAX_MINOR
        assert reference["max_minor"] == {
            code: maximum_minor(code) for code in reference["max_minor"]
        }


class TestFormat:
    @pytest.mark.parametrize(
        ("minor", "code", "locale", "text"),
        [
            (123456, "EUR", "en", "€1,234.56"),
            (123456, "EUR", "en-gb", "€1,234.56"),
            (123456, "EUR", "fr", f"1{NARROW}234,56{NBSP}€"),
            (123456, "EUR", "pt-br", f"€{NBSP}1.234,56"),
            (123456, "EUR", "de", f"1.234,56{NBSP}€"),
            (4900, "EUR", "en", "€49.00"),
            (5000, "JPY", "en", "¥5,000"),
            (500, "ISK", "en", f"ISK{NBSP}5"),
            (50000, "UGX", "fr", f"500{NBSP}UGX"),
            (1230, "KWD", "en", f"KWD{NBSP}1.230"),
            (17500, "HUF", "en", f"HUF{NBSP}175.00"),
            (550, "ISK", "en", f"ISK{NBSP}5.50"),
            (-150, "USD", "en", "-$1.50"),
            (150, "usd", "en", "$1.50"),
            (150, "USD", "tlh", "$1.50"),
            (150, "USD", "", "$1.50"),
            (150, "USD", "not a locale", "$1.50"),
        ],
    )
    def test_examples(self, minor, code, locale, text):
        assert format_money(minor, code, locale) == text

    @pytest.mark.parametrize(("minor", "code"), [(1.5, "EUR"), (150, "XXX"), (True, "EUR")])
    def test_refuses_what_is_no_money(self, minor, code):
        with pytest.raises(MoneyError):
            format_money(minor, code, "en")

    @given(payable(), locales)
    def test_no_digit_is_lost(self, money_and_code, locale):
        minor, code = money_and_code
        digits = "".join(c for c in format_money(minor, code, locale) if c.isdigit())
        currency = CURRENCIES[code]
        shown = minor // 10 ** (currency.exponent - currency.digits)
        assert int(digits) == shown


class TestParse:
    @pytest.mark.parametrize(
        ("text", "locale", "amount"),
        [
            ("49.90", "en", "49.90"),
            (" 1,250.00 ", "en", "1250"),
            ("1,250.500", "en", "1250.5"),
            (".50", "en", None),
            ("1 250,50", "fr", "1250.50"),
            (f"1{NBSP}250,50", "fr", "1250.50"),
            (f"1{NARROW}250,50", "fr", "1250.50"),
            ("49.90", "fr", "49.90"),
            ("1.250", "fr", None),
            ("1.250,50", "de", "1250.50"),
            ("1.5", "de", None),
            ("1'250.50", "de-ch", "1250.50"),
            ("1.234", "es", "1234"),
            ("１２.５０", "en", "12.50"),
            ("１２．５０", "ja", "12.50"),
            ("٣", "en", "3"),
            ("1,00,000", "hi", "100000"),
            ("1,25.00", "en", None),
            ("1,25", "en", None),
            ("1,,250", "en", None),
            (",250", "en", None),
            ("1,250,", "en", None),
            ("1,0000", "en", None),
            ("49,90", "en", None),
            ("49,90,5", "fr", None),
            ("5²", "en", None),
            ("1_000", "en", None),
            ("1e5", "en", None),
            ("0x10", "en", None),
            ("NaN", "en", None),
            ("Infinity", "en", None),
            ("-5", "en", None),
            ("+5", "en", None),
            ("€5", "en", None),
            ("five", "en", None),
            ("", "en", None),
            ("   ", "en", None),
            ("9" * 100, "en", None),
            ("5\n", "en", "5"),
            ("5\n0", "en", None),
            ("5\x00", "en", None),
            (None, "en", None),
            (5, "en", None),
        ],
    )
    def test_examples(self, text, locale, amount):
        if amount is None:
            with pytest.raises(MoneyError):
                parse_amount(text, locale)
        else:
            parsed = parse_amount(text, locale)
            assert type(parsed) is Decimal
            assert parsed == Decimal(amount)

    @given(payable(), locales)
    def test_reads_what_it_wrote(self, money_and_code, locale):
        minor, code = money_and_code
        written = format_money(minor, code, locale)
        numeric = "0123456789.,'’" + NBSP + NARROW
        typed = "".join(c for c in written if c in numeric).strip()
        # "kr." and the like leave their point behind.
        typed = typed.strip(".")
        assert to_minor(parse_amount(typed, locale), code) == minor

    @given(st.text(max_size=30), locales)
    def test_answers_with_an_amount_or_a_money_error(self, text, locale):
        try:
            amount = parse_amount(text, locale)
        except MoneyError:
            return
        assert amount.is_finite()
        assert amount >= 0


class TestChoices:
    def test_common_ones_first_then_all_others_by_code(self):
        choices = currency_choices("en")
        assert choices[0] == ("EUR", "EUR – Euro")
        offered = [code for code, _ in choices]
        assert offered[: len(COMMON)] == list(COMMON)
        assert offered[len(COMMON) :] == sorted(set(CURRENCIES) - set(COMMON))

    def test_names_are_those_of_the_locale(self):
        assert ("GBP", "GBP – livre sterling") in currency_choices("fr")

    def test_every_currency_has_a_name(self):
        assert [code for code, label in currency_choices("en") if label == f"{code} – {code}"] == []
