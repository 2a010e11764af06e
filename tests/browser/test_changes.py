"""What staff change of a bill that was sent, while its client has it before their eyes."""

import re

import pytest
from playwright.sync_api import expect

from .findings import assert_nothing_found

pytestmark = [pytest.mark.browser, pytest.mark.timeout(400)]


def test_an_edit_while_the_client_has_the_page_open(editor, client_of, books):
    email = "edna@customer.example"
    editor.send(email, "100", "Logo")
    client = client_of(email)
    link = client.open_bill()
    waiting = client.page
    expect(waiting.get_by_role("button", name="Pay €100.00")).to_be_visible()
    # On Stripe's page in another tab as well.
    client.page = client.context.new_page()
    client.open(link)
    client.go_to_checkout()

    editor.go_to_billing()
    editor.open_details(email)
    editor.press("Edit")
    assert_nothing_found(editor.page, editor.problems)
    editor.page.get_by_label("Amount").fill("12,3")
    editor.press("Save")
    expect(editor.page.get_by_text("Enter an amount like")).to_be_visible()
    editor.page.get_by_label("Amount").fill("120")
    expect(editor.page.locator("main output")).to_contain_text("€120.00, one time")
    assert_nothing_found(editor.page, editor.problems)
    editor.press("Save")
    expect(editor.page.get_by_text("It asks for €120.00")).to_be_visible()
    expect(editor.timeline()).to_contain_text("€120.00 instead of €100.00")

    # Neither of the two old pages takes money at the old amount.
    client.press("Pay with 4242")
    expect(client.page.get_by_role("heading", name="has expired")).to_be_visible()
    client.page.close()
    client.page = waiting
    waiting.get_by_role("button", name="Pay €100.00").click()
    expect(waiting.get_by_role("alert")).to_contain_text("The amount was changed")
    expect(waiting.locator("main")).to_contain_text("Before, it was €100.00")
    assert_nothing_found(waiting, client.problems)
    client.go_to_checkout()
    client.pay()
    [paid] = books.sessions(customer_email=email, status="complete")
    assert paid["amount_total"] == 12000
    editor.go_to_billing()
    expect(editor.until_row(email, "Paid")).to_contain_text("€120.00")


def test_another_reader_gets_another_link(editor, client_of):
    wrong, right = "wrogn@customer.example", "wrong@customer.example"
    editor.send(wrong, "80")
    mistaken = client_of(wrong)
    link = mistaken.open_bill()
    editor.go_to_billing()
    editor.open_details(wrong)
    editor.edit(email=right)
    mistaken.open(link)
    expect(mistaken.page.get_by_role("heading", name="There is no bill")).to_be_visible()
    client = client_of(right)
    assert client.open_bill() != link
    client.go_to_checkout()
    client.pay()
    editor.go_to_billing()
    editor.until_row(right, "Paid")


def test_marked_as_paid_and_taken_back(editor, client_of, books):
    email = "bank@customer.example"
    editor.send(email, "250")
    client = client_of(email)
    link = client.open_bill()
    client.go_to_checkout()
    editor.go_to_billing()
    editor.open_details(email)
    editor.press("Mark as paid")
    assert_nothing_found(editor.page, editor.problems)
    editor.press("Cancel")
    editor.mark_as_paid("Bank transfer")
    expect(editor.timeline()).to_contain_text("Marked as paid outside Stripe")
    client.press("Pay with 4242")
    expect(client.page.get_by_role("heading", name="has expired")).to_be_visible()
    client.open(link)
    expect(client.page.get_by_role("heading", name="Thank you, this bill is paid")).to_be_visible()
    client.open_mail("we received your payment of €250.00")

    editor.press("Take payment back")
    assert_nothing_found(editor.page, editor.problems)
    editor.page.get_by_label("Reason").fill("It was for another bill")
    editor.press("Yes, take it back")
    expect(editor.page.get_by_text(re.compile("is now pending"))).to_be_visible()
    client.open(link)
    client.go_to_checkout()
    client.pay()
    assert len(books.sessions(customer_email=email, status="complete")) == 1
    editor.go_to_billing()
    editor.until_row(email, "Paid")
