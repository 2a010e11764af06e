"""The sandbox's books: one SQLite file of its own, never Django's database, cache or broker.

``read()`` and ``write()`` open a connection for one operation. ``write()`` is one IMMEDIATE
transaction and is committed when its block ends, so whatever was answered is on disk. The path is
read from the settings at each use, so that a test can give every case a file of its own.

The functions at the end are for tests and for the pages: they return plain dicts, oldest first.
"""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.conf import settings

from wagtail_client_billing.conf import billing_settings

from .schema import SCHEMA, SCHEMA_VERSION, TABLES

BUSY_TIMEOUT = 20.0  # seconds to wait for another writer

_preparing = threading.Lock()


def path() -> Path:
    """The file of the books: ``SANDBOX_FILE``, else ``sandbox.sqlite3`` beside the project."""
    configured = billing_settings.SANDBOX_FILE
    if configured:
        return Path(configured)
    return Path(getattr(settings, "BASE_DIR", None) or Path.cwd()) / "sandbox.sqlite3"


def _connect() -> sqlite3.Connection:
    db = sqlite3.connect(path(), timeout=BUSY_TIMEOUT, isolation_level=None)
    db.row_factory = sqlite3.Row
    try:
        if db.execute("PRAGMA user_version").fetchone()[0] != SCHEMA_VERSION:
            _prepare(db)
        db.execute("PRAGMA synchronous=NORMAL")
    except BaseException:
        db.close()
        raise
    return db


def _prepare(db: sqlite3.Connection) -> None:
    """Make the tables. Only additions are made to a file of another version; nothing is lost."""
    with _preparing:
        deadline = time.monotonic() + BUSY_TIMEOUT
        while True:
            try:
                # The change to WAL does not wait for the busy timeout when another process is
                # making the same change: ask again.
                db.execute("PRAGMA journal_mode=WAL")
                break
            except sqlite3.OperationalError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
        db.execute("BEGIN IMMEDIATE")
        try:
            for statement in SCHEMA:
                db.execute(statement)
            db.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
            db.execute("COMMIT")
        except BaseException:
            db.execute("ROLLBACK")
            raise


@contextmanager
def read() -> Iterator[sqlite3.Connection]:
    """A connection for reading only."""
    db = _connect()
    try:
        yield db
    finally:
        db.close()


@contextmanager
def write() -> Iterator[sqlite3.Connection]:
    """One transaction that holds the write lock from its start; rolled back on any exception."""
    db = _connect()
    try:
        db.execute("BEGIN IMMEDIATE")
        try:
            yield db
        except BaseException:
            db.execute("ROLLBACK")
            raise
        db.execute("COMMIT")
    finally:
        db.close()


def note(db: sqlite3.Connection, key: str, value: Any) -> None:
    """Keep one small value (JSON) under a name; None removes it."""
    if value is None:
        db.execute("DELETE FROM notes WHERE key = ?", (key,))
        return
    db.execute(
        "INSERT INTO notes (key, value) VALUES (?, ?) "
        "ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        (key, json.dumps(value)),
    )


def noted(db: sqlite3.Connection, key: str, default: Any = None) -> Any:
    """The value kept under a name by ``note``."""
    row = db.execute("SELECT value FROM notes WHERE key = ?", (key,)).fetchone()
    return default if row is None else json.loads(row["value"])


def reset() -> None:
    """Forget everything: accounts, sessions, events, mails, faults, clock."""
    with write() as db:
        for table in TABLES:
            db.execute(f"DELETE FROM {table}")  # noqa: S608 - names from our own list


# --------------------------------------------------------------------------- reading


def _rows(sql: str, values: tuple[Any, ...] = ()) -> list[dict[str, Any]]:
    with read() as db:
        return [dict(row) for row in db.execute(sql, values)]


def _documents(kind: str) -> list[dict[str, Any]]:
    rows = _rows("SELECT * FROM objects WHERE kind = ? ORDER BY seq", (kind,))
    return [{**json.loads(row["doc"]), "account": row["account"]} for row in rows]


def _chosen(documents: list[dict[str, Any]], filters: dict[str, Any]) -> list[dict[str, Any]]:
    return [d for d in documents if all(d.get(key) == value for key, value in filters.items())]


def sessions(metadata_request: str | None = None, **filters: Any) -> list[dict[str, Any]]:
    """Checkout Sessions as stored, plus ``account``; filters compare fields (``status="open"``).

    ``metadata_request`` compares ``metadata["wcb_request"]``. A session whose end has passed may
    still read "open" here until something looks at it: see ``payable_sessions``.
    """
    found = _chosen(_documents("checkout.session"), filters)
    if metadata_request is not None:
        wanted = str(metadata_request)
        found = [d for d in found if (d.get("metadata") or {}).get("wcb_request") == wanted]
    return found


def payable_sessions(metadata_request: str | None = None) -> list[dict[str, Any]]:
    """Sessions that a payer could still pay: open, and their end not reached on our clock."""
    with read() as db:
        now = time.time() + int(noted(db, "clock_offset", 0))
        alive = {
            row["id"]
            for row in db.execute(
                "SELECT id FROM objects WHERE kind = 'checkout.session' AND state = 'open' "
                "AND ends_at > ?",
                (now,),
            )
        }
    return [d for d in sessions(metadata_request) if d["id"] in alive]


