"""When schedules are due, over changes of the clocks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from services.chassis.errors import InvalidArgument
from services.feedback.domain.schedules.timing import Timing

BERLIN = Timing(0, "02:30", "Europe/Berlin")
START = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)


def dues(timing: Timing, after: datetime, number: int) -> list[str]:
    times = []
    for _ in range(number):
        after = timing.next_due(START, after)
        times.append(f"{after:%d.%m. %H:%M}")
    return times


def test_hours_count_from_the_creation_and_no_clock_change_moves_them() -> None:
    timing = Timing(6, "", "Europe/Berlin")
    assert timing.next_due(START, START) == START + timedelta(hours=6)
    assert dues(timing, datetime(2026, 3, 28, 23, 59, tzinfo=UTC), 3) == [
        "29.03. 00:00",
        "29.03. 06:00",
        "29.03. 12:00",
    ]
    # A clock that stands before the creation does not make a due time before it.
    assert timing.next_due(START, START - timedelta(days=9)) == START + timedelta(hours=6)


def test_a_daily_time_keeps_to_the_clock_on_the_wall() -> None:
    # UTC+1 in winter, UTC+2 in summer.
    assert dues(BERLIN, datetime(2026, 2, 1, tzinfo=UTC), 1) == ["01.02. 01:30"]
    assert dues(BERLIN, datetime(2026, 7, 1, tzinfo=UTC), 1) == ["01.07. 00:30"]


def test_a_time_that_the_clocks_leap_over_is_due_as_much_later_and_once() -> None:
    # On 29 March 02:30 does not exist: 03:30 summer time is 01:30 UTC.
    assert dues(BERLIN, datetime(2026, 3, 28, 12, tzinfo=UTC), 2) == ["29.03. 01:30", "30.03. 00:30"]


def test_a_time_that_comes_twice_is_due_at_the_first_of_the_two() -> None:
    # On 25 October 02:30 comes at 00:30 UTC and at 01:30 UTC.
    assert dues(BERLIN, datetime(2026, 10, 24, 12, tzinfo=UTC), 2) == ["25.10. 00:30", "26.10. 01:30"]


@pytest.mark.parametrize(("timing", "number"), [(Timing(6, "", "UTC"), 8), (Timing(0, "23:59", "Asia/Kolkata"), 2)])
def test_due_times_that_passed_are_counted(timing: Timing, number: int) -> None:
    due = timing.next_due(START, START)
    assert timing.num_due(START, due, due) == 0
    assert timing.num_due(START, due, due + timedelta(days=2)) == number


@pytest.mark.parametrize(
    ("timing", "field"),
    [
        (Timing(0, "", "UTC"), "every_hours"),
        (Timing(6, "02:30", "UTC"), "every_hours"),
        (Timing(0, "24:00", "UTC"), "daily_time"),
        (Timing(0, "2:30", "UTC"), "daily_time"),
        (Timing(0, "02:30", "Europe/Atlantis"), "time_zone"),
        (Timing(0, "02:30", "../../etc/passwd"), "time_zone"),
        (Timing(0, "02:30", "Europe"), "time_zone"),
    ],
)
def test_a_timing_that_nobody_can_keep_is_refused_by_the_name_of_its_field(timing: Timing, field: str) -> None:
    with pytest.raises(InvalidArgument) as raised:
        timing.check()
    assert raised.value.fields["field"] == f"spec.{field}"
