"""The one settings dict, ``WAGTAIL_CLIENT_BILLING``, with its defaults.

Read a key as an attribute: ``billing_settings.LINK_LIFETIME``. Nothing is cached, so that
``override_settings`` works in tests.
"""

from datetime import timedelta
from typing import Any

from django.conf import settings

SETTING = "WAGTAIL_CLIENT_BILLING"

DEFAULTS: dict[str, Any] = {
    # Which ways of connecting a Stripe account are offered.
    "CONNECT_FLOWS": ["restricted_key"],
    # The operator's Connect platform: {"test": {...}, "live": {...}}, each with secret_key,
    # client_id and, where its endpoint was made by hand, webhook_secrets.
    "PLATFORM": {},
    # Another server that speaks Stripe's API (the sandbox, a test server); None is Stripe.
    "STRIPE_API_BASE": None,
    # Where "Open in Stripe" links lead; None is Stripe's dashboard.
    "STRIPE_DASHBOARD_BASE": None,
    # Hosts that a Checkout URL may have; None is the https URL that the API returned.
    "CHECKOUT_HOSTS": None,
    # Where Stripe reaches this installation; None is WAGTAILADMIN_BASE_URL.
    "WEBHOOK_BASE_URL": None,
    # How long a payment link can be paid: a timedelta, or seconds.
    "LINK_LIFETIME": timedelta(hours=24),
    # Fernet keys, newest first; empty derives one from SECRET_KEY.
    "ENCRYPTION_KEYS": [],
    # Dotted path of a callable, user -> bool: may this user have client billing at all?
    "ACCESS_CHECK": None,
    # Whether unrestricted live secret keys (sk_live_) are accepted.
    "ALLOW_SECRET_KEYS": False,
    # Hosts that success and cancel URLs may have; None is any.
    "REDIRECT_HOSTS": None,
    # Ports that custom SMTP may use.
    "SMTP_PORTS": [25, 465, 587, 2525],
    # Whether custom SMTP may reach private addresses.
    "SMTP_ALLOW_PRIVATE_NETWORKS": False,
    # Addresses of reverse proxies whose X-Forwarded-For is believed.
    "TRUSTED_PROXIES": [],
    # Allows the sandbox app without DEBUG.
    "SANDBOX": False,
    # Where the sandbox keeps its books.
    "SANDBOX_FILE": None,
}


class BillingSettings:
    """Attribute access to ``WAGTAIL_CLIENT_BILLING`` over ``DEFAULTS``."""

    def __getattr__(self, name: str) -> Any:
        if name not in DEFAULTS:
            raise AttributeError(f"{SETTING} has no key {name!r}")
        return self.given.get(name, DEFAULTS[name])

    @property
    def given(self) -> dict[str, Any]:
        """What the project set, as it is."""
        return getattr(settings, SETTING, None) or {}

    def platform(self, livemode: bool) -> dict[str, Any]:
        """The operator's Connect platform in a mode; empty where it has no keys."""
        modes = self.PLATFORM if isinstance(self.PLATFORM, dict) else {}
        found = modes.get("live" if livemode else "test")
        return found if isinstance(found, dict) else {}

    @property
    def link_lifetime(self) -> timedelta:
        """``LINK_LIFETIME`` as a timedelta, whichever way it was given."""
        value = self.LINK_LIFETIME
        return value if isinstance(value, timedelta) else timedelta(seconds=float(value))

    @property
    def webhook_base_url(self) -> str:
        """Where Stripe reaches this installation, without a trailing slash; may be empty."""
        base = self.WEBHOOK_BASE_URL or getattr(settings, "WAGTAILADMIN_BASE_URL", "") or ""
        return str(base).rstrip("/")


billing_settings = BillingSettings()
