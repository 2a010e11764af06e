"""The SMTP server and the inbox pages."""

import os
import re
import signal
import smtplib
import socket
import subprocess
import sys
from email.message import EmailMessage

import pytest
import requests
from django.core.management import CommandError, call_command

from wagtail_client_billing.sandbox import books, inbox

smtp = pytest.importorskip("wagtail_client_billing.sandbox.smtp", reason="aiosmtpd is missing")


def mail(text="Pay here: https://site.example/pay/abc/?x=1.\n", html=None, **headers):
    message = EmailMessage()
    message["From"] = "Agency <agency@example.com>"
    message["To"] = "client@example.com"
    message["Subject"] = headers.pop("subject", "Your bill: 123,45 €")
    if text is not None:
        message.set_content(text)
    if html is not None:
        if text is None:
            message.set_content(html, subtype="html")
        else:
            message.add_alternative(html, subtype="html")
    return message


@pytest.fixture
def running():
    with smtp.InboxServer() as server:
        yield server


@pytest.fixture
def sender(running):
    with smtplib.SMTP("127.0.0.1", running.port, timeout=10) as opened:
        yield opened


def get(server, path, **kwargs):
    return requests.get(f"{server.pages}{path}", timeout=10, **kwargs)


def test_a_mail_arrives(server, sender):
    sender.send_message(mail(html="<p>Pay <a href='https://site.example/pay/abc/'>here</a></p>"))
    (stored,) = books.mails()
    assert stored["recipients"] == ["client@example.com"]
    assert stored["subject"] == "Your bill: 123,45 €"
    assert stored["sender"] == "agency@example.com"
    assert books.mails(to="client@example.com") and not books.mails(to="other@example.com")
    listed = get(server, "inbox/").text
    assert "Your bill: 123,45 €" in listed and "client@example.com" in listed
    page = get(server, f"inbox/{stored['id']}/").text
    assert '<a href="https://site.example/pay/abc/?x=1">' in page  # without the full stop
    assert "Pay here:" in page and "agency@example.com" in page
    assert f'<iframe sandbox src="/sandbox/inbox/{stored["id"]}/html/"' in page


def test_the_html_part_has_a_policy_of_its_own(server, sender):
    sender.send_message(mail(html="<script>alert(1)</script><p style='color:red'>Grüße</p>"))
    answer = get(server, f"inbox/{books.mails()[0]['id']}/html/")
    assert answer.content.decode().strip().startswith("<script>")
    policy = answer.headers["Content-Security-Policy"]
    for rule in (
        "default-src 'none'",
        "style-src 'unsafe-inline'",
        "img-src data:",
        "frame-ancestors 'self'",
        "sandbox",
    ):
        assert rule in policy
    assert "script-src" not in policy and "'self';" not in policy.split("frame-ancestors")[0]
    assert answer.headers["X-Frame-Options"] == "SAMEORIGIN"


def test_nothing_in_a_mail_is_markup_on_our_page(server, sender):
    sender.send_message(mail("<script>x</script>", subject="<b>bold</b>"))
    page = get(server, f"inbox/{books.mails()[0]['id']}/").text
    assert "<script" not in page and "<b>" not in page
    assert "<iframe" not in page
    assert get(server, f"inbox/{books.mails()[0]['id']}/html/").status_code == 404


def test_links_of_a_mail_without_text(server, sender):
    html = '<a href="https://site.example/a">a</a> <a href="javascript:x()">no</a> <a>none</a>'
    sender.send_message(mail(None, html))
    page = get(server, f"inbox/{books.mails()[0]['id']}/").text
    assert '<a href="https://site.example/a">' in page
    assert "javascript:" not in page


def test_links_of():
    text = "See (https://a.example/x), https://a.example/x and javascript:alert(1) ftp://b.example"
    assert inbox.links_of(text, None) == ["https://a.example/x"]
    assert inbox.links_of(None, None) == []


