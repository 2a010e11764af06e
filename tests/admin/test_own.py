"""What a client sees who logs in: their bills, what they paid, and nothing of the agency."""

import re

import pytest
from django.utils import timezone

from tests.admin.money_moved import refund
from tests.admin.test_isolation import menu_labels
from tests.fixtures import grant
from wagtail_client_billing.models import BillingRequest, LogEntry, Payment, Refund

NOW = timezone.now()


@pytest.fixture
def client_of_a(carol, site_a, site_b):
    """Carol may see the requests of site A, and do nothing with them."""
    grant(carol.groups.get(), site_a, BillingRequest, "view_billingrequest")
    return carol


@pytest.fixture
def staff(alice):
    alice.first_name, alice.last_name = "Alice", "Accountant"
    alice.save()
    return alice


def pay(request, **values):
    return Payment.objects.create(
        **{
            "request": request,
            "account_id": "acct_secret",
            "livemode": False,
            "source": "pi_secret",
            "amount_minor": 123456,
            "currency": "EUR",
            "method": "card",
            "last4": "4242",
            "received_at": NOW,
            **values,
        }
    )


def test_the_list(client_of_a, request_a, request_b, client_for, admin_url):
    client = client_for(client_of_a)
    assert "Invoices" in menu_labels(client)
    response = client.get(admin_url("index"), follow=True)
    assert response.redirect_chain == [(admin_url("own"), 302)]
    BillingRequest.objects.filter(pk=request_a.pk).update(description="Website, November")
    html = client.get(admin_url("own")).content.decode()
    for shown in (request_a.number, "Website, November", "€1,234.56", "Pending", "TEST"):
        assert shown in html, shown
    assert request_b.number not in html
    assert client.get(admin_url("index_results"))["Location"] == admin_url("own_results")
    assert "<html" not in client.get(admin_url("own_results")).content.decode()


@pytest.mark.parametrize("name", ["own", "own_detail"])
def test_nothing_tells_how_the_agency_works(
    name, client_of_a, staff, request_a, connected_test, client_for, admin_url, boss
):
    BillingRequest.objects.update(
        status="paid",
        created_by=staff,
        review_since=NOW,
        review_reason="amount",
        hold="delete",
        paid_late=True,
        not_confirmed=True,
        processing_since=NOW,
    )
    pay(request_a)
    LogEntry.objects.update(user=staff, user_name="Accountant")
    request_a.payments.update(note="By hand, says Bob")
    url = admin_url(name, *([request_a.pk] if name == "own_detail" else []))
    main = client_for(client_of_a).get(url).content.decode().partition('id="main"')[2]
    assert request_a.number in main
    for secret in (
        "Accountant",
        "Needs review",
        "Being deleted",
        "Paid late",
        "Not confirmed",
        "Processing",
        "pi_secret",
        "says Bob",
        request_a.email,
        "acct_",
        "What happened",
        "E-mails",
        "E-mail queued",
        "Download",
        "export=",
        "bulk",
        "dots-horizontal",
        "Check with Stripe",
        "Stripe",
    ):
        assert secret not in main, secret


def test_its_page(client_of_a, request_a, client_for, admin_url):
    client = client_for(client_of_a)
    url = admin_url("own_detail", request_a.pk)
    assert client.get(admin_url("inspect", request_a.pk))["Location"] == url
    html = client.get(url).content.decode()
    assert "No payment yet." in html
    assert f"/billing/pay/{request_a.token}/" in html
    assert "Payment page" in html
    BillingRequest.objects.update(status="paid", paid_at=NOW)
    pay(request_a)
    pay(request_a, source="pi_2", amount_minor=77700, taken_back_at=NOW)
    html = client.get(url).content.decode()
    assert "Card ending 4242" in " ".join(html.replace("·", "").split())
    assert "€777.00" not in html
    assert f"/pay/{request_a.token}/receipt/{request_a.payments.get(source='pi_secret').pk}" in html
    assert "Refunded" not in html
    refund(request_a.payments.get(source="pi_secret"), 3456)
    refund(request_a.payments.get(source="pi_secret"), 100, state="failed")
    refund(request_a.payments.get(source="pi_secret"), 200, state="creating")
    assert "Refunded: €34.56" in client.get(url).content.decode()
    request_a.payments.update(mismatch=True)
    # Money that nobody has accepted has no receipt yet.
    assert "/receipt/" not in client.get(url).content.decode()
    Refund.objects.all().delete()
    Payment.objects.all().delete()
    BillingRequest.objects.update(status="deleted")
    assert request_a.token not in client.get(url).content.decode()
    assert client.post(url).status_code == 405


