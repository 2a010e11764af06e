"""Webhook endpoints and the list of events, as the API shows them."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any

from . import events, ids, objects, params, shapes
from .deliveries import NotLoopback, loopback
from .keys import Caller
from .objects import Record
from .problems import ApiProblem

KIND = "webhook_endpoint"

_event_type = params.string(100)
CREATE: dict[str, params.Checker] = {
    "url": params.url,
    "enabled_events": params.array(_event_type),
    "api_version": params.choice(shapes.API_VERSION),
    "description": params.string(may_be_empty=True),
    "metadata": params.metadata,
    "connect": params.boolean,
}
CHANGE: dict[str, params.Checker] = {
    "url": params.url,
    "enabled_events": params.array(_event_type),
    "description": params.string(may_be_empty=True),
    "metadata": params.metadata,
    "disabled": params.boolean,
}
LIST_EVENTS: dict[str, params.Checker] = {
    **params.PAGING,
    "created": params.moment,
    "type": _event_type,
    "types": params.array(_event_type, longest=20),
    "delivery_success": params.boolean,
}


def _check(checked: Mapping[str, Any], *, livemode: bool) -> None:
    wanted = checked.get("enabled_events")
    if wanted is not None and not wanted:
        raise ApiProblem("enabled_events must name at least one event.", param="enabled_events")
    for index, type in enumerate(wanted or ()):
        if type != "*" and "." not in type:
            raise ApiProblem(
                f"Invalid enabled_events[{index}]: {type} is not an event type.",
                param=f"enabled_events[{index}]",
            )
    url = checked.get("url", "")
    if livemode and url.startswith("http:"):
        try:
            loopback(url)
        except NotLoopback:
            raise ApiProblem(
                "Invalid URL: in live mode an endpoint must use https.",
                code="url_invalid",
                param="url",
            ) from None


def create(db: sqlite3.Connection, caller: Caller, raw: Mapping[str, Any]) -> dict[str, Any]:
    """A new endpoint; its secret is shown in this answer and never again."""
    checked = params.check(raw, CREATE, ["enabled_events", "url"])
    _check(checked, livemode=caller.livemode)
    secret = ids.new("whsec", 32)
    doc = shapes.webhook_endpoint(checked, livemode=caller.livemode)
    # Stripe does not show it again, but delivers by it.
    connect = bool(checked.get("connect"))
    objects.add(db, caller, doc, extra={"secret": secret, "connect": connect})
    return {**doc, "secret": secret}


def retrieve(
    db: sqlite3.Connection, caller: Caller, id: str, raw: Mapping[str, Any]
) -> dict[str, Any]:
    params.check(raw, {})
    return objects.get(db, caller, KIND, id, "webhook_endpoint").doc


def change(
    db: sqlite3.Connection, caller: Caller, id: str, raw: Mapping[str, Any]
) -> dict[str, Any]:
    checked = params.check(raw, CHANGE)
    record = objects.get(db, caller, KIND, id, "webhook_endpoint")
    _check(checked, livemode=caller.livemode)
    checked.pop("expand", None)
    if "disabled" in checked:
        record.doc["status"] = "disabled" if checked.pop("disabled") else "enabled"
    if "metadata" in checked:
        record.doc["metadata"] = {**record.doc["metadata"], **checked.pop("metadata")}
    if "description" in checked:
        record.doc["description"] = checked.pop("description") or None
    record.doc.update(checked)
    objects.save(db, record)
    return record.doc


def delete(
    db: sqlite3.Connection, caller: Caller, id: str, raw: Mapping[str, Any]
) -> dict[str, Any]:
    params.check(raw, {})
    record = objects.get(db, caller, KIND, id, "webhook_endpoint")
    objects.remove(db, record)
    return {"id": id, "object": KIND, "deleted": True}


def list_all(db: sqlite3.Connection, caller: Caller, raw: Mapping[str, Any]) -> dict[str, Any]:
    checked = params.check(raw, params.PAGING)
    return objects.page(db, caller, KIND, "/v1/webhook_endpoints", checked)


def retrieve_event(
    db: sqlite3.Connection, caller: Caller, id: str, raw: Mapping[str, Any]
) -> dict[str, Any]:
    params.check(raw, {})
    return events.as_sent(db, objects.get(db, caller, "event", id))


def list_events(db: sqlite3.Connection, caller: Caller, raw: Mapping[str, Any]) -> dict[str, Any]:
    checked = params.check(raw, LIST_EVENTS)
    wanted = set(checked.get("types", ()))
    if "type" in checked:
        wanted.add(checked["type"])
    success = checked.get("delivery_success")

    def keep(record: Record) -> bool:
        if wanted and not any(fnmatchcase(record.doc["type"], pattern) for pattern in wanted):
            return False
        return success is None or success == (events.pending_webhooks(db, record.id) == 0)

    page = objects.page(db, caller, "event", "/v1/events", checked, keep=keep)
    for doc in page["data"]:
        doc["pending_webhooks"] = events.pending_webhooks(db, doc["id"])
    return page
