"""Wire to domain and back."""

from __future__ import annotations

from datetime import UTC

from drillyard.trainer.v1 import attempt_pb2, checkpoint_pb2, training_job_pb2

from services.chassis.jobs.convert import job_to_proto, timestamp
from services.trainer.domain.attempt import Attempt, AttemptOutcome, AttemptReport, Checkpoint, CurvePoint
from services.trainer.domain.spec import LoraConfig, TrainedWeights, TrainingJobSpec, TrainingMethod
from services.trainer.usecases import TrainingJob

_METHODS = {
    training_job_pb2.TRAINING_METHOD_UNSPECIFIED: TrainingMethod.SFT,
    training_job_pb2.TRAINING_METHOD_SFT: TrainingMethod.SFT,
    training_job_pb2.TRAINING_METHOD_DPO: TrainingMethod.DPO,
    training_job_pb2.TRAINING_METHOD_GRPO: TrainingMethod.GRPO,
}
_WEIGHTS = {
    training_job_pb2.TRAINED_WEIGHTS_UNSPECIFIED: TrainedWeights.LORA,
    training_job_pb2.TRAINED_WEIGHTS_LORA: TrainedWeights.LORA,
    training_job_pb2.TRAINED_WEIGHTS_FULL: TrainedWeights.FULL,
    training_job_pb2.TRAINED_WEIGHTS_FROM_SCRATCH: TrainedWeights.FROM_SCRATCH,
}
_OUTCOMES = {
    training_job_pb2.ATTEMPT_OUTCOME_SUCCEEDED: AttemptOutcome.SUCCEEDED,
    training_job_pb2.ATTEMPT_OUTCOME_FAILED: AttemptOutcome.FAILED,
    training_job_pb2.ATTEMPT_OUTCOME_STOPPED: AttemptOutcome.STOPPED,
    training_job_pb2.ATTEMPT_OUTCOME_LOST: AttemptOutcome.LOST,
}


def spec_from_proto(message: training_job_pb2.TrainingJobSpec) -> TrainingJobSpec:
    """Return the spec, zeros as they are; enum values of a newer release mean the default."""
    lora = message.lora
    return TrainingJobSpec(
        model_version_id=message.model_version_id,
        dataset_version_id=message.dataset_version_id,
        output_model_id=message.output_model_id,
        method=_METHODS.get(message.method, TrainingMethod.SFT),
        trained_weights=_WEIGHTS.get(message.trained_weights, TrainedWeights.LORA),
        lora=LoraConfig(
            r=lora.r,
            lora_alpha=lora.lora_alpha,
            lora_dropout=lora.lora_dropout,
            target_modules=tuple(lora.target_modules),
            use_rslora=lora.use_rslora,
            use_dora=lora.use_dora,
            loraplus_lr_ratio=lora.loraplus_lr_ratio,
        ),
        num_epochs=message.num_epochs,
        batch_size=message.batch_size,
        learning_rate=message.learning_rate,
        warmup_ratio=message.warmup_ratio,
        save_steps=message.save_steps,
        save_total_limit=message.save_total_limit,
        eval_steps=message.eval_steps,
        seed=message.seed,
        num_workers=message.num_workers,
        max_tokens_per_pack=message.max_tokens_per_pack,
    )


def spec_to_proto(spec: TrainingJobSpec) -> training_job_pb2.TrainingJobSpec:
    """Return the spec as callers see it."""
    lora = spec.lora
    return training_job_pb2.TrainingJobSpec(
        model_version_id=spec.model_version_id,
        dataset_version_id=spec.dataset_version_id,
        output_model_id=spec.output_model_id,
        method=training_job_pb2.TrainingMethod.Value(f"TRAINING_METHOD_{spec.method.name}"),
        trained_weights=training_job_pb2.TrainedWeights.Value(f"TRAINED_WEIGHTS_{spec.trained_weights.name}"),
        lora=training_job_pb2.LoraConfig(
            r=lora.r,
            lora_alpha=lora.lora_alpha,
            lora_dropout=lora.lora_dropout,
            target_modules=lora.target_modules,
            use_rslora=lora.use_rslora,
            use_dora=lora.use_dora,
            loraplus_lr_ratio=lora.loraplus_lr_ratio,
        ),
        num_epochs=spec.num_epochs,
        batch_size=spec.batch_size,
        learning_rate=spec.learning_rate,
        warmup_ratio=spec.warmup_ratio,
        save_steps=spec.save_steps,
        save_total_limit=spec.save_total_limit,
        eval_steps=spec.eval_steps,
        seed=spec.seed,
        num_workers=spec.num_workers,
        max_tokens_per_pack=spec.max_tokens_per_pack,
    )


def training_job_to_proto(found: TrainingJob) -> training_job_pb2.TrainingJob:
    """Return the job as callers see it."""
    return training_job_pb2.TrainingJob(
        training_job_id=found.job.job_id,
        spec=spec_to_proto(found.spec),
        model_version_id=found.model_version_id,
        job=job_to_proto(found.job),
        attempts=[attempt_to_proto(attempt) for attempt in found.attempts],
    )


def attempt_to_proto(attempt: Attempt) -> training_job_pb2.Attempt:
    """Return the attempt; one that goes on has no outcome."""
    name = f"ATTEMPT_OUTCOME_{attempt.outcome.name}" if attempt.outcome else "ATTEMPT_OUTCOME_UNSPECIFIED"
    return training_job_pb2.Attempt(
        attempt=attempt.attempt,
        epoch=attempt.epoch,
        outcome=training_job_pb2.AttemptOutcome.Value(name),
        start_step=attempt.start_step,
        reason=attempt.reason,
    )


def checkpoint_to_proto(item: Checkpoint) -> checkpoint_pb2.Checkpoint:
    """Return the checkpoint."""
    return checkpoint_pb2.Checkpoint(
        step=item.step,
        attempt=item.attempt,
        uri=item.uri,
        digest=item.digest,
        size_bytes=item.size_bytes,
        create_time=timestamp(item.create_time),
    )


def point_to_proto(point: CurvePoint) -> checkpoint_pb2.CurvePoint:
    """Return the point."""
    return checkpoint_pb2.CurvePoint(metric=point.metric, step=point.step, value=point.value, attempt=point.attempt)


def report_from_proto(message: attempt_pb2.ReportAttemptRequest) -> AttemptReport:
    """Return the report; its points and checkpoints belong to the attempt that reports."""
    return AttemptReport(
        training_job_id=message.training_job_id,
        attempt=message.attempt,
        epoch=message.epoch,
        num_steps_done=message.num_steps_done,
        num_steps_total=message.num_steps_total,
        phase=message.phase,
        notice=message.notice,
        curve_points=tuple(
            CurvePoint(metric=point.metric, step=point.step, value=point.value, attempt=message.attempt)
            for point in message.curve_points
        ),
        checkpoints=tuple(
            Checkpoint(
                step=item.step,
                attempt=message.attempt,
                uri=item.uri,
                digest=item.digest,
                size_bytes=item.size_bytes,
                create_time=item.create_time.ToDatetime(tzinfo=UTC),
            )
            for item in message.checkpoints
        ),
        outcome=_OUTCOMES.get(message.outcome),
        reason=message.reason,
        is_permanent=message.is_permanent,
    )
