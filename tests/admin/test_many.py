"""Every page costs the same with ten thousand requests on three hundred sites as with ten.

The same number of queries, and at most three times as many rows as a page shows: whatever grows
with the number of requests or sites is found here.
"""

import pytest
from django.contrib.auth.models import Group, Permission
from django.urls import resolve, reverse

from tests.admin.many import make_many, make_sites
from tests.admin.test_matrix import url_names
from tests.counting import counted
from tests.fixtures import grant, home_page, make_connection
from wagtail_client_billing.gateway import bulk
from wagtail_client_billing.models import BillingRequest, BulkJob, SiteBillingSettings
from wagtail_client_billing.permissions import ACTIONS

FEW, MANY, SITES = 10, 10_000, 300
PAGE = 20
MOST_ROWS = 3 * PAGE
# The report's page is, for each of the three currencies made, twelve months and twenty sites.
MOST_ROWS_OF_REPORT = 3 * 3 * (12 + 20)
# Wagtail's own site switcher, on pages of a site's settings and nowhere else, lists all sites.
SITE_SWITCHER = ("wagtailcore_site",)
# What the dashboard counts and lists besides us.
WAGTAILS_HOME = ("wagtailcore_page",)
# The form of a group shows every site, as Wagtail's own panels in it do.
EVERY_SITE = ("wagtailcore_site", "wagtailcore_groupsitepermission")
# What is asked of Stripe or only posted, and reads the rows of one account.
NO_PAGES = {
    "said_back",
    "replay",
    "oauth_callback",
    "onboarding",
    "onboarding_refresh",
    "onboarding_return",
    "start_over",
    "message_on",
    "message_off",
    "test_mail",
}
OF_A_REQUEST = (
    "send_again",
    "edit",
    "renew",
    "mark_paid",
    "take_back",
    "delete",
    "check",
    "resend",
    "remind",
    "accept_review",
    "dismiss_review",
)
OF_A_SUBSCRIPTION = ("cancel_now", "cancel_later", "keep")
OF_THE_ACCOUNT = (
    "check_account",
    "replace_key",
    "webhook",
    "legal_pages",
    "unlink",
    "confirm_host",
    "forget",
)
# Which rights there are, and, for an editor, where they hold: read by Wagtail once a request, and
# as many as were granted, however many requests there are.
RIGHTS = ("auth_permission", "wagtailcore_groupsitepermission")

INDEX_QUERIES = [
    {},
    {"p": "2"},
    {"q": "client7"},
    {"q": "BR-2026-000"},
    {"q": "10.05"},
    {"q": "Work number"},
    {"q": "nobody at all"},
    {"status": "pending"},
    {"badge": ["closing", "mail_queued"]},
    {"badge": ["mail_failed", "late", "review", "held", "processing", "not_confirmed"]},
    {"site_name": "Site 1"},
    {"livemode": "True"},
    {"livemode": "False"},
    {"currency": "EUR"},
    {"billing_type": "one_time"},
    {"created_from": "2020-01-01", "created_to": "2999-01-01"},
    *(
        {"ordering": sign + key}
        for key in (
            "number",
            "email",
            "site_name",
            "amount",
            "billing_type",
            "status",
            "created_at",
            "expires_at",
        )
        for sign in ("", "-")
    ),
]


def everything(world, admin_url):
    """Name, client, address and query of every page, and what Wagtail itself fetches on it."""
    staff, own = world["staff"], world["own"]
    for query in INDEX_QUERIES:
        yield f"index_results {query}", staff, admin_url("index_results"), query, ()
    for query in ({}, {"site": world["site"].pk}, {"q": "client7"}):
        yield f"index {query}", staff, admin_url("index"), query, ()
    for query in ({}, {"q": "client7"}, {"status": "paid"}, {"ordering": "amount"}):
        yield f"own {query}", own, admin_url("own"), query, ()
        yield f"own_results {query}", own, admin_url("own_results"), query, ()
    yield "own_detail", own, admin_url("own_detail", world["row"].pk), {}, ()
    yield "inspect", staff, admin_url("inspect", world["row"].pk), {}, ()
    yield "job", staff, admin_url("job", world["job"].pk), {}, ()
    yield "job_progress", staff, admin_url("job_progress", world["job"].pk), {}, ()
    for action in OF_A_REQUEST:
        # Of a paid and of a pending one: what cannot be done is a shorter page.
        for row in (world["row"], world["rows"][0]):
            yield f"{action} {row.status}", staff, admin_url(action, row.pk), {}, ()
    yield "inspect pending", staff, admin_url("inspect", world["rows"][0].pk), {}, ()
    payment, subscription = world["row"].payments.get(), world["row"].subscriptions.get()
    yield "refund", staff, admin_url("refund", world["row"].pk, payment.pk), {}, ()
    for action in OF_A_SUBSCRIPTION:
        yield action, staff, admin_url(action, world["row"].pk, subscription.pk), {}, ()
    for name in OF_THE_ACCOUNT:
        yield name, staff, admin_url(name, world["account"].pk), {}, ()
    for name in ("connect", "health"):
        yield name, staff, admin_url(name), {}, ()
    for name in ("message", "message_preview", "message_html"):
        yield name, staff, admin_url(name, "payment_link", "en"), {}, ()
    yield "agency", staff, world["agency"], {}, ()
    yield "group", staff, world["group"], {}, EVERY_SITE
    yield "history", staff, reverse("wagtailadmin_reports:site_history"), {}, ()
    yield "home", staff, reverse("wagtailadmin_home"), {}, WAGTAILS_HOME
    yield "report", staff, admin_url("report"), {}, ()
    yield "add", staff, admin_url("add"), {}, ()
    yield "add for a site", staff, admin_url("add"), {"site": world["site"].pk}, ()
    yield "site tab", staff, world["tab"], {}, SITE_SWITCHER
    ids = {"id": [row.pk for row in world["rows"][:FEW]]}
    for kind in ("remind", "check", "send_again", "delete"):
        url = reverse(
            "wagtail_bulk_action", args=["wagtail_client_billing", "billingrequest", kind]
        )
        yield f"bulk {kind}", staff, url, ids, ()
    yield "bulk of too many", staff, url, {"id": "all", "q": "client"}, ()


