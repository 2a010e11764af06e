"""What the owner of an account sees at Stripe: onboarding, OAuth's question, and ending it."""

from __future__ import annotations

from urllib.parse import urlencode, urlsplit

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect

from . import access, books, keys, platforms
from .access import show
from .checkout_pages import SeeOther
from .deliveries import NotLoopback, loopback

NEW = "new"
HALF = platforms.DUE[2:]


@access.page("GET", "POST")
def onboarding_page(request: HttpRequest, token: str) -> HttpResponse:
    """GET shows what is asked; POST does what the button ``action`` says and leads back.

    A link that was used leads to its refresh URL, as Stripe's does.
    """
    try:
        ticket, works = platforms.look_at_ticket(platforms.LINK, token)
    except LookupError:
        raise Http404("There is no such link in the sandbox.") from None
    if not works:
        return SeeOther(ticket.facts["refresh_url"])
    if request.method != "POST":
        account = next(one for one in keys.accounts() if one["id"] == ticket.account)
        rows = platforms.connected(account=ticket.account, platform=ticket.platform)
        due = rows[0]["facts"].get("due", []) if rows else []
        return show(request, "onboarding.html", {"account": account, "due": due, "ticket": ticket})
    action = request.POST.get("action", "")
    with books.write() as db:
        try:
            platforms.use_ticket(db, platforms.LINK, token)
        except platforms.TicketGone:
            return SeeOther(ticket.facts["refresh_url"])
    if action == "finish":
        platforms.answer(ticket, ())
    elif action == "review":
        platforms.answer(ticket, (), reviewed=False)
    elif action == "half":
        platforms.answer(ticket, HALF)
    elif action == "expire":
        return SeeOther(ticket.facts["refresh_url"])
    return SeeOther(ticket.facts["return_url"] or ticket.facts["refresh_url"])


@access.page("GET", "POST")
def authorize_page(request: HttpRequest) -> HttpResponse:
    """OAuth's question: GET asks which account; POST approves or refuses and leads back."""
    asked = request.GET
    back = asked.get("redirect_uri", "")
    problem = _what_is_wrong(asked.get("response_type"), asked.get("client_id", ""), back)
    if problem:
        return show(request, "authorize.html", {"problem": problem}, status=400)
    livemode = asked["client_id"].startswith("ca_live")
    country = (asked.get("stripe_user[country]") or "DE").upper()[:2]
    if request.method != "POST":
        return show(
            request,
            "authorize.html",
            {
                "accounts": keys.accounts(),
                "client_id": asked["client_id"],
                "livemode": livemode,
                "country": country,
            },
        )
    state = {"state": asked["state"]} if "state" in asked else {}
    if request.POST.get("action") != "approve":
        refused = {"error": "access_denied", "error_description": "The user denied your request"}
        return SeeOther(_with(back, {**refused, **state}))
    chosen = request.POST.get("account", NEW)
    with books.write() as db:
        if chosen == NEW:
            chosen = platforms.open_account(db, name="", country=country, ready=True)
        elif not db.execute("SELECT 1 FROM accounts WHERE id = ?", (chosen,)).fetchone():
            raise Http404("There is no such account in the sandbox.")
        code = platforms.give_ticket(db, platforms.CODE, account=chosen, livemode=livemode)
    return SeeOther(_with(back, {"scope": "read_write", "code": code, **state}))


@access.page("POST")
def disconnect(request: HttpRequest) -> HttpResponse:
    """The owner ends a platform's access to the account."""
    given = request.POST
    try:
        platforms.disconnect_by_owner(
            given.get("platform", ""), given.get("account", ""), given.get("livemode") == "1"
        )
    except LookupError:
        raise Http404 from None
    return redirect("client_billing_sandbox:keys")


def _what_is_wrong(response_type: str | None, client_id: str, back: str) -> str:
    if response_type != "code":
        return "response_type must be code."
    if not client_id.startswith("ca_"):
        return "No application matches the supplied client identifier."
    try:
        loopback(back)
    except (NotLoopback, ValueError):
        return "Invalid redirect URI: the sandbox leads to this computer only."
    return ""


def _with(address: str, query: dict[str, str]) -> str:
    return f"{address}{'&' if urlsplit(address).query else '?'}{urlencode(query)}"
