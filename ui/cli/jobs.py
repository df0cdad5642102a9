"""Commands that every kind of job has: follow it, and steer it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated

import typer

from ui.cli.connection import Document, Gateway
from ui.cli.follow import Progress, display, follow
from ui.cli.options import Common, command
from ui.cli.output import connected, fail, print_events, print_facts, show

ReadProgress = Callable[[Gateway, str], Progress]


def state_of(job: Document) -> str:
    """Return a job's state in small letters."""
    return str(job["state"]).removeprefix("JOB_STATE_").lower()


def refuse_failed(job: Document, *, as_json: bool) -> None:
    """End the command when its job failed or was cancelled."""
    if job["state"] == "JOB_STATE_FAILED":
        fail(job["error"]["code"], job["error"]["problem"], job["error"]["next_step"], as_json=as_json)
    if job["state"] == "JOB_STATE_CANCELLED":
        fail("CANCELLED", "It was cancelled.", "Start it again when you want it.", as_json=as_json)


def add_job_commands(app: typer.Typer, path: str, read: ReadProgress | None, verbs: Mapping[str, str]) -> None:
    """Add `watch` and the commands that steer a job, such as `cancel`.

    Args:
        app: The group.
        path: Of the jobs, such as "/test-runs".
        read: Returns how far a job has come; without it the group has a `watch` of its own.
        verbs: The last part of a route for each command that steers, with the command's help.
    """
    if read is not None:
        command(app, "watch")(_watching(path, read))
    for verb, sentence in verbs.items():
        command(app, verb)(_steering(path, verb, sentence))


def add_delete_command(app: typer.Typer, path: str, sentence: str, name: str = "delete") -> None:
    """Add a command that deletes what is at a path, such as "/test-runs"; `sentence` is its help."""

    def delete(
        resource_id: Annotated[str, typer.Argument(metavar="ID", help="What is deleted.")], common: Common
    ) -> None:
        with connected(common) as gateway:
            answer = gateway.delete(f"{path}/{resource_id}")
            show(answer, as_json=common.as_json, table=lambda: print(f"{resource_id} is deleted."))

    delete.__doc__ = sentence
    command(app, name)(delete)


def add_show_command(app: typer.Typer, path: str, sentence: str) -> None:
    """Add a command that prints the fields of what is at a path, such as "/imports"; `sentence` is its help."""

    def show_resource(
        resource_id: Annotated[str, typer.Argument(metavar="ID", help="What is shown.")], common: Common
    ) -> None:
        with connected(common) as gateway:
            (resource,) = gateway.get(f"{path}/{resource_id}").values()
            show(resource, as_json=common.as_json, table=lambda: print_facts(resource))

    show_resource.__doc__ = sentence
    command(app, "show")(show_resource)


def _watching(path: str, read: ReadProgress) -> Callable[..., None]:
    def watch(job_id: Annotated[str, typer.Argument(metavar="ID", help="The job.")], common: Common) -> None:
        """Follow a job; with --json every event is a line."""
        with connected(common) as gateway, display(as_json=common.as_json) as on:
            if common.as_json:
                print_events(gateway, f"{path}/{job_id}/events")
            else:
                follow(job_id, lambda: read(gateway, job_id), on)

    return watch


def _steering(path: str, verb: str, sentence: str) -> Callable[..., None]:
    def steer(job_id: Annotated[str, typer.Argument(metavar="ID", help="The job.")], common: Common) -> None:
        with connected(common) as gateway:
            (resource,) = gateway.post(f"{path}/{job_id}/{verb}").values()
            sentence = f"{job_id} is {state_of(resource['job'])}."
            show(resource, as_json=common.as_json, table=lambda: print(sentence))

    steer.__doc__ = sentence
    return steer
