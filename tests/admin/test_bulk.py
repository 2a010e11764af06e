"""Actions on many invoices: who may, on which rows, what is said before and afterwards."""

import re
import time
from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from tests.admin.many import make_many
from tests.counting import counted
from tests.fixtures import grant
from wagtail_client_billing.gateway import bulk as backend
from wagtail_client_billing.models import BillingRequest, BulkItem, BulkJob, Heartbeat

KINDS = ("check", "send_again", "delete")
RIGHT = {"check": "change", "send_again": "add", "delete": "delete"}


@pytest.fixture
def bulk_url():
    def url(kind):
        return reverse(
            "wagtail_bulk_action", args=["wagtail_client_billing", "billingrequest", kind]
        )

    return url


@pytest.fixture
def three(site_a, connected_test, make_request):
    """A pending, an expired and a paid one."""
    rows = [make_request(site_a, connected_test, email=f"c{n}@x.example") for n in range(3)]
    BillingRequest.objects.filter(pk=rows[1].pk).update(status="expired")
    BillingRequest.objects.filter(pk=rows[2].pk).update(status="paid")
    return rows


def query(*ids, **values):
    return {"id": [getattr(each, "pk", each) for each in ids], **values}


def post(client, url, values, **more):
    """Opens the page that asks, and presses its button."""
    from django.http import QueryDict

    text = QueryDict(mutable=True)
    for key, value in values.items():
        text.setlist(key, value if isinstance(value, list) else [value])
    address = f"{url}?{text.urlencode()}"
    page = client.get(address).content.decode()
    fields = dict(re.findall(r'name="(once|shown)" value="([^"]*)"', page))
    return client.post(address, {**fields, **more})


def numbers_in(html):
    return set(re.findall(r"TEST-\d{4}-\d{6}|BR-\d{4}-\d{6}", html))


@pytest.mark.parametrize(
    ("kind", "able", "why"),
    [
        ("check", (0, 1), "Its status is: Paid."),
        ("send_again", (1,), "Its status is: Pending."),
        ("delete", (0, 1), "Its status is: Paid."),
    ],
)
def test_the_page_says_what_will_happen_to_which_rows(
    kind, able, why, alice, three, client_for, admin_url, bulk_url
):
    client = client_for(alice, enforce_csrf_checks=True)
    page = client.get(bulk_url(kind), query(*three))
    assert [row["item"].pk for row in page.context["items"]] == [
        three[n].pk for n in reversed(able)
    ]
    html = page.content.decode()
    assert why in html
    assert numbers_in(html) == {row.number for row in three}
    assert not BulkJob.objects.exists()
    token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', html)[1]
    action = re.search(r'<form action="([^"]+)" method="post"', html)[1].replace("&amp;", "&")
    assert client.post(action).status_code == 403
    fields = dict(re.findall(r'name="(once|shown)" value="([^"]*)"', html))
    response = client.post(action, {"csrfmiddlewaretoken": token, **fields})
    job = BulkJob.objects.get()
    assert response["Location"] == admin_url("job", job.pk)
    assert (job.kind, job.user) == (kind, alice)
    assert {item.request_id for item in job.items.all()} == {three[n].pk for n in able}
    held = BillingRequest.objects.exclude(hold="").values_list("pk", flat=True)
    assert set(held) == ({three[n].pk for n in able} if kind == "delete" else set())


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"hold": "edit"}, "It is being changed."),
        ({"review_since": timezone.now()}, "It needs a review first."),
        ({"processing_since": timezone.now()}, "The client&#x27;s bank is working on a payment."),
    ],
)
def test_why_a_row_is_left_as_it_is(values, why, boss, request_a, client_for, bulk_url):
    BillingRequest.objects.update(**values)
    client = client_for(boss)
    html = client.get(bulk_url("delete"), query(request_a)).content.decode()
    assert why in html
    assert "This cannot be done to any of them." in html
    assert 'method="post"' not in html.partition('id="main"')[2]
    # There was nothing to press.
    assert post(client, bulk_url("delete"), query(request_a)).status_code == 404
    assert not BulkJob.objects.exists()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("method", ["get", "post"])
