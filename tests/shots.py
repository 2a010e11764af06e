"""Writes every screen to shots/: light and dark, on a desk and on a phone (``make shots``).

    python -m tests.shots [folder] [--only NAME]

Starts a demo of its own in an empty folder, goes the way of a bill by clicking, and photographs
what is there for a moment on the way, and afterwards all of ``SCREENS``. A new screen is a line
in ``SCREENS``, or a ``shoot`` in ``walk`` where it does not last.
"""

import argparse
import re
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from tests.browser.conftest import ARGUMENTS, chromium_path
from tests.browser.people import Agency, Client, Editor, Staff
from tests.browser.processes import ROOT, Demo
from tests.browser.test_money_back import WRONG_MONEY
from tests.browser.test_own import MAKE_CLIENT, Baker

SIZES = {"1280": (1280, 900), "375": (375, 812)}
SCHEMES = ("light", "dark")
# Wagtail's pages scroll inside the window, and only the window would be seen.
HIDDEN_BELOW = """() => {
    const main = document.querySelector("#main");
    return main ? Math.max(0, main.scrollHeight - main.clientHeight) : 0;
}"""
AGENCY_SETTINGS = "/admin/settings/wagtail_client_billing/agencysettings/#tab-client_billing"
INVOICES = "/admin/client-billing/invoices/"
MESSAGES = f"{INVOICES}account/messages/"

# A payment after its bill was deleted is a race with Stripe; made by hand.
LATE_MONEY = """
from django.utils import timezone
from wagtail_client_billing import lifecycle
from wagtail_client_billing.models import CheckoutAttempt
attempt = CheckoutAttempt.objects.get(request__email="{email}")
facts = lifecycle.PaymentFacts(
    source="pi_late", intent_id="pi_late", amount_minor=attempt.amount_minor, currency=attempt.currency,
    received_at=timezone.now(), method="visa", last4="4242",
)
lifecycle.record_payment(attempt, facts, cause="webhook")
"""


class Guest(Staff):
    user = "guest"

    def log_in(self) -> "Guest":
        self.open("/admin/")
        self.page.get_by_label("Username").fill(self.user)
        self.page.get_by_label("Password").fill("demo")
        self.page.get_by_role("button", name="Sign in").click()
        expect(self.page.locator("#wagtail-sidebar")).to_contain_text("Help")
        return self


PEOPLE = {person.user: person for person in (Agency, Editor, Guest, Baker)}
Act = Callable[[Page], None]


def nothing(page: Page) -> None:
    """The page as it opens."""


def press(name: str) -> Act:
    """Presses the button or link with this text, for instance to open a dialog."""

    def act(page: Page) -> None:
        page.get_by_role("button", name=name).or_(page.get_by_role("link", name=name)).first.click()

    return act


def send_empty(page: Page) -> None:
    press("Add Billing Request")(page)
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Email").fill("nobody")
    dialog.get_by_label("Amount").fill("12,3")
    dialog.get_by_role("button", name="Send Billing Request").click()
    page.wait_for_load_state("networkidle")


def send_doubtful(page: Page) -> None:
    press("Add Billing Request")(page)
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Email").fill("client@customer.example")
    dialog.get_by_label("Amount").fill("1,234")
    dialog.get_by_role("button", name="Send Billing Request").click()
    expect(page.get_by_role("checkbox", name="is meant")).to_be_visible()


def open_more(page: Page) -> None:
    press("Add Billing Request")(page)
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Amount").fill("1,234.56")
    expect(dialog.get_by_role("status")).to_contain_text("one time")
    dialog.get_by_text("More", exact=True).click()


def choose_monthly(page: Page) -> None:
    press("Add Billing Request")(page)
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Amount").fill("49")
    dialog.get_by_label("Billing type").select_option("monthly")
    expect(dialog.get_by_role("status")).to_contain_text("every month")
    dialog.get_by_text("More", exact=True).click()
    dialog.get_by_label("Last day").scroll_into_view_if_needed()


def choose_monthly_in_french(page: Page) -> None:
    press("Ajouter une demande de paiement")(page)
    dialog = page.get_by_role("dialog")
    dialog.locator("[name=amount]").fill("49")
    dialog.locator("[name=billing_type]").select_option("monthly")
    dialog.locator("summary").click()
    dialog.locator("[name=ends_on]").scroll_into_view_if_needed()


