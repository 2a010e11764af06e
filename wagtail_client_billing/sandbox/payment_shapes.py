"""The JSON of payments: PaymentIntents, charges and what they are paid with, in minor units."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from . import ids

CARD = {"brand": "visa", "last4": "4242", "country": "US", "funding": "credit"}
DECLINED_CARD = {"brand": "visa", "last4": "0002", "country": "US", "funding": "credit"}


def payment_intent(
    *, livemode: bool, amount: int, currency: str, description: str | None, metadata: dict[str, str]
) -> dict[str, Any]:
    """A PaymentIntent that nobody has paid yet."""
    id = ids.new("pi")
    return {
        "id": id,
        "object": "payment_intent",
        "amount": amount,
        "amount_capturable": 0,
        "amount_details": {"tip": {}},
        "amount_received": 0,
        "application": None,
        "application_fee_amount": None,
        "automatic_payment_methods": None,
        "canceled_at": None,
        "cancellation_reason": None,
        "capture_method": "automatic_async",
        "client_secret": f"{id}_{ids.new('secret')}",
        "confirmation_method": "automatic",
        "created": int(time.time()),
        "currency": currency,
        "customer": None,
        "description": description,
        "last_payment_error": None,
        "latest_charge": None,
        "livemode": livemode,
        "metadata": metadata,
        "next_action": None,
        "on_behalf_of": None,
        "payment_method": None,
        "payment_method_configuration_details": None,
        "payment_method_options": {},
        "payment_method_types": ["card"],
        "processing": None,
        "receipt_email": None,
        "review": None,
        "setup_future_usage": None,
        "shipping": None,
        "source": None,
        "statement_descriptor": None,
        "statement_descriptor_suffix": None,
        "status": "requires_payment_method",
        "transfer_data": None,
        "transfer_group": None,
    }


def charge(
    intent: Mapping[str, Any], *, status: str, email: str | None, method: Mapping[str, Any]
) -> dict[str, Any]:
    """One try to take the money: status succeeded, pending or failed.

    ``method`` is what ``payment_method_details`` says. The PaymentIntent's metadata is not copied:
    whether Stripe does so is not certain, and nothing should rely on it.
    """
    paid = status == "succeeded"
    return {
        "id": ids.new("ch"),
        "object": "charge",
        "amount": intent["amount"],
        "amount_captured": intent["amount"] if paid else 0,
        "amount_refunded": 0,
        "application": None,
        "application_fee": None,
        "application_fee_amount": None,
        "balance_transaction": ids.new("txn") if paid else None,
        "billing_details": {
            "address": None,
            "email": email,
            "name": None,
            "phone": None,
            "tax_id": None,
        },
        "calculated_statement_descriptor": None,
        "captured": paid,
        "created": int(time.time()),
        "currency": intent["currency"],
        "customer": intent["customer"],
        "description": intent["description"],
        "disputed": False,
        "failure_balance_transaction": None,
        "failure_code": None,
        "failure_message": None,
        "fraud_details": {},
        "livemode": intent["livemode"],
        "metadata": {},
        "on_behalf_of": None,
        "outcome": None,
        "paid": paid,
        "payment_intent": intent["id"],
        "payment_method": ids.new("pm"),
        "payment_method_details": dict(method),
        "receipt_email": None,
        "receipt_number": None,
        "receipt_url": None,
        "refunded": False,
        "review": None,
        "shipping": None,
        "source": None,
        "source_transfer": None,
        "statement_descriptor": None,
        "statement_descriptor_suffix": None,
        "status": status,
        "transfer_data": None,
        "transfer_group": None,
    }


def card_details(card: Mapping[str, Any]) -> dict[str, Any]:
    """``payment_method_details`` of a card."""
    return {
        "type": "card",
        "card": {
            "amount_authorized": None,
            "brand": card["brand"],
            "checks": {
                "address_line1_check": None,
                "address_postal_code_check": None,
                "cvc_check": "pass",
            },
            "country": card["country"],
            "exp_month": 12,
            "exp_year": time.gmtime().tm_year + 3,
            "fingerprint": ids.derived("fp", card["last4"])[3:],
            "funding": card["funding"],
            "installments": None,
            "last4": card["last4"],
            "mandate": None,
            "network": card["brand"],
            "three_d_secure": None,
            "wallet": None,
        },
    }


def debit_details() -> dict[str, Any]:
    """``payment_method_details`` of a bank debit, which is settled days later."""
    return {
        "type": "sepa_debit",
        "sepa_debit": {
            "bank_code": "37040044",
            "branch_code": None,
            "country": "DE",
            "fingerprint": ids.derived("fp", "debit")[3:],
            "last4": "3000",
            "mandate": None,
        },
    }
