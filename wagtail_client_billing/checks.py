"""System checks. Numbers are never used again for something else.

Errors are what cannot work; warnings name what will fail one day, or is unsafe.
"""

import ipaddress
import re
import warnings
from collections.abc import Iterable, Iterator
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register
from django.urls import NoReverseMatch, Resolver404, URLResolver, get_resolver, resolve, reverse
from django.urls.resolvers import LocalePrefixPattern
from django.utils.module_loading import import_string

from .conf import DEFAULTS, SETTING, billing_settings
from .sealing import BadEncryptionKey, cipher

TAG = "wagtail_client_billing"
URLS = "client_billing"
SMTP_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
# The ways of connecting an account, and what each needs of PLATFORM.
FLOWS: dict[str, tuple[str, ...]] = {
    "restricted_key": (),
    "connect": ("secret_key",),
    "oauth": ("secret_key", "client_id"),
}
STRIPE_SOURCES = {"*", "https:", "https://connect.stripe.com", "https://*.stripe.com"}
LOCAL_CACHES = ("locmem.LocMemCache", "dummy.DummyCache")


def _error(number: int, message: str, hint: str) -> Error:
    return Error(message, hint=hint, id=f"{TAG}.E{number:03}")


def _warning(number: int, message: str, hint: str) -> Warning:
    return Warning(message, hint=hint, id=f"{TAG}.W{number:03}")


# --- Our own settings -----------------------------------------------------------------------


@register(TAG)
def check_keys(**kwargs: Any) -> list[CheckMessage]:
    """E001: a key that nobody reads is a typing error, and its default is in force."""
    return [
        _error(1, f"{SETTING} has an unknown key {key!r}.", f"Known are: {', '.join(DEFAULTS)}.")
        for key in billing_settings.given
        if key not in DEFAULTS
    ]


@register(TAG)
def check_encryption(**kwargs: Any) -> list[CheckMessage]:
    """E002: a key that is no key. W001: secrets depend on SECRET_KEY."""
    try:
        cipher()
    except BadEncryptionKey as error:
        hint = "Make one with: python -c 'from cryptography.fernet import Fernet; "
        return [_error(2, f"{error}.", hint + "print(Fernet.generate_key().decode())'")]
    if billing_settings.ENCRYPTION_KEYS or settings.DEBUG:
        return []
    return [
        _warning(
            1,
            "Stripe keys are encrypted with a key derived from SECRET_KEY.",
            "Set ENCRYPTION_KEYS: otherwise a new SECRET_KEY, without the old one in "
            "SECRET_KEY_FALLBACKS, makes them unreadable.",
        )
    ]


@register(TAG)
def check_stripe_api_base(**kwargs: Any) -> list[CheckMessage]:
    """E005: the SDK appends paths that begin with a slash."""
    base = billing_settings.STRIPE_API_BASE
    if base and str(base).endswith("/"):
        return [_error(5, "STRIPE_API_BASE ends in a slash.", "Leave the slash out.")]
    return []


@register(TAG)
def check_access_check(**kwargs: Any) -> list[CheckMessage]:
    """E009: a gate that cannot be asked would be an error on every page of the admin."""
    path = billing_settings.ACCESS_CHECK
    if not path:
        return []
    try:
        found = import_string(path)
    except (ImportError, AttributeError, TypeError):
        return [_error(9, f"ACCESS_CHECK cannot be imported: {path!r}.", "Correct its path.")]
    if not callable(found):
        hint = "Name a function that takes a user and returns True or False."
        return [_error(9, f"ACCESS_CHECK cannot be called: {path!r}.", hint)]
    return []


@register(TAG)
def check_trusted_proxies(**kwargs: Any) -> list[CheckMessage]:
    """E006: an address that cannot be read would fail on every payment."""
    found: list[CheckMessage] = []
    for each in billing_settings.TRUSTED_PROXIES:
        try:
            ipaddress.ip_network(each, strict=False)
        except ValueError:
            hint = "Give addresses or networks, such as 10.0.0.0/8."
            found.append(_error(6, f"TRUSTED_PROXIES: {each!r} is no address.", hint))
    return found


