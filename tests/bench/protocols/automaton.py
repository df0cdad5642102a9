"""The client's parser, character by character: the peer that the profile's parser is measured and tested against.

It keeps the growing text, and after each UTF-16 unit asks of what it ends with. Its time grows with the square of the
text's length.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from services.protocols.javascript.text import to_units, trim
from services.protocols.roo_xml.editions import REFERENCE
from services.protocols.roo_xml.tools import TOOLS

MAX_VALUE_UNITS = 1024 * 100


@dataclass
class Text:
    """Text outside calls, as it is shown."""

    content: str = ""


@dataclass
class Tool:
    """One call."""

    name: str
    params: dict[str, str] = field(default_factory=dict)
    partial: bool = True


class Automaton:
    """The three states of the client's parser."""

    def __init__(self) -> None:
        self.blocks: list[Text | Tool] = []
        self.units: list[str] = []
        self.text: Text | None = None
        self.text_start = 0
        self.tool: Tool | None = None
        self.tool_start = 0
        self.parameter: str | None = None
        self.value_start = 0

    def feed(self, chunk: str) -> None:
        """Read on."""
        for unit in to_units(chunk):
            self.units.append(unit)
            self._step()

    def result(self) -> list[tuple[object, ...]]:
        """Return the blocks: ("text", text) and ("tool", name, params, partial); blank text is left out."""
        found: list[tuple[object, ...]] = []
        for block in self.blocks:
            if isinstance(block, Tool):
                params = {name: _characters(value) for name, value in block.params.items()}
                found.append(("tool", block.name, params, block.partial))
            elif content := trim(_characters(block.content)):
                found.append(("text", content))
        return found

    def _since(self, start: int) -> str:
        return "".join(self.units[start:])

    def _ends(self, tail: str) -> bool:
        return "".join(self.units[-len(tail) :]) == tail

    def _step(self) -> None:
        if self.tool is not None and self.parameter is not None:
            self._in_parameter(self.tool, self.parameter)
        elif self.tool is not None:
            self._in_tool(self.tool)
        else:
            self._in_text()

    def _in_parameter(self, tool: Tool, parameter: str) -> None:
        value, closing = self._since(self.value_start), f"</{parameter}>"
        if len(value) > MAX_VALUE_UNITS:
            self.parameter = None
        elif value.endswith(closing):
            value = value[: -len(closing)]
            inner = value.removeprefix("\n").removesuffix("\n") if parameter == "content" else trim(value)
            tool.params[parameter] = inner
            self.parameter = None
        else:
            tool.params[parameter] = value

    def _in_tool(self, tool: Tool) -> None:
        if self._ends(f"</{tool.name}>"):
            tool.partial, self.tool = False, None
            self.text_start = len(self.units)
            return
        for name in REFERENCE.parameters:
            if self._ends(f"<{name}>"):
                self.parameter, self.value_start = name, len(self.units)
                return
        if tool.name == "write_to_file" and self._ends("</content>"):
            written = self._since(self.tool_start)
            start = written.find("<content>") + len("<content>")
            end = written.rfind("</content>")
            if end > start:
                tool.params["content"] = written[start:end].removeprefix("\n").removesuffix("\n")

    def _in_text(self) -> None:
        for name in TOOLS:
            tag = f"<{name}>"
            if self._ends(tag):
                if self.text is not None:
                    self.text.content = "".join(self.units[self.text_start : -len(tag)])
                    self.text = None
                self.tool, self.tool_start = Tool(name), len(self.units)
                self.blocks.append(self.tool)
                return
        if self.text is None:
            self.text, self.text_start = Text(), len(self.units) - 1
            self.blocks.append(self.text)
        self.text.content = self._since(self.text_start)


def parse_naively(answer: str) -> list[tuple[object, ...]]:
    """Return the blocks of `answer` as `Automaton.result` gives them."""
    automaton = Automaton()
    automaton.feed(answer)
    return automaton.result()


def _characters(units: str) -> str:
    return units.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
