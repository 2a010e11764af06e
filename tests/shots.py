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
from tests.browser.test_own import MAKE_CLIENT, Baker

SIZES = {"1280": (1280, 900), "375": (375, 812)}
SCHEMES = ("light", "dark")
AGENCY_SETTINGS = "/admin/settings/wagtail_client_billing/agencysettings/#tab-client_billing"
INVOICES = "/admin/client-billing/invoices/"
MESSAGES = f"{INVOICES}account/messages/"


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
    Screen("add-doubts", "{site_settings}", "editor", send_doubtful),
    Screen("add-errors", "{site_settings}", "editor", send_empty),
    Screen("invoices", INVOICES),
    Screen("invoices-nothing-found", INVOICES + "?q=nobody@nowhere.example"),
    Screen("invoices-paid", INVOICES + "?status=paid"),
    Screen("invoice-paid", "{paid_detail}"),
    Screen("invoice-pending", "{pending_detail}"),
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
    Screen("bill-unknown", "/billing/pay/unknown/", None),
    Screen("mail", "{mail}", None),
    Screen("inbox", "/sandbox/inbox/", None),
    Screen("sandbox", "/sandbox/", None),
    Screen("sandbox-sessions", "/sandbox/sessions/", None),
    Screen("sandbox-events", "/sandbox/events/", None),
    Screen("sandbox-calls", "/sandbox/calls/", None),
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
    ):
        make(shots, editor, end, amount, what)
    with_short_links(shots, editor)

    editor.go_to_billing()
    editor.delete("deleted@customer.example")
    for end in ("paid", "processing", "deleted", "pending", "expired", "by_hand", "changed"):
        agency.open(INVOICES)
        agency.open_details(f"{end}@customer.example")
        shots.facts[f"{end}_detail"] = agency.page.url
        if end == "by_hand":
            agency.mark_as_paid("Bank transfer")
        if end == "changed":
            agency.edit(amount="120")
    agency.open(INVOICES)
    choose_all(agency.page)
    agency.press("Check the selected invoices with Stripe")
    agency.press("Check with Stripe")
    expect(agency.page.get_by_role("heading", name="What became of each")).to_be_visible()
    shots.facts["job"] = agency.page.url
    demo.manage("shell", "-v0", "-c", MAKE_CLIENT)
    agency.close()
    editor.close()


def make(shots: Shots, editor: Editor, end: str, amount: str, what: str) -> None:
    """Sends a bill and brings it to its end; the facts then have its link."""
    editor.send(f"{end}@customer.example", amount, what)
    client = Client(shots.browser, shots.demo, f"{end}@customer.example")
    client.open_mail()
    shots.facts.setdefault("mail", client.page.url)
    shots.facts[end] = client.open_link()
    if end == "paid":
        client.go_to_checkout()
        shots.shoot(Screen("checkout", client.page.url, None))
        client.pay()
        editor.go_to_billing()
        editor.until_row(client.email, "Paid")
    elif end == "processing":
        client.go_to_checkout()
        client.press("Pay later (bank debit)")
        client.page.wait_for_load_state("networkidle")
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
