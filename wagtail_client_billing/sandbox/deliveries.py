"""Webhook deliveries: signed, repeated, at least once, and to this computer only.

A thread of the serving process sends what is due; it starts when there is something to do and
ends when there is nothing. Several processes may have one: a delivery is claimed by a conditional
UPDATE. Tests set ``automatic = False`` and call ``deliver_due()`` themselves.
"""

from __future__ import annotations

import hashlib
import hmac
import http.client
import json
import logging
import sqlite3
import threading
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from . import books, clock, events, objects

logger = logging.getLogger(__name__)

automatic = True
TIMEOUT = 10.0  # seconds for one delivery
BACK_OFF = (1.0, 3.0, 10.0, 30.0)  # seconds after each failed try; then it is given up
CLAIM_LASTS = 40.0  # seconds after which another process may take a claimed delivery
ORDERS = {"oldest": "id", "newest": "id DESC", "shuffled": "random()"}
POLL = 0.5  # seconds between two looks at the books while something is expected
SOON = 24 * 3600  # seconds: a renewal further off does not keep the thread
IDLE_ENDS = 5.0  # seconds without anything to do after which the thread ends

_lock = threading.Lock()
_wake = threading.Event()
_stop = threading.Event()
_thread: threading.Thread | None = None


class NotLoopback(Exception):
    """The address is not on this computer, so nothing is sent there."""


# --------------------------------------------------------------------------- sending


def signature(secret: str, body: str, timestamp: int) -> str:
    """The ``Stripe-Signature`` header for a body."""
    mac = hmac.new(secret.encode(), f"{timestamp}.{body}".encode(), hashlib.sha256)
    return f"t={timestamp},v1={mac.hexdigest()}"


def loopback(url: str) -> tuple[str, int, str, str]:
    """Where to connect for a URL: (address, port, Host header, path); raises ``NotLoopback``.

    Names under ``localhost`` are not resolved everywhere, so they are dialled as 127.0.0.1.
    """
    parts = urlsplit(url)
    name = (parts.hostname or "").rstrip(".")
    if name in ("localhost", "127.0.0.1") or name.endswith(".localhost"):
        address = "127.0.0.1"
    elif name == "::1":
        address = "::1"
    else:
        raise NotLoopback(f"{name or url} is not this computer: the sandbox delivers nowhere else")
    if parts.scheme != "http":
        raise NotLoopback("the sandbox delivers by plain http only")
    path = parts.path or "/"
    if parts.query:
        path += f"?{parts.query}"
    return address, parts.port or 80, parts.netloc.rpartition("@")[2], path


def _post(url: str, body: str, header: str) -> int:
    address, port, host, path = loopback(url)
    connection = http.client.HTTPConnection(address, port, timeout=TIMEOUT)
    try:
        connection.request(
            "POST",
            path,
            body=body.encode(),
            headers={
                "Host": host,
                "Content-Type": "application/json; charset=utf-8",
                "User-Agent": "Stripe/1.0 (wagtail-client-billing sandbox)",
                "Stripe-Signature": header,
            },
        )
        answer = connection.getresponse()  # a redirect is an answer like any other: not followed
        answer.read(65536)
        return answer.status
    finally:
        connection.close()


def _claim(row: sqlite3.Row) -> bool:
    now = time.time()
    with books.write() as db:
        # The event is named too: a test may have given us another file meanwhile.
        return (
            db.execute(
                "UPDATE deliveries SET state = 'sending', claimed_at = ? WHERE id = ? AND "
                "event = ? AND (state = 'due' OR (state = 'sending' AND claimed_at < ?))",
                (now, row["id"], row["event"], now - CLAIM_LASTS),
            ).rowcount
            == 1
        )


def try_once(row: sqlite3.Row, post: Callable[[str, str, str], int]) -> bool:
    """Claim a delivery, send it by ``post(url, body, signature)``, write down what came of it.

    ``post`` returns the HTTP status, or raises ``OSError``. False if another has claimed it.
    """
    if not _claim(row):
        return False
    _send(row, post)
    return True


def _send(row: sqlite3.Row, post: Callable[[str, str, str], int]) -> None:
    with books.read() as db:
        endpoint = objects.find(db, "webhook_endpoint", row["endpoint"])
        event = objects.find(db, "event", row["event"])
        payload = events.as_sent(db, event) if event else {}
        if event and endpoint and endpoint.extra.get("connect"):
            payload["account"] = event.account
    answer: int | None = None
    final, error = False, ""
    if endpoint is None or event is None:
        final, error = True, "the endpoint was deleted"
    else:
        body = json.dumps(payload, indent=2)
        try:
            answer = post(row["url"], body, signature(endpoint.extra["secret"], body, _now()))
        except NotLoopback as problem:
            final, error = True, str(problem)
        except (OSError, http.client.HTTPException) as problem:
            error = f"{type(problem).__name__}: {problem}"
    attempts = row["attempts"] + 1
    if answer is not None and 200 <= answer < 300:
        state, next_try = "delivered", 0.0
    elif final or attempts > len(BACK_OFF):
        state, next_try = "failed", 0.0
    else:
        state, next_try = "due", time.time() + BACK_OFF[attempts - 1]
    with books.write() as db:
        db.execute(
            "UPDATE deliveries SET state = ?, attempts = ?, answer = ?, error = ?, "
            "next_try_at = ?, claimed_at = NULL, delivered_at = ? WHERE id = ? AND event = ?",
            (
                state,
                attempts,
                answer,
                error,
                next_try,
                time.time() if state == "delivered" else None,
                row["id"],
                row["event"],
            ),
        )


