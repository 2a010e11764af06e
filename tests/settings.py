"""Settings of the test suite, on every supported Django and Wagtail.

``DATABASE_URL`` chooses another database than SQLite, ``WCB_ATOMIC_REQUESTS=1`` puts every
request into a transaction. Each run has a database of its own, so that two may run at once.
"""

import os
import tempfile
from importlib.util import find_spec
from pathlib import Path

import django

BASE_DIR = Path(__file__).resolve().parent.parent
RUN = f"wcb_{os.getpid()}"
SCRATCH = Path(tempfile.gettempdir())

SECRET_KEY = "only-for-tests-and-long-enough-to-satisfy-the-deployment-check-of-django"
DEBUG = False
ALLOWED_HOSTS = ["*"]

INSTALLED_APPS = [
    "example_project.home",
    *(
        ["wagtail_client_billing.sandbox"]
        if find_spec("wagtail_client_billing.sandbox") is not None
        else []
    ),
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
    # Wagtail's search fields are checked against it when PostgreSQL is the database.
    *(
        ["django.contrib.postgres"]
        if os.environ.get("DATABASE_URL", "").startswith("postgres")
        else []
    ),
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
]

# The sandbox wrapper that holds every exchange against Stripe's description of its API.
VALIDATION = ["tests.exchanges.ValidateExchanges"] if find_spec("tests.exchanges") else []

if django.VERSION >= (6, 0):
    CSP_MIDDLEWARE = "django.middleware.csp.ContentSecurityPolicyMiddleware"
    SECURE_CSP = {"default-src": ["'self'"]}
else:
    CSP_MIDDLEWARE = "csp.middleware.CSPMiddleware"
    CONTENT_SECURITY_POLICY = {"DIRECTIVES": {"default-src": ["'self'"]}}

MIDDLEWARE = [
    *VALIDATION,
    "django.middleware.security.SecurityMiddleware",
    CSP_MIDDLEWARE,
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

ROOT_URLCONF = "tests.urls"
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

    DATABASES = {"default": dj_database_url.config()}
    DATABASES["default"]["TEST"] = {"NAME": f"test_{RUN}"}
else:
    DATABASES = {
        "default": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": str(SCRATCH / f"{RUN}.sqlite3"),
            "OPTIONS": {
                "transaction_mode": "IMMEDIATE",
                "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
                "timeout": 20,
            },
            # A file: threads with connections of their own would not see one in memory.
            "TEST": {"NAME": str(SCRATCH / f"test_{RUN}.sqlite3")},
        }
    }
DATABASES["default"]["ATOMIC_REQUESTS"] = os.environ.get("WCB_ATOMIC_REQUESTS") == "1"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

Q_CLUSTER = {
    "name": "tests",
    "orm": "default",
    "workers": 1,
    "timeout": 60,
    "retry": 120,
    "max_attempts": 1,
    "ack_failures": True,
    "catch_up": False,
    "save_limit": 250,
    "recycle": 500,
}

if django.VERSION >= (6, 1):
    MAILERS = {"default": {"BACKEND": "django.core.mail.backends.locmem.EmailBackend"}}
else:
    EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
DEFAULT_FROM_EMAIL = "agency@example.com"

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]

LANGUAGE_CODE = "en"
LANGUAGES = [("en", "English"), ("fr", "Français")]
USE_I18N = True
USE_TZ = True
TIME_ZONE = "UTC"

STATIC_URL = "/static/"
MEDIA_URL = "/media/"
MEDIA_ROOT = SCRATCH / f"{RUN}_media"

WAGTAIL_SITE_NAME = "Tests"
# No test searches for a page.
WAGTAILSEARCH_BACKENDS = {
    "default": {"BACKEND": "wagtail.search.backends.database", "AUTO_UPDATE": False}
}
WAGTAILADMIN_BASE_URL = "http://localhost:8000"
# Otherwise the admin asks wagtail.org and gravatar.com.
WAGTAIL_ENABLE_UPDATE_CHECK = False
WAGTAIL_GRAVATAR_PROVIDER_URL = None

WAGTAIL_CLIENT_BILLING = {
    "SANDBOX": True,
    # Nobody listens there; tests that speak to the sandbox name their own server.
    "STRIPE_API_BASE": "http://127.0.0.1:9/sandbox/stripe",
    "SANDBOX_FILE": str(SCRATCH / f"{RUN}_sandbox.sqlite3"),
}
