"""The moves from one status to another, and who may make them."""

import ast
import os
import re
import subprocess
import sys
import traceback
from datetime import timedelta
from itertools import product
from pathlib import Path

import pytest
from django.db import IntegrityError, transaction
from django.db import connection as database
from django.utils import timezone

import wagtail_client_billing
from wagtail_client_billing import lifecycle, tasks
from wagtail_client_billing.gateway import connect
from wagtail_client_billing.gateway.changes import delete_request
from wagtail_client_billing.gateway.checkout import open_checkout
from wagtail_client_billing.gateway.reconcile import reconcile
from wagtail_client_billing.lifecycle import PaymentFacts, moves
from wagtail_client_billing.models import BillingRequest, LogEntry, Payment

Cause = LogEntry.Cause
STATUSES = ["pending", "paid", "expired", "deleted"]
# The whole of rule 3, written down a second time.
MOVES = {
    ("pending", "paid"),
    ("pending", "expired"),
    ("pending", "deleted"),
    ("expired", "paid"),
    ("expired", "pending"),
    ("expired", "deleted"),
    ("deleted", "paid"),
    ("paid", "pending"),
}
ENTRY = {("expired", "pending"): "renewed", ("paid", "pending"): "taken_back"}


def only(bill):
    return BillingRequest.objects.filter(pk=bill.pk)


def put(bill, status, **more):
    """Makes it so, past all rules."""
    only(bill).update(status=status, **more)
    bill.refresh_from_db()
    return bill


def payment_of(bill, source="pi_1", **more):
    values = {
        "account_id": bill.account_id,
        "source": source,
        "livemode": False,
        "amount_minor": bill.amount_minor,
        "currency": bill.currency,
        "received_at": timezone.now(),
        **more,
    }
    return Payment.objects.create(request=bill, **values)


@pytest.mark.parametrize(("old", "new"), list(product(STATUSES, STATUSES)))
def test_rule_3_the_table_of_moves(world, bill, old, new):
    # As favourable to the move as can be.
    now = timezone.now()
    ends = now + timedelta(hours=1) if new == "pending" else now - timedelta(hours=1)
    put(bill, old, expires_at=ends, paid_at=now if old == "paid" else None)
    if old == "paid":
        payment_of(bill, "by hand", kind=Payment.Kind.BY_HAND, taken_back_at=now)
    before = bill.log_entries.count()

    moved = lifecycle.move(only(bill), new, cause=Cause.EDITOR)

    bill.refresh_from_db()
    if (old, new) not in MOVES:
        assert moved == []
        assert bill.status == old
        assert bill.log_entries.count() == before
        return
    assert [(request.pk, request.status) for request in moved] == [(bill.pk, new)]
    assert bill.status == new
    entry = bill.log_entries.last()
    assert entry.action == ENTRY.get((old, new), new)
    assert (entry.old_status, entry.new_status, entry.cause) == (old, new, "editor")
    assert (bill.paid_at is not None) == (new == "paid")
    assert (bill.deleted_at is not None) == (new == "deleted")
    assert bill.paid_late == (new == "paid" and old != "pending")


def test_rule_3_the_code_has_no_other_table():
    allowed = {(old, new) for new, olds in lifecycle.ALLOWED_MOVES.items() for old in olds}
    assert allowed == MOVES
    assert {str(status) for status in BillingRequest.Status} == set(STATUSES)


@pytest.mark.parametrize(
    "payments",
    [
        [{"source": "pi_1"}],
        [{"source": "by hand", "kind": "by_hand"}],
        [{"source": "by hand", "kind": "by_hand", "back": True}, {"source": "pi_1"}],
        [{"source": "pi_1", "back": True}],
    ],
)
def test_rule_3_money_from_stripe_is_never_taken_back(world, bill, payments):
    put(bill, "paid", paid_at=timezone.now())
    for given in payments:
        back = timezone.now() if given.pop("back", False) else None
        payment_of(bill, taken_back_at=back, **given)
    assert lifecycle.move(only(bill), "pending", cause=Cause.EDITOR) == []
    bill.refresh_from_db()
    assert bill.status == "paid"


def test_rule_3_a_bill_is_renewed_only_with_a_new_deadline(world, bill, overdue):
    put(overdue(bill), "expired")
    assert lifecycle.move(only(bill), "pending", cause=Cause.EDITOR) == []