def print_receipt(page: Page) -> None:
    press("Receipt")(page)
    page.wait_for_load_state()
    page.emulate_media(media="print")


def save_wrong_defaults(page: Page) -> None:
    form = page.locator("main form")
    form.locator("[name=client_emails]").fill("nobody")
    form.locator("[name=link_lifetime_number]").fill("91")
    form.locator("[name=link_lifetime_unit]").select_option("days")
    page.get_by_role("button", name="Save").first.click()
    page.get_by_role("tab", name="Defaults").click()


def choose_all(page: Page) -> None:
    page.get_by_role("checkbox").locator("visible=true").first.check()
    page.wait_for_timeout(400)


def delete_all(page: Page) -> None:
    choose_all(page)
    press("Delete the selected invoices")(page)
    page.wait_for_load_state("networkidle")


@dataclass(frozen=True)
class Screen:
    """One screen of somebody; ``url`` may name facts that the walk found, as ``{paid}``."""

    name: str
    url: str
    user: str | None = "agency"
    act: Act = nothing
    locale: str = "en-GB"


SCREENS = [
    Screen("front-agency", "/", None),
    Screen("front-bakery", "{bakery}/", None),
    Screen("front-thank-you", "{bakery}/thank-you/", None),
    Screen("front-cancelled", "{bakery}/cancelled/", None),
    Screen("admin-home", "/admin/"),
    Screen("admin-home-guest", "/admin/", "guest"),
    Screen("agency-general", "/admin/settings/wagtail_client_billing/agencysettings/#tab-general"),
    Screen("agency-connected", AGENCY_SETTINGS),
    Screen("agency-replace-key", AGENCY_SETTINGS, act=press("Replace key")),
    Screen("agency-roll-secret", AGENCY_SETTINGS, act=press("Roll webhook secret")),
    Screen("agency-health", AGENCY_SETTINGS.replace("#tab-client_billing", "#tab-health")),
    Screen("agency-messages", AGENCY_SETTINGS.replace("#tab-client_billing", "#tab-messages")),
    Screen("agency-message", MESSAGES + "payment_link/in/en/"),
    Screen("agency-message-preview", MESSAGES + "reminder/in/en/preview/"),
    Screen("agency-message-preview-nothing", MESSAGES + "agency_mail/in/en/preview/"),
    Screen("agency-message-off", MESSAGES + "reminder/off/"),
    Screen("agency-unlink", AGENCY_SETTINGS, act=press("Unlink account")),
    Screen("site-list", "{site_settings}", "editor"),
    Screen("site-list-switcher", "{site_settings}"),
    Screen("site-defaults", "{site_defaults}", "editor"),
    Screen("site-defaults-errors", "{site_defaults}", "editor", save_wrong_defaults),
    Screen("add-dialog", "{site_settings}", "editor", press("Add Billing Request")),
    Screen("add-more", "{site_settings}", "editor", open_more),
    Screen("add-monthly", "{site_settings}", "editor", choose_monthly),
    Screen("add-monthly-fr", "{site_settings}", "editor", choose_monthly_in_french, locale="fr-FR"),
    Screen("add-doubts", "{site_settings}", "editor", send_doubtful),
    Screen("add-errors", "{site_settings}", "editor", send_empty),
    Screen("invoices", INVOICES),
    Screen("invoices-nothing-found", INVOICES + "?q=nobody@nowhere.example"),
    Screen("invoices-paid", INVOICES + "?status=paid"),
    Screen("invoice-paid", "{paid_detail}"),
    Screen("invoice-pending", "{pending_detail}"),
    Screen("invoice-pending-fr", "{pending_detail}", locale="fr-FR"),
    Screen("invoice-pending-more", "{pending_detail}", act=press("Actions")),
    Screen("invoice-processing", "{processing_detail}"),
    Screen("invoice-expired", "{expired_detail}"),
    Screen("invoice-deleted", "{deleted_detail}"),
    Screen("invoice-delete", "{pending_detail}", act=press("Delete")),
    Screen("invoice-edit", "{pending_detail}", act=press("Edit")),
    Screen("invoice-edit-fr", "{pending_detail}edit/", locale="fr-FR"),
    Screen("invoice-mark-paid", "{pending_detail}", act=press("Mark as paid")),
    Screen("invoice-by-hand", "{by_hand_detail}"),
    Screen("invoice-take-back", "{by_hand_detail}", act=press("Take payment back")),
    Screen("invoice-renew", "{expired_detail}", act=press("Renew")),
    Screen("invoice-changed", "{changed_detail}"),
    Screen("invoice-refund", "{paid_detail}", act=press("Refund")),
    Screen("invoice-refunded", "{refunded_detail}"),
    Screen("invoice-refunded-fr", "{refunded_detail}", locale="fr-FR"),
    Screen("invoice-disputed", "{disputed_detail}"),
    Screen("invoice-disputed-fr", "{disputed_detail}", locale="fr-FR"),
    Screen("invoice-late", "{late_detail}"),
    Screen("invoice-late-fr", "{late_detail}", locale="fr-FR"),
    Screen("invoice-review", "{doubtful_detail}"),
    Screen("invoice-review-fr", "{doubtful_detail}", locale="fr-FR"),
    Screen("review-refund", "{doubtful_detail}", act=press("Refund €20.00")),
    Screen("review-accept", "{doubtful_detail}", act=press("Accept the money")),
    Screen("review-dismiss", "{doubtful_detail}", act=press("Dismiss the review")),
    Screen("invoice-subscription-past-due", "{past_due_detail}"),
    Screen("invoice-subscription-ended", "{subscribed_detail}"),
    Screen("bill-changed", "{changed}", None),
    Screen("bill-changed-fr", "{changed}", None, locale="fr-FR"),
    Screen("send-again", "{expired_detail}", act=press("Send again")),
    Screen("invoices-fr", INVOICES, locale="fr-FR"),
    Screen("invoices-chosen", INVOICES, act=choose_all),
    Screen("bulk-confirm", INVOICES, act=delete_all),
    Screen("bulk-job", "{job}"),
    Screen("bulk-job-fr", "{job}", locale="fr-FR"),
    Screen("site-list-fr", "{site_settings}", locale="fr-FR"),
    Screen("invoice-changed-fr", "{changed_detail}", locale="fr-FR"),
    Screen("admin-home-fr", "/admin/", locale="fr-FR"),
    Screen("own", INVOICES, "baker"),
    Screen("own-detail", "{paid_detail}", "baker"),
    Screen("own-fr", INVOICES, "baker", locale="fr-FR"),
    Screen("report", INVOICES + "report/"),
    Screen("report-fr", INVOICES + "report/", locale="fr-FR"),
    Screen("report-errors", INVOICES + "report/?start=2026-12-01&end=2026-01-01"),
    Screen("group", "{group}"),
    Screen("bill-payable", "{pending}", None),
    Screen("bill-payable-fr", "{pending}", None, locale="fr-FR"),
    Screen("bill-paid", "{paid}", None),
    Screen("bill-processing", "{processing}", None),
    Screen("bill-expired", "{expired}", None),
    Screen("bill-expired-fr", "{expired}", None, locale="fr-FR"),
    Screen("bill-deleted", "{deleted}", None),
    Screen("bill-refunded", "{refunded}", None),
    Screen("bill-review", "{doubtful}", None),
    Screen("bill-subscription-past-due", "{past_due}", None),
    Screen("bill-subscription-past-due-fr", "{past_due}", None, locale="fr-FR"),
    Screen("bill-subscription-ended", "{subscribed}", None),
    Screen("bill-subscription-ended-fr", "{subscribed}", None, locale="fr-FR"),
    Screen("receipt", "{refunded}", None, press("Receipt")),
    Screen("receipt-fr", "{paid}", None, press("Reçu"), "fr-FR"),
    Screen("receipt-printed", "{paid}", None, print_receipt),
    Screen("bill-unknown", "/billing/pay/unknown/", None),
    Screen("mail", "{mail}", None),
    Screen("inbox", "/sandbox/inbox/", None),
    Screen("sandbox", "/sandbox/", None),
    Screen("sandbox-sessions", "/sandbox/sessions/", None),
    Screen("sandbox-events", "/sandbox/events/", None),
    Screen("sandbox-calls", "/sandbox/calls/", None),
    Screen("sandbox-payments", "/sandbox/payments/", None),
    Screen("sandbox-subscriptions", "/sandbox/subscriptions/", None),
    Screen("sandbox-portal", "{past_due}", None, press("Change card or cancel")),
    Screen("sandbox-faults", "/sandbox/faults/", None),
    Screen("sandbox-keys", "/sandbox/keys/", None),
    Screen("sandbox-webhooks", "/sandbox/webhooks/", None),
]


