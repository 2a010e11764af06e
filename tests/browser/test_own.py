"""A client's own login."""

import re

import pytest
from playwright.sync_api import expect

from .findings import assert_nothing_found
from .people import Staff

pytestmark = [pytest.mark.browser, pytest.mark.timeout(400)]

# Runs inside the demo: the bakery's own login, which only sees its invoices.
MAKE_CLIENT = """
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group, Permission
from wagtail.models import GroupSitePermission, Site
group = Group.objects.create(name="Bakery: invoices")
group.permissions.add(Permission.objects.get(codename="access_admin"))
GroupSitePermission.objects.create(
    group=group, site=Site.objects.get(hostname="bakery.localhost"),
    permission=Permission.objects.get(codename="view_billingrequest"))
user = get_user_model().objects.create_user("baker", "baker@bakery.example", "demo")
user.first_name = "Bo"
user.save()
user.groups.add(group)
"""


class Baker(Staff):
    """Somebody of the bakery, who logs in to see its invoices."""

    user, user_name = "baker", "Bo"


def test_a_client_who_logs_in(editor, windows, demo):
    editor.send("baker@bakery.example", description="Bread shop, second part")
    demo.manage("shell", "-v0", "-c", MAKE_CLIENT)
    baker = windows(Baker).log_in()
    baker.choose("Invoices")
    row = baker.row("Bread shop, second part")
    expect(row).to_contain_text("Pending")
    assert_nothing_found(baker.page, baker.problems)
    with baker.page.expect_response(re.compile("/own/results/")):
        baker.page.locator("#id_q").fill("second part")
    expect(baker.row("Bread shop, second part")).to_be_visible()
    assert_nothing_found(baker.page, baker.problems)
    row.get_by_role("link", name=re.compile("TEST-")).first.click()
    expect(baker.page.get_by_role("heading", name="Payments")).to_be_visible()
    expect(baker.page.get_by_role("link", name="Payment page")).to_be_visible()
    assert_nothing_found(baker.page, baker.problems)
