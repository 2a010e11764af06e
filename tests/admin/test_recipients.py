"""CC and BCC: what is taken and refused where a request is added and edited, and who then gets it."""

import pytest
from django.contrib.messages import get_messages

from wagtail_client_billing.gateway import connect
from wagtail_client_billing.models import BillingRequest, EmailDelivery

KEY = "rk_test_recipients_0123456789"
TO = "new@customer-of-a.example"


@pytest.fixture
def add(alice, connected_test, typed, client_for, admin_url):
    """Sends the dialog as alice, with CSRF; gives what comes back."""
    client = client_for(alice, enforce_csrf_checks=True)

    def send(**given):
        page = client.get(admin_url("add"))
        token = str(page.context["csrf_token"])
        return client.post(admin_url("add"), {**typed, "csrfmiddlewaretoken": token, **given})

    return send


@pytest.fixture
def bill(world, site_a, make_request):
    account = connect.connect_with_key(
        key=KEY,
        livemode=False,
        country="FR",
        privacy_policy_url="https://agency.example/privacy",
        terms_url="https://agency.example/terms",
        user=None,
    )
    return make_request(site_a, account, cc=["boss@b.example"], bcc="archive@b.example")


def said(response):
    return " ".join(str(message) for message in get_messages(response.wsgi_request))


def errors(response):
    return {name: list(each) for name, each in response.context["form"].errors.items()}


def test_copies_are_queued_with_the_mail_to_the_client(add):
    response = add(cc="boss@b.example; books@b.example\nme@b.example", bcc="archive@b.example")
    assert response.status_code == 302
    made = BillingRequest.objects.get()
    assert made.cc.split() == ["boss@b.example", "books@b.example", "me@b.example"]
    assert made.bcc == "archive@b.example"
    assert list(made.deliveries.order_by("pk").values_list("role", "to")) == [
        ("to", TO),
        ("cc", "boss@b.example"),
        ("cc", "books@b.example"),
        ("cc", "me@b.example"),
        ("bcc", "archive@b.example"),
    ]
    assert len(set(made.deliveries.values_list("message_id", flat=True))) == 5


REFUSED = [
    ({"cc": "nobody"}, "cc"),
    ({"cc": "a@b.example, nobody"}, "cc"),
    ({"cc": "a@b.example\r\nBcc: x@y.example"}, "cc"),
    ({"cc": "Ann <a@b.example>"}, "cc"),
    ({"cc": "a@b.example, A@B.example"}, "cc"),
    ({"cc": TO.upper()}, "cc"),
    ({"cc": " ".join(f"a{n}@b.example" for n in range(11))}, "cc"),
    ({"cc": "x" * 1_000_000}, "cc"),
    ({"cc": "a@b.example," * 100_000}, "cc"),
    ({"cc": "a@b.example\0"}, "cc"),
    ({"bcc": "nobody"}, "bcc"),
    ({"bcc": "a@b.example\r\nTo: x@y.example"}, "bcc"),
    ({"bcc": "a@b.example, c@d.example"}, "bcc"),
    ({"bcc": TO}, "bcc"),
    ({"cc": "a@b.example", "bcc": "A@b.example"}, "bcc"),
    ({"bcc": "x" * 1_000_000}, "bcc"),
]


@pytest.mark.parametrize(("given", "field"), REFUSED)
def test_what_is_wrong_is_told_beside_its_field_and_loses_nothing(add, given, field):
    response = add(description="kept é 👍", **given)
    assert response.status_code == 200
    assert list(errors(response)) == [field]
    text = response.content.decode()
    assert "kept é 👍" in text
    # It is folded away unless it needs to be seen.
    assert '<details class="wcb-details wcb-more" open' in text
    assert not BillingRequest.objects.exists()
    assert not EmailDelivery.objects.exists()


def test_ten_copies_are_taken(add):
    assert add(cc=", ".join(f"a{n}@b.example" for n in range(10))).status_code == 302
    assert EmailDelivery.objects.count() == 11