@register(TAG)
def check_sandbox(**kwargs: Any) -> list[CheckMessage]:
    """E004: a stand-in that takes every key must not run where money is real."""
    installed = apps.is_installed("wagtail_client_billing.sandbox")
    if not installed or settings.DEBUG or billing_settings.SANDBOX:
        return []
    return [
        _error(
            4,
            "The sandbox is installed without DEBUG.",
            f"Take it out of INSTALLED_APPS, or set SANDBOX to True in {SETTING}.",
        )
    ]


@register(TAG)
def check_form_action(**kwargs: Any) -> list[CheckMessage]:
    """W013: browsers hold the redirect to Stripe's onboarding against the page's form-action."""
    flows = billing_settings.CONNECT_FLOWS
    if not isinstance(flows, list | tuple) or not ("connect" in flows or "oauth" in flows):
        return []
    for sources in _form_actions():
        if not STRIPE_SOURCES & {str(source).rstrip("/") for source in sources}:
            message = "The Content-Security-Policy stops the way from Connect to Stripe."
            hint = "Add https://connect.stripe.com to its form-action."
            return [_warning(13, message, hint)]
    return []


def _form_actions() -> Iterator[Iterable[Any]]:
    """The sources of form-action in the policies of Django and of django-csp, old and new."""
    policy = getattr(settings, "SECURE_CSP", None) or {}
    package = (getattr(settings, "CONTENT_SECURITY_POLICY", None) or {}).get("DIRECTIVES") or {}
    old = getattr(settings, "CSP_FORM_ACTION", None)
    for sources in (policy.get("form-action"), package.get("form-action"), old):
        if sources:
            yield [sources] if isinstance(sources, str) else sources


@register(TAG)
def check_own_address(**kwargs: Any) -> list[CheckMessage]:
    """W014: without an address a copy of production is not recognised."""
    if getattr(settings, "WAGTAILADMIN_BASE_URL", None):
        return []
    hint = "Set it to the address of the Wagtail admin: e-mails and Stripe name it too."
    message = "WAGTAILADMIN_BASE_URL is not set: a copy of production would mail and charge."
    return [_warning(14, message, hint)]


@register(TAG)
def check_flows(**kwargs: Any) -> list[CheckMessage]:
    """E007: a way to connect that there is not. E008: one that needs the platform's keys."""
    flows = billing_settings.CONNECT_FLOWS
    if not isinstance(flows, list | tuple) or not flows:
        hint = 'Give a list, such as ["restricted_key"].'
        return [_error(7, "CONNECT_FLOWS is not a list with at least one flow.", hint)]
    found: list[CheckMessage] = []
    for flow in flows:
        if not isinstance(flow, str) or flow not in FLOWS:
            hint = f"Known are: {', '.join(FLOWS)}."
            found.append(_error(7, f"CONNECT_FLOWS: {flow!r} is no way to connect.", hint))
            continue
        needed = FLOWS[flow]
        modes = [billing_settings.platform(livemode) for livemode in (False, True)]
        if not any(all(mode.get(name) for name in needed) for mode in modes):
            hint = f"Set {' and '.join(needed)} for test, live or both in PLATFORM."
            found.append(_error(8, f"CONNECT_FLOWS: {flow!r} has no platform.", hint))
    return found


