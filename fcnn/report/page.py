"""The report's page: one HTML file that holds its pictures and needs nothing from outside."""

import base64
import re
from collections.abc import Mapping, Sequence
from html import escape
from typing import NamedTuple


class Section(NamedTuple):
    """One picture of the report and how to read it."""

    name: str  # of the picture's file, without .png
    heading: str
    text: str
    picture: bytes  # PNG


def render_page(title: str, facts: Mapping[str, str], sections: Sequence[Section]) -> str:
    """Returns the HTML of a report.

    Args:
        title: the run's name.
        facts: what to know about the run; the first one is set large.
        sections: the pictures, from top to bottom.
    """
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{escape(title)}</title>
<style>{_STYLE}</style>
</head>
<body>
<main>
<h1>{escape(title)}</h1>
{_render_facts(facts)}
{"".join(map(_render_section, sections))}</main>
</body>
</html>
"""


def picture_names(page: str) -> set[str]:
    """Returns the names of the sections of a page that `render_page` made."""
    return set(re.findall(r'<figure id="(\w+)"><img ', page, re.ASCII))


def _render_facts(facts: Mapping[str, str]) -> str:
    if not facts:
        return ""
    (headline, value), *others = facts.items()
    rows = "".join(f"<tr><th>{escape(name)}</th><td>{escape(text)}</td></tr>\n" for name, text in others)
    table = f"<table>\n{rows}</table>" if others else ""
    return f'<p class="headline"><strong>{escape(value)}</strong> {escape(headline)}</p>\n{table}'


def _render_section(section: Section) -> str:
    encoded = base64.b64encode(section.picture).decode("ascii")
    return f"""<section>
<h2>{escape(section.heading)}</h2>
<p>{escape(section.text)}</p>
<figure id="{section.name}"><img src="data:image/png;base64,{encoded}" alt="{escape(section.heading)}"></figure>
</section>
"""


_STYLE = """
:root { --paper: #fff; --ink: #222; --muted: #666; --line: #ddd; }
@media screen and (prefers-color-scheme: dark) {
  :root { --paper: #1b1b1a; --ink: #ddd; --muted: #9a9a9a; --line: #444; }
}
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 1.05rem/1.5 "Iowan Old Style", "Palatino Linotype", Palatino, "Book Antiqua", "URW Palladio L", Georgia,
  serif; }
main { max-width: 42rem; margin: 0 auto; padding: 2.5rem 1.25rem 4rem; }
h1 { font-weight: 400; font-size: 1.9rem; line-height: 1.2; margin: 0 0 1rem; overflow-wrap: anywhere; }
h2 { font-weight: 400; font-style: italic; font-size: 1.4rem; margin: 2.75rem 0 0.25rem; }
section p { margin: 0 0 0.9rem; }
.headline { margin: 0 0 1rem; color: var(--muted); }
.headline strong { font-weight: 400; font-size: 3rem; line-height: 1; color: var(--ink); margin-right: 0.3rem;
  font-variant-numeric: lining-nums; }
table { border-collapse: collapse; width: 100%; font-size: 0.92rem; border-top: 1px solid var(--line);
  border-bottom: 1px solid var(--line); }
th { font-weight: 400; text-align: left; vertical-align: baseline; color: var(--muted); white-space: nowrap; }
th, td { padding: 0.15rem 0; }
td { padding-left: 1.5rem; width: 100%; overflow-wrap: anywhere; font-variant-numeric: lining-nums tabular-nums; }
tr:first-child > * { padding-top: 0.5rem; }
tr:last-child > * { padding-bottom: 0.5rem; }
figure { margin: 0; overflow-x: auto; }
img { display: block; width: 100%; min-width: 35rem; height: auto; background: white; }
@media screen and (prefers-color-scheme: dark) {
  img { border-radius: 4px; filter: brightness(0.92); }
}
@media print {
  body { font-size: 10pt; }
  main { max-width: none; padding: 0; }
  section { break-inside: avoid; }
  img { min-width: 0; max-width: 16cm; }
}
"""
