"""Custom SMTP, default mail, and the one for the other: what the servers' logs say is what we say."""

import asyncio
import time

import pytest
from django.utils import timezone

from wagtail_client_billing import lifecycle
from wagtail_client_billing.mail import outbox, sending, smtp
from wagtail_client_billing.models import EmailDelivery, SiteBillingSettings

from . import smtp_server

State = EmailDelivery.State
Problem = EmailDelivery.Problem
Via = EmailDelivery.Via
LOGIN = ("billing@atelier.example", "hunter2 is no password")


def drain():
    return outbox.drain(time.monotonic() + 60)


def due_now():
    EmailDelivery.objects.filter(state=State.QUEUED).update(next_try_at=timezone.now())


def states():
    return list(EmailDelivery.objects.order_by("pk").values_list("state", flat=True))


def accepted_ids(server):
    return sorted(taken.message["Message-ID"] for taken in server.taken)


def sent_ids(**only):
    sent = EmailDelivery.objects.filter(state=State.SENT, **only)
    return sorted(sent.values_list("message_id", flat=True))


@pytest.fixture
def custom(start_smtp, save_server):
    """The agency's own server."""
    server = start_smtp(encryption="starttls", login=LOGIN)
    server.row = save_server(server)
    return server


@pytest.fixture
def default(start_smtp, use_mailer):
    """The server of the project's default mail."""
    server = start_smtp()
    use_mailer("127.0.0.1", server.port)
    return server


@pytest.mark.parametrize("encryption", ["starttls", "tls"])
def test_custom_smtp_sends_all_over_one_connection(
    encryption, make_bill, start_smtp, save_server, default
):
    server = start_smtp(encryption=encryption, login=LOGIN)
    save_server(server)
    for _each in range(7):
        make_bill()
    assert drain() == 7
    assert accepted_ids(server) == sent_ids(via=Via.CUSTOM)
    assert len(server.taken) == 7
    assert server.connections == 1
    assert server.steps("QUIT") == [()]
    assert all(taken.encrypted and taken.login == LOGIN[0] for taken in server.taken)
    assert {taken.sender for taken in server.taken} == {"billing@atelier.example"}
    assert default.taken == []


def test_default_mail_sends_all_over_one_connection(make_bill, default):
    for _each in range(7):
        make_bill()
    assert drain() == 7
    assert accepted_ids(default) == sent_ids(via=Via.DEFAULT)
    assert default.connections == 1
    assert default.steps("QUIT") == [()]


def test_a_connection_does_not_go_on_for_ever(make_bill, default, monkeypatch):
    monkeypatch.setattr(sending, "PER_CONNECTION", 3)
    for _each in range(7):
        make_bill()
    drain()
    assert default.connections == 3
    assert len(default.taken) == 7


def test_custom_smtp_switched_off_is_not_used(bill, custom, default):
    type(custom.row).objects.update(enabled=False)
    drain()
    assert custom.connections == 0
    assert accepted_ids(default) == sent_ids(via=Via.DEFAULT)


def test_a_server_that_was_changed_meanwhile_is_left(
    make_bill, custom, start_smtp, save_server, monkeypatch
):
    other = start_smtp()
    for _each in range(2):
        make_bill()
    courier_send = sending.Way.send

    def change_after_the_first(self, *args):
        said = courier_send(self, *args)
        if not other.taken:
            save_server(other, changed_at=timezone.now())
        return said

    monkeypatch.setattr(sending.Way, "send", change_after_the_first)
    drain()
    assert len(custom.taken) == len(other.taken) == 1
    assert custom.steps("QUIT") == other.steps("QUIT") == [()]


# --- Connections that die between messages --------------------------------------------------


def cut_after(server, count, monkeypatch, how):
    """The server ends each conversation once it has taken ``count`` messages of it."""
    send = sending.Way._send
    seen = []

    def cutting(self, *args):
        said = send(self, *args)
        seen.append(said)
        if len(seen) % count == 0:
            how(server)
        return said

    monkeypatch.setattr(sending.Way, "_send", cutting)


def abort(server):
    """From the server's side, and known there to be done."""

    async def all_of_them():
        for transport in server.transports:
            transport.abort()
        await asyncio.sleep(0)

    server._call(all_of_them())


