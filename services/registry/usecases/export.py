"""Use cases of exports, publications and deployments, which this version does not do."""

from __future__ import annotations

from services.chassis.errors import Unimplemented


class ExportUseCases:
    """Answers for what leaves the registry."""

    async def create_export(self) -> None:
        """Raise Unimplemented."""
        raise Unimplemented(
            "Export of model versions is not built in this version.",
            "Copy the folder that the version's artifact names; it is in Hugging Face or PEFT form.",
        )

    async def create_deployment(self) -> None:
        """Raise Unimplemented."""
        raise Unimplemented(
            "Deployment of model versions is not built in this version.",
            "Serve the folder that the version's artifact names with an inference server of your choice.",
        )

    async def publish(self) -> None:
        """Raise Unimplemented."""
        raise Unimplemented(
            "Publication of exports is not built in this version.",
            "Upload the folder that the version's artifact names by hand.",
        )
