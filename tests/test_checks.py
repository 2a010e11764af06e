"""Each check, in a project where it has something to say."""

import types

import django
import pytest
from cryptography.fernet import Fernet
from django.core.checks import run_checks
from django.test import override_settings
from django.urls import include, path

from wagtail_client_billing.checks import TAG

SQLITE = {
    "ENGINE": "django.db.backends.sqlite3",
    "NAME": "x.sqlite3",
    "OPTIONS": {
        "transaction_mode": "IMMEDIATE",
        "init_command": "PRAGMA journal_mode=WAL;",
        "timeout": 20,
    },
}
CLUSTER = {"orm": "default", "timeout": 60, "retry": 120}


def ids(deploy=False):
    found = run_checks(tags=[TAG], include_deployment_checks=deploy)
    return {each.id.removeprefix(f"{TAG}.") for each in found}


def ours(**more):
    from django.conf import settings

    return override_settings(WAGTAIL_CLIENT_BILLING={**settings.WAGTAIL_CLIENT_BILLING, **more})


@pytest.fixture(autouse=True)
def good_project(settings, monkeypatch):
    """Everything else is in order, whatever this run of the tests is on."""
    # Not by overriding the setting, of which Django warns.
    monkeypatch.setitem(settings.DATABASES, "default", SQLITE)
    settings.Q_CLUSTER = CLUSTER
    settings.WAGTAIL_CLIENT_BILLING = {
        **settings.WAGTAIL_CLIENT_BILLING,
        "ENCRYPTION_KEYS": [Fernet.generate_key().decode()],
    }


def test_a_good_project_hears_nothing():
    assert ids() == set()


def test_e001_unknown_key_is_named():
    with ours(LINK_LIFETIM=5):
        (found,) = run_checks(tags=[TAG])
    assert found.id == f"{TAG}.E001"
    assert "LINK_LIFETIM" in found.msg
    assert "LINK_LIFETIME" in found.hint


def test_e002_malformed_key_is_not_shown():
    with ours(ENCRYPTION_KEYS=["not-a-key"]):
        (found,) = run_checks(tags=[TAG])
    assert found.id == f"{TAG}.E002"
    assert "not-a-key" not in found.msg
    assert "entry 1" in found.msg


def test_w001_derived_key():
    with ours(ENCRYPTION_KEYS=[]):
        assert ids() == {"W001"}
        with override_settings(DEBUG=True):
            assert ids() == set()


def test_e003_wagtail_settings_missing(monkeypatch):
    is_missing(monkeypatch, "wagtail.contrib.settings")
    assert ids() == {"E003"}


def is_missing(monkeypatch, app):
    from django.apps import apps

    real = apps.is_installed
    monkeypatch.setattr(apps, "is_installed", lambda name: name != app and real(name))


def test_e004_sandbox_without_permission():
    with ours(SANDBOX=False):
        assert ids() == {"E004"}
        with override_settings(DEBUG=True):
            assert ids() == set()


def test_e005_trailing_slash():
    with ours(STRIPE_API_BASE="http://localhost:8000/sandbox/stripe/"):
        assert ids() == {"E005"}
    with ours(STRIPE_API_BASE=None):
        assert ids() == set()


@pytest.mark.parametrize("given", ["nonsense", "10.0.0.0/99", ""])
def test_e006_trusted_proxies(given):
    with ours(TRUSTED_PROXIES=["10.0.0.0/8", given]):
        assert ids() == {"E006"}
    with ours(TRUSTED_PROXIES=["10.0.0.1", "10.0.0.0/8", "::1"]):
        assert ids() == set()


KEYS = {"secret_key": "sk_test_0123456789", "client_id": "ca_1"}


@pytest.mark.parametrize("flows", [["carrier_pigeon"], [], "restricted_key", None, [["oauth"]]])
def test_e007_unknown_flow(flows):
    with ours(CONNECT_FLOWS=flows):
        assert ids() == {"E007"}


