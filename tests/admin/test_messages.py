"""Agency settings → Messages: on and off, the agency's own words, previews with real facts."""

import re
from datetime import timedelta

import pytest
from django.contrib.auth.models import Group, Permission
from django.db import connection
from django.test.utils import CaptureQueriesContext

from wagtail_client_billing import lifecycle
from wagtail_client_billing.mail.compose import compose
from wagtail_client_billing.models import AgencySettings, EmailDelivery, MessageSettings

Kind = EmailDelivery.Kind


@pytest.fixture
def owner(django_user_model):
    """May change the agency settings, and sees no billing request."""
    group = Group.objects.create(name="owners")
    for codename in ("access_admin", "change_agencysettings"):
        group.permissions.add(Permission.objects.get(codename=codename))
    user = django_user_model.objects.create_user("owner", "owner@agency.example", "pw")
    user.groups.add(group)
    return user


def words(kind, language="en"):
    row = MessageSettings.objects.filter(kind=kind).first()
    return row.texts.get(language, {}) if row else {}


def test_the_tab_lists_every_message(boss, agency_url, client_for):
    html = client_for(boss).get(agency_url).content.decode()
    tab = html[html.index('id="tab-messages"') :]
    for kind in Kind:
        assert f"/messages/{kind}/in/en/preview/" in tab, kind
        assert (f"/messages/{kind}/off/" in tab) == (kind != Kind.PAYMENT_LINK), kind
    assert "Always sent" in tab


def test_a_message_is_switched_off_and_on(boss, request_a, client_for, admin_url):
    client = client_for(boss, enforce_csrf_checks=True)
    url = admin_url("message_off", Kind.RECEIPT)
    html = client.get(url).content.decode()
    assert not MessageSettings.objects.exists()
    assert client.post(url).status_code == 403
    token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', html)[1]
    response = client.post(url, {"csrfmiddlewaretoken": token})
    assert response["Location"].endswith("#tab-messages")
    assert not MessageSettings.is_on(Kind.RECEIPT)
    client.post(admin_url("message_on", Kind.RECEIPT), {"csrfmiddlewaretoken": token})
    assert MessageSettings.is_on(Kind.RECEIPT)


def test_the_payment_link_cannot_be_switched_off(boss, client_for, admin_url):
    client = client_for(boss)
    assert client.post(admin_url("message_off", Kind.PAYMENT_LINK)).status_code == 404
    assert client.get(admin_url("message", Kind.PAYMENT_LINK, "en")).status_code == 200


@pytest.mark.parametrize("where", [("nothing", "en"), ("receipt", "xx")])
@pytest.mark.parametrize("name", ["message", "message_preview", "message_html"])
def test_messages_and_languages_that_there_are_not(boss, client_for, admin_url, name, where):
    assert client_for(boss).get(admin_url(name, *where)).status_code == 404


def test_own_words_in_one_language(boss, request_a, client_for, admin_url):
    client = client_for(boss)
    typed = {
        "subject": "Bill {number}: {amount}",
        "greeting": "Dear <b>team</b> of {site},",
        "note": "For {description}.\nSee you soon.",
    }
    url = admin_url("message", Kind.PAYMENT_LINK, "en")
    response = client.post(url, typed)
    assert response["Location"] == admin_url("message_preview", Kind.PAYMENT_LINK, "en")
    assert words(Kind.PAYMENT_LINK) == typed
    assert words(Kind.PAYMENT_LINK, "fr") == {}
    request_a.description = "<i>Hosting</i>"
    request_a.save()
    message = compose(request_a.deliveries.get())
    assert re.sub(r"\s", " ", message.subject).startswith(f"TEST – Bill {request_a.number}: €")
    text, html = message.body, message.alternatives[0][0]
    assert f"Dear <b>team</b> of {request_a.site_name}," in text
    assert "For <i>Hosting</i>.\nSee you soon." in text
    # What somebody typed is text in the HTML, and so is what is filled in.
    assert "Dear &lt;b&gt;team&lt;/b&gt;" in html
    assert "For &lt;i&gt;Hosting&lt;/i&gt;.<br>See you soon." in html
    # Blank again is ours again.
    client.post(url, {"subject": "", "greeting": "", "note": ""})
    assert words(Kind.PAYMENT_LINK) == {}
    assert "payment of" in compose(request_a.deliveries.get()).subject


@pytest.mark.parametrize(
    ("values", "field", "said"),
    [
        ({"subject": "Pay {amout}"}, "subject", "{amout} cannot be filled in"),
        ({"greeting": "Dear {client.password}"}, "greeting", "{client.password}"),
        ({"note": "half a { brace"}, "note", "{ cannot be filled in"),
        ({"note": "{}"}, "note", "{} cannot be filled in"),
        ({"subject": "a\r\nBcc: eve@evil.example"}, "subject", "Line breaks"),
        ({"subject": "x" * 151}, "subject", "at most 150"),
        ({"note": "x" * 1_000_000}, "note", "at most 2000"),
        ({"greeting": "x" * 301}, "greeting", "at most 300"),
    ],
)
def test_what_is_refused_beside_its_field(boss, client_for, admin_url, values, field, said):
    url = admin_url("message", Kind.RECEIPT, "en")
    response = client_for(boss).post(url, values)
    form = response.context["form"]
    assert list(form.errors) == [field]
    assert said in str(form.errors[field])
    assert not MessageSettings.objects.exists()


def test_a_notice_about_no_request_has_nothing_to_fill_in(boss, client_for, admin_url):
    url = admin_url("message", Kind.AGENCY_MAIL, "en")
    form = client_for(boss).post(url, {"note": "{amount}"}).context["form"]
    assert "Nothing in braces" in str(form.errors["note"])


