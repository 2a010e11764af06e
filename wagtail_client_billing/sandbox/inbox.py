"""The inbox: mails that the sandbox's SMTP server received."""

from __future__ import annotations

import json
import re
import time
from email import message_from_bytes, policy
from email.message import EmailMessage
from html.parser import HTMLParser
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect

from . import access, books
from .access import moment, show

USER = PASSWORD = "demo"  # noqa: S105 - what the page tells everybody to type
HOST = "127.0.0.1"
LINK = re.compile(r"https?://[^\s<>\"'\]]+")

# The HTML of a mail is somebody else's: nothing in it may run, load or be sent.
HTML_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'self'; sandbox"
)


def add(sender: str, recipients: list[str], raw: bytes) -> int:
    """Keep a mail as it came; returns its id."""
    subject = next(
        (value for name, value in headers_of(_parse(raw)) if name.lower() == "subject"), ""
    )
    with books.write() as db:
        cursor = db.execute(
            "INSERT INTO mails (received_at, sender, recipients, subject, raw) "
            "VALUES (?, ?, ?, ?, ?)",
            (time.time(), sender, json.dumps(recipients), subject, raw),
        )
        return int(cursor.lastrowid or 0)


def rows(limit: int = 200) -> list[dict[str, Any]]:
    """The newest mails, without their contents."""
    with books.read() as db:
        found = db.execute(
            "SELECT id, received_at, sender, recipients, subject FROM mails "
            "ORDER BY id DESC LIMIT ?",
            (limit,),
        ).fetchall()
    return [
        {
            "id": row["id"],
            "when": moment(row["received_at"]),
            "sender": row["sender"],
            "to": ", ".join(json.loads(row["recipients"])),
            "subject": row["subject"] or "(no subject)",
        }
        for row in found
    ]


def smtp_port() -> int | None:
    """Where the SMTP server listens, or None when none has been started."""
    with books.read() as db:
        port = books.noted(db, "smtp_port")
    return None if port is None else int(port)


def _parse(raw: bytes) -> EmailMessage:
    return message_from_bytes(raw, policy=policy.default)  # type: ignore[return-value]


def _mail(mail_id: int) -> tuple[dict[str, Any], EmailMessage]:
    with books.read() as db:
        row = db.execute("SELECT * FROM mails WHERE id = ?", (mail_id,)).fetchone()
    if row is None:
        raise Http404("There is no such mail.")
    return dict(row), _parse(row["raw"])


def text_of(message: EmailMessage, subtype: str) -> str | None:
    """The "plain" or "html" part, decoded; None if there is none."""
    part = message.get_body(preferencelist=(subtype,))
    if part is None:
        return None
    try:
        return str(part.get_content())
    except (LookupError, UnicodeError):  # a charset that does not exist
        payload = part.get_payload(decode=True)
        return payload.decode("utf-8", "replace") if isinstance(payload, bytes) else str(payload)


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        href = dict(attrs).get("href") or ""
        if tag == "a" and href.startswith(("http://", "https://")):
            self.found.append(href)


def links_of(text: str | None, html: str | None) -> list[str]:
    """The http(s) links of the text part, or of the HTML part where there is no text; once each."""
    if text:
        found = [link.rstrip(".,;:!?)") for link in LINK.findall(text)]
    else:
        parser = _Links()
        parser.feed(html or "")
        found = parser.found
    return list(dict.fromkeys(found))


def headers_of(message: EmailMessage) -> list[tuple[str, str]]:
    """The headers, decoded; one that the standard library cannot parse is shown as it came."""
    found = []
    for name, source in message.raw_items():
        try:
            value = str(message.policy.header_fetch_parse(name, source))
        except (ValueError, LookupError, AttributeError, TypeError):
            value = str(source)
        found.append((name, value))
    return found


@access.page("GET")
def inbox_page(request: HttpRequest) -> HttpResponse:
    return show(
        request,
        "inbox.html",
        {
            "mails": rows(),
            "smtp_port": smtp_port(),
            "host": HOST,
        },
    )


@access.page("GET")
def mail_page(request: HttpRequest, mail_id: int) -> HttpResponse:
    row, message = _mail(mail_id)
    text, html = text_of(message, "plain"), text_of(message, "html")
    return show(
        request,
        "mail.html",
        {
            "id": mail_id,
            "subject": row["subject"] or "(no subject)",
            "when": moment(row["received_at"]),
            "sender": row["sender"],
            "recipients": ", ".join(json.loads(row["recipients"])),
            "headers": headers_of(message),
            "text": text,
            "has_html": html is not None,
            "links": links_of(text, html),
        },
    )


@access.page("GET")
def mail_html(request: HttpRequest, mail_id: int) -> HttpResponse:
    """The HTML part by itself, for the sandboxed frame."""
    _, message = _mail(mail_id)
    html = text_of(message, "html")
    if html is None:
        raise Http404("This mail has no HTML part.")
    response = HttpResponse(html, content_type="text/html; charset=utf-8")
    response["Content-Security-Policy"] = HTML_POLICY
    response["X-Frame-Options"] = "SAMEORIGIN"
    response["X-Content-Type-Options"] = "nosniff"
    response["Referrer-Policy"] = "no-referrer"
    return response


@access.page("POST")
def empty_inbox(request: HttpRequest) -> HttpResponse:
    with books.write() as db:
        db.execute("DELETE FROM mails")
    return redirect("client_billing_sandbox:inbox")
