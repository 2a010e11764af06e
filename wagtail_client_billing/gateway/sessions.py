"""Checkout Sessions: what we send, and what we read from the answer."""

from datetime import datetime
from typing import Any
from urllib.parse import quote, urlsplit

from django.utils import translation
from django.utils.translation import gettext as _

from ..conf import billing_settings
from ..errors import StripeRefused
from ..lifecycle import PaymentFacts
from ..links import payment_link
from ..models import BillingRequest, CheckoutAttempt, StripeConnection
from .charges import id_of, paid_by
from .client import Api

MAX_CONSENT = 1200
Type = BillingRequest.BillingType
RECURRING: dict[str, dict[str, Any]] = {
    Type.WEEKLY: {"interval": "week", "interval_count": 1},
    Type.MONTHLY: {"interval": "month", "interval_count": 1},
    Type.QUARTERLY: {"interval": "month", "interval_count": 3},
    Type.YEARLY: {"interval": "year", "interval_count": 1},
}


def session_params(
    request: BillingRequest, connection: StripeConnection, n: int, ends_at: datetime
) -> dict[str, Any]:
    """The parameters of a request's Checkout Session, all of them frozen from stored data."""
    with translation.override(request.language or None):
        title = request.description or _("Payment to %(site)s") % {"site": request.site_name}
        consent = _(
            "By paying you accept the [terms of service](%(terms)s) and the "
            "[privacy policy](%(privacy)s)."
        ) % {
            "terms": _in_markdown(connection.terms_url),
            "privacy": _in_markdown(connection.privacy_policy_url),
        }
    price: dict[str, Any] = {
        "currency": request.currency.lower(),
        "unit_amount": request.amount_minor,
        "product_data": {"name": title[:250]},
    }
    if request.is_recurring:
        price["recurring"] = RECURRING[request.billing_type]
    params: dict[str, Any] = {
        "mode": "subscription" if request.is_recurring else "payment",
        "line_items": [{"quantity": 1, "price_data": price}],
        "customer_email": request.email,
        "client_reference_id": str(request.uuid),
        "metadata": {"wcb_request": str(request.uuid), "wcb_attempt": str(n)},
        # Joined by hand: quoting would spoil the braces that Stripe fills in.
        "success_url": payment_link(request, "return") + "?session_id={CHECKOUT_SESSION_ID}",
        "cancel_url": request.cancel_url,
        "expires_at": int(ends_at.timestamp()),
        "locale": "auto",
        "adaptive_pricing": {"enabled": False},
    }
    about = {
        "description": f"{request.number} {title}"[:500],
        "metadata": {"wcb_request": str(request.uuid)},
    }
    if request.is_recurring:
        params["subscription_data"] = about
    else:
        params |= {"customer_creation": "if_required", "payment_intent_data": about}
    if len(consent) <= MAX_CONSENT:
        params["custom_text"] = {"submit": {"message": consent}}
    return params


def create(api: Api, attempt: CheckoutAttempt) -> dict[str, Any]:
    """Creates the attempt's session, or finds it again: same parameters, same key."""
    params = _in_order(attempt.params)
    options = {"idempotency_key": attempt.idempotency_key}
    return api.call(lambda client: client.v1.checkout.sessions.create(params, options))


def retrieve(api: Api, session_id: str) -> dict[str, Any]:
    """The session with its PaymentIntent and charge, as far as the key may read these."""
    expand = {"expand": ["payment_intent.latest_charge"]}
    try:
        return api.call(lambda client: client.v1.checkout.sessions.retrieve(session_id, expand))
    except StripeRefused as error:
        if not error.missing_right:
            raise
    return api.call(lambda client: client.v1.checkout.sessions.retrieve(session_id))


def expire(api: Api, session_id: str) -> dict[str, Any]:
    """Ends an open session. Raises ``StripeRefused`` when it is not open (any more)."""
    return api.call(lambda client: client.v1.checkout.sessions.expire(session_id))


def pinned_url(session: dict[str, Any]) -> str:
    """The session's address, if it is on a host that may be trusted with the client.

    Raises ``StripeRefused`` otherwise.
    """
    return trusted_url(session.get("url") or "", billing_settings.CHECKOUT_HOSTS)


def trusted_url(url: str, hosts: list[str] | None = None) -> str:
    """An address that Stripe's API gave us for the client; ``hosts`` pins it to these.

    Raises ``StripeRefused`` where it is none that may be trusted.
    """
    parts = urlsplit(url)
    base = billing_settings.STRIPE_API_BASE
    if hosts is not None:
        trusted = parts.scheme == "https" and parts.hostname in hosts
    elif base:
        trusted = parts.scheme in ("http", "https") and parts.netloc == urlsplit(base).netloc
    else:
        trusted = parts.scheme == "https"
    if not trusted or not parts.hostname:
        raise StripeRefused(_("The address of the payment page is not one of Stripe's."))
    return url


def mismatch(attempt: CheckoutAttempt, session: dict[str, Any]) -> dict[str, Any]:
    """What differs between a session and the attempt that asked for it; empty when nothing."""
    metadata = session.get("metadata") or {}
    expected = {
        "livemode": attempt.livemode,
        "currency": attempt.currency.lower(),
        "amount_total": attempt.amount_minor,
        "wcb_request": str(attempt.request.uuid),
    }
    found = {
        "livemode": session.get("livemode"),
        "currency": session.get("currency"),
        "amount_total": session.get("amount_total"),
        "wcb_request": metadata.get("wcb_request"),
    }
    return {
        name: {"expected": expected[name], "found": found[name]}
        for name in expected
        if expected[name] != found[name]
    }


def payment_facts(attempt: CheckoutAttempt, session: dict[str, Any]) -> PaymentFacts:
    """Who paid what with which card, from a paid session."""
    means = paid_by(session.get("payment_intent"))
    return PaymentFacts(
        source=means["intent_id"] or attempt.session_id or "",
        amount_minor=session["amount_total"],
        currency=(session.get("currency") or "").upper(),
        **means,
    )


def intent_status(session: dict[str, Any]) -> str:
    """The status of the session's PaymentIntent, or an empty string when it was not read."""
    intent = session.get("payment_intent")
    return intent.get("status") or "" if isinstance(intent, dict) else ""


def intent_id(session: dict[str, Any]) -> str:
    """The id of the session's PaymentIntent, if it has one."""
    return id_of(session.get("payment_intent"))


def _in_markdown(url: str) -> str:
    return quote(url, safe=":/?#[]@!$&'*+,;=%~-._")


def _in_order(value: Any) -> Any:
    # PostgreSQL's jsonb forgets the order of keys; a repetition must send the same bytes.
    if isinstance(value, dict):
        return {key: _in_order(value[key]) for key in sorted(value)}
    if isinstance(value, list):
        return [_in_order(item) for item in value]
    return value