def test_rule_9_other_peoples_rows_are_not_there(
    kind, method, alice, request_a, request_b, client_for, bulk_url
):
    client = client_for(alice)
    BillingRequest.objects.update(status="expired")

    def ask(values):
        return (
            client.get(bulk_url(kind), values)
            if method == "get"
            else client.post(bulk_url(kind), {"shown": " ".join(map(str, values["id"]))})
        )

    hostile = ["x", "-1", "", "9" * 40, "1.5", "²", "\0", "\r\n", "OR 1=1", 10**6]
    for ids in ([request_b], hostile, [request_b, *hostile], []):
        response = ask(query(*ids))
        assert response.status_code == 404, ids
        assert request_b.number not in response.content.decode()
    assert not BulkJob.objects.exists()
    response = ask(query(request_a, request_b, *hostile))
    assert request_b.number not in response.content.decode()
    assert "customer-of-b" not in response.content.decode()
    response = ask(query("all"))
    assert request_b.number not in response.content.decode()
    assert set(BulkItem.objects.values_list("request", flat=True)) == (
        {request_a.pk} if method == "post" else set()
    )


def test_all_means_all_that_is_listed(
    boss, alice, site_a, site_b, connected_test, make_request, client_for, admin_url, bulk_url
):
    mine = [make_request(site_a, connected_test, email="anna@x.example") for _ in range(25)]
    make_request(site_a, connected_test, email="bert@x.example")
    theirs = make_request(site_b, connected_test, email="anna@x.example")
    client = client_for(boss)

    def chosen(user=boss, **filters):
        page = client_for(user).get(bulk_url("delete"), query("all", **filters))
        return {row["item"].pk for row in page.context["items"]}

    anna = {row.pk for row in mine}
    assert len(chosen()) == 27
    assert chosen(q="anna", p="2", ordering="email") == anna | {theirs.pk}
    assert chosen(q="anna", site=str(site_a.pk)) == anna
    assert chosen(alice, q="anna") == anna
    assert client.get(bulk_url("delete"), query("all", q="nobody")).status_code == 404
    for refused in (
        {"status": "nonsense"},
        {"site": "999999"},
        {"created_from": "yesterday"},
        {"q": "a\0"},
    ):
        response = client.get(bulk_url("delete"), query("all", **refused))
        assert response.status_code == 302, refused
        # There was nothing to press.
        response = post(client, bulk_url("delete"), query("all", **refused))
        assert response.status_code == 404, refused
    # Another site's filter is none that alice has: nothing is done rather than too much.
    other = query("all", site=str(site_b.pk))
    assert client_for(alice).get(bulk_url("delete"), other).status_code == 302
    assert post(client_for(alice), bulk_url("delete"), other).status_code == 404
    assert not BulkJob.objects.exists()
    text = client.get(admin_url("index")).content.decode()
    assert "What is listed cannot be told from this address. Nothing was done." in text
    post(client, bulk_url("delete"), query("all", q="anna", site=str(site_a.pk)))
    assert set(BulkItem.objects.values_list("request", flat=True)) == anna


def test_more_than_a_job_takes(boss, site_a, client_for, admin_url, bulk_url, monkeypatch):
    rows = make_many(12, [site_a])
    monkeypatch.setattr(BulkJob, "MOST", 11)
    client = client_for(boss)
    for ids in (["all"], rows):
        for response in (
            client.get(bulk_url("check"), query(*ids)),
            client.post(bulk_url("check"), {"shown": " ".join(str(row.pk) for row in rows)}),
        ):
            assert response.status_code == 302
    assert not BulkJob.objects.exists()
    text = client.get(admin_url("index")).content.decode()
    assert "At most 11 invoices can be chosen at once. Nothing was done." in text
    assert client.get(bulk_url("check"), query(*rows[:11])).status_code == 200


@pytest.mark.parametrize("kind", KINDS)
def test_an_action_is_for_those_who_hold_its_right(
    kind, carol, alice, site_a, request_a, client_for, admin_url, bulk_url
):
    BillingRequest.objects.update(status="expired")
    link = f'href="{bulk_url(kind)}"'
    assert link in client_for(alice).get(admin_url("index")).content.decode()
    assert client_for(carol).get(bulk_url(kind), query(request_a)).status_code == 302
    grant(carol.groups.get(), site_a, BillingRequest, "resend_billingrequest")
    client = client_for(carol)
    html = client.get(admin_url("index")).content.decode()
    assert (link in html) == (kind == "check")
    assert bulk_url("check") in html
    response = post(client, bulk_url(kind), query(request_a))
    assert BulkJob.objects.exists() == (kind == "check")
    assert response.status_code == 302


