"""What a new Checkout Session may be made of: its parameters, and what Stripe says in prose."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from . import currencies, params
from .problems import ApiProblem, not_found

SHORTEST, LONGEST = 30 * 60, 24 * 3600  # seconds from creation to expires_at
LONGEST_INTERVAL = {"day": 1095, "week": 156, "month": 36, "year": 3}  # three years
# What belongs to one mode only, in Stripe's words.
PAYMENT_ONLY = ("customer_creation", "invoice_creation", "payment_intent_data", "submit_type")

_LOCALES = (
    "auto bg cs da de el en en-GB es es-419 et fi fil fr fr-CA hr hu id it ja ko lt lv ms mt nb "
    "nl pl pt pt-BR ro ru sk sl sv th tr vi zh zh-HK zh-TW hi-IN"
)

_text = params.string()
_switched_off = params.hash_of({"enabled": params.boolean}, ["enabled"])
_message = params.hash_of({"message": params.string(1200)}, ["message"])

PRICE_DATA = params.hash_of(
    {
        "currency": _text,
        "unit_amount": params.integer(1),
        "product": _text,
        "product_data": params.hash_of(
            {
                "name": _text,
                "description": params.string(40000),
                "images": params.array(_text, longest=8),
                "metadata": params.metadata,
                "unit_label": params.string(12),
            },
            ["name"],
        ),
        "recurring": params.hash_of(
            {
                "interval": params.choice("day", "week", "month", "year"),
                "interval_count": params.integer(1),
                "usage_type": params.choice("licensed"),
            },
            ["interval"],
        ),
        "tax_behavior": params.choice("exclusive", "inclusive", "unspecified"),
    },
    ["currency", "unit_amount"],
)

CREATE: dict[str, params.Checker] = {
    "mode": params.choice("payment", "setup", "subscription"),
    "line_items": params.array(
        params.hash_of(
            {
                "quantity": params.integer(1, 999_999),
                "price": _text,
                "price_data": PRICE_DATA,
                "metadata": params.metadata,
            },
            ["quantity"],
        ),
        longest=100,
    ),
    "success_url": params.url,
    "cancel_url": params.url,
    "client_reference_id": params.string(200),
    "customer_email": params.email,
    "customer_creation": params.choice("always", "if_required"),
    "expires_at": params.integer(),
    "locale": params.choice(*_LOCALES.split()),
    "metadata": params.metadata,
    "adaptive_pricing": params.hash_of({"enabled": params.boolean}),
    "custom_text": params.hash_of(
        {
            "after_submit": _message,
            "shipping_address": _message,
            "submit": _message,
            "terms_of_service_acceptance": _message,
        }
    ),
    "consent_collection": params.hash_of({"terms_of_service": params.choice("none", "required")}),
    "payment_intent_data": params.hash_of(
        {
            "description": params.string(1000),
            "metadata": params.metadata,
            "receipt_email": params.email,
            "statement_descriptor_suffix": params.string(22),
        }
    ),
    "subscription_data": params.hash_of(
        {"description": params.string(500), "metadata": params.metadata}
    ),
    "billing_address_collection": params.choice("auto", "required"),
    "submit_type": params.choice("auto", "book", "donate", "pay"),
    "ui_mode": params.choice("hosted_page"),
    "allow_promotion_codes": params.boolean,
    "automatic_tax": _switched_off,
    "invoice_creation": _switched_off,
    "phone_number_collection": _switched_off,
}


def check(raw: Mapping[str, Any], now: int) -> dict[str, Any]:
    """The typed parameters of a new session; raises Stripe's refusal."""
    if "payment_method_types" in raw:
        raise ApiProblem(
            "payment_method_types is no longer supported on Checkout Sessions: use dynamic "
            "payment methods.",
            code="payment_method_types_no_longer_supported",
            param="payment_method_types",
        )
    checked: dict[str, Any] = params.check(raw, CREATE, ["mode", "line_items", "success_url"])
    checked.setdefault("expires_at", now + LONGEST)
    _check_rules(checked, now)
    return checked


