"""What the house has reached stays reached."""

import pytest

from tests.house import figures


def test_no_modules_import_each_other_in_a_circle() -> None:
    assert figures.circle() == []


@pytest.mark.parametrize("change", figures.CHANGES)
def test_a_change_touches_few_files(change: str) -> None:
    pattern, folders, most = figures.CHANGES[change]
    files = figures.touched_files(pattern, folders)
    assert files, "the name that stands for this change is not there any more"
    assert len(files) <= most, files


def test_fakes_stay_small() -> None:
    assert figures.num_lines("tests/fakes") <= 1300
