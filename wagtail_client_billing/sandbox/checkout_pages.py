"""The hosted checkout page: plainly a stand-in, with test cards as buttons."""

from __future__ import annotations

import re
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from . import access, checkout, deliveries
from .access import moment, money, show
from .objects import Record

LINK = re.compile(r"\[([^\[\]]*)\]\((https?://[^()\s]+)\)")


class SeeOther(HttpResponseRedirect):
    """303: whatever the method was, go on with GET."""

    status_code = 303
    allowed_schemes = ["http", "https"]


@access.page("GET", "POST")
def checkout_page(request: HttpRequest, session_id: str) -> HttpResponse:
    """GET shows the session; POST does what the button ``action`` says."""
    try:
        if request.method == "POST":
            return _act(request, session_id)
        return _page(request, checkout.look(session_id))
    except checkout.UnknownSession:
        raise Http404("There is no such session in the sandbox.") from None
    except checkout.NotOpen:
        # A second click: it says so, and nothing is paid again.
        return _page(request, checkout.look(session_id), status=409)


def _act(request: HttpRequest, session_id: str) -> HttpResponse:
    action = request.POST.get("action", "")
    email = request.POST.get("email") or None
    here = redirect("client_billing_sandbox:checkout", session_id=session_id)["Location"]
    if action == "pay":
        return _lead_back(checkout.pay(session_id, email))
    if action == "pay_later":
        return _lead_back(checkout.pay_later(session_id, email))
    if action == "pay_and_close":
        checkout.pay(session_id, email)
        return SeeOther(f"{here}?closed=1")
    if action == "decline":
        checkout.decline(session_id, email)
        return SeeOther(f"{here}?declined=1")
    return _page(request, checkout.look(session_id), status=400)


def _lead_back(outcome: checkout.Outcome) -> HttpResponse:
    """Like Stripe: wait up to ten seconds for the webhook, then go to the success URL."""
    deliveries.wait_for(outcome.event)
    return SeeOther(checkout.return_url(outcome.session))


def _page(request: HttpRequest, record: Record, *, status: int = 200) -> HttpResponse:
    session = record.doc
    message = (session["custom_text"]["submit"] or {}).get("message", "")
    context: dict[str, Any] = {
        "session": session,
        "amount": money(session["amount_total"], session["currency"]),
        "product": record.extra["product_data"],
        "ends": moment(session["expires_at"]),
        "message": linked(message),
        "declined": request.GET.get("declined") == "1",
        "closed": request.GET.get("closed") == "1",
        "again": status == 409,
        "processing": record.extra.get("settled") is False,
        "return_url": checkout.return_url(session),
    }
    template = "checkout.html" if record.state == "open" else "checkout_over.html"
    return show(request, template, context, status=status)


def linked(text: str) -> SafeString:
    """Text whose ``[label](https://…)`` become links; everything else is escaped."""
    parts: list[SafeString] = []
    position = 0
    for match in LINK.finditer(text):
        parts.append(format_html("{}", text[position : match.start()]))
        parts.append(format_html('<a href="{}">{}</a>', match[2], match[1]))
        position = match.end()
    parts.append(format_html("{}", text[position:]))
    return format_html_join("", "{}", ((part,) for part in parts))


@access.page("GET", "POST")
def later_page(request: HttpRequest, session_id: str) -> HttpResponse:
    """The control page of a bank debit: POST ``result`` = "succeed" or "fail"."""
    try:
        if request.method == "POST" and request.POST.get("result") in ("succeed", "fail"):
            checkout.settle_later(session_id, request.POST["result"] == "succeed")
            return redirect("client_billing_sandbox:later", session_id=session_id)
        record = checkout.look(session_id)
    except checkout.UnknownSession:
        raise Http404("There is no such session in the sandbox.") from None
    except checkout.NotProcessing:
        record = checkout.look(session_id)
    return show(
        request,
        "later.html",
        {
            "session": record.doc,
            "amount": money(record.doc["amount_total"], record.doc["currency"]),
            "waiting": record.extra.get("settled") is False,
            "was_debit": "settled" in record.extra,
        },
    )
