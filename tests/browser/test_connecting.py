"""The ways to connect through the operator's platform: done, left half-way, refused, resumed."""

import re

import pytest
from playwright.sync_api import Locator, expect

from .findings import assert_nothing_found
from .people import KEY, Agency

pytestmark = [pytest.mark.browser, pytest.mark.timeout(200)]

NEW = "Open a new Stripe account"
THERE = "Log in to a Stripe account that you have"


@pytest.fixture
def nobody(agency, demo):
    """The owner, on the tab, with no account connected."""
    agency.go_to_connection()
    if demo.connected:  # by a test that ran before
        agency.unlink()
    return agency


def begin(agency: Agency, how: str) -> None:
    """Fills in the dialog and goes to Stripe."""
    agency.press("$ Create Client Billing Account")
    dialog = agency.page.get_by_role("dialog")
    dialog.get_by_label("Paste a key").check()
    expect(dialog.get_by_label("Restricted key")).to_be_visible()
    dialog.get_by_label(how).check()
    expect(dialog.get_by_label("Restricted key")).to_be_hidden()
    dialog.get_by_label("Country").select_option(label="France")
    dialog.get_by_label("Privacy policy URL").fill(f"{agency.demo.base}/privacy/")
    dialog.get_by_label("Terms of service URL").fill(f"{agency.demo.base}/terms/")
    agency.press("Connect", within=dialog)


def card(agency: Agency) -> Locator:
    return agency.page.locator(".wcb-card").filter(has_text="TEST")


def says(agency: Agency, text: str | re.Pattern[str]) -> None:
    expect(agency.page.locator(".messages")).to_contain_text(text)


# Keys that share what follows the mode are of one account.
OF_THE_SAME = KEY.replace("rk_", "sk_")
LIVE = KEY.replace("_test_", "_live_")
OF_ANOTHER = "rk_test_51AnotherAccount0000000000002"


def fill_in_key(agency: Agency, key: str, legal: str) -> None:
    """The dialog, for an account with a key of its own."""
    dialog = agency.page.get_by_role("dialog")
    dialog.get_by_label("Country").select_option(label="Germany")
    dialog.get_by_label("Privacy policy URL").fill(f"{legal}/privacy/")
    dialog.get_by_label("Terms of service URL").fill(f"{legal}/terms/")
    dialog.get_by_label("Restricted key").fill(key)
    agency.press("Connect", within=dialog)
    says(agency, "Connected to")


def test_both_modes_at_once_another_key_and_linking_again(nobody, demo):
    agency = nobody
    account = agency.connect().locator(".wcb-id").get_attribute("title")
    agency.press("Connect a live account")
    fill_in_key(agency, LIVE, "https://agency.example")
    live = agency.page.locator(".wcb-card").first
    expect(live).to_contain_text("Live")
    for each in (live, card(agency)):
        expect(each.locator(".wcb-id")).to_have_attribute("title", account)
        expect(each.locator(".wcb-card__head")).to_contain_text("Connected")
    assert_nothing_found(agency.page, agency.problems)

    agency.press("Replace key", within=card(agency))
    for key, answer in ((OF_ANOTHER, "is of another account"), (OF_THE_SAME, "was replaced")):
        agency.page.get_by_label("Restricted key").fill(key)
        agency.page.locator("main form").get_by_role("button", name="Replace key").click()
        expect(agency.page.locator("body")).to_contain_text(answer)

    agency.unlink()  # the live one, which comes first
    agency.unlink()
    agency.press("$ Create Client Billing Account")
    fill_in_key(agency, KEY, demo.base)
    expect(card(agency).locator(".wcb-id")).to_have_attribute("title", account)
    agency.unlink()
    agency.press("$ Create Client Billing Account")
    fill_in_key(agency, OF_ANOTHER, demo.base)
    expect(card(agency).locator(".wcb-id")).not_to_have_attribute("title", account)
    agency.unlink()


def test_a_new_account_is_left_half_way_and_finished(nobody, demo):
    agency = nobody
    begin(agency, NEW)
    agency.press("Answer half of it")
    says(agency, "Stripe still needs something")
    expect(card(agency)).to_contain_text("Not finished")
    expect(card(agency).get_by_role("listitem")).to_have_count(2)

    # Another day: the link of then is used up, and Stripe leads to a new one.
    agency.press("Continue on Stripe", within=card(agency))
    agency.press("Let this link expire")
    agency.press("Answer everything")
    says(agency, re.compile("Connected to .+"))
    demo.connected = True
    expect(card(agency)).to_contain_text("Ready")
    expect(card(agency).get_by_text("Stripe still needs")).to_have_count(0)
    agency.unlink()


def test_a_new_account_is_started_over_and_one_that_is_there_is_linked(nobody, demo):
    agency = nobody
    begin(agency, NEW)
    agency.press("Go back without an answer")
    assert_nothing_found(agency.page, agency.problems)
    agency.press("Start over", within=card(agency))
    assert_nothing_found(agency.page, agency.problems)
    agency.press("Start over")
    says(agency, "is forgotten")

    begin(agency, THERE)
    agency.press("Refuse")
    says(agency, "Access was refused at Stripe")
    # What was chosen is chosen still.
    expect(agency.page.get_by_label(THERE)).to_be_checked()
    begin(agency, THERE)
    agency.press("Connect this account")
    says(agency, re.compile("Connected to .+"))
    demo.connected = True
    expect(card(agency)).to_contain_text("Ready")
    agency.unlink()