class Shots:
    """One demo, one browser, one folder of pictures."""

    def __init__(self, browser: Browser, demo: Demo, folder: Path, only: str) -> None:
        self.browser, self.demo, self.folder, self.only = browser, demo, folder, only
        self.facts = {"bakery": demo.bakery}
        self.problems: list[str] = []
        self._states: dict[str | None, Any] = {}
        self._contexts: dict[tuple[Any, ...], BrowserContext] = {}

    def state_of(self, user: str | None) -> Any:
        """The cookies of a logged-in person; logs in once."""
        if user is not None and user not in self._states:
            window = PEOPLE[user](self.browser, self.demo).log_in()
            self._states[user] = window.context.storage_state()
            window.close()
        return self._states.get(user)

    def context_of(self, screen: Screen, size: str, scheme: str) -> BrowserContext:
        """A window like that, with what it has cached; one for all screens of a person."""
        key = (screen.user, screen.locale, size, scheme)
        if key not in self._contexts:
            width, height = SIZES[size]
            context = self.browser.new_context(
                viewport={"width": width, "height": height},
                color_scheme=scheme,
                locale=screen.locale,
                storage_state=self.state_of(screen.user),
                reduced_motion="reduce",
            )
            context.set_default_timeout(15_000)
            self._contexts[key] = context
        return self._contexts[key]

    def shoot(self, screen: Screen) -> None:
        """All pictures of a screen."""
        if self.only not in screen.name:
            return
        print(screen.name, flush=True)
        url = screen.url.format(**self.facts)
        for size in SIZES:
            for scheme in SCHEMES:
                page = self.context_of(screen, size, scheme).new_page()
                page.on("pageerror", lambda error: self._note(screen, error))
                page.on(
                    "console",
                    lambda said: self._note(screen, said.text) if said.type == "error" else None,
                )
                page.goto(url if url.startswith("http") else self.demo.base + url)
                page.wait_for_load_state("networkidle")
                screen.act(page)
                page.wait_for_load_state("networkidle")
                page.wait_for_timeout(300)
                # A dialog covers the window, not the page beneath.
                whole = page.get_by_role("dialog").locator("visible=true").count() == 0
                if whole and (hidden := page.evaluate(HIDDEN_BELOW)):
                    width, height = SIZES[size]
                    page.set_viewport_size({"width": width, "height": height + hidden})
                path = self.folder / f"{screen.name}-{size}-{scheme}.png"
                page.screenshot(path=path, full_page=whole)
                page.close()

    def _note(self, screen: Screen, problem: object) -> None:
        # The screens of refusals are answered with their status.
        if "Failed to load resource" not in str(problem):
            self.problems.append(f"{screen.name}: {problem}")


