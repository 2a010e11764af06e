"""The JSON of refunds and disputes: money that goes back. Amounts are minor units."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from . import ids

ANSWER_WITHIN = 9 * 24 * 3600  # seconds to send evidence

_EVIDENCE = (
    "access_activity_log",
    "billing_address",
    "cancellation_policy",
    "cancellation_policy_disclosure",
    "cancellation_rebuttal",
    "customer_communication",
    "customer_email_address",
    "customer_name",
    "customer_purchase_ip",
    "customer_signature",
    "duplicate_charge_documentation",
    "duplicate_charge_explanation",
    "duplicate_charge_id",
    "product_description",
    "receipt",
    "refund_policy",
    "refund_policy_disclosure",
    "refund_refusal_explanation",
    "service_date",
    "service_documentation",
    "shipping_address",
    "shipping_carrier",
    "shipping_date",
    "shipping_documentation",
    "shipping_tracking_number",
    "uncategorized_file",
    "uncategorized_text",
)


def refund(
    charge: Mapping[str, Any],
    *,
    amount: int,
    status: str,
    reason: str | None,
    metadata: Mapping[str, str],
) -> dict[str, Any]:
    """A new refund of a charge: status succeeded, or pending while the bank takes its time."""
    kind = charge["payment_method_details"]["type"]
    doc = {
        "id": ids.new("re"),
        "object": "refund",
        "amount": amount,
        "balance_transaction": ids.new("txn"),
        "charge": charge["id"],
        "created": int(time.time()),
        "currency": charge["currency"],
        "destination_details": {"type": kind},
        "metadata": dict(metadata),
        "payment_intent": charge["payment_intent"],
        "reason": reason,
        "receipt_number": None,
        "source_transfer_reversal": None,
        "status": status,
        "transfer_reversal": None,
    }
    if kind == "card":
        doc["destination_details"]["card"] = {"type": "refund"}
    if status == "pending":
        doc["pending_reason"] = "processing"
    return doc


def dispute(charge: Mapping[str, Any], *, amount: int, reason: str) -> dict[str, Any]:
    """A new dispute of a charge; its money has been taken back already."""
    now = int(time.time())
    id = ids.new("du")
    kind = charge["payment_method_details"]["type"]
    doc = {
        "id": id,
        "object": "dispute",
        "amount": amount,
        "balance_transactions": [
            balance_transaction(id, -amount, charge["currency"], "Chargeback withdrawal")
        ],
        "charge": charge["id"],
        "created": now,
        "currency": charge["currency"],
        "enhanced_eligibility_types": [],
        "evidence": {**dict.fromkeys(_EVIDENCE), "enhanced_evidence": {}},
        "evidence_details": {
            "due_by": now + ANSWER_WITHIN,
            "enhanced_eligibility": {},
            "has_evidence": False,
            "past_due": False,
            "submission_count": 0,
        },
        "is_charge_refundable": False,
        "livemode": charge["livemode"],
        "metadata": {},
        "payment_intent": charge["payment_intent"],
        "reason": reason,
        "status": "needs_response",
    }
    if kind == "card":
        doc["payment_method_details"] = {
            "type": "card",
            "card": {
                "brand": charge["payment_method_details"]["card"]["brand"],
                "case_type": "chargeback",
                "network_reason_code": "10.4" if reason == "fraudulent" else "13.1",
            },
        }
    return doc


def balance_transaction(source: str, amount: int, currency: str, text: str) -> dict[str, Any]:
    """What a dispute moves on the account's balance; the sandbox takes no fee."""
    now = int(time.time())
    return {
        "id": ids.new("txn"),
        "object": "balance_transaction",
        "amount": amount,
        "available_on": now,
        "balance_type": "payments",
        "created": now,
        "currency": currency,
        "description": text,
        "exchange_rate": None,
        "fee": 0,
        "fee_details": [],
        "net": amount,
        "reporting_category": "dispute" if amount < 0 else "dispute_reversal",
        "source": source,
        "status": "available",
        "type": "adjustment",
    }