@pytest.mark.parametrize("kind", ["custom", "default"])
def test_a_dead_connection_is_opened_once_more_and_counts_for_nothing(
    kind, make_bill, monkeypatch, request
):
    server = request.getfixturevalue(kind)
    for _each in range(4):
        make_bill()
    cut_after(server, 2, monkeypatch, abort)
    assert drain() == 4
    assert accepted_ids(server) == sent_ids()
    assert len(server.taken) == 4
    assert server.connections == 2
    assert set(EmailDelivery.objects.values_list("attempts", "problem")) == {(1, "")}


def test_goodbye_instead_of_an_answer_is_a_new_connection(make_bill, default, monkeypatch):
    """421 at MAIL, as servers say that have seen enough of one conversation."""
    for _each in range(2):
        make_bill()
    tired = []
    handle = smtp_server._Handler.handle_MAIL

    async def once(self, server, session, envelope, address, options):
        if self.owner.taken and not tired:
            tired.append(True)
            return "421 4.7.0 too many messages"
        return await handle(self, server, session, envelope, address, options)

    monkeypatch.setattr(smtp_server._Handler, "handle_MAIL", once)
    assert drain() == 2
    assert len(default.taken) == 2 and default.connections == 2
    assert set(EmailDelivery.objects.values_list("attempts", "problem")) == {(1, "")}


def test_a_silent_server_is_not_asked_once_more(make_bill, custom, monkeypatch):
    """It would take its time twice, and more than a task has."""
    monkeypatch.setattr(smtp, "STEP_SECONDS", 0.3)
    first, second = make_bill(), make_bill()

    def fall_silent(server):
        server.mode = "slow"

    cut_after(custom, 1, monkeypatch, fall_silent)
    drain()
    assert custom.connections == 1
    assert (first.deliveries.get().state, second.deliveries.get().problem) == (
        State.SENT,
        Problem.TIMEOUT,
    )


def test_a_connection_that_dies_after_a_refusal_is_no_failing_server(
    make_bill, custom, monkeypatch
):
    for address in ("nobody@customer.example", "client@customer.example"):
        make_bill(email=address)
    custom.answers["nobody@customer.example"] = "550 5.1.1 no such user"
    send = sending.Way.send

    def refused_and_cut(self, message, *args):
        try:
            return send(self, message, *args)
        finally:
            if message.to == ["nobody@customer.example"]:
                abort(custom)

    monkeypatch.setattr(sending.Way, "send", refused_and_cut)
    drain()
    assert states() == [State.FAILED, State.SENT]
    custom.row.refresh_from_db()
    assert custom.row.failing_since is None
    assert custom.connections == 2


def test_what_was_taken_is_written_down_before_anything_else(bill, custom, monkeypatch):
    """Whatever goes wrong with the news of the server leaves no doubt of the message."""
    type(custom.row).objects.update(failing_since=timezone.now(), failing_problem="login")

    def broken(server):
        raise RuntimeError("deadlock")

    monkeypatch.setattr(lifecycle, "mail_server_works", broken)
    with pytest.raises(RuntimeError, match="deadlock"):
        drain()
    assert len(custom.taken) == 1
    assert bill.deliveries.get().state == State.SENT


def test_a_server_that_says_goodbye_to_every_message_is_asked_again_later(bill, default):
    default.mode = "busy"
    assert drain() == 1
    assert default.connections == 1
    delivery = bill.deliveries.get()
    assert (delivery.state, delivery.attempts) == (State.QUEUED, 1)


# --- What the server's log says, and what we say --------------------------------------------

MODES = [
    # mode, state, problem, whether the server has the text, whether it was handed over
    ("good", State.SENT, "", True, True),
    ("bounce", State.FAILED, Problem.REFUSED, False, False),
    ("spam", State.FAILED, Problem.REFUSED, False, True),
    ("greylist", State.QUEUED, Problem.LATER, False, False),
    ("sender_later", State.QUEUED, Problem.LATER, False, False),
    ("full", State.QUEUED, Problem.LATER, False, True),
    ("closing", State.QUEUED, Problem.LATER, False, True),
    ("sender", State.QUEUED, Problem.SENDER, False, False),
    ("login_first", State.QUEUED, Problem.LOGIN, False, False),
    ("wrong_login", State.QUEUED, Problem.LOGIN, False, False),
    ("no_auth", State.QUEUED, Problem.LOGIN, False, False),
    ("login_later", State.QUEUED, Problem.UNREACHABLE, False, False),
    ("busy", State.QUEUED, Problem.UNREACHABLE, False, False),
    ("rejecting", State.QUEUED, Problem.UNREACHABLE, False, False),
    ("drop", State.QUEUED, Problem.UNREACHABLE, False, False),
    ("break", State.FAILED, Problem.UNCERTAIN, True, True),
    ("lost", State.FAILED, Problem.UNCERTAIN, False, True),
]


