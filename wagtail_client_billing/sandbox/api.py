"""The HTTP API: one view that answers as Stripe does.

Order of the checks, as far as Stripe's is known: key, URL, right, idempotency key, parameters,
existence. The answer is committed to the books, and to the log of calls, before it is sent.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from django.contrib.auth.decorators import login_not_required
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt

from . import (
    books,
    connections,
    deliveries,
    due,
    expansion,
    faults,
    idempotency,
    ids,
    keys,
    params,
    platforms,
    routes,
    shapes,
)
from .problems import ApiProblem, unknown_parameter

KEEP_CALLS = 5000  # rows in the log
pause: Callable[[float], None] = time.sleep  # for the faults "slow" and "hold"


@dataclass
class Exchange:
    """One call on its way: what came in, and what is known for the log."""

    method: str
    path: str
    raw: str  # query string or form body
    idempotency_key: str
    page_url: str
    onboarding_url: str
    invoice_url: str
    portal_url: str
    request_id: str = field(default_factory=lambda: ids.new("req", 14))
    params: dict[str, Any] = field(default_factory=dict)
    caller: keys.Caller | None = None
    fault: faults.Chosen = field(default_factory=faults.Chosen)
    replayed: bool = False

    @property
    def is_json(self) -> bool:
        """Whether the body is JSON: v2's are, v1's and OAuth's are forms."""
        return self.method == "POST" and self.path.startswith("/v2/")

    def decoded(self) -> dict[str, Any]:
        return params.decode_json(self.raw) if self.is_json else params.decode(self.raw)


@csrf_exempt
@never_cache
@login_not_required
@transaction.non_atomic_requests
def api(request: HttpRequest, rest: str) -> HttpResponseBase:
    """Every URL below ``stripe/``."""
    exchange = _exchange(request, rest)
    try:
        connections.demand_threads(request)
        exchange.fault = faults.take(exchange.method, exchange.path)
        status, body = _answer(exchange, request)
    except ApiProblem as problem:
        status, body = problem.status, _refusal(exchange, problem)
    except connections.NotThreaded as problem:
        status, body = 500, ApiProblem(str(problem), status=500, type="api_error").as_body()
    _log(exchange, status)
    deliveries.wake()
    return _respond(exchange, request, status, body)


def _exchange(request: HttpRequest, rest: str) -> Exchange:
    method = str(request.method)
    raw = request.META.get("QUERY_STRING", "")
    if method == "POST":
        raw = request.body.decode("utf-8", "replace")
    page = reverse("client_billing_sandbox:checkout", kwargs={"session_id": "ID"})
    link = reverse("client_billing_sandbox:onboarding", kwargs={"token": "TOKEN"})
    invoice = reverse("client_billing_sandbox:invoice", kwargs={"invoice_id": "ID"})
    portal = reverse("client_billing_sandbox:portal", kwargs={"session_id": "ID"})
    return Exchange(
        method=method,
        path="/" + rest.strip("/"),
        raw=raw,
        idempotency_key=request.headers.get("Idempotency-Key", "") if method == "POST" else "",
        page_url=request.build_absolute_uri(page).replace("/ID/", "/{id}/"),
        onboarding_url=request.build_absolute_uri(link).replace("/TOKEN/", "/{token}/"),
        invoice_url=request.build_absolute_uri(invoice).replace("/ID/", "/{id}/"),
        portal_url=request.build_absolute_uri(portal).replace("/ID/", "/{id}/"),
    )


