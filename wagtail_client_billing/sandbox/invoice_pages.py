"""The hosted page of an invoice: where a payer pays what the card did not, or confirms it."""

from __future__ import annotations

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect

from . import access, books, clock, collecting, deliveries, due, invoices, objects
from .access import moment, money, show
from .objects import Record

CARDS = {"pay": "works", "decline": "declines"}
DEBIT = {"debit_succeeds": True, "debit_fails": False}


class UnknownInvoice(LookupError):
    """There is no such invoice."""


def pay(invoice_id: str, card: str = "works") -> str:
    """Pay an open invoice by hand with a card that "works" or "declines"; returns its status.

    Nothing happens to one that is paid already. ``UnknownInvoice`` for one that does not exist.
    """
    with books.write() as db:
        invoice = objects.find(db, invoices.KIND, invoice_id)
        if invoice is None:
            raise UnknownInvoice(invoice_id)
        waits = invoices.intent_of(db, invoice).doc["status"] == "processing"
        if invoice.state == "open" and not waits:
            collecting.attempt(db, invoice, clock.now(db), card=card, scheduled=False)
        status = invoice.state
    deliveries.wake()
    return status


def decide(invoice_id: str, succeeded: bool) -> str:
    """The bank decides about the debit of a renewal before its time; returns the invoice's status.

    Nothing happens where none is under way. That of the first invoice is ``settle_later``'s.
    ``UnknownInvoice`` for one that does not exist.
    """
    with books.write() as db:
        invoice = objects.find(db, invoices.KIND, invoice_id)
        if invoice is None:
            raise UnknownInvoice(invoice_id)
        if _renewal_under_way(invoice, invoices.intent_of(db, invoice)):
            collecting.settle(db, invoice, clock.now(db), succeeded=succeeded)
        status = invoice.state
    deliveries.wake()
    return status


def _renewal_under_way(invoice: Record, intent: Record) -> bool:
    renewal = invoice.doc["billing_reason"] == "subscription_cycle"
    return renewal and intent.doc["status"] == "processing"


@access.page("GET", "POST")
def invoice_page(request: HttpRequest, invoice_id: str) -> HttpResponse:
    """GET shows the invoice; POST pays it, or tries to, as the button ``action`` says."""
    due.apply()
    action = request.POST.get("action", "")
    try:
        if request.method == "POST" and action in DEBIT:
            decide(invoice_id, DEBIT[action])
            return redirect("client_billing_sandbox:invoice", invoice_id=invoice_id)
        if request.method == "POST" and action in CARDS:
            status = pay(invoice_id, CARDS[action])
            answer = redirect("client_billing_sandbox:invoice", invoice_id=invoice_id)
            if status == "open":
                answer["Location"] += "?declined=1"
            return answer
        with books.read() as db:
            invoice = objects.find(db, invoices.KIND, invoice_id)
            if invoice is None:
                raise UnknownInvoice(invoice_id)
            intent = invoices.intent_of(db, invoice)
    except UnknownInvoice:
        raise Http404("There is no such invoice in the sandbox.") from None
    period = invoice.doc["lines"]["data"][0]["period"]
    return show(
        request,
        "invoice.html",
        {
            "invoice": invoice.doc,
            "amount": money(invoice.doc["amount_due"], invoice.doc["currency"]),
            "start": moment(period["start"]),
            "end": moment(period["end"]),
            "asks": intent.doc["status"] == "requires_action",
            "processing": intent.doc["status"] == "processing",
            "may_decide": _renewal_under_way(invoice, intent),
            "declined": request.GET.get("declined") == "1",
        },
        status=400 if request.method == "POST" else 200,
    )
