"""Agency settings → Email (SMTP): what is saved, what is refused, and the test e-mail."""

import logging

import pytest
from django.core import mail
from django.core.cache import cache
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from wagtail.models import ModelLogEntry

from tests.mail.conftest import save_server, start_smtp
from wagtail_client_billing import sealing
from wagtail_client_billing.admin import mail_panel
from wagtail_client_billing.mail import probe
from wagtail_client_billing.models import (
    AgencySettings,
    EmailDelivery,
    MailServer,
    SiteBillingSettings,
)

PASSWORD = "correct horse battery"
Problem = EmailDelivery.Problem

__all__ = ["save_server", "start_smtp"]


@pytest.fixture(autouse=True)
def empty_cache():
    cache.clear()


@pytest.fixture
def good():
    return {
        "agency_name": "Atelier",
        "contact_email": "hello@atelier.example",
        "notification_email": "",
        "smtp_enabled": "on",
        "smtp_host": "smtp.atelier.example",
        "smtp_port": "587",
        "smtp_encryption": "starttls",
        "smtp_username": "billing",
        "smtp_password": PASSWORD,
        "smtp_from_name": "Atelier, Web & Co. 🧁",
        "smtp_from_email": "billing@atelier.example",
        "smtp_reply_to": "hello@atelier.example",
    }


@pytest.fixture
def save(boss, client_for, agency_url, good):
    """``save(**changed)`` posts the whole page; the client checks CSRF as a browser meets it."""
    client = Client(enforce_csrf_checks=True)
    client.force_login(boss)

    def post(**changed):
        page = client.get(agency_url)
        token = page.context["csrf_token"]
        typed = {name: value for name, value in {**good, **changed}.items() if value is not None}
        return client.post(agency_url, {**typed, "csrfmiddlewaretoken": str(token)})

    post.client = client
    return post


def errors(response):
    assert response.status_code == 200
    return response.context["form"].errors


def stored():
    server = MailServer.objects.get()
    return server, sealing.open(server.sealed_password)


def test_it_is_saved_and_the_password_sealed(save, boss):
    assert save().status_code == 302
    server, password = stored()
    assert password == PASSWORD
    assert PASSWORD not in server.sealed_password
    assert (server.enabled, server.host, server.port) == (True, "smtp.atelier.example", 587)
    assert server.from_name == "Atelier, Web & Co. 🧁"
    assert server.changed_at
    assert AgencySettings.current().agency_name == "Atelier"
    entry = ModelLogEntry.objects.get(action="client_billing.mail_server")
    assert entry.user == boss
    assert "password" in entry.data["changed"]
    assert PASSWORD not in str([each.data for each in ModelLogEntry.objects.all()])


def test_nothing_typed_makes_no_row(save, good):
    untouched = {name: None for name in good if name.startswith("smtp_")}
    untouched |= {"smtp_port": "587", "smtp_encryption": "starttls"}
    assert save(**untouched).status_code == 302
    assert not MailServer.objects.exists()


def test_reading_the_page_writes_nothing(save, agency_url):
    save.client.get(agency_url)
    assert not MailServer.objects.exists()


def test_the_password_is_kept_and_never_shown(save, agency_url):
    save()
    before = MailServer.objects.get().sealed_password
    page = save.client.get(agency_url).content.decode()
    assert PASSWORD not in page
    assert before not in page
    assert "Leave blank to keep it" in page
    assert save(smtp_password="", smtp_from_name="Other").status_code == 302
    assert MailServer.objects.get().sealed_password == before
    assert MailServer.objects.get().from_name == "Other"


