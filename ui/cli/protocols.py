"""`drillyard protocols`: list the protocol profiles, and check them against conformance vectors."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ui.cli.options import JsonFlag
from ui.cli.output import EXIT_FAILED, fail, print_table, show

if TYPE_CHECKING:
    from services.protocols.suites.vectors import FileReport

app = typer.Typer(help="List the protocol profiles, and check them against recorded vectors.", no_args_is_help=True)

_MAX_SHOWN = 3


@app.command("list")
def list_profiles(as_json: JsonFlag = False) -> None:
    """List the profiles that can be used, and say what is wrong with those that cannot."""
    from services.protocols.profile import broken_profiles, distribution_of, get_profile, profile_ids

    profiles = [
        {
            "profile_id": profile.id,
            "version": profile.version,
            "digest": profile.digest,
            "prompt_sizes": list(profile.prompt_sizes),
            "vector_operations": list(profile.vector_operations),
            "distribution": distribution_of(profile.id),
        }
        for profile in map(get_profile, profile_ids())
    ]
    problems = [str(problem) for problem in broken_profiles()]

    def table() -> None:
        columns = ("profile", "version", "from", "prompts", "digest")
        rows = [
            (
                profile["profile_id"],
                profile["version"],
                profile["distribution"] or "the product",
                ", ".join(profile["prompt_sizes"]),
                profile["digest"],
            )
            for profile in profiles
        ]
        print_table("Protocol profiles", columns, rows, empty="No profile.")
        for problem in problems:
            print(problem)

    show({"profiles": profiles, "problems": problems}, as_json=as_json, table=table)


@app.command("check")
def check(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="`…/<profile>/<operation>.jsonl` below it, or one file.")
    ],
    as_json: JsonFlag = False,
) -> None:
    """Run every vector below DIR; the exit status is not 0 when one fails or a line cannot be read."""
    result = _files(folder, as_json=as_json)
    reports = list(_reports(result, as_json=as_json))
    body = {
        "passed": sum(report.num_passed for _, report in reports),
        "failed": sum(report.num_failed for _, report in reports),
        "unread": sum(len(report.unread) for _, report in reports),
        "files": [_document(path, report) for path, report in reports],
    }
    show(body, as_json=as_json, table=lambda: _print(body))
    if body["failed"] or body["unread"]:
        raise typer.Exit(EXIT_FAILED)


def _files(folder: Path, *, as_json: bool) -> list[Path]:
    result = [folder] if folder.is_file() else sorted(folder.rglob("*.jsonl"))
    if not result:
        there = f"{folder} holds no .jsonl file" if folder.is_dir() else f"{folder} is not there"
        fail("NOT_FOUND", f"{there}.", "Name a folder of `<profile>/<operation>.jsonl` files.", as_json=as_json)
    return result


def _reports(paths: list[Path], *, as_json: bool) -> Iterator[tuple[Path, FileReport]]:
    from services.protocols.suites.vectors import check_vectors

    for path in paths:
        place = path.resolve()
        try:
            content = path.read_bytes()
        except OSError as error:
            fail("NOT_FOUND", f"{path} cannot be read: {error.strerror}.", "Make it readable.", as_json=as_json)
        yield path, check_vectors(content, profile_id=place.parent.name, operation=place.stem)


def _document(path: Path, report: FileReport) -> dict[str, Any]:
    return {
        "file": str(path),
        "profile": report.profile,
        "operation": report.operation,
        "passed": report.num_passed,
        "failed": report.num_failed,
        "families": {
            family: {"passed": passed, "failed": failed} for family, (passed, failed) in report.families.items()
        },
        "differences": [asdict(difference) for difference in report.differences],
        "unread": [asdict(line) for line in report.unread],
    }


def _print(body: dict[str, Any]) -> None:
    rows = [
        (file["file"], family, count["passed"], count["failed"])
        for file in body["files"]
        for family, count in (("all", {"passed": file["passed"], "failed": file["failed"]}), *file["families"].items())
    ]
    print_table("Conformance vectors", ("file", "family", "passed", "failed"), rows, empty="No vector.")
    for file in body["files"]:
        for line in file["unread"][:_MAX_SHOWN]:
            print(f"{file['file']}:{line['line']}: not read: {_plain(line['problem'])}")
        _more(file["unread"], "lines were not read")
        for difference in file["differences"][:_MAX_SHOWN]:
            print(f"{file['file']}:{difference['line']}: {_plain(_sentence(difference))}")
        _more(file["differences"], "vectors failed")
    print(f"{body['passed']} passed, {body['failed']} failed, {body['unread']} lines not read.")


def _sentence(difference: dict[str, Any]) -> str:
    place = f"{difference['vector_id']} at {difference['place']}"
    return f"{place}: expected {difference['expected']}, got {difference['got']}"


def _more(listed: list[Any], what: str) -> None:
    if len(listed) > _MAX_SHOWN:
        print(f"  … and {len(listed) - _MAX_SHOWN} more {what}")


def _plain(text: str) -> str:
    return "".join(item if item.isprintable() else f"\\x{ord(item):02x}" for item in text)
