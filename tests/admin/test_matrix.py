"""Who gets what, of every admin URL, bulk action and export that there is.

The rows come from the URL resolver and from Wagtail's registry of bulk actions, and not from a
list of ours: a new one without a rule here fails, as the dummy at the end shows.
"""

import csv
import io
from dataclasses import dataclass

import pytest
from django.contrib.auth.models import Group, Permission
from django.test import Client
from django.urls import NoReverseMatch, URLPattern, URLResolver, get_resolver, path, reverse
from openpyxl import load_workbook
from wagtail.admin.views.bulk_action.registry import bulk_action_registry
from wagtail.models import Site

from tests.fixtures import grant
from wagtail_client_billing.admin.viewset import billing_request_viewset
from wagtail_client_billing.models import (
    AgencySettings,
    BillingRequest,
    BulkItem,
    BulkJob,
    SiteBillingSettings,
)
from wagtail_client_billing.permissions import ACTIONS, WORK

NAMESPACE = "client_billing_admin"
ROLES = ("anonymous", "nobody", "viewer", "biller", "everywhere", "owner", "superuser")
PLACES = ("own", "other", "deleted")
SECRETS = {
    "own": ("anna@customer-of-a.example", "Secret of A"),
    "other": ("bert@customer-of-b.example", "Secret of B"),
    "deleted": ("cleo@customer-of-c.example", "Secret of C"),
}

# --- The rules, written down a second time --------------------------------------------------

# What it takes to open each URL: a right on a request of its, on any site, or on the agency.
OF_A_REQUEST = {
    "inspect": WORK,
    "check": WORK,
    "resend": ("resend",),
    "remind": ("resend",),
    "renew": ("change",),
    "edit": ("change",),
    "send_again": ("add",),
    "mark_paid": ("mark_paid",),
    "take_back": ("mark_paid",),
    "delete": ("delete",),
    "accept_review": ("mark_paid",),
    "dismiss_review": ("mark_paid",),
    "refund": ("refund",),
    "cancel_now": ("change",),
    "cancel_later": ("change",),
    "keep": ("change",),
}
# What is below a request, by the key of its own.
BELOW = {"refund": "payments", "cancel_now": "subscriptions"}
BELOW |= dict.fromkeys(("cancel_later", "keep"), "subscriptions")
OF_A_CLIENT = {"own_detail"}
ANYWHERE = {
    "index": ACTIONS,
    "index_results": ACTIONS,
    "own": ACTIONS,
    "own_results": ACTIONS,
    "add": ("add",),
    "said_back": ("add", "change", "refund"),
    "report": WORK,
    "report_results": WORK,
}
OF_WHOEVER_STARTED_IT = {"job", "job_progress"}
OF_THE_AGENCY = {"connect", "health", "oauth_callback", "replay", "test_mail"}
OF_A_CONNECTION = {
    "check_account",
    "unlink",
    "confirm_host",
    "forget",
    "onboarding",
    "onboarding_return",
    "onboarding_refresh",
    "start_over",
    "replace_key",
    "webhook",
    "legal_pages",
}
# By the message that it is about.
OF_A_MESSAGE = {
    "message": ("payment_link", "en"),
    "message_preview": ("payment_link", "en"),
    "message_html": ("payment_link", "en"),
    "message_on": ("reminder",),
    "message_off": ("reminder",),
}
BULK = {"delete": ("delete",), "send_again": ("add",), "check": WORK, "remind": ("resend",)}
# Lists that can be exported; every other URL is asked for an export as well, and has none.
EXPORTS = {"index", "index_results", "report"}

RIGHTS = {
    "anonymous": (),
    "nobody": (),
    "viewer": ("view",),
    "biller": ACTIONS,
    "everywhere": ACTIONS,
    "owner": (),
    "superuser": ACTIONS,
}
SEES = {
    "viewer": {"own"},
    "biller": {"own"},
    "everywhere": set(PLACES),
    "superuser": set(PLACES),
}
RUNS_THE_AGENCY = {"owner", "superuser"}


def works(role):
    return bool(set(RIGHTS[role]) & set(WORK))


def has(role, rights):
    return bool(set(RIGHTS[role]) & set(rights))


