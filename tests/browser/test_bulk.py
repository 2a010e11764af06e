"""Many at once, and the whole way of a bill without a mouse."""

import re

import pytest
from playwright.sync_api import Page, expect

from .findings import assert_nothing_found
from .people import NUMBER

pytestmark = [pytest.mark.browser, pytest.mark.timeout(400)]

INVOICES = "/admin/client-billing/invoices/"


def test_many_are_deleted_and_one_has_just_been_paid(editor, client_of, books):
    emails = [f"bulk{n}@many.example" for n in range(3)]
    numbers = [editor.send(email, "30") for email in emails]
    client = client_of(emails[1])
    client.open_bill()
    client.go_to_checkout()

    editor.open(f"{INVOICES}?q=many.example")
    for number in numbers:
        editor.row(number).get_by_role("checkbox").check()
    editor.page.get_by_role("link", name="Delete the selected invoices").click()
    expect(
        editor.page.get_by_role("heading", name="This will be done to 3 invoices")
    ).to_be_visible()
    assert_nothing_found(editor.page, editor.problems)
    # While the editor reads, the client pays; nobody at our end has heard of it.
    client.pay_and_close()
    editor.press("Yes, delete")

    # Nobody reloads: the page asks by itself until all is done.
    expect(editor.page.locator(".wcb-job__text")).to_have_text("Delete: 3 of 3 done.")
    expect(editor.page.get_by_role("progressbar")).to_have_attribute("value", "3")
    rows = editor.page.locator("#wcb-job-rows")
    expect(editor.page.get_by_role("heading", name="What became of each")).to_be_visible()
    assert_nothing_found(editor.page, editor.problems)
    told = {number: rows.get_by_role("listitem").filter(has_text=number) for number in numbers}
    expect(told[numbers[1]]).to_contain_text("the client has paid")
    for number in (numbers[0], numbers[2]):
        expect(told[number]).to_contain_text("Deleted")
    # Whoever closed the page finds it again, and what became of each in the list.
    address = editor.page.url
    editor.open(INVOICES).open(address)
    expect(editor.page.get_by_role("heading", name="What became of each")).to_be_visible()
    editor.open(f"{INVOICES}?q=many.example")
    editor.until_row(emails[1], "Paid")
    for email in (emails[0], emails[2]):
        expect(editor.row(email)).to_contain_text("Deleted")


def press_until(page: Page, key: str, selector: str, most: int = 120) -> None:
    """Presses a key until the focus is on something."""
    for _press in range(most):
        page.keyboard.press(key)
        if page.evaluate("s => document.activeElement?.matches(s) ?? false", selector):
            return
    raise AssertionError(f"{key} never leads to {selector}")


def test_a_bill_by_keyboard_alone(editor):
    email = "keys@many.example"
    editor.go_to_billing()
    page, keys = editor.page, editor.page.keyboard
    press_until(page, "Tab", "[data-a11y-dialog-show]")
    keys.press("Enter")
    dialog = page.get_by_role("dialog")
    expect(dialog).to_be_visible()
    # Escape closes it and leads back to where one was.
    keys.press("Escape")
    expect(dialog).to_be_hidden()
    assert page.evaluate("document.activeElement.matches('[data-a11y-dialog-show]')")
    keys.press("Enter")
    press_until(page, "Tab", "input[name=email]")
    keys.type(email)
    press_until(page, "Tab", "input[name=amount]")
    keys.type("1,500")
    press_until(page, "Tab", "dialog button[type=submit], [role=dialog] button[type=submit]")
    keys.press("Enter")

    # The amount can be read in two ways: a page asks, and has lost nothing.
    box = page.get_by_role("checkbox", name=re.compile("is meant"))
    expect(box).to_be_visible()
    expect(page.get_by_label("Email")).to_have_value(email)
    assert_nothing_found(page, editor.problems)
    press_until(page, "Tab", "input[name=confirm_reading]")
    keys.press("Space")
    expect(box).to_be_checked()
    press_until(page, "Tab", "main form.wcb-form button[type=submit]")
    keys.press("Enter")
    news = page.get_by_text(f"is queued for {email}")
    expect(news).to_be_visible()
    number = NUMBER.search(news.inner_text())[0]

    editor.open(f"{INVOICES}?q={number}")
    press_until(page, "Tab", "main tbody a[href*='/invoices/']")
    keys.press("Enter")
    expect(page.get_by_role("heading", name="What happened")).to_be_visible()
    press_until(page, "Tab", "a[href$='/delete/']")
    keys.press("Enter")
    expect(page.get_by_role("button", name="Yes, delete")).to_be_visible()
    press_until(page, "Tab", "main form button[type=submit]")
    keys.press("Enter")
    expect(page.get_by_text("was deleted. Its link no longer works.")).to_be_visible()


def test_the_dialog_with_errors_loses_nothing(editor):
    editor.go_to_billing()
    dialog = editor.open_dialog()
    assert_nothing_found(editor.page, editor.problems)
    editor.fill_in(dialog, "nobody", "12,3", "Tarte aux pommes 👍 שלום")
    dialog.get_by_label("Success URL").fill("ftp://elsewhere.example")
    editor.press("Send Billing Request", within=dialog)
    form = editor.page.locator("main form.wcb-form")
    expect(form).to_contain_text("Enter an amount like")
    expect(form).to_contain_text("Enter a valid email address")
    expect(form.get_by_label("Email")).to_have_value("nobody")
    expect(form.get_by_label("Amount")).to_have_value("12,3")
    expect(form.get_by_label("Description")).to_have_value("Tarte aux pommes 👍 שלום")
    expect(form.get_by_label("Success URL")).to_have_value("ftp://elsewhere.example")
    assert_nothing_found(editor.page, editor.problems)
