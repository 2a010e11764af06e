"""With the worker stopped nothing waits, and nothing is lost."""

import time

import pytest
from playwright.sync_api import expect

pytestmark = [pytest.mark.browser, pytest.mark.timeout(400)]


@pytest.fixture
def stopped_worker(demo):
    demo.stop("worker")
    yield
    if "worker" not in demo.processes:
        demo.start("worker")


def test_requests_stay_queued_until_the_worker_is_back(
    editor, client_of, demo, books, stopped_worker
):
    email = "quentin@customer.example"
    editor.go_to_billing()
    dialog = editor.open_dialog()
    editor.fill_in(dialog, email, "75")
    started = time.monotonic()
    editor.press("Send Billing Request", within=dialog)
    expect(editor.page.get_by_text(f"is queued for {email}")).to_be_visible()
    assert time.monotonic() - started < 10
    expect(editor.row(email)).to_contain_text("E-mail queued")
    editor.page.reload()
    expect(editor.row(email)).to_contain_text("E-mail queued")
    assert not books.mails(email)

    demo.start("worker")
    client = client_of(email)
    client.open_mail(seconds=60)
    row = editor.until_row(email, "Pending", without="E-mail")
    expect(row).to_be_visible()
    editor.open_details(email)
    expect(editor.timeline()).to_contain_text("E-mail accepted")
