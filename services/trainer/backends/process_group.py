"""Training processes that do one plan after another, as the service hands them out over a private socket."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from services.chassis.errors import ResourceExhausted
from services.chassis.machine.memory import offer_to_kernel, outgrows
from services.trainer.backends.processes import end_processes
from services.trainer.domain.attempt import AttemptOutcome
from services.trainer.domain.plan import AttemptPlan

SOCKET = "plans"


@dataclass(eq=False)
class ProcessGroup:
    """The processes that work in `folder`, which is theirs alone, from their start to their end.

    One that connects to the socket gets the current plan as a line of JSON; it answers with how its part ended, and
    then waits for the next.

    Attributes:
        folder: Its name is the token of all processes; its path is short, since a socket lies in it.
        log: Takes what the processes print.
        num_processes: How many do each plan together.
    """

    folder: Path
    log: Path
    num_processes: int
    _processes: list[asyncio.subprocess.Process] = field(default_factory=list)
    _server: asyncio.Server | None = None
    _connections: set[asyncio.StreamWriter] = field(default_factory=set)
    _plan: bytes = b""
    _outcomes: list[str] = field(default_factory=list)
    _all_done: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def is_ready(self) -> bool:
        """Whether all processes have done their last plan to its end, and wait for another."""
        ends = [AttemptOutcome.SUCCEEDED.value] * self.num_processes
        return self._outcomes == ends and len(self._connections) == self.num_processes

    async def start(self, options: Sequence[str], environment: Mapping[str, str]) -> None:
        """Start the processes with more command line `options`; they end with this one, however it ends."""
        self._server = await asyncio.start_unix_server(self._serve, self.folder / SOCKET)
        given = {"plans": self.folder / SOCKET, "parent-pid": os.getpid(), "num-workers": self.num_processes}
        with self.log.open("ab") as log:
            for rank in range(self.num_processes):
                process = await asyncio.create_subprocess_exec(
                    *[sys.executable, "-m", "services.trainer.training"],
                    *[f"--{name}={value}" for name, value in {**given, "rank": rank}.items()],
                    *options,
                    cwd=self.folder,
                    env=environment,
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
                self._processes.append(process)
                offer_to_kernel(process.pid)

    async def do(self, plan: AttemptPlan, max_memory_bytes: int) -> int:
        """Let the processes do a plan; return 0 at its end, or the exit code (negative: the signal) of one that ended.

        Raises:
            ResourceExhausted: They took more memory than they may; end them.
        """
        self._outcomes, self._plan = [], plan.to_json().encode() + b"\n"
        self._all_done.clear()
        for connection in self._connections:
            connection.write(self._plan)
        done = asyncio.create_task(self._all_done.wait())
        endings = [asyncio.create_task(process.wait()) for process in self._processes]
        limit = max_memory_bytes // self.num_processes
        outgrowings = [
            asyncio.create_task(outgrows(process.pid, limit, with_children=True)) for process in self._processes
        ]
        try:
            await asyncio.wait({done, *endings, *outgrowings}, return_when=asyncio.FIRST_COMPLETED)
            if done.done():
                return 0
            for ending in endings:
                if ending.done():
                    return ending.result()
        finally:
            self._plan = b""
            for task in (done, *endings, *outgrowings):
                task.cancel()
        raise ResourceExhausted(
            f"The training processes took more than {max_memory_bytes >> 20} MiB of memory.",
            "Lower the batch size, shorten the examples, or raise TRAINER_ATTEMPT_MEMORY_BYTES.",
        )

    async def end(self) -> int:
        """End every process, remove the folder, and say how many processes there were."""
        if self._server is not None:
            self._server.close()
        for connection in self._connections:
            connection.close()
        for process in self._processes:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
        return await asyncio.to_thread(end_leftovers, self.folder)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections.add(writer)
        try:
            if self._plan:
                writer.write(self._plan)
            while line := await reader.readline():
                self._outcomes.append(line.decode().strip())
                if len(self._outcomes) == self.num_processes:
                    self._all_done.set()
        except ConnectionError:
            # The process has ended.
            pass
        finally:
            self._connections.discard(writer)
            writer.close()


def end_leftovers(folder: Path) -> int:
    """End the processes that work, or worked, in `folder`, and remove it; say how many there were."""
    num_ended = end_processes(folder.name)
    shutil.rmtree(folder, ignore_errors=True)
    return num_ended