def _answer(exchange: Exchange, request: HttpRequest) -> tuple[int, dict[str, Any]]:
    if exchange.fault.slow_ms:
        pause(exchange.fault.slow_ms / 1000)
    refusal = faults.refusal(exchange.fault.answer)
    if refusal:
        raise refusal
    caller = keys.identify(keys.key_from_header(request.headers.get("Authorization", "")))
    exchange.caller = caller
    on_behalf_of = request.headers.get("Stripe-Account", caller.account)
    if on_behalf_of != caller.account:
        caller = exchange.caller = platforms.on_behalf(caller, on_behalf_of)
    route, id = routes.find(exchange.method, exchange.path)
    caller.demand(route.right)
    if not exchange.idempotency_key:
        return _execute(exchange, route, caller, id, None)
    claim = idempotency.claim(
        caller,
        exchange.idempotency_key,
        f"{exchange.method} {exchange.path}",
        params.fingerprint(exchange.raw, is_json=exchange.is_json),
    )
    if isinstance(claim, idempotency.Stored):
        exchange.replayed = True
        return claim.status, claim.body
    try:
        return _execute(exchange, route, caller, id, claim)
    except BaseException:
        idempotency.release(claim)  # does nothing when the answer was stored
        raise


def _execute(
    exchange: Exchange,
    route: routes.Route,
    caller: keys.Caller,
    id: str,
    claim: idempotency.Claim | None,
) -> tuple[int, dict[str, Any]]:
    if exchange.fault.hold_ms:
        pause(exchange.fault.hold_ms / 1000)
    due.apply()
    try:
        if exchange.fault.answer == "500":
            raise faults.breakdown()
        exchange.params = exchange.decoded()
        call = routes.Call(
            caller,
            exchange.params,
            page_url=exchange.page_url,
            onboarding_url=exchange.onboarding_url,
            invoice_url=exchange.invoice_url,
            portal_url=exchange.portal_url,
        )
        with books.write() if route.changes else books.read() as db:
            body = route.answer(db, call, id)
            body = expansion.expand(db, caller, body, _paths(exchange.params))
            if claim:
                idempotency.store(db, claim, 200, body)
        return 200, body
    except ApiProblem as problem:
        if claim and problem.kept:
            with books.write() as db:
                idempotency.store(db, claim, problem.status, _refusal(exchange, problem))
        raise


def _refusal(exchange: Exchange, problem: ApiProblem) -> dict[str, Any]:
    body = problem.as_body()
    if exchange.path.startswith("/oauth/") and not isinstance(body["error"], str):
        return {"error": "invalid_request", "error_description": problem.message}
    if exchange.path.startswith("/v2/"):
        # v2 has a code for everything.
        body["error"].setdefault("code", problem.type.removesuffix("_error"))
    return body


def _paths(decoded: dict[str, Any]) -> list[str]:
    given = decoded.get("expand") or {}
    if not isinstance(given, dict):
        raise unknown_parameter("expand")
    return [str(given[key]) for key in sorted(given, key=int)]


def _log(exchange: Exchange, status: int) -> None:
    if not exchange.params:
        try:
            exchange.params = exchange.decoded()
        except ApiProblem:
            exchange.params = {"": exchange.raw}
    caller = exchange.caller
    with books.write() as db:
        last = db.execute(
            "INSERT INTO api_calls (at, request_id, method, path, status, account, livemode, "
            "idempotency_key, params, replayed, fault) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                time.time(),
                exchange.request_id,
                exchange.method,
                exchange.path,
                status,
                caller.account if caller else "",
                caller.livemode if caller else None,
                exchange.idempotency_key,
                json.dumps(exchange.params),
                exchange.replayed,
                exchange.fault.label,
            ),
        ).lastrowid
        db.execute("DELETE FROM api_calls WHERE id <= ?", (int(last or 0) - KEEP_CALLS,))


def _respond(
    exchange: Exchange, request: HttpRequest, status: int, body: dict[str, Any]
) -> HttpResponseBase:
    response = HttpResponse(
        json.dumps(body, indent=2), status=status, content_type="application/json"
    )
    response["Request-Id"] = exchange.request_id
    response["Stripe-Version"] = request.headers.get("Stripe-Version", shapes.API_VERSION)
    if exchange.idempotency_key:
        response["Idempotency-Key"] = exchange.idempotency_key
        if exchange.replayed:
            response["Idempotent-Replayed"] = "true"
    if exchange.fault.answer == "lost":
        return connections.lose(request, response)
    return response
