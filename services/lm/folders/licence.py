"""A model's licence as one text, and as the three facts that cards and GGUF files have of one.

The text is an SPDX name or another word that the Hub knows, such as `apache-2.0`; a name of the makers' own, such as
`tongyi-qianwen (https://…/LICENSE)`, with the place of its text where that is told; or the place alone.
"""

import re
from typing import Final, NamedTuple

_OTHER: Final = "other"
_MAX_LETTERS: Final = 200
_IDENTIFIER: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+-]{0,63}")
_LINK: Final = re.compile(r"https?://[!-~]+")
_WITH_LINK: Final = re.compile(r"(.*?) ?\((https?://[!-~]+)\)", re.DOTALL)


class Licence(NamedTuple):
    """An identifier, `other` for a licence that has none; its name and the place of its text then."""

    identifier: str
    name: str = ""
    link: str = ""


def licence_text(identifier: str, name: str = "", link: str = "") -> str:
    """The text of what a card or a GGUF file says; "" where it says nothing."""
    identifier, name, link = (value.strip()[:_MAX_LETTERS] for value in (identifier, name, link))
    if identifier and identifier != _OTHER:
        return identifier
    link = link if _LINK.fullmatch(link) else ""
    if not name or not link:
        return name or link or identifier
    return f"{name} ({link})"


def licence_of(text: str) -> Licence | None:
    """The facts of a text; None where it is empty."""
    if not text:
        return None
    if _IDENTIFIER.fullmatch(text):
        return Licence(text)
    with_link = _WITH_LINK.fullmatch(text)
    if with_link:
        return Licence(_OTHER, with_link[1], with_link[2])
    return Licence(_OTHER, link=text) if _LINK.fullmatch(text) else Licence(_OTHER, text)
