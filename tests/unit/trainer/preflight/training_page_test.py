"""What docs/training/training.md shows is true: its rows can be trained on, its commands are commands."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest
import typer

from services.lm.tiny import write_tiny_model
from services.trainer.domain.spec import TrainingMethod
from services.trainer.training.examples import row_of_line
from services.trainer.training.preflight.reader import Reader
from ui.cli.__main__ import app

PAGE = (Path(__file__).resolve().parents[4] / "docs" / "training" / "training.md").read_text(encoding="utf-8")
ROWS = [
    (TrainingMethod(method), line)
    for method, block in re.findall(r"```jsonl (\w+)\n(.*?)```", PAGE, re.DOTALL)
    for line in block.splitlines()
]
COMMANDS = [line for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()]


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Reader:
    folder = tmp_path_factory.mktemp("model") / "tiny"
    write_tiny_model(folder)
    return Reader.of(folder)


def test_there_are_rows_for_each_method() -> None:
    assert {method for method, _ in ROWS} == set(TrainingMethod)
    assert len(COMMANDS) > 10


@pytest.mark.parametrize(("method", "line"), ROWS)
def test_a_row_of_the_page_can_be_trained_on(reader: Reader, method: TrainingMethod, line: str) -> None:
    row = row_of_line(line.encode(), 1)
    row.check()
    assert reader.read(row, method) is not None


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_of_the_page_is_one(line: str) -> None:
    _, *arguments = shlex.split(line)
    command: click.Command = typer.main.get_command(app)
    while isinstance(command, click.Group):
        command = command.commands[arguments.pop(0)]
    command.make_context(command.name or "", arguments)
