"""What happened to a request, in plain words, from its log entries."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.utils.translation import gettext as _

from ..models import BillingRequest, Dispute, LogEntry, SubscriptionChange
from .evidence import amount_in, facts_of, moment_in, outcome_word
from .formats import day_text

Action = LogEntry.Action
Cause = LogEntry.Cause

GOOD = {
    Action.PAID,
    Action.PAYMENT,
    Action.MARKED_PAID,
    Action.SUBSCRIBED,
}
# Whoever the entry was written by, it was a mail server that accepted.
ACCEPTED = {Action.SENT, Action.REMINDED}
# What befell a mail was not done by the worker that noticed it.
BEFELL = {Action.MAIL_FAILED, Action.MAIL_BOUNCED, Action.MAIL_DROPPED}
BAD = {
    Action.MAIL_FAILED,
    Action.MAIL_BOUNCED,
    Action.PAYMENT_FAILED,
    Action.REVIEW,
    Action.DELETED,
    Action.EXPIRED,
    Action.RENEWAL_FAILED,
    Action.REFUND_FAILED,
    Action.CHANGE_REFUSED,
    Action.DISPUTED,
}


@dataclass(frozen=True)
class Entry:
    """One line of the timeline. ``tone`` is good, bad or plain; ``by`` may be empty."""

    title: str
    by: str
    at: datetime
    tone: str = "plain"
    facts: list[tuple[str, str]] = field(default_factory=list)


def timeline_of(request: BillingRequest) -> list[Entry]:
    """The newest entry first."""
    entries = request.log_entries.order_by("-pk")
    return [_entry(entry, request.currency) for entry in entries]


def _entry(entry: LogEntry, currency: str) -> Entry:
    return Entry(
        title=title_of(entry, currency),
        by=_by(entry),
        at=entry.at,
        tone=_tone(entry),
        facts=facts_of(entry.evidence, currency),
    )


def _tone(entry: LogEntry) -> str:
    if entry.action == Action.DISPUTE_CLOSED:
        return {Dispute.State.WON: "good", Dispute.State.LOST: "bad"}.get(
            entry.evidence.get("state"), "plain"
        )
    return "good" if entry.action in GOOD else "bad" if entry.action in BAD else "plain"


def _by(entry: LogEntry) -> str:
    if entry.action in ACCEPTED:
        return _("by the mail server")
    if entry.action in BEFELL and entry.cause == Cause.WORKER:
        return ""
    cause = str(entry.get_cause_display())
    if not entry.user_name:
        return cause
    if entry.cause == Cause.EDITOR:
        return _("by %(name)s") % {"name": entry.user_name}
    return _("%(cause)s, %(name)s") % {"cause": cause, "name": entry.user_name}


def title_of(entry: LogEntry, currency: str) -> str:
    """What happened, with the amount or the day that it is about where there is one."""
    say = SENTENCES.get(entry.action)
    said = say(entry.evidence, currency) if say else ""
    return said or str(entry.get_action_display())


def _about_money(words: Callable[[], str]) -> Callable[[dict[str, Any], str], str]:
    """A sentence about the amount of the evidence, where it names one."""

    def say(evidence: dict[str, Any], currency: str) -> str:
        amount = amount_in(evidence, currency)
        return words() % {"amount": amount} if amount else ""

    return say


def _refunded(evidence: dict[str, Any], currency: str) -> str:
    if evidence.get("on_its_way"):
        return _about_money(lambda: _("Refund of %(amount)s on its way"))(evidence, currency)
    return _about_money(lambda: _("%(amount)s refunded"))(evidence, currency)


def _renewal_failed(evidence: dict[str, Any], currency: str) -> str:
    if evidence.get("needs_client"):
        return _("Renewal failed: the client's bank wants a confirmation")
    return _("Renewal failed at try %(n)s") % {"n": evidence["try"]} if "try" in evidence else ""


def _cancel_planned(evidence: dict[str, Any], currency: str) -> str:
    end = moment_in(evidence, "ends_at")
    return _("Subscription will end on %(day)s") % {"day": day_text(end)} if end else ""


def _change_refused(evidence: dict[str, Any], currency: str) -> str:
    kinds = dict(SubscriptionChange.Kind.choices)
    change = kinds.get(evidence.get("change", ""))
    return _("Stripe refused “%(change)s”") % {"change": change} if change else ""


def _dispute_state(evidence: dict[str, Any], currency: str) -> str:
    state = evidence.get("state", "")
    word = dict(Dispute.State.choices).get(state, state)
    return _("Dispute: %(state)s") % {"state": word} if word else ""


def _reviewed(evidence: dict[str, Any], currency: str) -> str:
    outcome = evidence.get("outcome")
    return _("Review ended: %(how)s") % {"how": outcome_word(outcome)} if outcome else ""


SENTENCES: dict[str, Callable[[dict[str, Any], str], str]] = {
    Action.PAYMENT: _about_money(lambda: _("%(amount)s received")),
    Action.RENEWAL_FAILED: _renewal_failed,
    Action.CANCEL_PLANNED: _cancel_planned,
    Action.CHANGE_REFUSED: _change_refused,
    Action.REFUND_ASKED: _about_money(lambda: _("Refund of %(amount)s started")),
    Action.REFUNDED: _refunded,
    Action.REFUND_FAILED: _about_money(lambda: _("Refund of %(amount)s failed")),
    Action.DISPUTED: _about_money(lambda: _("The client's bank disputes %(amount)s")),
    Action.DISPUTE_CHANGED: _dispute_state,
    Action.DISPUTE_CLOSED: _dispute_state,
    Action.REVIEWED: _reviewed,
}
