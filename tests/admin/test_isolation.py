"""Rule 9: an editor of site A never sees, changes or learns of anything of site B."""

import csv
import io
import re

import pytest
from django.contrib.auth.models import Permission
from django.test import Client, override_settings
from django.urls import reverse
from openpyxl import load_workbook
from wagtail.admin.admin_url_finder import AdminURLFinder

from wagtail_client_billing.admin.viewset import billing_request_viewset
from wagtail_client_billing.models import (
    BillingRequest,
    EmailDelivery,
    LogEntry,
    SiteBillingSettings,
)
from wagtail_client_billing.permissions import ACTIONS, may, requests_for, sites_for

# Every admin URL of ours: what its argument is, and what alice gets with something of B's.
# A new URL without a row here fails ``test_rule_9_every_url_has_a_row``.
LISTS = {"index", "index_results"}
# What a client sees who logs in: tests/admin/test_own.py
OWN_LISTS = {"own", "own_results"}
OF_AN_OWN_REQUEST = {"own_detail"}
# Of whoever started it: tests/admin/test_bulk.py
OF_A_JOB = {"job", "job_progress"}
FORMS = {"add", "said_back"}
# Their isolation is tested where their numbers are: test_report.py.
REPORTS = {"report"}
OF_A_REQUEST = {
    "inspect",
    "send_again",
    "resend",
    "remind",
    "check",
    "delete",
    "edit",
    "renew",
    "mark_paid",
    "take_back",
    "accept_review",
    "dismiss_review",
}
# With an id of their own below the request's: test_refunding.py and test_subscriptions.py.
OF_A_PAYMENT = {"refund"}
OF_A_SUBSCRIPTION = {"cancel_now", "cancel_later", "keep"}
COMING_BACK = {"onboarding_return", "onboarding_refresh"}
OF_THE_AGENCY = {"connect", "health", "oauth_callback", "replay", "test_mail"}
OF_A_CONNECTION = {
    "check_account",
    "unlink",
    "confirm_host",
    "forget",
    "onboarding",
    "start_over",
    "replace_key",
    "webhook",
    "legal_pages",
} | COMING_BACK
# What they ask for besides.
OF_A_MESSAGE = {
    "message": ["reminder", "en"],
    "message_preview": ["reminder", "en"],
    "message_html": ["reminder", "en"],
    "message_on": ["reminder"],
    "message_off": ["reminder"],
}
POSTED = OF_A_REQUEST | OF_A_CONNECTION | OF_THE_AGENCY | FORMS

SECRETS_OF_B = ["customer-of-b", "Lawyers B", "b.example.com"]


def nothing_of_b(response):
    text = b"".join(response.streaming_content) if response.streaming else response.content
    return not any(secret in text.decode(errors="replace") for secret in SECRETS_OF_B)


def snapshot():
    return (
        list(BillingRequest.objects.order_by("pk").values()),
        LogEntry.objects.count(),
        EmailDelivery.objects.count(),
        list(SiteBillingSettings.objects.order_by("pk").values()),
    )


def test_rule_9_every_url_has_a_row():
    names = {pattern.name for pattern in billing_request_viewset.get_urlpatterns()}
    of_others = OWN_LISTS | OF_AN_OWN_REQUEST | OF_A_JOB | REPORTS
    of_others |= OF_A_PAYMENT | OF_A_SUBSCRIPTION | set(OF_A_MESSAGE)
    assert names == LISTS | FORMS | OF_A_REQUEST | OF_THE_AGENCY | OF_A_CONNECTION | of_others


@pytest.mark.parametrize("name", sorted(OF_A_REQUEST))
@pytest.mark.parametrize("method", ["get", "post", "head", "put", "delete", "options"])
def test_rule_9_every_object_is_reached_through_the_users_sites(
    name, method, alice, request_a, request_b, client_for, admin_url
):
    before = snapshot()
    response = getattr(client_for(alice), method)(admin_url(name, request_b.pk))
    assert response.status_code == 404
    assert nothing_of_b(response)
    gone = getattr(client_for(alice), method)(admin_url(name, 10**6))
    assert gone.status_code == 404
    assert snapshot() == before


@pytest.mark.parametrize("name", sorted(OF_A_REQUEST))
def test_own_requests_are_there(name, alice, boss, request_a, request_b, client_for, admin_url):
    assert client_for(alice).get(admin_url(name, request_a.pk)).status_code == 200
    assert client_for(boss).get(admin_url(name, request_b.pk)).status_code == 200


@pytest.mark.parametrize("name", sorted(OF_A_CONNECTION | OF_THE_AGENCY | set(OF_A_MESSAGE)))
@pytest.mark.parametrize("who", ["alice", "carol"])
def test_rule_9_the_agencys_account_is_not_an_editors_business(
    name, who, request, connected_test, alice, carol, client_for, admin_url
):
    user = request.getfixturevalue(who)
    args = [connected_test.pk] if name in OF_A_CONNECTION else OF_A_MESSAGE.get(name, [])
    for method in ("get", "post"):
        response = getattr(client_for(user), method)(admin_url(name, *args))
        assert response.status_code == 302
        assert response["Location"] == reverse("wagtailadmin_home")
    connected_test.refresh_from_db()
    assert connected_test.unlinked_at is None