@pytest.mark.parametrize(
    "changed",
    [
        {"smtp_host": "smtp.thief.example"},
        {"smtp_port": "465"},
        {"smtp_encryption": "tls"},
        {"smtp_username": "somebody"},
    ],
)
def test_the_password_does_not_go_elsewhere(save, changed):
    save()
    response = save(smtp_password="", **changed)
    assert "another host" in str(errors(response)["smtp_password"])
    assert MailServer.objects.get().host == "smtp.atelier.example"
    # Typed values stay, the password apart.
    for name, value in changed.items():
        assert response.context["form"][name].value() == value
    assert save(smtp_password="new one", **changed).status_code == 302
    assert stored()[1] == "new one"


def test_switching_off_and_on_is_no_way_around_it(save):
    save()
    assert save(smtp_enabled=None, smtp_password="", smtp_host="smtp.thief.example")
    server, password = stored()
    assert (server.enabled, server.host) == (False, "smtp.atelier.example")
    assert password == PASSWORD
    assert "smtp_password" in errors(save(smtp_password="", smtp_host="smtp.thief.example"))
    assert save(smtp_password="").status_code == 302
    assert MailServer.in_use()


def test_without_a_username_no_password_is_kept(save):
    save()
    assert save(smtp_username="", smtp_password="").status_code == 302
    assert stored()[1] == ""


REFUSED = [
    ("smtp_host", ""),
    ("smtp_host", "https://smtp.example"),
    ("smtp_host", "smtp.example:587"),
    ("smtp_host", "me@smtp.example"),
    ("smtp_host", "127.0.0.1"),
    ("smtp_host", "169.254.169.254"),
    ("smtp_host", "::ffff:10.0.0.1"),
    ("smtp_host", "x" * 254),
    ("smtp_port", "22"),
    ("smtp_port", "0"),
    ("smtp_port", "99999"),
    ("smtp_port", "text"),
    ("smtp_encryption", "none"),
    ("smtp_encryption", "rot13"),
    ("smtp_from_email", ""),
    ("smtp_from_email", "no address"),
    ("smtp_password", "pässwörd"),
    ("smtp_username", ""),
    ("smtp_username", "bénédicte"),
]
TEXTS = ("host", "username", "password", "from_name", "from_email", "reply_to")
INJECTED = [
    (f"smtp_{name}", f"a{end}Bcc: thief@evil.example")
    for name in TEXTS
    for end in ("\r\n", "\n", "\r", "\0")
]


@pytest.mark.parametrize(("name", "value"), [*REFUSED, *INJECTED])
def test_what_is_refused(save, name, value):
    response = save(**{name: value})
    assert name in errors(response)
    assert not MailServer.objects.exists()
    assert PASSWORD not in response.content.decode()
    assert response.context["form"]["smtp_reply_to"].value()


def test_a_password_that_was_typed_beside_another_error_is_asked_for_again(save):
    found = errors(save(contact_email="no address"))
    assert set(found) == {"contact_email", "smtp_password"}


def test_a_page_without_the_tab_changes_nothing(save, good):
    save()
    left_out = {name: None for name in good if name.startswith("smtp_")}
    assert save(**left_out, agency_name="Renamed").status_code == 302
    assert AgencySettings.current().agency_name == "Renamed"
    assert MailServer.in_use()
    assert stored()[1] == PASSWORD


def test_settings_and_server_are_saved_together_or_not_at_all(save, monkeypatch):
    def broken(*args, **kwargs):
        raise RuntimeError("no")

    monkeypatch.setattr("wagtail_client_billing.admin.audit.note_mail_server", broken)
    with pytest.raises(RuntimeError):
        save()
    assert not MailServer.objects.exists()
    assert AgencySettings.current().agency_name == ""


def test_a_change_makes_the_last_test_untrue(save):
    save()
    MailServer.objects.update(tested_at=timezone.now(), test_problem="")
    save(smtp_password="", smtp_from_name="Other")
    assert MailServer.objects.get().tested_at is None


def test_nobody_else_reaches_any_of_it(alice, client_for, agency_url, admin_url, good):
    client = client_for(alice)
    client.post(agency_url, good)
    client.post(admin_url("test_mail"))
    assert not MailServer.objects.exists()
    assert mail.outbox == []


