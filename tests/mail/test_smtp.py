"""Speaking to the agency's own mail server, for real."""

import smtplib
import ssl
import time
from email.message import EmailMessage

import pytest

from wagtail_client_billing import netguard, sealing
from wagtail_client_billing.mail import smtp
from wagtail_client_billing.mail.problems import FOR_NOW, OF_SERVER, described, problem_of
from wagtail_client_billing.models import EmailDelivery

from .smtp_server import BANNERS

Problem = EmailDelivery.Problem
LOGIN = ("billing@atelier.example", "hunter2 is no password")


def a_message(to="client@customer.example"):
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "a@atelier.example", to, "Hello"
    message["Message-ID"] = "<one@atelier.example>"
    message.set_content("A bill.")
    return message


def send(row, to="client@customer.example"):
    """One message by a connection of its own; returns the problem, or ""."""
    client = None
    try:
        client = smtp.connect(row)
        client.sendmail("a@atelier.example", [to], a_message(to).as_bytes())
    except Exception as error:
        return problem_of(error)
    finally:
        if client is not None:
            smtp.close(client)
    return ""


@pytest.mark.parametrize("encryption", ["starttls", "tls"])
def test_a_message_goes_encrypted_and_logged_in(start_smtp, save_server, encryption):
    server = start_smtp(encryption=encryption, login=LOGIN)
    assert send(save_server(server)) == ""
    (taken,) = server.taken
    assert taken.encrypted
    assert taken.login == LOGIN[0]
    assert taken.message["Message-ID"] == "<one@atelier.example>"
    assert server.steps("QUIT")


def test_without_a_password_it_may_go_unencrypted(start_smtp, save_server):
    server = start_smtp()
    assert send(save_server(server)) == ""
    assert not server.taken[0].encrypted


def test_a_password_is_never_sent_unencrypted(start_smtp, save_server):
    server = start_smtp(login=LOGIN)
    assert send(save_server(server)) == Problem.NO_TLS
    assert not server.steps("AUTH")


def test_starttls_never_falls_back_to_plain_text(start_smtp, save_server):
    server = start_smtp(login=LOGIN)
    assert send(save_server(server, encryption="starttls")) == Problem.NO_TLS
    assert not server.steps("AUTH")
    assert not server.steps("MAIL")


def test_tls_to_a_server_without(start_smtp, save_server):
    server = start_smtp()
    assert send(save_server(server, encryption="tls")) == Problem.NO_TLS


@pytest.mark.parametrize("encryption", ["starttls", "tls"])
def test_a_certificate_of_another_name(start_smtp, save_server, encryption):
    server = start_smtp(encryption=encryption, login=LOGIN, names=["mail.elsewhere.example"])
    assert send(save_server(server)) == Problem.CERTIFICATE
    assert not server.steps("AUTH")


@pytest.mark.parametrize("encryption", ["starttls", "tls"])
def test_a_certificate_of_nobody_we_know(start_smtp, save_server, encryption, monkeypatch):
    server = start_smtp(encryption=encryption, login=LOGIN)
    monkeypatch.delenv("SSL_CERT_FILE")
    assert send(save_server(server)) == Problem.CERTIFICATE
    assert not server.steps("AUTH")


def test_the_address_is_dialled_and_the_name_verified(start_smtp, save_server, monkeypatch):
    """The certificate holds for the host's name; a number dialled by hand would not fit it."""
    server = start_smtp(encryption="tls", login=LOGIN, names=["localhost"])
    dialled = []
    connect = smtp.socket.socket.connect

    def seen(self, sockaddr):
        dialled.append(sockaddr)
        return connect(self, sockaddr)

    monkeypatch.setattr(smtp.socket.socket, "connect", seen)
    assert send(save_server(server)) == ""
    assert dialled[-1][0] == "127.0.0.1"


ANSWERS = [
    ("wrong_login", Problem.LOGIN),
    ("login_later", Problem.UNREACHABLE),
    ("no_auth", Problem.LOGIN),
    ("login_first", Problem.LOGIN),
    ("sender", Problem.SENDER),
    ("sender_later", Problem.LATER),
    ("bounce", Problem.REFUSED),
    ("greylist", Problem.LATER),
    ("spam", Problem.REFUSED),
    ("full", Problem.LATER),
    ("closing", Problem.LATER),
    ("drop", Problem.UNREACHABLE),
    ("busy", Problem.UNREACHABLE),
    ("rejecting", Problem.UNREACHABLE),
    ("endless_banner", Problem.TIMEOUT),
    ("endless_ehlo", Problem.TIMEOUT),
]


