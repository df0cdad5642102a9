"""Content-addressed artifacts on a local disk or in an object store."""

from services.chassis.artifacts.artifact import Artifact
from services.chassis.artifacts.store import ArtifactStore

__all__ = ["Artifact", "ArtifactStore"]