def walk(shots: Shots) -> None:
    """The way of some bills, one to each end, with the pictures of what does not last."""
    browser, demo = shots.browser, shots.demo
    shots.shoot(Screen("login", "/admin/login/", None))
    shots.shoot(Screen("agency-not-connected", AGENCY_SETTINGS))
    dialog = press("Create Client Billing Account")
    shots.shoot(Screen("connect-dialog", AGENCY_SETTINGS, act=dialog))

    def connect_empty(page: Page) -> None:
        dialog(page)
        page.get_by_role("dialog").get_by_role("button", name="Connect", exact=True).click()
        page.wait_for_load_state("networkidle")

    shots.shoot(Screen("connect-errors", AGENCY_SETTINGS, act=connect_empty))
    shots.shoot(Screen("invoices-empty", INVOICES))

    agency = Agency(browser, demo).log_in()
    editor = Editor(browser, demo).log_in()
    editor.go_to_billing()
    shots.facts["site_settings"] = editor.page.url.split("#")[0]
    shots.facts["site_defaults"] = shots.facts["site_settings"] + "#tab-defaults"
    shots.shoot(Screen("site-not-connected", "{site_settings}", "editor"))
    agency.be_connected()
    shots.shoot(Screen("site-empty", "{site_settings}", "editor"))
    agency.open("/admin/groups/")
    agency.press("Bakery: pages and billing")
    shots.facts["group"] = agency.page.url

    for end, amount, what in (
        ("paid", "1,234.56", "Website, first half"),
        ("processing", "320", "Photographs of the shop"),
        ("deleted", "80", "Hosting, November"),
        ("pending", "49.90", "Hosting, December"),
        ("by_hand", "250", "Copywriting"),
        ("changed", "90", "A new logo"),
        ("refunded", "100", "Menu cards"),
        ("disputed", "180", "Signs for the market"),
        ("late", "75", "Photographs of bread"),
        ("doubtful", "99", "A newsletter"),
    ):
        make(shots, editor, end, amount, what)
    with_short_links(shots, editor)

    for end in ("deleted", "late"):
        editor.go_to_billing()
        editor.delete(f"{end}@customer.example")
    demo.manage("shell", "-v0", "-c", LATE_MONEY.format(email="late@customer.example"))
    demo.manage("shell", "-v0", "-c", WRONG_MONEY.format(email="doubtful@customer.example"))
    for end in (
        *("paid", "processing", "deleted", "pending", "expired", "by_hand", "changed"),
        *("refunded", "disputed", "late", "doubtful"),
    ):
        open_detail(shots, agency, end)
        if end == "by_hand":
            agency.mark_as_paid("Bank transfer")
        if end == "changed":
            agency.edit(amount="120")
        if end == "refunded":
            refund_in_part(agency, "30.50")
        if end == "disputed":
            dispute(shots, agency)
    subscribe(shots, editor, agency)
    agency.open(INVOICES)
    choose_all(agency.page)
    agency.press("Check the selected invoices with Stripe")
    agency.press("Check with Stripe")
    expect(agency.page.get_by_role("heading", name="What became of each")).to_be_visible()
    shots.facts["job"] = agency.page.url
    demo.manage("shell", "-v0", "-c", MAKE_CLIENT)
    let_browsers_choose(demo)
    agency.close()
    editor.close()


