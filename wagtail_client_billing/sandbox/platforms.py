"""Connect: which accounts a platform may act for, and the tickets by which they come to it.

Every account is a platform as soon as it makes or is given another one. A ticket is an onboarding
link or an OAuth code: it works once, and not for long.
"""

from __future__ import annotations

import json
import sqlite3
import time
from dataclasses import dataclass, replace
from typing import Any

from . import books, deliveries, events, ids, shapes
from .keys import Caller
from .objects import Scope
from .problems import ApiProblem, no_access

LINK, CODE = "link", "code"
TICKET_LASTS = {LINK: 600, CODE: 300}  # seconds

# What an account that was just made is asked for, in Stripe's names.
DUE = (
    "identity.entity_type",
    "identity.business_details.registered_name",
    "defaults.profile.business_url",
    "external_account",
)
CURRENCIES = {"US": "usd", "GB": "gbp", "CH": "chf", "JP": "jpy", "SE": "sek", "PL": "pln"}


class TicketGone(Exception):
    """The ticket was used, is too old, or never was."""


@dataclass(frozen=True)
class Place:
    """An account in one mode."""

    account: str
    livemode: bool


@dataclass(frozen=True)
class Ticket:
    """A link or code on its way."""

    token: str
    kind: str
    platform: str
    account: str
    livemode: bool
    facts: dict[str, Any]


# --------------------------------------------------------------------------- who acts for whom


def on_behalf(caller: Caller, account: str) -> Caller:
    """The caller acting for a connected account; raises Stripe's 403."""
    with books.read() as db:
        if find(db, caller, account) is None:
            raise no_access(caller.key, account)
    return replace(caller, account=account, platform=caller.account)


def find(db: sqlite3.Connection, platform: Scope, account: str) -> sqlite3.Row | None:
    """The connection of an account to a platform in its mode, while it lasts."""
    return db.execute(
        "SELECT * FROM connected WHERE platform = ? AND account = ? AND livemode = ? "
        "AND ended_at IS NULL",
        (platform.account, account, platform.livemode),
    ).fetchone()


def connect(
    db: sqlite3.Connection, platform: Scope, account: str, facts: dict[str, Any] | None = None
) -> None:
    """From now on the platform may act for the account."""
    db.execute(
        "INSERT INTO connected (platform, account, livemode, created, facts) "
        "VALUES (?, ?, ?, ?, ?) ON CONFLICT (platform, account, livemode) DO UPDATE SET "
        "ended_at = NULL",
        (
            platform.account,
            account,
            platform.livemode,
            int(time.time()),
            json.dumps(facts or {}),
        ),
    )


def disconnect(db: sqlite3.Connection, platform: Scope, account: str) -> None:
    """Ends a connection, by whichever side; ``LookupError`` where there is none."""
    if find(db, platform, account) is None:
        raise LookupError(account)
    name = f"ca_{platform.account[5:]}"
    application = {"id": name, "object": "application", "name": "Platform"}
    place = Place(account, platform.livemode)
    # While it is still the platform's: that is who has to hear of it.
    events.record(db, place, "account.application.deauthorized", application)
    db.execute(
        "UPDATE connected SET ended_at = ? WHERE platform = ? AND account = ? AND livemode = ?",
        (int(time.time()), platform.account, account, platform.livemode),
    )


def disconnect_by_owner(platform: str, account: str, livemode: bool) -> None:
    """What the account's owner does in Stripe's dashboard; ``LookupError`` where there is none."""
    with books.write() as db:
        disconnect(db, Place(platform, livemode), account)
    # Not in the transaction: a thread of ours sends what is due.
    deliveries.wake()


def connected(**filters: Any) -> list[dict[str, Any]]:
    """Which accounts are, or were (``ended_at``), connected to which platform; oldest first."""
    with books.read() as db:
        rows = [dict(row) for row in db.execute("SELECT * FROM connected ORDER BY created, rowid")]
    for row in rows:
        row["facts"] = json.loads(row["facts"])
    return [row for row in rows if all(row[name] == value for name, value in filters.items())]


# --------------------------------------------------------------------------- accounts


