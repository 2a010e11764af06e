"""Checkout Sessions: what the API accepts and answers.

One-time payments only; a session never outlives its ``expires_at`` on the sandbox's clock.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Mapping
from typing import Any

from . import books, clock, currencies, events, ids, objects, params, shapes
from .keys import Caller
from .objects import Record
from .problems import ApiProblem, not_found

KIND = "checkout.session"
SHORTEST, LONGEST = 30 * 60, 24 * 3600  # seconds from creation to expires_at

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
        "recurring": params.hash_of({"interval": _text, "interval_count": params.integer(1)}),
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

LIST: dict[str, params.Checker] = {
    **params.PAGING,
    "created": params.moment,
    "payment_intent": _text,
    "status": params.choice("complete", "expired", "open"),
}


def create(
    db: sqlite3.Connection, caller: Caller, raw: Mapping[str, Any], page_url: str
) -> dict[str, Any]:
    """A new session. ``page_url`` is our checkout page with ``{id}`` where the id goes."""
    if "payment_method_types" in raw:
        raise ApiProblem(
            "payment_method_types is no longer supported on Checkout Sessions: use dynamic "
            "payment methods.",
            code="payment_method_types_no_longer_supported",
            param="payment_method_types",
        )
    checked = params.check(raw, CREATE, ["mode", "line_items", "success_url"])
    now = int(time.time())
    checked.setdefault("expires_at", now + LONGEST)
    _check_rules(checked, now)
    amount = _total(checked["line_items"])
    id = ids.new(f"cs_{shapes.mode_name(caller.livemode)}_a1", 56).replace("a1_", "a1")
    doc = shapes.session(
        checked,
        livemode=caller.livemode,
        url=page_url.replace("{id}", id),
        id=id,
        created=now,
        amount=amount,
    )
    objects.add(
        db,
        caller,
        doc,
        state="open",
        ends_at=doc["expires_at"] + clock.offset(db),
        extra={
            "line_items": [
                shapes.line_item(item, livemode=caller.livemode, created=now)
                for item in checked["line_items"]
            ],
            "product_data": checked["line_items"][0]["price_data"]["product_data"],
            "payment_intent_data": checked.get("payment_intent_data", {}),
            "payment_intent": None,
        },
    )
    return doc


def _check_rules(checked: Mapping[str, Any], now: int) -> None:
    """What Stripe says in prose only."""
    if checked["mode"] != "payment":
        raise ApiProblem(
            f"This sandbox does not do {checked['mode']} mode yet: payment mode only.",
            param="mode",
        )
    if "subscription_data" in checked:
        raise ApiProblem(
            "You can not pass `subscription_data` in `payment` mode.", param="subscription_data"
        )
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


def _total(items: list[dict[str, Any]]) -> int:
    """The sum in minor units; checks prices, currencies and Stripe's bounds."""
    total = 0
    if not items:
        raise ApiProblem(
            "The `line_items` parameter is required in payment mode.", param="line_items"
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
        if "recurring" in price:
            raise ApiProblem(
                "You specified `payment` mode but passed a recurring price. Either switch to "
                "`subscription` mode or use only one-time prices.",
                param=f"{where}[recurring]",
            )
        currencies.check(price["currency"], price["unit_amount"], where)
        first = first or price["currency"]
        if price["currency"] != first:
            raise ApiProblem(
                "The prices of all line items must have the same currency.",
                param=f"{where}[currency]",
            )
        total += price["unit_amount"] * item["quantity"]
    currencies.check_total(str(first), total)
    return total


def retrieve(
    db: sqlite3.Connection, caller: Caller, id: str, raw: Mapping[str, Any]
) -> dict[str, Any]:
    params.check(raw, {})
    return objects.get(db, caller, KIND, id, "session").doc


def list_all(db: sqlite3.Connection, caller: Caller, raw: Mapping[str, Any]) -> dict[str, Any]:
    checked = params.check(raw, LIST)
    intent, status = checked.get("payment_intent"), checked.get("status")

    def keep(record: Record) -> bool:
        # A declined payment has a PaymentIntent that the session does not show yet.
        return (intent is None or record.extra["payment_intent"] == intent) and (
            status is None or record.state == status
        )

    return objects.page(db, caller, KIND, "/v1/checkout/sessions", checked, keep=keep)


def line_items(
    db: sqlite3.Connection, caller: Caller, id: str, raw: Mapping[str, Any]
) -> dict[str, Any]:
    checked = params.check(raw, params.PAGING)
    record = objects.get(db, caller, KIND, id, "session")
    return line_items_of(record, checked.get("limit", 10))


def line_items_of(record: Record, limit: int = 10) -> dict[str, Any]:
    items = record.extra["line_items"]
    return {
        "object": "list",
        "data": items[:limit],
        "has_more": len(items) > limit,
        "url": f"/v1/checkout/sessions/{record.id}/line_items",
    }


def expire(
    db: sqlite3.Connection, caller: Caller, id: str, raw: Mapping[str, Any]
) -> dict[str, Any]:
    """End an open session now; any other status is refused (and the idempotency key keeps it)."""
    params.check(raw, {})
    record = objects.get(db, caller, KIND, id, "session")
    if record.state != "open":
        raise ApiProblem(
            'Only Checkout Sessions with a status in ["open"] can be expired. This Checkout '
            f"Session has a status of `{record.state}`.",
            kept=True,
        )
    end(db, record)
    return record.doc


def end(db: sqlite3.Connection, record: Record) -> bool:
    """Open → expired, with its event; False if it was not open any more."""
    record.state = "expired"
    record.doc.update(status="expired", url=None)
    if not objects.save(db, record, only_from="open"):
        return False
    events.record(db, record, "checkout.session.expired", record.doc)
    return True


def end_due() -> int:
    """End every open session whose time has come; returns how many."""
    with books.read() as db:
        if not objects.ending(db, KIND, "open", clock.now(db)):
            return 0  # the usual case takes no write lock
    with books.write() as db:
        return sum(end(db, record) for record in objects.ending(db, KIND, "open", clock.now(db)))
