"""What staff do after Pay: give money back, end a subscription, settle a review."""

import re

import pytest
from playwright.sync_api import expect

from .findings import assert_nothing_found
from .people import Agency

pytestmark = [pytest.mark.browser, pytest.mark.timeout(400)]

# Money that is not what was asked for takes somebody at Stripe; made by hand in the demo.
WRONG_MONEY = """
from django.utils import timezone
from wagtail_client_billing import lifecycle
from wagtail_client_billing.models import CheckoutAttempt
attempt = CheckoutAttempt.objects.get(request__email="{email}")
differs = {{"amount_total": {{"expected": attempt.amount_minor, "found": 2000}}}}
facts = lifecycle.PaymentFacts(
    source="pi_wrong_{email}", intent_id="pi_wrong_{email}", amount_minor=2000, currency="EUR",
    received_at=timezone.now(),
)
lifecycle.flag_review(attempt, "mismatch", {{"differs": differs}}, facts=facts, cause="webhook")
"""


def pay(client):
    client.open_bill()
    client.go_to_checkout()
    client.pay()


def test_a_refund_in_two_parts(editor, client_of, windows):
    email = "refund@customer.example"
    editor.send(email, "100", "Logo")
    pay(client_of(email))
    # Editors may ask for money, and not give it back.
    agency = windows(Agency).log_in()
    agency.go_to_invoices()
    agency.until_row(email, "Paid")
    row = agency.row(email)
    row.get_by_role("button", name=re.compile("More options")).click()
    agency.page.get_by_role("link", name="Refund", exact=True).locator("visible=true").click()

    amount = agency.page.get_by_label("Amount in EUR")
    expect(amount).to_have_value("100.00")
    expect(agency.page.locator("output")).to_contain_text("€100.00")
    assert_nothing_found(agency.page, agency.problems)
    amount.fill("30.5")
    expect(agency.page.locator("output")).to_contain_text("€30.50")
    amount.fill("130")
    agency.page.get_by_label("Reason").fill("Too late")
    agency.press("Refund", within=agency.page.locator("main form"))
    expect(agency.page.get_by_text("Only €100.00 is left of this payment.")).to_be_visible()
    expect(agency.page.get_by_label("Reason")).to_have_value("Too late")
    assert_nothing_found(agency.page, agency.problems)
    amount.fill("30.5")
    agency.press("Refund", within=agency.page.locator("main form"))
    expect(agency.page.get_by_text("€30.50 was refunded to")).to_be_visible()

    agency.go_to_invoices()
    expect(agency.row(email)).to_contain_text("Partly refunded")
    agency.open_details(email)
    expect(agency.timeline()).to_contain_text("€30.50 refunded")
    assert_nothing_found(agency.page, agency.problems)
    agency.page.get_by_role("link", name="Refund", exact=True).click()
    expect(amount).to_have_value("69.50")
    agency.press("Refund", within=agency.page.locator("main form"))
    expect(agency.page.get_by_text("€69.50 was refunded to")).to_be_visible()
    agency.go_to_invoices()
    expect(agency.row(email)).to_contain_text("Refunded")


def test_a_subscription_that_is_ended_kept_and_cancelled(editor, client_of):
    email = "monthly@customer.example"
    editor.go_to_billing()
    dialog = editor.open_dialog()
    editor.fill_in(dialog, email, "49", "Hosting")
    dialog.get_by_label("Billing type").select_option(label="Monthly")
    expect(dialog.get_by_role("status")).to_contain_text("€49.00 now, then €49.00 every month")
    dialog.get_by_text("More", exact=True).click()
    dialog.get_by_label("Number of payments").fill("1")
    editor.press("Send Billing Request", within=dialog)
    expect(editor.page.get_by_text("greater than or equal to 2")).to_be_visible()
    assert_nothing_found(editor.page, editor.problems)
    editor.page.get_by_label("Number of payments").fill("")
    editor.press("Send Billing Request", within=editor.page.locator("main form"))
    pay(client_of(email))
    editor.go_to_billing()
    editor.until_row(email, "Paid", "Subscription active")
    editor.open_details(email)
    expect(editor.page.get_by_text("Next charge: €49.00 on")).to_be_visible()
    assert_nothing_found(editor.page, editor.problems)

    editor.press("Cancel at the end of the period")
    assert_nothing_found(editor.page, editor.problems)
    editor.press("Yes, cancel it then")
    expect(editor.page.get_by_text("Nothing more is charged.").first).to_be_visible()
    expect(editor.timeline()).to_contain_text("Subscription will end on")

    editor.press("Keep")
    assert_nothing_found(editor.page, editor.problems)
    editor.press("Yes, keep it")
    expect(editor.timeline()).to_contain_text("Subscription goes on")

    editor.press("Cancel now")
    assert_nothing_found(editor.page, editor.problems)
    editor.press("Yes, cancel it now")
    expect(editor.timeline()).to_contain_text("Subscription cancelled")
    expect(editor.page.get_by_role("link", name="Cancel now")).to_have_count(0)
    editor.go_to_billing()
    expect(editor.row(email)).to_contain_text("Subscription ended")


def test_a_review_that_is_accepted_and_one_that_is_dismissed(editor, client_of, demo):
    for email, way_out, button, status in (
        ("accept@customer.example", "Accept the money", "Accept the money", "Paid"),
        ("dismiss@customer.example", "Dismiss the review", "Dismiss the review", "Pending"),
    ):
        editor.send(email, "99", "Logo")
        client = client_of(email)
        client.open_bill()
        client.go_to_checkout()
        demo.manage("shell", "-v0", "-c", WRONG_MONEY.format(email=email))
        editor.go_to_billing()
        editor.until_row(email, "Needs review")
        editor.open_details(email)
        expect(editor.page.get_by_text("€20.00 instead of €99.00").first).to_be_visible()
        assert_nothing_found(editor.page, editor.problems)
        editor.press(way_out)
        assert_nothing_found(editor.page, editor.problems)
        editor.press(button, within=editor.page.locator("main form"))
        expect(editor.timeline()).to_contain_text("Review ended")
        editor.go_to_billing()
        editor.until_row(email, status, without="Needs review")