@pytest.mark.parametrize("name", sorted(LISTS))
def test_rule_9_lists_and_filters(
    name, alice, request_a, request_b, site_a, site_b, client_for, admin_url
):
    client = client_for(alice)
    for query in [
        {},
        {"site": site_b.pk},
        {"site": site_a.pk},
        {"q": "customer-of"},
        {"status": "pending"},
        {"livemode": "False"},
        {"ordering": "site_name"},
        {"p": "2"},
    ]:
        response = client.get(admin_url(name), query)
        assert response.status_code == 200
        assert nothing_of_b(response), query
        assert [row.pk for row in response.context["object_list"]] == [request_a.pk]
    assert not client.get(admin_url(name), {"q": "customer-of-b"}).context["object_list"]
    assert not client.get(admin_url(name), {"q": request_b.number}).context["object_list"]


@pytest.mark.parametrize("name", sorted(LISTS))
def test_carol_has_no_list(name, carol, request_a, client_for, admin_url):
    assert client_for(carol).get(admin_url(name)).status_code == 302


@pytest.mark.parametrize("format", ["csv", "xlsx"])
def test_rule_9_exports(format, alice, boss, request_a, request_b, client_for, admin_url):
    def numbers(user):
        response = client_for(user).get(admin_url("index"), {"export": format})
        body = b"".join(response.streaming_content)
        if format == "csv":
            return {row[0] for row in list(csv.reader(io.StringIO(body.decode())))[1:]}
        return {row[0].value for row in list(load_workbook(io.BytesIO(body)).active)[1:]}

    assert numbers(boss) == {request_a.number, request_b.number}
    assert numbers(alice) == {request_a.number}


def test_rule_9_forms_offer_and_take_own_sites_only(
    alice, boss, site_a, site_b, connected_test, typed, client_for, admin_url
):
    client = client_for(alice)
    assert nothing_of_b(client.get(admin_url("add")))
    assert client.get(admin_url("add"), {"site": site_b.pk}).status_code == 404
    response = client.post(admin_url("add"), {**typed, "site": site_b.pk})
    assert response.status_code == 404
    for hostile in ["", "x", "-1", "9" * 30, "1 OR 1=1", "\0", "²"]:
        response = client.post(admin_url("add"), {**typed, "site": hostile})
        assert response.status_code in (302, 404)
    assert not BillingRequest.objects.filter(site=site_b).exists()
    assert "Lawyers B" in client_for(boss).get(admin_url("add")).content.decode()


def test_rule_9_sending_again_stays_on_the_requests_site(
    alice, site_a, site_b, request_a, typed, client_for, admin_url
):
    url = admin_url("send_again", request_a.pk)
    response = client_for(alice).post(url, {**typed, "site": site_b.pk})
    assert response.status_code == 200
    assert BillingRequest.objects.count() == 1
    client_for(alice).post(url, typed)
    assert set(BillingRequest.objects.values_list("site", flat=True)) == {site_a.pk}


def test_rule_9_settings_of_b_are_refused_by_wagtail(
    alice, carol, site_a, site_b, request_a, request_b, site_url, client_for
):
    assert client_for(alice).get(site_url(site_b)).status_code == 302
    assert client_for(carol).get(site_url(site_a)).status_code == 302
    own = client_for(alice).get(site_url(site_a))
    assert own.status_code == 200
    assert request_a.number in own.content.decode()
    assert nothing_of_b(own)
    assert "settings-site-switch" not in own.content.decode()


def test_the_tab_alone_shows_no_requests(
    carol, site_a, request_a, site_url, client_for, connected_test
):
    from tests.fixtures import grant

    grant(carol.groups.get(), site_a, SiteBillingSettings, "change_sitebillingsettings")
    text = client_for(carol).get(site_url(site_a)).content.decode()
    assert request_a.number not in text
    assert "Send Billing Request" not in text
    assert "You do not have the right to see" in text


@pytest.mark.parametrize("action", ACTIONS)
def test_any_right_on_a_site_shows_its_requests_and_no_more(
    action, carol, site_a, request_a, request_b, client_for, admin_url
):
    from tests.fixtures import grant

    grant(carol.groups.get(), site_a, BillingRequest, f"{action}_billingrequest")
    client = client_for(carol)
    only_sees = action == "view"
    if only_sees:
        assert client.get(admin_url("index"))["Location"] == admin_url("own")
        own = client.get(admin_url("inspect", request_a.pk))["Location"]
        assert own == admin_url("own_detail", request_a.pk)
    else:
        assert list(client.get(admin_url("index")).context["object_list"]) == [request_a]
        assert client.get(admin_url("inspect", request_a.pk)).status_code == 200
    assert client.get(admin_url("inspect", request_b.pk)).status_code == 404
    assert client.get(admin_url("own_detail", request_b.pk)).status_code == 404
    allowed = {"delete": "delete", "resend": "resend", "send_again": "add"}
    for page, right in allowed.items():
        status = client.get(admin_url(page, request_a.pk)).status_code
        # For its client there are none of the agency's pages.
        hidden = 404 if only_sees else 302
        assert status == (200 if right == action else hidden), page
    assert client.get(admin_url("add")).status_code == (200 if action == "add" else 302)
    assert [other for other in ACTIONS[1:] if may(carol, other, request_a)] == (
        [action] if action != "view" else []
    )


