"""How the sandbox's pages are reached, and what all of them show."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from django.contrib.auth.decorators import login_not_required
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.utils import translation
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from wagtail_client_billing.money import MoneyError, format_money

from . import books, clock, connections, faults

View = Callable[..., HttpResponseBase]


def page(*methods: str) -> Callable[[View], Any]:
    """A view of the sandbox for these methods: no login, no database transaction, not cached."""
    allowed = [*methods, "HEAD"] if "GET" in methods else list(methods)

    def decorate(view: View) -> Any:
        answering = require_http_methods(allowed)(view)
        return transaction.non_atomic_requests(login_not_required(never_cache(answering)))

    return decorate


def show(
    request: HttpRequest, template: str, context: dict[str, Any], *, status: int = 200
) -> HttpResponse:
    """Render one of our templates with what every page shows."""
    with books.read() as db:
        offset = clock.offset(db)
    common = {
        "threaded": connections.is_threaded(request),
        "threads_advice": connections.ADVICE,
        "clock_offset": in_words(offset),
        "faults_on": len(faults.active()),
    }
    with translation.override("en"):  # a developer's tool: its own words are English only
        return render(
            request,
            f"wagtail_client_billing_sandbox/{template}",
            {**common, **context},
            status=status,
        )


def moment(seconds: float | None) -> datetime | None:
    """A Unix time for a template."""
    return None if seconds is None else datetime.fromtimestamp(seconds, tz=UTC)


def money(minor: int, currency: str) -> str:
    """An amount for a page, in English."""
    try:
        return format_money(minor, currency, "en")
    except MoneyError:
        return f"{minor} {currency.upper()} (in its smallest unit)"


def in_words(seconds: int) -> str:
    """A length of time such as "1 h 30 min" or "31 days 2 h"; empty for none."""
    days = seconds // 86400 if seconds >= 2 * 86400 else 0
    hours, rest = divmod(seconds - days * 86400, 3600)
    parts = [(days, "days"), (hours, "h"), (rest // 60, "min"), (rest % 60, "s")]
    return " ".join(f"{number} {unit}" for number, unit in parts if number)
