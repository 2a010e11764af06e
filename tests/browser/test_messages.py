"""The messages of the agency: looked at, changed, switched off, in a real browser."""

import re

import pytest
from playwright.sync_api import expect

from .findings import assert_nothing_found
from .people import Agency, Editor

pytestmark = [pytest.mark.browser, pytest.mark.timeout(400)]
TAB = "/admin/settings/wagtail_client_billing/agencysettings/#tab-messages"


@pytest.fixture(scope="module")
def agency(browser, demo):
    window = Agency(browser, demo).log_in().be_connected()
    editor = Editor(browser, demo).log_in()
    editor.send("messages@pages.example", description="Hosting <b>2026</b>")
    editor.close()
    yield window
    window.close()


def test_a_message_gets_words_and_is_previewed(agency):
    page = agency.page
    agency.open(TAB)
    expect(page.get_by_role("link", name="Preview – Reminder")).to_be_visible()
    assert_nothing_found(page, agency.problems)
    page.get_by_role("link", name="Edit – Payment link").click()
    page.get_by_label("Note").fill("For {descripton}.")
    page.get_by_role("button", name="Save and preview").click()
    expect(page.get_by_text("{descripton} cannot be filled in")).to_be_visible()
    assert_nothing_found(page, agency.problems)
    page.get_by_label("Note").fill("For {description}. Thank you!")
    page.get_by_role("button", name="Save and preview").click()
    frame = page.frame_locator("iframe")
    expect(frame.get_by_text("For Hosting <b>2026</b>. Thank you!")).to_be_visible()
    expect(page.locator("pre")).to_contain_text("For Hosting <b>2026</b>. Thank you!")
    assert_nothing_found(page, agency.problems)
    page.get_by_role("link", name="Français").click()
    expect(
        page.frame_locator("iframe").get_by_role("link", name=re.compile("^Payer"))
    ).to_be_visible()
    expect(page.locator("pre")).not_to_contain_text("Thank you!")
    assert page.locator("iframe").get_attribute("sandbox") == ""


def test_a_message_is_switched_off_with_one_press(agency):
    page = agency.page
    agency.open(TAB)
    page.get_by_role("link", name="Switch off – Link expired").click()
    expect(page.get_by_role("link", name="Switch on – Link expired")).to_be_visible()
    expect(page.get_by_text("“Link expired” is no longer sent.")).to_be_visible()
    assert re.search("#tab-messages$", page.url)
    page.get_by_role("link", name="Switch on – Link expired").click()
    expect(page.get_by_role("link", name="Switch off – Link expired")).to_be_visible()
    assert_nothing_found(page, agency.problems)