@pytest.mark.parametrize("status", ["expired", "deleted"])
@pytest.mark.parametrize("what", ["creating", "open", "processing", "review"])
def test_rule_3_a_bill_that_money_may_come_for_does_not_end(world, bill, overdue, status, what):
    overdue(bill)
    if what == "review":
        only(bill).update(review_since=timezone.now())
    else:
        open_checkout_row(bill, what)
    assert lifecycle.move(only(bill), status, cause=Cause.SWEEP) == []
    # Money wins all the same.
    assert lifecycle.move(only(bill), "paid", cause=Cause.WEBHOOK)


def open_checkout_row(bill, state, n=1):
    return bill.attempts.create(
        n=n,
        state=state,
        account_id=bill.account_id,
        livemode=False,
        amount_minor=bill.amount_minor,
        currency=bill.currency,
        idempotency_key=f"k-{bill.pk}-{n}",
        session_id=f"cs_test_{bill.pk}_{n}",
        expires_at=timezone.now() + timedelta(hours=1),
    )


def test_rule_2_many_rows_are_moved_in_one_go_and_each_is_judged_alone(world, make_bill, overdue):
    bills = [make_bill() for _ in range(4)]
    put(bills[1], "paid")
    open_checkout_row(bills[2], "open")
    chosen = BillingRequest.objects.filter(pk__in=[bill.pk for bill in bills])
    moved = lifecycle.move(chosen, "deleted", cause=Cause.EDITOR)
    assert [request.pk for request in moved] == [bills[0].pk, bills[3].pk]
    statuses = list(chosen.order_by("pk").values_list("status", flat=True))
    assert statuses == ["deleted", "paid", "pending", "deleted"]


def test_rule_2_status_log_entry_and_mails_are_one_transaction(world, bill, monkeypatch):
    attempt = open_checkout_row(bill, "open")
    facts = PaymentFacts("pi_1", 12345, "EUR", timezone.now(), intent_id="pi_1")

    def full(*args, **kwargs):
        raise OSError("disk full")

    for module, name in (
        ("money_in", "tell_client"),
        ("moves", "note"),
        ("money_in", "tell_agency"),
    ):
        with monkeypatch.context() as patched, pytest.raises(OSError):
            patched.setattr(f"wagtail_client_billing.lifecycle.{module}.{name}", full)
            lifecycle.record_payment(attempt, facts, cause=Cause.CHECK)
        bill.refresh_from_db()
        assert bill.status == "pending"
        assert bill.payments.count() == 0
        assert bill.attempts.get().state == "open"
        assert set(bill.log_entries.values_list("action", flat=True)) == {"created"}
        assert list(bill.deliveries.values_list("kind", flat=True)) == ["payment_link"]


def test_rule_2_the_old_status_is_part_of_the_update(world, bill, monkeypatch):
    """For databases whose row locks do nothing: somebody is faster after we looked."""
    real = moves._may_end

    def faster(request, to, now):
        only(bill).update(status="paid")
        return real(request, to, now)

    monkeypatch.setattr(moves, "_may_end", faster)
    assert lifecycle.move(only(bill), "deleted", cause=Cause.EDITOR) == []
    bill.refresh_from_db()
    assert bill.status == "paid"
    assert not bill.log_entries.filter(action="deleted").exists()


def test_the_database_knows_four_statuses(world, bill):
    with pytest.raises(IntegrityError), transaction.atomic():
        only(bill).update(status="refunded")


# --- Money that comes ------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["expired", "deleted"])
def test_rule_3_late_money_is_marked_and_the_agency_told(world, bill, status):
    attempt = open_checkout_row(bill, "expired")
    put(bill, status, not_confirmed=True)
    facts = PaymentFacts("pi_1", 12345, "EUR", timezone.now(), intent_id="pi_1")
    assert lifecycle.record_payment(attempt, facts, cause=Cause.WEBHOOK)
    bill.refresh_from_db()
    assert (bill.status, bill.paid_late, bill.not_confirmed) == ("paid", True, False)
    kinds = set(bill.deliveries.values_list("kind", flat=True))
    assert kinds == {"payment_link", "receipt", "agency_late"}
    attempt.refresh_from_db()
    assert (attempt.state, attempt.payment_intent_id) == ("complete", "pi_1")


def test_rule_3_money_lifts_a_hold(world, bill):
    attempt = open_checkout_row(bill, "open")
    lifecycle.place_hold(bill.pk, "delete")
    facts = PaymentFacts("pi_1", 12345, "EUR", timezone.now(), intent_id="pi_1")
    lifecycle.record_payment(attempt, facts, cause=Cause.WEBHOOK)
    bill.refresh_from_db()
    assert (bill.status, bill.hold, bill.hold_since) == ("paid", "", None)
    assert lifecycle.apply_hold(bill.pk) is False


