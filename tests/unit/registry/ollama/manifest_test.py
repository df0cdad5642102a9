import json

import pytest

from services.chassis.errors import InvalidArgument
from services.registry.ollama.manifest import CONFIG_TYPE, LAYER_PREFIX, Layer, Manifest, gguf_layers, read_manifest

DIGEST = "sha256:" + "ab" * 32


def manifest(*kinds: str) -> Manifest:
    return Manifest(Layer(CONFIG_TYPE, DIGEST, 2), tuple(Layer(LAYER_PREFIX + kind, DIGEST, 1) for kind in kinds))


def test_a_manifest_survives_the_wire() -> None:
    assert read_manifest(manifest("model", "template").to_bytes()) == manifest("model", "template")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("schemaVersion", 1),
        ("layers", {}),
        ("layers", None),
        ("config", {"mediaType": CONFIG_TYPE, "digest": "sha256:../../x", "size": 1}),
        ("config", {"mediaType": CONFIG_TYPE, "digest": DIGEST.upper(), "size": 1}),
        ("config", {"mediaType": CONFIG_TYPE, "digest": DIGEST, "size": -1}),
        ("config", {"mediaType": CONFIG_TYPE, "digest": DIGEST, "size": True}),
        ("config", {"mediaType": CONFIG_TYPE, "digest": DIGEST}),
    ],
)
def test_a_manifest_that_could_name_another_file_is_refused(key: str, value: object) -> None:
    document = json.loads(manifest("model").to_bytes()) | {key: value}
    with pytest.raises(InvalidArgument, match="no manifest"):
        read_manifest(json.dumps(document).encode())


@pytest.mark.parametrize("content", [b"<html>", b"[]", b"[" * 100_000, b'{"config":1,"layers":[]}'])
def test_what_is_no_manifest_is_refused(content: bytes) -> None:
    with pytest.raises(InvalidArgument, match="no manifest"):
        read_manifest(content)


@pytest.mark.parametrize(
    ("kinds", "words"),
    [
        (("tensor", "tensor", "json"), "tensor by tensor"),
        (("model", "adapter"), "an adapter on top"),
        (("template", "license"), "holds no GGUF"),
    ],
)
def test_a_model_that_cannot_be_imported_is_refused_with_the_reason(kinds: tuple[str, ...], words: str) -> None:
    with pytest.raises(InvalidArgument, match=words):
        gguf_layers(manifest(*kinds))


def test_what_serves_no_text_is_left_aside_with_a_note() -> None:
    layers, notes = gguf_layers(manifest("model", "projector", "draft", "template"))
    assert [layer.kind for layer in layers] == ["model"]
    assert [note.split(" is left")[0] for note in notes] == [
        "The part that looks at images or hears sound",
        "The draft model that guesses ahead",
    ]
