"""An account that was connected once in this run, and is put back as it was.

Connecting asks the sandbox eight times over HTTP: most tests only need it to have happened.
"""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass

from django.utils import timezone

from wagtail_client_billing.models import StripeConnection, WebhookEndpoint
from wagtail_client_billing.sandbox import books

# Rows made now, as if connecting had just ended.
MOMENTS = ("connected_at", "checked_at", "created_at", "events_read_until")


@dataclass(frozen=True)
class Connected:
    """What connecting wrote: in our tables, and in the sandbox's books."""

    connection: dict
    endpoints: list[dict]
    books: bytes

    @classmethod
    def remember(cls, connection: StripeConnection) -> "Connected":
        with closing(sqlite3.connect(books.path())) as db:
            # All of it into the one file.
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return cls(
            values(connection),
            [values(endpoint) for endpoint in connection.endpoints.order_by("pk")],
            books.path().read_bytes(),
        )

    def put_back(self) -> StripeConnection:
        connection = StripeConnection.objects.create(**as_of_now(self.connection))
        for endpoint in self.endpoints:
            WebhookEndpoint.objects.create(**as_of_now(endpoint), connection=connection)
        books.path().write_bytes(self.books)
        return connection


_remembered: list[Connected] = []


def connected_once(connect: Callable[[], StripeConnection]) -> StripeConnection:
    """Connects for the first who asks, and puts it back for everybody after."""
    if _remembered:
        return _remembered[0].put_back()
    connection = connect()
    _remembered.append(Connected.remember(connection))
    return connection


def values(row) -> dict:
    """A row's own columns, without its key and its relations."""
    return {
        field.attname: getattr(row, field.attname)
        for field in row._meta.concrete_fields
        if not field.primary_key and not field.is_relation
    }


def as_of_now(given: dict) -> dict:
    now = timezone.now()
    return {
        name: now if name in MOMENTS and value is not None else value
        for name, value in given.items()
    }