def test_rule_9_only_what_the_user_sees_as_a_client(
    client_of_a, alice, boss, request_a, request_b, client_for, admin_url
):
    for user in (client_of_a, alice, boss):
        assert client_for(user).get(admin_url("own_detail", request_b.pk)).status_code == 404
    # Who bills has the full page instead.
    assert client_for(alice).get(admin_url("own_detail", request_a.pk)).status_code == 404
    assert list(client_for(boss).get(admin_url("own")).context["object_list"]) == []
    assert client_for(client_of_a).get(admin_url("inspect", request_b.pk)).status_code == 404
    assert client_for(client_of_a).get(admin_url("inspect", 10**6)).status_code == 404
    for page in ("resend", "check", "delete"):
        for method in ("get", "post"):
            response = getattr(client_for(client_of_a), method)(admin_url(page, request_a.pk))
            assert response.status_code in (302, 404)
    request_a.refresh_from_db()
    assert (request_a.status, request_a.hold) == ("pending", "")


def test_search_filter_order_and_hostile_input(
    client_of_a, site_a, site_b, connected_test, connected_live, make_request, client_for, admin_url
):
    first = make_request(site_a, connected_test, description="Website", amount_minor=5000)
    second = make_request(site_a, connected_live, currency="JPY", amount_minor=5000)
    make_request(site_b, connected_live, description="Website")
    BillingRequest.objects.filter(pk=second.pk).update(status="paid")
    client = client_for(client_of_a)

    def found(**query):
        response = client.get(admin_url("own"), query)
        assert response.status_code == 200
        return [row.pk for row in response.context["object_list"]]

    assert found() == [second.pk, first.pk]
    assert found(q="website") == [first.pk]
    assert found(q="50") == [first.pk]
    assert found(q=second.number) == [second.pk]
    assert found(status="paid") == [second.pk]
    assert found(status="nonsense") == [second.pk, first.pk]
    assert found(site=site_b.pk) == [second.pk, first.pk]
    assert found(badge="review") == [second.pk, first.pk]
    for key in ("number", "amount", "status", "created_at"):
        assert set(found(ordering=key)) == {first.pk, second.pk}
    assert found(ordering="-amount") == [first.pk, second.pk]
    assert found(ordering="token") == found(ordering="email") == [second.pk, first.pk]
    for hostile in ("%" * 1_000_000, "\0", "💸", "\u202e", "\r\n", "'\""):
        found(q=hostile)


def test_who_bills_for_some_sites_and_sees_others(
    alice, site_a, site_b, request_a, request_b, client_for, admin_url
):
    client = client_for(alice)
    assert admin_url("own") not in client.get(admin_url("index")).content.decode()
    grant(alice.groups.get(), site_b, BillingRequest, "view_billingrequest")
    client = client_for(alice)
    index = client.get(admin_url("index"))
    assert [row.pk for row in index.context["object_list"]] == [request_a.pk]
    assert "Invoices of other sites" in index.content.decode()
    assert admin_url("own") in index.content.decode()
    own = client.get(admin_url("own"))
    assert [row.pk for row in own.context["object_list"]] == [request_b.pk]
    assert client.get(admin_url("inspect", request_b.pk))["Location"] == admin_url(
        "own_detail", request_b.pk
    )
    assert client.get(admin_url("inspect", request_a.pk)).status_code == 200
    export = client.get(admin_url("index"), {"export": "csv"})
    assert request_b.number not in b"".join(export.streaming_content).decode()
    filtered = client.get(admin_url("index"), {"site": site_b.pk})
    assert not re.search(r"Lawyers B", filtered.content.decode())


def test_whoever_sees_all_sites_is_no_client(carol, request_a, client_for, admin_url):
    from django.contrib.auth.models import Permission

    group = carol.groups.get()
    group.permissions.add(Permission.objects.get(codename="view_billingrequest"))
    response = client_for(carol).get(admin_url("index"))
    assert [row.pk for row in response.context["object_list"]] == [request_a.pk]
    assert admin_url("own") not in response.content.decode()


def test_who_has_no_right_at_all(carol, request_a, client_for, admin_url):
    assert client_for(carol).get(admin_url("own")).status_code == 302
    assert client_for(carol).get(admin_url("own_detail", request_a.pk)).status_code == 404


def test_whose_the_address_is_cannot_be_guessed_by_searching(
    carol, site_a, connected_test, make_request, client_for, admin_url
):
    grant(carol.groups.get(), site_a, BillingRequest, "view_billingrequest")
    made = make_request(site_a, connected_test, email="private.boss@other.example")
    client = client_for(carol)
    for name in ("own", "own_results"):
        assert (
            made.number not in client.get(admin_url(name), {"q": "private.boss@"}).content.decode()
        )
        assert made.number in client.get(admin_url(name), {"q": made.number}).content.decode()
