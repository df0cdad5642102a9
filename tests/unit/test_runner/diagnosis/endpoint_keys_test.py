"""Keys of endpoints by the name of a secret."""

from pathlib import Path

import pytest

from services.chassis.errors import FailedPrecondition, InvalidArgument
from services.test_runner.backends.openai_endpoint.policy import EndpointKeys


def test_a_key_comes_from_the_file_of_its_name(tmp_path: Path) -> None:
    (tmp_path / "vllm").write_text("k-123\n")
    assert EndpointKeys(tmp_path, {"TEST_RUNNER_SECRET_VLLM": "other"}).key_of("vllm") == "k-123"


def test_without_a_file_a_key_comes_from_the_environment(tmp_path: Path) -> None:
    assert EndpointKeys(tmp_path, {"TEST_RUNNER_SECRET_MY_KEY": "k-9"}).key_of("my-key") == "k-9"
    assert EndpointKeys(None, {"TEST_RUNNER_SECRET_MY_KEY": "k-9"}).key_of("my-key") == "k-9"


def test_a_secret_that_is_not_there_is_named_with_where_to_put_it(tmp_path: Path) -> None:
    with pytest.raises(FailedPrecondition, match="TEST_RUNNER_SECRET_VLLM"):
        EndpointKeys(tmp_path, {}).key_of("vllm")


@pytest.mark.parametrize("name", ["../passwd", "", ".hidden", "a/b", "a b", "x" * 65, "sk-live\n"])
def test_a_name_that_leads_elsewhere_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidArgument, match="secret"):
        EndpointKeys(tmp_path, {}).key_of(name)