@pytest.mark.parametrize(("mode", "problem"), ANSWERS)
def test_what_the_server_answers(start_smtp, save_server, mode, problem):
    server = start_smtp(encryption="starttls", login=LOGIN, mode=mode)
    assert send(save_server(server)) == problem
    assert server.taken == []


def test_a_line_without_an_end(start_smtp, save_server):
    server = start_smtp(mode="huge_banner")
    assert send(save_server(server)) in OF_SERVER


def test_every_problem_of_the_server_is_worth_another_try():
    assert OF_SERVER < FOR_NOW
    assert Problem.UNCERTAIN not in FOR_NOW
    assert Problem.REFUSED not in FOR_NOW


@pytest.mark.parametrize("mode", ["deaf", "slow"])
def test_a_silent_server_ends_in_time(start_smtp, save_server, monkeypatch, mode):
    monkeypatch.setattr(smtp, "STEP_SECONDS", 0.2)
    server = start_smtp(mode=mode)
    assert send(save_server(server)) == Problem.TIMEOUT


def test_drops_do_not_add_up(start_smtp, save_server, monkeypatch):
    """Each byte comes within a step's time; all together they may not take longer than allowed."""
    monkeypatch.setattr(smtp, "STEP_SECONDS", 5.0)
    monkeypatch.setattr(smtp, "CONNECT_SECONDS", 0.5)
    server = start_smtp(mode="drip", drip_seconds=0.05)
    before = time.monotonic()
    assert send(save_server(server)) == Problem.TIMEOUT
    assert time.monotonic() - before < 5


def test_the_time_of_a_message_begins_with_it(start_smtp, save_server, monkeypatch):
    server = start_smtp()
    client = smtp.connect(save_server(server))
    try:
        client.clock.restart(-1)
        for _ in range(3):
            client.sendmail("a@atelier.example", ["b@c.example"], a_message().as_bytes())
    finally:
        smtp.close(client)
    assert [each.connection for each in server.taken] == [1, 1, 1]


def test_a_hanging_server_after_the_text(start_smtp, save_server, monkeypatch):
    monkeypatch.setattr(smtp, "STEP_SECONDS", 0.3)
    server = start_smtp(mode="slow_data")
    client = smtp.connect(save_server(server))
    with pytest.raises(smtplib.SMTPServerDisconnected) as caught:
        client.sendmail("a@atelier.example", ["b@c.example"], a_message().as_bytes())
    smtp.close(client)
    assert problem_of(caught.value, handed_over=True) == Problem.UNCERTAIN
    assert problem_of(caught.value) == Problem.TIMEOUT


def test_an_answer_is_certain_after_the_text_too():
    refusal = smtplib.SMTPDataError(554, b"looks like spam")
    assert problem_of(refusal, handed_over=True) == Problem.REFUSED
    assert problem_of(smtplib.SMTPDataError(451, b""), handed_over=True) == Problem.LATER


@pytest.mark.parametrize("code", [-1, 200, 251, 354])
def test_what_is_no_refusal_after_the_text_is_none(code):
    """smtplib raises it for any code but 250, and -1 for a line without one."""
    assert problem_of(smtplib.SMTPDataError(code, b"?"), handed_over=True) == Problem.UNCERTAIN


def test_what_a_name_of_our_network_leads_to_is_not_told():
    assert "10.1.2.3" not in described(netguard.NotAllowed("mail.internal is 10.1.2.3"))


def test_one_of_two_recipients(start_smtp, save_server):
    server = start_smtp()
    row = save_server(server)
    server.answers["gone@customer.example"] = "550 5.1.1 no such user"
    assert send(row, "gone@customer.example") == Problem.REFUSED
    assert send(row, "here@customer.example") == ""
    assert [each.recipients for each in server.taken] == [["here@customer.example"]]


def test_nobody_listens(save_server, start_smtp):
    server = start_smtp()
    row = save_server(server)
    server.stop()
    server.stop = lambda: None
    assert send(row) == Problem.UNREACHABLE


