"""Faults on demand. They live in the books, so every process of the server sees them.

====== ==========================================================================================
kind   what happens
====== ==========================================================================================
429    refused before any work; an idempotency key forgets it
500    an error in the work, which is not done; an idempotency key remembers it and replays it
503    refused before any work; an idempotency key forgets it
401    the key is refused
lost   the work is done, then the connection is closed without an answer
slow   waits ``delay_ms`` before anything is looked at, then answers as usual
hold   waits ``delay_ms`` in the middle of the work: meanwhile the idempotency key is in flight
swallow  a webhook delivery is lost silently (marked *swallowed*); ``path`` begins the event's type
====== ==========================================================================================
"""

from __future__ import annotations

import sqlite3
import time
from dataclasses import dataclass
from typing import Any

from . import books
from .problems import ApiProblem

KINDS = ("429", "500", "503", "401", "lost", "slow", "hold", "swallow")
DELAYS = ("slow", "hold")
MAX_DELAY_MS = 120_000


@dataclass(frozen=True)
class Chosen:
    """The faults of one call: at most one delay, and at most one other."""

    answer: str = ""
    slow_ms: int = 0
    hold_ms: int = 0

    @property
    def label(self) -> str:
        delay = "slow" if self.slow_ms else "hold" if self.hold_ms else ""
        return " ".join(part for part in (delay, self.answer) if part)


def add(
    kind: str, *, path: str = "", method: str = "", times: int | None = 1, delay_ms: int = 0
) -> int:
    """Switch a fault on; returns its id.

    ``path`` is what the API path begins with (``/v1/checkout/sessions``), for *swallow* what the
    event's type begins with; empty matches all. ``times=None`` lasts until it is removed.
    """
    if kind not in KINDS:
        raise ValueError(f"Unknown fault {kind!r}: one of {', '.join(KINDS)}")
    if times is not None and times < 1:
        raise ValueError("times must be at least 1, or None for ever")
    if not 0 <= delay_ms <= MAX_DELAY_MS:
        raise ValueError(f"delay_ms must be 0 to {MAX_DELAY_MS}")
    with books.write() as db:
        cursor = db.execute(
            "INSERT INTO faults (kind, method, path, remaining, delay_ms, created) "
            "VALUES (?, ?, ?, ?, ?, ?)",
            (kind, method.upper(), path, times, delay_ms, time.time()),
        )
        return int(cursor.lastrowid or 0)


def remove(fault_id: int) -> None:
    with books.write() as db:
        db.execute("DELETE FROM faults WHERE id = ?", (fault_id,))


def clear() -> None:
    """Switch every fault off."""
    with books.write() as db:
        db.execute("DELETE FROM faults")


def active() -> list[dict[str, Any]]:
    """The faults that are on: id, kind, method, path, remaining (None: until removed), delay_ms."""
    with books.read() as db:
        return [dict(row) for row in db.execute("SELECT * FROM faults ORDER BY id")]


def _use(db: sqlite3.Connection, row: sqlite3.Row) -> None:
    if row["remaining"] is None:
        return
    db.execute("UPDATE faults SET remaining = remaining - 1 WHERE id = ?", (row["id"],))
    db.execute("DELETE FROM faults WHERE id = ? AND remaining < 1", (row["id"],))


def take(method: str, path: str) -> Chosen:
    """The faults that this call meets; each is used up by one."""
    with books.read() as db:
        if not db.execute("SELECT 1 FROM faults WHERE kind != 'swallow'").fetchone():
            return Chosen()  # the usual case takes no write lock
    answer, slow_ms, hold_ms = "", 0, 0
    with books.write() as db:
        rows = db.execute("SELECT * FROM faults WHERE kind != 'swallow' ORDER BY id").fetchall()
        for row in rows:
            if row["method"] not in ("", method) or not path.startswith(row["path"]):
                continue
            if row["kind"] in DELAYS:
                if slow_ms or hold_ms:
                    continue
                if row["kind"] == "slow":
                    slow_ms = row["delay_ms"]
                else:
                    hold_ms = row["delay_ms"]
            elif answer:
                continue
            else:
                answer = row["kind"]
            _use(db, row)
    return Chosen(answer, slow_ms, hold_ms)


def swallows(db: sqlite3.Connection, event_type: str) -> bool:
    """Whether a delivery of this event is to be lost; uses the fault up by one."""
    for row in db.execute("SELECT * FROM faults WHERE kind = 'swallow' ORDER BY id").fetchall():
        if event_type.startswith(row["path"]):
            _use(db, row)
            return True
    return False


def refusal(kind: str) -> ApiProblem | None:
    """The error of a fault that is raised before any work."""
    if kind == "429":
        return ApiProblem(
            "Request rate limit exceeded (a fault that was switched on in the sandbox).",
            status=429,
            code="rate_limit",
        )
    if kind == "503":
        return ApiProblem(
            "Service unavailable (a fault that was switched on in the sandbox).",
            status=503,
            type="api_error",
        )
    if kind == "401":
        return ApiProblem(
            "Invalid API Key provided (a fault that was switched on in the sandbox).", status=401
        )
    return None


def breakdown() -> ApiProblem:
    """The error of the fault "500", remembered by the idempotency key."""
    return ApiProblem(
        "An unknown error occurred (a fault that was switched on in the sandbox).",
        status=500,
        type="api_error",
        kept=True,
    )
