import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.protocols import profile as profiles
from services.protocols.contract import source_digest
from services.protocols.profile import (
    BUILT_IN,
    BrokenProfile,
    UnknownProfile,
    broken_profiles,
    distribution_of,
    get_profile,
    profile_ids,
)
from tests.machine import PATIENCE_SECONDS

ROOT = Path(__file__).resolve().parents[3]
EXAMPLE = ROOT / "docs" / "examples" / "cline_profile"

GOOD = """
from services.protocols.openai_tools.profile import OpenAiTools
class Good(OpenAiTools):
    id = "good"
    version = "7"
    packages = ("good_profile",)
PROFILE = Good()
"""


def install(site: Path, distribution: str, module: str, source: str, *names: str) -> None:
    folder = site / f"{distribution.replace('-', '_')}-1.0.dist-info"
    folder.mkdir(parents=True)
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
    entries = "".join(f"{name} = {module}:PROFILE\n" for name in names)
    (folder / "entry_points.txt").write_text(f"[drillyard.profiles]\n{entries}")
    (site / f"{module}.py").write_text(source)


def run(code: str, *paths: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={"PYTHONPATH": ":".join(map(str, (ROOT, *paths)))},
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_SECONDS,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.syspath_prepend(str(tmp_path))
    profiles._offers.cache_clear()
    profiles._installed.cache_clear()
    yield tmp_path
    profiles._offers.cache_clear()
    profiles._installed.cache_clear()


def test_a_broken_profile_names_its_distribution_and_breaks_no_other(site: Path) -> None:
    install(site, "torn-one", "torn_profile", "raise RuntimeError('torn')", "torn")
    install(site, "empty-one", "empty_profile", "PROFILE = object()", "empty")
    install(site, "mis-named", "misnamed_profile", GOOD.replace("good_profile", "json"), "misnamed", "roo_xml")
    install(site, "first-twin", "twin_one", GOOD, "twice")
    install(site, "second-twin", "twin_two", GOOD, "twice")
    install(site, "good-one", "good_profile", GOOD, "good")
    assert profile_ids() == (*BUILT_IN, "good")
    assert sorted(error.profile_id for error in broken_profiles()) == ["empty", "misnamed", "roo_xml", "torn", "twice"]
    for profile_id, distribution, problem in (
        ("torn", "torn-one", "RuntimeError: torn"),
        ("empty", "empty-one", "it lacks id, version"),
        ("misnamed", "mis-named", "its own id is 'good'"),
        ("twice", "first-twin, second-twin", "more than one distribution"),
    ):
        with pytest.raises(BrokenProfile, match=problem) as caught:
            get_profile(profile_id)
        assert caught.value.distribution == distribution
    good = get_profile("good")
    assert (good.version, distribution_of("good")) == ("7", "good-one")
    assert good.digest not in (get_profile("openai_tools").digest, get_profile("roo_xml").digest)
    assert get_profile("roo_xml").id == "roo_xml"
    assert distribution_of("nobody") == ""


SESSION = """
import json
from services.protocols.cases import Case, CaseError, Expected, Goal
from services.protocols.profile import get_profile
from services.protocols.profile import distribution_of
from services.protocols.session import Session, judge_session
from services.protocols.turn import Answer

profile = get_profile("cline_xml")
block = "------- SEARCH\\n{}\\n=======\\ntwo\\n+++++++ REPLACE"
diff = f"<replace_in_file><path>a.py</path><diff>\\n{block}\\n</diff></replace_in_file>"
done = "<attempt_completion><result>a.py is done.</result></attempt_completion>"
case = Case("c", "k", "replace_in_file", "act", "Make it two.", Expected("replace_in_file", {"path": "a.py"},
            {"a.py": "two\\n"}), "t", diff.format("one"), files={"a.py": "  one\\n"})
profile.check_case(case)
texts = {
    "right": diff.format("one"),
    "chat": "Hello.",
    "open": diff.format("one")[:-20],
    "after": diff.format("one") + "bye",
    "two": diff.format("one") + done,
    "roo": "<apply_diff><path>a.py</path></apply_diff>",
    "no_match": diff.format("1"),
    "approval": "<execute_command><command>ls</command></execute_command>",
    "mode": "<plan_mode_respond><response>x</response></plan_mode_respond>",
    "tool": "<read_file><path>a.py</path></read_file>",
    "path": diff.format("one").replace("a.py", "b.py"),
}
verdicts = {name: profile.judge(case, Answer(text)) for name, text in texts.items()}
from dataclasses import replace
task = replace(case, max_turns=4, goal=Goal(files={"a.py": "two\\n"}, mentions=("a.py",)))
session = Session(profile, task, "compact")
for text in (texts["tool"], diff.format("one"), done):
    session.answer(Answer(text))
verdict = judge_session(profile, task, session.transcript())
print(json.dumps({
    "from": distribution_of("cline_xml"),
    "causes": {name: verdict.cause for name, verdict in verdicts.items()},
    "accepted": sorted(name for name, verdict in verdicts.items() if verdict.accepted),
    "stop": session.stop,
    "done": [verdict.conforming, verdict.sentence],
    "roles": [message["role"] for message in session.messages],
}))
"""


def test_the_worked_example_installs_by_its_entry_point_judges_and_plays(tmp_path: Path) -> None:
    options = ("--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check")
    command = [sys.executable, "-m", "pip", "install", *options, "--target", str(tmp_path), str(EXAMPLE)]
    subprocess.run(command, check=True, timeout=PATIENCE_SECONDS, capture_output=True)
    found = json.loads(run(SESSION, tmp_path))
    assert found["from"] == "drillyard-cline-profile"
    assert found["causes"] == {
        "right": None,
        "chat": "no_call",
        "open": "unclosed",
        "after": "text_after",
        "two": "several_calls",
        "roo": "no_call",
        "no_match": "effect_failed",
        "approval": "missing_parameter",
        "mode": "forbidden_tool",
        "tool": "wrong_tool",
        "path": "wrong_arguments",
    }
    assert found["accepted"] == ["after", "open", "right", "tool", "two"]
    assert (found["stop"], found["done"]) == ("completed", [True, "The task is done as it was asked for."])
    assert found["roles"] == ["system", "user", *("assistant", "user") * 2, "assistant"]


def test_built_in_profiles_need_no_look_at_what_is_installed() -> None:
    run(
        "import importlib.metadata as m; m.entry_points = None;"
        "from services.protocols.profile import get_profile; get_profile('roo_xml')"
    )


def test_no_profile_here_is_broken() -> None:
    assert broken_profiles() == ()
    assert [distribution_of(profile_id) for profile_id in BUILT_IN] == [""] * len(BUILT_IN)
    assert profile_ids()[: len(BUILT_IN)] == tuple(BUILT_IN)


def test_a_digest_follows_the_packages_that_a_profile_declares() -> None:
    with pytest.raises(ModuleNotFoundError):
        source_digest(("no_such_package",))
    one, both = source_digest(("json",)), source_digest(("json", "email"))
    assert len({one, both, source_digest(())}) == 3
    assert both == source_digest(("email", "json"))


def test_every_profile_has_its_own_digest_and_reads_its_own_references() -> None:
    digests = {get_profile(profile_id).digest for profile_id in profile_ids()}
    assert len(digests) == len(profile_ids())
    for profile_id in profile_ids():
        profile = get_profile(profile_id)
        for suite in profile.suites():
            for case in suite.cases[:5]:
                profile.check_case(case)
                assert profile.judge(case, profile.read_answer(profile.reference_answer(case))).conforming


def test_an_unknown_profile_is_refused() -> None:
    with pytest.raises(UnknownProfile, match="known profiles are: roo_xml"):
        get_profile("\0")
