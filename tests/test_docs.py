"""The docs say what the code does: every setting with its default, every check, every command."""

import ast
import re
from datetime import timedelta
from pathlib import Path

import pytest

from wagtail_client_billing.conf import DEFAULTS

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "wagtail_client_billing"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def read(name):
    return (ROOT / name).read_text()


def value_of(text):
    hours = re.fullmatch(r"timedelta\(hours=(\d+)\)", text)
    return timedelta(hours=int(hours[1])) if hours else ast.literal_eval(text)


def test_every_setting_has_its_section_and_its_default():
    found = re.findall(r"^### `(\w+)`\n\nDefault: `(.*)`$", read("docs/settings.md"), re.MULTILINE)
    assert {key: value_of(default) for key, default in found} == DEFAULTS
    assert len(found) == len(DEFAULTS)


def test_reserved_settings_are_those_that_no_code_reads():
    text = read("docs/settings.md")
    sections = re.findall(r"^### `(\w+)`\n(.*?)(?=^##|\Z)", text, re.MULTILINE | re.DOTALL)
    reserved = {key for key, section in sections if "*(reserved)*" in section}
    code = "\n".join(file.read_text() for file in PACKAGE.rglob("*.py"))
    read_by_code = {
        key for key in DEFAULTS if re.search(rf"(billing_settings|self)\.{key}\b", code)
    }
    assert reserved == set(DEFAULTS) - read_by_code


def test_every_check_is_documented():
    code = read("wagtail_client_billing/checks.py")
    ids = {f"E{int(n):03}" for n in re.findall(r"\b_error\(\s*(\d+)", code)}
    ids |= {f"W{int(n):03}" for n in re.findall(r"\b_warning\(\s*(\d+)", code)}
    assert len(ids) > 10
    documented = re.findall(r"^\| `([EW]\d{3})` \|", read("docs/checks.md"), re.MULTILINE)
    assert sorted(documented) == sorted(ids)


def test_every_command_is_documented():
    names = {file.stem for file in PACKAGE.rglob("management/commands/client_billing_*.py")}
    text = "\n".join(page.read_text() for page in PAGES)
    assert names
    assert {name for name in names if name not in text} == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page):
    for target, anchor in re.findall(r"\]\((?!https?:)([^)#\s]*)#?([^)\s]*)\)", page.read_text()):
        file = (page.parent / target).resolve() if target else page
        assert file.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)$", file.read_text(), re.MULTILINE)
            slugs = {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in headings}
            assert anchor in slugs, f"{target}#{anchor}"


def test_the_readme_has_the_block_that_ci_runs():
    block = re.search(r"<!-- \.ci/run [^>]*-->\n```sh\n(.*?)```", read("README.md"), re.DOTALL)
    assert block
    for needed in ("pip install wagtail-client-billing", "migrate", "Q_CLUSTER", "django_q"):
        assert needed in block[1]


def test_no_registry_is_named_anywhere():
    # Assembled, so that this line is not one of them.
    words = ["pypi" + ".org", "files.python" + "hosted", "registry." + "npmjs"]
    files = [*PAGES, ROOT / "Makefile", ROOT / "pyproject.toml", *(ROOT / ".ci").iterdir()]
    assert [(file.name, word) for file in files for word in words if word in file.read_text()] == []
