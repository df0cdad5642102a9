"""One Ray Train run on this machine, for one attempt."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ray
from ray.train import FailureConfig, RunConfig, ScalingConfig
from ray.train.v2._internal.execution.controller.controller import TrainController
from ray.train.v2._internal.execution.scaling_policy import FixedScalingPolicy
from ray.train.v2.api.data_parallel_trainer import DataParallelTrainer

from services.trainer.domain.plan import AttemptPlan


def run_worker(config: dict[str, str]) -> None:
    """Do one worker's part; what it imports is heavy, and the driver and the controller go without it."""
    from services.trainer.training.worker import run

    run(config)


def fit(plan: AttemptPlan) -> None:
    """Run the attempt's workers and return when all have ended well.

    Raises:
        TrainingFailedError: One has not.
    """
    trainer = OneMachineTrainer(
        run_worker,
        train_loop_config={"plan": plan.to_json()},
        scaling_config=ScalingConfig(num_workers=plan.spec.num_workers, resources_per_worker={"CPU": 1}),
        # A run name of its own per attempt: what Ray remembers of another attempt can be torn, and is never needed.
        run_config=RunConfig(
            name=f"{plan.training_job_id}-{plan.attempt}",
            storage_path=str(Path(plan.scratch_folder) / "runs"),
            failure_config=FailureConfig(max_failures=0),
        ),
    )
    trainer.fit()


class OneMachineTrainer(DataParallelTrainer):  # type: ignore[misc]
    """Ray Train without the actors that serve clusters, data sets and dashboards: start takes half the time.

    Its workers form their process group themselves, since the server that torch would use listens on every interface.

    Each of them (dataset manager, autoscaling coordinator, placement group cleaner) is a process that imports Ray
    Train before the workers may start. It hangs on internals of the pinned Ray version.
    """

    def _create_default_callbacks(self) -> list[Any]:
        return []

    def _initialize_and_run_controller(self, **parts: Any) -> Any:
        parts["scaling_policy"] = OneMachinePolicy(self.scaling_config)
        # Without a runtime environment the controller takes a process that Ray has started already.
        controller = ray.remote(num_cpus=0)(TrainController).remote(**parts)
        ray.get(controller.run.remote())
        return ray.get(controller.get_result.remote())


class OneMachinePolicy(FixedScalingPolicy):  # type: ignore[misc]
    """A fixed number of workers, with no autoscaler to tell."""

    def after_controller_start(self, train_run_context: Any) -> None:
        """Register nowhere."""

    def _maybe_send_resource_request(self) -> None:
        pass

    def _cancel_resource_request(self) -> None:
        pass
