"""Every message of every kind in both languages, word for word.

Renew the files with ``make snapshots``, and read what has changed in them before it is committed.
"""

import os
from pathlib import Path

import pytest

from tests.mail.conftest import bodies
from tests.mail.every_kind import message_of
from wagtail_client_billing.models import EmailDelivery

FOLDER = Path(__file__).parent / "snapshots"
LANGUAGES = ("en", "fr")
RENEW = os.environ.get("WCB_RENEW_SNAPSHOTS")


@pytest.mark.parametrize("kind", list(EmailDelivery.Kind))
@pytest.mark.parametrize("language", LANGUAGES)
def test_every_message_says_what_it_said(kind, language, make_bill, connection, settings):
    settings.WAGTAILADMIN_BASE_URL = "https://agency.example"
    message, replaced = message_of(kind, language, make_bill, connection)
    text, html = bodies(message)
    head = f"From: {message.from_email}\nReply-To: {', '.join(message.reply_to)}\n"
    found = {"txt": f"Subject: {message.subject}\n{head}\n{text}", "html": html}
    for ending, said in found.items():
        for volatile, fixed in replaced.items():
            said = said.replace(volatile, fixed)
        path = FOLDER / language / f"{kind}.{ending}"
        if RENEW:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(said, encoding="utf-8", newline="\n")
        assert path.exists(), f"make snapshots writes {path.name}"
        assert said == path.read_text(encoding="utf-8")


def test_no_snapshot_is_left_of_what_is_gone():
    wanted = {f"{kind}.{ending}" for kind in EmailDelivery.Kind for ending in ("txt", "html")}
    for language in LANGUAGES:
        assert {each.name for each in (FOLDER / language).iterdir()} == wanted