def expected(role, name, place):
    """login, refused, gone, or open."""
    if role == "anonymous":
        return "login"
    if name in OF_THE_AGENCY | OF_A_CONNECTION:
        return "open" if role in RUNS_THE_AGENCY else "refused"
    if name in OF_A_MESSAGE:
        if name == "message_html" and role == "owner":
            return "gone"  # sees no request that it could be shown with
        return "open" if role in RUNS_THE_AGENCY else "refused"
    if name in OF_WHOEVER_STARTED_IT:
        return "gone"
    if name in ANYWHERE:
        return "open" if has(role, ANYWHERE[name]) else "refused"
    sees = place in SEES.get(role, ())
    if name in OF_A_CLIENT:
        return "open" if sees and not works(role) else "gone"
    if not sees or not works(role):
        # Its client is led from the page to the one that is for clients.
        return "open" if sees and name == "inspect" else "gone"
    if name == "send_again" and place == "deleted":
        return "refused"  # there is no site to send it for
    return "open" if has(role, OF_A_REQUEST[name]) else "refused"


# --- What there is --------------------------------------------------------------------------


def named(patterns):
    for pattern in patterns:
        if isinstance(pattern, URLResolver):
            yield from named(pattern.url_patterns)
        elif isinstance(pattern, URLPattern) and pattern.name:
            yield pattern.name


def our_resolvers(resolver):
    for pattern in resolver.url_patterns:
        if isinstance(pattern, URLResolver):
            if pattern.namespace == NAMESPACE:
                yield pattern
            else:
                yield from our_resolvers(pattern)


def url_names():
    """The names of all URLs of ours that the admin answers."""
    return sorted(
        {name for found in our_resolvers(get_resolver()) for name in named(found.url_patterns)}
    )


def bulk_actions():
    meta = BillingRequest._meta
    found = bulk_action_registry.get_bulk_actions_for_model(meta.app_label, meta.model_name)
    return sorted(action.action_type for action in found)


def without_a_rule(names, actions):
    """What nobody has said who may use it."""
    known = set(OF_A_REQUEST) | OF_A_CLIENT | set(ANYWHERE) | OF_WHOEVER_STARTED_IT
    known |= OF_THE_AGENCY | OF_A_CONNECTION | set(OF_A_MESSAGE)
    return sorted(set(names) - known) + sorted(set(actions) - set(BULK))


def test_rule_9_every_url_and_every_bulk_action_has_a_rule():
    assert url_names(), "the resolver finds nothing any more"
    assert without_a_rule(url_names(), bulk_actions()) == []
    assert bulk_actions() == sorted(BULK)
    known = set(OF_A_REQUEST) | OF_A_CLIENT | OF_A_CONNECTION | OF_THE_AGENCY | set(OF_A_MESSAGE)
    gone = known - set(url_names())
    assert gone == set(), "rules for what is not there any more"


def test_rule_9_a_url_without_a_rule_is_found(monkeypatch):
    def dummy(request):
        raise AssertionError

    class Dummy:
        url_patterns = [path("dummy/", dummy, name="dummy")]

    names = [*url_names(), *named(Dummy.url_patterns)]
    assert without_a_rule(names, [*bulk_actions(), "dummy_action"]) == ["dummy", "dummy_action"]
    resolver = next(our_resolvers(get_resolver()))
    monkeypatch.setitem(
        resolver.__dict__, "url_patterns", [*resolver.url_patterns, *Dummy.url_patterns]
    )
    assert "dummy" in url_names()
    assert without_a_rule(url_names(), []) == ["dummy"]


# --- The world ------------------------------------------------------------------------------


@dataclass
class World:
    bills: dict
    sites: dict
    users: dict
    connection: object

    def client(self, role):
        client = Client()
        if role != "anonymous":
            client.force_login(self.users[role])
        return client


@pytest.fixture
def matrix(
    site_a, site_b, connected_test, make_request, django_user_model, boss, billers_a, settings
):
    site_c = Site.objects.create(
        hostname="c.example.com", port=443, site_name="Cinema C", root_page=site_b.root_page
    )
    sites = {"own": site_a, "other": site_b, "deleted": site_c}
    bills = {}
    for place, site in sites.items():
        email, text = SECRETS[place]
        bill = make_request(site, connected_test, email=email, description=text)
        bills[place] = bill
        account = {"account_id": bill.account_id, "livemode": bill.livemode}
        bill.subscriptions.create(**account, stripe_id=f"sub_{place}", status="active")
        bill.payments.create(
            **account,
            source=f"pi_{place}",
            intent_id=f"pi_{place}",
            amount_minor=100,
            currency="EUR",
            received_at=bill.created_at,
        )
    site_c.delete()
    AgencySettings.load()

    def person(name, *groups):
        user = django_user_model.objects.create_user(name, f"{name}@agency.example", "pw")
        user.groups.set(groups)
        return user

    def group(name, *codenames):
        made = Group.objects.create(name=name)
        for codename in ("access_admin", *codenames):
            made.permissions.add(Permission.objects.get(codename=codename))
        return made

    viewers = group("clients of A")
    grant(viewers, site_a, BillingRequest, "view_billingrequest")
    everywhere = group(
        "all sites",
        *[f"{action}_billingrequest" for action in ACTIONS],
        "change_sitebillingsettings",
    )
    users = {
        "nobody": person("nobody", group("editors")),
        "viewer": person("viewer", viewers),
        "biller": person("biller", billers_a),
        "everywhere": person("everywhere", everywhere),
        "owner": person("owner", group("owners", "change_agencysettings")),
        "superuser": boss,
    }
    return World(bills, sites, users, connected_test)