@pytest.mark.parametrize(("mode", "state", "problem", "has_it", "handed_over"), MODES)
def test_what_the_admin_shows_is_what_happened(
    mode, state, problem, has_it, handed_over, bill, custom, default
):
    custom.mode = mode
    assert drain() >= 1
    delivery = bill.deliveries.get()
    assert (delivery.state, delivery.problem) == (state, problem)
    assert bool(custom.taken) is has_it
    assert bool(delivery.handed_over_at) is handed_over
    bill.refresh_from_db()
    assert bool(bill.sent_at) is (mode == "good")
    # And later on, with the server well again: nothing is lost, and nothing goes out twice.
    custom.mode = "good"
    due_now()
    drain()
    delivery.refresh_from_db()
    ended = state != State.QUEUED
    assert delivery.state == (state if ended else State.SENT)
    assert len(custom.taken) == (int(has_it) if ended else 1)
    assert {taken.message["Message-ID"] for taken in custom.taken} <= {delivery.message_id}
    # Custom SMTP that fails is never told by custom SMTP; nothing else went by default mail.
    assert not [taken for taken in default.taken if bill.email in taken.recipients]


# --- Default mail steps in ------------------------------------------------------------------

OF_SERVER = ["sender", "login_first", "wrong_login", "busy", "drop"]


@pytest.mark.parametrize("mode", OF_SERVER)
def test_default_mail_steps_in_where_the_agency_wants_it(mode, bill, custom, default, save_server):
    save_server(custom, falls_back=True)
    custom.mode = mode
    drain()
    delivery = bill.deliveries.get()
    assert (delivery.state, delivery.via, delivery.problem) == (State.SENT, Via.FALLBACK, "")
    assert custom.taken == []
    (taken,) = [each for each in default.taken if each.recipients == [bill.email]]
    # Default mail need not be allowed the agency's own sender.
    assert taken.sender == "agency@example.com"
    assert taken.message["Message-ID"] == delivery.message_id


@pytest.mark.parametrize("mode", ["bounce", "spam", "greylist", "full", "break", "lost"])
def test_default_mail_does_not_step_in_for_the_rest(mode, bill, custom, default, save_server):
    save_server(custom, falls_back=True)
    custom.mode = mode
    drain()
    assert default.taken == []
    assert bill.deliveries.get().state != State.SENT


def test_without_the_switch_it_never_steps_in(bill, custom, default):
    custom.mode = "wrong_login"
    drain()
    assert not [taken for taken in default.taken if bill.email in taken.recipients]
    delivery = bill.deliveries.get()
    assert (delivery.state, delivery.via) == (State.QUEUED, Via.CUSTOM)


def test_with_default_mail_failing_too_nothing_is_called_sent(bill, custom, default, save_server):
    save_server(custom, falls_back=True)
    custom.mode, default.mode = "wrong_login", "busy"
    drain()
    delivery = bill.deliveries.get()
    assert (delivery.state, delivery.problem) == (State.QUEUED, Problem.LOGIN)
    assert "default mail" in delivery.error and "421" in delivery.error
    bill.refresh_from_db()
    assert bill.sent_at is None
    default.mode = "good"
    due_now()
    drain()
    assert accepted_ids(default) == sent_ids()
    assert bill.deliveries.get().via == Via.FALLBACK


def test_default_mail_that_refuses_the_recipient_has_the_last_word(
    bill, custom, default, save_server
):
    save_server(custom, falls_back=True)
    custom.mode, default.mode = "wrong_login", "bounce"
    drain()
    delivery = bill.deliveries.get()
    assert (delivery.state, delivery.problem, delivery.via) == (
        State.FAILED,
        Problem.REFUSED,
        Via.FALLBACK,
    )


