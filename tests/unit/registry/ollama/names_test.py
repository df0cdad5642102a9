import pytest

from services.chassis.errors import InvalidArgument
from services.registry.ollama.names import OllamaName, parse_name

HUB = "registry.ollama.ai"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("qwen3", OllamaName(HUB, "library", "qwen3", "latest")),
        ("qwen3:0.6b", OllamaName(HUB, "library", "qwen3", "0.6b")),
        ("me/roo-coder:Q4_K_M", OllamaName(HUB, "me", "roo-coder", "Q4_K_M")),
        ("host.example:5000/me/roo", OllamaName("host.example:5000", "me", "roo", "latest")),
        ("127.0.0.1:5000/library/_x:1", OllamaName("127.0.0.1:5000", "library", "_x", "1", "http")),
        ("localhost/a/b", OllamaName("localhost", "a", "b", "latest", "http")),
        ("https://localhost/a/b", OllamaName("localhost", "a", "b", "latest")),
        ("http://host.example/a/b", OllamaName("host.example", "a", "b", "latest", "http")),
        (f"{'h' * 350}/{'n' * 80}/{'m' * 80}:{'t' * 80}", OllamaName("h" * 350, "n" * 80, "m" * 80, "t" * 80)),
    ],
)
def test_a_name_gets_the_parts_that_it_leaves_out(text: str, name: OllamaName) -> None:
    assert parse_name(text) == name


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "empty"),
        ("a//b", "empty"),
        ("/b", "empty"),
        ("a/b/c/d", "more parts"),
        ("qwen3:", "no tag"),
        ("qwen3:a:b", "no tag"),
        ("qwen3:-x", "no tag"),
        ("../x", "no namespace"),
        ("my.self/x", "no namespace"),
        ("host:5000/x", "no namespace"),
        ("-x", "no name"),
        (".hidden", "no name"),
        ("a b", "no name"),
        ("größe", "no name"),
        ("x\n", "no name"),
        ("sha256@x", "no name"),
        ("ho st/a/b", "no host"),
        (f"{'h' * 351}/a/b", "no host"),
        (f"{'n' * 81}/b", "no namespace"),
        ("m" * 81, "no name"),
        (f"m:{'t' * 81}", "no tag"),
    ],
)
def test_a_name_with_a_wrong_part_is_refused_by_that_part(text: str, part: str) -> None:
    with pytest.raises(InvalidArgument, match=part):
        parse_name(text)