@register(TAG)
def check_platform(**kwargs: Any) -> list[CheckMessage]:
    """E010: PLATFORM cannot be read so. E011: a key of the other mode. Never shows a key."""
    given = billing_settings.PLATFORM
    shape = 'It looks like {"test": {"secret_key": …, "client_id": …, "webhook_secrets": […]}}.'
    if not isinstance(given, dict):
        return [_error(10, "PLATFORM is not a dict.", shape)]
    found: list[CheckMessage] = []
    for mode, keys in given.items():
        if mode not in ("test", "live") or not isinstance(keys, dict):
            found.append(_error(10, f"PLATFORM: {mode!r} is not test or live with a dict.", shape))
            continue
        unknown = sorted(set(keys) - {"secret_key", "client_id", "webhook_secrets"})
        if unknown:
            found.append(_error(10, f"PLATFORM: {mode} has unknown keys {unknown}.", shape))
        secrets = keys.get("webhook_secrets") or []
        if not isinstance(secrets, list | tuple) or not all(
            isinstance(secret, str) and secret.startswith("whsec_") for secret in secrets
        ):
            hint = "A list of signing secrets, each of which begins with whsec_."
            found.append(_error(10, f"PLATFORM: webhook_secrets of {mode} are none.", hint))
        client_id = keys.get("client_id") or "ca_"
        if not isinstance(client_id, str) or not client_id.startswith("ca_"):
            hint = "It begins with ca_ and stands in Stripe's Connect settings."
            found.append(_error(10, f"PLATFORM: client_id of {mode} is none.", hint))
        secret = keys.get("secret_key") or ""
        kind = (
            re.match(r"(?:sk|rk)_(test|live)_\w{8,}$", secret) if isinstance(secret, str) else None
        )
        if secret and kind is None:
            hint = f"It begins with sk_{mode}_ or rk_{mode}_."
            found.append(_error(10, f"PLATFORM: secret_key of {mode} is none.", hint))
        elif kind is not None and kind[1] != mode:
            hint = f"Put it under {kind[1]}."
            found.append(_error(11, f"PLATFORM: secret_key of {mode} is for {kind[1]} mode.", hint))
    return found


# --- What has to be around us ---------------------------------------------------------------


@register(TAG)
def check_apps(**kwargs: Any) -> list[CheckMessage]:
    """E003: our settings pages need Wagtail's app. W006, W007, W008: the worker."""
    found: list[CheckMessage] = []
    if not apps.is_installed("wagtail.contrib.settings"):
        hint = 'Add "wagtail.contrib.settings" to INSTALLED_APPS.'
        found.append(_error(3, "wagtail.contrib.settings is not installed.", hint))
    cron = "Or run client_billing_sweep every minute, and silence this check."
    if not apps.is_installed("django_q"):
        hint = f'Add "django_q" to INSTALLED_APPS. {cron}'
        return [*found, _warning(6, "django_q is not installed: no worker sends mail.", hint)]
    cluster = getattr(settings, "Q_CLUSTER", None)
    if not cluster:
        hint = f"Without it Django-Q looks for Redis on this machine. {cron}"
        return [*found, _warning(7, "Q_CLUSTER is not set.", hint)]
    timeout, retry = cluster.get("timeout"), cluster.get("retry", 60)
    if not timeout or timeout >= retry:
        hint = "We recommend a timeout of 60 and a retry of 120 seconds."
        message = "Q_CLUSTER: retry is not longer than timeout, so that tasks run twice."
        found.append(_warning(8, message, hint))
    return found


@register(TAG)
def check_database(**kwargs: Any) -> list[CheckMessage]:
    """W009: SQLite as Django sets it up fails as soon as two write at once."""
    database = settings.DATABASES.get("default", {})
    if not str(database.get("ENGINE", "")).endswith("sqlite3"):
        return []
    options = database.get("OPTIONS", {})
    wal = re.search(r"journal_mode\s*=\s*wal", str(options.get("init_command", "")), re.IGNORECASE)
    missing = []
    if str(options.get("transaction_mode", "")).upper() != "IMMEDIATE":
        missing.append('"transaction_mode": "IMMEDIATE"')
    if not wal:
        missing.append('"init_command": "PRAGMA journal_mode=WAL;"')
    if float(options.get("timeout", 5)) < 20:
        missing.append('"timeout": 20')
    if not missing:
        return []
    hint = f"Add to OPTIONS of the database: {', '.join(missing)}."
    return [_warning(9, "SQLite will answer 'database is locked' under load.", hint)]