@pytest.mark.parametrize(
    ("flow", "platform"),
    [
        ("connect", {}),
        ("connect", {"test": {"client_id": "ca_1"}}),
        ("oauth", {"test": {"secret_key": "sk_test_0123456789"}}),
        # Each half in another mode is no platform.
        ("oauth", {"test": {"secret_key": "sk_test_0123456789"}, "live": {"client_id": "ca_1"}}),
    ],
)
def test_e008_flow_without_a_platform(flow, platform):
    with ours(CONNECT_FLOWS=["restricted_key", flow], PLATFORM=platform):
        assert ids() == {"E008"}
        with ours(CONNECT_FLOWS=[flow], PLATFORM={"test": KEYS}):
            assert ids() == set()


@pytest.mark.parametrize(
    ("platform", "id"),
    [
        ([], "E010"),
        ({"staging": KEYS}, "E010"),
        ({"test": "sk_test_0123456789"}, "E010"),
        ({"test": {**KEYS, "publishable_key": "pk_test_1"}}, "E010"),
        ({"test": {**KEYS, "secret_key": "pk_test_0123456789"}}, "E010"),
        ({"test": {**KEYS, "secret_key": 5}}, "E010"),
        ({"test": {**KEYS, "client_id": "acct_1"}}, "E010"),
        ({"test": {**KEYS, "webhook_secrets": "whsec_1"}}, "E010"),
        ({"test": {**KEYS, "webhook_secrets": ["secret"]}}, "E010"),
        ({"live": KEYS}, "E011"),
        ({"test": {**KEYS, "secret_key": "rk_live_0123456789"}}, "E011"),
    ],
)
def test_e010_and_e011_platform(platform, id):
    with ours(PLATFORM=platform):
        assert ids() == {id}
        told = " ".join(f"{each.msg} {each.hint}" for each in run_checks(tags=[TAG]))
    assert "0123456789" not in told
    with ours(PLATFORM={"test": {**KEYS, "webhook_secrets": ["whsec_1"]}, "live": {}}):
        assert ids() == set()


@pytest.mark.parametrize("gate", ["nowhere.gate", "tests.test_checks.TAG", "tests.test_checks.no"])
def test_e009_access_check_that_cannot_be_asked(gate):
    with ours(ACCESS_CHECK=gate):
        assert ids() == {"E009"}
    with ours(ACCESS_CHECK="tests.test_checks.ids"):
        assert ids() == set()


@pytest.mark.parametrize("setting", ["SECURE_CSP", "CONTENT_SECURITY_POLICY", "CSP_FORM_ACTION"])
def test_w013_form_action_on_the_way_to_connect(setting):
    def policy(*sources):
        if setting == "CSP_FORM_ACTION":
            return override_settings(**{setting: sources})
        directives = {"form-action": list(sources)}
        django_csp = setting == "CONTENT_SECURITY_POLICY"
        return override_settings(
            **{setting: {"DIRECTIVES": directives} if django_csp else directives}
        )

    with policy("'self'"):
        assert ids() == set()
        with ours(CONNECT_FLOWS=["connect"], PLATFORM={"test": KEYS}):
            assert ids() == {"W013"}
    with (
        policy("'self'", "https://connect.stripe.com"),
        ours(CONNECT_FLOWS=["connect"], PLATFORM={"test": KEYS}),
    ):
        assert ids() == set()


def test_w014_no_address_of_its_own():
    with override_settings(WAGTAILADMIN_BASE_URL=None):
        assert ids() == {"W014"}


def test_w006_no_django_q(monkeypatch):
    is_missing(monkeypatch, "django_q")
    assert ids() == {"W006"}


@override_settings(Q_CLUSTER=None)
def test_w007_no_cluster():
    assert ids() == {"W007"}


