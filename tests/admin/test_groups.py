"""Settings → Groups: rights on billing requests, for all sites and site by site."""

import pytest
from django.contrib.auth.models import Permission
from django.urls import reverse
from wagtail.models import GroupSitePermission

from wagtail_client_billing.permissions import ACTIONS

PREFIX = "client_billing_permissions"


@pytest.fixture
def posted():
    """The group form without any right but the way into the admin."""
    data = {
        "name": "Billers of A",
        "permissions": [Permission.objects.get(codename="access_admin").pk],
    }
    for formset in (
        "page_permissions",
        "image_permissions",
        "document_permissions",
        "collection_permissions",
    ):
        data |= {
            f"{formset}-TOTAL_FORMS": 0,
            f"{formset}-INITIAL_FORMS": 0,
            f"{formset}-MIN_NUM_FORMS": 0,
            f"{formset}-MAX_NUM_FORMS": 100,
        }
    return data


def granted(group):
    return set(
        GroupSitePermission.objects.filter(group=group).values_list(
            "site__hostname", "permission__codename"
        )
    )


def test_rights_by_site(boss, billers_a, site_a, site_b, posted, client_for):
    url = reverse("wagtailusers_groups:edit", args=[billers_a.pk])
    client = client_for(boss)
    text = client.get(url).content.decode()
    assert "Billing requests by site" in text
    assert f'name="{PREFIX}-site_{site_a.pk}"' in text
    data = {**posted, f"{PREFIX}-site_{site_b.pk}": ["view", "resend"]}
    assert client.post(url, data).status_code == 302
    assert granted(billers_a) == {
        ("b.example.com", "view_billingrequest"),
        ("b.example.com", "resend_billingrequest"),
    }
    client.post(url, {**posted, f"{PREFIX}-site_{site_b.pk}": ["nonsense"]})
    assert len(granted(billers_a)) == 2


def test_a_new_group(boss, site_a, posted, client_for):
    url = reverse("wagtailusers_groups:add")
    assert "Billing requests by site" in client_for(boss).get(url).content.decode()
    data = {**posted, "name": "New", f"{PREFIX}-site_{site_a.pk}": ["add"]}
    assert client_for(boss).post(url, data).status_code == 302
    assert GroupSitePermission.objects.get().permission.codename == "add_billingrequest"


def test_rights_for_all_sites_can_be_given(boss, billers_a, client_for):
    url = reverse("wagtailusers_groups:edit", args=[billers_a.pk])
    text = client_for(boss).get(url).content.decode()
    for action in ACTIONS:
        permission = Permission.objects.get(codename=f"{action}_billingrequest")
        assert f'value="{permission.pk}"' in text
