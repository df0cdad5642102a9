"""The client's two editions that speak XML: the reference, and the classic one that knows nothing else."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from services.protocols.roo.modes import XML_RULES, ToolRules
from services.protocols.roo_xml.tools import (
    CLASSIC_PARAMETER_NAMES,
    CLASSIC_TOOLS,
    CLASSIC_VERSION,
    CLIENT_VERSION,
    PARAMETER_NAMES,
    TOOLS,
    ToolSpec,
)


@dataclass(frozen=True, slots=True)
class Grammar:
    """The tags that the parser knows.

    Attributes:
        opening: a tool's opening tag, its name in group 1.
        tags: by tool, the tags that it reacts to inside a call: a parameter's opening tag, its name in group 1, or a
            closing tag.
        longest: an upper bound of a parameter tag's length.
    """

    opening: re.Pattern[str]
    tags: Mapping[str, re.Pattern[str]]
    longest: int


def _grammar(tools: Mapping[str, ToolSpec], parameters: tuple[str, ...]) -> Grammar:
    enter = f"<({'|'.join(parameters)})>"
    tags = {
        name: re.compile(f"</{name}>|{enter}" + ("|</content>" if name == "write_to_file" else "")) for name in tools
    }
    longest = 3 + max(map(len, (*tools, *parameters)))
    return Grammar(re.compile(f"<({'|'.join(tools)})>"), MappingProxyType(tags), longest)


@dataclass(frozen=True, slots=True)
class Edition:
    """One version of the client.

    Attributes:
        is_classic: holds for the version in which calls are only ever XML.
        tools: what each known tool takes, by name.
        mode_rules: what its mode check knows.
    """

    version: str
    is_classic: bool
    tools: Mapping[str, ToolSpec]
    parameters: tuple[str, ...]
    mode_rules: ToolRules
    grammar: Grammar = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "grammar", _grammar(self.tools, self.parameters))


_CLASSIC_RULES = replace(
    XML_RULES,
    names=tuple(CLASSIC_TOOLS),
    groups={
        **XML_RULES.groups,
        "read": (*XML_RULES.groups["read"], "list_code_definition_names"),
        "edit": (*XML_RULES.groups["edit"], "insert_content"),
    },
    opt_in=(),
    knows_names=False,
)

REFERENCE = Edition(CLIENT_VERSION, False, TOOLS, PARAMETER_NAMES, XML_RULES)
CLASSIC = Edition(CLASSIC_VERSION, True, CLASSIC_TOOLS, CLASSIC_PARAMETER_NAMES, _CLASSIC_RULES)
