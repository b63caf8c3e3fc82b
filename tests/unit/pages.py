"""The pages of the documentation as Markdown reads them: headings, links, code."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
_FENCE = re.compile(r"^( *)(```+|~~~+)(.*)$")
_LINK = re.compile(r"\[[^\]]*\]\(\s*<?([^)\s>]+)>?[^)]*\)")
_SPAN = re.compile(r"(`+)(.+?)\1(?!`)", re.DOTALL)


def all_pages() -> list[Path]:
    return sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def prose(text: str) -> str:
    """All but the blocks of code, whose lines are left empty."""
    lines, fence = [], None
    for line in text.splitlines():
        found = _FENCE.match(line)
        if found is not None and (fence is None or (found[2].startswith(fence) and not found[3].strip())):
            fence = found[2] if fence is None else None
            line = ""
        lines.append("" if fence is not None else line)
    return "\n".join(lines)


def blocks(text: str) -> Iterator[tuple[str, str]]:
    """Each block of code: its language, and its lines."""
    lines: list[str] = []
    fence, language = None, ""
    for line in text.splitlines():
        found = _FENCE.match(line)
        if fence is None and found is not None:
            fence, language, lines = found[2], found[3].strip(), []
        elif fence is not None and found is not None and found[2].startswith(fence) and not found[3].strip():
            yield language, "\n".join(lines)
            fence = None
        elif fence is not None:
            lines.append(line)


def spans(text: str) -> list[str]:
    """What stands in code within the prose."""
    return [" ".join(found[2].split()) for found in _SPAN.finditer(prose(text))]


def headings(text: str) -> list[str]:
    return [line.lstrip("#").strip() for line in prose(text).splitlines() if re.match(r"#{1,6} ", line)]


def anchors(text: str) -> set[str]:
    """As GitHub names them: small letters, no punctuation, dashes for spaces, a number behind the second of a name."""
    seen: dict[str, int] = {}
    names = set()
    for heading in headings(text):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        slug = re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-")
        names.add(f"{slug}-{seen[slug]}" if slug in seen else slug)
        seen[slug] = seen.get(slug, 0) + 1
    return names


def links(text: str) -> list[str]:
    """Where links and pictures of the prose lead."""
    return [found[1] for found in _LINK.finditer(_SPAN.sub("", prose(text)))]


def is_elsewhere(link: str) -> bool:
    return re.match(r"[a-z][a-z0-9+.-]*:", link) is not None
