"""The people of the demo and what they do, by clicking and typing.

Nothing in here touches a database or calls the product: what is known was read from a page.
"""

import re
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Self

from playwright.sync_api import Browser, BrowserContext, Error, Locator, Page, expect

from .processes import Demo

KEY = "rk_test_51BrowserTests00000000000001"
ACCOUNT = re.compile(r"Sandbox|acct_")
NUMBER = re.compile(r"TEST-\d{4}-\d{6}")
SECONDS = 1000
# Machines that test are slow at times. Nothing waits longer than it must.
PATIENCE = 60

expect.set_options(timeout=PATIENCE * SECONDS)


class Window:
    """Somebody's browser, with a profile of its own; it remembers what went wrong in it."""

    user: str | None = None

    def __init__(self, browser: Browser, demo: Demo, **options: object) -> None:
        self.demo = demo
        self.problems: list[str] = []
        options = {"locale": "en-GB", "viewport": {"width": 1280, "height": 900}, **options}
        self.context: BrowserContext = browser.new_context(
            storage_state=demo.cookies.get(self.user), **options
        )
        self.context.set_default_timeout(PATIENCE * SECONDS)
        self.context.on("page", self._watch)
        self.page: Page = self.context.new_page()

    def _watch(self, page: Page) -> None:
        page.on("pageerror", lambda error: self.problems.append(f"{page.url}: {error}"))
        page.on("console", self._keep)

    def _keep(self, message) -> None:
        # What was refused by status is the scenarios' own business.
        if message.type == "error" and "Failed to load resource" not in message.text:
            self.problems.append(f"{message.location.get('url', '')}: {message.text}")

    def close(self) -> None:
        self.remember()
        self.context.close()

    def remember(self) -> None:
        """Keeps the page for whoever looks for secrets; the sandbox shows its keys openly."""
        with suppress(Error):  # it may be on its way to the next one
            if self.page.url.startswith("http") and "/sandbox/" not in self.page.url:
                self.demo.pages.append(self.page.content())

    def photograph(self, path: Path) -> None:
        for number, page in enumerate(self.context.pages):
            page.screenshot(path=path.with_stem(f"{path.stem}-{number}"), full_page=True)

    def open(self, path: str) -> Self:
        self.page.goto(path if path.startswith("http") else self.demo.base + path)
        self.remember()
        return self

    def press(self, name: str, *, within: Page | Locator | None = None) -> None:
        """The button or link with exactly this text."""
        self.remember()
        place = within or self.page
        button = place.get_by_role("button", name=name, exact=True)
        button.or_(place.get_by_role("link", name=name, exact=True)).first.click()

    def until(self, found: Callable[[], Locator], seconds: float = PATIENCE) -> Locator:
        """Reloads the page until something is to be seen on it."""
        deadline = time.monotonic() + seconds
        while True:
            locator = found()
            try:
                expect(locator).to_be_visible(timeout=1 * SECONDS)
            except AssertionError:
                if time.monotonic() > deadline:
                    raise
                self.page.reload()
            else:
                return locator


class Staff(Window):
    """Somebody who works in the Wagtail admin."""

    user_name = ""

    def log_in(self) -> Self:
        """Logs in; once for each demo, since later windows start with the cookies of the first."""
        self.open("/admin/")
        if self.user not in self.demo.cookies:
            self.page.locator("input[name=username]").fill(self.user)
            self.page.locator("input[name=password]").fill("demo")
            self.page.locator("form button[type=submit]").click()
        expect(self.sidebar).to_contain_text(self.user_name)
        self.demo.cookies[self.user] = self.context.storage_state()
        return self

    @property
    def sidebar(self) -> Locator:
        return self.page.locator("#wagtail-sidebar")

    def choose(self, *names: str) -> None:
        """Goes through Wagtail's menu."""
        *menus, last = names
        for name in menus:
            self.sidebar.get_by_role("button", name=name, exact=True).click()
        self.sidebar.get_by_role("link", name=re.compile(f"^{last}$", re.IGNORECASE)).click()

    def row(self, text: str) -> Locator:
        """The row of a list in which this stands."""
        return self.page.locator("main tbody tr").filter(has_text=text)

    def until_row(
        self, text: str, *says: str, without: str = "", seconds: float = PATIENCE
    ) -> Locator:
        """Reloads a list until the row of ``text`` says all of this, and not ``without``."""

        def found() -> Locator:
            row = self.row(text)
            for each in says:
                row = row.filter(has_text=each)
            return row.filter(has_not_text=without) if without else row

        return self.until(found, seconds)

    def open_details(self, text: str) -> None:
        self.row(text).get_by_role("link", name=NUMBER).first.click()
        expect(self.page.get_by_role("heading", name="What happened")).to_be_visible()

    def delete(self, text: str) -> None:
        """Deletes a request from its row's menu."""
        row = self.row(text)
        row.get_by_role("button", name=re.compile("More options")).click()
        self.page.get_by_role("link", name="Delete", exact=True).locator("visible=true").click()
        self.press("Yes, delete")

    def edit(self, **typed: str) -> None:
        """Changes the request whose page is open: ``amount``, ``description``, ``email``."""
        self.press("Edit")
        for name, value in typed.items():
            self.page.get_by_label(name.capitalize()).first.fill(value)
        self.press("Save")
        expect(self.page.get_by_text("was changed")).to_be_visible()

    def mark_as_paid(self, note: str) -> None:
        """Says that the request whose page is open was paid past Stripe."""
        self.press("Mark as paid")
        self.page.get_by_label("Note").fill(note)
        self.page.locator("main form").get_by_role("button", name="Mark as paid").click()
        expect(self.page.get_by_text("is marked as paid")).to_be_visible()

    def timeline(self) -> Locator:
        return self.page.locator(".wcb-timeline")