def open_account(db: sqlite3.Connection, *, name: str, country: str, ready: bool) -> str:
    """A new account; returns its id. One that is not ready has answered nothing yet."""
    account = ids.new("acct", 16)
    db.execute(
        "INSERT INTO accounts (id, name, country, default_currency, created, charges_enabled, "
        "details_submitted) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            account,
            name or f"Sandbox account {account[-4:]}",
            country,
            CURRENCIES.get(country, "eur"),
            int(time.time()),
            ready,
            ready,
        ),
    )
    return account


def answer(ticket: Ticket, due: tuple[str, ...], *, reviewed: bool = True) -> None:
    """The owner has answered all but ``due``; ``reviewed`` says that Stripe agrees already."""
    with books.write() as db:
        db.execute(
            "UPDATE accounts SET details_submitted = ?, charges_enabled = ? WHERE id = ?",
            (not due, not due and reviewed, ticket.account),
        )
        row = find(db, Place(ticket.platform, ticket.livemode), ticket.account)
        facts = {**json.loads(row["facts"] if row else "{}"), "due": list(due)}
        db.execute(
            "UPDATE connected SET facts = ? WHERE platform = ? AND account = ? AND livemode = ?",
            (json.dumps(facts), ticket.platform, ticket.account, ticket.livemode),
        )
    tell_of_change(ticket.account)
    deliveries.wake()


def tell_of_change(account: str) -> None:
    """``account.updated``, to the platforms that the account is connected to."""
    with books.write() as db:
        row = db.execute("SELECT * FROM accounts WHERE id = ?", (account,)).fetchone()
        modes = db.execute(
            "SELECT DISTINCT livemode FROM connected WHERE account = ? AND ended_at IS NULL",
            (account,),
        ).fetchall()
        for mode in modes:
            place = Place(account, bool(mode["livemode"]))
            events.record(db, place, "account.updated", shapes.account(row))


# --------------------------------------------------------------------------- tickets


def give_ticket(
    db: sqlite3.Connection,
    kind: str,
    *,
    account: str,
    livemode: bool,
    platform: str = "",
    facts: dict[str, Any] | None = None,
) -> str:
    """A new link or code; returns its token."""
    token = ids.new("ac" if kind == CODE else "link", 32)
    db.execute(
        "INSERT INTO tickets (token, kind, platform, account, livemode, created, facts) "
        "VALUES (?, ?, ?, ?, ?, ?, ?)",
        (token, kind, platform, account, livemode, time.time(), json.dumps(facts or {})),
    )
    return token


def look_at_ticket(kind: str, token: str) -> tuple[Ticket, bool]:
    """The ticket, and whether it still works; raises ``LookupError`` where there is none."""
    with books.read() as db:
        row = db.execute(
            "SELECT * FROM tickets WHERE token = ? AND kind = ?", (token, kind)
        ).fetchone()
    if row is None:
        raise LookupError(token)
    works = row["used_at"] is None and row["created"] > time.time() - TICKET_LASTS[kind]
    return _ticket(row), works


def use_ticket(db: sqlite3.Connection, kind: str, token: str) -> Ticket:
    """Takes a ticket for ever; raises ``TicketGone``."""
    now = time.time()
    taken = db.execute(
        "UPDATE tickets SET used_at = ? WHERE token = ? AND kind = ? AND used_at IS NULL "
        "AND created > ?",
        (now, token, kind, now - TICKET_LASTS[kind]),
    ).rowcount
    if not taken:
        raise TicketGone(token)
    return _ticket(db.execute("SELECT * FROM tickets WHERE token = ?", (token,)).fetchone())


def _ticket(row: sqlite3.Row) -> Ticket:
    return Ticket(
        token=row["token"],
        kind=row["kind"],
        platform=row["platform"],
        account=row["account"],
        livemode=bool(row["livemode"]),
        facts=json.loads(row["facts"]),
    )


# --------------------------------------------------------------------------- OAuth


class OAuthProblem(ApiProblem):
    """An error in the shape of OAuth, which is not that of the rest of the API."""

    def __init__(self, error: str, description: str, *, status: int = 400) -> None:
        super().__init__(description, status=status, kept=True)
        self.error = error

    def as_body(self) -> dict[str, Any]:
        return {"error": self.error, "error_description": self.message}