def let_browsers_choose(demo: Demo) -> None:
    """Bills have no language of their own any more, and are shown in the browser's."""
    model = "from wagtail_client_billing.models import BillingRequest"
    demo.manage("shell", "-v0", "-c", f"{model}; BillingRequest.objects.update(language='')")


def open_detail(shots: Shots, agency: Agency, end: str) -> None:
    agency.open(INVOICES)
    agency.open_details(f"{end}@customer.example")
    shots.facts[f"{end}_detail"] = agency.page.url


def refund_in_part(agency: Agency, amount: str) -> None:
    """Gives back a part of the payment whose page is open."""
    press("Refund")(agency.page)
    agency.page.get_by_label("Amount in EUR").fill(amount)
    agency.page.get_by_label("Reason").fill("Two of them came folded")
    agency.press("Refund", within=agency.page.locator("main form"))
    expect(agency.page.get_by_text("was refunded to")).to_be_visible()


def dispute(shots: Shots, agency: Agency) -> None:
    """The client's bank takes the payment back for now."""
    bank = Client(shots.browser, shots.demo, "disputed@customer.example")
    bank.open("/sandbox/payments/")
    row = bank.page.locator("tbody tr").filter(has_text=bank.email)
    row.get_by_role("button", name=re.compile("^Dispute")).click()
    bank.close()
    agency.until(lambda: agency.page.get_by_role("link", name="Answer at Stripe"))


