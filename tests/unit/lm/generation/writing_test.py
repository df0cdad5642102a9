"""How answers are written: stop texts, pieces, guesses, samples and log-probabilities."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from services.lm.generation.engine import Engine
from services.lm.generation.grouping import common_length
from services.lm.generation.requests import GenerationRequest, Piece, ResultOptions
from services.lm.generation.sampling import Draws, choose
from services.lm.generation.sequence import AnswerText, Lookup, draft_length, run_ends
from services.lm.loading import LoadedModel, load
from services.lm.tiny import write_tiny_model
from services.lm.worker_protocol import Sampling


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    folder: Path = tmp_path_factory.mktemp("writing") / "model"
    write_tiny_model(folder, num_layers=2, max_positions=600)
    loaded = load(folder, dtype="float32")
    source = torch.Generator().manual_seed(11)
    for parameter in loaded.model.parameters():
        if parameter.dim() > 1:
            parameter.copy_(torch.randn(parameter.shape, generator=source) * 0.25)
    return loaded


def asked(count: int = 4, **changes: object) -> list[GenerationRequest]:
    prompts = [[*range(5, 60), *range(70 + index, 80 + 2 * index)] for index in range(count)]
    requests = [GenerationRequest(str(index), prompt, 30) for index, prompt in enumerate(prompts)]
    return [replace(request, **changes) for request in requests]


def transcript(loaded: LoadedModel, text: str, *stop: str) -> tuple[AnswerText, list[str]]:
    result, pieces = AnswerText(loaded.tokenizer, stop), []
    for token in loaded.tokenizer.encode(text, add_special_tokens=False):
        if not result.stop_text:
            result.add(token)
            pieces.append(result.take(is_last=False))
    result.finish()
    return result, [*pieces, result.take(is_last=True)]


def test_a_piece_never_splits_a_character(loaded: LoadedModel) -> None:
    result, pieces = transcript(loaded, "a é 😀 中")
    assert "".join(pieces) == result.text == "a é 😀 中"
    assert "�" not in "".join(pieces)
    assert "😀" in pieces


def test_an_incomplete_last_character_is_kept_as_it_is(loaded: LoadedModel) -> None:
    tokens = loaded.tokenizer.encode("a😀", add_special_tokens=False)[:-1]
    result = AnswerText(loaded.tokenizer, ())
    for token in tokens:
        result.add(token)
    result.finish()
    assert result.text == loaded.tokenizer.decode(tokens)


@pytest.mark.parametrize(
    ("text", "stop", "expected"),
    [
        ("one</a>two", ("</a>",), "one"),
        ("one</b>two</a>", ("</a>", "</b>"), "one"),
        ("one</", ("</a>",), "one</"),
        ("aaab", ("aab",), "a"),
        ("é😀", ("😀",), "é"),
        ("x", ("x",), ""),
    ],
)
def test_text_ends_before_the_first_stop_text(
    loaded: LoadedModel, text: str, stop: tuple[str, ...], expected: str
) -> None:
    result, pieces = transcript(loaded, text, *stop)
    assert result.text == "".join(pieces) == expected


def test_a_stopped_answer_keeps_the_token_that_completed_the_stop_text(loaded: LoadedModel) -> None:
    answers = {answer.key: answer for answer in Engine(loaded).generate(asked(20))}
    texts = {key: [loaded.tokenizer.decode([token]) for token in answer.token_ids] for key, answer in answers.items()}
    key, place = next(
        (key, n)
        for key, text in texts.items()
        for n in range(2, 28)
        if (text[n] + text[n + 1]).isprintable() and "�" not in text[n - 1] + text[n] + text[n + 1]
    )
    stop = "".join(texts[key][place : place + 2])
    alone = next(request for request in asked(20) if request.key == key)
    (stopped,) = Engine(loaded).generate([replace(alone, stop=(stop,))])
    plain = answers[key]
    assert (stopped.finish_reason, stopped.stop_text, plain.stop_text) == ("stop", stop, "")
    assert stopped.text == plain.text[: plain.text.index(stop)]
    assert stopped.token_ids == plain.token_ids[: len(stopped.token_ids)]
    assert stop in loaded.tokenizer.decode(stopped.token_ids)
    assert stop not in loaded.tokenizer.decode(stopped.token_ids[:-1])


def test_pieces_put_together_are_the_answers(loaded: LoadedModel) -> None:
    pieces: list[Piece] = []
    options = ResultOptions(scores=True, num_top=2, on_piece=pieces.append)
    answers = list(Engine(loaded).generate(asked(5), options=options))
    for answer in answers:
        own = [piece for piece in pieces if piece.key == answer.key]
        assert "".join(piece.text for piece in own) == answer.text
        assert tuple(token for piece in own for token in piece.token_ids) == answer.token_ids
        assert tuple(value for piece in own for value in piece.scores.log_probs) == answer.scores.log_probs
        assert len(own) > 3


def test_log_probabilities_are_those_of_a_plain_forward_pass(loaded: LoadedModel) -> None:
    (answer,) = Engine(loaded).generate(asked(1), options=ResultOptions(scores=True, num_top=3, echo=True))
    prompt = list(asked(1)[0].prompt_ids)
    with torch.no_grad():
        logits = loaded.model(input_ids=torch.tensor([[*prompt, *answer.token_ids]])).logits[0]
    expected = torch.log_softmax(logits.float(), -1)
    written = [expected[len(prompt) - 1 + n, token].item() for n, token in enumerate(answer.token_ids)]
    echoed = [expected[n, token].item() for n, token in enumerate(prompt[1:])]
    assert answer.scores.log_probs == pytest.approx(written, abs=1e-4)
    assert answer.prompt_scores.log_probs == pytest.approx(echoed, abs=1e-4)
    for place, top in enumerate(answer.scores.top):
        values = expected[len(prompt) - 1 + place].topk(3).values.tolist()
        assert [value for _, value in top] == pytest.approx(values, abs=1e-4)


def test_an_echo_alone_writes_nothing(loaded: LoadedModel) -> None:
    (answer,) = Engine(loaded).generate(asked(1, max_new_tokens=0), options=ResultOptions(echo=True))
    assert (answer.token_ids, answer.finish_reason) == ((), "length")
    assert len(answer.prompt_scores.log_probs) == len(asked(1)[0].prompt_ids) - 1


def test_an_echo_from_a_place_on_gives_the_same_numbers_with_the_beginning_read_once(loaded: LoadedModel) -> None:
    requests = asked(4, max_new_tokens=0)
    options = ResultOptions(echo=True)
    whole = {
        answer.key: answer.prompt_scores.log_probs for answer in Engine(loaded).generate(requests, options=options)
    }
    ends = {request.key: len(request.prompt_ids) - 4 for request in requests}
    late = [replace(request, echo_from=ends[request.key]) for request in requests]
    assert common_length([request.prompt_ids for request in late]) > 1
    for answer in Engine(loaded).generate(late, options=options):
        assert len(answer.prompt_scores.log_probs) == len(answer.prompt_scores.tokens) == 4
        assert answer.prompt_scores.log_probs == pytest.approx(whole[answer.key][-4:], abs=1e-4)


def test_guesses_are_what_followed_the_last_time() -> None:
    lookup = Lookup([1, 2, 3, 4, 5, 6, 1, 2, 3, 9, 8, 7, 1])
    assert lookup.draft(4) == []
    lookup.add(2)
    assert lookup.draft(4) == [3, 9, 8, 7]
    lookup.add(3)
    lookup.add(4)
    assert lookup.draft(2) == [5, 6]
    assert Lookup([1]).draft(3) == []


def test_what_followed_a_longer_run_is_guessed_before_what_followed_a_shorter_one_later() -> None:
    assert Lookup([1, 2, 3, 4, 5, 2, 3, 6, 1, 2, 3]).draft(1) == [4]


def test_runs_within_a_shared_beginning_are_found_like_a_prompt_of_its_own() -> None:
    tokens = [1, 2, 3, 4, 5, 2, 3, 6, 7, 5, 2]
    for shared in range(len(tokens)):
        lookup = Lookup(tokens, run_ends(tokens, 0, shared), shared)
        assert lookup.draft(2) == Lookup(tokens).draft(2) == [3, 6]


def test_the_more_sequences_there_are_the_less_is_guessed_for_each() -> None:
    assert [draft_length(count) for count in (1, 8, 16, 32, 64, 65, 128)] == [8, 8, 7, 3, 1, 0, 0]


@pytest.mark.parametrize("sampling", [Sampling(), Sampling(temperature=0.8, top_k=20)])
def test_guessing_changes_no_token(loaded: LoadedModel, sampling: Sampling, monkeypatch: pytest.MonkeyPatch) -> None:
    # A model that always repeats makes every guess right; a prompt of repeats makes many that are wrong.
    prompt = [*range(5, 40)] * 4
    requests = [GenerationRequest(str(n), [*prompt, 50 + n], 60, seed=n) for n in range(3)]
    guessed = {result.key: result.token_ids for result in Engine(loaded).generate(requests, sampling)}
    monkeypatch.setattr("services.lm.generation.batch.draft_length", lambda count: 0)
    plain = {result.key: result.token_ids for result in Engine(loaded).generate(requests, sampling)}
    assert guessed == plain


def test_guessing_saves_passes(loaded: LoadedModel) -> None:
    def passes(request: GenerationRequest) -> int:
        steps: list[int] = []
        list(Engine(loaded).generate([request], on_step=lambda tokens, active, waiting: steps.append(tokens) is None))
        return len(steps)

    (answer,) = Engine(loaded).generate([GenerationRequest("a", list(range(5, 60)), 60)])
    told = [*range(5, 60), *answer.token_ids, *range(5, 60)]
    (again,) = Engine(loaded).generate([GenerationRequest("a", told, 60)])
    repeated = len(set(zip(again.token_ids, again.token_ids[1:], again.token_ids[2:], strict=False)))
    assert passes(GenerationRequest("a", told, 60)) < 60 or repeated == 58


def test_min_p_leaves_out_what_is_far_less_likely_than_the_likeliest() -> None:
    logits = torch.log(torch.tensor([[0.5, 0.3, 0.15, 0.05]]))
    kept = {choose(logits, Sampling(temperature=1.0, min_p=0.4), [draw / 100])[0] for draw in range(100)}
    assert kept == {0, 1}
    assert choose(logits, Sampling(temperature=1.0), [0.99]) == [3]


def test_draws_looked_at_are_drawn_again_until_they_are_taken() -> None:
    draws = Draws(1, "a")
    first = draws.next(3)
    draws.taken(2)
    assert draws.next(2)[0] == first[2]
    assert Draws(1, "a").next(3) == first
    assert Draws(2, "a").next(3) != first != Draws(1, "b").next(3)
