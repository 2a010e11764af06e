"""The customer portal: its configurations and sessions in the API, and what a payer does there.

The first configuration of an account in a mode is its default. A payer's card is one of those in
``subscriptions.CARDS``.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Mapping
from typing import Any

from . import (
    books,
    clock,
    collecting,
    customers,
    deliveries,
    events,
    ids,
    invoices,
    objects,
    params,
    subscriptions,
)
from .keys import Caller
from .objects import Record
from .problems import ApiProblem

CONFIGURATION, SESSION = "billing_portal.configuration", "billing_portal.session"

_enabled = params.hash_of({"enabled": params.boolean}, ["enabled"])
_FEATURES = params.hash_of(
    {
        "customer_update": params.hash_of(
            {
                "enabled": params.boolean,
                "allowed_updates": params.array(
                    params.choice("address", "email", "name", "phone", "shipping", "tax_id")
                ),
            },
            ["enabled"],
        ),
        "invoice_history": _enabled,
        "payment_method_update": _enabled,
        "subscription_cancel": params.hash_of(
            {
                "enabled": params.boolean,
                "mode": params.choice("at_period_end", "immediately"),
                "proration_behavior": subscriptions.prorations,
                "cancellation_reason": params.hash_of(
                    {"enabled": params.boolean, "options": params.array(subscriptions.reasons)},
                    ["enabled", "options"],
                ),
            },
            ["enabled"],
        ),
        "subscription_update": _enabled,
    }
)
CREATE_CONFIGURATION: dict[str, params.Checker] = {
    "features": _FEATURES,
    "business_profile": params.hash_of(
        {
            "headline": params.string(60, may_be_empty=True),
            "privacy_policy_url": params.url,
            "terms_of_service_url": params.url,
        }
    ),
    "default_return_url": params.url,
    "metadata": params.metadata,
    "name": params.string(256, may_be_empty=True),
}
LIST_CONFIGURATIONS: dict[str, params.Checker] = {
    **params.PAGING,
    "active": params.boolean,
    "is_default": params.boolean,
}
CREATE_SESSION: dict[str, params.Checker] = {
    "customer": params.string(),
    "configuration": params.string(),
    "return_url": params.url,
    "locale": params.string(10),
}


# --------------------------------------------------------------------------- the API


def create_configuration(
    db: sqlite3.Connection, caller: Caller, raw: Mapping[str, Any]
) -> dict[str, Any]:
    """What a portal lets the payer do; a feature that is not named is off."""
    checked = params.check(raw, CREATE_CONFIGURATION, ["features"])
    now = int(time.time())
    profile = checked.get("business_profile", {})
    doc = {
        "id": ids.new("bpc"),
        "object": CONFIGURATION,
        "active": True,
        "application": None,
        "business_profile": {
            name: profile.get(name) or None
            for name in ("headline", "privacy_policy_url", "terms_of_service_url")
        },
        "created": now,
        "default_return_url": checked.get("default_return_url"),
        "features": _features(checked["features"]),
        "is_default": _default(db, caller) is None,
        "livemode": caller.livemode,
        "login_page": {"enabled": False, "url": None},
        "metadata": checked.get("metadata", {}),
        "name": checked.get("name") or None,
        "updated": now,
    }
    return objects.add(db, caller, doc).doc


def change_configuration(
    db: sqlite3.Connection, caller: Caller, id: str, raw: Mapping[str, Any]
) -> dict[str, Any]:
    """Switch a configuration off or on, or note something beside it."""
    record = objects.get(db, caller, CONFIGURATION, id, "configuration")
    checked = params.check(raw, {"active": params.boolean, "metadata": params.metadata})
    record.doc["active"] = checked.get("active", record.doc["active"])
    record.doc["metadata"] |= checked.get("metadata", {})
    objects.save(db, record)
    return record.doc


def _features(given: Mapping[str, Any]) -> dict[str, Any]:
    cancelling = given.get("subscription_cancel", {})
    return {
        "customer_update": {
            "allowed_updates": [],
            "enabled": False,
            **given.get("customer_update", {}),
        },
        "invoice_history": {"enabled": False, **given.get("invoice_history", {})},
        "payment_method_update": {
            "enabled": False,
            "payment_method_configuration": None,
            **given.get("payment_method_update", {}),
        },
        "subscription_cancel": {
            "cancellation_reason": {"enabled": False, "options": []},
            "enabled": False,
            "mode": "at_period_end",
            "proration_behavior": "none",
            **cancelling,
        },
        "subscription_update": {
            "default_allowed_updates": [],
            "enabled": False,
            "proration_behavior": "none",
            "schedule_at_period_end": {"conditions": []},
            "trial_update_behavior": "end_trial",
            **given.get("subscription_update", {}),
        },
    }


def _default(db: sqlite3.Connection, caller: Caller) -> str | None:
    found = objects.page(
        db,
        caller,
        CONFIGURATION,
        "",
        {"limit": 1},
        keep=lambda record: bool(record.doc["is_default"]),
    )["data"]
    return str(found[0]["id"]) if found else None


def list_configurations(
    db: sqlite3.Connection, caller: Caller, raw: Mapping[str, Any]
) -> dict[str, Any]:
    checked = params.check(raw, LIST_CONFIGURATIONS)
    return objects.page(
        db,
        caller,
        CONFIGURATION,
        "/v1/billing_portal/configurations",
        checked,
        keep=objects.having(checked, "active", "is_default"),
    )


def create_session(
    db: sqlite3.Connection, caller: Caller, raw: Mapping[str, Any], portal_url: str
) -> dict[str, Any]:
    """A way into the portal for one customer. ``portal_url`` is our page, with ``{id}``."""
    checked = params.check(raw, CREATE_SESSION, ["customer"])
    customer = objects.get(db, caller, customers.KIND, checked["customer"], "customer")
    id = checked.get("configuration") or _default(db, caller)
    if id is None:
        mode = "live" if caller.livemode else "test"
        raise ApiProblem(
            f"No configuration provided and your {mode} mode default configuration has not been "
            "created. Provide a configuration or create your default by saving your customer "
            f"portal settings in {mode} mode at https://dashboard.stripe.com/{mode}/settings/"
            "billing/portal."
        )
    configuration = objects.get(db, caller, CONFIGURATION, id, "configuration")
    if not configuration.doc["active"]:
        raise ApiProblem(
            f"The configuration {configuration.id} is not active.", param="configuration"
        )
    session_id = ids.new("bps")
    doc = {
        "id": session_id,
        "object": SESSION,
        "configuration": configuration.id,
        "created": int(time.time()),
        "customer": customer.id,
        "flow": None,
        "livemode": caller.livemode,
        "locale": checked.get("locale"),
        "on_behalf_of": None,
        "return_url": checked.get("return_url") or configuration.doc["default_return_url"],
        "url": portal_url.replace("{id}", session_id),
    }
    return objects.add(db, caller, doc).doc


# --------------------------------------------------------------------------- what a payer does


def update_card(subscription_id: str, card: str) -> None:
    """Give a card that "works", "declines" or "asks"; what is open is collected by it at once.

    ``LookupError`` for an unknown subscription, ``subscriptions.NotPossible`` for one that ended.
    """
    with books.write() as db:
        subscription = _alive(db, subscription_id)
        subscriptions.put_card(db, subscription, card)
        _told(db, subscription)
        for invoice in invoices.open_of(db, subscription):
            if invoices.intent_of(db, invoice).doc["status"] != "processing":
                collecting.attempt(db, invoice, clock.now(db), scheduled=False)
    deliveries.wake()


def cancel_at_period_end(subscription_id: str) -> None:
    """Let the subscription end with its period. Raises as ``update_card`` does."""
    with books.write() as db:
        subscription = _alive(db, subscription_id)
        end = subscriptions.period(subscription)[1]
        subscriptions.plan_end(subscription, end, clock.now(db), at_period_end=True)
        objects.save(db, subscription)
        _told(db, subscription)
    deliveries.wake()


def keep(subscription_id: str) -> None:
    """Take the planned end back. Raises as ``update_card`` does."""
    with books.write() as db:
        subscription = _alive(db, subscription_id)
        subscriptions.plan_end(subscription, None, clock.now(db))
        objects.save(db, subscription)
        _told(db, subscription)
    deliveries.wake()


def cancel_now(subscription_id: str) -> None:
    """End the subscription at once. Raises as ``update_card`` does."""
    subscriptions.cancel_now(subscription_id)


def _alive(db: sqlite3.Connection, subscription_id: str) -> Record:
    subscription = subscriptions.find(db, subscription_id)
    if subscription.state not in subscriptions.ALIVE:
        raise subscriptions.NotPossible("This subscription has ended.")
    return subscription


def _told(db: sqlite3.Connection, subscription: Record) -> None:
    events.record(db, subscription, "customer.subscription.updated", subscription.doc)
