"""The two trainings of a round: on reference answers, and then on the model's own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from services.chassis.wire import from_document
from services.feedback.datasets.builder import DatasetOrder, build
from services.protocols.cases import Case
from services.protocols.profile import Profile
from services.trainer.domain.plan import AttemptPlan
from services.trainer.domain.spec import TrainingJobSpec
from services.trainer.manifest import places
from services.trainer.training.loop import train
from services.trainer.training.reporter import Silence
from services.trainer.training.workers import Workers


@dataclass
class Curves(Silence):
    """Keeps every curve, and prints one line a step."""

    values: dict[str, dict[int, float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__init__()

    def notice(self, text: str) -> None:
        """Print what a person should know."""
        print(f"    {text}")

    def step(self, done: int, total: int, values: dict[str, float]) -> None:
        """Keep and print."""
        for metric, value in values.items():
            self.values.setdefault(metric, {})[done] = value
        shown = {metric: round(value, 4) for metric, value in values.items() if "/" not in metric}
        print(f"    step {done} of {total} {shown}", flush=True)


@dataclass(frozen=True)
class Round:
    """What one seed on one suite is made of.

    Attributes:
        base: The model's folder.
        folder: For what is written.
        prompt_size: Of the profile.
        suite_cases: None of them is in a dataset.
        num_threads: That compute.
    """

    base: Path
    folder: Path
    profile: Profile
    prompt_size: str
    suite_cases: tuple[Case, ...]
    seed: int
    num_threads: int

    def train(
        self, name: str, num_examples: int, spec: Mapping[str, Any], *, adapter: Path | None = None
    ) -> tuple[Path, Curves]:
        """Train on rows drawn for this stage alone: see `train_on`."""
        # Every stage has rows of its own.
        order = DatasetOrder(self.prompt_size, self.seed_of(name), num_examples, (), self.suite_cases)
        return self.train_on(name, build(self.profile, order).content, spec, adapter=adapter)

    def seed_of(self, name: str) -> int:
        """Return the seed by which a stage draws its cases."""
        return self.seed + sum(map(ord, name)) * 1000

    def train_on(
        self, name: str, rows: bytes, spec: Mapping[str, Any], *, adapter: Path | None = None
    ) -> tuple[Path, Curves]:
        """Return the folder of the trained adapter, and the curves; what was trained before is not trained again."""
        folder = self.folder / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "rows.jsonl").write_bytes(rows)
        plan = self._plan(folder, spec, adapter)
        curves = Curves()
        train(plan, Workers(), curves)
        return places(Path(plan.checkpoint_folder))[0].path / "adapter", curves

    def _plan(self, folder: Path, spec: Mapping[str, Any], adapter: Path | None) -> AttemptPlan:
        checkpoints = folder / "checkpoints"
        earlier = places(checkpoints) if checkpoints.exists() else []
        fixed = {"model_version_id": "base@1", "dataset_version_id": "rows@1", "seed": self.seed, "save_steps": 10}
        return AttemptPlan(
            training_job_id=folder.name,
            attempt=1 + len(earlier),
            epoch=1,
            report_address="",
            config_digest="sha256:bench",
            spec=from_document(TrainingJobSpec, fixed | dict(spec)),
            base_folder=str(self.base),
            adapter_folder=str(adapter or ""),
            dataset_file=str(folder / "rows.jsonl"),
            checkpoint_folder=str(checkpoints),
            resume_from=str(earlier[0].path) if earlier else "",
            scratch_folder="",
            num_threads=self.num_threads,
        )
