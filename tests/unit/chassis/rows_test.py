"""Dataclasses as rows of tables, and back."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from sqlalchemy import JSON, Column, DateTime, MetaData, String, Table

from services.chassis.database import item_of, row_of


class Colour(StrEnum):
    RED = "red"


@dataclass(frozen=True)
class Ball:
    name: str
    time: datetime
    tags: tuple[str, ...] = ()
    colour: Colour | None = None
    weight: int = 3


BALLS = Table(
    "balls",
    MetaData(),
    Column("owner", String),
    Column("name", String),
    Column("time", DateTime),
    Column("tags", JSON),
    Column("colour", String),
)
NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


def test_fields_without_a_column_stay_out_and_enums_are_their_value() -> None:
    ball = Ball("b", NOON, ("x",), Colour.RED)
    row = row_of(ball, BALLS, owner="me")
    assert row == {"owner": "me", "name": "b", "time": NOON, "tags": ["x"], "colour": "red"}
    assert type(row["colour"]) is str


def test_a_row_is_read_by_the_types_of_the_fields() -> None:
    row = {"owner": "me", "name": "b", "time": NOON.replace(tzinfo=None), "tags": ["x"], "colour": "red"}
    assert item_of(Ball, row, weight=4) == Ball("b", NOON, ("x",), Colour.RED, 4)
    assert item_of(Ball, {**row, "colour": None}, name="other", weight=3) == Ball("other", NOON, ("x",))
