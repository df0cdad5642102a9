"""What an operator reads of trainings in a cluster that lacks something for them."""

from __future__ import annotations

import pytest

from tests.charts.endpoints_test import notes

ELSEWHERE = ("--set", "training.backend=kubernetes")
GPU = ("--set-json", 'training.resources={"limits":{"nvidia.com/gpu":1}}')
OUTSIDE = ("artifacts.url=s3://b/d", "serviceToken.existingSecret=dy-token", "artifacts.existingSecret=dy-s3")


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (GPU, "KubeRay is not installed: each attempt at a training job is a plain Job"),
        ((), "attempts train on the CPU. Set training.resources.limits, such as nvidia.com/gpu: 1."),
        (("--set", "training.queue=lab"), "training.queue is lab, but this cluster does not know Kueue"),
        (("--set", f"training.namespace=gpus,{','.join(OUTSIDE)}"), "gpus needs these secrets too: dy-token, dy-s3."),
    ],
)
def test_the_notes_say_what_trainings_lack(values: tuple[str, ...], words: str) -> None:
    said = notes(*ELSEWHERE, *values)
    assert words in said
    assert ("name no GPU" in said) == (values != GPU)
