"""REST routes that steer test runs, judge answers, compare and export."""

import json
import urllib.error
import urllib.request
from typing import Any

import pytest

from services.protocols.profile import get_profile
from tests.fakes.system.services import BASE, SUITE
from tests.integration.gateway_routes.conftest import Front
from tests.machine import PATIENCE_SECONDS
from ui.cli.connection import GatewayError
from ui.shared.jobs import FINAL_STATES

RUN = {"model_version_id": BASE, "test_suite_version_id": SUITE}
PROFILE = get_profile("roo_xml")
DOCUMENT, CASE = PROFILE.suites()[0].text.splitlines()[0], PROFILE.suites()[0].cases[0]


def _start(front: Front, **more: Any) -> Any:
    return front.api.post("/test-runs", {**RUN, **more})["test_run"]


def test_every_setting_of_a_run_reaches_the_test_runner(front: Front) -> None:
    endpoint = {
        "base_url": "http://127.0.0.1:9/v1",
        "model": "theirs",
        "api_key_secret": "key",
        "tool_mode": "TOOL_MODE_NATIVE",
        "num_ctx": 4096,
        "stop": ["END"],
        "extra_body": '{"a": 1}',
        "max_concurrency": 2,
    }
    given = {
        "endpoint": endpoint,
        "sampling": {"temperature": 0.5, "top_p": 0.5, "top_k": 3, "max_new_tokens": 5, "min_p": 0.5},
        "num_repeats": 3,
        "seed": 4,
        "dtype": "float32",
        "throughput": True,
        "log_probs": True,
        "case_timeout_seconds": 1.5,
        "run_timeout_seconds": 60.0,
    }
    spec = _start(front, **given)["spec"]
    assert {name: spec[name] for name in given} == given | {"seed": "4"}


def test_an_endpoint_needs_no_model_of_ours(front: Front) -> None:
    body = {"test_suite_version_id": SUITE, "endpoint": {"base_url": "http://127.0.0.1:9/v1", "model": "m"}}
    assert front.api.post("/test-runs", body)["test_run"]["spec"]["endpoint"]["model"] == "m"


def test_a_repeat_takes_everything_from_the_run_that_it_repeats(front: Front) -> None:
    first = _start(front, seed=5, dtype="float32", sampling={"temperature": 0.7})
    spec = front.api.post("/test-runs", {"repeat_of_test_run_id": first["test_run_id"]})["test_run"]["spec"]
    assert spec == first["spec"] | {"repeat_of_test_run_id": first["test_run_id"]}


def test_a_run_is_paused_and_resumed(front: Front) -> None:
    path = f"/test-runs/{_start(front)['test_run_id']}"
    state = front.api.post(f"{path}/pause")["test_run"]["job"]["state"]
    assert state in ("JOB_STATE_PAUSING", "JOB_STATE_PAUSED")
    front.system.model.holds = False
    try:
        while state == "JOB_STATE_PAUSING":
            state = front.api.get(path)["test_run"]["job"]["state"]
    finally:
        front.system.model.holds = True
    assert state == "JOB_STATE_PAUSED"
    assert front.api.post(f"{path}/resume")["test_run"]["job"]["state"] in ("JOB_STATE_QUEUED", "JOB_STATE_RUNNING")
    front.api.post(f"{path}/cancel")
    with pytest.raises(GatewayError) as caught:
        front.api.post(f"{path}/resume")
    assert caught.value.code == "FAILED_PRECONDITION"


def test_a_run_that_ended_early_is_finished_and_deleted(front: Front) -> None:
    run = _start(front, seed=6)
    path = f"/test-runs/{run['test_run_id']}"
    with pytest.raises(GatewayError, match="Cancel it first"):
        front.api.delete(path)
    front.api.post(f"{path}/cancel")
    is_ended = False
    while not is_ended:
        judged = front.api.get("/evaluations", test_run_id=run["test_run_id"])["evaluations"]
        jobs = [front.api.get(path)["test_run"]["job"], *(evaluation["job"] for evaluation in judged)]
        is_ended = all(job["state"] in FINAL_STATES for job in jobs)
    assert front.api.get(path)["test_run"]["is_incomplete"]
    body = {"repeat_of_test_run_id": run["test_run_id"], "keep_answers": True}
    finishing = front.api.post("/test-runs", body, evaluate=False)["test_run"]
    assert (finishing["spec"]["keep_answers"], finishing["spec"]["seed"]) == (True, "6")
    finishing_path = f"/test-runs/{finishing['test_run_id']}"
    front.api.post(f"{finishing_path}/cancel")
    with pytest.raises(GatewayError, match="is used by the test run"):
        front.api.delete(f"/model-versions/{run['spec']['model_version_id']}")
    while front.api.get(finishing_path)["test_run"]["job"]["state"] not in FINAL_STATES:
        continue
    front.api.delete(path)
    with pytest.raises(GatewayError, match="no test run"):
        front.api.get(path)


def test_two_runs_are_compared_token_by_token(front: Front) -> None:
    before, after = front.system.names["RUN-BEFORE"], front.system.names["RUN-AFTER"]
    same = front.api.get("/test-run-comparisons", before_test_run_id=before, after_test_run_id=before)
    assert (same["identical"], same["num_identical"]) == (True, same["num_compared"])
    ids = {"before_test_run_id": before, "after_test_run_id": after}
    other = front.api.get("/test-run-comparisons", **ids, max_differences=2)
    assert not other["identical"]
    assert len(other["differences"]) == 2
    assert other["provenance_differences"]


