"""Every page of ours, as the URLconf names them: the strictest policy, and axe, in both schemes."""

import json
import re

import pytest
from django.urls import URLResolver, get_resolver
from playwright.sync_api import expect

from .findings import WAGTAILS_OWN, assert_nothing_found, axe_findings
from .people import Agency, Client, Editor

pytestmark = [pytest.mark.browser, pytest.mark.timeout(400)]

NAMESPACES = ("client_billing_admin", "client_billing")
# Name of the URL: what stands for its arguments.
ADMIN_PAGES = {
    "client_billing_admin:index": {},
    "client_billing_admin:add": {},
    "client_billing_admin:own": {},
    "client_billing_admin:inspect": {"pk": "paid"},
    "client_billing_admin:send_again": {"pk": "deleted"},
    "client_billing_admin:resend": {"pk": "pending"},
    "client_billing_admin:remind": {"pk": "pending"},
    "client_billing_admin:check": {"pk": "pending"},
    "client_billing_admin:message": {"kind": "kind", "language": "language"},
    "client_billing_admin:message_preview": {"kind": "kind", "language": "language"},
    "client_billing_admin:message_on": {"kind": "kind"},
    "client_billing_admin:message_off": {"kind": "kind"},
    "client_billing_admin:delete": {"pk": "pending"},
    "client_billing_admin:connect": {},
    "client_billing_admin:check_account": {"pk": "account"},
    "client_billing_admin:unlink": {"pk": "account"},
    "client_billing_admin:replace_key": {"pk": "account"},
    "client_billing_admin:webhook": {"pk": "account"},
    "client_billing_admin:legal_pages": {"pk": "account"},
    "client_billing_admin:confirm_host": {"pk": "account"},
    "client_billing_admin:forget": {"pk": "account"},
    "client_billing_admin:health": {},
    "client_billing_admin:report": {},
}
PUBLIC_PAGES = {
    "client_billing:pay": {"token": "token"},
    "client_billing:return": {"token": "token"},
    "client_billing:receipt": {"token": "paid_token", "payment": "payment"},
}
# No pages: what becomes of them is tested where it is shown.
FRAGMENTS = {
    "client_billing_admin:index_results": "test_the_list_while_somebody_searches",
    "client_billing_admin:own_results": "test_own.py",
    "client_billing_admin:job_progress": "test_bulk.py",
    "client_billing_admin:message_html": "test_messages.py",
    "client_billing_admin:said_back": "test_the_amount_is_said_back_and_doubted",
}
# Of a job, of a client who logs in, and what takes a request in a certain state: led through, and
# looked at, in the modules named.
ELSEWHERE = {
    "client_billing_admin:job": "test_bulk.py",
    "client_billing_admin:own_detail": "test_own.py",
    "client_billing_admin:edit": "test_changes.py",
    "client_billing_admin:mark_paid": "test_changes.py",
    "client_billing_admin:take_back": "test_changes.py",
    "client_billing_admin:renew": "test_schedule.py",
    "client_billing_admin:refund": "test_money_back.py",
    "client_billing_admin:accept_review": "test_money_back.py",
    "client_billing_admin:dismiss_review": "test_money_back.py",
    "client_billing_admin:cancel_now": "test_money_back.py",
    "client_billing_admin:cancel_later": "test_money_back.py",
    "client_billing_admin:keep": "test_money_back.py",
}
# Only on the way to Stripe and back: led through, and looked at, in test_connecting.py.
ON_THE_WAY = {
    "client_billing_admin:onboarding",
    "client_billing_admin:onboarding_refresh",
    "client_billing_admin:onboarding_return",
    "client_billing_admin:oauth_callback",
    "client_billing_admin:start_over",
}
POSTED = {
    "client_billing_admin:test_mail": "leads back to the tab: tests/admin/test_mail_server.py",
    "client_billing_admin:replay": "tries events again, and leads back: tests/admin/test_health.py",
    "client_billing:checkout": "leads to Stripe: tests/browser/test_paying.py",
    "client_billing:portal": "leads to Stripe: tests/public/test_month_after_month.py",
    "client_billing:webhook": "answers Stripe, in plain text",
}
SANDBOX_PAGES = ["", "inbox/", "sessions/", "events/", "webhooks/", "keys/", "calls/", "faults/"]


def urls_of_ours() -> dict[str, str]:
    """Name and route of every URL in our namespaces."""
    found: dict[str, str] = {}

    def walk(resolver: URLResolver, before: str, namespace: str) -> None:
        for each in resolver.url_patterns:
            route = before + str(each.pattern)
            if isinstance(each, URLResolver):
                walk(each, route, each.namespace or namespace)
            elif namespace in NAMESPACES:
                found[f"{namespace}:{each.name}"] = f"/{route}"

    walk(get_resolver("example_project.urls"), "", "")
    return found


@pytest.fixture(scope="module")
def window(browser, demo):
    """The owner's browser, with an account connected."""
    window = Agency(browser, demo).log_in().be_connected()
    yield window
    window.close()