def test_a_server_that_fails_is_spared_while_default_mail_steps_in(
    make_bill, custom, default, save_server
):
    save_server(custom, falls_back=True)
    custom.mode = "wrong_login"
    for _each in range(6):
        make_bill()
    drain()
    assert custom.connections == 3
    assert EmailDelivery.objects.filter(kind="payment_link", via=Via.FALLBACK).count() == 6
    assert len(default.taken) >= 6


# --- One server fails, and works again ------------------------------------------------------


def test_an_outage_ends_the_round_and_what_works_again_is_found_out_at_once(
    make_bill, custom, default
):
    custom.mode = "drop"
    for _each in range(8):
        make_bill()
    drain()
    links = EmailDelivery.objects.filter(kind="payment_link")
    assert links.filter(attempts=1, state=State.QUEUED).count() == 3
    assert links.filter(attempts=0, state=State.QUEUED).count() == 5
    # Well again: the five that had not been tried go, and so do the three that wait.
    custom.mode = "good"
    links.filter(attempts=0).update(problem=Problem.UNREACHABLE)
    drain()
    assert set(links.values_list("state", flat=True)) == {State.SENT}
    assert len(custom.taken) == 8 == len(set(accepted_ids(custom)))


def test_a_server_that_lets_nobody_log_in_for_now_is_not_asked_for_each_message(make_bill, custom):
    custom.mode = "login_later"
    for _each in range(5):
        make_bill()
    drain()
    assert custom.connections == 3


# --- Copies ---------------------------------------------------------------------------------


@pytest.fixture
def copied(make_bill):
    return make_bill(
        email="client@customer.example",
        cc=["boss@customer.example", "books@customer.example"],
        bcc="archive@atelier.example",
    )


def test_each_recipient_has_a_message_and_an_answer_of_their_own(copied, custom):
    custom.answers["boss@customer.example"] = "550 5.1.1 no such user"
    custom.answers["books@customer.example"] = "450 4.7.1 try later"
    assert drain() == 4
    found = {(each.role, each.to): (each.state, each.problem) for each in copied.deliveries.all()}
    assert found == {
        ("to", "client@customer.example"): (State.SENT, ""),
        ("cc", "boss@customer.example"): (State.FAILED, Problem.REFUSED),
        ("cc", "books@customer.example"): (State.QUEUED, Problem.LATER),
        ("bcc", "archive@atelier.example"): (State.SENT, ""),
    }
    assert [taken.recipients for taken in custom.taken] == [
        ["client@customer.example"],
        ["archive@atelier.example"],
    ]
    assert custom.connections == 1


@pytest.mark.parametrize("kind", ["custom", "default"])
def test_to_and_cc_are_seen_and_bcc_never(kind, copied, request):
    server = request.getfixturevalue(kind)
    drain()
    assert len(server.taken) == 4
    for taken in server.taken:
        assert str(taken.message["To"]) == "client@customer.example"
        assert str(taken.message["Cc"]) == "boss@customer.example, books@customer.example"
        assert taken.message["Bcc"] is None
        assert len(taken.recipients) == 1
        assert b"archive@atelier.example" not in taken.raw
    assert len(set(accepted_ids(server))) == 4


def test_a_lone_bcc_sees_whom_it_was_for(make_bill, default):
    make_bill(bcc="archive@atelier.example")
    drain()
    assert [str(taken.message["To"]) for taken in default.taken] == ["client@customer.example"] * 2
    assert all(taken.message["Cc"] is None for taken in default.taken)


def test_news_to_the_agency_name_no_client(copied, default):
    EmailDelivery.objects.all().delete()
    EmailDelivery.objects.create(
        request=copied, kind="agency_paid", to="billing@atelier.example", message_id="<paid@x>"
    )
    type(copied).objects.update(status="paid", paid_at=timezone.now())
    drain()
    (taken,) = default.taken
    assert str(taken.message["To"]) == "billing@atelier.example"
    assert taken.message["Cc"] is None


def test_a_site_whose_own_sender_is_refused_is_no_failing_server(bill, custom, default, site):
    SiteBillingSettings.objects.update_or_create(
        site=site, defaults={"from_email": "hello@bakery.example"}
    )
    custom.mode = "sender"
    drain()
    custom.row.refresh_from_db()
    assert custom.row.failing_since is None
    delivery = bill.deliveries.get()
    assert (delivery.state, delivery.problem) == (State.QUEUED, Problem.SENDER)
