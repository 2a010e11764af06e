"""What Stripe says of a country: here only which currencies an account there can charge."""

from __future__ import annotations

import re
from typing import Any

from .currencies import KNOWN
from .problems import not_found

COUNTRY = re.compile("[A-Z]{2}")

# Their own currency is not the euro, or they charge in no other than their own.
_DEFAULT = {"GB": "gbp", "US": "usd", "CH": "chf", "SE": "sek", "JP": "jpy", "BR": "brl"}
_ONLY_THEIR_OWN = {"BR"}


def retrieve(country: str) -> dict[str, Any]:
    """The country's specification; a code that is none is answered 404."""
    country = country.upper()
    if not COUNTRY.fullmatch(country):
        raise not_found("country", country, "country")
    own = _DEFAULT.get(country, "eur")
    charged = [own] if country in _ONLY_THEIR_OWN else sorted(KNOWN)
    asked: dict[str, list[str]] = {"additional": [], "minimum": ["business_type"]}
    return {
        "id": country,
        "object": "country_spec",
        "default_currency": own,
        "supported_bank_account_currencies": {own: [country]},
        "supported_payment_currencies": charged,
        "supported_payment_methods": ["card", "stripe"],
        "supported_transfer_countries": [country],
        "verification_fields": {"company": asked, "individual": asked},
    }