def _check_rules(checked: Mapping[str, Any], now: int) -> None:
    mode = checked["mode"]
    if mode == "setup":
        raise ApiProblem("This sandbox does not do setup mode.", param="mode")
    for name in PAYMENT_ONLY if mode == "subscription" else ("subscription_data",):
        if name in checked:
            raise ApiProblem(f"You can not pass `{name}` in `{mode}` mode.", param=name)
    for name in ("automatic_tax", "invoice_creation", "phone_number_collection"):
        if checked.get(name, {}).get("enabled"):
            raise ApiProblem(f"This sandbox does not do {name}.", param=f"{name}[enabled]")
    if checked.get("consent_collection", {}).get("terms_of_service") == "required":
        raise ApiProblem(
            "You cannot collect consent to your terms of service unless a URL is set in the "
            "Stripe Dashboard. (The sandbox's accounts have none.)",
            param="consent_collection[terms_of_service]",
        )
    if checked["expires_at"] < now + SHORTEST:
        raise ApiProblem(
            "The `expires_at` timestamp must be at least 30 minutes from Checkout Session "
            "creation.",
            param="expires_at",
        )
    if checked["expires_at"] > now + LONGEST:
        raise ApiProblem(
            "The `expires_at` timestamp must be less than 24 hours from Checkout Session creation.",
            param="expires_at",
        )


def total(mode: str, items: list[dict[str, Any]]) -> int:
    """The sum in minor units; checks prices, currencies, intervals and Stripe's bounds."""
    amount = 0
    if not items:
        raise ApiProblem(
            f"The `line_items` parameter is required in {mode} mode.", param="line_items"
        )
    first = None
    for index, item in enumerate(items):
        where = f"line_items[{index}]"
        if "price" in item:
            raise not_found("price", item["price"], f"{where}[price]")
        if "price_data" not in item:
            raise ApiProblem(
                "You must specify either `price` or `price_data` when using `line_items`.",
                code="parameter_missing",
                param=where,
            )
        price = item["price_data"]
        where += "[price_data]"
        if "product" in price:
            raise not_found("product", price["product"], f"{where}[product]")
        if "product_data" not in price:
            raise ApiProblem(
                "You must specify either `product` or `product_data`.",
                code="parameter_missing",
                param=where,
            )
        _check_interval(mode, price, items[0]["price_data"], f"{where}[recurring]")
        currencies.check(price["currency"], price["unit_amount"], where)
        first = first or price["currency"]
        if price["currency"] != first:
            raise ApiProblem(
                "The prices of all line items must have the same currency.",
                param=f"{where}[currency]",
            )
        amount += price["unit_amount"] * item["quantity"]
    currencies.check_total(str(first), amount)
    return amount


def _check_interval(
    mode: str, price: Mapping[str, Any], first: Mapping[str, Any], where: str
) -> None:
    recurring = price.get("recurring")
    if mode == "payment":
        if recurring is not None:
            raise ApiProblem(
                "You specified `payment` mode but passed a recurring price. Either switch to "
                "`subscription` mode or use only one-time prices.",
                param=where,
            )
        return
    if recurring is None:
        raise ApiProblem(
            "You must provide at least one recurring price in `subscription` mode. (The sandbox "
            "takes recurring prices only.)",
            param=where,
        )
    longest = LONGEST_INTERVAL[recurring["interval"]]
    if recurring.setdefault("interval_count", 1) > longest:
        raise ApiProblem(
            "Invalid `interval_count`: the interval must be at most three years "
            f"({longest} {recurring['interval']}s).",
            code="parameter_invalid_integer",
            param=f"{where}[interval_count]",
        )
    if recurring != first.get("recurring"):
        raise ApiProblem(
            "Checkout does not support multiple prices with different billing intervals.",
            param=where,
        )