def address(name, matrix, place):
    if name in set(OF_A_REQUEST) | OF_A_CLIENT:
        bill = matrix.bills[place]
        below = [getattr(bill, BELOW[name]).get().pk] if name in BELOW else []
        return reverse(f"{NAMESPACE}:{name}", args=[bill.pk, *below])
    if name in OF_A_CONNECTION:
        return reverse(f"{NAMESPACE}:{name}", args=[matrix.connection.pk])
    if name in OF_WHOEVER_STARTED_IT:
        return reverse(f"{NAMESPACE}:{name}", args=[10**6])
    if name in OF_A_MESSAGE:
        return reverse(f"{NAMESPACE}:{name}", args=OF_A_MESSAGE[name])
    return reverse(f"{NAMESPACE}:{name}")


def answer_of(response):
    if response.status_code == 404:
        return "gone"
    if response.status_code == 302:
        if "/login/" in response["Location"]:
            return "login"
        if response["Location"] == reverse("wagtailadmin_home"):
            return "refused"
    return "open"


def body_of(response):
    content = b"".join(response.streaming_content) if response.streaming else response.content
    if "spreadsheet" in response.get("Content-Type", ""):
        rows = load_workbook(io.BytesIO(content)).active.iter_rows(values_only=True)
        return "\n".join(str(row) for row in rows)
    return content.decode(errors="replace")


def tells(response, matrix, places):
    """The secrets of these places that are in an answer."""
    # Long addresses may be broken before their @.
    text = body_of(response).replace("<wbr>", "")
    return [
        secret
        for place in places
        for secret in (*SECRETS[place], matrix.bills[place].number)
        if secret in text
    ]


def hidden_from(role):
    return [place for place in PLACES if place not in SEES.get(role, ())]


def snapshot():
    return (
        list(BillingRequest.objects.order_by("pk").values()),
        list(SiteBillingSettings.objects.order_by("pk").values()),
        BulkJob.objects.count(),
    )


def cells():
    for name in url_names():
        for place in PLACES if name in set(OF_A_REQUEST) | OF_A_CLIENT else ("own",):
            yield name, place


# --- The matrix -----------------------------------------------------------------------------


@pytest.mark.parametrize("role", ROLES)
def test_rule_9_every_url(role, matrix):
    client = matrix.client(role)
    before = snapshot()
    wrong = []
    for name, place in cells():
        url = address(name, matrix, place)
        response = client.get(url)
        found, wanted = answer_of(response), expected(role, name, place)
        # Some pages are about accounts of another kind, or half connected ones.
        elsewhere = found == "gone" and name in OF_A_CONNECTION and wanted == "open"
        if found != wanted and not elsewhere:
            wrong.append(f"GET {name} of {place}: {found} instead of {wanted}")
        if leak := tells(response, matrix, hidden_from(role)):
            wrong.append(f"GET {name} of {place} tells {leak}")
        if wanted == "open":
            continue  # what a POST does is tried where the page is
        for method in (client.post, client.put, client.delete):
            response = method(url)
            if answer_of(response) != wanted:
                wrong.append(f"{method.__name__} {name} of {place}: {answer_of(response)}")
    assert wrong == []
    assert snapshot() == before


@pytest.mark.parametrize("role", ROLES)
def test_rule_9_every_export(role, matrix):
    client = matrix.client(role)
    wrong = []
    for name in url_names():
        for kind in ("csv", "xlsx"):
            response = client.get(address(name, matrix, "own"), {"export": kind})
            exported = response.has_header("Content-Disposition")
            if exported != (name in EXPORTS and works(role)):
                wrong.append(f"{kind} of {name}: {'given' if exported else 'not given'}")
            if leak := tells(response, matrix, hidden_from(role)):
                wrong.append(f"{kind} of {name} tells {leak}")
    assert wrong == []