def test_the_same_payment_again_is_no_news(world, bill):
    attempt = open_checkout_row(bill, "open")
    facts = PaymentFacts("pi_1", 12345, "EUR", timezone.now(), intent_id="pi_1")
    assert lifecycle.record_payment(attempt, facts, cause=Cause.WEBHOOK) is True
    assert lifecycle.record_payment(attempt, facts, cause=Cause.SWEEP) is False
    assert bill.payments.count() == 1
    assert bill.log_entries.filter(action="paid").count() == 1
    assert bill.deliveries.filter(kind="receipt").count() == 1


def test_a_second_payment_from_another_source_is_a_duplicate_that_needs_review(world, bill):
    first, second = open_checkout_row(bill, "complete"), open_checkout_row(bill, "open", n=2)
    now = timezone.now()
    lifecycle.record_payment(first, PaymentFacts("pi_1", 12345, "EUR", now), cause=Cause.WEBHOOK)
    for _ in range(2):
        lifecycle.record_payment(
            second, PaymentFacts("pi_2", 12345, "EUR", now), cause=Cause.WEBHOOK
        )
    bill.refresh_from_db()
    assert bill.status == "paid"
    assert list(bill.payments.order_by("pk").values_list("source", "duplicate")) == [
        ("pi_1", False),
        ("pi_2", True),
    ]
    assert bill.review_reason == "duplicate"
    assert bill.review_evidence["payment"] == "pi_2"
    assert bill.deliveries.filter(kind="receipt").count() == 1
    assert bill.deliveries.filter(kind="agency_review").count() == 1
    assert bill.log_entries.filter(action="payment").count() == 2
    assert bill.log_entries.filter(action="paid").count() == 1


@pytest.mark.parametrize(("taken_back", "duplicate"), [(False, True), (True, False)])
def test_money_beside_a_payment_by_hand_is_a_duplicate_unless_it_was_taken_back(
    world, bill, taken_back, duplicate
):
    now = timezone.now()
    payment_of(bill, "by hand", kind="by_hand", taken_back_at=now if taken_back else None)
    put(bill, "pending" if taken_back else "paid")
    attempt = open_checkout_row(bill, "open")
    lifecycle.record_payment(attempt, PaymentFacts("pi_1", 12345, "EUR", now), cause=Cause.CHECK)
    assert bill.payments.get(source="pi_1").duplicate is duplicate
    bill.refresh_from_db()
    assert bill.status == "paid"
    assert bool(bill.review_since) is duplicate


# --- One writer -----------------------------------------------------------------------------

HOUSE = Path(wagtail_client_billing.__file__).parent
TABLE = BillingRequest._meta.db_table


def test_rule_2_one_writer(world, make_bill, connection, overdue, monkeypatch):
    """Every statement that changes a request comes out of lifecycle, on the whole way of a bill."""
    monkeypatch.setattr(tasks, "LINGER_SECONDS", 0)
    writers = set()

    def watch(execute, sql, params, many, context):
        if re.match(rf'(UPDATE|INSERT INTO|DELETE FROM) "{TABLE}"', sql):
            ours = [
                Path(frame.filename)
                for frame in traceback.extract_stack()
                if HOUSE in Path(frame.filename).parents
            ]
            writers.add(ours[-1].relative_to(HOUSE).parts[0])
        return execute(sql, params, many, context)

    with database.execute_wrapper(watch):
        paid, deleted, expired, reviewed, processing = (make_bill() for _ in range(5))
        tasks.drain_outbox()
        for bill in (paid, deleted, reviewed, processing):
            open_checkout(bill.pk)
        world.pay(paid)
        for event in world.events("checkout.session.completed"):
            world.deliver({**event, "account": None}, connection.endpoints.get())
        tasks.drain_events()
        delete_request(deleted.pk, user=None)
        reviewed.attempts.update(amount_minor=1)
        world.pay(reviewed)
        world.pay_later(processing)
        reconcile(reviewed.pk, cause=Cause.CHECK)
        reconcile(processing.pk, cause=Cause.CHECK)
    overdue(expired)
    with database.execute_wrapper(watch):
        tasks.sweep()
        connect.unlink(connection)
    bills = (paid, deleted, expired, reviewed, processing)
    for bill in bills:
        bill.refresh_from_db()
    assert [bill.status for bill in bills] == ["paid", "deleted", "expired", "pending", "pending"]
    assert reviewed.review_since and processing.processing_since
    assert writers == {"lifecycle"}


