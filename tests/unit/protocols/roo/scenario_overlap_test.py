from dataclasses import replace

from services.protocols.cases import Case
from services.protocols.profile import get_profile
from services.protocols.roo_native.profile import RooNative
from services.protocols.roo_xml.profile import RooXml
from services.protocols.suites.overlap import Kind, find_overlaps
from services.protocols.turn import Answer

PROFILES = (RooXml(), RooNative())


def test_nothing_planted_goes_unseen() -> None:
    profile = get_profile("roo_xml")
    suite = list(RooXml().draw(0, 14, categories=("search_read_edit",), stock="suite"))
    clean = next(RooXml().draw(5, 1, categories=("search_read_edit",)))
    stolen = suite[0]
    planted: dict[Kind, Case] = {
        "task": replace(clean, task=stolen.task.upper()),
        "template": replace(clean, template=stolen.template),
        "arguments": replace(clean, expected=stolen.expected),
        "path": replace(clean, workspace=stolen.workspace),
        "answer": replace(clean, history=(stolen.solution[-2],)),
        "ngram": replace(clean, task=stolen.task.replace("`", "")),
    }
    for kind, case in planted.items():
        found = {overlap.kind for overlap in find_overlaps(suite, [clean, case], closed_tools=profile.closed_tools)}
        assert kind in found, kind
    assert find_overlaps(suite, [clean]) == []


def test_a_planted_solution_and_a_planted_wording_within_an_answer_are_seen() -> None:
    suite = list(RooXml().draw(0, 4, categories=("completion",), stock="suite"))
    clean = next(RooXml().draw(5, 1, categories=("completion",)))
    assert {one.kind for one in find_overlaps(suite, [replace(clean, solution=(Answer(suite[0].reference),))])} >= {
        "answer"
    }
    said = "one two three four five six seven eight"
    spoken = Answer(f"<attempt_completion>\n<result>\n{said}\n</result>\n</attempt_completion>")
    told = replace(suite[0], history=(spoken,))
    heard = replace(clean, solution=(Answer(f"{said}, nine"),))
    assert [one.text for one in find_overlaps([told], [heard]) if one.kind == "ngram"] == [said]


def test_the_form_of_an_answer_is_no_sequence_and_a_bare_call_no_answer() -> None:
    suite = next(RooXml().draw(0, 1, categories=("completion",), stock="suite"))
    clean = next(RooXml().draw(5, 1, categories=("completion",)))
    for text in (
        "<read_file>\n<args>\n<file>\n<path>\n</path>\n</file>\n</args>\n</read_file>",
        "<list_files>\n<recursive>true</recursive>\n</list_files>",
        "<apply_diff>\n<<<<<<< SEARCH\n:start_line:4\n-------\n=======\n>>>>>>> REPLACE\n</apply_diff>",
    ):
        both = (Answer(text),)
        assert find_overlaps([replace(suite, history=both)], [replace(clean, history=both)]) == []


def test_names_that_the_client_gives_are_no_paths() -> None:
    suite = next(RooXml().draw(0, 1, categories=("completion",), stock="suite"))
    clean = next(RooXml().draw(5, 1, categories=("completion",)))
    shared = {".rooignore": "x"}
    assert find_overlaps([replace(suite, files=shared)], [replace(clean, files=shared)]) == []
    named = find_overlaps([replace(suite, files={"a/.env": "x"})], [replace(clean, files={"a/.env": "y"})])
    assert [one.kind for one in named] == ["path"]