@pytest.mark.parametrize("role", [role for role in ROLES if works(role)])
def test_exports_hold_all_that_the_role_works_on(role, matrix):
    response = matrix.client(role).get(address("index", matrix, "own"), {"export": "csv"})
    rows = list(csv.reader(io.StringIO(body_of(response))))
    assert {row[0] for row in rows[1:]} == {matrix.bills[place].number for place in SEES[role]}


@pytest.mark.parametrize("chosen", ["named", "all"])
@pytest.mark.parametrize("action", BULK)
@pytest.mark.parametrize("role", ROLES)
def test_rule_9_every_bulk_action(role, action, chosen, matrix):
    meta = BillingRequest._meta
    # So that something can be done to each: what is sent again is over.
    if action == "send_again":
        BillingRequest.objects.update(status="deleted")
    url = reverse("wagtail_bulk_action", args=[meta.app_label, meta.model_name, action])
    ids = ["all"] if chosen == "all" else [str(bill.pk) for bill in matrix.bills.values()]
    back = reverse(f"{NAMESPACE}:index")
    query = "&".join([f"id={pk}" for pk in ids]) + f"&next={back}"
    client = matrix.client(role)
    # As if every row had been on the page.
    shown = {"shown": " ".join(str(bill.pk) for bill in matrix.bills.values())}
    responses = [client.get(f"{url}?{query}"), client.post(f"{url}?{query}", shown)]
    for response in responses:
        assert tells(response, matrix, hidden_from(role)) == []
    acted_on = set(BulkItem.objects.values_list("request", flat=True))
    mine = {matrix.bills[place].pk for place in SEES.get(role, ()) if has(role, BULK[action])}
    if action == "send_again":
        # There is no site to send it for.
        mine -= {matrix.bills["deleted"].pk}
    assert acted_on == mine
    assert (BulkJob.objects.count() == 1) == bool(mine)


@pytest.mark.parametrize("role", ROLES)
def test_rule_9_a_job_is_seen_by_whoever_started_it(role, matrix, django_user_model):
    other = django_user_model.objects.create_superuser("other", "o@agency.example", "pw")
    for owner in (other, matrix.users.get(role)):
        if owner is None:
            continue
        job = BulkJob.objects.create(kind="check", user=owner)
        for bill in matrix.bills.values():
            BulkItem.objects.create(job=job, request=bill)
        for name in OF_WHOEVER_STARTED_IT & set(url_names()):
            response = matrix.client(role).get(reverse(f"{NAMESPACE}:{name}", args=[job.pk]))
            # Whoever lost the right meanwhile is not told of the rows either.
            assert tells(response, matrix, hidden_from(role)) == []
            if role != "anonymous" and owner is other:
                assert answer_of(response) in ("gone", "refused")


@pytest.mark.parametrize("role", ROLES)
def test_rule_9_settings_pages(role, matrix):
    """Wagtail's own pages of our two models, and what their panels show."""
    client = matrix.client(role)
    app = AgencySettings._meta.app_label
    agency = reverse("wagtailsettings:edit", args=[app, "agencysettings", AgencySettings.load().pk])
    wanted = "login" if role == "anonymous" else "refused"
    assert answer_of(client.get(agency)) == ("open" if role in RUNS_THE_AGENCY else wanted)
    for place in ("own", "other"):
        url = reverse(
            "wagtailsettings:edit", args=[app, "sitebillingsettings", matrix.sites[place].pk]
        )
        response = client.get(url)
        opened = place in SEES.get(role, ()) and works(role)
        assert answer_of(response) == ("open" if opened else wanted)
        assert tells(response, matrix, hidden_from(role)) == []


@pytest.mark.parametrize("role", ROLES)
def test_rule_9_home_and_history(role, matrix):
    client = matrix.client(role)
    for name in ("wagtailadmin_home", "wagtailadmin_reports:site_history"):
        try:
            response = client.get(reverse(name))
        except NoReverseMatch:
            continue
        assert tells(response, matrix, hidden_from(role)) == []


def test_the_viewset_is_what_the_resolver_finds():
    assert {pattern.name for pattern in billing_request_viewset.get_urlpatterns()} == set(
        url_names()
    )
