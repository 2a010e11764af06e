"""The control pages under /sandbox/: what is in the books, and what can be made to happen."""

from __future__ import annotations

from typing import Any

from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect

from . import (
    access,
    books,
    clock,
    deliveries,
    due,
    faults,
    ids,
    inbox,
    keys,
    objects,
    platforms,
    sessions,
)
from .access import moment, money, show
from .forms import AccountForm, ClockForm, FaultForm, HoldForm, KeyForm, MonthForm

NEWEST = 100  # rows on a page


def session_rows(limit: int = NEWEST) -> list[dict[str, Any]]:
    with books.read() as db:
        records = objects.recent(db, sessions.KIND, limit)
        offset = clock.offset(db)
    return [
        {
            **record.doc,
            "account": record.account,
            "amount": money(record.doc["amount_total"], record.doc["currency"]),
            "name": record.extra["product_data"]["name"],
            "when": moment(record.created),
            # In real time, so that it can be compared with a watch.
            "ends": moment(record.ends_at - offset if record.ends_at else None),
            "processing": record.extra.get("settled") is False,
        }
        for record in records
    ]


def event_rows(limit: int = NEWEST) -> list[dict[str, Any]]:
    with books.read() as db:
        records = objects.recent(db, "event", limit)
        rows = []
        for record in records:
            counts = db.execute(
                "SELECT state, COUNT(*) AS number FROM deliveries WHERE event = ? GROUP BY state",
                (record.id,),
            ).fetchall()
            rows.append(
                {
                    "id": record.id,
                    "type": record.doc["type"],
                    "object_id": record.doc["data"]["object"].get("id", ""),
                    "account": record.account,
                    "livemode": record.livemode,
                    "when": moment(record.created),
                    "deliveries": ", ".join(f"{row['number']} {row['state']}" for row in counts)
                    or "no endpoint",
                }
            )
    return rows


@access.page("GET")
def home(request: HttpRequest) -> HttpResponse:
    due.apply()
    deliveries.wake()
    return show(
        request,
        "home.html",
        {
            "api_base": request.build_absolute_uri("stripe"),
            "mails": inbox.rows(5),
            "sessions": session_rows(5),
            "events": event_rows(8),
            "accounts": keys.accounts(),
            "clock_form": ClockForm(),
            "now": moment(clock.now()),
            "faults": faults.active(),
            "smtp_port": inbox.smtp_port(),
        },
    )


@access.page("GET")
def sessions_page(request: HttpRequest) -> HttpResponse:
    due.apply()
    return show(request, "sessions.html", {"sessions": session_rows()})


@access.page("GET")
def calls_page(request: HttpRequest) -> HttpResponse:
    with books.read() as db:
        rows = db.execute("SELECT * FROM api_calls ORDER BY id DESC LIMIT ?", (NEWEST,))
        calls = [{**dict(row), "when": moment(row["at"])} for row in rows]
    return show(request, "calls.html", {"calls": calls})


# --------------------------------------------------------------------------- events


@access.page("GET", "POST")
def events_page(request: HttpRequest) -> HttpResponse:
    """GET lists the events; POST holds deliveries back or lets them go in an order."""
    with books.read() as db:
        order = books.noted(db, "delivery_order", "oldest")
    form = HoldForm(request.POST or None, initial={"held": deliveries.held(), "order": order})
    if request.method == "POST" and form.is_valid():
        deliveries.hold(form.cleaned_data["held"], order=form.cleaned_data["order"])
        return redirect("client_billing_sandbox:events")
    return show(
        request,
        "events.html",
        {"events": event_rows(), "form": form, "again": request.GET.get("again", "")},
    )


@access.page("POST")
def fire_again(request: HttpRequest, event_id: str) -> HttpResponse:
    try:
        deliveries.fire_again(event_id)
    except LookupError:
        raise Http404 from None
    answer = redirect("client_billing_sandbox:events")
    answer["Location"] += f"?again={event_id}"
    return answer


@access.page("GET")
def webhooks_page(request: HttpRequest) -> HttpResponse:
    with books.read() as db:
        endpoints = objects.recent(db, "webhook_endpoint", NEWEST)
    rows = deliveries.recent(NEWEST)
    for row in rows:
        row["when"] = moment(row["created"])
    return show(
        request,
        "webhooks.html",
        {
            "endpoints": [
                {**e.doc, "account": e.account, "when": moment(e.created)} for e in endpoints
            ],
            "deliveries": rows,
        },
    )


