"""The Dockerfile and skaffold.yaml say the same as the chart, and images run as nobody."""

from __future__ import annotations

import json
import shlex
import tomllib
from typing import Any

import pytest
import yaml

from tests.charts.dockerfile import TARGETS, extras_of, last, lineage, stages
from tests.charts.tools import CHART, DEPLOYABLES, ROOT, environment_of, pod_specs, render, run_program

WITH_TORCH = {"registry", "test-runner", "trainer", "ray-worker"}


@pytest.mark.parametrize("target", TARGETS)
def test_every_deployable_has_an_image_that_runs_as_nobody(target: str) -> None:
    assert last(target, "USER") == "10001"
    assert last(target, "WORKDIR") == "/data"
    assert "HOME=/tmp" in last(target, "ENV")


@pytest.mark.parametrize("target", [*DEPLOYABLES, "trainer-light"])
def test_an_image_starts_its_own_deployable(target: str) -> None:
    module = "ui" if target == "gateway" else "services." + target.removesuffix("-light").replace("-", "_")
    assert json.loads(last(target, "ENTRYPOINT")) == ["tini", "--", "python", "-m", module]
    assert (ROOT / module.replace(".", "/") / "__main__.py").is_file()


@pytest.mark.parametrize("target", TARGETS)
def test_an_image_gets_extras_that_exist_and_torch_only_where_it_computes(target: str) -> None:
    extras = extras_of(target)
    assert extras <= set(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"])
    assert bool({"lm", "ray"} & extras) == (target in WITH_TORCH)


def test_the_images_of_pods_whose_attempts_run_elsewhere_exist() -> None:
    elsewhere = ("--set", "training.backend=kubernetes")
    pods = pod_specs(render(*elsewhere))
    images = {name: pod["containers"][0]["image"] for name, pod in pods.items()}
    assert images["dy-trainer"] == "drillyard/trainer-light:0.1.0"
    assert {image.removeprefix("drillyard/").partition(":")[0] for image in images.values()} <= set(TARGETS)
    told = json.loads(environment_of(pods["dy-trainer"])["TRAINER_KUBERNETES"])
    assert told["image"] == "drillyard/trainer:0.1.0"
    named = pod_specs(render(*elsewhere, "--set", "services.trainer.image=mine/trainer@sha256:1"))
    assert named["dy-trainer"]["containers"][0]["image"] == "mine/trainer@sha256:1"


@pytest.mark.parametrize("target", TARGETS)
def test_no_package_manager_runs_in_an_image_that_ships(target: str) -> None:
    assert not [run for stage in lineage(target) for run in stage.all_of("RUN") if "apt" in run]


def test_everything_that_is_copied_exists_and_is_sent_to_the_builder() -> None:
    sent = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = [shlex.split(text) for stage in stages().values() for text in stage.all_of("COPY")]
    sources = {source for words in copied if not words[0].startswith("--from") for source in words[:-1]}
    assert sources == sent
    assert {source for source in sources if not (ROOT / source).exists()} == set()
    assert all(words[0] == "--from=build" for words in copied if words[0].startswith("--"))


def test_hadolint_has_nothing_to_say() -> None:
    done = run_program("hadolint", str(ROOT / "Dockerfile"))
    assert done.returncode == 0, done.stdout


def skaffold() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((ROOT / "skaffold.yaml").read_text())
    return document


def test_skaffold_builds_the_image_of_every_deployable() -> None:
    artifacts = {artifact["image"]: artifact["docker"] for artifact in skaffold()["build"]["artifacts"]}
    assert set(artifacts) == {f"drillyard/{name}" for name in DEPLOYABLES}
    for image, docker in artifacts.items():
        assert docker == {"dockerfile": "Dockerfile", "target": image.removeprefix("drillyard/")}
        assert docker["target"] in stages()


def test_skaffold_hands_every_image_to_the_chart() -> None:
    (release,) = skaffold()["deploy"]["helm"]["releases"]
    assert ROOT / release["chartPath"] == CHART
    assert release["setValueTemplates"] == {
        f"services.{name}.image": f"{{{{.IMAGE_FULLY_QUALIFIED_drillyard_{name.replace('-', '_')}}}}}"
        for name in DEPLOYABLES
    }


def test_skaffold_opens_ports_on_this_machine_only() -> None:
    assert [forward["address"] for forward in skaffold()["portForward"]] == ["127.0.0.1"]


def test_skaffold_patches_places_that_exist() -> None:
    document = skaffold()
    for profile in document["profiles"]:
        for patch in profile.get("patches", ()):
            place: Any = document
            for step in patch["path"].strip("/").split("/")[:-1]:
                place = place[int(step)] if isinstance(place, list) else place[step]
            assert isinstance(place, dict)
            for path in patch["value"] if isinstance(patch["value"], list) else ():
                assert (ROOT / path).is_file()


def test_the_cpu_profile_reaches_every_image_with_torch() -> None:
    document = skaffold()
    (profile,) = [profile for profile in document["profiles"] if profile["name"] == "cpu"]
    places = [int(patch["path"].split("/")[3]) for patch in profile["patches"]]
    patched = {document["build"]["artifacts"][place]["docker"]["target"] for place in places}
    assert patched == WITH_TORCH - {"ray-worker"}
