"""The French catalogue: complete, with the right placeholders, and compiled."""

import gettext
import re
from pathlib import Path

import django
import pytest
import wagtail
from babel.messages.pofile import read_po

import wagtail_client_billing

FRENCH = Path(wagtail_client_billing.__file__).parent / "locale" / "fr" / "LC_MESSAGES"
PLACEHOLDER = re.compile(r"%\((\w+)\)[sd]")


def entries():
    with open(FRENCH / "django.po", "rb") as file:
        return [message for message in read_po(file, locale="fr") if message.id]


def both(value):
    return [value] if isinstance(value, str) else list(value)


def test_nothing_is_missing_or_doubtful():
    assert len(entries()) > 400
    assert [each.id for each in entries() if each.fuzzy or not all(both(each.string))] == []


def test_every_placeholder_is_there():
    for each in entries():
        wanted = {name for text in both(each.id) for name in PLACEHOLDER.findall(text)}
        for text in both(each.string):
            assert set(PLACEHOLDER.findall(text)) == wanted, each.id


def test_placeholders_are_named():
    for each in entries():
        for text in both(each.id):
            assert not re.search(r"%[sd]", text), text


def test_what_is_compiled_is_what_is_written():
    with open(FRENCH / "django.mo", "rb") as file:
        compiled = gettext.GNUTranslations(file)
    for each in entries():
        singular = both(each.id)[0]
        if each.pluralizable:
            found = compiled.ngettext(each.id[0], each.id[1], 2)
            assert found == each.string[1], singular
        elif each.context:
            assert compiled.pgettext(each.context, singular) == each.string
        else:
            assert compiled.gettext(singular) == each.string


@pytest.mark.parametrize("mark", [":", ";", "?", "!"])
def test_french_spaces_before_punctuation_do_not_break(mark):
    wrong = [
        text for each in entries() for text in both(each.string) if re.search(rf" \{mark}", text)
    ]
    assert wrong == []


# Django merges the catalogues of all apps: a text of ours is said wherever another app has the
# same one. These mean the same there.
SAID_ELSEWHERE_TOO = {
    "Created",
    "Email",
    "Save",
    "To",
    "Username",
    "created",
    "from address",
    "log entries",
    "log entry",
}


def test_no_text_of_ours_takes_the_place_of_another_one_of_wagtails():
    theirs = {}
    for package in (wagtail, django):
        for path in Path(package.__file__).parent.rglob("locale/fr/LC_MESSAGES/django.mo"):
            with open(path, "rb") as file:
                theirs[path] = gettext.GNUTranslations(file)
    assert len(theirs) > 10
    wrong = {
        each.id
        for each in entries()
        if not each.pluralizable and not each.context and each.id not in SAID_ELSEWHERE_TOO
        for catalogue in theirs.values()
        if catalogue.gettext(each.id) not in (each.id, each.string)
    }
    assert wrong == set()
