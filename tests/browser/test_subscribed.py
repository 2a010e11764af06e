"""A monthly bill in real browsers: paid, its receipt printed, cancelled where the card is kept."""

import re

import pytest
from playwright.sync_api import expect

from .findings import assert_nothing_found

pytestmark = [pytest.mark.browser, pytest.mark.timeout(400)]


def test_an_end_can_be_agreed_on_for_a_recurring_bill_only(editor):
    editor.go_to_billing()
    dialog = editor.open_dialog()
    dialog.get_by_text("More", exact=True).click()
    expect(dialog.get_by_label("Language of the client")).to_be_visible()
    payments, last_day = dialog.get_by_label("Number of payments"), dialog.get_by_label("Last day")
    expect(payments).to_be_hidden()
    expect(last_day).to_be_hidden()
    kind = dialog.get_by_label("Billing type")
    kind.select_option("monthly")
    expect(payments).to_be_visible()
    expect(last_day).to_be_visible()
    assert_nothing_found(editor.page, editor.problems)

    # Thought better of: what is out of sight is not sent.
    payments.fill("12")
    kind.select_option("one_time")
    expect(payments).to_be_hidden()
    editor.fill_in(dialog, "once@customer.example", "49", "Hosting")
    editor.press("Send Billing Request", within=dialog)
    expect(editor.page.get_by_text("is queued for once@customer.example")).to_be_visible()


def test_a_client_pays_month_after_month_and_cancels(editor, client_of, demo):
    email = "mona@customer.example"
    editor.go_to_billing()
    dialog = editor.open_dialog()
    editor.fill_in(dialog, email, "49.00", "Hosting")
    dialog.get_by_label("Billing type").select_option("monthly")
    editor.press("Send Billing Request", within=dialog)

    client = client_of(email)
    client.open_bill()
    expect(client.page.locator("main")).to_contain_text("Pay €49.00 now, then €49.00 every month.")
    link = client.page.url
    client.go_to_checkout()
    client.pay()
    client.open_mail("we received")
    assert "Receipt to print or to keep" in client.mail_text()

    client.open(link)
    expect(client.page.locator("main")).to_contain_text("The next payment of €49.00 is charged on")
    client.page.get_by_role("link", name="Receipt").click()
    expect(client.page.locator("main")).to_contain_text("card ending in 4242")
    client.page.emulate_media(media="print")
    expect(client.page.get_by_text("No real money is moved.")).to_be_visible()
    expect(client.page.get_by_role("link", name="Back to the bill")).to_be_hidden()
    expect(client.page.get_by_text("print this page")).to_be_hidden()
    client.page.emulate_media(media="screen")
    client.page.get_by_role("link", name="Back to the bill").click()

    client.press("Change card or cancel")
    expect(client.page).to_have_url(re.compile(f"^{demo.base}/sandbox/"))
    client.press("Cancel at the end of the period")
    client.page.get_by_role("link", name="Go back").click()
    expect(client.page).to_have_url(link)
    ending = client.until(lambda: client.page.get_by_text("Your subscription ends on"))
    expect(ending).to_contain_text("You will not be charged again.")
