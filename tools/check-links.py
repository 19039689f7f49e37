"""Checks a book that mdBook has built: check-links.py SOURCES BOOK.

Every link and picture within the book has to lead to a file, and what follows its # to an id there; every page of
SOURCES has to be in the book; links of SOURCES out of their folder have to lead to a file of the repository. Addresses
of other sites are not visited. A script because Python is there already, to fetch libtorch; lychee and
mdbook-linkcheck2 would have to be compiled first, each with its own client for the web.
"""

import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit


class Page(HTMLParser):
    def __init__(self, path):
        super().__init__()
        self.ids, self.links = set(), []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.ids.update(attributes[key] for key in ("id", "name") if attributes.get(key))
        self.links += [attributes[key] for key in ("href", "src") if attributes.get(key)]


def wrong_links(book):
    pages = {path.resolve(): Page(path) for path in sorted(book.rglob("*.html"))}
    for path, page in pages.items():
        for link in dict.fromkeys(page.links):
            parts = urlsplit(link)
            # 404.html is shown at any depth, so that its links are to the site's root.
            if parts.scheme or parts.netloc or path.name in ("404.html", "toc.html"):
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            target = target / "index.html" if target.is_dir() else target
            if not target.is_file():
                yield f"{path.relative_to(book)}: {link} leads to no file"
            elif parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].ids:
                yield f"{path.relative_to(book)}: {link} leads to no heading"


def wrong_sources(sources, book):
    for path in sorted(sources.rglob("*.md")):
        built = book / path.relative_to(sources).with_suffix(".html")
        if path.name != "SUMMARY.md" and not built.is_file():
            yield f"{path}: not in SUMMARY.md"
        for target in re.findall(r"\]\(([^)#\s]+)", path.read_text(encoding="utf-8")):
            if not urlsplit(target).scheme and not (path.parent / unquote(target)).exists():
                yield f"{path}: {target} leads to no file"


sources, book = (Path(argument).resolve() for argument in sys.argv[1:3])
wrong = [*wrong_links(book), *wrong_sources(sources, book)]
for line in wrong:
    print(f"error: {line}", file=sys.stderr)
sys.exit(1 if wrong else 0)
