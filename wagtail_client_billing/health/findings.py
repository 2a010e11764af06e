"""What a look at something ends with."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from django.utils.formats import date_format
from django.utils.timezone import localtime


class Level(StrEnum):
    """``PROBLEM`` needs doing; ``ADVICE`` works as it is."""

    OK = "ok"
    ADVICE = "advice"
    PROBLEM = "problem"


@dataclass(frozen=True)
class Finding:
    """What was looked at, how it is, and what to do about it (empty where nothing is to do).

    The sentences are in the language that was active when they were made.
    """

    check: str
    level: Level
    text: str
    todo: str = ""


Look = Callable[[datetime], Iterator[Finding]]


def ok(check: str, text: str) -> Finding:
    return Finding(check, Level.OK, text)


def advice(check: str, text: str, todo: str) -> Finding:
    return Finding(check, Level.ADVICE, text, todo)


def problem(check: str, text: str, todo: str) -> Finding:
    return Finding(check, Level.PROBLEM, text, todo)


def when(moment: datetime) -> str:
    """A moment as people write it."""
    return date_format(localtime(moment), "DATETIME_FORMAT")
