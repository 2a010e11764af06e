"""Storing and finding Stripe objects in the books, within one account and one mode."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from .problems import not_found

BESIDE = {
    "starting_after": " AND seq < (SELECT seq FROM objects WHERE id = ?)",
    "ending_before": " AND seq > (SELECT seq FROM objects WHERE id = ?)",
}
OPERATORS = {"equal": "=", "gt": ">", "gte": ">=", "lt": "<", "lte": "<="}


class Scope(Protocol):
    """An account in one mode: a caller, or a stored object."""

    @property
    def account(self) -> str: ...
    @property
    def livemode(self) -> bool: ...


@dataclass
class Record:
    """One stored object. Change ``doc``, ``state``, ``extra``, then ``save``."""

    id: str
    kind: str
    account: str
    livemode: bool
    created: int
    doc: dict[str, Any]
    state: str = ""
    ends_at: int | None = None
    extra: dict[str, Any] = field(default_factory=dict)


def _record(row: sqlite3.Row) -> Record:
    return Record(
        id=row["id"],
        kind=row["kind"],
        account=row["account"],
        livemode=bool(row["livemode"]),
        created=row["created"],
        doc=json.loads(row["doc"]),
        state=row["state"],
        ends_at=row["ends_at"],
        extra=json.loads(row["extra"]),
    )


def add(
    db: sqlite3.Connection,
    scope: Scope,
    doc: dict[str, Any],
    *,
    state: str = "",
    ends_at: int | None = None,
    extra: dict[str, Any] | None = None,
) -> Record:
    """Store a new object; its kind, id and creation time are those in the document."""
    db.execute(
        "INSERT INTO objects (id, kind, account, livemode, created, state, ends_at, doc, extra) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            doc["id"],
            doc["object"],
            scope.account,
            scope.livemode,
            doc["created"],
            state,
            ends_at,
            json.dumps(doc),
            json.dumps(extra or {}),
        ),
    )
    return Record(
        doc["id"],
        doc["object"],
        scope.account,
        scope.livemode,
        doc["created"],
        doc,
        state,
        ends_at,
        extra or {},
    )


def save(db: sqlite3.Connection, record: Record, *, only_from: str | None = None) -> bool:
    """Write a record back. With ``only_from`` only if that is still its state; False if not."""
    sql = "UPDATE objects SET state = ?, ends_at = ?, doc = ?, extra = ? WHERE id = ?"
    values: list[Any] = [
        record.state,
        record.ends_at,
        json.dumps(record.doc),
        json.dumps(record.extra),
        record.id,
    ]
    if only_from is not None:
        sql += " AND state = ?"
        values.append(only_from)
    return db.execute(sql, values).rowcount == 1


def remove(db: sqlite3.Connection, record: Record) -> None:
    db.execute("DELETE FROM objects WHERE id = ?", (record.id,))


def find(db: sqlite3.Connection, kind: str, id: str) -> Record | None:
    """An object of any account, for the pages; None if there is none."""
    row = db.execute("SELECT * FROM objects WHERE kind = ? AND id = ?", (kind, id)).fetchone()
    return None if row is None else _record(row)


def get(db: sqlite3.Connection, scope: Scope, kind: str, id: str, param: str = "id") -> Record:
    """The caller's object. Another account's, or the other mode's, is a 404 like no object."""
    record = find(db, kind, id)
    if record is None or (record.account, record.livemode) != (scope.account, scope.livemode):
        raise not_found(kind, id, param)
    return record


def recent(db: sqlite3.Connection, kind: str, limit: int = 100) -> list[Record]:
    """The newest objects of all accounts, for the pages."""
    rows = db.execute(
        "SELECT * FROM objects WHERE kind = ? ORDER BY seq DESC LIMIT ?", (kind, limit)
    )
    return [_record(row) for row in rows]


def ending(db: sqlite3.Connection, kind: str, state: str, until: int) -> list[Record]:
    """Objects in a state whose end has come."""
    rows = db.execute(
        "SELECT * FROM objects WHERE kind = ? AND state = ? AND ends_at <= ? ORDER BY ends_at",
        (kind, state, until),
    )
    return [_record(row) for row in rows]


def linked(db: sqlite3.Connection, kind: str, name: str, value: str) -> list[Record]:
    """Objects whose ``extra`` says this under a name, oldest first."""
    rows = db.execute(
        "SELECT * FROM objects WHERE kind = ? AND json_extract(extra, ?) = ? ORDER BY seq",
        (kind, f"$.{name}", value),
    )
    return [_record(row) for row in rows]


def having(params: Mapping[str, Any], *names: str) -> Callable[[Record], bool]:
    """For ``page``: whether the fields of these names are what the parameters ask for, if any."""
    wanted = {name: params[name] for name in names if name in params}
    return lambda record: all(record.doc.get(name) == value for name, value in wanted.items())


def page(
    db: sqlite3.Connection,
    scope: Scope,
    kind: str,
    url: str,
    params: Mapping[str, Any],
    *,
    keep: Callable[[Record], bool] = lambda record: True,
) -> dict[str, Any]:
    """Stripe's list object: newest first, ``limit`` (10), ``starting_after``, ``ending_before``."""
    sql = "SELECT * FROM objects WHERE kind = ? AND account = ? AND livemode = ?"
    values: list[Any] = [kind, scope.account, scope.livemode]
    for operator, moment in params.get("created", {}).items():
        sql += f" AND created {OPERATORS[operator]} ?"
        values.append(moment)
    after, before = params.get("starting_after"), params.get("ending_before")
    for cursor, name in ((after, "starting_after"), (before, "ending_before")):
        if cursor:
            get(db, scope, kind, cursor, name)
            sql += BESIDE[name]
            values.append(cursor)
    limit = params.get("limit", 10)
    rows = db.execute(f"{sql} ORDER BY seq {'ASC' if before else 'DESC'}", values)
    found: list[dict[str, Any]] = []
    has_more = False
    for row in rows:
        record = _record(row)
        if keep(record):
            if len(found) == limit:
                has_more = True
                break
            found.append(record.doc)
    if before:
        found.reverse()
    return {"object": "list", "data": found, "has_more": has_more, "url": url}
