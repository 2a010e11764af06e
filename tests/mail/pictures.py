"""Photographs every message in both languages, light and dark (``make mails``).

    python -m tests.mail.pictures [folder]

What is photographed are the snapshots, as the sandbox's inbox frames them; ``sheet-….png`` show
all of a language at once.
"""

import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

from tests.browser.conftest import ARGUMENTS, chromium_path

FOLDER = Path(__file__).parent / "snapshots"
WIDTHS = {"600": 600, "340": 340}
SCHEMES = ("light", "dark")


def main(folder):
    folder.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_path(), args=ARGUMENTS)
        for scheme in SCHEMES:
            for name, width in WIDTHS.items():
                page = browser.new_page(
                    color_scheme=scheme, viewport={"width": width, "height": 400}
                )
                for spoken in sorted(FOLDER.iterdir()):
                    language, shown = spoken.name, []
                    for source in sorted(spoken.glob("*.html")):
                        page.goto(source.as_uri())
                        path = folder / f"{language}-{source.stem}-{name}-{scheme}.png"
                        page.screenshot(path=path, full_page=True)
                        shown.append(path)
                    sheet = "".join(f'<img src="{each.name}">' for each in shown)
                    html = folder / "sheet.html"
                    style = "body{background:#888;columns:4}img{width:100%;break-inside:avoid}"
                    html.write_text(f"<style>{style}</style>{sheet}")
                    page.set_viewport_size({"width": 1800, "height": 800})
                    page.goto(html.as_uri())
                    page.screenshot(
                        path=folder / f"sheet-{language}-{name}-{scheme}.png", full_page=True
                    )
                    html.unlink()
                    page.set_viewport_size({"width": width, "height": 400})
                page.close()
        browser.close()
    print(f"{len(list(folder.glob('*.png')))} pictures in {folder}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "shots/mails").resolve())
