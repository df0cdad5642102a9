"""Keys of endpoints by the name of a secret."""

from pathlib import Path

import pytest

from services.chassis.errors import FailedPrecondition, InvalidArgument, PermissionDenied
from services.chassis.machine.secrets import Secrets
from services.test_runner.backends.openai_endpoint.policy import OperatorPolicy
from tests.unit import run_specs as specs

KEYS = Secrets("TEST_RUNNER_", None, {"TEST_RUNNER_SECRET_MY_KEY": "k-9"})


def test_a_key_comes_from_the_file_of_its_name(tmp_path: Path) -> None:
    (tmp_path / "vllm").write_text("k-123\n")
    assert Secrets("TEST_RUNNER_", tmp_path, {"TEST_RUNNER_SECRET_VLLM": "other"}).value_of("vllm", "f") == "k-123"


def test_without_a_file_a_key_comes_from_the_environment(tmp_path: Path) -> None:
    assert Secrets("TEST_RUNNER_", tmp_path, {"TEST_RUNNER_SECRET_MY_KEY": "k-9"}).value_of("my-key", "f") == "k-9"
    assert Secrets("TEST_RUNNER_", None, {"TEST_RUNNER_SECRET_MY_KEY": "k-9"}).value_of("my-key", "f") == "k-9"


def test_a_secret_that_is_not_there_is_named_with_where_to_put_it(tmp_path: Path) -> None:
    with pytest.raises(FailedPrecondition, match="TEST_RUNNER_SECRET_VLLM"):
        Secrets("TEST_RUNNER_", tmp_path, {}).value_of("vllm", "f")


@pytest.mark.parametrize("name", ["../passwd", "", ".hidden", "a/b", "a b", "x" * 65, "sk-live\n"])
def test_a_name_that_leads_elsewhere_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidArgument, match="secret"):
        Secrets("TEST_RUNNER_", tmp_path, {}).value_of(name, "f")


def key_at(url: str, hosts: tuple[str, ...] = (), key_hosts: dict[str, tuple[str, ...]] | None = None) -> str:
    policy = OperatorPolicy(hosts, KEYS, key_hosts)
    endpoint = specs.endpoint(url, "model", api_key_secret="my-key")
    policy.check(endpoint)
    return policy.key_of(endpoint)


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/v1", "http://localhost/v1", "http://[::1]/v1"])
def test_a_key_without_a_list_is_shown_to_this_machine(url: str) -> None:
    assert key_at(url) == "k-9"


@pytest.mark.parametrize("url", ["https://a.example/v1", "http://10.0.0.7/v1", "http://localhost.example/v1"])
def test_a_key_without_a_list_is_shown_to_no_other_host(url: str) -> None:
    with pytest.raises(PermissionDenied, match="TEST_RUNNER_ENDPOINT_KEY_HOSTS"):
        key_at(url)


def test_a_key_without_a_list_is_shown_to_hosts_that_the_operator_lists() -> None:
    assert key_at("https://A.example/v1", hosts=("a.Example",)) == "k-9"


def test_a_key_with_a_list_is_shown_to_its_own_hosts_alone() -> None:
    # The variable of a secret does not tell - from _, so neither does the list.
    key_hosts = {"my_key": ("a.example",)}
    assert key_at("https://a.example/v1", key_hosts=key_hosts) == "k-9"
    for url in ("https://b.example/v1", "http://127.0.0.1/v1"):
        with pytest.raises(PermissionDenied, match="may not see the secret"):
            key_at(url, hosts=("b.example", "127.0.0.1"), key_hosts=key_hosts)


def test_hosts_that_may_see_a_key_may_be_asked() -> None:
    policy = OperatorPolicy(("b.example",), KEYS, {"my-key": ("a.example",)})
    policy.check(specs.endpoint("https://a.example/v1", "model"))
    with pytest.raises(PermissionDenied, match="TEST_RUNNER_ENDPOINT_HOSTS"):
        policy.check(specs.endpoint("https://c.example/v1", "model"))
