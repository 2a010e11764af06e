"""A worker that is killed while it sends, as by a power cut; and workers at once.

No message is lost, and none is sent twice. Where nobody can know whether the server has it, the
delivery says so, and somebody decides.
"""

import os
import signal
import smtplib
import time
import warnings
from datetime import timedelta
from unittest import mock

import pytest
from django.db import connections
from django.utils import timezone

from wagtail_client_billing import lifecycle
from wagtail_client_billing.mail import outbox, sending
from wagtail_client_billing.models import EmailDelivery

State = EmailDelivery.State
Problem = EmailDelivery.Problem
LOGIN = ("billing@atelier.example", "hunter2 is no password")
real_commits = pytest.mark.django_db(transaction=True, serialized_rollback=True)


def drain():
    return outbox.drain(time.monotonic() + 60)


def die(*_args, **_kwargs):
    os.kill(os.getpid(), signal.SIGKILL)


def then_die(call):
    def doing(*args, **kwargs):
        call(*args, **kwargs)
        die()

    return doing


def half_of_the_text(self, text):
    """What of smtplib's ``send`` is the text, half of it."""
    data = text if isinstance(text, bytes) else text.encode("ascii")
    if data.endswith(b"\r\n.\r\n"):
        self.sock.sendall(data[: len(data) // 2])
        die()
    self.sock.sendall(data)


# Where it dies: what is replaced, and whether the text may have been given away.
MARKS = {
    "claimed": (outbox.Courier, "deliver", die, False),
    "connected": (sending.EmailBackend, "send_messages", die, False),
    "before_data": (smtplib.SMTP, "rcpt", then_die(smtplib.SMTP.rcpt), False),
    "handed_over": (smtplib.SMTP, "data", die, True),
    "in_data": (smtplib.SMTP, "send", half_of_the_text, True),
    "after_data": (smtplib.SMTP, "data", then_die(smtplib.SMTP.data), True),
    "result_written": (
        lifecycle,
        "delivery_accepted",
        then_die(lifecycle.delivery_accepted),
        None,
    ),
}


def in_child(run):
    """Starts a process that does it; returns its id."""
    connections.close_all()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of a fork beside threads
        child = os.fork()
    if child == 0:
        status = 1
        try:
            run()
            status = 0
        finally:
            os._exit(status)
    return child


def end_of(child):
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def killed_at(mark):
    owner, name, replaced, _handed_over = MARKS[mark]

    def run():
        with mock.patch.object(owner, name, replaced):
            drain()

    assert end_of(in_child(run)) == -signal.SIGKILL


def much_later():
    """As long as it takes until a worker that says nothing counts as dead."""
    long_ago = timezone.now() - outbox.STUCK_AFTER - timedelta(minutes=1)
    EmailDelivery.objects.filter(state=State.SENDING).update(claimed_at=long_ago)


@pytest.fixture(params=["custom", "default"])
def server(request, start_smtp, save_server, use_mailer):
    if request.param == "custom":
        server = start_smtp(encryption="starttls", login=LOGIN)
        save_server(server)
        return server
    server = start_smtp()
    use_mailer("127.0.0.1", server.port)
    return server


@real_commits
@pytest.mark.parametrize("mark", MARKS)
def test_killed_while_sending(mark, make_bill, server):
    hit, other = make_bill(), make_bill()
    handed_over = MARKS[mark][3]
    killed_at(mark)
    delivery = hit.deliveries.get()
    taken = [each.message["Message-ID"] for each in server.taken]
    assert taken == ([delivery.message_id] if mark in ("after_data", "result_written") else [])
    assert delivery.state == (State.SENT if mark == "result_written" else State.SENDING)
    if handed_over is not None:
        assert bool(delivery.handed_over_at) is handed_over
    # Another worker goes on with the rest, and leaves alone what may still be under way.
    drain()
    assert other.deliveries.get().state == State.SENT
    assert delivery.message_id not in [
        each.message["Message-ID"] for each in server.taken[len(taken) :]
    ]
    much_later()
    drain()
    delivery.refresh_from_db()
    taken = [each.message["Message-ID"] for each in server.taken].count(delivery.message_id)
    if handed_over:
        assert (delivery.state, delivery.problem) == (State.FAILED, Problem.UNCERTAIN)
        assert taken == (1 if mark == "after_data" else 0)
        assert hit.log_entries.filter(action="mail_failed").count() == 1
        hit.refresh_from_db()
        assert hit.sent_at is None
    else:
        assert delivery.state == State.SENT
        assert taken == 1
    assert drain() == 0
    assert len(server.taken) == len({each.message["Message-ID"] for each in server.taken})


@real_commits
def test_somebody_decides_about_what_may_have_arrived(make_bill, server):
    bill = make_bill()
    killed_at("after_data")
    much_later()
    drain()
    lifecycle.resend(bill, user=None)
    drain()
    first, again = bill.deliveries.order_by("pk")
    assert (first.state, first.problem) == (State.FAILED, Problem.UNCERTAIN)
    assert again.state == State.SENT
    assert [each.message["Message-ID"] for each in server.taken] == [
        first.message_id,
        again.message_id,
    ]


@pytest.mark.postgres
@real_commits
def test_two_workers_at_once_and_one_of_them_is_killed(make_bill, server):
    bills = [make_bill(cc=[f"copy{n}@customer.example"]) for n in range(10)]
    sent = []

    def dies_in_the_middle():
        send = sending.Way.send

        def sending_some(self, *args):
            sent.append(send(self, *args))
            if len(sent) == 4:
                die()
            return sent[-1]

        with mock.patch.object(sending.Way, "send", sending_some):
            drain()

    def works():
        drain()

    killed, worker = in_child(dies_in_the_middle), in_child(works)
    assert end_of(worker) == 0
    # It may have found less than four to send.
    assert end_of(killed) in (0, -signal.SIGKILL)
    much_later()
    drain()
    ids = [each.message["Message-ID"] for each in server.taken]
    assert len(ids) == len(set(ids)) == 20
    deliveries = EmailDelivery.objects.filter(request__in=bills)
    uncertain = deliveries.filter(state=State.FAILED, problem=Problem.UNCERTAIN)
    assert uncertain.count() <= 1
    assert deliveries.filter(state=State.SENT).count() == 20 - uncertain.count()
    assert set(ids) == set(deliveries.values_list("message_id", flat=True))
