"""Which currencies the sandbox takes, and Stripe's bounds for an amount in minor units."""

from __future__ import annotations

from .problems import ApiProblem

_KNOWN = (
    "aed afn all amd ang aoa ars aud awg azn bam bbd bdt bgn bhd bif bmd bnd bob brl bsd bwp "
    "byn bzd cad cdf chf clp cny cop crc cve czk djf dkk dop dzd egp etb eur fjd fkp gbp gel "
    "gip gmd gnf gtq gyd hkd hnl hrk htg huf idr ils inr isk jmd jod jpy kes kgs khr kmf krw "
    "kwd kyd kzt lak lbp lkr lrd lsl mad mdl mga mkd mmk mnt mop mur mvr mwk mxn myr mzn nad "
    "ngn nio nok npr nzd omr pab pen pgk php pkr pln pyg qar ron rsd rub rwf sar sbd scr sek "
    "sgd shp sle sos srd std szl thb tjs tnd top try ttd twd tzs uah ugx usd uyu uzs vnd vuv "
    "wst xaf xcd xcg xof xpf yer zar zmw"
)
KNOWN = frozenset(_KNOWN.split())

HUNDREDS = frozenset(("isk", "ugx"))  # sent times 100, always ending in 00
TENS = frozenset(("bhd", "jod", "kwd", "omr", "tnd"))  # three decimals, the last one 0

_FIFTY = "usd ars aud brl cad chf cop eur idr ils inr jpy krw nzd php rub sgd zar"
SMALLEST = {
    **dict.fromkeys(_FIFTY.split(), 50),
    **{"aed": 200, "czk": 1500, "dkk": 250, "gbp": 30, "hkd": 400, "huf": 17500, "mxn": 1000},
    **{"myr": 200, "nok": 300, "pln": 200, "ron": 200, "sek": 300, "thb": 1000},
}
LARGEST = 999_999_999_999


def check(currency: str, unit_amount: int, where: str) -> None:
    """Refuse an unknown currency, or an amount that the currency cannot have."""
    if currency not in KNOWN:
        raise ApiProblem(
            f"Invalid currency: {currency}. Stripe currently supports these currencies: "
            f"{', '.join(sorted(KNOWN))}",
            param=f"{where}[currency]",
        )
    step = 100 if currency in HUNDREDS else 10 if currency in TENS else 1
    if unit_amount % step:
        raise ApiProblem(
            f"Invalid amount for {currency}: it must be divisible by {step}.",
            code="parameter_invalid_integer",
            param=f"{where}[unit_amount]",
        )


def check_total(currency: str, total: int) -> None:
    """Refuse a total below Stripe's minimum or above its maximum."""
    smallest = SMALLEST.get(currency, 1)
    if total < smallest:
        raise ApiProblem(
            "The Checkout Session's total amount must be at least "
            f"{smallest} (in the smallest unit of {currency}).",
            code="amount_too_small",
        )
    if total > LARGEST:
        raise ApiProblem(
            f"The Checkout Session's total amount must be no more than {LARGEST}.",
            code="amount_too_large",
        )
