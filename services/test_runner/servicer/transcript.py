"""RPCs of transcripts."""

import asyncio

from drillyard.test_runner.v1 import transcript_pb2

from services.chassis.calls import Context
from services.test_runner.convert.transcript import transcript_to_proto
from services.test_runner.usecases.transcript import TranscriptUseCases


class TranscriptRpcs:
    """Get and list."""

    transcripts: TranscriptUseCases

    async def GetTranscript(
        self, request: transcript_pb2.GetTranscriptRequest, context: Context
    ) -> transcript_pb2.GetTranscriptResponse:
        """Return a transcript."""
        transcript = await self.transcripts.get_transcript(request.transcript_id)
        return transcript_pb2.GetTranscriptResponse(transcript=transcript_to_proto(transcript))

    async def ListTranscripts(
        self, request: transcript_pb2.ListTranscriptsRequest, context: Context
    ) -> transcript_pb2.ListTranscriptsResponse:
        """List the transcripts of a run in their order."""
        page, token = await self.transcripts.list_transcripts(
            request.test_run_id,
            page_size=request.page_size,
            page_token=request.page_token,
            after_sequence=request.after_sequence,
        )
        return await asyncio.to_thread(
            lambda: transcript_pb2.ListTranscriptsResponse(
                transcripts=map(transcript_to_proto, page), next_page_token=token
            )
        )
