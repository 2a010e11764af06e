"""``expand[]``: replacing an id by its object. The right to read that object is needed as well."""

from __future__ import annotations

import sqlite3
from typing import Any

from . import invoices, objects, sessions
from .keys import Caller
from .problems import ApiProblem

_INTENT = ("payment_intent", "payment_intent_read")
_CHARGE = ("charge", "charge_read")
_INVOICE = ("invoice", "invoice_read")
_SUBSCRIPTION = ("subscription", "subscription_read")
# (kind, field) -> (kind of what the field names, right to read it)
EXPANDABLE = {
    ("checkout.session", "payment_intent"): _INTENT,
    ("checkout.session", "subscription"): _SUBSCRIPTION,
    ("checkout.session", "invoice"): _INVOICE,
    ("payment_intent", "latest_charge"): _CHARGE,
    ("charge", "payment_intent"): _INTENT,
    ("refund", "charge"): _CHARGE,
    ("refund", "payment_intent"): _INTENT,
    ("dispute", "charge"): _CHARGE,
    ("dispute", "payment_intent"): _INTENT,
    ("subscription", "latest_invoice"): _INVOICE,
    ("invoice", "parent.subscription_details.subscription"): _SUBSCRIPTION,
    ("invoice_payment", "invoice"): _INVOICE,
    ("invoice_payment", "payment.payment_intent"): _INTENT,
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
    kind = str(doc.get("object"))
    if kind == "list" and name == "data" and rest:
        return {**doc, "data": [_expand(db, caller, item, rest, path) for item in doc["data"]]}
    if kind == "checkout.session" and name == "line_items" and not rest:
        record = objects.get(db, caller, kind, doc["id"])
        return {**doc, name: sessions.line_items_of(record)}
    if kind == "invoice" and name == "payments":
        caller.demand("invoice_read")
        found = invoices.payments_of(db, objects.get(db, caller, kind, doc["id"]))
        return {**doc, name: _expand(db, caller, found, rest, path) if rest else found}
    target, within, rest = _target(kind, parts)
    if target is None:
        if name in LEFT_ALONE and name in doc:
            return doc
        raise ApiProblem(f"This property cannot be expanded ({path}).", param="expand")
    return _replace(db, caller, doc, within, target, rest, path)


def _target(kind: str, parts: list[str]) -> tuple[tuple[str, str] | None, list[str], list[str]]:
    """What the beginning of a path names, that beginning, and the rest of the path."""
    for length in range(1, len(parts) + 1):
        target = EXPANDABLE.get((kind, ".".join(parts[:length])))
        if target:
            return target, parts[:length], parts[length:]
    return None, [], []


def _replace(
    db: sqlite3.Connection,
    caller: Caller,
    doc: dict[str, Any],
    within: list[str],
    target: tuple[str, str],
    rest: list[str],
    path: str,
) -> dict[str, Any]:
    """A copy in which the id at ``within`` is its object, itself expanded by the rest."""
    name = within[0]
    value = doc.get(name)
    if value is None:
        return doc
    if len(within) > 1:
        return {**doc, name: _replace(db, caller, value, within[1:], target, rest, path)}
    if isinstance(value, str):
        caller.demand(target[1])
        value = objects.get(db, caller, target[0], value).doc
    return {**doc, name: _expand(db, caller, value, rest, path) if rest else value}
