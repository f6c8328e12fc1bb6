"""Step keys: explicit, from the label, or from the position in the graph."""

from __future__ import annotations

import sys

# hashlib would load OpenSSL; the module of the interpreter alone is enough, under the name of its version.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from hashlib import sha256

    from harmont._step import Step
else:
    try:
        if sys.version_info >= (3, 12):
            from _sha2 import sha256
        else:
            from _sha256 import sha256
    except ImportError:
        from hashlib import sha256

_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyz0123456789")
_EMOJI = _PLAIN | frozenset("_+-")


def assign_keys(steps: list[Step], parents: list[int | None]) -> list[str]:
    """One key per step; `parents[i]` is the node of the direct parent when that is a command."""
    taken: set[str] = set()
    for step in steps:
        if step.key_override is None:
            continue
        if step.key_override in taken:
            raise ValueError(f"hm: two steps have the key {step.key_override!r}\n  fix: give each key= once")
        taken.add(step.key_override)
    slugs = [slugify(step.label) if step.label else "" for step in steps]
    uses: dict[str, int] = {}
    for slug in slugs:
        uses[slug] = uses.get(slug, 0) + 1
    keys: list[str] = []
    for position, step in enumerate(steps):
        slug = slugs[position]
        if step.key_override is not None:
            key = step.key_override
        elif slug and uses[slug] == 1 and slug not in taken:
            key = slug
        else:
            parent = parents[position]
            key = positional_key("" if parent is None else keys[parent], step.cmd or "", position)
        taken.add(key)
        keys.append(key)
    return keys


def positional_key(parent_key: str, cmd: str, position: int) -> str:
    """The key of a step without a usable label."""
    text = f"{parent_key}\0{cmd}\0{position}"
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:12]


def slugify(label: str) -> str:
    """A label as a key: lower case, without `:emoji:` names, words joined by `-`.

    >>> slugify(":rust: Build & Test")
    'build-test'
    """
    text = _without_emoji(label.lower())
    words = "".join(char if char in _PLAIN else " " for char in text).split()
    return "-".join(words)


def _without_emoji(text: str) -> str:
    """Every `:name:` becomes a space, leftmost first, as a regular expression would match."""
    kept: list[str] = []
    at = 0
    while at < len(text):
        end = at + 1
        if text[at] == ":":
            while end < len(text) and text[end] in _EMOJI:
                end += 1
            if end > at + 1 and end < len(text) and text[end] == ":":
                kept.append(" ")
                at = end + 1
                continue
        kept.append(text[at])
        at += 1
    return "".join(kept)
