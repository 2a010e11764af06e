"""What can happen between the link and the money."""

import re

import pytest
from playwright.sync_api import expect

from .people import NUMBER

pytestmark = [pytest.mark.browser, pytest.mark.timeout(400)]


def test_a_deleted_request_has_a_dead_link_and_a_closed_session(editor, client_of, books):
    email = "dora@customer.example"
    editor.send(email)
    client = client_of(email)
    link = client.open_bill()
    client.go_to_checkout()
    [session] = books.sessions(customer_email=email)
    assert session["status"] == "open"

    editor.delete(email)
    expect(editor.page.get_by_text("was deleted. Its link no longer works.")).to_be_visible()
    editor.go_to_billing()
    expect(editor.row(email)).to_contain_text("Deleted")

    [session] = books.sessions(customer_email=email)
    assert session["status"] == "expired"
    # Stripe's page is still before the client's eyes, and takes nothing any more.
    client.press("Pay with 4242")
    expect(client.page.get_by_role("heading", name="has expired")).to_be_visible()
    assert not books.sessions(customer_email=email, status="complete")
    client.open(link)
    expect(client.page.get_by_role("heading", name="This bill was cancelled")).to_be_visible()
    expect(client.page.get_by_role("button")).to_have_count(0)


def test_a_declined_card_and_a_second_try_that_pays(editor, client_of, books):
    email = "carl@customer.example"
    editor.send(email)
    client = client_of(email)
    client.open_bill()
    client.go_to_checkout()
    client.press("Card that is declined")
    expect(client.page.get_by_role("alert")).to_contain_text("Your card was declined")
    expect(editor.until_row(email, "Pending")).not_to_contain_text("Paid")
    client.pay()
    editor.until_row(email, "Paid")
    assert len(books.sessions(customer_email=email)) == 1


def test_who_leaves_the_checkout_may_come_back_to_the_same_session(editor, client_of, books, demo):
    email = "lena@customer.example"
    editor.send(email)
    client = client_of(email)
    link = client.open_bill()
    client.go_to_checkout()
    checkout = client.page.url
    client.press("Leave")
    expect(client.page.get_by_role("heading", name="Payment cancelled")).to_be_visible()
    assert client.page.url == f"{demo.bakery}/cancelled/"
    client.open(link)
    client.go_to_checkout()
    assert client.page.url == checkout
    assert len(books.sessions(customer_email=email)) == 1


def test_a_payment_without_webhook_is_found_by_check_with_stripe(
    editor, client_of, developer, books
):
    email = "willa@customer.example"
    developer.switch_on("swallow")
    number = editor.send(email)
    client = client_of(email)
    client.open_bill()
    client.go_to_checkout()
    client.pay_and_close()
    swallowed = [row for row in books.deliveries() if row["state"] == "swallowed"]
    assert "checkout.session.completed" in {row["type"] for row in swallowed}

    editor.go_to_billing()
    expect(editor.row(email)).to_contain_text("Pending")
    editor.open_details(email)
    # In the menu of what is seldom needed, by the keyboard alone.
    editor.page.get_by_role("button", name="Actions", exact=True).press("Enter")
    editor.page.keyboard.press("Tab")
    expect(editor.page.get_by_role("link", name="Open as the client sees it")).to_be_focused()
    editor.page.keyboard.press("Tab")
    expect(editor.page.get_by_role("link", name="Check with Stripe")).to_be_focused()
    editor.page.keyboard.press("Enter")
    expect(editor.page.get_by_text(f"Stripe had news: {number} is now paid.")).to_be_visible()
    expect(editor.timeline()).to_contain_text("Paid")
    editor.go_to_billing()
    expect(editor.row(email)).to_contain_text("Paid")


NO_REFERRER = """
    const meta = document.createElement('meta');
    meta.name = 'referrer';
    meta.content = 'no-referrer';
    document.head.append(meta);
"""


def pressed_in_vain(client) -> int:
    """Presses Pay; the status that came back from our own server."""
    with client.page.expect_response(re.compile("/checkout/")) as answer:
        client.page.get_by_role("button", name=re.compile("^Pay ")).click()
    return answer.value.status


def test_pay_posts_with_an_origin_and_is_led_to_stripe(editor, client_of, demo):
    """What only a browser shows: the Origin that it sends, and whether the policy lets it go."""
    email = "otto@customer.example"
    editor.send(email)
    client = client_of(email)
    client.open_mail()
    with client.page.expect_response(re.compile("/billing/pay/")) as opened:
        link = client.open_link()
    headers = opened.value.headers
    assert headers["referrer-policy"] == "same-origin"
    assert "form-action" not in headers["content-security-policy"]
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert "no-store" in headers["cache-control"]
    assert "noindex" in headers["x-robots-tag"]

    # Django's check is on: it refuses a press without the page's token ...
    in_vain = client_of(email).open(link)
    in_vain.page.locator("input[name=csrfmiddlewaretoken]").evaluate("field => field.remove()")
    assert pressed_in_vain(in_vain) == 403
    # ... and what a browser sends from a page whose policy is no-referrer.
    in_vain.open(link)
    in_vain.page.evaluate(NO_REFERRER)
    assert pressed_in_vain(in_vain) == 403
    in_vain.close()
    in_vain.problems.clear()  # Django's own page about it has styles of its own

    with client.page.expect_request(f"{link}checkout/") as pressed:
        client.go_to_checkout()
    request = pressed.value
    assert request.method == "POST"
    assert request.all_headers()["origin"] == demo.bakery
    assert request.response().status == 303
    assert client.page.url.startswith(f"{demo.base}/sandbox/checkout/cs_test_")


def test_a_deleted_request_can_be_sent_again(editor, client_of):
    email = "nora@customer.example"
    number = editor.send(email, "12.50", "Croissants")
    editor.delete(email)
    editor.go_to_billing()
    editor.open_details(email)
    editor.press("Send again")
    form = editor.page.locator("main form.wcb-form")
    expect(form.get_by_label("Email")).to_have_value(email)
    expect(form.get_by_label("Amount")).to_have_value("12.50")
    expect(form.get_by_label("Description")).to_have_value("Croissants")
    form.get_by_label("Amount").fill("13.50")
    editor.press("Send Billing Request", within=form)
    news = editor.page.get_by_text(f"is queued for {email}")
    expect(news).to_be_visible()
    assert NUMBER.search(news.inner_text())[0] != number
    client = client_of(email)
    client.open_mail("payment of €13.50")


def test_wrong_input_comes_back_beside_its_field(editor):
    editor.go_to_billing()
    dialog = editor.open_dialog()
    editor.fill_in(dialog, "nobody", "many euros", "Bread & butter")
    editor.press("Send Billing Request", within=dialog)
    form = editor.page.locator("main form.wcb-form")
    expect(form.get_by_label("Email")).to_have_value("nobody")
    expect(form.get_by_label("Amount")).to_have_value("many euros")
    expect(form.get_by_label("Description")).to_have_value("Bread & butter")
    for label in ("Email", "Amount"):
        expect(form.get_by_label(label)).to_have_attribute("aria-invalid", "true")
    editor.fill_in(form, "paula@customer.example", "20", "Bread & butter")
    editor.press("Send Billing Request", within=form)
    expect(editor.page.get_by_text("is queued for paula@customer.example")).to_be_visible()
