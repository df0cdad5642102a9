import random
from types import MappingProxyType

import pytest

from services.protocols.roo_xml.editions import REFERENCE
from services.protocols.roo_xml.parse import (
    MAX_ANSWER_UNITS,
    MAX_VALUE_UNITS,
    AnswerTooLong,
    TextBlock,
    ToolBlock,
    parse,
)
from services.protocols.roo_xml.tools import TOOLS
from tests.machine import takes_less_than


def tool(answer: str) -> ToolBlock:
    return next(block for block in parse(answer) if isinstance(block, ToolBlock))


def test_text_and_calls_come_in_order_and_blank_text_is_left_out() -> None:
    blocks = parse("First.\n<list_files><path> lib </path></list_files>\n \n<read_file></read_file> Last. ")
    assert [block.text if isinstance(block, TextBlock) else block.name for block in blocks] == [
        "First.",
        "list_files",
        "read_file",
        "Last.",
    ]
    assert tool("<list_files><path> lib </path></list_files>").params == {"path": "lib"}


@pytest.mark.parametrize("tag", ["<list_files >", "<LIST_FILES>", "<list_files/>", '<list_files a="b">', "<ls>"])
def test_only_the_exact_opening_tag_is_a_call(tag: str) -> None:
    assert all(isinstance(block, TextBlock) for block in parse(f"{tag}<path>.</path></list_files>"))


def test_the_last_of_repeated_parameters_wins_and_is_noted() -> None:
    call = tool("<list_files><path>a</path><path>b</path></list_files>")
    assert call.params == {"path": "b"}
    assert call.repeated == ("path",)


def test_a_missing_closing_tag_swallows_the_rest() -> None:
    call = tool("<list_files><path>a</list_files> more")
    assert call.params == {"path": "a</list_files> more"}
    assert call.partial


def test_an_unfinished_value_stays_raw_and_an_empty_one_keeps_the_earlier() -> None:
    assert tool("<list_files><path>\n a ").params == {"path": "\n a "}
    assert tool("<list_files><path>a</path><path>").params == {"path": "a"}
    assert tool("<list_files><path>").params == {}


def test_other_tools_inside_a_call_are_ignored_and_noted_as_stray() -> None:
    call = tool("<list_files><read_file><path>a</path></read_file></list_files>")
    assert call.params == {"path": "a"}
    assert call.stray is not None


def test_content_keeps_its_blanks_but_for_one_line_break_at_each_end() -> None:
    call = tool("<write_to_file><path>a</path><content>\n\n  x \n\n</content></write_to_file>")
    assert call.params["content"] == "\n  x \n"


def test_content_reaches_to_its_last_closing_tag() -> None:
    call = tool("<write_to_file><path>a</path><content>1</content>2</content>3</content></write_to_file>")
    assert call.params["content"] == "1</content>2</content>3"
    assert call.stray is None


def test_a_stray_closing_content_tag_mangles_the_content() -> None:
    call = tool("<write_to_file><path>a.txt</path>\nhello\n</content></write_to_file>")
    assert call.params["content"] == "txt</path>\nhello"


def test_other_values_end_at_their_first_closing_tag() -> None:
    assert tool("<apply_diff><path>a</path><diff>x</diff>y</diff></apply_diff>").params["diff"] == "x"


@pytest.mark.parametrize(("length", "kept"), [(102_393, 102_393), (102_394, 102_400)])
def test_a_value_is_cut_when_it_passes_the_limit_with_its_closing_tag(length: int, kept: int) -> None:
    call = tool(f"<apply_diff><diff>{'a' * length}</diff><path>p</path></apply_diff>")
    assert len(call.params["diff"]) == kept
    assert call.params["path"] == "p"
    assert not call.partial
    assert bool(call.cut) == (kept == MAX_VALUE_UNITS)


def test_a_tag_that_the_cut_runs_through_still_counts() -> None:
    filler = "a" * (MAX_VALUE_UNITS - 3)
    call = tool(f"<apply_diff><diff>{filler}<path>p</path></apply_diff>")
    assert call.params["path"] == "p"
    assert call.params["diff"].endswith("<pa")


