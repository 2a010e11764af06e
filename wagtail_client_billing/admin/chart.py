"""A bar chart as numbers for an inline SVG: no script, and nothing that a strict policy forbids.

Lengths across are percentages, so that the picture is as wide as its place and its text keeps
its size; lengths upwards are pixels. Both are text already: a template would write 1000 as
1,000 in some languages.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

# Pixels, upwards: room above the highest line, the bars, and the words below them.
ABOVE = 8
HEIGHT = 180
BELOW = 28
# As many words as have room below the bars: on a desk, and on a phone.
WORDS = 6
FEW_WORDS = 3
# Hundredths of a percent.
WHOLE = 100_00
WIDEST = 8_00


@dataclass(frozen=True)
class Bar:
    """One bar; ``word`` is written below it on wide screens, ``always`` on narrow ones too."""

    x: str
    y: str
    width: str
    height: str
    middle: str
    label: str
    value: str
    word: bool
    always: bool


@dataclass(frozen=True)
class Line:
    """A line across with the amount that it stands for."""

    y: str
    value: str


@dataclass(frozen=True)
class Chart:
    """What the template draws. ``highest`` is None where there is nothing to see."""

    bars: list[Bar]
    lines: list[Line]
    highest: Bar | None
    height: str = str(ABOVE + HEIGHT + BELOW)
    words_at: str = str(ABOVE + HEIGHT + BELOW - 6)

    @property
    def last(self) -> Bar:
        return self.bars[-1]


def bar_chart(values: Sequence[tuple[str, int]], text: Callable[[int], str]) -> Chart:
    """The chart of some named integers; ``text`` says an integer to the reader.

    What is below nothing has no bar: its number is in the table.
    """
    step = _round_step(max((value for _label, value in values), default=0))
    top = 2 * step
    slot = WHOLE // max(len(values), 1)
    width = min(slot * 6 // 10, WIDEST)
    every = -(-len(values) // WORDS)
    rarely = every * -(-len(values) // (every * FEW_WORDS)) if values else 1
    bars = []
    for n, (label, value) in enumerate(values):
        middle = n * slot + slot // 2
        # One pixel at least: little is not nothing.
        height = max(HEIGHT * value // top, 1) if value > 0 else 0
        bars.append(
            Bar(
                x=_percent(middle - width // 2),
                y=str(ABOVE + HEIGHT - height),
                width=_percent(width),
                height=str(height),
                middle=_percent(middle),
                label=label,
                value=text(value),
                word=n % every == 0,
                always=n % rarely == 0,
            )
        )
    most = max(range(len(values)), key=lambda n: values[n][1], default=0)
    seen = bool(values) and values[most][1] > 0
    lines = [Line(y=str(ABOVE + HEIGHT - HEIGHT * n // 2), value=text(n * step)) for n in (2, 1, 0)]
    return Chart(bars, lines, bars[most] if seen else None)


def _round_step(highest: int) -> int:
    """Half of a round number that is not below the highest one: 1, 2, 2.5 or 5 and noughts."""
    half = max(-(-highest // 2), 1)
    power = 1
    while power * 10 <= half:
        power *= 10
    for tenths in (10, 20, 25, 50, 100):
        if power * tenths % 10 == 0 and power * tenths // 10 >= half:
            return power * tenths // 10
    return half


def _percent(hundredths: int) -> str:
    return f"{hundredths // 100}.{hundredths % 100:02d}%"
