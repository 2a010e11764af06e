"""What Django-Q's own schedule does while everybody has gone home.

Links live for seconds here. The worker looks at its schedule about twice a minute, and the sweep
is due once a minute: the waiting of all tests runs at the same time.
"""

import pytest
from playwright.sync_api import expect

from .findings import assert_nothing_found
from .people import NUMBER, Agency, Client, Developer, Editor
from .processes import Demo

pytestmark = [pytest.mark.browser, pytest.mark.timeout(400)]

LIFETIME = 45
FORGOTTEN = "fred@customer.example"
SILENT = "sally@customer.example"
SECONDS_TO_SWEEP = 150


@pytest.fixture(scope="module")
def demo(prepared, tmp_path_factory):
    demo = Demo(tmp_path_factory.mktemp("schedule"), LINK_LIFETIME=str(LIFETIME))
    demo.prepare_from(prepared)
    try:
        demo.start()
        yield demo
    finally:
        demo.stop()


@pytest.fixture(scope="module")
def links(browser, demo):
    """The links of two requests: one that nobody pays, and one whose payment nobody hears of."""
    agency, editor, developer = (kind(browser, demo) for kind in (Agency, Editor, Developer))
    agency.log_in().be_connected()
    editor.log_in()
    developer.switch_on("swallow")
    editor.send(SILENT)
    payer = Client(browser, demo, SILENT)
    silent = payer.open_bill()
    payer.go_to_checkout()
    payer.pay_and_close()
    editor.send(FORGOTTEN, "60", "A cake")
    forgetful = Client(browser, demo, FORGOTTEN)
    links = {SILENT: silent, FORGOTTEN: forgetful.open_bill()}
    expect(forgetful.page.get_by_role("button", name="Pay €60.00")).to_be_visible()
    for window in (agency, editor, developer, payer, forgetful):
        assert not window.problems
        window.close()
    return links


def test_a_link_expires(links, agency, windows, client_of):
    editor = windows(Editor).log_in()
    editor.go_to_billing()
    editor.until_row(FORGOTTEN, "Expired", seconds=SECONDS_TO_SWEEP)
    client = client_of(FORGOTTEN).open(links[FORGOTTEN])
    expect(client.page.get_by_role("heading", name="This link has expired")).to_be_visible()
    expect(client.page.get_by_role("button")).to_have_count(0)
    assert_nothing_found(client.page, client.problems)
    agency.go_to_invoices()
    expect(agency.row(FORGOTTEN)).to_contain_text("Expired")

    editor.open_details(FORGOTTEN)
    expect(editor.timeline()).to_contain_text("Expired")
    editor.press("Send again")
    form = editor.page.locator("main form.wcb-form")
    expect(form.get_by_label("Email")).to_have_value(FORGOTTEN)
    expect(form.get_by_label("Amount")).to_have_value("60.00")
    expect(form.get_by_label("Description")).to_have_value("A cake")
    editor.press("Send Billing Request", within=form)
    expect(editor.page.get_by_text(f"is queued for {FORGOTTEN}")).to_be_visible()

    # The first one again, under the link that the client has.
    editor.go_to_billing()
    editor.row(FORGOTTEN).filter(has_text="Expired").get_by_role("link", name=NUMBER).first.click()
    editor.press("Renew")
    assert_nothing_found(editor.page, editor.problems)
    editor.press("Renew and send")
    expect(editor.page.get_by_text(f"is queued for {FORGOTTEN}")).to_be_visible()
    client.open(links[FORGOTTEN])
    expect(client.page.get_by_role("button", name="Pay €60.00")).to_be_visible()


def test_a_payment_that_nobody_heard_of_is_found(links, agency, client_of, books):
    agency.go_to_invoices()
    agency.until_row(SILENT, "Paid", seconds=SECONDS_TO_SWEEP)
    agency.open_details(SILENT)
    expect(agency.timeline()).to_contain_text("Paid")
    assert {row["state"] for row in books.deliveries()} == {"swallowed"}
    client = client_of(SILENT).open(links[SILENT])
    expect(client.page.get_by_role("heading", name="Thank you, this bill is paid")).to_be_visible()
