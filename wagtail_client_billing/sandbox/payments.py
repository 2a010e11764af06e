"""PaymentIntents and charges, for reading."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from typing import Any

from . import objects, params
from .keys import Caller

LIST_INTENTS: dict[str, params.Checker] = {
    **params.PAGING,
    "created": params.moment,
    "customer": params.string(),
}
LIST_CHARGES: dict[str, params.Checker] = {**LIST_INTENTS, "payment_intent": params.string()}


def retrieve_intent(
    db: sqlite3.Connection, caller: Caller, id: str, raw: Mapping[str, Any]
) -> dict[str, Any]:
    params.check(raw, {})
    return objects.get(db, caller, "payment_intent", id, "intent").doc


def list_intents(db: sqlite3.Connection, caller: Caller, raw: Mapping[str, Any]) -> dict[str, Any]:
    checked = params.check(raw, LIST_INTENTS)
    keep = objects.having(checked, "customer")
    return objects.page(db, caller, "payment_intent", "/v1/payment_intents", checked, keep=keep)


def retrieve_charge(
    db: sqlite3.Connection, caller: Caller, id: str, raw: Mapping[str, Any]
) -> dict[str, Any]:
    params.check(raw, {})
    return objects.get(db, caller, "charge", id, "charge").doc


def list_charges(db: sqlite3.Connection, caller: Caller, raw: Mapping[str, Any]) -> dict[str, Any]:
    checked = params.check(raw, LIST_CHARGES)
    keep = objects.having(checked, "customer", "payment_intent")
    return objects.page(db, caller, "charge", "/v1/charges", checked, keep=keep)
