"""Settings of the demo: an agency with two client sites, one machine, nothing to set up.

Environment: ``PORT``; ``DATABASE_URL`` (instead of SQLite); ``REDIS_URL`` (as Django-Q's broker
and the cache); ``WCB_VAR`` (folder of databases and logs); ``WCB_SMTP_PORT``; ``LINK_LIFETIME``
(seconds); ``ATOMIC_REQUESTS=1``.
"""

import os
from importlib.util import find_spec
from pathlib import Path

import django

BASE_DIR = Path(__file__).resolve().parent.parent
VAR = Path(os.environ.get("WCB_VAR") or BASE_DIR / "var")
VAR.mkdir(parents=True, exist_ok=True)
PORT = int(os.environ.get("PORT") or 8000)

SECRET_KEY = "the-demo-runs-on-this-machine-only-so-this-is-not-a-secret-2026"
DEBUG = True
ALLOWED_HOSTS = ["localhost", ".localhost", "127.0.0.1", "[::1]"]

INSTALLED_APPS = [
    "example_project.home",
    "wagtail_client_billing.sandbox",
    "wagtail_client_billing",
    "django_q",
    "wagtail.contrib.settings",
    "wagtail.embeds",
    "wagtail.sites",
    "wagtail.users",
    "wagtail.snippets",
    "wagtail.documents",
    "wagtail.images",
    "wagtail.search",
    "wagtail.admin",
    "wagtail",
    "modelcluster",
    "taggit",
    "django_filters",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

# As strict as it gets, so that whatever the app would need beyond it shows here first.
if django.VERSION >= (6, 0):
    MIDDLEWARE.insert(1, "django.middleware.csp.ContentSecurityPolicyMiddleware")
    SECURE_CSP = {"default-src": ["'self'"]}
elif find_spec("csp"):
    MIDDLEWARE.insert(1, "csp.middleware.CSPMiddleware")
    CONTENT_SECURITY_POLICY = {"DIRECTIVES": {"default-src": ["'self'"]}}

ROOT_URLCONF = "example_project.urls"
WSGI_APPLICATION = "example_project.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "wagtail.contrib.settings.context_processors.settings",
            ],
        },
    },
]

if os.environ.get("DATABASE_URL"):
    import dj_database_url

    # Without a persistent connection or a pool, connecting takes most of a webhook's time.
    DATABASES = {"default": dj_database_url.config(conn_max_age=600, conn_health_checks=True)}
else:
    DATABASES = {
        "default": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": str(VAR / "demo.sqlite3"),
            "OPTIONS": {
                "transaction_mode": "IMMEDIATE",
                "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
                "timeout": 20,
            },
        }
    }
DATABASES["default"]["ATOMIC_REQUESTS"] = os.environ.get("ATOMIC_REQUESTS") == "1"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

Q_CLUSTER = {
    "name": "client-billing",
    "workers": 2,
    "timeout": 60,
    "retry": 120,
    "max_attempts": 1,
    "ack_failures": True,
    "catch_up": False,
    "save_limit": 250,
    "recycle": 500,
}
if os.environ.get("REDIS_URL"):
    Q_CLUSTER["redis"] = os.environ["REDIS_URL"]
    CACHES = {
        "default": {
            "BACKEND": "django.core.cache.backends.redis.RedisCache",
            "LOCATION": os.environ["REDIS_URL"],
            "KEY_PREFIX": "client-billing",
        }
    }
else:
    Q_CLUSTER["orm"] = "default"

# The sandbox's own mail server; what it receives is shown at /sandbox/inbox/.
SMTP = {"host": "127.0.0.1", "port": int(os.environ.get("WCB_SMTP_PORT") or 2525), "timeout": 10}
if django.VERSION >= (6, 1):
    MAILERS = {
        "default": {"BACKEND": "django.core.mail.backends.smtp.EmailBackend", "OPTIONS": SMTP}
    }
else:
    EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    EMAIL_HOST, EMAIL_PORT, EMAIL_TIMEOUT = SMTP["host"], SMTP["port"], SMTP["timeout"]
DEFAULT_FROM_EMAIL = "Northlight Studio <billing@northlight.example>"

# As Wagtail recommends: the form of a group has a box for each right on each site.
DATA_UPLOAD_MAX_NUMBER_FIELDS = 10_000

AUTH_PASSWORD_VALIDATORS: list[dict[str, str]] = []

LANGUAGE_CODE = "en"
LANGUAGES = [("en", "English"), ("fr", "Français")]
WAGTAILADMIN_PERMITTED_LANGUAGES = LANGUAGES
USE_I18N = True
USE_TZ = True
TIME_ZONE = "UTC"

STATIC_URL = "/static/"
STATIC_ROOT = VAR / "static"
MEDIA_URL = "/media/"
MEDIA_ROOT = VAR / "media"

WAGTAIL_SITE_NAME = "Northlight Studio"
WAGTAILADMIN_BASE_URL = f"http://localhost:{PORT}"
# Otherwise the admin asks wagtail.org and gravatar.com.
WAGTAIL_ENABLE_UPDATE_CHECK = False
WAGTAIL_GRAVATAR_PROVIDER_URL = None

WAGTAIL_CLIENT_BILLING: dict[str, object] = {
    "SANDBOX": True,
    "SANDBOX_FILE": str(VAR / "sandbox.sqlite3"),
    # So that custom SMTP can be tried with the sandbox's own mail server.
    "SMTP_ALLOW_PRIVATE_NETWORKS": True,
    "SMTP_PORTS": [25, 465, 587, SMTP["port"]],
    "STRIPE_API_BASE": f"http://localhost:{PORT}/sandbox/stripe",
    "STRIPE_DASHBOARD_BASE": f"http://localhost:{PORT}/sandbox/dashboard",
    # All three ways to connect, in test mode. The sandbox takes every key for a platform's.
    "CONNECT_FLOWS": ["restricted_key", "connect", "oauth"],
    "PLATFORM": {"test": {"secret_key": "sk_test_demoPlatform", "client_id": "ca_test_demo"}},
}
if os.environ.get("LINK_LIFETIME"):
    WAGTAIL_CLIENT_BILLING["LINK_LIFETIME"] = int(os.environ["LINK_LIFETIME"])

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s: %(message)s"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": "WARNING"},
    "loggers": {"wagtail_client_billing": {"level": "INFO"}},
}
