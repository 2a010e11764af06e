"""Fills an empty database with the demo, and moves the demo's sites to the port in use."""

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group, Permission
from django.core.management.base import BaseCommand
from django.db import transaction
from wagtail.models import GroupPagePermission, GroupSitePermission, Page, Site

from example_project.home.models import HomePage, StandardPage
from wagtail_client_billing.models import AgencySettings, SiteBillingSettings

PASSWORD = "demo"
BILLING_RIGHTS = ("view", "add", "change", "delete", "resend", "mark_paid")


@dataclass(frozen=True)
class ClientSite:
    name: str
    hostname: str
    currency: str
    intro: str
    thanks: str


BAKERY = ClientSite(
    name="Rise & Shine Bakery",
    hostname="bakery.localhost",
    currency="EUR",
    intro="Sourdough, rye and croissants, baked every night in the old mill.",
    thanks="<p>Thank you, your payment has arrived. The oven is warm already.</p>",
)
LAWYERS = ClientSite(
    name="Hollis & Vane Lawyers",
    hostname="lawyers.localhost",
    currency="GBP",
    intro="Contracts, leases and wills, explained in plain words.",
    thanks="<p>Thank you, your payment has arrived.</p>",
)
CANCELLED = (
    "<p>Nothing was charged. The link in our e-mail stays open until the time it names, "
    "should you want to pay later.</p>"
)
PRIVACY = (
    "<p>Northlight Studio keeps your e-mail address and what you paid for, as long as the law "
    "demands it. Card details go to the payment provider and never reach us.</p>"
)
TERMS = (
    "<p>Bills are payable within the time that the payment link names. Work begins when the "
    "payment has arrived.</p>"
)


class Command(BaseCommand):
    help = "Fills an empty database with the demo; later runs only follow a change of the port."

    def add_arguments(self, parser: Any) -> None:
        parser.add_argument("--port", type=int, default=getattr(settings, "PORT", 8000))

    @transaction.atomic
    def handle(self, *args: Any, **options: Any) -> None:
        # Whoever deleted a page or renamed a site must find it so after the next start.
        if not get_user_model().objects.exists():
            fill(options["port"])
        follow_port(options["port"])


def fill(port: int) -> None:
    root = Page.get_first_root_node()
    fill_agency(root)
    bakery = make_client_site(root, BAKERY, port)
    lawyers = make_client_site(root, LAWYERS, port)
    make_people(bakery, lawyers)


def fill_agency(root: Page) -> None:
    site = Site.objects.filter(is_default_site=True).first() or Site(is_default_site=True)
    welcome = site.root_page_id
    home = HomePage(
        title="Northlight Studio",
        slug="northlight",
        intro="We build and look after websites. This is the agency of the demo.",
    )
    root.add_child(instance=home)
    make_page(home, "Privacy policy", "privacy", PRIVACY, in_menu=True)
    make_page(home, "Terms of service", "terms", TERMS, in_menu=True)
    site.hostname, site.site_name, site.root_page = "localhost", "Northlight Studio", home
    site.save()
    # Wagtail's "Welcome to your new Wagtail site!"
    for page in Page.objects.filter(pk=welcome).exclude(pk=home.pk):
        page.delete()
    agency = AgencySettings.load()
    agency.agency_name = "Northlight Studio"
    agency.contact_email = "hello@northlight.example"
    agency.notification_email = "bills@northlight.example"
    agency.save()


def make_client_site(root: Page, client: ClientSite, port: int) -> Site:
    home = HomePage(title=client.name, slug=client.hostname.split(".")[0], intro=client.intro)
    # Anew, since the last child moved root's place in the tree.
    Page.objects.get(pk=root.pk).add_child(instance=home)
    thanks = make_page(home, "Thank you", "thank-you", client.thanks)
    cancelled = make_page(home, "Payment cancelled", "cancelled", CANCELLED)
    site = Site.objects.create(
        hostname=client.hostname, port=port, site_name=client.name, root_page=home
    )
    SiteBillingSettings.objects.create(
        site=site,
        currency=client.currency,
        success_url=f"{site.root_url}/{thanks.slug}/",
        cancel_url=f"{site.root_url}/{cancelled.slug}/",
    )
    return site


def make_page(
    parent: Page, title: str, slug: str, body: str, *, in_menu: bool = False
) -> StandardPage:
    page = StandardPage(title=title, slug=slug, body=body, show_in_menus=in_menu)
    parent.add_child(instance=page)
    return page


def make_people(bakery: Site, lawyers: Site) -> None:
    users = get_user_model().objects
    users.create_superuser("agency", "agency@northlight.example", PASSWORD, first_name="Ada")

    bakers = Group.objects.create(name="Bakery: pages and billing")
    let_edit_pages(bakers, bakery)
    for action in BILLING_RIGHTS:
        grant(bakers, bakery, f"{action}_billingrequest")
    grant(bakers, bakery, "change_sitebillingsettings")
    editor = users.create_user("editor", "editor@northlight.example", PASSWORD, first_name="Ed")
    editor.groups.add(bakers)

    authors = Group.objects.create(name="All client sites: pages only")
    let_edit_pages(authors, bakery, lawyers)
    guest = users.create_user("guest", "guest@northlight.example", PASSWORD, first_name="Gus")
    guest.groups.add(authors)


def let_edit_pages(group: Group, *sites: Site) -> None:
    group.permissions.add(
        Permission.objects.get(content_type__app_label="wagtailadmin", codename="access_admin")
    )
    rights = Permission.objects.filter(
        content_type__app_label="wagtailcore",
        content_type__model="page",
        codename__in=["add_page", "change_page", "publish_page"],
    )
    for site in sites:
        for right in rights:
            GroupPagePermission.objects.create(group=group, page=site.root_page, permission=right)


def grant(group: Group, site: Site, codename: str) -> None:
    permission = Permission.objects.get(
        content_type__app_label="wagtail_client_billing", codename=codename
    )
    GroupSitePermission.objects.create(group=group, site=site, permission=permission)


def follow_port(port: int) -> None:
    """Gives this port to every site on this machine, and to their stored return addresses."""
    for site in Site.objects.all():
        local = site.hostname == "localhost" or site.hostname.endswith(".localhost")
        if not local:
            continue
        if site.port != port:
            site.port = port
            site.save()
        for defaults in SiteBillingSettings.objects.filter(site=site):
            moved = [
                on_port(defaults.success_url, site.hostname, port),
                on_port(defaults.cancel_url, site.hostname, port),
            ]
            if moved != [defaults.success_url, defaults.cancel_url]:
                defaults.success_url, defaults.cancel_url = moved
                defaults.save()


def on_port(url: str, hostname: str, port: int) -> str:
    parts = urlsplit(url)
    if parts.scheme != "http" or parts.hostname != hostname:
        return url
    return urlunsplit(parts._replace(netloc=f"{hostname}:{port}"))