def test_lengths_count_utf16_units() -> None:
    answer = f"é<apply_diff><diff>{'🎉' * 51_198}</diff></apply_diff>tail"
    call = tool(answer)
    assert call.cut == ("diff",)
    assert call.params["diff"] == "🎉" * 51_198 + "</di"
    assert answer[call.span[0] : call.span[1]].startswith("<apply_diff>")
    assert answer[call.span[0] : call.span[1]].endswith("</apply_diff>")


def test_a_character_that_is_cut_in_half_becomes_a_replacement() -> None:
    call = tool(f"<apply_diff><diff>a{'🎉' * 60_000}</diff></apply_diff>")
    assert call.params["diff"].endswith("🎉\ufffd")
    call.params["diff"].encode()


@pytest.mark.parametrize("filler", ["a", "é"])
def test_the_longest_answer_parses_and_one_more_unit_does_not(filler: str) -> None:
    assert len(parse(filler * MAX_ANSWER_UNITS)) == 1
    with pytest.raises(AnswerTooLong, match="1,048,577"):
        parse(filler * (MAX_ANSWER_UNITS + 1))


def test_the_limit_of_the_answer_counts_utf16_units() -> None:
    with pytest.raises(AnswerTooLong):
        parse("🎉" * (MAX_ANSWER_UNITS // 2 + 1))


def test_what_stands_before_the_start_does_not_count_for_the_limit() -> None:
    assert len(parse("x" * 10 + "a" * MAX_ANSWER_UNITS, start=10)) == 1
    assert len(parse("🎉" * 10 + "🎉" * (MAX_ANSWER_UNITS // 2), start=10)) == 1
    with pytest.raises(AnswerTooLong, match="1,048,577"):
        parse("🎉" * 10 + "🎉" * (MAX_ANSWER_UNITS // 2) + "a", start=10)


def test_places_in_a_long_answer_beyond_the_first_plane_are_characters() -> None:
    parts = ["🎉 first ", "<apply_diff>", " 🎉stray ", "<path>a</path><path>b</path>", f"<diff>{'🎉' * 51_190}</diff>"]
    parts += ["</apply_diff>", " last🎉", "<list_files>", "<path>."]
    starts = [sum(map(len, parts[:number])) for number in range(len(parts) + 1)]
    first, diff, last, listing = parse("".join(parts))
    assert first == TextBlock("🎉 first", (0, starts[1]))
    assert isinstance(diff, ToolBlock)
    assert diff.name == "apply_diff"
    assert diff.params == {"path": "b", "diff": "🎉" * 51_190}
    assert (diff.partial, diff.span, diff.repeated, diff.cut) == (False, (starts[1], starts[6]), ("path",), ())
    assert diff.stray == (starts[2], starts[3])
    assert last == TextBlock("last🎉", (starts[6], starts[7]))
    assert listing == ToolBlock("list_files", MappingProxyType({"path": "."}), True, (starts[7], starts[9]))


@pytest.mark.parametrize(("short", "counts"), [(5, False), (4, True)])
def test_a_tag_counts_when_it_ends_behind_the_character_that_passed_the_limit(short: int, counts: bool) -> None:
    call = tool(f"<apply_diff><diff>{'a' * (MAX_VALUE_UNITS - short)}<path>p</path></apply_diff>")
    assert ("path" in call.params) == counts


def test_an_unfinished_value_as_long_as_the_limit_is_not_cut() -> None:
    call = tool(f"<apply_diff><diff>{'a' * MAX_VALUE_UNITS}")
    assert (call.cut, call.partial, len(call.params["diff"])) == ((), True, MAX_VALUE_UNITS)


def test_a_call_without_a_tag_behind_its_cut_value_is_unfinished() -> None:
    call = tool(f"<apply_diff><diff>{'a' * (MAX_VALUE_UNITS + 9)}")
    assert (call.cut, call.partial, len(call.params["diff"])) == (("diff",), True, MAX_VALUE_UNITS)


def test_text_that_becomes_content_behind_a_cut_value_is_not_stray() -> None:
    filler = "a" * (MAX_VALUE_UNITS + 1 - len("<content>"))
    call = tool(f"<write_to_file><diff>{filler}<content>text</content></write_to_file>")
    assert (call.params["content"], call.stray, call.cut) == ("text", None, ("diff",))


def test_stray_text_before_the_content_stays_noted_when_the_content_grows() -> None:
    call = tool("<write_to_file>odd<path>a</path><content>1</content>2</content></write_to_file>")
    assert call.params["content"] == "1</content>2"
    assert call.stray == (15, 18)


@pytest.mark.parametrize(
    "piece",
    [
        "<",
        "</content>",
        "<content></content>",
        "<path>",
        "<path></path>",
        "<content>x</content></content>",
        "<write_to_file>",
        "<list_files></list_files>",
        " ",
        "</",
        "<diff>🎉",
    ],
)
def test_hostile_answers_of_a_megabyte_take_less_than_a_second(piece: str) -> None:
    answer = "<write_to_file>" + piece * (1_000_000 // max(2, len(piece)) // 2)
    assert takes_less_than(1, lambda: parse(answer))


def test_parsing_equals_the_automaton_that_it_replaces() -> None:
    generator = random.Random(7)
    pieces = [f"<{name}>" for name in ("list_files", "write_to_file", "apply_diff", "path", "content", "diff")]
    pieces += [f"</{tag[1:]}" for tag in pieces] + ["a", " ", "\n", "<", ">", "</content", "<path"]
    for _ in range(3_000):
        answer = "".join(generator.choices(pieces, k=generator.randrange(1, 14)))
        found = [(b.text,) if isinstance(b, TextBlock) else (b.name, dict(b.params), b.partial) for b in parse(answer)]
        assert found == Automaton(answer).run(), answer


class Automaton:
    """The client's automaton as the rules state it, one character after the other, for ASCII below the limits."""

    def __init__(self, answer: str) -> None:
        self.answer = answer
        self.blocks: list[tuple[object, ...]] = []
        self.params: dict[str, str] = {}
        self.text = self.name = self.parameter = ""
        self.inside = self.start = 0

    def run(self) -> list[tuple[object, ...]]:
        for end in range(1, len(self.answer) + 1):
            seen = self.answer[:end]
            if self.parameter:
                self.in_parameter(seen[self.start :])
            elif self.name:
                self.in_tool(seen)
            else:
                self.in_text(seen)
        if self.name:
            self.blocks.append((self.name, self.params, True))
        elif self.text.strip():
            self.blocks.append((self.text.strip(),))
        return self.blocks

    def in_parameter(self, value: str) -> None:
        closing = f"</{self.parameter}>"
        self.params[self.parameter] = value
        if value.endswith(closing):
            self.params[self.parameter] = self.finished(value.removesuffix(closing))
            self.parameter = ""

    def finished(self, value: str) -> str:
        return value.removeprefix("\n").removesuffix("\n") if self.parameter == "content" else value.strip()

    def in_tool(self, seen: str) -> None:
        whole = seen[self.inside :]
        if whole.endswith(f"</{self.name}>"):
            self.blocks.append((self.name, self.params, False))
            self.name = ""
            return
        if entered := next((one for one in REFERENCE.parameters if seen.endswith(f"<{one}>")), ""):
            self.parameter, self.start = entered, len(seen)
        if self.name == "write_to_file" and seen.endswith("</content>"):
            first, last = whole.find("<content>") + 9, whole.rfind("</content>")
            if last > first:
                self.params["content"] = whole[first:last].removeprefix("\n").removesuffix("\n")

    def in_text(self, seen: str) -> None:
        self.text += seen[-1]
        opened = next((one for one in TOOLS if self.text.endswith(f"<{one}>")), "")
        if not opened:
            return
        if before := self.text.removesuffix(f"<{opened}>").strip():
            self.blocks.append((before,))
        self.name, self.params, self.inside, self.text = opened, {}, len(seen), ""