def edit(client, admin_url, bill, **given):
    url = admin_url("edit", bill.pk)
    page = client.get(url)
    form = page.context["form"]
    sent = {field.html_name: field.value() for field in form}
    sent = {key: value for key, value in sent.items() if value not in (None, False)}
    token = str(page.context["csrf_token"])
    return client.post(url, {**sent, "csrfmiddlewaretoken": token, **given})


@pytest.fixture
def client(alice, client_for):
    return client_for(alice, enforce_csrf_checks=True)


def test_edit_shows_them_and_logs_what_changed(client, admin_url, bill):
    page = client.get(admin_url("edit", bill.pk)).content.decode()
    assert 'value="boss@b.example"' in page and 'value="archive@b.example"' in page
    response = edit(client, admin_url, bill, cc="boss@b.example books@b.example", bcc="")
    assert response.status_code == 302, errors(response)
    bill.refresh_from_db()
    assert (bill.cc.split(), bill.bcc) == (["boss@b.example", "books@b.example"], "")
    changed = bill.log_entries.get(action="edited").evidence["changed"]
    assert changed == {
        "cc": ["boss@b.example", "boss@b.example\nbooks@b.example"],
        "bcc": ["archive@b.example", ""],
    }
    text = client.get(admin_url("inspect", bill.pk)).content.decode()
    assert "boss@b.example, books@b.example instead of boss@b.example" in text
    assert "none instead of archive@b.example" in text


def test_edit_that_changes_nothing_logs_no_change_of_copies(client, admin_url, bill):
    edit(client, admin_url, bill, description="More")
    assert set(bill.log_entries.get(action="edited").evidence["changed"]) == {"description"}


def test_a_new_copy_gets_the_link_in_any_case(client, admin_url, bill):
    before = set(bill.deliveries.values_list("pk", flat=True))
    page = client.get(admin_url("edit", bill.pk))
    form = page.context["form"]
    sent = {each.html_name: each.value() for each in form if each.name != "mail"}
    token = str(page.context["csrf_token"])
    sent |= {"cc": "boss@b.example, new@b.example", "csrfmiddlewaretoken": token}
    assert client.post(admin_url("edit", bill.pk), sent).status_code == 302
    new = bill.deliveries.exclude(pk__in=before)
    assert list(new.values_list("role", "to")) == [("cc", "new@b.example")]


@pytest.mark.parametrize(("given", "field"), REFUSED)
def test_edit_refuses_the_same(client, admin_url, bill, given, field):
    given = {
        key: value.replace(TO, bill.email).replace(TO.upper(), bill.email)
        for key, value in given.items()
    }
    if field == "cc" and "bcc" not in given:
        given["bcc"] = ""
    before = BillingRequest.objects.values().get(pk=bill.pk)
    response = edit(client, admin_url, bill, **{"cc": "", **given})
    assert response.status_code == 200
    assert list(errors(response)) == [field]
    assert BillingRequest.objects.values().get(pk=bill.pk) == before


def test_two_who_edit_at_once_do_not_overwrite_each_others_copies(client, admin_url, bill):
    shown = client.get(admin_url("edit", bill.pk)).context["form"]["shown"].value()
    edit(client, admin_url, bill, cc="other@b.example")
    response = edit(client, admin_url, bill, cc="mine@b.example", shown=shown)
    assert "was changed meanwhile" in response.content.decode()
    bill.refresh_from_db()
    assert bill.cc == "other@b.example"


def test_send_again_is_filled_in_with_them(client, admin_url, bill):
    BillingRequest.objects.filter(pk=bill.pk).update(status="expired")
    form = client.get(admin_url("send_again", bill.pk)).context["form"]
    assert form["cc"].value() == "boss@b.example"
    assert form["bcc"].value() == "archive@b.example"
    assert form.more_open