def test_a_right_on_one_site_is_none_on_another(
    alice, site_b, request_a, request_b, client_for, bulk_url
):
    grant(alice.groups.get(), site_b, BillingRequest, "resend_billingrequest")
    page = client_for(alice).get(bulk_url("delete"), query(request_a, request_b))
    assert [row["item"].pk for row in page.context["items"]] == [request_a.pk]
    assert "You do not have the right to do this on its site." in page.content.decode()
    post(client_for(alice), bulk_url("delete"), query(request_a, request_b))
    assert set(BulkItem.objects.values_list("request", flat=True)) == {request_a.pk}


def test_no_query_a_row(alice, site_a, client_for, bulk_url):
    client = client_for(alice)

    def queries(rows):
        with counted() as found:
            assert client.get(bulk_url("delete"), query(*rows)).status_code == 200
        return found.queries

    few = make_many(2, [site_a])
    queries(few)
    assert queries(make_many(40, [site_a])) == queries(few)


@pytest.fixture
def job(alice, three):
    return backend.start("check", BillingRequest.objects.all(), user=alice)


@pytest.mark.parametrize("name", ["job", "job_progress"])
def test_a_job_is_its_own_users(name, job, alice, boss, carol, client_for, admin_url):
    url = admin_url(name, job.pk)
    assert client_for(alice).get(url).status_code == 200
    assert client_for(boss).get(url).status_code == 404
    assert client_for(carol).get(url).status_code == 404
    assert client_for(alice).get(admin_url(name, 10**6)).status_code == 404
    assert client_for(alice).post(url).status_code == 405


def test_the_job_page_from_beginning_to_end(
    job, alice, three, site_a, connected_test, make_request, client_for, admin_url
):
    Heartbeat.beat("sweep")
    client = client_for(alice)
    html = client.get(admin_url("job", job.pk)).content.decode()
    assert "Check with Stripe: 0 of 3 done." in html
    assert re.search(r'<progress [^>]*value="0" max="3"', html)
    assert 'role="status"' in html
    assert "w-swap#replaceLazy" in html
    assert admin_url("job_progress", job.pk) in html
    assert "The worker is not running" not in html
    Heartbeat.objects.all().delete()
    fragment = client.get(admin_url("job_progress", job.pk)).content.decode()
    assert "The worker is not running" in fragment
    assert "<html" not in fragment
    first, second, third = job.items.order_by("pk")
    again = make_request(site_a, connected_test)
    BulkItem.objects.filter(pk=first.pk).update(state="finished", result="no_news")
    BulkItem.objects.filter(pk=second.pk).update(result="waiting")
    html = client.get(admin_url("job", job.pk)).content.decode()
    assert "Check with Stripe: 1 of 3 done." in html
    assert "For 1 of them Stripe could not be asked; it is tried again." in html
    listed = client.get(admin_url("index")).content.decode()
    assert "Check with Stripe: 1 of 3 done." in listed
    assert admin_url("job", job.pk) in listed
    BulkItem.objects.filter(pk=second.pk).update(state="finished", result="sent", made=again)
    BulkItem.objects.filter(pk=third.pk).update(state="finished", result="failed")
    for name in ("job", "job_progress"):
        html = client.get(admin_url(name, job.pk)).content.decode()
        assert "Check with Stripe: 3 of 3 done." in html
        assert "w-swap#replaceLazy" not in html
        for row in (*three, again):
            assert admin_url("inspect", row.pk) in html
            assert row.number in html
        assert "No news from Stripe" in html
        assert "Left as it was: something went wrong" in html
    assert admin_url("job", job.pk) not in client.get(admin_url("index")).content.decode()


def test_rule_8_looking_at_a_job_writes_nothing(job, alice, client_for, admin_url):
    client = client_for(alice)
    before = list(BulkItem.objects.values()), list(BulkJob.objects.values())
    with counted() as found:
        for name in ("job", "job_progress"):
            client.get(admin_url(name, job.pk))
    harmless = ("SELECT", "SAVEPOINT", "RELEASE")
    assert not [sql for sql in found.statements if not sql.startswith(harmless)]
    assert before == (list(BulkItem.objects.values()), list(BulkJob.objects.values()))