FACTS = {
    "status",
    "paid_at",
    "processing_since",
    "paid_late",
    "review_since",
    "review_reason",
    "review_evidence",
    "hold",
    "hold_since",
    "hold_by",
    "hold_data",
}


def sources():
    """Our modules and what they say, without migrations and the stand-in for Stripe."""
    for path in sorted(HOUSE.rglob("*.py")):
        room = path.relative_to(HOUSE).parts[0]
        if room not in ("migrations", "sandbox"):
            yield path.relative_to(HOUSE), ast.parse(path.read_text())


def writes_of(tree):
    """Where a status or a fact beside it is assigned, or given to an UPDATE."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign | ast.AugAssign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            for target in targets:
                of_self = getattr(getattr(target, "value", None), "id", "") in ("self", "response")
                if isinstance(target, ast.Attribute) and target.attr in FACTS and not of_self:
                    yield node.lineno
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            writing = node.func.attr in ("update", "bulk_update", "update_or_create")
            if writing and FACTS & {keyword.arg for keyword in node.keywords}:
                yield node.lineno


def test_rule_2_only_lifecycle_names_a_status_to_write():
    found = [
        f"{path}:{line}"
        for path, tree in sources()
        if path.parts[0] != "lifecycle"
        for line in writes_of(tree)
    ]
    assert found == []


@pytest.mark.parametrize(
    "line",
    [
        "request.status = 'paid'",
        "BillingRequest.objects.filter(pk=1).update(status='paid')",
        "bill.hold = ''",
        "objects.update_or_create(pk=1, review_since=None)",
    ],
)
def test_the_guard_above_sees(line):
    assert list(writes_of(ast.parse(line)))


def test_rule_2_nobody_else_takes_lifecycles_pen():
    """``lifecycle.record.write`` and ``lock`` are for lifecycle; others get its functions."""
    for path, tree in sources():
        if path.parts[0] == "lifecycle":
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("lifecycle."):
                assert {name.name for name in node.names} <= {"user_name", "history_action"}, path


# --- Only the gateway knows Stripe's SDK -----------------------------------------------------

STARTED = """
import sys, django
django.setup()
from django.core.management import call_command
from django.urls import get_resolver
from wagtail import hooks
import wagtail_client_billing.tasks, wagtail_client_billing.admin.urls
get_resolver().url_patterns
hooks.get_hooks("register_client_billing_urls")
call_command("check", verbosity=0)
loaded = [name for name in sys.modules if name == "stripe" or name.startswith("stripe.")]
assert not loaded, loaded
"""


def test_rule_13_only_the_gateway_imports_stripe_and_not_before_it_is_needed():
    root = HOUSE.parent
    done = subprocess.run(
        [sys.executable, "-c", STARTED],
        cwd=root,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings", "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-2000:]


def imports_of(tree):
    """(Is it at the top level, name of the module) of every import."""
    top = set(map(id, tree.body))
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.Import):
            names = [name.name for name in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names = [node.module or ""]
        for name in names:
            yield id(node) in top, name


def test_rule_13_stripe_is_imported_inside_functions_of_the_gateway():
    rooms = set()
    for path, tree in sources():
        for top, name in imports_of(tree):
            if name.split(".")[0] == "stripe":
                assert not top, path
                rooms.add(path.parts[0])
    assert rooms == {"gateway"}


@pytest.mark.parametrize(
    ("word", "why"),
    [
        (r"stripe\.api_key", "one client per credential, never the global key"),
        (r"construct_event_without_verification", "every event is verified"),
        (r"(?<!transaction\.)\bget_connection\(", "Django 6.1 chooses mailers another way"),
        (r"fail_silently", "a mail that fails says so"),
        (r"\bfloat\(.*(amount|minor)", "money is an integer"),
        (r"STRIPE_LOG", "it would log the payer's address"),
        (r"\bpickle\b", "a Stripe object holds its key"),
    ],
)
def test_words_that_must_not_appear(word, why):
    assert [str(path) for path in house_with(word)] == [], why


def test_only_the_webhook_goes_without_a_csrf_token():
    assert [str(path) for path in house_with("csrf_exempt")] == ["public/webhook.py"]


def house_with(word):
    for path in sorted(HOUSE.rglob("*.py")):
        inside = path.relative_to(HOUSE)
        if inside.parts[0] not in ("sandbox", "migrations") and re.search(word, path.read_text()):
            yield inside
