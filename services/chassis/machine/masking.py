"""Secrets and the names of homes in texts that others wrote, replaced before a text is kept."""

from __future__ import annotations

import re

MASK = "[masked]"
_NAME = (
    r"(?:api[_-]?key|apikey|access[_-]?key|secret(?:[_-]?key)?|client[_-]?secret|token|passw(?:or)?d|pwd|passphrase)"
)
# A backslash escapes what follows it, so that JSON within a text stays JSON; it does not escape the quote of a value
# that is itself in a text of JSON.
_BARE = r"(?:\\[^\"'\s]|[^\s\"',;&\\])"
# Each has the text before and behind the secret in its first and last group.
_SECRETS = tuple(
    re.compile(pattern)
    for pattern in (
        r"(-----BEGIN [A-Z ]{0,30}PRIVATE KEY(?: BLOCK)?-----)(?:[^-]|-(?!----)){1,20000}(-----END|\Z)",
        r"()\b(?:(?:sk|pk|rk)-[A-Za-z0-9_-]{16,}|(?:sk|pk|rk)_(?:live|test)_[A-Za-z0-9]{10,})()",
        r"()\b(?:gh[pousr]_[A-Za-z0-9]{20,}|github_pat_[A-Za-z0-9_]{20,}|glpat-[A-Za-z0-9_-]{16,})()",
        r"()\b(?:hf_[A-Za-z0-9]{20,}|xox[abeoprs]-[A-Za-z0-9-]{10,}|npm_[A-Za-z0-9]{20,}|AIza[A-Za-z0-9_-]{30,})()",
        r"()\b(?:AKIA|ASIA)[A-Z0-9]{16}\b()",
        r"()\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*()",
        r"(?i)(\b(?:authorization[\"']?\s{0,3}[:=]\s{0,3}[\"']?)?(?:bearer|basic)\s{1,3})[A-Za-z0-9+/=._~-]{12,}()",
        r"(\b[a-z][a-z0-9+.-]{1,20}://[^\s/:@\"']{0,100}:)[^\s/@\"']{1,200}(@)",
        # A value with quotes ends at the next one of its kind, one without at the next blank.
        rf"(?i)({_NAME}\\?[\"']?\s{{0,3}}[:=]\s{{0,3}}(\\?[\"']))"
        r"(?:(?!\2)(?:\\.|[^\\\n])){4,500}(\2)",
        rf"(?i)({_NAME}\s{{0,3}}=\s{{0,3}}){_BARE}{{4,500}}()",
        # Prose and types stand behind a colon as well; neither has a digit so soon.
        rf"(?i)({_NAME}:\s{{0,3}})(?={_BARE}{{0,60}}\d){_BARE}{{6,500}}()",
    )
)
_WINDOWS = r"\b[A-Za-z]:(?:\\\\|\\|/)(?i:users)(?:\\\\|\\|/)"
_HOMES = re.compile(rf"((?<![\w.])/(?:home|Users)/|{_WINDOWS})[^/\\\s\"':;,]{{1,100}}")


def masked(text: str) -> str:
    """Return a text without what has the usual form of a key, token or password, and with "user" as every home."""
    for pattern in _SECRETS:
        text = pattern.sub(_mask, text)
    return _HOMES.sub(r"\1user", text)


def _mask(match: re.Match[str]) -> str:
    return f"{match[1]}{MASK}{match[match.re.groups]}"