def test_no_template_gets_at_it(save, rf):
    from django.template import RequestContext, Template

    save()
    request = rf.get("/")
    text = Template(
        "{{ settings.wagtail_client_billing.AgencySettings.smtp_password }}|"
        "{{ settings.wagtail_client_billing.AgencySettings.mail_server }}"
    )
    assert text.render(RequestContext(request)) == "|"
    assert sealing.open(MailServer.objects.get().sealed_password) not in str(
        vars(AgencySettings.load())
    )


# --- Send test e-mail to me ------------------------------------------------------------------


@pytest.fixture
def send_test(boss, admin_url):
    client = Client(enforce_csrf_checks=True)
    client.force_login(boss)

    def post(**typed):
        client.get(reverse("wagtailadmin_home"))
        token = client.cookies["csrftoken"].value
        response = client.post(admin_url("test_mail"), {**typed, "csrfmiddlewaretoken": token})
        assert response.status_code == 302
        assert response["Location"].endswith("#tab-email")
        return response

    post.client = client
    return post


def page_of(client, agency_url):
    return client.get(agency_url).content.decode()


LOGIN = ("billing@atelier.example", PASSWORD)


def test_it_goes_to_the_acting_users_own_address_and_by_what_is_saved(
    send_test, start_smtp, save_server, boss, agency_url
):
    server = start_smtp(encryption="starttls", login=LOGIN)
    save_server(server, from_name="Atelier, Web 🧁", reply_to="hello@atelier.example")
    send_test(to="thief@evil.example", smtp_host="other.example", email="thief@evil.example")
    (taken,) = server.taken
    assert taken.recipients == [boss.email]
    assert taken.sender == "billing@atelier.example"
    (sender,) = taken.message["From"].addresses
    assert (sender.display_name, sender.addr_spec) == (
        "Atelier, Web 🧁",
        "billing@atelier.example",
    )
    assert taken.message["Reply-To"].addresses[0].addr_spec == "hello@atelier.example"
    row = MailServer.objects.get()
    assert (row.test_problem, row.tested_by) == ("", boss)
    page = page_of(send_test.client, agency_url)
    assert "has accepted the test e-mail" in page
    assert "Last tried" in page


def test_without_custom_smtp_default_mail_is_tried(send_test, boss, agency_url, settings):
    send_test()
    (message,) = mail.outbox
    assert message.to == [boss.email]
    assert message.from_email == settings.DEFAULT_FROM_EMAIL
    assert "has accepted the test e-mail" in page_of(send_test.client, agency_url)


@pytest.mark.parametrize(
    ("mode", "given", "problem"),
    [
        ("wrong_login", {}, Problem.LOGIN),
        ("sender", {}, Problem.SENDER),
        ("bounce", {}, Problem.REFUSED),
        ("rejecting", {}, Problem.UNREACHABLE),
        ("break", {}, Problem.UNCERTAIN),
        ("good", {"port": 22}, Problem.FORBIDDEN),
        ("good", {"sealed_password": "enc1:lost"}, Problem.UNREADABLE),
        ("good", {"encryption": "tls"}, Problem.NO_TLS),
        ("good", {"encryption": "none"}, Problem.NO_TLS),
    ],
)
def test_what_came_of_it_is_said_in_fixed_words(
    send_test, start_smtp, save_server, agency_url, caplog, mode, given, problem
):
    server = start_smtp(encryption="starttls", login=LOGIN, mode=mode)
    save_server(server, **given)
    caplog.set_level(logging.DEBUG)
    send_test()
    row = MailServer.objects.get()
    assert row.test_problem == problem
    assert row.tested_at
    page = page_of(send_test.client, agency_url)
    assert str(problem.label).replace("'", "&#x27;") in page
    # What the server said is for the log alone.
    for word in ("5.7.1", "5.1.1", "go away", "no such user"):
        assert word not in page
    assert "The test e-mail failed" in caplog.text
    assert PASSWORD not in caplog.text


