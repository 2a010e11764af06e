"""The API of Connect: Accounts v2 (JSON), account links, and OAuth's token and deauthorize."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from . import ids, params, platforms
from .keys import Caller
from .problems import missing, no_access, unknown_parameter

Body = dict[str, Any]

INCLUDABLE = ("configuration.merchant", "defaults", "identity", "requirements")
CREATE = {
    "configuration",
    "contact_email",
    "dashboard",
    "defaults",
    "display_name",
    "identity",
    "include",
    "metadata",
}


# --------------------------------------------------------------------------- Accounts v2


def create_account(db: sqlite3.Connection, caller: Caller, raw: Mapping[str, Any]) -> Body:
    """A new account, which belongs to whoever answers for it at Stripe."""
    for name in raw:
        if name not in CREATE:
            raise unknown_parameter(name)
    country = str((raw.get("identity") or {}).get("country") or "")
    if len(country) != 2:
        raise missing("identity.country")
    facts = {
        "due": list(platforms.DUE),
        "contact_email": raw.get("contact_email"),
        "display_name": raw.get("display_name"),
        "dashboard": raw.get("dashboard", "full"),
        "responsibilities": (raw.get("defaults") or {}).get("responsibilities") or {},
        "metadata": raw.get("metadata") or {},
    }
    account = platforms.open_account(
        db, name=str(raw.get("display_name") or ""), country=country.upper(), ready=False
    )
    platforms.connect(db, caller, account, facts)
    return _account(db, caller, account, raw.get("include") or [])


def retrieve_account(
    db: sqlite3.Connection, caller: Caller, id: str, raw: Mapping[str, Any]
) -> Body:
    checked = params.check(raw, {"include": params.array(params.choice(*INCLUDABLE))})
    return _account(db, caller, id, checked.get("include", []))


def create_link(
    db: sqlite3.Connection, caller: Caller, raw: Mapping[str, Any], page_url: str
) -> Body:
    """An address at which the account's owner answers; it works once."""
    account = str(raw.get("account") or "")
    if platforms.find(db, caller, account) is None:
        raise no_access(caller.key, account)
    use_case = raw.get("use_case") or {}
    asked = use_case.get("account_onboarding") or {}
    if use_case.get("type") != "account_onboarding" or not asked.get("refresh_url"):
        raise missing("use_case.account_onboarding.refresh_url")
    for name, value in asked.items():
        if name.endswith("_url"):
            params.url(value, f"use_case.account_onboarding.{name}")
    token = platforms.give_ticket(
        db,
        platforms.LINK,
        account=account,
        livemode=caller.livemode,
        platform=caller.account,
        facts={"refresh_url": asked["refresh_url"], "return_url": asked.get("return_url")},
    )
    now = time.time()
    return {
        "object": "v2.core.account_link",
        "account": account,
        "created": _moment(now),
        "expires_at": _moment(now + platforms.TICKET_LASTS[platforms.LINK]),
        "livemode": caller.livemode,
        "url": page_url.replace("{token}", token),
        "use_case": {
            "type": "account_onboarding",
            "account_onboarding": {"configurations": ["merchant"], **asked},
        },
    }


def _account(db: sqlite3.Connection, caller: Caller, id: str, include: list[str]) -> Body:
    connection = platforms.find(db, caller, id)
    row = db.execute("SELECT * FROM accounts WHERE id = ?", (id,)).fetchone()
    if connection is None or row is None:
        raise no_access(caller.key, id)
    facts = json.loads(connection["facts"])
    doc = {
        "id": id,
        "object": "v2.core.account",
        "applied_configurations": ["merchant"],
        "created": _moment(row["created"]),
        "dashboard": facts.get("dashboard", "full"),
        "display_name": row["name"],
        "livemode": caller.livemode,
        "metadata": facts.get("metadata", {}),
    }
    if facts.get("contact_email"):
        doc["contact_email"] = facts["contact_email"]
    due = [] if row["details_submitted"] else facts.get("due") or list(platforms.DUE)
    parts: Body = {
        "configuration.merchant": {"merchant": _merchant(bool(row["charges_enabled"]), due)},
        "defaults": {
            "currency": row["default_currency"],
            "responsibilities": {
                "requirements_collector": "stripe",
                **facts.get("responsibilities", {}),
            },
        },
        "identity": {"country": row["country"].lower()},
        "requirements": {"entries": [_entry(name) for name in due]},
    }
    for name in include:
        if name in parts:
            doc[name.partition(".")[0]] = parts[name]
    return doc


def _merchant(enabled: bool, due: list[str]) -> Body:
    if enabled:
        state: Body = {"status": "active", "status_details": []}
    elif due:
        details = [{"code": "requirements_past_due", "resolution": "provide_info"}]
        state = {"status": "restricted", "status_details": details}
    else:
        details = [{"code": "requirements_pending_verification", "resolution": "no_resolution"}]
        state = {"status": "pending", "status_details": details}
    return {"applied": True, "capabilities": {"card_payments": state}}


def _entry(name: str) -> Body:
    return {
        "awaiting_action_from": "user",
        "description": name,
        "errors": [],
        "impact": {
            "restricts_capabilities": [
                {
                    "capability": "card_payments",
                    "configuration": "merchant",
                    "deadline": {"status": "currently_due"},
                }
            ]
        },
        "minimum_deadline": {"status": "currently_due"},
        "requested_reasons": [{"code": "routine_onboarding"}],
    }


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(int(seconds), tz=UTC).isoformat().replace("+00:00", "Z")


# --------------------------------------------------------------------------- OAuth


def token(db: sqlite3.Connection, caller: Caller, raw: Mapping[str, Any]) -> Body:
    """Exchanges a code, once. The key's mode has to be that of the client id."""
    if raw.get("grant_type") != "authorization_code":
        raise platforms.OAuthProblem("unsupported_grant_type", "Unsupported grant type")
    try:
        ticket = platforms.use_ticket(db, platforms.CODE, str(raw.get("code") or ""))
    except platforms.TicketGone:
        raise platforms.OAuthProblem(
            "invalid_grant", "Authorization code does not exist, has been used, or has expired"
        ) from None
    platforms.connect(db, caller, ticket.account)
    mode = "live" if caller.livemode else "test"
    return {
        "access_token": ids.new(f"sk_{mode}"),
        "livemode": caller.livemode,
        "refresh_token": ids.new("rt"),
        "scope": "read_write",
        "stripe_publishable_key": ids.new(f"pk_{mode}"),
        "stripe_user_id": ticket.account,
        "token_type": "bearer",
    }


def deauthorize(db: sqlite3.Connection, caller: Caller, raw: Mapping[str, Any]) -> Body:
    """Ends the platform's access to an account."""
    account = str(raw.get("stripe_user_id") or "")
    if not raw.get("client_id"):
        raise platforms.OAuthProblem("invalid_request", "No client_id was given")
    try:
        platforms.disconnect(db, caller, account)
    except LookupError:
        raise platforms.OAuthProblem(
            "invalid_client",
            f"This application is not connected to stripe account {account}, or that account "
            "does not exist.",
            status=401,
        ) from None
    return {"stripe_user_id": account}