def subscribe(shots: Shots, editor: Editor, agency: Agency) -> None:
    """Two monthly bills: one that is cancelled, and one whose second charge does not come.

    The cancelled one first: the sandbox's clock, which brings the second charge, is one for all.
    """
    make(shots, editor, "subscribed", "49", "Hosting and care", kind="monthly")
    let_browsers_choose(shots.demo)
    shots.shoot(Screen("bill-subscription-active", "{subscribed}", None))
    shots.shoot(Screen("bill-subscription-active-fr", "{subscribed}", None, locale="fr-FR"))
    portal = press("Change card or cancel")
    shots.shoot(Screen("sandbox-portal-active", "{subscribed}", None, portal))
    open_detail(shots, agency, "subscribed")
    detail = "{subscribed_detail}"
    shots.shoot(Screen("invoice-subscription-active", detail))
    shots.shoot(Screen("invoice-subscription-active-fr", detail, locale="fr-FR"))
    later = press("Cancel at the end of the period")
    shots.shoot(Screen("subscription-cancel-later", detail, act=later))
    shots.shoot(Screen("subscription-cancel-now", detail, act=press("Cancel now")))
    later(agency.page)
    agency.press("Yes, cancel it then")
    expect(agency.timeline()).to_contain_text("Subscription will end on")
    shots.shoot(Screen("invoice-subscription-ending", detail))
    shots.shoot(Screen("bill-subscription-ending", "{subscribed}", None))
    shots.shoot(Screen("subscription-keep", detail, act=press("Keep")))
    agency.press("Cancel now")
    agency.press("Yes, cancel it now")
    expect(agency.timeline()).to_contain_text("Subscription cancelled")

    make(shots, editor, "past_due", "19", "Newsletter", kind="monthly")
    bank = Client(shots.browser, shots.demo, "past_due@customer.example")
    for name in ("Declines", "Go to the next charge"):
        bank.open("/sandbox/subscriptions/")
        row = bank.page.locator("tbody tr").filter(has_text=bank.email)
        row.get_by_role("button", name=re.compile(f"^{name}")).click()
        bank.page.wait_for_load_state()
    bank.close()
    open_detail(shots, agency, "past_due")
    agency.until(lambda: agency.page.get_by_text("A charge did not come."))


# The ends on the way to which the client pays.
PAYS = ("paid", "refunded", "disputed", "subscribed", "past_due")


def make(
    shots: Shots, editor: Editor, end: str, amount: str, what: str, kind: str = "one_time"
) -> None:
    """Sends a bill and brings it to its end; the facts then have its link."""
    editor.send(f"{end}@customer.example", amount, what, kind)
    client = Client(shots.browser, shots.demo, f"{end}@customer.example")
    client.open_mail()
    shots.facts.setdefault("mail", client.page.url)
    shots.facts[end] = client.open_link()
    if end in PAYS:
        client.go_to_checkout()
        if end == "paid":
            shots.shoot(Screen("checkout", client.page.url, None))
        client.pay()
        editor.go_to_billing()
        editor.until_row(client.email, "Paid")
    elif end == "processing":
        client.go_to_checkout()
        client.press("Pay later (bank debit)")
        client.page.wait_for_load_state("networkidle")
    elif end in ("late", "doubtful"):
        client.go_to_checkout()
    client.close()


def with_short_links(shots: Shots, editor: Editor) -> None:
    """A bill that expires, while the web server gives links a few seconds."""
    demo = shots.demo
    demo.stop("web")
    demo.env["LINK_LIFETIME"] = "5"
    demo.start("web")
    make(shots, editor, "expired", "15", "A second favicon")
    demo.stop("web")
    del demo.env["LINK_LIFETIME"]
    demo.start("web")
    editor.go_to_billing()
    editor.until_row("expired@customer.example", re.compile("Expired"), seconds=120)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", default=str(ROOT / "shots"))
    parser.add_argument("--only", default="", help="screens whose name contains this")
    options = parser.parse_args()
    if chromium_path() is None:
        sys.exit("Chromium is needed: apt install chromium")
    folder = Path(options.folder)
    if not options.only:
        shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as var, sync_playwright() as playwright:
        demo = Demo(Path(var))
        browser = playwright.chromium.launch(executable_path=chromium_path(), args=ARGUMENTS)
        shots = Shots(browser, demo, folder, options.only)
        try:
            demo.prepare()
            demo.start()
            walk(shots)
            for screen in SCREENS:
                shots.shoot(screen)
        finally:
            demo.stop()
            browser.close()
    for problem in dict.fromkeys(shots.problems):
        print(f"in the browser's console: {problem}")
    print(f"{len(list(folder.glob('*.png')))} pictures in {folder}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