class Agency(Staff):
    """The owner."""

    user, user_name = "agency", "Ada"

    def go_to_connection(self) -> None:
        self.open("/admin/settings/wagtail_client_billing/agencysettings/")
        self.page.get_by_role("tab", name="Client billing").click()

    def connect(self) -> Locator:
        """Connects the sandbox's account in the dialog; returns the card of the account."""
        self.press("$ Create Client Billing Account")
        dialog = self.page.get_by_role("dialog")
        expect(dialog).to_be_visible()
        expect(dialog.get_by_label("Test mode")).to_be_checked()
        dialog.get_by_label("Country").select_option(label="France")
        dialog.get_by_label("Privacy policy URL").fill(f"{self.demo.base}/privacy/")
        dialog.get_by_label("Terms of service URL").fill(f"{self.demo.base}/terms/")
        dialog.get_by_label("Restricted key").fill(KEY)
        self.press("Connect", within=dialog)
        card = self.page.locator(".wcb-card").filter(has_text="Unlink account")
        expect(card).to_be_visible()
        self.demo.connected = True
        return card

    def unlink(self) -> None:
        self.press("Unlink account")
        self.page.locator("main form").get_by_role("button", name="Unlink account").click()
        expect(self.page.get_by_text("is unlinked.")).to_be_visible()
        self.demo.connected = False

    def be_connected(self) -> Self:
        """Connects, unless that was done in this demo before."""
        if not self.demo.connected:
            self.go_to_connection()
            self.connect()
        return self

    def go_to_invoices(self) -> None:
        self.choose("Invoices")
        expect(self.page.get_by_role("heading", name="Invoices")).to_be_visible()


class Editor(Staff):
    """May bill for the bakery, and for nobody else."""

    user, user_name = "editor", "Ed"

    def go_to_billing(self) -> None:
        self.choose("Settings", "Client Billing")
        expect(self.page.get_by_role("heading", name="Client billing").first).to_be_visible()

    def open_dialog(self) -> Locator:
        self.press("Add Billing Request")
        dialog = self.page.get_by_role("dialog")
        expect(dialog).to_be_visible()
        return dialog

    def fill_in(self, form: Locator, email: str, amount: str, description: str = "") -> None:
        form.get_by_label("Email").fill(email)
        form.get_by_label("Amount").fill(amount)
        form.get_by_label("Description").fill(description)

    def send(
        self, email: str, amount: str = "49.90", description: str = "", kind: str = "one_time"
    ) -> str:
        """Sends a request from the dialog; returns its number."""
        self.go_to_billing()
        dialog = self.open_dialog()
        self.fill_in(dialog, email, amount, description)
        dialog.get_by_label("Billing type").select_option(kind)
        self.press("Send Billing Request", within=dialog)
        news = self.page.get_by_text(f"is queued for {email}")
        expect(news).to_be_visible()
        return NUMBER.search(news.inner_text())[0]


class Client(Window):
    """Has an e-mail address, and a browser that has never been here."""

    def __init__(self, browser: Browser, demo: Demo, email: str, **options: object) -> None:
        super().__init__(browser, demo, **options)
        self.email = email

    def open_mail(
        self, subject: str | re.Pattern[str] = "payment of", seconds: float = PATIENCE
    ) -> None:
        """Waits for a mail in the inbox and opens it."""
        self.open("/sandbox/inbox/")
        rows = self.page.locator("tbody tr").filter(has_text=self.email)
        link = self.until(lambda: rows.get_by_role("link", name=re.compile(subject)).first, seconds)
        link.click()
        expect(self.page.get_by_role("heading", name="Headers")).to_be_visible()

    def mail_text(self) -> str:
        return self.page.locator("pre.mail").inner_text()

    def open_link(self) -> str:
        """Opens the payment link of the mail that is open; returns its address."""
        link = self.page.locator("ul.links a[href*='/billing/pay/']").first
        address = link.get_attribute("href")
        link.click()
        expect(self.page.locator("main.wcb-card")).to_be_visible()
        return address

    def open_bill(self) -> str:
        self.open_mail()
        return self.open_link()

    def go_to_checkout(self) -> None:
        """Presses Pay on our page and arrives at Stripe's."""
        self.page.get_by_role("button", name=re.compile("^Pay ")).click()
        expect(self.page.get_by_role("button", name="Pay with 4242")).to_be_visible()

    def pay(self) -> None:
        """Pays on Stripe's page and is led back to the client's site."""
        self.press("Pay with 4242")
        expect(self.page.get_by_role("heading", name="Thank you")).to_be_visible()

    def pay_and_close(self) -> None:
        """Pays, and never comes back."""
        self.press("Pay, then close the window")
        expect(self.page.get_by_text("Paid; this window can be closed.")).to_be_visible()
        self.page.close()


class Developer(Window):
    """Looks after the sandbox."""

    def switch_on(self, fault: str, path: str = "", times: str = "") -> None:
        self.open("/sandbox/faults/")
        self.page.get_by_label(re.compile("^Fault")).select_option(fault)
        self.page.get_by_label("Path or event type begins with").fill(path)
        self.page.get_by_label("Times").fill(times)
        self.press("Switch on")
        expect(
            self.page.get_by_role("button", name=re.compile("^Switch off")).first
        ).to_be_visible()

    def switch_all_off(self) -> None:
        self.open("/sandbox/faults/")
        if self.page.get_by_role("button", name="Switch all off").count():
            self.press("Switch all off")