@register(TAG)
def check_mail(**kwargs: Any) -> list[CheckMessage]:
    """W010: Django's mailer waits for ever unless it is told otherwise."""
    with warnings.catch_warnings():
        # Django 6.1 warns of the old settings by itself.
        warnings.simplefilter("ignore")
        mailers = getattr(settings, "MAILERS", None)
        if mailers is not None:
            mailer = mailers.get("default", {})
            backend = mailer.get("BACKEND", SMTP_BACKEND)
            timeout = mailer.get("OPTIONS", {}).get("timeout")
            hint = 'Set "timeout": 10 in OPTIONS of the default mailer.'
        else:
            backend, timeout = settings.EMAIL_BACKEND, settings.EMAIL_TIMEOUT
            hint = "Set EMAIL_TIMEOUT = 10."
    if backend != SMTP_BACKEND or timeout:
        return []
    return [_warning(10, "The mailer has no timeout: a silent mail server holds it up.", hint)]


# --- URLs -----------------------------------------------------------------------------------


@register(TAG)
def check_urls(**kwargs: Any) -> list[CheckMessage]:
    """W002 to W005: the payment pages are there once, at an address that stays the same."""
    if not getattr(settings, "ROOT_URLCONF", None):
        return []
    include = 'path("billing/", include("wagtail_client_billing.urls"))'
    places = list(_places(get_resolver()))
    if not places:
        return [
            _warning(
                2,
                "The URLs of the payment pages are not included.",
                f"Add to the URLconf, before wagtail_urls: {include}",
            )
        ]
    found: list[CheckMessage] = []
    if len(places) > 1:
        message = "The URLs of the payment pages are included more than once."
        found.append(_warning(3, message, "Include them once, so that links have one address."))
    if any(isinstance(pattern, LocalePrefixPattern) for place in places for pattern in place):
        message = "The URLs of the payment pages are inside of i18n_patterns."
        hint = "Move them out: Stripe does not follow the redirect to a language."
        found.append(_warning(4, message, hint))
    elif not _is_reached():
        message = "Other URLs take the addresses of the payment pages."
        hint = f"Put this before wagtail_urls: {include}"
        found.append(_warning(5, message, hint))
    return found


def _places(resolver: URLResolver, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """For every time that our URLs are included, the patterns on the way to them."""
    for each in resolver.url_patterns:
        if isinstance(each, URLResolver):
            way = (*above, each.pattern)
            if each.app_name == URLS:
                yield way
            else:
                yield from _places(each, way)


def _is_reached() -> bool:
    try:
        return resolve(reverse(f"{URLS}:pay", args=["x" * 43])).app_name == URLS
    except (NoReverseMatch, Resolver404):
        return False


# --- Only with --deploy ---------------------------------------------------------------------


@register(TAG, deploy=True)
def check_cache(**kwargs: Any) -> list[CheckMessage]:
    """W011: limits and wake-ups are counted in a cache that all processes share."""
    backend = str(settings.CACHES.get("default", {}).get("BACKEND", ""))
    if not backend.endswith(LOCAL_CACHES):
        return []
    hint = "Use Redis, Memcached or the database cache, so that rate limits hold."
    return [_warning(11, "The default cache is not shared between processes.", hint)]


@register(TAG, deploy=True)
def check_https(**kwargs: Any) -> list[CheckMessage]:
    """W012: Stripe delivers live events to https only."""
    if billing_settings.webhook_base_url.startswith("https://"):
        return []
    hint = "Set WAGTAILADMIN_BASE_URL, or WEBHOOK_BASE_URL, to an https address."
    return [_warning(12, "Stripe cannot reach this installation by https.", hint)]
