"""The API's URLs: which function answers, which right it needs, whether it changes anything."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from . import (
    connect_api,
    country_specs,
    disputes,
    invoices,
    payments,
    platforms,
    portal,
    refunds,
    sessions,
    shapes,
    subscriptions,
    webhook_endpoints,
)
from . import params as parameters
from .keys import Caller
from .problems import no_access, unknown_url

Body = dict[str, Any]


@dataclass(frozen=True)
class Call:
    """One API call, ready to be answered."""

    caller: Caller
    params: Mapping[str, Any]
    page_url: str  # our checkout page, with {id}
    onboarding_url: str  # our page for the owner of a new account, with {token}
    invoice_url: str  # our page of an invoice, with {id}
    portal_url: str  # our customer portal, with {id}


Answer = Callable[[sqlite3.Connection, Call, str], Body]


@dataclass(frozen=True)
class Route:
    """An operation of the API. ``right`` is the restricted key's right that it needs."""

    method: str
    pattern: re.Pattern[str]
    right: str
    answer: Answer

    @property
    def changes(self) -> bool:
        return self.method != "GET"


def _account(db: sqlite3.Connection, call: Call, id: str) -> Body:
    parameters.check(call.params, {})
    wanted = id or call.caller.account
    if wanted != call.caller.account and platforms.find(db, call.caller, wanted) is None:
        raise no_access(call.caller.key, wanted)
    row = db.execute("SELECT * FROM accounts WHERE id = ?", (wanted,)).fetchone()
    return shapes.account(row)


def _country_spec(db: sqlite3.Connection, call: Call, id: str) -> Body:
    parameters.check(call.params, {})
    return country_specs.retrieve(id)


def _create_session(db: sqlite3.Connection, call: Call, id: str) -> Body:
    return sessions.create(db, call.caller, call.params, call.page_url, call.invoice_url)


def _create_portal(db: sqlite3.Connection, call: Call, id: str) -> Body:
    return portal.create_session(db, call.caller, call.params, call.portal_url)


def _create_link(db: sqlite3.Connection, call: Call, id: str) -> Body:
    return connect_api.create_link(db, call.caller, call.params, call.onboarding_url)


Listing = Callable[[sqlite3.Connection, Caller, Mapping[str, Any]], Body]
Single = Callable[[sqlite3.Connection, Caller, str, Mapping[str, Any]], Body]


def _all(function: Listing) -> Answer:
    return lambda db, call, id: function(db, call.caller, call.params)


def _one(function: Single) -> Answer:
    return lambda db, call, id: function(db, call.caller, id, call.params)


_TABLE: tuple[tuple[str, str, str, Answer], ...] = (
    ("GET", "/v1/account", "connected_account_read", _account),
    ("GET", "/v1/accounts/{id}", "connected_account_read", _account),
    ("GET", "/v1/country_specs/{id}", "connected_account_read", _country_spec),
    ("POST", "/v1/checkout/sessions", "checkout_session_write", _create_session),
    ("GET", "/v1/checkout/sessions", "checkout_session_read", _all(sessions.list_all)),
    ("GET", "/v1/checkout/sessions/{id}", "checkout_session_read", _one(sessions.retrieve)),
    ("POST", "/v1/checkout/sessions/{id}/expire", "checkout_session_write", _one(sessions.expire)),
    (
        "GET",
        "/v1/checkout/sessions/{id}/line_items",
        "checkout_session_read",
        _one(sessions.line_items),
    ),
    ("GET", "/v1/payment_intents", "payment_intent_read", _all(payments.list_intents)),
    ("GET", "/v1/payment_intents/{id}", "payment_intent_read", _one(payments.retrieve_intent)),
    ("GET", "/v1/charges", "charge_read", _all(payments.list_charges)),
    ("GET", "/v1/charges/{id}", "charge_read", _one(payments.retrieve_charge)),
    ("POST", "/v1/refunds", "refund_write", _all(refunds.create)),
    ("GET", "/v1/refunds", "refund_read", _all(refunds.list_all)),
    ("GET", "/v1/refunds/{id}", "refund_read", _one(refunds.retrieve)),
    ("POST", "/v1/refunds/{id}", "refund_write", _one(refunds.change)),
    ("GET", "/v1/disputes", "dispute_read", _all(disputes.list_all)),
    ("GET", "/v1/disputes/{id}", "dispute_read", _one(disputes.retrieve)),
    ("GET", "/v1/subscriptions", "subscription_read", _all(subscriptions.list_all)),
    ("GET", "/v1/subscriptions/{id}", "subscription_read", _one(subscriptions.retrieve)),
    ("POST", "/v1/subscriptions/{id}", "subscription_write", _one(subscriptions.change)),
    ("DELETE", "/v1/subscriptions/{id}", "subscription_write", _one(subscriptions.cancel)),
    ("GET", "/v1/invoices", "invoice_read", _all(invoices.list_all)),
    ("GET", "/v1/invoices/{id}", "invoice_read", _one(invoices.retrieve)),
    ("GET", "/v1/invoice_payments", "invoice_read", _all(invoices.list_payments)),
    (
        "POST",
        "/v1/billing_portal/configurations",
        "customer_portal_write",
        _all(portal.create_configuration),
    ),
    (
        "GET",
        "/v1/billing_portal/configurations",
        "customer_portal_read",
        _all(portal.list_configurations),
    ),
    (
        "POST",
        "/v1/billing_portal/configurations/{id}",
        "customer_portal_write",
        _one(portal.change_configuration),
    ),
    ("POST", "/v1/billing_portal/sessions", "customer_portal_write", _create_portal),
    ("POST", "/v1/webhook_endpoints", "webhook_write", _all(webhook_endpoints.create)),
    ("GET", "/v1/webhook_endpoints", "webhook_read", _all(webhook_endpoints.list_all)),
    ("GET", "/v1/webhook_endpoints/{id}", "webhook_read", _one(webhook_endpoints.retrieve)),
    ("POST", "/v1/webhook_endpoints/{id}", "webhook_write", _one(webhook_endpoints.change)),
    ("DELETE", "/v1/webhook_endpoints/{id}", "webhook_write", _one(webhook_endpoints.delete)),
    ("POST", "/v2/core/accounts", "accounts_write", _all(connect_api.create_account)),
    ("GET", "/v2/core/accounts/{id}", "accounts_read", _one(connect_api.retrieve_account)),
    ("POST", "/v2/core/account_links", "accounts_write", _create_link),
    ("POST", "/oauth/token", "accounts_write", _all(connect_api.token)),
    ("POST", "/oauth/deauthorize", "accounts_write", _all(connect_api.deauthorize)),
    ("GET", "/v1/events", "event_read", _all(webhook_endpoints.list_events)),
    ("GET", "/v1/events/{id}", "event_read", _one(webhook_endpoints.retrieve_event)),
)

ROUTES = tuple(
    Route(method, re.compile(path.replace("{id}", "(?P<id>[^/]+)")), right, answer)
    for method, path, right, answer in _TABLE
)


def find(method: str, path: str) -> tuple[Route, str]:
    """The operation for a URL and the id in it ("" if none); raises Stripe's 404."""
    for route in ROUTES:
        match = route.pattern.fullmatch(path)
        if match and route.method == method:
            return route, match.groupdict().get("id") or ""
    raise unknown_url(method, path)