def test_parity_names_the_guilty_step(front: Front) -> None:
    before, after = front.system.names["EVALUATION-BEFORE"], front.system.names["EVALUATION-AFTER"]
    parity = front.api.get("/parity", before_evaluation_id=before, after_evaluation_id=after)["parity"]
    assert (parity["guilty_step"], parity["equal_answers_rate"], parity["num_compared"]) == ("weights", 0.0, 130)


def test_verdicts_are_filtered_and_counted_over_all_pages(front: Front) -> None:
    evaluation_id = front.system.names["EVALUATION-AFTER"]
    everything = front.api.get("/verdicts", evaluation_id=evaluation_id, page_size=1)
    assert everything["total_size"] == 130
    for name in ("category", "tool", "case_id"):
        wanted = everything["verdicts"][0][name]
        found = front.api.get("/verdicts", evaluation_id=evaluation_id, **{name: wanted})
        assert found["total_size"] < everything["total_size"]
        assert {one[name] for one in found["verdicts"]} == {wanted}
    assert front.api.get("/verdicts", evaluation_id=evaluation_id, layer="call_present")["total_size"] == 0


@pytest.mark.parametrize(
    ("form", "name"), [("json", "json"), ("csv", "csv"), ("inspect", "inspect.json"), ("html", "html")]
)
def test_an_export_is_a_file_with_its_name(front: Front, form: str, name: str) -> None:
    before, after = front.system.names["EVALUATION-BEFORE"], front.system.names["EVALUATION-AFTER"]
    path = f"{front.url}/api/v1/evaluations/{after}/export?format={form}"
    if form in ("json", "html"):
        path += f"&before_evaluation_id={before}"
    with urllib.request.urlopen(path, timeout=PATIENCE_SECONDS) as response:
        assert response.headers["content-disposition"] == f'attachment; filename="{after}.{name}"'
        body = response.read()
    assert CASE.case_id.encode() in body
    assert (front.system.names["TRAINING-JOB"].encode() in body) == (form == "html")


def test_an_export_of_nothing_or_in_no_form_is_refused(front: Front) -> None:
    with pytest.raises(GatewayError) as caught:
        front.api.get("/evaluations/nosuch/export")
    assert caught.value.code == "NOT_FOUND"
    with pytest.raises(GatewayError, match="format"):
        front.api.get(f"/evaluations/{front.system.names['EVALUATION-AFTER']}/export", format="pdf")


def test_a_grader_goes_with_the_evaluation(front: Front) -> None:
    grader = {"base_url": "http://127.0.0.1:9/v1", "model": "g", "rubric": "Short.", "sample_rate": 0.5}
    body = {"test_run_id": front.system.names["RUN-BEFORE"], "model_grader": grader}
    made = front.api.post("/evaluations", body)["evaluation"]
    assert made["model_grader"] == {**grader, "api_key_secret": "", "against_reference": False}


def test_answers_are_judged_in_one_request_and_a_bad_one_spoils_no_other(front: Front) -> None:
    right = PROFILE.reference_answer(CASE)
    asked = [
        {"profile_id": "roo_xml", "case_document": DOCUMENT, "answer": right, "key": "a"},
        {"profile_id": "roo_xml", "case_document": "broken", "answer": "x", "key": "b"},
        {"profile_id": "roo_xml", "case_document": DOCUMENT, "answer": "x", "key": "c"},
    ]
    results = front.api.post("/verdicts/judge-batch", {"requests": asked})["results"]
    assert [one["key"] for one in results] == ["a", "b", "c"]
    assert results[0]["verdict"]["conforming"]
    assert (results[1].get("verdict"), "case" in results[1]["problem"]) == (None, True)
    assert results[2]["verdict"]["cause"] == "no_call"


def test_a_batch_may_be_as_large_as_a_body(front: Front) -> None:
    answer = "x" * 40_000
    asked = [
        {"profile_id": "roo_xml", "case_document": DOCUMENT, "answer": answer, "key": str(number)}
        for number in range(400)
    ]
    # No message between the services holds this one.
    asked[7]["answer"] = "x" * (17 << 20)
    results = front.api.post("/verdicts/judge-batch", {"requests": asked})["results"]
    assert [one["key"] for one in results] == [str(number) for number in range(400)]
    assert {number for number, one in enumerate(results) if not one.get("verdict")} == {7}
    assert "Send less" in results[7]["problem"]


LARGE = "x" * (17 << 20)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/verdicts/judge", {"profile_id": "roo_xml", "case_document": "{}", "answer": LARGE}),
        ("/verdicts/judge", {"profile_id": "roo_xml", "case_document": LARGE, "answer": ""}),
        ("/prompts/render", {"model_version_id": BASE, "messages": [{"role": "user", "content": LARGE}]}),
    ],
    ids=["answer", "case", "prompt"],
)
def test_what_no_message_holds_is_413_with_what_to_do(front: Front, path: str, body: dict[str, Any]) -> None:
    content = json.dumps(body).encode()
    request = urllib.request.Request(f"{front.url}/api/v1{path}", content, {"Content-Type": "application/json"})
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request, timeout=PATIENCE_SECONDS)
    with caught.value as answer:
        assert answer.code == 413
        assert json.loads(answer.read())["next_step"] == "Send less in one request."


def test_a_prompt_is_shown_as_the_model_reads_it(front: Front) -> None:
    body = {
        "model_version_id": BASE,
        "messages": [{"role": "user", "content": "hi"}],
        "tools": ['{"type": "function", "function": {"name": "f"}}'],
    }
    found = front.api.post("/prompts/render", body)
    assert "".join(found["tokens"]) == found["text"] == "<|im_start|>user\nhi<|im_end|>\n"
    assert len(found["token_ids"]) == len(found["tokens"])