def test_requests_of_a_deleted_site_belong_to_global_rights(
    alice, carol, boss, site_b, request_a, request_b, client_for, admin_url
):
    site_b.delete()
    url = admin_url("inspect", request_b.pk)
    assert client_for(alice).get(url).status_code == 404
    assert client_for(boss).get(url).status_code == 200
    group = carol.groups.get()
    group.permissions.add(Permission.objects.get(codename="view_billingrequest"))
    page = client_for(carol).get(url)
    assert page.status_code == 200
    assert "Lawyers B" in page.content.decode()
    assert client_for(carol).get(admin_url("index")).status_code == 200


def test_getters_for_people_without_rights(carol, request_a, django_user_model):
    from django.contrib.auth.models import AnonymousUser

    gone = django_user_model.objects.create_superuser("gone", "g@agency.example", is_active=False)
    for user in (carol, AnonymousUser(), gone):
        assert not requests_for(user).exists()
        assert not sites_for(user).exists()
        assert not may(user, "view", request_a)
        assert not may(user, "view")


def test_the_url_finder_asks_for_the_object(alice, boss, request_a, request_b, admin_url):
    assert AdminURLFinder(alice).get_edit_url(request_b) is None
    assert AdminURLFinder(alice).get_edit_url(request_a) == admin_url("inspect", request_a.pk)
    assert AdminURLFinder(boss).get_edit_url(request_b) == admin_url("inspect", request_b.pk)


def test_anonymous_people_are_sent_to_the_login(client, request_a, connected_test, admin_url):
    for name in sorted(LISTS | POSTED):
        args = [request_a.pk] if name in OF_A_REQUEST else []
        args = [connected_test.pk] if name in OF_A_CONNECTION else args
        for response in (client.get(admin_url(name, *args)), client.post(admin_url(name, *args))):
            assert response.status_code in (302, 405)
            if response.status_code == 302:
                assert "/login/" in response["Location"]


def refuse_everybody(user):
    return False


def only_boss(user):
    return user.get_username() == "boss"


def menu_labels(client):
    html = client.get("/admin/").content.decode()
    props = re.search(r'wagtail-sidebar-props" type="application/json">(.*?)</script>', html, re.S)
    return set(re.findall(r'"label": "([^"]+)"', props.group(1)))


OURS = {"Invoices", "Agency settings", "Client billing", "Client Billing"}


@pytest.mark.parametrize("path", ["refuse_everybody", "only_boss"])
def test_access_check_comes_first(
    path,
    settings,
    boss,
    alice,
    request_a,
    connected_test,
    site_a,
    client_for,
    admin_url,
    site_url,
    agency_url,
):
    assert menu_labels(client_for(boss)) & OURS >= {"Invoices", "Agency settings"}
    changed = {
        **settings.WAGTAIL_CLIENT_BILLING,
        "ACCESS_CHECK": f"tests.admin.test_isolation.{path}",
    }
    of = dict.fromkeys(OF_A_REQUEST | OF_AN_OWN_REQUEST | OF_A_JOB, [request_a.pk])
    of |= dict.fromkeys(OF_A_CONNECTION, [connected_test.pk])
    of |= dict.fromkeys(OF_A_PAYMENT | OF_A_SUBSCRIPTION, [request_a.pk, 1]) | OF_A_MESSAGE
    names = [pattern.name for pattern in billing_request_viewset.get_urlpatterns()]
    urls = [admin_url(name, *of.get(name, [])) for name in names]
    bare = reverse("wagtailsettings:edit", args=["wagtail_client_billing", "agencysettings"])
    urls += [site_url(site_a), agency_url, bare]
    before = snapshot()
    with override_settings(WAGTAIL_CLIENT_BILLING=changed):
        for user in [boss if path == "refuse_everybody" else alice]:
            client = client_for(user)
            assert not menu_labels(client) & OURS
            account = client.get(reverse("wagtailadmin_account")).content.decode()
            assert "Agency settings" not in account
            for url in urls:
                response = client.get(url) if user is boss else client.post(url)
                assert response.status_code == 403, url
                text = response.content.decode()
                assert "Client billing is not part of what you have here." in text
                assert ("please ask: boss." in text) == (path == "only_boss")
        if path == "only_boss":
            assert client_for(boss).get(admin_url("index")).status_code == 200
            assert client_for(boss).get(agency_url).status_code == 200
        # Clients pay what they were sent.
        assert (
            Client().get(reverse("client_billing:pay", args=[request_a.token])).status_code == 200
        )
    assert snapshot() == before
