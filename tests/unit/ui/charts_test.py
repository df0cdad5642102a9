"""The geometry of curves."""

import math

from drillyard.evaluator.v1.metrics_pb2 import Rates
from hypothesis import given
from hypothesis import strategies as st

from ui.shared.charts import HEIGHT, WIDTH, line_chart, number, tool_rows


def test_a_curve_begins_at_the_left_and_ends_at_the_right() -> None:
    chart = line_chart([(1, 2.0), (2, 1.0), (11, 0.5)])
    assert [round(dot[0]) for dot in chart.dots] == [round(chart.left), round(chart.left + 28), round(chart.right)]
    assert chart.last == "0.5"
    assert [tick.label for tick in chart.x_ticks] == ["1", "6", "11"]


def test_the_axis_of_a_rate_is_always_from_nothing_to_all() -> None:
    chart = line_chart([(1, 0.2), (2, 0.3)], is_rate=True)
    assert [tick.label for tick in chart.y_ticks] == ["0", "0.5", "1"]


@given(st.lists(st.tuples(st.integers(1, 10_000), st.floats(allow_nan=True, allow_infinity=True)), min_size=1))
def test_no_value_leaves_the_picture_or_breaks_it(points: list[tuple[int, float]]) -> None:
    points = [(step, value) for step, value in sorted(points) if not math.isfinite(value) or abs(value) < 1e100]
    chart = line_chart(points or [(1, math.nan)])
    assert "nan" not in chart.path
    assert "inf" not in chart.path
    for x, y, _ in chart.dots:
        assert -0.01 <= x <= WIDTH + 0.01
        assert -0.01 <= y <= HEIGHT + 0.01


def test_numbers_read_well() -> None:
    read = [number(value) for value in (0, 1e-3, 5e-4, 2.71e-4, 0.5, 12.345, 1234.5)]
    assert read == ["0", "0.001", "5e-4", "2.7e-4", "0.5", "12.3", "1,234"]


def test_a_tool_that_one_side_lacks_counts_as_nothing_there() -> None:
    rates = Rates(num_cases=10, conforming_rate=0.5)
    rows = tool_rows({"a": rates}, {"b": rates})
    assert [(row.tool, row.before, row.after) for row in rows] == [("a", 0.5, 0.0), ("b", 0.0, 0.5)]
