"""Idempotency keys, by Stripe's documented rules, within one account and mode.

A POST with a key is claimed before the work and its answer is stored in the transaction of the
work: whoever sends the same bytes again gets that answer, even if the first one was lost.
"""

from __future__ import annotations

import json
import sqlite3
import time
from dataclasses import dataclass
from typing import Any

from . import books, ids
from .objects import Scope
from .problems import ApiProblem

LONGEST = 255
ABANDONED_AFTER = 120.0  # seconds: the process that claimed a key must have died


@dataclass(frozen=True)
class Claim:
    """The right to do the work for a key, held by one call."""

    account: str
    livemode: bool
    key: str
    token: str


@dataclass(frozen=True)
class Stored:
    """An answer given before."""

    status: int
    body: dict[str, Any]


def claim(scope: Scope, key: str, request: str, fingerprint: str) -> Claim | Stored:
    """Take a key for this call, or find the stored answer; raises 400 on other parameters, 409.

    ``request`` is "METHOD path".
    """
    if len(key) > LONGEST:
        raise ApiProblem(f"Idempotency keys can be at most {LONGEST} characters long.")
    token = ids.new("claim")
    now = time.time()
    who = (scope.account, scope.livemode, key)
    with books.write() as db:
        row = db.execute(
            "SELECT * FROM idempotency WHERE account = ? AND livemode = ? AND key = ?", who
        ).fetchone()
        if row is None:
            db.execute(
                "INSERT INTO idempotency "
                "(account, livemode, key, request, fingerprint, started_at, claim) "
                "VALUES (?, ?, ?, ?, ?, ?, ?)",
                (*who, request, fingerprint, now, token),
            )
            return Claim(scope.account, scope.livemode, key, token)
        if row["request"] != request:
            raise ApiProblem(
                "Keys for idempotent requests can only be used for the same endpoint they were "
                f"first used for ('{row['request']}' vs '{request}'). Try using a key other than "
                f"'{key}' if you meant to execute a different request.",
                type="idempotency_error",
            )
        if row["fingerprint"] != fingerprint:
            raise ApiProblem(
                "Keys for idempotent requests can only be used with the same parameters they were "
                f"first used with. Try using a key other than '{key}' if you meant to execute a "
                "different request.",
                type="idempotency_error",
            )
        if row["status"] is not None:
            return Stored(row["status"], json.loads(row["body"]))
        if row["started_at"] > now - ABANDONED_AFTER:
            raise ApiProblem(
                "There is currently another in-progress request using this Idempotent Key (that "
                "probably means you submitted twice, and the other request is still going "
                f"through): {key}. Please try again later.",
                status=409,
                code="idempotency_key_in_use",
            )
        db.execute(
            "UPDATE idempotency SET claim = ?, started_at = ? "
            "WHERE account = ? AND livemode = ? AND key = ?",
            (token, now, *who),
        )
    return Claim(scope.account, scope.livemode, key, token)


def store(db: sqlite3.Connection, claim: Claim, status: int, body: dict[str, Any]) -> None:
    """Keep the answer, inside the transaction of the work."""
    db.execute(
        "UPDATE idempotency SET status = ?, body = ? "
        "WHERE account = ? AND livemode = ? AND key = ? AND claim = ?",
        (status, json.dumps(body), claim.account, claim.livemode, claim.key, claim.token),
    )


def release(claim: Claim) -> None:
    """Forget the key: the call was refused before any work began."""
    with books.write() as db:
        db.execute(
            "DELETE FROM idempotency WHERE account = ? AND livemode = ? AND key = ? "
            "AND claim = ? AND status IS NULL",
            (claim.account, claim.livemode, claim.key, claim.token),
        )