@pytest.mark.parametrize(
    "cluster",
    [{"timeout": 60, "retry": 60}, {"timeout": 90, "retry": 60}, {"timeout": 60}, {"retry": 60}],
)
def test_w008_retry_before_timeout(cluster):
    with override_settings(Q_CLUSTER={"orm": "default", **cluster}):
        assert ids() == {"W008"}


@pytest.mark.parametrize(
    "options",
    [
        {},
        {**SQLITE["OPTIONS"], "transaction_mode": "DEFERRED"},
        {**SQLITE["OPTIONS"], "init_command": "PRAGMA synchronous=NORMAL;"},
        {**SQLITE["OPTIONS"], "timeout": 5},
    ],
)
def test_w009_sqlite_as_it_comes(options, settings, monkeypatch):
    monkeypatch.setitem(settings.DATABASES, "default", {**SQLITE, "OPTIONS": options})
    assert ids() == {"W009"}
    postgres = {"ENGINE": "django.db.backends.postgresql", "NAME": "x"}
    monkeypatch.setitem(settings.DATABASES, "default", postgres)
    assert ids() == set()


@pytest.mark.parametrize(("timeout", "expected"), [(None, {"W010"}), (10, set())])
def test_w010_mail_without_a_timeout(timeout, expected):
    backend = "django.core.mail.backends.smtp.EmailBackend"
    if django.VERSION >= (6, 1):
        options = {"host": "localhost", "timeout": timeout}
        changed = {"MAILERS": {"default": {"BACKEND": backend, "OPTIONS": options}}}
    else:
        changed = {"EMAIL_BACKEND": backend, "EMAIL_TIMEOUT": timeout}
    with override_settings(**changed):
        assert ids() == expected


# --- URLs -----------------------------------------------------------------------------------


def catch_all(request, anything):
    raise AssertionError


def urlconf(*patterns):
    module = types.ModuleType("urlconf_of_a_project")
    module.urlpatterns = list(patterns)
    return override_settings(ROOT_URLCONF=module)


def billing():
    return include("wagtail_client_billing.urls")


def test_w002_not_included():
    with urlconf():
        assert ids() == {"W002"}


def test_w002_included_further_down_is_fine():
    with urlconf(path("shop/", include([path("billing/", billing())]))):
        assert ids() == set()


def test_w003_included_twice():
    with urlconf(path("billing/", billing()), path("bills/", billing())):
        assert ids() == {"W003"}


def test_w004_behind_i18n_patterns():
    from django.conf.urls.i18n import i18n_patterns

    with urlconf(*i18n_patterns(path("billing/", billing()))):
        assert ids() == {"W004"}


def test_w005_behind_wagtail():
    from wagtail import urls as wagtail_urls

    with urlconf(path("", include(wagtail_urls)), path("billing/", billing())):
        assert ids() == {"W005"}
    with urlconf(path("billing/", billing()), path("", include(wagtail_urls))):
        assert ids() == set()


# --- Deployment -----------------------------------------------------------------------------

GOOD = {
    "WAGTAILADMIN_BASE_URL": "https://www.example.com",
    "CACHES": {"default": {"BACKEND": "django.core.cache.backends.db.DatabaseCache"}},
}


@pytest.mark.parametrize("backend", ["locmem.LocMemCache", "dummy.DummyCache"])
def test_w011_cache_of_one_process(backend):
    with override_settings(**GOOD):
        assert ids(deploy=True) == set()
        caches = {"default": {"BACKEND": f"django.core.cache.backends.{backend}"}}
        with override_settings(CACHES=caches):
            assert ids(deploy=True) == {"W011"}
            assert ids() == set()


@pytest.mark.parametrize("base", ["http://www.example.com", "", None])
def test_w012_no_https(base):
    with override_settings(**{**GOOD, "WAGTAILADMIN_BASE_URL": base}):
        unset = set() if base else {"W014"}
        assert ids(deploy=True) == {"W012"} | unset
        assert ids() == unset
        with ours(WEBHOOK_BASE_URL="https://hooks.example.com"):
            assert ids(deploy=True) == unset
