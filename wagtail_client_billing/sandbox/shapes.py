"""The JSON of Stripe's objects, with the fields that Stripe shows. Amounts are minor units."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from . import ids

API_VERSION = "2026-10-28.endive"


def mode_name(livemode: bool) -> str:
    return "live" if livemode else "test"


def account(row: Mapping[str, Any]) -> dict[str, Any]:
    """An account, from its row in the books."""
    enabled = bool(row["charges_enabled"])
    status = "active" if enabled else "inactive"
    due = [] if row["details_submitted"] else ["business_profile.url", "external_account"]
    return {
        "id": row["id"],
        "object": "account",
        "business_profile": {
            "mcc": None,
            "name": row["name"],
            "product_description": None,
            "support_address": None,
            "support_email": None,
            "support_phone": None,
            "support_url": None,
            "url": None,
        },
        "business_type": "company",
        "capabilities": {"card_payments": status, "transfers": status},
        "charges_enabled": enabled,
        "controller": {"type": "account"},
        "country": row["country"],
        "created": row["created"],
        "default_currency": row["default_currency"],
        "details_submitted": bool(row["details_submitted"]),
        "email": f"{row['id'][5:].lower()}@sandbox.invalid",
        "metadata": {},
        "payouts_enabled": enabled,
        "requirements": {
            "alternatives": [],
            "current_deadline": None,
            "currently_due": due,
            "disabled_reason": None if enabled else "requirements.past_due",
            "errors": [],
            "eventually_due": due,
            "past_due": due,
            "pending_verification": [],
        },
        "settings": {
            "branding": {
                "icon": None,
                "logo": None,
                "primary_color": None,
                "secondary_color": None,
            },
            "card_payments": {
                "statement_descriptor_prefix": None,
                "statement_descriptor_prefix_kana": None,
                "statement_descriptor_prefix_kanji": None,
            },
            "dashboard": {"display_name": row["name"], "timezone": "Etc/UTC"},
            "payments": {
                "statement_descriptor": None,
                "statement_descriptor_kana": None,
                "statement_descriptor_kanji": None,
            },
        },
        "type": "standard",
    }


def session(
    params: Mapping[str, Any], *, livemode: bool, url: str, id: str, created: int, amount: int
) -> dict[str, Any]:
    """A new, open Checkout Session from its checked parameters."""
    email = params.get("customer_email")
    texts = params.get("custom_text", {})
    places = ("after_submit", "shipping_address", "submit", "terms_of_service_acceptance")
    consent = params.get("consent_collection")
    recurring = params["mode"] == "subscription"
    return {
        "id": id,
        "object": "checkout.session",
        "adaptive_pricing": {"enabled": params.get("adaptive_pricing", {}).get("enabled", True)},
        "after_expiration": None,
        "allow_promotion_codes": params.get("allow_promotion_codes"),
        "amount_subtotal": amount,
        "amount_total": amount,
        "automatic_tax": {"enabled": False, "liability": None, "provider": None, "status": None},
        "billing_address_collection": params.get("billing_address_collection"),
        "cancel_url": params.get("cancel_url"),
        "client_reference_id": params.get("client_reference_id"),
        "client_secret": None,
        "collected_information": None,
        "consent": None,
        "consent_collection": consent and {"promotions": None, **consent},
        "created": created,
        "currency": params["line_items"][0]["price_data"]["currency"],
        "currency_conversion": None,
        "custom_fields": [],
        "custom_text": {place: texts.get(place) for place in places},
        "customer": None,
        "customer_creation": "always"
        if recurring
        else params.get("customer_creation", "if_required"),
        "customer_details": customer_details(email) if email else None,
        "customer_email": email,
        "discounts": [],
        "expires_at": params["expires_at"],
        "invoice": None,
        "invoice_creation": None
        if recurring
        else {
            "enabled": False,
            "invoice_data": {
                "account_tax_ids": None,
                "custom_fields": None,
                "description": None,
                "footer": None,
                "issuer": None,
                "metadata": {},
                "rendering_options": None,
            },
        },
        "livemode": livemode,
        "locale": params.get("locale"),
        "metadata": params.get("metadata", {}),
        "mode": params["mode"],
        "origin_context": None,
        "payment_intent": None,
        "payment_link": None,
        "payment_method_collection": "always" if recurring else "if_required",
        "payment_method_configuration_details": None,
        "payment_method_options": {},
        "payment_method_types": ["card"],
        "payment_status": "unpaid",
        "permissions": None,
        "phone_number_collection": {"enabled": False},
        "recovered_from": None,
        "saved_payment_method_options": None,
        "setup_intent": None,
        "shipping_address_collection": None,
        "shipping_cost": None,
        "shipping_options": [],
        "status": "open",
        "submit_type": params.get("submit_type"),
        "subscription": None,
        "success_url": params["success_url"],
        "total_details": {"amount_discount": 0, "amount_shipping": 0, "amount_tax": 0},
        "ui_mode": "hosted_page",
        "url": url,
        "wallet_options": None,
    }


def customer_details(email: str, name: str | None = None) -> dict[str, Any]:
    return {
        "address": None,
        "business_name": None,
        "email": email,
        "individual_name": None,
        "name": name,
        "phone": None,
        "tax_exempt": "none",
        "tax_ids": None,
    }


def line_item(item: Mapping[str, Any], *, livemode: bool, created: int) -> dict[str, Any]:
    """A session's line item with the price that Stripe makes of inline ``price_data``."""
    price = item["price_data"]
    amount = price["unit_amount"] * item["quantity"]
    recurring = price.get("recurring")
    return {
        "id": ids.new("li"),
        "object": "item",
        "amount_discount": 0,
        "amount_subtotal": amount,
        "amount_tax": 0,
        "amount_total": amount,
        "currency": price["currency"],
        "description": price["product_data"]["name"],
        "price": {
            "id": ids.new("price"),
            "object": "price",
            "active": False,
            "billing_scheme": "per_unit",
            "created": created,
            "currency": price["currency"],
            "custom_unit_amount": None,
            "livemode": livemode,
            "lookup_key": None,
            "metadata": {},
            "nickname": None,
            "product": ids.new("prod", 14),
            "recurring": recurring
            and {
                "interval": recurring["interval"],
                "interval_count": recurring["interval_count"],
                "meter": None,
                "trial_period_days": None,
                "usage_type": "licensed",
            },
            "tax_behavior": price.get("tax_behavior", "unspecified"),
            "tiers_mode": None,
            "transform_quantity": None,
            "type": "recurring" if recurring else "one_time",
            "unit_amount": price["unit_amount"],
            "unit_amount_decimal": str(price["unit_amount"]),
        },
        "quantity": item["quantity"],
    }


def webhook_endpoint(params: Mapping[str, Any], *, livemode: bool) -> dict[str, Any]:
    """A new webhook endpoint, without its secret."""
    return {
        "id": ids.new("we"),
        "object": "webhook_endpoint",
        "api_version": params.get("api_version"),
        "application": None,
        "created": int(time.time()),
        "description": params.get("description") or None,
        "enabled_events": params["enabled_events"],
        "livemode": livemode,
        "metadata": params.get("metadata", {}),
        "status": "enabled",
        "url": params["url"],
    }


def event(
    type: str,
    snapshot: Mapping[str, Any],
    *,
    livemode: bool,
    previous: Mapping[str, Any] | None = None,
    request_id: str | None = None,
    idempotency_key: str | None = None,
) -> dict[str, Any]:
    """An event with the object as it is now."""
    data: dict[str, Any] = {"object": dict(snapshot)}
    if previous is not None:
        data["previous_attributes"] = dict(previous)
    return {
        "id": ids.new("evt"),
        "object": "event",
        "api_version": API_VERSION,
        "created": int(time.time()),
        "data": data,
        "livemode": livemode,
        "pending_webhooks": 0,
        "request": {"id": request_id, "idempotency_key": idempotency_key},
        "type": type,
    }