@pytest.fixture(scope="module")
def facts(browser, demo, window) -> dict[str, str]:
    """The ids and links of a request in each state, read from the pages."""
    editor = Editor(browser, demo).log_in()
    facts: dict[str, str] = {"kind": "reminder", "language": "en"}
    for state in ("paid", "processing", "deleted", "pending"):
        email = f"{state}@pages.example"
        editor.send(email, description="A long enough description of what this bill is for")
        client = Client(browser, demo, email)
        facts[f"{state}_link"] = client.open_bill()
        if state == "paid":
            client.go_to_checkout()
            facts["session"] = client.page.url
            client.pay()
            client.open_mail("we received")
            facts["mail"] = client.page.url
            client.open(facts["paid_link"])
            receipt = client.page.get_by_role("link", name="Receipt").get_attribute("href")
            facts["payment"] = receipt.rstrip("/").rpartition("/")[2]
            facts["paid_token"] = facts["paid_link"].rstrip("/").rpartition("/")[2]
        elif state == "processing":
            client.go_to_checkout()
            client.press("Pay later (bank debit)")
            expect(client.page.get_by_role("heading", name="on its way")).to_be_visible()
        client.close()
        href = editor.row(email).get_by_role("link", name=re.compile("TEST-")).first
        facts[state] = re.search(r"/(\d+)/", href.get_attribute("href"))[1]
    editor.delete("deleted@pages.example")
    facts["token"] = facts["pending_link"].rstrip("/").rpartition("/")[2]
    editor.go_to_billing()
    facts["billing"] = editor.page.url.partition("#")[0]
    editor.close()
    window.go_to_connection()
    href = window.page.get_by_role("link", name="Unlink account").get_attribute("href")
    facts["account"] = re.search(r"/(\d+)/", href)[1]
    return facts


@pytest.fixture
def agency(window, facts):
    window.problems.clear()
    return window


@pytest.fixture
def client(browser, demo):
    client = Client(browser, demo, "pending@pages.example")
    yield client
    client.close()


def address(name: str, arguments: dict[str, str], facts: dict[str, str]) -> str:
    def fill(match: re.Match[str]) -> str:
        return facts[arguments[match[1]]]

    return re.sub(r"<\w+:(\w+)>", fill, urls_of_ours()[name])


def test_every_url_of_ours_is_looked_at():
    assert set(urls_of_ours()) == {
        *ADMIN_PAGES,
        *PUBLIC_PAGES,
        *FRAGMENTS,
        *ELSEWHERE,
        *ON_THE_WAY,
        *POSTED,
    }


def test_the_policy_is_on_and_its_violations_are_heard(agency):
    answer = agency.page.goto(f"{agency.demo.base}/admin/")
    assert answer.headers["content-security-policy"].startswith("default-src 'self'")
    assert not agency.problems
    agency.page.evaluate("document.body.append(document.createElement('style'))")
    agency.page.evaluate("document.querySelector('body > style').textContent = 'b {}'")
    agency.page.wait_for_timeout(200)
    assert agency.problems


def test_what_is_left_out_is_wagtails_own(agency):
    agency.open("/admin/")
    expect(agency.sidebar).to_contain_text("Invoices")
    listed = set(WAGTAILS_OWN)
    WAGTAILS_OWN.clear()
    try:
        found = {(rule, selector) for rule, selector, _ in axe_findings(agency.page)}
    finally:
        WAGTAILS_OWN.update(listed)
    assert listed == found


@pytest.mark.parametrize("name", ADMIN_PAGES)
def test_admin_page(name, agency, facts):
    answer = agency.page.goto(agency.demo.base + address(name, ADMIN_PAGES[name], facts))
    assert answer.status == 200
    expect(agency.sidebar).to_contain_text("Invoices")
    assert_nothing_found(agency.page, agency.problems)


def test_the_list_while_somebody_searches(agency, facts):
    with agency.page.expect_response(re.compile("/invoices/results/")):
        agency.open("/admin/client-billing/invoices/")
        agency.page.locator("#id_q").fill("pending@pages")
    expect(agency.row("pending@pages.example")).to_be_visible()
    expect(agency.row("paid@pages.example")).to_have_count(0)
    assert_nothing_found(agency.page, agency.problems)
    agency.page.locator("#id_q").fill("nobody at all")
    expect(agency.page.get_by_text("No invoices match")).to_be_visible()
    assert_nothing_found(agency.page, agency.problems)


@pytest.mark.parametrize("tab", ["Billing requests", "Defaults"])
def test_a_sites_settings(tab, agency, facts):
    agency.open(facts["billing"])
    agency.page.get_by_role("tab", name=tab).click()
    assert_nothing_found(agency.page, agency.problems)


def test_the_dialog_that_adds_a_request(agency, facts):
    agency.open(facts["billing"])
    agency.press("Add Billing Request")
    expect(agency.page.get_by_role("dialog")).to_be_visible()
    assert_nothing_found(agency.page, agency.problems)


