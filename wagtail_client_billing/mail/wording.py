"""The agency's own words in a message: a subject, a greeting and a note."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from ..models import EmailDelivery, MessageSettings
from .kinds import NOTICES

PARTS = ("subject", "greeting", "note")
# What stands in braces, whatever it is.
PLACEHOLDER = re.compile(r"\{([^{}]*)\}")


@dataclass(frozen=True)
class Wording:
    """What replaces the subject and stands before and after our text; empty where nothing does."""

    subject: str = ""
    greeting: str = ""
    note: str = ""


def placeholders_of(kind: str) -> tuple[str, ...]:
    """What a text of this kind may name in braces; nothing where no request is meant."""
    if EmailDelivery.Kind(kind) in NOTICES:
        return ()
    return ("amount", "number", "site", "description")


def unknown_placeholders(kind: str, text: str) -> list[str]:
    """What stands in braces, or as a single brace, and would be shown to the reader as it is."""
    known = placeholders_of(kind)
    unknown = [f"{{{name}}}" for name in PLACEHOLDER.findall(text) if name not in known]
    single = [brace for brace in "{}" if brace in PLACEHOLDER.sub("", text)]
    return list(dict.fromkeys(unknown + single))


def wording_of(kind: str, language: str, facts: Mapping[str, str]) -> Wording:
    """The agency's words for a kind in a language, with ``facts`` in their places."""
    chosen = MessageSettings.objects.filter(kind=kind).first()
    texts = chosen.texts.get(language) if chosen and isinstance(chosen.texts, dict) else None
    if not isinstance(texts, dict):
        return Wording()
    return Wording(**{part: _filled(str(texts.get(part) or ""), facts) for part in PARTS})


def _filled(text: str, facts: Mapping[str, str]) -> str:
    # Not str.format, which reaches attributes. What is filled in is not looked at again.
    return PLACEHOLDER.sub(lambda found: facts.get(found[1], found[0]), text).strip()
