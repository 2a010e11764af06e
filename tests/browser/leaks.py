"""Rule 10 over everything that a run of the demo leaves behind, and every page that was seen."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

from tests import secrets_scan

from .processes import Demo


def find(demo: Demo) -> list[str]:
    """Where a key or a signing secret is seen; the run has to be over."""
    return secrets_scan.found(secrets_of(demo.books), texts_of(demo))


def secrets_of(books: Path) -> dict[str, str]:
    """Every key that was used at the sandbox, and every signing secret that it gave."""
    if not books.exists():
        return {}
    with closing(sqlite3.connect(books)) as db:
        keys = [key for (key,) in db.execute("SELECT key FROM api_keys")]
        endpoints = db.execute("SELECT extra FROM objects WHERE kind = 'webhook_endpoint'")
        signing = [json.loads(extra)["secret"] for (extra,) in endpoints]
    named = {f"key {number}": key for number, key in enumerate(keys)}
    return named | {f"signing secret {number}": secret for number, secret in enumerate(signing)}


def texts_of(demo: Demo) -> dict[str, str]:
    """The product's database, what the sandbox was asked, all processes' output, all pages."""
    texts = {f"output of {log.stem}": log.read_text(errors="replace") for log in logs_of(demo)}
    texts |= {f"page {number}": page for number, page in enumerate(demo.pages)}
    for file in demo.var.glob("*.sqlite3"):
        with closing(sqlite3.connect(file)) as db:
            if file == demo.books:
                rows = db.execute("SELECT * FROM api_calls").fetchall()
                texts["what the sandbox was asked"] = repr(rows)
            else:
                texts[f"database {file.stem}"] = "\n".join(db.iterdump())
    return texts


def logs_of(demo: Demo) -> list[Path]:
    return sorted(demo.var.glob("*.log"))
