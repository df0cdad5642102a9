"""RPCs that generate and render."""

from collections.abc import AsyncIterator
from contextlib import aclosing

from drillyard.test_runner.v1 import transcript_pb2

from services.chassis.calls import Context, caller_of
from services.test_runner.convert.generation import (
    order_from_proto,
    piece_to_proto,
    render_order_from_proto,
    rendered_to_proto,
)
from services.test_runner.usecases.generation import GenerationUseCases
from services.test_runner.usecases.rendering import RenderingUseCases


class GenerationRpcs:
    """Generate and render."""

    generation: GenerationUseCases
    rendering: RenderingUseCases

    async def Generate(
        self, request: transcript_pb2.GenerateRequest, context: Context
    ) -> AsyncIterator[transcript_pb2.GenerateResponse]:
        """Stream the answer to one conversation, or the continuation of a text."""
        async with aclosing(self.generation.generate(order_from_proto(request), caller_of(context))) as pieces:
            async for piece in pieces:
                yield piece_to_proto(piece)

    async def RenderPrompt(
        self, request: transcript_pb2.RenderPromptRequest, context: Context
    ) -> transcript_pb2.RenderPromptResponse:
        """Return the exact text and token ids that a model reads."""
        return rendered_to_proto(await self.rendering.render(render_order_from_proto(request)))
