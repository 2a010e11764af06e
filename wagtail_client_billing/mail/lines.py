"""Text that may stand in a header."""

import re

# A no-break space is not printable to Python, but belongs into "1 234 €"; the joiner makes one
# picture of several.
KEPT = frozenset("\u00a0\u202f\u200d")


def one_line(text: str, longest: int) -> str:
    """The text without line ends and other control characters."""
    kept = (each if each.isprintable() or each in KEPT else " " for each in text)
    line = re.sub(" +", " ", "".join(kept)).strip()
    return line if len(line) <= longest else line[: longest - 1].rstrip() + "…"
