"""Settings → Groups: rights on billing requests, for all sites and site by site."""

import re

import pytest
from django.contrib.auth.models import Permission
from django.urls import reverse
from wagtail.models import GroupSitePermission, Site

from tests.admin.many import make_sites
from tests.counting import counted
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


def test_sites_with_rights_come_first_and_saving_costs_the_same_for_many(
    boss, billers_a, site_a, site_b, posted, client_for
):
    """Rights on three hundred sites are written as quickly as on a few."""
    sites = make_sites(3, site_a.root_page)
    url = reverse("wagtailusers_groups:edit", args=[billers_a.pk])
    client = client_for(boss)

    def rows():
        table = client.get(url).content.decode().partition('id="client-billing-permissions')[2]
        return re.findall(r'<th scope="row">([^<]+)</th>', table.partition("</table>")[0])

    assert rows()[0] == site_a.site_name
    assert len(rows()) == Site.objects.count()

    def cost(chosen):
        ticked = {f"{PREFIX}-site_{site.pk}": list(ACTIONS) for site in chosen}
        client.post(url, posted)
        with counted() as given:
            assert client.post(url, {**posted, **ticked}).status_code == 302
        assert len(granted(billers_a)) == len(chosen) * len(ACTIONS)
        with counted() as taken:
            assert client.post(url, posted).status_code == 302
        assert granted(billers_a) == set()
        return given.queries, taken.queries

    few = cost(sites[:2])
    assert cost([*sites, *make_sites(40, site_a.root_page)]) == few


def test_a_new_group(boss, site_a, posted, client_for):
    url = reverse("wagtailusers_groups:add")
    assert "Billing requests by site" in client_for(boss).get(url).content.decode()
    data = {**posted, "name": "New", f"{PREFIX}-site_{site_a.pk}": ["add"]}
    assert client_for(boss).post(url, data).status_code == 302
    assert GroupSitePermission.objects.get().permission.codename == "add_billingrequest"


def test_rights_for_all_sites_can_be_given(boss, billers_a, client_for):
    url = reverse("wagtailusers_groups:edit", args=[billers_a.pk])
    text = client_for(boss).get(url).content.decode()
    # Wagtail takes the model's name off the end of a right's name.
    for words in ("Can mark a billing request as paid", "Can refund payments"):
        assert words in text
    for action in ACTIONS:
        permission = Permission.objects.get(codename=f"{action}_billingrequest")
        assert f'value="{permission.pk}"' in text
