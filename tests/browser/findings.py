"""What axe finds on a page, and what the browser's console says of it."""

from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

OPTIONS: dict[str, Any] = {
    "runOnly": ["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa"],
    "resultTypes": ["violations"],
}
# Findings in Wagtail's own furniture that Wagtail's dashboard shows as well: (rule, selector).
# There is none at present; whatever is put in here has to be seen there.
WAGTAILS_OWN: set[tuple[str, str]] = set()

# Colours fade when the scheme changes; axe must not look at them half-way.
TRANSITIONS_OVER = """() => Promise.allSettled(
    document.getAnimations().filter(each => each instanceof CSSTransition).map(each => each.finished)
)"""


# All that a colour scheme changes.
COLOURS = {
    **OPTIONS,
    "runOnly": {"type": "rule", "values": ["color-contrast", "link-in-text-block"]},
}


def axe_findings(page: Page, options: dict[str, Any] = OPTIONS) -> list[tuple[str, str, str]]:
    """Rule, selector and markup of everything that axe finds; Wagtail's own left out."""
    found = Axe().run(page, options=options).response["violations"]
    return [
        (violation["id"], " ".join(map(str, node["target"])), node["html"][:200])
        for violation in found
        for node in violation["nodes"]
        if (violation["id"], " ".join(map(str, node["target"]))) not in WAGTAILS_OWN
    ]


def assert_nothing_found(page: Page, problems: list[str]) -> None:
    """Nothing in either colour scheme, and nothing that broke the policy meanwhile."""
    for scheme, options in (("light", OPTIONS), ("dark", COLOURS)):
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        page.evaluate(TRANSITIONS_OVER)
        findings = axe_findings(page, options)
        assert not findings, f"{page.url} ({scheme}): {findings}"
    assert not problems, problems