def test_a_request_with_errors(agency, facts):
    agency.open(facts["billing"])
    agency.press("Add Billing Request")
    agency.press("Send Billing Request", within=agency.page.get_by_role("dialog"))
    form = agency.page.locator("main form.wcb-form")
    expect(form.get_by_label("Email")).to_have_attribute("aria-invalid", "true")
    assert_nothing_found(agency.page, agency.problems)


def test_the_amount_is_said_back_and_doubted(agency, facts):
    agency.open(facts["billing"])
    agency.press("Add Billing Request")
    dialog = agency.page.get_by_role("dialog")
    dialog.get_by_label("Email").fill("doubt@pages.example")
    dialog.get_by_label("Amount").press_sequentially("1,234")
    expect(dialog.get_by_role("status")).to_contain_text("€1,234.00, one time")
    dialog.get_by_text("More", exact=True).click()
    expect(dialog.get_by_label("Language of the client")).to_be_visible()
    assert_nothing_found(agency.page, agency.problems)
    agency.press("Send Billing Request", within=dialog)
    box = agency.page.get_by_role("checkbox", name="Yes, €1,234.00 is meant.")
    expect(box).to_be_visible()
    assert_nothing_found(agency.page, agency.problems)
    # On the page as in the dialog.
    agency.page.locator("main").get_by_label("Amount").fill("99")
    expect(agency.page.locator("main output")).to_contain_text("€99.00, one time")
    assert_nothing_found(agency.page, agency.problems)


@pytest.mark.parametrize("tab", ["General", "Client billing", "Health"])
def test_the_agencys_settings(tab, agency):
    agency.go_to_connection()
    agency.page.get_by_role("tab", name=tab).click()
    assert_nothing_found(agency.page, agency.problems)


def test_the_dialog_that_connects_and_its_errors(agency):
    agency.go_to_connection()
    agency.press("Connect a live account")
    dialog = agency.page.get_by_role("dialog")
    expect(dialog).to_be_visible()
    assert_nothing_found(agency.page, agency.problems)
    agency.press("Connect", within=dialog)
    form = agency.page.locator("main form.wcb-form")
    expect(form.get_by_label("Country")).to_have_attribute("aria-invalid", "true")
    assert_nothing_found(agency.page, agency.problems)


def test_the_rights_of_a_group(agency):
    agency.open("/admin/groups/")
    agency.page.get_by_role("link", name="Bakery: pages and billing", exact=True).click()
    panel = agency.page.locator("#client-billing-permissions-section")
    expect(panel).to_be_visible()
    # Wagtail's own page chooser on this form has an inline script; our panel has nothing inline.
    assert all("Executing inline script" in problem for problem in agency.problems)
    expect(panel.locator("script, style, [style]")).to_have_count(0)
    assert_nothing_found(agency.page, [])


@pytest.mark.parametrize("name", PUBLIC_PAGES)
def test_public_page(name, client, facts):
    answer = client.page.goto(client.demo.bakery + address(name, PUBLIC_PAGES[name], facts))
    assert answer.status == 200
    assert_nothing_found(client.page, client.problems)


@pytest.mark.parametrize("state", ["paid", "processing", "deleted", "unknown"])
def test_closed_link(state, client, facts):
    unknown = f"{client.demo.bakery}/billing/pay/{'A' * 43}/"
    client.open(facts.get(f"{state}_link", unknown))
    expect(client.page.get_by_role("button")).to_have_count(0)
    assert_nothing_found(client.page, client.problems)


@pytest.fixture(scope="module")
def states(demo, facts) -> dict[str, str]:
    """Tokens of bills in states that take a fault, a race or a wait to come about."""
    printed = demo.manage("shell", "-c", "from tests.browser import states; states.make()")
    return json.loads(printed.strip().splitlines()[-1])


@pytest.mark.parametrize(
    ("state", "heading"),
    [
        ("changing", "This bill is being changed"),
        ("review", "We have your payment"),
        ("expired", "This link has expired"),
        ("not_ready", "This bill cannot be paid at the moment"),
        ("closing", "This link is closing"),
        ("refunded", "Your payment was refunded"),
        ("subscribed", "Thank you, this bill is paid"),
        ("past_due", "A payment did not go through"),
        ("ended", "This subscription has ended"),
    ],
)
def test_link_in_a_rare_state(state, heading, client, states):
    client.open(f"{client.demo.bakery}/billing/pay/{states[state]}/")
    expect(client.page.get_by_role("heading", name=heading)).to_be_visible()
    assert_nothing_found(client.page, client.problems)


def test_the_sandboxs_pages(client, facts):
    addresses = [f"{client.demo.base}/sandbox/{path}" for path in SANDBOX_PAGES]
    for each in [*addresses, facts["mail"], facts["session"]]:
        client.open(each)
        assert_nothing_found(client.page, client.problems)
