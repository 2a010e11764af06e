"""What the machine of a bill's whole life needs: its time, its crashes, and what Stripe says."""

from collections import Counter
from contextlib import contextmanager

import stripe
from django.db import transaction

from tests.in_process import InProcessStripe
from wagtail_client_billing.models import Dispute, LogEntry, SubscriptionChange
from wagtail_client_billing.sandbox import books
from wagtail_client_billing.signals import BY_ACTION

Action = LogEntry.Action
RECEIPTS = {"first": "receipt", "renewal": "renewal_receipt"}
# What time brings about, and no entry.
NOT_FROM_THE_LOG = {"reminder"}
# What is queued with each entry of these, whatever else holds.
TOLD_ALWAYS = {
    Action.REFUNDED: "refunded",
    Action.REFUND_FAILED: "agency_refund",
    Action.DISPUTED: "agency_dispute",
    Action.DISPUTE_CLOSED: "agency_dispute",
    Action.REVIEW: "agency_review",
}
RealStripe = stripe.RequestsClient
RealAtomic = transaction.Atomic


class Crash(BaseException):
    """The process is gone, as with SIGKILL: nobody catches this."""


class Steps:
    """Counts what can be told apart from outside, commits and calls, and dies at one of them."""

    left = None

    @classmethod
    def made(cls):
        if cls.left is None:
            return
        cls.left -= 1
        if cls.left < 0:
            cls.left = None
            raise Crash()


class DyingAtomic(RealAtomic):
    def __exit__(self, exc_type, exc_value, traceback):
        super().__exit__(exc_type, exc_value, traceback)
        if exc_type is None:
            Steps.made()


def dying(base):
    """An HTTP client of the SDK that may die before a call is made and before it is answered."""

    class Dying(base):
        def request(self, *args, **kwargs):
            Steps.made()
            answer = super().request(*args, **kwargs)
            Steps.made()
            return answer

    return Dying


IN_PROCESS, OVER_HTTP = dying(InProcessStripe), dying(RealStripe)


@contextmanager
def rolled_back():
    """A savepoint that is no transaction of ours: the gateway refuses to work inside those."""
    point = transaction.savepoint()
    try:
        yield
    finally:
        transaction.savepoint_rollback(point)


def money_at_stripe(bill):
    """Source, paid and refunded of every payment of a bill, from the sandbox's own file."""
    money = books.money(str(bill.uuid))
    return sorted((each["source"], each["paid"], each["refunded"]) for each in money)


def booked(bill):
    """The same as our books say it."""
    payments = bill.payments.from_stripe()
    return sorted((each.source, each.amount_minor, each.refunded_minor) for each in payments)


def mails_that_follow(bill):
    """Kind of mail → how many the log says there have to be, entry by entry."""
    log = list(bill.log_entries.order_by("pk"))
    kinds = dict(bill.payments.values_list("source", "kind"))
    mails, status, counted, doubled, owed = Counter(), "pending", set(), set(), set()
    for entry, after in zip(log, [*log[1:], None], strict=True):
        found, source = entry.evidence, entry.evidence.get("payment")
        match entry.action:
            case Action.CREATED | Action.RESENT | Action.RENEWED:
                mails["payment_link"] += 1
            case Action.EDITED if "email" in found["changed"]:
                mails["payment_link"] += 1
            case Action.PAYMENT if _doubles(entry, after):
                doubled.add(source)
            case Action.PAYMENT:
                counted.add(source)
                mails[RECEIPTS[kinds[source]]] += 1
                if kinds[source] == "first" or (after and after.action == Action.PAID):
                    mails["told_of_payment"] += 1
            case Action.TAKEN_BACK if not entry.new_status and not counted and len(doubled) == 1:
                # What had looked like a second payment is the only one.
                mails[RECEIPTS[kinds[doubled.pop()]]] += 1
            case Action.REVIEWED if found.get("outcome") == "accepted":
                mails.update(RECEIPTS[kinds[each]] for each in doubled)
                counted |= doubled
                doubled.clear()
            case Action.PAYMENT_FAILED if status == "pending":
                mails.update(["payment_failed", "agency_failed"])
            case Action.RENEWAL_FAILED if found["invoice"] not in owed:
                owed.add(found["invoice"])
                mails.update(["renewal_failed", "agency_renewal"])
            case Action.CANCELED if not {"never_paid", "goes_on"} & found.keys():
                mails.update(["canceled", "agency_canceled"])
            case Action.CANCEL_PLANNED if "goes_on" not in found and not _is_agreed(bill, found):
                mails["agency_canceled"] += 1
            case Action.DISPUTE_CHANGED if found["state"] in Dispute.NEEDS_ANSWER:
                mails["agency_dispute"] += 1
            case action if action in TOLD_ALWAYS:
                mails[TOLD_ALWAYS[action]] += 1
        status = entry.new_status or status
    return mails


def _doubles(entry, after):
    """Whether a payment was taken for a second one, which the next entry then says."""
    return (
        after is not None
        and after.action == Action.REVIEW
        and after.evidence.get("reason") == "duplicate"
        and after.evidence.get("payment") == entry.evidence["payment"]
    )


def _is_agreed(bill, found):
    """Whether the end that is planned is the one that the client was told from the start."""
    ends = SubscriptionChange.objects.filter(subscription__request=bill, kind="set_end")
    return any(end.cancel_at.isoformat() == found.get("ends_at") for end in ends)


def mails_queued(bill):
    """The same, as they lie in the outbox."""
    kinds = bill.deliveries.values_list("kind", flat=True)
    mails = Counter(kind for kind in kinds if kind not in NOT_FROM_THE_LOG)
    # Late or in time is a fact of the payment that is read from elsewhere.
    mails["told_of_payment"] = mails.pop("agency_paid", 0) + mails.pop("agency_late", 0)
    return +mails


def to_be_told(bill):
    """The log entries that signals follow from."""
    return set(bill.log_entries.filter(action__in=BY_ACTION).values_list("pk", flat=True))
