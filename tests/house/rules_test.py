"""House rules that no linter knows."""

import ast
import importlib.util
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SERVICES = ("registry", "test_runner", "evaluator", "trainer", "feedback")
ROOMS = ("domain", "ports", "usecases", "convert", "servicer", "telemetry", "settings", "__main__", "jobs", "store")


def room_exists(service: str, room: str) -> bool:
    folder = ROOT / "services" / service
    return (folder / f"{room}.py").is_file() or (folder / room / "__init__.py").is_file()


def sources(service: str, room: str) -> list[Path]:
    folder = ROOT / "services" / service
    module = folder / f"{room}.py"
    return [module] if module.is_file() else sorted((folder / room).rglob("*.py"))


@pytest.mark.parametrize("service", SERVICES)
def test_every_service_has_the_same_rooms(service: str) -> None:
    assert [room for room in ROOMS if not room_exists(service, room)] == []


@pytest.mark.parametrize("service", SERVICES)
def test_servicers_leave_errors_to_the_interceptor(service: str) -> None:
    handlers = [
        f"{path.name}:{node.lineno}"
        for room in ("servicer", "convert")
        for path in sources(service, room)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Try)
    ]
    assert handlers == []


def test_the_environment_is_read_only_by_settings() -> None:
    allowed = re.compile(r"(settings|launcher|processes|environment)")
    readers = [
        str(path.relative_to(ROOT))
        for folder in ("services", "ui")
        for path in (ROOT / folder).rglob("*.py")
        if re.search(r"os\.(environ\[|environ\.get|getenv)", path.read_text(encoding="utf-8"))
        and not allowed.search(str(path))
    ]
    assert readers == []


# They write into a new folder that becomes visible once whole and on the disk, append to a log, or tell the kernel.
WRITERS = {
    "services/chassis/artifacts/store.py",
    "services/chassis/artifacts/tree.py",
    "services/chassis/machine/memory.py",
    "services/lm/adapters/lora.py",
    "services/lm/conversion/gguf.py",
    "services/lm/conversion/saving.py",
    "services/lm/conversion/vocabulary/tokens.py",
    "services/lm/conversion/writing/gguf_file.py",
    "services/lm/conversion/writing/model_folder.py",
    "services/lm/tiny.py",
    "services/protocols/suites/freeze.py",
    "services/registry/importers/rows/written.py",
    "services/registry/importers/source_files.py",
    "services/registry/jobs/exporters/copying.py",
    "services/trainer/backends/process_group.py",
    "services/trainer/training/checkpoint.py",
    "ui/cli/processes.py",
    "ui/models/model_uploads.py",
    "ui/openai/shadowing/answers.py",
}
WRITING = re.compile(r"\.write_(text|bytes)\(|\bopen\([^)]*[\"'][rwax]*[wax]b?\+?[\"']|json\.dump\(")


def test_files_are_written_over_only_by_the_chassis_which_does_it_atomically() -> None:
    writers = {
        path.relative_to(ROOT).as_posix()
        for folder in ("services", "ui")
        for path in (ROOT / folder).rglob("*.py")
        for line in path.read_text(encoding="utf-8").splitlines()
        if "os.fdopen" not in line and WRITING.search(line)
    }
    assert writers == WRITERS


def test_services_never_fork() -> None:
    forks = [
        str(path.relative_to(ROOT))
        for folder in ("services", "ui")
        for path in (ROOT / folder).rglob("*.py")
        if re.search(r"os\.fork\(|get_context\(.fork|set_start_method\(.fork", path.read_text(encoding="utf-8"))
    ]
    assert forks == []


def test_what_models_write_is_never_run_and_no_archive_is_ever_unpacked() -> None:
    running = re.compile(
        r"(?<![\w.])(exec|eval|compile|__import__)\(|\bsubprocess\b|create_subprocess|os\.(system|popen)|runpy"
    )
    archives = re.compile(r"\b(tarfile|zipfile|unpack_archive|extractall)\b")
    found = [
        path.relative_to(ROOT).as_posix()
        for folder, pattern in (
            *((f"services/{judge}", running) for judge in ("protocols", "evaluator")),
            *((deployable, archives) for deployable in ("services", "ui")),
        )
        for path in (ROOT / folder).rglob("*.py")
        if pattern.search(path.read_text(encoding="utf-8"))
    ]
    assert found == []


def test_contracts_live_in_the_folder_that_their_package_names() -> None:
    for path in (ROOT / "proto" / "drillyard").rglob("*.proto"):
        package = ".".join(path.parent.relative_to(ROOT / "proto").parts)
        assert f"package {package};" in path.read_text(encoding="utf-8"), path


def test_the_tests_that_the_page_on_reliability_names_are_there() -> None:
    page = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
    names = re.findall(r"`([a-z_/]+_test\.py)(?:::(\w+))?`", page)
    missing = [
        f"{path}::{name}"
        for path, name in names
        if not (ROOT / "tests" / path).is_file()
        or f"def {name}(" not in (ROOT / "tests" / path).read_text(encoding="utf-8") + "def ("
    ]
    assert len(names) > 50 and missing == []


def test_the_page_on_reliability_says_of_each_kind_of_fault_what_shows_it() -> None:
    rows = re.findall(
        r"^\| ([JCNAS]\d\d) \|[^|]+\|([^|]+)\|$", (ROOT / "docs/reliability.md").read_text(), re.MULTILINE
    )
    lasts = {"J": 19, "C": 26, "N": 11, "A": 16, "S": 15}
    ids = [f"{kind}{number:02}" for kind, last in lasts.items() for number in range(1, last + 1)]
    assert sorted(name for name, _ in rows) == sorted(name for name in ids if name not in ("C18", "C19"))
    assert [name for name, shown in rows if not re.search(r"_test\.py|`make |storm point", shown)] == []


def test_every_link_of_a_page_to_a_file_of_the_project_leads_there() -> None:
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    links = [
        (page, target)
        for page in pages
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
        if "://" not in target
    ]
    missing = [f"{page.relative_to(ROOT)}: {target}" for page, target in links if not (page.parent / target).exists()]
    assert len(links) > 50 and missing == []


@pytest.mark.parametrize("service", SERVICES)
def test_the_migrations_of_a_service_are_one_line(service: str) -> None:
    texts = [path.read_text() for path in (ROOT / "services" / service / "store" / "migrations").glob("0*.py")]
    parents = [re.findall(r"^down_revision = (.*)", text, re.MULTILINE)[0] for text in texts]
    assert len(set(parents)) == len(texts)


def test_the_modules_whose_bytecode_is_made_at_set_up_are_there() -> None:
    recipe = Path("Makefile").read_text().split("$(VENV)/.compiled:")[1].split("@touch")[0]
    modules = re.findall(r"\b(?:services|ui)[\w.]+", recipe)
    assert len(modules) >= 8
    assert [module for module in modules if importlib.util.find_spec(module) is None] == []
