"""`drillyard protocols`, which needs no gateway."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from services.protocols.profile import BUILT_IN, BrokenProfile
from tests.machine import PATIENCE_SECONDS
from ui.cli.__main__ import app

VECTORS = [
    {"id": f"v{number}", "family": "plain", "input": {"text": "Hi"}, "expected": {"text": text, "calls": []}}
    for number, text in enumerate(("Hi", "Hi", "Ho"))
]


def write(folder: Path, *lines: object, name: str = "openai_tools/read.jsonl") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line if isinstance(line, str) else json.dumps(line)}\n" for line in lines))
    return path


def check(*arguments: object) -> tuple[int, str, str]:
    done = CliRunner().invoke(app, ["protocols", "check", *map(str, arguments)])
    return done.exit_code, done.stdout, done.stderr


def test_all_vectors_below_a_folder_are_run(tmp_path: Path) -> None:
    write(tmp_path / "deep" / "er", *VECTORS[:2])
    write(tmp_path, VECTORS[0])
    (tmp_path / "README.md").write_text("{}")
    code, out, _ = check(tmp_path)
    assert code == 0
    assert "3 passed, 0 failed, 0 lines not read." in out


@pytest.mark.parametrize("profile", ["roo_xml", "roo_xml_classic", "roo_native"])
def test_the_clients_of_roo_are_checked_alike(tmp_path: Path, profile: str) -> None:
    given = {"tool": "write_to_file", "mode": "architect", "params": {"path": "a.py", "content": "x"}}
    refused = {"allowed": False, "code": "file_pattern"}
    write(
        tmp_path,
        {"id": "1", "family": "f", "input": given, "expected": refused},
        {"id": "2", "family": "f", "input": {**given, "mode": "code"}, "expected": refused},
        name=f"{profile}/validate.jsonl",
    )
    silent = {"used_tool": False, "codes": ["no_tool"]}
    write(
        tmp_path,
        {"id": "1", "family": "f", "input": {"text": "Hi", "calls": []}, "expected": silent},
        name=f"{profile}/turn.jsonl",
    )
    code, out, _ = check(tmp_path)
    assert code == 1
    assert "2 passed, 1 failed, 0 lines not read." in out


def test_one_folder_and_one_file_can_be_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, *VECTORS[:2])
    assert check(path)[0] == check(path.parent)[0] == 0
    monkeypatch.chdir(path.parent)
    assert json.loads(check(".", "--json")[1])["passed"] == 2
    assert json.loads(check("read.jsonl", "--json")[1])["passed"] == 2


def test_a_failure_is_shown_with_its_first_difference_and_fails_the_command(tmp_path: Path) -> None:
    path = write(tmp_path, *VECTORS)
    code, out, _ = check(tmp_path)
    assert code == 1
    assert f'{path}:3: v2 at expected.text: expected "Ho", got "Hi"' in out
    assert "2 passed, 1 failed, 0 lines not read." in out


def test_an_unread_line_is_named_and_fails_the_command(tmp_path: Path) -> None:
    path = write(tmp_path, VECTORS[0], "{nonsense\x1b[31m", VECTORS[0])
    code, out, _ = check(tmp_path)
    assert code == 1
    assert f"{path}:2: not read: not JSON" in out
    assert f"{path}:3: not read: the id 'v0' stands on line 1 too" in out
    assert "1 passed, 0 failed, 2 lines not read." in out
    assert "\x1b[31m" not in out


@pytest.mark.parametrize("name", ["nobody/read.jsonl", "openai_tools/sing.jsonl"])
def test_an_unknown_profile_or_operation_fails_the_command(tmp_path: Path, name: str) -> None:
    write(tmp_path, *VECTORS, VECTORS[0], VECTORS[0], name=name)
    code, out, _ = check(tmp_path)
    assert code == 1
    assert "0 passed, 0 failed, 5 lines not read." in out
    assert "and 2 more lines were not read" in out


def test_json_is_one_object_with_the_counts_and_the_files(tmp_path: Path) -> None:
    path = write(tmp_path, *VECTORS, "[]")
    code, out, _ = check(tmp_path, "--json")
    found = json.loads(out)
    assert (code, found["passed"], found["failed"], found["unread"]) == (1, 2, 1, 1)
    (file,) = found["files"]
    assert (file["file"], file["profile"], file["operation"]) == (str(path), "openai_tools", "read")
    assert file["families"] == {"plain": {"passed": 2, "failed": 1}}
    assert file["differences"][0]["vector_id"] == "v2"
    assert file["unread"] == [{"line": 4, "problem": "must be an object, not list"}]


def test_a_folder_without_vectors_is_an_error(tmp_path: Path) -> None:
    assert check(tmp_path)[0] == 1
    assert "holds no .jsonl file" in check(tmp_path)[2]
    assert json.loads(check(tmp_path / "nowhere", "--json")[2])["code"] == "NOT_FOUND"


def test_the_profiles_are_listed_with_what_is_wrong_with_others(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = BrokenProfile("torn", "torn-one", "ImportError: no module")
    monkeypatch.setattr("services.protocols.profile.broken_profiles", lambda: (broken,))
    table = CliRunner().invoke(app, ["protocols", "list"]).stdout
    assert all(profile_id in table for profile_id in BUILT_IN)
    assert "the profile 'torn' of the distribution torn-one cannot be used" in table
    found = json.loads(CliRunner().invoke(app, ["protocols", "list", "--json"]).stdout)
    assert [one["profile_id"] for one in found["profiles"]] == list(BUILT_IN)
    assert found["problems"] == [str(broken)]


def test_checking_loads_no_service_and_no_tensors(tmp_path: Path) -> None:
    write(tmp_path, *VECTORS[:2])
    code = (
        "import sys; from ui.cli.__main__ import app\n"
        f"app(['protocols', 'check', {str(tmp_path)!r}], standalone_mode=False)\n"
        "heavy = {'torch', 'grpc', 'transformers', 'fastapi', 'sqlalchemy'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=PATIENCE_SECONDS, capture_output=True)
