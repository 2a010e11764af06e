"""Counts what a piece of work asks of the database: queries, and rows fetched by table."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from django.db import connection
from django.db.backends.utils import CursorWrapper
from django.test.utils import CaptureQueriesContext


@dataclass
class Counted:
    """``rows`` is by the first table that a statement names."""

    queries: int = 0
    rows: Counter[str] = field(default_factory=Counter)
    statements: list[str] = field(default_factory=list)

    def fetched(self, *, without: tuple[str, ...] = ()) -> int:
        return sum(count for table, count in self.rows.items() if table not in without)


@contextmanager
def counted() -> Iterator[Counted]:
    """Counts until the end of the block."""
    found = Counted()
    plain_getattr, plain_iter = CursorWrapper.__getattr__, CursorWrapper.__iter__

    def table(cursor: CursorWrapper) -> str:
        return cursor.__dict__.get("_counted_table", "")

    def execute(run: Any, sql: str, params: Any, many: bool, context: dict[str, Any]) -> Any:
        _before, _from, rest = sql.partition(' FROM "')
        context["cursor"].__dict__["_counted_table"] = rest.partition('"')[0]
        return run(sql, params, many, context)

    def getattr_(self: CursorWrapper, name: str) -> Any:
        attribute = plain_getattr(self, name)
        if name not in ("fetchone", "fetchmany", "fetchall"):
            return attribute

        def fetch(*args: Any, **kwargs: Any) -> Any:
            result = attribute(*args, **kwargs)
            count = int(result is not None) if name == "fetchone" else len(result)
            found.rows[table(self)] += count
            return result

        return fetch

    def iter_(self: CursorWrapper) -> Iterator[Any]:
        for row in plain_iter(self):
            found.rows[table(self)] += 1
            yield row

    CursorWrapper.__getattr__, CursorWrapper.__iter__ = getattr_, iter_
    try:
        with CaptureQueriesContext(connection) as captured, connection.execute_wrapper(execute):
            yield found
        found.queries = len(captured)
        found.statements = [query["sql"] for query in captured.captured_queries]
    finally:
        CursorWrapper.__getattr__, CursorWrapper.__iter__ = plain_getattr, plain_iter