BROKEN = {
    "charset": b"Subject: x\r\nContent-Type: text/plain; charset=klingon\r\n\r\nhttps://a.example/\r\n",
    "address": b"Subject: =?x?q?=\r\nFrom: <<>,;:\r\nTo: a@\r\n\r\nhttps://a.example/\r\n",
    "nothing": b"",
    "bytes": b"Subject: \xff\xfe\r\n\r\n\xff\xfe https://a.example/\r\n",
    "multipart": b"Subject: x\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\nhello\r\n",
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_mails_are_shown(server, case):
    mail_id = inbox.add("a@example.com", ["b@example.com"], BROKEN[case])
    assert get(server, "inbox/").status_code == 200
    assert get(server, f"inbox/{mail_id}/").status_code == 200


def test_login_is_accepted_but_not_demanded(sender):
    sender.login("demo", "demo")
    sender.send_message(mail())
    assert len(books.mails()) == 1


def test_a_wrong_password_is_refused(sender):
    with pytest.raises(smtplib.SMTPAuthenticationError):
        sender.login("demo", "wrong")


@pytest.mark.parametrize(
    ("address", "code"),
    [("bounce@example.com", 550), ("Bounce+1@example.com", 550), ("greylist@example.com", 450)],
)
def test_refused_recipients(sender, address, code):
    with pytest.raises(smtplib.SMTPRecipientsRefused) as caught:
        sender.sendmail("a@example.com", [address], "Subject: x\n\nx")
    assert caught.value.recipients[address][0] == code
    assert books.mails() == []


def test_the_page_says_where_it_listens(server):
    assert "No SMTP server is running" in get(server, "inbox/").text
    with smtp.InboxServer() as running:
        assert inbox.smtp_port() == running.port
        page = get(server, "inbox/").text
        for text in ("127.0.0.1", str(running.port)):
            assert f"<code>{text}</code>" in page
        # It has no encryption, without which no password is sent.
        assert "Leave both blank" in page
    assert inbox.smtp_port() is None


def test_it_listens_on_this_computer_only(running):
    addresses = [s.getsockname()[0] for s in running._server.sockets]
    assert addresses == ["127.0.0.1"]


def test_stopping_cuts_open_connections(running):
    with socket.create_connection(("127.0.0.1", running.port), timeout=5) as connection:
        assert connection.recv(100).startswith(b"220")


def test_emptying_the_inbox(server, sender):
    sender.send_message(mail())
    with requests.Session() as browser:
        page = browser.get(f"{server.pages}inbox/", timeout=10).text
        token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page)[1]
        browser.post(f"{server.pages}inbox/empty/", data={"csrfmiddlewaretoken": token}, timeout=10)
    assert books.mails() == []
    assert get(server, "inbox/1/").status_code == 404


def test_command_says_when_the_port_is_taken(running):
    with pytest.raises(CommandError, match=str(running.port)):
        call_command("client_billing_sandbox_smtp", port=running.port)


def test_command_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "aiosmtpd.smtp", None)
    monkeypatch.setitem(sys.modules, "aiosmtpd", None)
    monkeypatch.delitem(sys.modules, "wagtail_client_billing.sandbox.smtp")
    monkeypatch.delattr("wagtail_client_billing.sandbox.smtp")
    with pytest.raises(CommandError, match=r"wagtail-client-billing\[demo\]"):
        call_command("client_billing_sandbox_smtp")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_command_ends_cleanly(running, number, tmp_path):
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "django",
            "client_billing_sandbox_smtp",
            f"--port={running.port}",
            f"--last-port={running.port + 20}",
        ],
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings", "PYTHONPATH": os.getcwd()},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    line = process.stdout.readline()
    port = int(re.search(r"127\.0\.0\.1:(\d+)", line)[1])
    assert port > running.port
    with smtplib.SMTP("127.0.0.1", port, timeout=10) as connection:
        connection.send_message(mail())
        process.send_signal(number)
        _, errors = process.communicate(timeout=20)
    assert (process.returncode, errors) == (0, "")