def test_what_is_filled_in_is_not_filled_in_again(request_a):
    MessageSettings.objects.create(
        kind=Kind.PAYMENT_LINK, texts={"en": {"subject": "{description}"}}
    )
    request_a.description = "{amount} {number}\u2028x"
    request_a.save()
    subject = compose(request_a.deliveries.get()).subject
    assert subject == "TEST – {amount} {number} x"


@pytest.mark.parametrize("kind", list(Kind))
@pytest.mark.parametrize("language", ["en", "fr"])
def test_every_message_can_be_previewed(
    kind, language, boss, request_a, connected_test, client_for, admin_url
):
    client = client_for(boss)
    before = EmailDelivery.objects.count()
    page = client.get(admin_url("message_preview", kind, language))
    assert page.status_code == 200
    assert "no-store" in page["Cache-Control"]
    assert EmailDelivery.objects.count() == before
    frame = client.get(admin_url("message_html", kind, language))
    if "There is nothing to show yet" in page.content.decode():
        assert frame.status_code == 404
        return
    html = page.content.decode()
    assert "<iframe" in html
    assert " sandbox " in html[html.index("<iframe") :]
    assert page.context["message"].body.strip()
    assert f'<html lang="{language}"' in frame.content.decode()
    assert "sandbox" in frame["Content-Security-Policy"]
    assert "default-src 'none'" in frame["Content-Security-Policy"]
    assert frame["X-Frame-Options"] == "SAMEORIGIN"
    assert "no-store" in frame["Cache-Control"]


def test_a_preview_says_whose_facts_it_shows(boss, request_a, request_b, client_for, admin_url):
    client = client_for(boss)
    html = client.get(admin_url("message_preview", Kind.PAYMENT_LINK, "en")).content.decode()
    assert f"With the facts of {request_b.number}" in html
    html = client.get(admin_url("message_preview", Kind.REMINDER, "en")).content.decode()
    assert "No such message has been sent yet." in html
    html = client.get(admin_url("message_preview", Kind.REFUNDED, "en")).content.decode()
    assert "There is nothing to show yet" in html


def test_a_preview_of_a_change_shows_the_last_one(boss, request_a, client_for, admin_url):
    lifecycle.delivery_accepted(request_a.deliveries.get())
    old = request_a.amount_minor
    lifecycle.place_hold(request_a.pk, "edit", user=boss, data={"amount_minor": 100, "mail": True})
    lifecycle.apply_hold(request_a.pk)
    assert request_a.deliveries.filter(kind=Kind.CHANGED).count() == 1
    page = client_for(boss).get(admin_url("message_preview", Kind.CHANGED, "en"))
    assert old != 100
    assert "€1.00 (before: €" in page.context["message"].body


def test_only_what_the_user_may_see_is_shown(owner, request_a, client_for, admin_url):
    client = client_for(owner)
    page = client.get(admin_url("message_preview", Kind.PAYMENT_LINK, "en"))
    assert "There is nothing to show yet" in page.content.decode()
    assert request_a.number not in page.content.decode()
    assert client.get(admin_url("message_html", Kind.PAYMENT_LINK, "en")).status_code == 404


def test_rule_8_looking_at_any_of_it_writes_nothing(
    boss, request_a, agency_url, client_for, admin_url
):
    client = client_for(boss)
    where = (Kind.PAYMENT_LINK, "en")
    names = ("message", "message_preview", "message_html")
    pages = [agency_url, *(admin_url(name, *where) for name in names)]
    pages.append(admin_url("message_off", Kind.REMINDER))
    client.get(agency_url)
    with CaptureQueriesContext(connection) as captured:
        for page in pages:
            assert client.get(page).status_code == 200
    writes = ("INSERT", "UPDATE", "DELETE", "REPLACE")
    assert [each["sql"] for each in captured if each["sql"].startswith(writes)] == []


def test_reminder_times_are_saved(boss, agency_url, client_for):
    client = client_for(boss)
    page = client.get(agency_url).content.decode()
    assert 'name="first_reminder_number" value="3"' in page
    typed = {
        "agency_name": "Atelier",
        "first_reminder_number": "2",
        "first_reminder_unit": "days",
        "second_reminder_number": "",
        "second_reminder_unit": "hours",
    }
    client.post(agency_url, typed)
    agency = AgencySettings.current()
    assert (agency.first_reminder, agency.second_reminder) == (timedelta(days=2), None)
    response = client.post(agency_url, {**typed, "second_reminder_number": "48"})
    assert "closer to the end" in response.content.decode()


# --- Reminders by hand ----------------------------------------------------------------------


def test_staff_send_a_reminder(alice, request_a, client_for, admin_url):
    client = client_for(alice)
    url = admin_url("remind", request_a.pk)
    # Nobody has had the link yet.
    assert "cannot be done" in client.get(url).content.decode()
    lifecycle.delivery_accepted(request_a.deliveries.get())
    assert url in client.get(admin_url("inspect", request_a.pk)).content.decode()
    assert url in client.get(admin_url("index")).content.decode()
    assert request_a.email in client.get(url).content.decode()
    client.post(url)
    client.post(url)
    (reminder,) = request_a.deliveries.filter(kind=Kind.REMINDER)
    assert reminder.to == request_a.email


def test_switched_off_reminders_say_so(alice, request_a, client_for, admin_url):
    lifecycle.delivery_accepted(request_a.deliveries.get())
    MessageSettings.objects.create(kind=Kind.REMINDER, enabled=False)
    html = client_for(alice).get(admin_url("remind", request_a.pk)).content.decode()
    assert "Reminders are switched off" in html