# --------------------------------------------------------------------------- accounts and keys


def _keys_page(
    request: HttpRequest, *, form: KeyForm | None = None, wrong: AccountForm | None = None
) -> HttpResponse:
    accounts = keys.accounts()
    for account in accounts:
        if wrong is not None and wrong.prefix == account["id"]:
            account["form"] = wrong
        else:
            account["form"] = AccountForm(initial=account, prefix=account["id"])
        for key in account["keys"]:
            key["when"] = moment(key["created"])
        account["platforms"] = platforms.connected(account=account["id"], ended_at=None)
    return show(
        request,
        "keys.html",
        {
            "accounts": accounts,
            "form": form or KeyForm(accounts=accounts),
            "made": request.GET.get("made", ""),
        },
        status=400 if form or wrong else 200,
    )


@access.page("GET", "POST")
def keys_page(request: HttpRequest) -> HttpResponse:
    """GET lists accounts and keys; POST makes a further key."""
    if request.method != "POST":
        return _keys_page(request)
    form = KeyForm(request.POST, accounts=keys.accounts())
    if not form.is_valid():
        return _keys_page(request, form=form)
    key = keys.make_key(
        form.cleaned_data["account"],
        livemode=form.cleaned_data["mode"] == "live",
        without=form.cleaned_data["without"],
    )
    answer = redirect("client_billing_sandbox:keys")
    answer["Location"] += f"?made={key}"
    return answer


@access.page("GET")
def create_key_page(request: HttpRequest, mode: str) -> HttpResponse:
    """Stands where Stripe's page for a new restricted key does; nothing is stored by looking."""
    chosen = [right.removeprefix("rak_") for right in request.GET.getlist("permissions[]")]
    context = {"key": ids.new(f"rk_{mode}"), "mode": mode, "rights": chosen}
    return show(request, "create_key.html", context)


@access.page("GET")
def dashboard(request: HttpRequest, rest: str = "") -> HttpResponse:
    """Stands where Stripe's dashboard does: what there is to see is on the first page."""
    return redirect("client_billing_sandbox:home")


@access.page("POST")
def revoke_key(request: HttpRequest) -> HttpResponse:
    try:
        keys.revoke_key(request.POST.get("key", ""))
    except ValueError:
        raise Http404 from None
    return redirect("client_billing_sandbox:keys")


@access.page("POST")
def change_account(request: HttpRequest, account: str) -> HttpResponse:
    form = AccountForm(request.POST, prefix=account)
    if not form.is_valid():
        return _keys_page(request, wrong=form)
    try:
        keys.change_account(account, **form.cleaned_data)
        platforms.tell_of_change(account)
    except LookupError:
        raise Http404 from None
    return redirect("client_billing_sandbox:keys")


# --------------------------------------------------------------------------- clock and faults


@access.page("POST")
def advance_clock(request: HttpRequest) -> HttpResponse:
    by_minutes, by_months = ClockForm(request.POST), MonthForm(request.POST)
    if by_minutes.is_valid():
        clock.advance(minutes=by_minutes.cleaned_data["minutes"])
    elif by_months.is_valid():
        clock.advance_months(by_months.cleaned_data["months"])
    return HttpResponseRedirect(_home() + "#clock")


def _home() -> str:
    return redirect("client_billing_sandbox:home")["Location"]


@access.page("GET", "POST")
def faults_page(request: HttpRequest) -> HttpResponse:
    """GET lists the faults that are on; POST switches one on."""
    form = FaultForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        given = form.cleaned_data
        faults.add(
            given["kind"],
            path=given["path"],
            method=given["method"],
            times=given["times"],
            delay_ms=given["delay_ms"] or 0,
        )
        return redirect("client_billing_sandbox:faults")
    return show(
        request,
        "faults.html",
        {"form": form, "faults": faults.active()},
        status=400 if form.errors else 200,
    )


@access.page("POST")
def remove_fault(request: HttpRequest, fault_id: int) -> HttpResponse:
    """Switch one fault off; 0 stands for all."""
    if fault_id:
        faults.remove(fault_id)
    else:
        faults.clear()
    return redirect("client_billing_sandbox:faults")