def test_silence_ends_in_time(send_test, start_smtp, save_server, monkeypatch):
    monkeypatch.setattr(probe, "CONNECT_SECONDS", 0.3)
    save_server(start_smtp(mode="drip", drip_seconds=0.02))
    send_test()
    assert MailServer.objects.get().test_problem == Problem.TIMEOUT


def test_one_too_many(send_test, boss, client_for):
    for _ in range(mail_panel.TESTS_OF_A_USER.times + 1):
        send_test()
    assert len(mail.outbox) == mail_panel.TESTS_OF_A_USER.times


def test_somebody_without_an_address(send_test, boss, agency_url):
    boss.email = ""
    boss.save()
    send_test()
    assert mail.outbox == []
    assert "no e-mail address" in page_of(send_test.client, agency_url)


def test_without_a_token_it_is_refused(send_test, admin_url):
    assert send_test.client.post(admin_url("test_mail")).status_code == 403
    assert mail.outbox == []


def test_get_sends_nothing(send_test, admin_url):
    assert send_test.client.get(admin_url("test_mail")).status_code == 302
    assert mail.outbox == []
    assert not MailServer.objects.exists()


def test_a_lost_key_is_a_banner(save_server, start_smtp, boss, alice, client_for, agency_url):
    save_server(start_smtp(encryption="tls", login=LOGIN), sealed_password="enc1:lost")
    page = client_for(boss).get(agency_url).content.decode()
    assert "stored password of your mail server cannot be read" in page


# --- Of one site -----------------------------------------------------------------------------


def test_a_sites_own_sender(boss, client_for, site_a, site_url):
    typed = {
        "from_name": "Bakery A",
        "from_email": "bakery@atelier.example",
        "reply_to": "baker@customer.example",
    }
    client = client_for(boss)
    assert client.post(site_url(site_a), typed).status_code == 302
    row = SiteBillingSettings.objects.get(site=site_a)
    assert {name: getattr(row, name) for name in typed} == typed
    for name in typed:
        for end in ("\r\n", "\n", "\0"):
            response = client.post(site_url(site_a), {**typed, name: f"a{end}Bcc: x@y.example"})
            assert name in response.context["form"].errors


def test_an_editor_of_the_site_does_not_choose_the_address(alice, client_for, site_a, site_url):
    SiteBillingSettings.objects.create(site=site_a, from_email="bakery@atelier.example")
    typed = {"from_name": "Bakery", "from_email": "lawyers@atelier.example", "reply_to": ""}
    assert client_for(alice).post(site_url(site_a), typed).status_code == 302
    row = SiteBillingSettings.objects.get(site=site_a)
    assert (row.from_name, row.from_email) == ("Bakery", "bakery@atelier.example")


# --- Where one is after saving -----------------------------------------------------------------


def test_after_saving_the_tab_that_was_saved_is_open(save):
    never = {
        f"{which}_reminder_{part}": value
        for which in ("first", "second")
        for part, value in (("number", ""), ("unit", "hours"))
    }
    assert "#tab" not in save(**never)["Location"]
    other = {"smtp_host": "other.atelier.example", **never}
    assert save(**other)["Location"].endswith("#tab-email")
    other |= {"smtp_password": "", "first_reminder_number": "5"}
    assert save(**other)["Location"].endswith("#tab-messages")
    assert "#tab" not in save(**other, agency_name="Other")["Location"]


def test_the_page_says_by_which_way_the_test_goes(send_test, save_server, start_smtp, agency_url):
    assert "by default mail, since custom SMTP is off" in page_of(send_test.client, agency_url)
    save_server(start_smtp(encryption="starttls", login=LOGIN))
    host = MailServer.objects.get().host
    assert f"by your mail server {host}" in page_of(send_test.client, agency_url)
