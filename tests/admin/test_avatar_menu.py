"""Agency settings in the avatar menu, and what becomes of it on another Wagtail."""

import json
import re

import pytest
from django.urls import reverse
from wagtail.admin.ui import sidebar
from wagtail.users.models import UserProfile

from wagtail_client_billing import compat
from wagtail_client_billing.apps import _agency_settings_entry

KNOWN = sidebar.MainMenuModule.__init__.__wrapped__


def avatar_menu(client):
    """Labels and addresses of the avatar menu, as the page hands them to its script."""
    text = client.get(reverse("wagtailadmin_home")).content.decode()
    props = re.search(r'id="wagtail-sidebar-props"[^>]*>(.*?)</script>', text, re.DOTALL)[1]
    (menu,) = [
        module
        for module in json.loads(props)["modules"]
        if module["_type"] == "wagtail.sidebar.MainMenuModule"
    ]
    entries = [item["_args"][0] for item in menu["_args"][1]]
    return [(entry["label"], entry.get("url")) for entry in entries]


def in_french(user):
    profile = UserProfile.get_for_user(user)
    profile.preferred_language = "fr"
    profile.save()


def test_it_is_between_account_and_log_out(boss, alice, client_for):
    labels = [label for label, _url in avatar_menu(client_for(boss))]
    assert labels == ["Account", "Agency settings", "Log out"]
    assert [label for label, _url in avatar_menu(client_for(alice))] == ["Account", "Log out"]


def test_it_leads_to_the_page_in_every_language(boss, client_for):
    for act in (lambda user: None, in_french):
        act(boss)
        _account, (label, url), _log_out = avatar_menu(client_for(boss))
        page = client_for(boss).get(url, follow=True)
        assert page.status_code == 200
        text = page.content.decode()
        for anchor in ("general", "client_billing", "health"):
            assert f'href="#tab-{anchor}"' in text
            assert f'id="tab-{anchor}"' in text
    assert label != "Agency settings"


@pytest.fixture
def unpatched(monkeypatch):
    monkeypatch.setattr(sidebar.MainMenuModule, "__init__", KNOWN)


def test_twice_is_once(unpatched, boss, client_for):
    assert compat.add_account_menu_item(_agency_settings_entry)
    patched = sidebar.MainMenuModule.__init__
    assert compat.add_account_menu_item(_agency_settings_entry)
    assert sidebar.MainMenuModule.__init__ is patched
    assert len(avatar_menu(client_for(boss))) == 3


def other_parameters(self, menu_items, account_menu_items, user, theme=None):
    KNOWN(self, menu_items, account_menu_items, user)


@pytest.mark.parametrize("gone", ["signature", "class"])
def test_on_a_wagtail_that_changed_it_the_account_page_still_has_it(
    gone, monkeypatch, boss, client_for, caplog
):
    with monkeypatch.context() as changed:
        if gone == "signature":
            changed.setattr(sidebar.MainMenuModule, "__init__", other_parameters)
        else:
            changed.delattr(sidebar, "MainMenuModule")
        assert compat.add_account_menu_item(_agency_settings_entry) is False
        (warning,) = caplog.records
        assert warning.levelname == "WARNING"
        if gone == "signature":
            assert [label for label, _url in avatar_menu(client_for(boss))] == [
                "Account",
                "Log out",
            ]
    account = client_for(boss).get(reverse("wagtailadmin_account")).content.decode()
    assert "Agency settings" in account


def test_an_error_inside_takes_no_page_down(unpatched, boss, client_for, caplog):
    def broken(user):
        raise RuntimeError("no menu today")

    assert compat.add_account_menu_item(broken)
    assert [label for label, _url in avatar_menu(client_for(boss))] == ["Account", "Log out"]
    assert "could not be built" in caplog.text
