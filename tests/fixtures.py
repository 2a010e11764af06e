"""Two client sites, the people around them, connected accounts, and a maker of requests.

boss may do everything; alice may bill for site A; carol may open the admin and nothing else.
"""

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group, Permission
from django.test import Client
from wagtail.models import GroupSitePermission, Page, Site
from wagtail.signal_handlers import disable_reference_index_auto_update

from wagtail_client_billing import lifecycle, sealing
from wagtail_client_billing.models import BillingRequest, SiteBillingSettings, StripeConnection
from wagtail_client_billing.permissions import ACTIONS

TEST_KEY = "rk_test_51FakeKeyOfTheTests0000000001"
LIVE_KEY = "rk_live_51FakeKeyOfTheTests0000000002"


def grant(group, site, model, codename):
    """The right on one site."""
    permission = Permission.objects.get(
        content_type__app_label=model._meta.app_label, codename=codename
    )
    GroupSitePermission.objects.create(group=group, site=site, permission=permission)


def home_page(title, slug):
    from example_project.home.models import HomePage

    # No test asks what refers to a page, and the index costs more than the page.
    with disable_reference_index_auto_update():
        return Page.get_first_root_node().add_child(instance=HomePage(title=title, slug=slug))


@pytest.fixture
def site_a(db):
    Site.objects.filter(is_default_site=True).update(is_default_site=False)
    return Site.objects.create(
        hostname="a.example.com",
        port=443,
        site_name="Bakery A",
        root_page=home_page("Bakery A", "bakery-a"),
        is_default_site=True,
    )


@pytest.fixture
def site_b(site_a):
    return Site.objects.create(
        hostname="b.example.com",
        port=443,
        site_name="Lawyers B",
        root_page=home_page("Lawyers B", "lawyers-b"),
    )


@pytest.fixture
def boss(db):
    return get_user_model().objects.create_superuser("boss", "boss@agency.example", "pw")


@pytest.fixture
def billers_a(site_a, site_b):
    """The group whose rights are on site A alone."""
    group = Group.objects.create(name="Billers of A")
    group.permissions.add(Permission.objects.get(codename="access_admin"))
    for action in ACTIONS:
        grant(group, site_a, BillingRequest, f"{action}_billingrequest")
    grant(group, site_a, SiteBillingSettings, "change_sitebillingsettings")
    return group


@pytest.fixture
def alice(billers_a):
    user = get_user_model().objects.create_user("alice", "alice@agency.example", "pw")
    user.groups.add(billers_a)
    return user


@pytest.fixture
def carol(db):
    group = Group.objects.create(name="Editors of nothing")
    group.permissions.add(Permission.objects.get(codename="access_admin"))
    user = get_user_model().objects.create_user("carol", "carol@agency.example", "pw")
    user.groups.add(group)
    return user


def make_connection(livemode, **values):
    """A connected account with a made-up key, as ``connect_with_key`` would leave it."""
    key = LIVE_KEY if livemode else TEST_KEY
    mode = "live" if livemode else "test"
    return StripeConnection.objects.create(
        **{
            "livemode": livemode,
            "flow": StripeConnection.Flow.RESTRICTED_KEY,
            "account_id": f"acct_1Fake{mode}Account",
            "account_name": f"Agency {mode}",
            "country": "FR",
            "default_currency": "EUR",
            "charges_enabled": True,
            "sealed_key": sealing.seal(key),
            "key_last4": key[-4:],
            "privacy_policy_url": "https://agency.example/privacy",
            "terms_url": "https://agency.example/terms",
            **values,
        }
    )


@pytest.fixture
def connected_test(db):
    return make_connection(livemode=False)


@pytest.fixture
def connected_live(db):
    return make_connection(livemode=True)


@pytest.fixture
def make_request(db):
    """Makes a billing request as the admin does; what is not given is made up."""

    def make(site, connection, **values):
        return lifecycle.create_request(
            **{
                "site": site,
                "connection": connection,
                "email": "client@customer.example",
                "currency": "EUR",
                "amount_minor": 123456,
                "success_url": "https://customer.example/thanks",
                "cancel_url": "https://customer.example/cancelled",
                **values,
            }
        )

    return make


@pytest.fixture
def client_for():
    """A test client that is logged in as somebody."""

    def make(user, **kwargs):
        client = Client(**kwargs)
        client.force_login(user)
        return client

    return make
