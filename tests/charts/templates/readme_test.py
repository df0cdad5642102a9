"""The chart's README says what its values say, and every value says what it is."""

from __future__ import annotations

import yaml

from tests.charts.templates.readme import README, readme, values_of
from tests.charts.tools import CHART

TEXT = (CHART / "values.yaml").read_text()


def test_the_readme_is_made_from_the_values() -> None:
    assert README.read_text() == readme(), "run python -m tests.charts.templates.readme"


def test_every_default_is_told_under_its_path() -> None:
    told = {value.path: yaml.safe_load(value.default) for value in values_of(TEXT) if value.default is not None}
    everything = yaml.safe_load(TEXT)
    for path, default in told.items():
        found = everything
        for key in path.split("."):
            found = found[key]
        assert found == default, path
    assert {path.partition(".")[0] for path in told} == set(everything)
