"""Who calls: accounts, their keys, and what a key may do.

Any well-formed key opens its own account on first use. The account is derived from what follows
the mode: ``rk_test_abcd``, ``rk_live_abcd`` and ``sk_test_abcd`` belong to one account, as the
test and live keys of one Stripe account do. A page makes further keys for the same account.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import sqlite3
import time
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from . import books, ids, problems

KEY = re.compile(r"(rk|sk)_(test|live)_(\w{4,})", re.ASCII)

# What a restricted key can lack; write implies read. Names as Stripe's messages give them.
RIGHTS = (
    "checkout_session_write",
    "checkout_session_read",
    "payment_intent_read",
    "charge_read",
    "refund_write",
    "refund_read",
    "dispute_read",
    "subscription_write",
    "subscription_read",
    "invoice_read",
    "customer_portal_write",
    "customer_portal_read",
    "webhook_write",
    "webhook_read",
    "event_read",
    "connected_account_read",
)


@dataclass(frozen=True)
class Caller:
    """A key that was accepted: for which account, its mode, and the rights it lacks."""

    key: str
    account: str
    livemode: bool
    without: frozenset[str] = frozenset()
    platform: str = ""  # whose key it is, when it acts for a connected account

    def may(self, right: str) -> bool:
        if self.key.startswith("sk_"):
            return True
        if right.endswith("_write") and right.removesuffix("_write") + "_read" in self.without:
            return False
        return right not in self.without

    def demand(self, right: str) -> None:
        if not self.may(right):
            raise problems.no_right(self.key, self.account, right)


def key_from_header(header: str) -> str:
    """The key in an Authorization header, Bearer or Basic; raises a 401 when there is none."""
    scheme, _, value = header.strip().partition(" ")
    value = value.strip()
    if scheme.lower() == "bearer" and value:
        return value
    if scheme.lower() == "basic" and value:
        try:
            user = base64.b64decode(value, validate=True).decode().partition(":")[0]
        except (binascii.Error, UnicodeDecodeError):
            raise problems.no_key() from None
        if user:
            return user
    raise problems.no_key()


def identify(key: str) -> Caller:
    """Who a key belongs to; opens its account on first use. Raises a 401."""
    match = KEY.fullmatch(key)
    if not match:
        raise problems.bad_key(key)
    with books.read() as db:
        row = db.execute("SELECT * FROM api_keys WHERE key = ?", (key,)).fetchone()
    if row is None:
        with books.write() as db:
            _open(db, key, ids.derived("acct", match[3]))
            row = db.execute("SELECT * FROM api_keys WHERE key = ?", (key,)).fetchone()
    if row["revoked_at"] is not None:
        raise problems.revoked_key(key)
    return Caller(
        key=key,
        account=row["account"],
        livemode=bool(row["livemode"]),
        without=frozenset(json.loads(row["without"])),
    )


def _open(db: sqlite3.Connection, key: str, account: str, without: Collection[str] = ()) -> None:
    now = int(time.time())
    db.execute(
        "INSERT OR IGNORE INTO accounts (id, name, country, default_currency, created) "
        "VALUES (?, ?, 'DE', 'eur', ?)",
        (account, f"Sandbox account {account[-4:]}", now),
    )
    db.execute(
        "INSERT OR IGNORE INTO api_keys (key, account, livemode, without, created) "
        "VALUES (?, ?, ?, ?, ?)",
        (key, account, "_live_" in key, json.dumps(sorted(without)), now),
    )


def make_key(
    account: str, *, livemode: bool = False, without: Collection[str] = (), kind: str = "rk"
) -> str:
    """A further key for an account, without some rights; returns the key.

    ``LookupError`` for an account that does not exist, ``ValueError`` for a right unknown to us.
    """
    unknown = set(without) - set(RIGHTS)
    if unknown or kind not in ("rk", "sk"):
        raise ValueError(f"Unknown rights or kind of key: {sorted(unknown)} {kind}")
    key = ids.new(f"{kind}_{'live' if livemode else 'test'}")
    with books.write() as db:
        if not db.execute("SELECT 1 FROM accounts WHERE id = ?", (account,)).fetchone():
            raise LookupError(account)
        _open(db, key, account, without)
    return key


def revoke_key(key: str) -> None:
    """From now on the key is answered 401. A key never used before is revoked in advance."""
    identify_or_open = KEY.fullmatch(key)
    if not identify_or_open:
        raise ValueError("Not a key.")
    with books.write() as db:
        if not db.execute("SELECT 1 FROM api_keys WHERE key = ?", (key,)).fetchone():
            _open(db, key, ids.derived("acct", identify_or_open[3]))
        db.execute(
            "UPDATE api_keys SET revoked_at = ? WHERE key = ? AND revoked_at IS NULL",
            (int(time.time()), key),
        )


def accounts() -> list[dict[str, Any]]:
    """All accounts with their ``keys``, oldest first."""
    with books.read() as db:
        found = [dict(row) for row in db.execute("SELECT * FROM accounts ORDER BY created, id")]
        for account in found:
            rows = db.execute(
                "SELECT * FROM api_keys WHERE account = ? ORDER BY created, key", (account["id"],)
            )
            account["keys"] = [{**dict(row), "without": json.loads(row["without"])} for row in rows]
    return found


def change_account(
    account: str,
    *,
    name: str,
    country: str,
    default_currency: str,
    charges_enabled: bool,
    details_submitted: bool,
) -> None:
    """Set what ``GET /v1/account`` says; ``LookupError`` for an unknown account."""
    with books.write() as db:
        changed = db.execute(
            "UPDATE accounts SET name = ?, country = ?, default_currency = ?, charges_enabled = ?, "
            "details_submitted = ? WHERE id = ?",
            (
                name,
                country.upper(),
                default_currency.lower(),
                charges_enabled,
                details_submitted,
                account,
            ),
        ).rowcount
    if not changed:
        raise LookupError(account)
