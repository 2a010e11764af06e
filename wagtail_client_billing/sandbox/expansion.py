"""``expand[]``: replacing an id by its object. The right to read that object is needed as well."""

from __future__ import annotations

import sqlite3
from typing import Any

from . import objects, sessions
from .keys import Caller
from .problems import ApiProblem

# (kind, field) -> (kind of what the field names, right to read it)
EXPANDABLE = {
    ("checkout.session", "payment_intent"): ("payment_intent", "payment_intent_read"),
    ("payment_intent", "latest_charge"): ("charge", "charge_read"),
    ("charge", "payment_intent"): ("payment_intent", "payment_intent_read"),
}
# Fields that Stripe expands and that are always null, or always kept as an id, here.
LEFT_ALONE = {"customer", "invoice", "subscription", "payment_method", "balance_transaction"}


def expand(
    db: sqlite3.Connection, caller: Caller, doc: dict[str, Any], paths: list[str]
) -> dict[str, Any]:
    """A copy of a document with the named fields expanded; in a list they begin with "data."."""
    for path in paths:
        doc = _expand(db, caller, doc, path.split("."), path)
    return doc


def _expand(
    db: sqlite3.Connection, caller: Caller, doc: dict[str, Any], parts: list[str], path: str
) -> dict[str, Any]:
    name, rest = parts[0], parts[1:]
    kind = doc.get("object")
    if kind == "list" and name == "data" and rest:
        return {**doc, "data": [_expand(db, caller, item, rest, path) for item in doc["data"]]}
    if kind == "checkout.session" and name == "line_items" and not rest:
        record = objects.get(db, caller, kind, doc["id"])
        return {**doc, name: sessions.line_items_of(record)}
    if name in LEFT_ALONE and name in doc:
        return doc
    target = EXPANDABLE.get((str(kind), name))
    if target is None:
        raise ApiProblem(f"This property cannot be expanded ({path}).", param="expand")
    value = doc.get(name)
    if value is None:
        return doc
    if isinstance(value, str):
        caller.demand(target[1])
        value = objects.get(db, caller, target[0], value).doc
    return {**doc, name: _expand(db, caller, value, rest, path) if rest else value}