def test_rule_9_a_job_names_no_row_that_its_user_lost(
    job, alice, three, site_a, client_for, admin_url
):
    BulkItem.objects.update(state="finished", result="no_news")
    group = alice.groups.get()
    group.site_permissions.filter(site=site_a).delete()
    response = client_for(alice).get(admin_url("job", job.pk))
    assert not numbers_in(response.content.decode())


def test_other_peoples_jobs_are_not_on_top_of_the_list(job, boss, client_for, admin_url):
    assert admin_url("job", job.pk) not in client_for(boss).get(admin_url("index")).content.decode()


def fields_of(page):
    return dict(re.findall(r'name="(once|shown)" value="([^"]*)"', page.content.decode()))


def test_pressing_the_button_twice_starts_one_job(boss, three, client_for, bulk_url):
    client = client_for(boss)
    address = f"{bulk_url('send_again')}?id={three[1].pk}"
    sent = fields_of(client.get(address))
    first, second = client.post(address, sent), client.post(address, sent)
    assert first["Location"] == second["Location"]
    assert BulkJob.objects.count() == 1
    # Also when the worker was quicker than the second click.
    backend.drain(time.monotonic() + 5)
    assert client.post(address, sent)["Location"] == first["Location"]
    assert BulkJob.objects.count() == 1
    assert BillingRequest.objects.count() == 4


AGAIN = "The client was asked for the same a few minutes ago."


@pytest.mark.parametrize("worker_was_there", [False, True])
def test_what_was_just_sent_again_is_not_sent_once_more(
    worker_was_there, boss, alice, three, client_for, bulk_url
):
    """Where nobody confirms each row by itself, the same bill within minutes is a slip."""
    client, colleague = client_for(boss), client_for(alice)
    address = f"{bulk_url('send_again')}?id={three[1].pk}"
    shown_before = fields_of(colleague.get(address))
    client.post(address, fields_of(client.get(address)))
    if worker_was_there:
        backend.drain(time.monotonic() + 5)
    assert AGAIN in client.get(address).content.decode()
    colleague.post(address, shown_before)
    assert BulkJob.objects.count() == 1
    backend.drain(time.monotonic() + 5)
    assert BillingRequest.objects.filter(email="c1@x.example").count() == 2
    # Later it may well be meant; an older bill of the same amount is another bill.
    old = timezone.now() - timedelta(minutes=11)
    BillingRequest.objects.update(created_at=old)
    assert AGAIN not in client.get(address).content.decode()


@pytest.mark.parametrize(
    "other",
    [
        {"amount_minor": 5},
        {"currency": "USD"},
        {"email": "d@x.example"},
        {"livemode": True},
        {"site": None},
        {"status": "deleted"},
    ],
)
def test_another_bill_to_the_client_does_not_keep_one_from_being_sent_again(
    other, boss, site_a, three, connected_test, make_request, client_for, bulk_url
):
    newer = make_request(site_a, connected_test, email=three[1].email)
    address = f"{bulk_url('send_again')}?id={three[1].pk}"
    client = client_for(boss)
    assert AGAIN in client.get(address).content.decode()
    BillingRequest.objects.filter(pk=newer.pk).update(**other)
    assert AGAIN not in client.get(address).content.decode()


def test_nothing_is_done_to_what_the_page_had_not_named(
    boss, three, site_a, connected_test, make_request, client_for, bulk_url
):
    client = client_for(boss)
    address = f"{bulk_url('delete')}?id=all&status=pending"
    sent = fields_of(client.get(address))
    make_request(site_a, connected_test)
    client.post(address, sent)
    assert [item.request for item in BulkItem.objects.all()] == [three[0]]
    # Nor to anything without a page that was shown.
    client.post(address)
    assert BulkJob.objects.count() == 1


@pytest.mark.parametrize("kind", ["check", "delete"])
def test_what_was_paid_while_somebody_read_the_page_is_in_the_job(
    kind, boss, three, client_for, bulk_url
):
    client = client_for(boss)
    address = f"{bulk_url(kind)}?id={three[0].pk}"
    sent = fields_of(client.get(address))
    BillingRequest.objects.filter(pk=three[0].pk).update(status="paid")
    client.post(address, sent)
    assert BulkItem.objects.get().request == three[0]
    backend.drain(time.monotonic() + 5)
    assert BulkItem.objects.get().result == "paid"
    three[0].refresh_from_db()
    assert three[0].status == "paid"