def _now() -> int:
    return int(time.time())


def waiting(
    db: sqlite3.Connection, order: str = "oldest", *, ignore_back_off: bool = False
) -> list[sqlite3.Row]:
    """The deliveries that are to be sent now, in an order."""
    now = time.time()
    sql = (
        "SELECT * FROM deliveries WHERE (state = 'due' AND next_try_at <= ?) "
        "OR (state = 'sending' AND claimed_at < ?) ORDER BY "
    )
    return db.execute(
        sql + ORDERS[order] + " LIMIT 200",
        (now + 1e9 if ignore_back_off else now, now - CLAIM_LASTS),
    ).fetchall()


def deliver_due(*, order: str | None = None, ignore_back_off: bool = False) -> int:
    """One round, in this thread: let happen what the clock has brought, send what is due.

    ``order`` is "oldest", "newest" or "shuffled" (default: what the page chose). With
    ``ignore_back_off`` failed tries are repeated at once. Sends even while deliveries are held.
    Returns how many deliveries were tried.
    """
    from . import due  # it records events, which are delivered here

    due.apply()
    with books.read() as db:
        chosen = order or books.noted(db, "delivery_order", "oldest")
        rows = waiting(db, chosen, ignore_back_off=ignore_back_off)
    return sum(try_once(row, _post) for row in rows)


def swallow(row: sqlite3.Row) -> None:
    """Lose a delivery silently."""
    with books.write() as db:
        db.execute(
            "UPDATE deliveries SET state = 'swallowed' WHERE id = ? AND event = ?",
            (row["id"], row["event"]),
        )


def fire_again(event_id: str) -> int:
    """Deliver an event once more to all endpoints that want it; returns to how many.

    ``LookupError`` for an unknown event.
    """
    with books.write() as db:
        event = objects.find(db, "event", event_id)
        if event is None:
            raise LookupError(event_id)
        count = events.put_up(db, event)
    wake()
    return count


def hold(held: bool = True, *, order: str = "oldest") -> None:
    """Keep deliveries back, or let them go in an order; events pile up meanwhile."""
    if order not in ORDERS:
        raise ValueError(f"order must be one of {', '.join(ORDERS)}")
    with books.write() as db:
        books.note(db, "deliveries_held", held or None)
        books.note(db, "delivery_order", None if order == "oldest" else order)
    wake()


def held() -> bool:
    with books.read() as db:
        return bool(books.noted(db, "deliveries_held", False))


# --------------------------------------------------------------------------- the thread


def wake() -> None:
    """Something may be due: make sure that a thread of this process looks at once."""
    global _thread
    if not automatic:
        return
    with _lock:
        if _thread is None or not _thread.is_alive():
            if not _expected():
                return
            _thread = threading.Thread(target=_run, name="client-billing-sandbox", daemon=True)
            _wake.clear()
            _stop.clear()
            _thread.start()
        else:
            _wake.set()


def _expected() -> bool:
    """Whether anything is waiting: a delivery, the end of a session, a renewal within a day."""
    with books.read() as db:
        return (
            db.execute(
                "SELECT 1 FROM deliveries WHERE state IN ('due', 'sending') UNION ALL "
                "SELECT 1 FROM objects WHERE kind = 'checkout.session' AND state = 'open' UNION ALL "
                "SELECT 1 FROM objects WHERE kind IN ('subscription', 'invoice') "
                "AND state IN ('active', 'past_due', 'open') AND ends_at <= ? LIMIT 1",
                (clock.now(db) + SOON,),
            ).fetchone()
            is not None
        )


def stop(seconds: float = 15.0) -> None:
    """End the thread of this process and wait for it; the next ``wake`` starts another."""
    thread = _thread
    _stop.set()
    _wake.set()
    if thread is not None and thread.is_alive():
        thread.join(seconds)


def _run() -> None:
    idle_since: float | None = None
    while automatic and not _stop.is_set():
        tried = 0
        try:
            from . import due

            if held():
                due.apply()
            else:
                tried = deliver_due()
            idle = not _expected()
        except sqlite3.Error:
            # The file may have been taken away under us (a test's temporary folder).
            logger.exception("The sandbox could not read its books")
            idle = True
        if not idle:
            idle_since = None
        elif idle_since is None:
            idle_since = time.monotonic()
        elif time.monotonic() - idle_since > IDLE_ENDS:
            return
        if not tried:
            _wake.wait(POLL)
        _wake.clear()


def wait_for(event_id: str, seconds: float = 10.0) -> bool:
    """Wait until every endpoint has been tried with an event, as Stripe does before it leads the
    payer back. False when that took longer, or when deliveries are held or not automatic.
    """
    if not automatic or held():
        return False
    wake()
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with books.read() as db:
            waiting = db.execute(
                "SELECT 1 FROM deliveries WHERE event = ? AND attempts = 0 "
                "AND state IN ('due', 'sending')",
                (event_id,),
            ).fetchone()
        if waiting is None:
            return True
        time.sleep(0.03)
    return False


def recent(limit: int = 100) -> list[dict[str, Any]]:
    """The newest deliveries, for the page."""
    with books.read() as db:
        return [
            dict(row)
            for row in db.execute("SELECT * FROM deliveries ORDER BY id DESC LIMIT ?", (limit,))
        ]
