"""An answer that is held to a JSON schema fits it, whatever the model would rather write."""

import json
from functools import reduce
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import torch

from services.lm.errors import InvalidChat
from services.lm.generation import engine as engine_module
from services.lm.generation.engine import Engine
from services.lm.generation.requests import GenerationRequest, GenerationResult, ResultOptions
from services.lm.loading import LoadedModel, load
from services.lm.tiny import write_tiny_model
from services.lm.worker_protocol import Sampling

PROMPT = list(range(5, 60))
SCHEMA = {
    "type": "object",
    "properties": {
        "city": {"enum": ["Oslo", "Bergen"]},
        "days": {"type": "integer", "minimum": 1, "maximum": 9},
        "tags": {"type": "array", "items": {"$ref": "#/$defs/tag"}, "maxItems": 2},
    },
    "required": ["city", "days", "tags"],
    "additionalProperties": False,
    "$defs": {"tag": {"type": "string", "maxLength": 5, "pattern": "^[a-z]*$"}},
}


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    folder: Path = tmp_path_factory.mktemp("constraint") / "model"
    write_tiny_model(folder, max_positions=400)
    loaded = load(folder, dtype="float32")
    source = torch.Generator().manual_seed(11)
    for parameter in loaded.model.parameters():
        if parameter.dim() > 1:
            parameter.copy_(torch.randn(parameter.shape, generator=source) * 0.25)
    return loaded


def _request(schema: Any = SCHEMA, key: str = "held", **more: Any) -> GenerationRequest:
    return GenerationRequest(key, PROMPT, 200, json_schema=json.dumps(schema) if schema else "", **more)


def _answers(
    loaded: LoadedModel, *requests: GenerationRequest, temperature: float = 0.0
) -> dict[str, GenerationResult]:
    options = ResultOptions(scores=True)
    results = Engine(loaded).generate(requests, Sampling(temperature=temperature), options=options)
    return {result.key: result for result in results}


@pytest.mark.parametrize("temperature", [0.0, 1.5])
def test_it_fits_and_ends_and_free_answers_beside_it_stay_what_they_are(
    loaded: LoadedModel, temperature: float
) -> None:
    free = _request(None, key="free")
    alone = _answers(loaded, free, temperature=temperature)["free"]
    answers = _answers(loaded, _request(), free, temperature=temperature)
    jsonschema.validate(json.loads(answers["held"].text), SCHEMA)
    assert answers["held"].finish_reason == "stop"
    assert (answers["free"].text, answers["free"].token_ids) == (alone.text, alone.token_ids)


def test_log_probabilities_are_the_models_own(loaded: LoadedModel) -> None:
    answer = _answers(loaded, _request({"const": "Oslo"}))["held"]
    assert answer.text == '"Oslo"' and len(answer.scores.log_probs) == len(answer.token_ids)
    # Nothing else could be written, which to the model was far from certain.
    assert sum(answer.scores.log_probs) < -1.0


def test_it_is_held_where_transformers_alone_computes(loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    together = _answers(loaded, _request())["held"].text
    monkeypatch.setattr(engine_module, "why_whole", lambda model, longest: "a test")
    assert _answers(loaded, _request())["held"].text == together


def test_a_format_that_nobody_knows_says_nothing(loaded: LoadedModel) -> None:
    path = {"type": "string", "format": "path", "maxLength": 5}
    schema = {
        "type": "object",
        "properties": {"a": path, "b": path | {"format": "int32"}, "c": {"const": {"format": "path"}}},
        "required": ["a", "b", "c"],
        "additionalProperties": False,
    }
    written = json.loads(_answers(loaded, _request(schema))["held"].text)
    jsonschema.validate(written, schema)
    assert written["c"] == {"format": "path"}


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ({"type": "frob"}, "frob"),
        ({"type": "array", "uniqueItems": True}, "uniqueItems"),
        ({"enum": [2**60]}, "2\\^53"),
        ([1], "no object"),
        ({"allOf": [{"type": "integer", "multipleOf": 1009}, {"multipleOf": 1013}]}, "multiples of 1022117"),
        ({"const": "\ud800"}, "serializable"),
        (reduce(lambda inner, _: {"items": inner}, range(200), {}), "recursion"),
        ({"anyOf": [{"type": "string", "format": f"f{place}"} for place in range(17)]}, "more than 16 formats"),
    ],
)
def test_a_schema_that_cannot_be_followed_is_refused_by_name(loaded: LoadedModel, schema: Any, said: str) -> None:
    with pytest.raises(InvalidChat, match=said):
        _answers(loaded, _request(schema))


def test_what_is_no_json_is_no_schema(loaded: LoadedModel) -> None:
    with pytest.raises(InvalidChat, match="no JSON"):
        _answers(loaded, GenerationRequest("held", PROMPT, 8, json_schema="{"))
