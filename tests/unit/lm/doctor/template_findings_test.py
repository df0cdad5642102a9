"""The doctor finds what is planted, and nothing in what is sound."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from tokenizers import Tokenizer, normalizers

from services.lm.doctor.diagnosis import Conversation, Diagnosis, Request
from services.lm.doctor.examination import CHECKS, examine
from services.lm.doctor.subject import TABLE, open_subject
from tests.unit.lm.doctor.tokenizer_folders import (
    CHATML,
    HEADER_TOKENS,
    REQUEST,
    TEMPLATES,
    Settings,
    write_folder,
)

_HEADERS = Settings(HEADER_TOKENS, bos="<|begin|>", eos="<|end|>", generation_eos="<|end|>", adds_bos=True)
_CONTENT = "{{- message['content'] }}"
_ROLE = "{{- '<|im_start|>' + message['role'] + '\\n' }}"
_ASKS = "{%- if add_generation_prompt %}"
_REFUSE_TOOL = "{%- if message.role == 'tool' %}{{ raise_exception('no role tool') }}{%- endif %}"
_REFUSE_TWO = (
    "{%- if not loop.first and message.role == messages[loop.index0 - 1].role == 'user' %}"
    "{{ raise_exception('roles must alternate') }}{%- endif %}"
)
_NO_THOUGHTS = "{{- message['content'].split('</think>')[-1] if not loop.last else message['content'] }}"
_TOOLS_WITH_SYSTEM = CHATML[: CHATML.index("{%- for message")]


def diagnosed(folder: Path, request: Request = REQUEST) -> Diagnosis:
    return examine(open_subject(folder, request))


def changed(old: str, new: str) -> str:
    assert old in CHATML
    return CHATML.replace(old, new)


TEMPLATE_FAULTS = {
    "template_broken": "{% for",
    "not_deterministic": CHATML + "{{ range(100000) | random }}",
    "clock_in_prompt": "{{- strftime_now('%d %b %Y') + '\n' }}" + CHATML,
    "system_refused": changed(
        _ROLE, "{%- if message.role == 'system' %}{{ raise_exception('no system') }}{%- endif %}" + _ROLE
    ),
    "system_dropped": changed("(tools and loop.first and message['role'] == 'system')", "message['role'] == 'system'"),
    "system_merged": changed(
        _ROLE, "{%- if loop.first or messages[loop.index0 - 1].role != 'system' %}" + _ROLE + "{%- endif %}"
    ).replace(
        "{{- '<|im_end|>\\n' }}\n    {%- endif %}",
        "{%- if message.role != 'system' %}{{- '<|im_end|>' }}{%- endif %}{{- '\\n' }}\n    {%- endif %}",
    ),
    "demands_alternation": changed(_ROLE, _REFUSE_TWO + _ROLE),
    "no_tools_branch": changed("{%- if tools %}", "{%- set tools = none %}{%- if tools %}"),
    "tools_incomplete": changed("(tool | tojson)", "tool.function.name"),
    "tool_calls_dropped": changed("message.tool_calls or []", "[]"),
    "arguments_garbled": changed("(call.function.arguments | tojson)", "(call.function.arguments | string)"),
    "text_beside_calls_dropped": changed(_CONTENT, "{{- '' if message.tool_calls else message['content'] }}"),
    "no_tool_role": changed(_ROLE, _REFUSE_TOOL + _ROLE),
    "single_call_only": changed("message.tool_calls or []", "(message.tool_calls or [])[:1]").replace(
        _ROLE,
        "{%- if message.tool_calls and message.tool_calls | length > 1 %}{{ raise_exception('one call') }}{%- endif %}"
        + _ROLE,
    ),
    "generation_prompt_always": changed(_ASKS, "{%- if true %}"),
    "no_generation_prompt": changed(_ASKS, "{%- if false %}"),
    "answer_does_not_follow": changed("{{- '<|im_start|>assistant\\n' }}", "{{- '<|im_start|>assistant' }}"),
    "history_rewritten": changed(
        _CONTENT, "{{- message['content'] + (' (latest)' if loop.last and message.role == 'user' else '') }}"
    ),
    "thinking_stripped": changed(_CONTENT, _NO_THOUGHTS),
    "contents_stripped": changed("message['content'] }}", "message['content'] | trim }}"),
    "line_ends_changed": changed("message['content'] }}", "message['content'].replace('\\r\\n', '\\n') }}"),
    "contents_escaped": changed("message['content'] }}", "(message['content'] | e) ~ '' }}"),
    "turn_has_no_end": CHATML.replace("<|im_end|>", ""),
    "conversation_refused": CHATML + "{%- if messages | length > 4 %}{{ raise_exception('too long') }}{%- endif %}",
}
SETTING_FAULTS = {
    "stop_token_mismatch": Settings(generation_eos="<|endoftext|>"),
    "context_too_short": Settings(context=500),
    "bos_missing": Settings(bos="<|endoftext|>", adds_bos=True),
    "tag_split": Settings(added=("read",)),
    "answer_not_encodable": Settings(lacks="_"),
    "boundary_merges": Settings(merges=(("Ċ", "<"),)),
}


@pytest.mark.parametrize(
    ("name", "settings"), [("chatml", Settings()), ("headers", _HEADERS), ("grouped_results", Settings())]
)
def test_a_sound_template_has_no_finding_above_a_note(tmp_path: Path, name: str, settings: Settings) -> None:
    template = (TEMPLATES / f"{name}.jinja").read_text(encoding="utf-8")
    diagnosis = diagnosed(write_folder(tmp_path / "model", template, settings))
    assert [one for one in diagnosis.findings if one.severity != "note"] == []
    assert diagnosis.checks == tuple(check.name for check in CHECKS)


@pytest.mark.parametrize("code", TEMPLATE_FAULTS)
def test_a_planted_fault_of_the_template_is_found_alone(tmp_path: Path, code: str) -> None:
    diagnosis = diagnosed(write_folder(tmp_path / "model", TEMPLATE_FAULTS[code]))
    assert [one.code for one in diagnosis.findings] == [code]


@pytest.mark.parametrize("code", SETTING_FAULTS)
def test_a_planted_fault_of_the_settings_is_found_alone(tmp_path: Path, code: str) -> None:
    diagnosis = diagnosed(write_folder(tmp_path / "model", CHATML, SETTING_FAULTS[code]))
    assert [one.code for one in diagnosis.findings] == [code]


@pytest.mark.parametrize(("context", "severity"), [(300, "error"), (480, "warning")])
def test_a_context_too_short_only_for_some_prompts_is_no_more_than_a_warning(
    tmp_path: Path, context: int, severity: str
) -> None:
    (finding,) = diagnosed(write_folder(tmp_path / "model", CHATML, Settings(context=context))).findings
    assert (finding.code, finding.severity) == ("context_too_short", severity)


def test_a_context_is_known_by_the_name_that_its_family_has_for_it(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "model", CHATML)
    (folder / "config.json").write_text('{"model_type": "gpt2", "n_positions": 300}')
    (finding,) = diagnosed(folder).findings
    assert finding.code == "context_too_short"


def test_a_doubled_beginning_is_found_alone(tmp_path: Path) -> None:
    template = "{{ bos_token }}" + (TEMPLATES / "headers.jinja").read_text(encoding="utf-8")
    settings = replace(_HEADERS, adds_bos=False)
    assert [one.code for one in diagnosed(write_folder(tmp_path / "model", template, settings)).findings] == [
        "bos_twice"
    ]


def test_a_folder_without_a_template_gets_one_finding_and_no_further_check(tmp_path: Path) -> None:
    diagnosis = diagnosed(write_folder(tmp_path / "model", None))
    assert ([one.code for one in diagnosis.findings], diagnosis.checks) == (["no_template"], ("template",))


def test_a_context_that_nothing_tells_is_only_noted(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "model", CHATML)
    (folder / "config.json").write_text('{"model_type": "llama"}')
    (finding,) = diagnosed(folder).findings
    assert (finding.code, finding.severity) == ("context_unknown", "note")


def write_named(path: Path, **templates: str) -> Path:
    folder = write_folder(path, None)
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    named = [{"name": name, "template": text} for name, text in templates.items()]
    (folder / "tokenizer_config.json").write_text(json.dumps(settings | {"chat_template": named}))
    return folder


def test_several_named_templates_are_noted_and_examined(tmp_path: Path) -> None:
    diagnosis = diagnosed(
        write_named(tmp_path / "model", default=changed("{%- if tools %}", "{%- if false %}"), tool_use=CHATML)
    )
    (finding,) = diagnosis.findings
    assert (finding.code, finding.severity) == ("several_templates", "note")
    assert "definitions" in diagnosis.checks


def test_a_template_for_functions_that_leaves_them_out_is_found_among_several(tmp_path: Path) -> None:
    folder = write_named(tmp_path / "model", default=CHATML, tool_use=changed("{%- if tools %}", "{%- if false %}"))
    assert "no_tools_branch" in [one.code for one in diagnosed(folder).findings]


def test_templates_without_a_default_are_refused_by_their_names(tmp_path: Path) -> None:
    findings = diagnosed(write_named(tmp_path / "model", tool_use=CHATML, rag=CHATML)).findings
    broken = next(one for one in findings if one.code == "template_broken")
    assert "rag, tool_use" in broken.evidence


def test_a_tokenizer_that_marks_beginnings_raises_no_finding_where_answers_are_encoded_in_their_place(
    tmp_path: Path,
) -> None:
    folder = write_folder(tmp_path / "model", CHATML)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.normalizer = normalizers.Prepend("Ġ")
    tokenizer.save(str(folder / "tokenizer.json"))
    assert "boundary_merges" not in [one.code for one in diagnosed(folder).findings]


def test_arguments_written_as_json_within_a_string_are_found(tmp_path: Path) -> None:
    template = changed("(call.function.arguments | tojson)", "(call.function.arguments | tojson | tojson)")
    assert [one.code for one in diagnosed(write_folder(tmp_path / "model", template)).findings] == ["arguments_garbled"]


def test_what_only_functions_need_is_not_asked_of_a_model_whose_calls_are_text(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "model", changed("{%- if tools %}", "{%- if false %}"))
    diagnosis = diagnosed(folder, Request(REQUEST.conversations[:1]))
    assert diagnosis.findings == ()
    assert "definitions" not in diagnosis.checks


def test_refusing_an_order_that_the_protocol_needs_is_an_error(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "model", TEMPLATE_FAULTS["demands_alternation"])
    twice = Conversation("two in a row", ({"role": "user", "content": "One."}, {"role": "user", "content": "Two."}))
    (finding,) = diagnosed(folder, Request((twice,))).findings
    assert (finding.code, finding.severity) == ("demands_alternation", "error")


def test_prompts_are_counted_and_rendered_up_to_the_answer(tmp_path: Path) -> None:
    diagnosis = diagnosed(write_folder(tmp_path / "model", CHATML))
    assert [one.name for one in diagnosis.renderings] == ["calls as text", "native calls"]
    assert all(one.text.endswith("<|im_start|>assistant\n") for one in diagnosis.renderings)
    assert diagnosis.num_prompt_tokens == max(len(one.token_ids) for one in diagnosis.renderings)
    assert "attempt_completion" not in diagnosis.renderings[0].text


def test_the_guide_lists_every_finding() -> None:
    root = Path(__file__).parents[4]
    probe = (root / "services/test_runner/backends/served_template.py").read_text(encoding="utf-8")
    codes = {*TABLE, *re.findall(r'Finding\(\s*"(\w+)"', probe)}
    guide = (root / "docs" / "training" / "doctor.md").read_text(encoding="utf-8")
    assert set(TEMPLATE_FAULTS) | set(SETTING_FAULTS) <= codes
    assert sorted(codes) == sorted(re.findall(r"^\| `(\w+)` \|", guide, re.MULTILINE))
