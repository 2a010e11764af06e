"""The main job, whole: from a newcomer's first login to Paid in both lists."""

import re

import pytest
from playwright.sync_api import expect

from .people import Agency, Editor

pytestmark = [pytest.mark.browser, pytest.mark.timeout(400)]


def test_a_bill_goes_from_the_admin_to_paid(windows, client_of, demo):
    demo.cookies.clear()  # everybody logs in
    agency = windows(Agency).log_in()
    agency.choose("Settings", "Agency settings")
    agency.page.get_by_role("tab", name="Client billing").click()
    if demo.connected:  # by a test that ran before
        agency.unlink()
    card = agency.connect()
    expect(card).to_contain_text("Connected")
    expect(card).to_contain_text("Sandbox")
    expect(card).to_contain_text("TEST")

    editor = windows(Editor).log_in()
    editor.go_to_billing()
    dialog = editor.open_dialog()
    editor.fill_in(dialog, "anna@customer.example", "1,234.56", "Website, first half")
    expect(dialog.get_by_label("Currency")).to_have_value("EUR")
    expect(dialog.get_by_label("Success URL")).to_have_value(f"{demo.bakery}/thank-you/")
    expect(dialog.get_by_label("Billing type").locator("option")).to_have_text(
        ["One time", "Weekly", "Monthly", "Quarterly", "Yearly"]
    )
    expect(dialog.get_by_label("Test mode")).to_be_checked()
    expect(dialog.get_by_label("Test mode")).to_be_disabled()
    editor.press("Send Billing Request", within=dialog)
    expect(editor.page.get_by_text("is queued for anna@customer.example")).to_be_visible()
    row = editor.until_row("anna@customer.example", "Pending")
    expect(row).to_contain_text("€1,234.56")
    expect(row).to_contain_text("TEST")

    client = client_of("anna@customer.example")
    client.open_mail("Rise & Shine Bakery: payment of €1,234.56")
    text = client.mail_text()
    for fact in ("Rise & Shine Bakery", "€1,234.56", "Website, first half", "Northlight Studio"):
        assert fact in text
    html = client.page.frame_locator("iframe")
    expect(html.get_by_role("link", name="Pay €1,234.56")).to_be_visible()
    # The link is in both parts, and both lead to the client's own site.
    link = html.get_by_role("link", name="Pay €1,234.56").get_attribute("href")
    assert link in text
    assert client.open_link() == link
    assert link.startswith(f"{demo.bakery}/billing/pay/")
    editor.until_row("anna@customer.example", "Pending", without="E-mail")

    page = client.page.locator("main")
    for fact in (
        "Rise & Shine Bakery",
        "€1,234.56",
        "Website, first half",
        "Northlight Studio",
        "Please pay by",
        "terms of service",
        "privacy policy",
        "Payment by Stripe",
    ):
        expect(page).to_contain_text(fact)
    client.go_to_checkout()
    expect(client.page.locator("main")).to_contain_text("€1,234.56")
    client.pay()
    assert client.page.url == f"{demo.bakery}/thank-you/"

    editor.until_row("anna@customer.example", "Paid")
    agency.go_to_invoices()
    row = agency.until_row("anna@customer.example", "Paid")
    expect(row).to_contain_text("Rise & Shine Bakery")
    agency.open_details("anna@customer.example")
    timeline = agency.timeline()
    for happened in ("Pay pressed", "Paid"):
        expect(timeline).to_contain_text(happened)
    expect(agency.page.locator("main")).to_contain_text(re.compile(r"ending\s+4242"))

    # Who opens the link once more is told so, and the receipt has come.
    client.open(link)
    expect(client.page.get_by_role("heading", name="Thank you, this bill is paid")).to_be_visible()
    client.open_mail("we received your payment of €1,234.56")