def test_a_port_that_is_not_allowed(start_smtp, save_server):
    server = start_smtp()
    assert send(save_server(server, port=22)) == Problem.FORBIDDEN


def test_loopback_is_not_reached_unless_allowed(start_smtp, save_server, settings):
    server = start_smtp()
    ours = settings.WAGTAIL_CLIENT_BILLING
    settings.WAGTAIL_CLIENT_BILLING = {**ours, "SMTP_ALLOW_PRIVATE_NETWORKS": False}
    assert send(save_server(server)) == Problem.FORBIDDEN
    assert server.connections == 0


def test_a_lost_key_is_a_problem_and_no_crash(start_smtp, save_server):
    server = start_smtp(encryption="tls", login=LOGIN)
    row = save_server(server, sealed_password="enc1:gone")
    assert send(row) == Problem.UNREADABLE
    assert not server.steps("AUTH")


def test_the_greeting_does_not_tell_the_machines_name(start_smtp, save_server, monkeypatch):
    def told(*args):
        raise AssertionError("Nobody asks for this machine's name")

    monkeypatch.setattr(smtplib.socket, "getfqdn", told)
    server = start_smtp()
    assert send(save_server(server, from_email="b@atelier.example")) == ""
    assert send(save_server(server, from_email="")) == ""
    assert [hostname for (hostname,) in server.steps("EHLO")] == ["atelier.example", "localhost"]


def test_what_a_refused_login_leaves_behind(start_smtp, save_server):
    """Neither the exception, nor what it drags along, nor what it says holds the password."""
    server = start_smtp(encryption="starttls", login=LOGIN, mode="wrong_login")
    row = save_server(server)
    with pytest.raises(smtplib.SMTPAuthenticationError) as caught:
        smtp.connect(row)
    assert caught.value.__context__ is None
    held = []
    trace = caught.value.__traceback__
    while trace is not None:
        held.append(trace.tb_frame.f_code)
        # Of what error trackers send along.
        shown = repr(trace.tb_frame.f_locals)
        assert LOGIN[1] not in shown
        trace = trace.tb_next
    assert smtplib.SMTP.login.__code__ not in held
    assert described(caught.value) == "535"


@pytest.mark.parametrize("password", ["pässwörd", "pass\x00word"])
def test_a_password_that_cannot_be_sent(start_smtp, save_server, password):
    server = start_smtp(encryption="tls", login=(LOGIN[0], "other"))
    row = save_server(server, sealed_password=sealing.seal(password))
    assert send(row) == Problem.LOGIN


@pytest.mark.parametrize(
    ("error", "problem"),
    [
        (netguard.NotAllowed("port 22"), Problem.FORBIDDEN),
        (netguard.UnknownHost("nowhere"), Problem.NO_HOST),
        (smtplib.socket.gaierror(-2, "Name or service not known"), Problem.NO_HOST),
        (TimeoutError(), Problem.TIMEOUT),
        (ConnectionRefusedError(), Problem.UNREACHABLE),
        (ssl.SSLCertVerificationError(), Problem.CERTIFICATE),
        (ssl.SSLError(1, "WRONG_VERSION_NUMBER"), Problem.NO_TLS),
        (sealing.SecretUnreadable(), Problem.UNREADABLE),
        (smtplib.SMTPAuthenticationError(534, b"app password needed"), Problem.LOGIN),
        (smtplib.SMTPAuthenticationError(538, b"encrypt first"), Problem.NO_TLS),
        (smtplib.SMTPSenderRefused(552, b"too big", "a@b.example"), Problem.REFUSED),
        (smtplib.SMTPNotSupportedError("STARTTLS extension not supported"), Problem.NO_TLS),
        (smtplib.SMTPNotSupportedError("SMTP AUTH extension not supported"), Problem.LOGIN),
        (smtplib.SMTPNotSupportedError("SMTPUTF8 not supported by server"), Problem.REFUSED),
        (ValueError("something else"), Problem.OTHER),
    ],
)
def test_what_an_error_means(error, problem):
    assert problem_of(error) == problem
    assert described(error)


def test_banners_are_covered():
    seen = {mode for mode, _problem in ANSWERS} | {"huge_banner", "deaf", "drip"}
    assert seen >= BANNERS