def payments(
    metadata_request: str | None = None, *, status: str | None = "succeeded", **filters: Any
) -> list[dict[str, Any]]:
    """PaymentIntents, plus ``account``: by default those whose money has moved.

    ``status=None`` gives all (declined, processing, failed ones too). ``metadata_request``
    compares the ``wcb_request`` of the session or of the subscription that was paid.
    """
    if status is not None:
        filters["status"] = status
    found = _chosen(_documents("payment_intent"), filters)
    if metadata_request is not None:
        mine = {d["payment_intent"] for d in sessions(metadata_request)}
        by_invoice = _intents()
        mine |= {by_invoice[d["id"]] for d in _invoices_for(metadata_request)}
        found = [d for d in found if d["id"] in mine]
    return found


def subscriptions(metadata_request: str | None = None, **filters: Any) -> list[dict[str, Any]]:
    """Subscriptions, plus ``account``; ``metadata_request`` compares ``wcb_request``.

    They are as they were when something last looked: see ``due.apply``.
    """
    found = _chosen(_documents("subscription"), filters)
    if metadata_request is not None:
        wanted = str(metadata_request)
        found = [d for d in found if d["metadata"].get("wcb_request") == wanted]
    return found


def invoices(subscription: str | None = None, **filters: Any) -> list[dict[str, Any]]:
    """Invoices, plus ``account``, of one subscription or of all."""
    found = _chosen(_documents("invoice"), filters)
    return [d for d in found if subscription in (None, _subscription_of(d))]


def _subscription_of(invoice: dict[str, Any]) -> str:
    return str(invoice["parent"]["subscription_details"]["subscription"])


def _invoices_for(metadata_request: str) -> list[dict[str, Any]]:
    mine = {d["id"] for d in subscriptions(metadata_request)}
    mine |= {d["subscription"] for d in sessions(metadata_request)}
    return [d for d in invoices() if _subscription_of(d) in mine]


def _intents() -> dict[str, str]:
    """Invoice → PaymentIntent."""
    payments = _documents("invoice_payment")
    return {d["invoice"]: d["payment"]["payment_intent"] for d in payments}


def money(metadata_request: str) -> list[dict[str, Any]]:
    """Every payment that succeeded for a request, in minor units, oldest first.

    ``source`` is the PaymentIntent of a one-time session or the invoice of a subscription,
    ``intent`` the PaymentIntent. ``refunded`` leaves failed refunds out and counts pending ones;
    ``disputed`` is what banks took back and did not return.
    """
    by_invoice = _intents()
    sources = {by_invoice[d["id"]]: d["id"] for d in _invoices_for(metadata_request)}
    return [
        {
            "source": sources.get(payment["id"], payment["id"]),
            "intent": payment["id"],
            "paid": payment["amount_received"],
            "refunded": sum(
                refund["amount"]
                for refund in refunds(payment_intent=payment["id"])
                if refund["status"] not in ("failed", "canceled")
            ),
            "disputed": sum(
                dispute["amount"]
                for dispute in disputes(payment_intent=payment["id"])
                if dispute["status"] != "won"
            ),
        }
        for payment in payments(metadata_request)
    ]


def charges(**filters: Any) -> list[dict[str, Any]]:
    """Charges, plus ``account``."""
    return _chosen(_documents("charge"), filters)


def refunds(**filters: Any) -> list[dict[str, Any]]:
    """Refunds, plus ``account``: failed ones too."""
    return _chosen(_documents("refund"), filters)


def disputes(**filters: Any) -> list[dict[str, Any]]:
    """Disputes, plus ``account``."""
    return _chosen(_documents("dispute"), filters)


def endpoints(**filters: Any) -> list[dict[str, Any]]:
    """Webhook endpoints, plus ``account`` (without their secrets)."""
    return _chosen(_documents("webhook_endpoint"), filters)


def events(type: str | None = None, **filters: Any) -> list[dict[str, Any]]:
    """Events, plus ``account``; the object of each is in ``["data"]["object"]``."""
    if type is not None:
        filters["type"] = type
    return _chosen(_documents("event"), filters)


def deliveries(**filters: Any) -> list[dict[str, Any]]:
    """One row per event and endpoint (and per "fire again"): state, attempts, answer.

    States: due, sending, delivered, failed (given up), swallowed.
    """
    return _chosen(_rows("SELECT * FROM deliveries ORDER BY id"), filters)


def mails(to: str | None = None) -> list[dict[str, Any]]:
    """Mails received: id, received_at, sender, recipients (list), subject, raw (bytes)."""
    found = _rows("SELECT * FROM mails ORDER BY id")
    for mail in found:
        mail["recipients"] = json.loads(mail["recipients"])
    return [m for m in found if to is None or to in m["recipients"]]


def api_calls(**filters: Any) -> list[dict[str, Any]]:
    """Every API call: method, path, status, idempotency_key, params, replayed, fault, account."""
    found = _rows("SELECT * FROM api_calls ORDER BY id")
    for call in found:
        call["params"] = json.loads(call["params"])
        call["replayed"] = bool(call["replayed"])
    return _chosen(found, filters)
