from dataclasses import replace

import pytest

from services.protocols.profile import get_profile
from services.protocols.roo.modes import BUILT_IN_MODES
from services.protocols.roo_xml.editions import CLASSIC
from services.protocols.roo_xml.parse import ToolBlock, parse
from services.protocols.roo_xml.prompt import PROMPT_SIZES, system_prompt, user_turn
from services.protocols.roo_xml.tools import DRILLED_TOOLS, TOOLS

SUITE = get_profile("roo_xml").suites()[0]


def test_the_compact_prompt_is_the_same_for_every_case() -> None:
    cases = [*SUITE.cases, *get_profile("roo_xml").draw(0, 60)]
    assert len({system_prompt(case, "compact") for case in cases}) == 1


def test_the_compact_prompt_shows_a_readable_call_of_every_tool() -> None:
    shown = [block for block in parse(system_prompt(SUITE.cases[0], "compact")) if isinstance(block, ToolBlock)]
    assert [block.name for block in shown] == list(DRILLED_TOOLS)
    for block in shown:
        spec = TOOLS[block.name]
        assert not block.partial
        assert set(spec.required + spec.demanded) <= set(block.params) <= set(spec.parameters)


@pytest.mark.parametrize(("slug", "smallest"), [("code", 20_000), ("ask", 16_000), ("orchestrator", 12_000)])
def test_the_full_prompt_describes_the_tools_of_its_mode(slug: str, smallest: int) -> None:
    text = system_prompt(replace(SUITE.cases[0], mode=slug), "full")
    assert smallest < len(text) < 32_000
    described = {line[3:] for line in text.split("\n") if line.startswith("## ")}
    reading = {"read_file", "search_files", "list_files", "fetch_instructions", "use_mcp_tool"}
    editing = {"write_to_file", "apply_diff", "execute_command"}
    missing = {"code": set(), "ask": editing, "orchestrator": editing | reading}[slug]
    assert described == set(DRILLED_TOOLS) - missing
    assert text.count("\n====\n") >= 7


def test_every_mode_has_its_own_full_prompt() -> None:
    texts = {system_prompt(replace(SUITE.cases[0], mode=slug), "full") for slug in BUILT_IN_MODES}
    assert len(texts) == len(BUILT_IN_MODES)


def test_the_user_turn_holds_task_files_and_environment() -> None:
    case = next(case for case in SUITE.cases if case.category == "apply_diff.value")
    turn = user_turn(case)
    assert turn.startswith(f"<task>\n{case.task}\n</task>")
    path, text = next(iter(case.files.items()))
    lines = text.splitlines()
    assert f'<file_content path="{path}">\n{1:>{len(str(len(lines)))}} | {lines[0]}\n' in turn
    assert turn.endswith("</environment_details>")
    assert f"<slug>{case.mode}</slug>" in turn


def test_the_user_turn_shows_servers_tabs_workspace_and_todos() -> None:
    turns = "\n".join(user_turn(case) for case in SUITE.cases)
    for heading in ("# MCP Servers\n", "# VSCode Open Tabs\n", "# Workspace Files\n", "# Todo List\n"):
        assert heading in turns
    assert "| In Progress |" in turns


@pytest.mark.parametrize("size", PROMPT_SIZES)
def test_the_classic_prompt_describes_what_only_the_classic_client_has(size: str) -> None:
    case = SUITE.cases[0]
    for word in ("insert_content", "list_code_definition_names", "line_count"):
        assert word in system_prompt(case, size, CLASSIC)
        assert word not in system_prompt(case, size)
    reader = system_prompt(replace(case, mode="ask"), "full", CLASSIC)
    assert "## list_code_definition_names" in reader and "## insert_content" not in reader
