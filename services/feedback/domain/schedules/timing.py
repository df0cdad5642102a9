"""When a schedule is due: every so many hours, or at a time of day in a time zone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from itertools import count, takewhile
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from services.chassis.errors import InvalidArgument

_TIME_OF_DAY = re.compile("([01][0-9]|2[0-3]):[0-5][0-9]")


@dataclass(frozen=True)
class Timing:
    """Either hours between due times, or a time of day; times are aware and in UTC.

    Attributes:
        every_hours: Elapsed hours, counted from the creation; 0 for a daily time.
        daily_time: Such as "02:30"; empty for none.
        time_zone: Of `daily_time`, by its IANA name.
    """

    every_hours: int
    daily_time: str
    time_zone: str

    def check(self) -> None:
        """Raise InvalidArgument, which names the field, unless it is one of the two."""
        if bool(self.every_hours) is bool(self.daily_time):
            raise InvalidArgument(
                "A schedule needs either hours or a daily time.",
                'Set every_hours, such as 6, or daily_time, such as "02:30".',
                field="spec.every_hours",
            )
        if self.daily_time and not _TIME_OF_DAY.fullmatch(self.daily_time):
            raise InvalidArgument(
                f"The daily time is {self.daily_time!a}.",
                'Write hours and minutes of 24 hours, such as "02:30".',
                field="spec.daily_time",
            )
        try:
            ZoneInfo(self.time_zone)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise InvalidArgument(
                f"There is no time zone {self.time_zone!a}.",
                'Use an IANA name such as "Europe/Berlin", or UTC.',
                field="spec.time_zone",
            ) from error

    def next_due(self, start: datetime, after: datetime) -> datetime:
        """Return the first due time later than `after`.

        Args:
            start: When the schedule was made.
            after: The moment.
        """
        return next(self._due_times(start, after))

    def num_due(self, start: datetime, after: datetime, until: datetime) -> int:
        """Return how many due times are later than `after` and not later than `until`."""
        return sum(1 for _ in takewhile(lambda due: due <= until, self._due_times(start, after)))

    @property
    def words(self) -> str:
        """When it is due, such as "daily at 02:30 (Europe/Berlin)"."""
        if self.daily_time:
            return f"daily at {self.daily_time} ({self.time_zone})"
        return f"every {self.every_hours} hours" if self.every_hours > 1 else "every hour"

    def _due_times(self, start: datetime, after: datetime) -> Iterator[datetime]:
        if self.every_hours:
            period = timedelta(hours=self.every_hours)
            first = max((after - start) // period + 1, 1)
            return (start + number * period for number in count(first))
        zone = ZoneInfo(self.time_zone)
        day = after.astimezone(zone).date()
        days = (self._due_on(day + timedelta(days=number), zone) for number in count(-1))
        return (due for due in days if due > after)

    def _due_on(self, day: date, zone: ZoneInfo) -> datetime:
        # Of a time that comes twice `fold=0` is the first, and one that is leapt over is read by the clock of before.
        return datetime.combine(day, time.fromisoformat(self.daily_time), zone).replace(fold=0).astimezone(UTC)
