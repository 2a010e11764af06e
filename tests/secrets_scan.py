"""Looks for secrets where none may be: in plain, base64 or URL-encoded form.

Knows nothing of a test: whoever has texts (pages, logs, a dump of the database) may use it.
"""

import base64
from collections.abc import Iterable, Iterator, Mapping
from urllib.parse import quote


def found(secrets: Mapping[str, str], texts: Mapping[str, str]) -> list[str]:
    """Which secret was seen where and in which form; names them and never shows them."""
    forms = [
        (name, form, written)
        for name, secret in secrets.items()
        for form, written in _forms(secret)
    ]
    seen = {
        f"{name} in {place} ({form})": None
        for place, text in texts.items()
        for name, form, written in forms
        if written in text
    }
    return list(seen)


def _forms(secret: str) -> Iterator[tuple[str, str]]:
    yield "plain", secret
    everything = "".join(f"%{byte:02X}" for byte in secret.encode())
    for text in {quote(secret, safe=""), secret.replace("_", "%5F"), everything}:
        if text != secret:
            yield "URL-encoded", text
            yield "URL-encoded", text.lower()
    for before in range(3):
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            yield "base64", _inside(encode(b"\0" * before + secret.encode()).decode(), before)


def _inside(encoded: str, before: int) -> str:
    """What of a base64 text depends on the secret alone, whatever stands before and after it."""
    start = (0, 2, 3)[before]
    end = len(encoded.rstrip("="))
    return encoded[start : end - 1 if encoded.endswith("=") else end]


def database_dump() -> dict[str, str]:
    """Every row of every table, also of those that are not ours."""
    from django.db import connection

    dump = {}
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)}")
            dump[f"table {table}"] = _text(cursor.fetchall())
    return dump


def task_payloads() -> dict[str, str]:
    """What waits in Django-Q's queue and what it keeps of tasks that ran, unpacked."""
    from django_q.models import OrmQ, Task

    waiting = {f"queued task {row.pk}": repr(row.task) for row in OrmQ.objects.all()}
    done = {
        f"task {row.pk}": repr((row.args, row.kwargs, row.result)) for row in Task.objects.all()
    }
    return waiting | done


def _text(rows: Iterable[Iterable[object]]) -> str:
    return "\n".join(
        "\t".join(
            bytes(value).decode("latin-1") if isinstance(value, bytes | memoryview) else str(value)
            for value in row
        )
        for row in rows
    )