@pytest.fixture
def who(request, boss, carol, alice):
    """The owner, or an editor with rights on each site by itself."""
    return {"boss": boss, "editor": carol}[request.param]


@pytest.mark.timeout(600)
@pytest.mark.parametrize("who", ["boss", "editor"], indirect=True)
def test_ten_thousand_requests_on_three_hundred_sites(
    agency_url, who, boss, alice, site_a, client_for, admin_url, django_user_model
):
    root = home_page("Clients", "clients")
    sites = make_sites(FEW, root)
    viewer = django_user_model.objects.create_user("viewer", "v@agency.example", "pw")
    viewer_group = Group.objects.create(name="Viewers")
    viewer.groups.add(viewer_group)
    viewer_group.permissions.add(Permission.objects.get(codename="access_admin"))

    def rights_on(more):
        for site in more:
            grant(viewer_group, site, BillingRequest, "view_billingrequest")
            if who != boss:
                group = who.groups.get()
                for action in ACTIONS:
                    grant(group, site, BillingRequest, f"{action}_billingrequest")
                grant(group, site, SiteBillingSettings, "change_sitebillingsettings")

    rights_on(sites)
    account = make_connection(livemode=True, account_id="acct_1")
    rows = make_many(2 * PAGE + FEW, sites)
    facts = {"account_id": "acct_1", "livemode": True, "stripe_id": "sub_1", "status": "active"}
    rows[1].subscriptions.create(**facts)
    world = {
        "account": account,
        "agency": agency_url,
        "group": reverse("wagtailusers_groups:edit", args=[viewer_group.pk]),
        "staff": client_for(who),
        "own": client_for(viewer),
        "site": sites[0],
        "row": rows[1],
        "rows": rows,
        "job": bulk.start("check", BillingRequest.objects.filter(pk__in=[rows[1].pk]), user=who),
        "tab": reverse(
            "wagtailsettings:edit",
            args=["wagtail_client_billing", SiteBillingSettings._meta.model_name, sites[0].pk],
        ),
    }

    seen = set()

    def cost_of(client, url, query):
        with counted() as cost:
            response = client.get(url, query)
        assert response.status_code in (200, 302, 404), url
        return cost

    def costs(before=None):
        found = {}
        for name, client, url, query, _without in everything(world, admin_url):
            found[name] = cost_of(client, url, query)
            # Whoever comes first reads what Wagtail and Django then keep for the others.
            if before is None or found[name].queries != before[name].queries:
                found[name] = cost_of(client, url, query)
            seen.add(resolve(url).url_name)
        return found

    few = costs()
    assert set(url_names()) - seen == NO_PAGES, "what has no place here"
    more = make_sites(SITES - FEW, root)
    rights_on(more)
    make_many(MANY - len(rows), [*sites, *more])
    many = costs(few)
    problems = []
    for name, _client, _url, _query, without in everything(world, admin_url):
        if name == "bulk of too many":
            # Is sent back where there are too many, and reads no more than a job takes and one.
            if many[name].rows["wagtail_client_billing_billingrequest"] > BulkJob.MOST + 1:
                problems.append((name, "rows", dict(many[name].rows)))
            continue
        if many[name].queries != few[name].queries:
            problems.append((name, "queries", few[name].queries, many[name].queries))
        most = MOST_ROWS_OF_REPORT if name == "report" else MOST_ROWS
        if many[name].fetched(without=(*without, *RIGHTS)) > most:
            problems.append((name, "rows", dict(many[name].rows)))
    assert not problems, problems
