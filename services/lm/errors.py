"""What can go wrong with a model, said so that a person can act on it."""

from __future__ import annotations


class LmError(ValueError):
    """A model, a file or a request that cannot be used, and what to do about it.

    Attributes:
        problem: One sentence on what is wrong.
        next_step: One sentence on what to do next.
        place: Where it was found (a file, a key, a byte offset), or "".
    """

    def __init__(self, problem: str, next_step: str, place: str = "") -> None:
        super().__init__(f"{place}: {problem} {next_step}" if place else f"{problem} {next_step}")
        self.problem = problem
        self.next_step = next_step
        self.place = place

    @property
    def located_problem(self) -> str:
        """The problem, behind the place where there is one."""
        return f"{self.place}: {self.problem}" if self.place else self.problem

    def __reduce__(self) -> tuple[type[LmError], tuple[str, str, str]]:
        """Survive the trip between processes."""
        return type(self), (self.problem, self.next_step, self.place)


class InvalidModelFile(LmError):
    """A model file or folder that is damaged, hostile or of an unsupported kind."""


class AdapterMismatch(LmError):
    """An adapter that does not fit the model it should be applied to."""


class InvalidChat(LmError):
    """Messages, or a chat template, that cannot be turned into token ids exactly."""


class PromptRefused(InvalidChat):
    """Messages that a chat template refuses, while it may render others."""


class NoSuchDevice(LmError):
    """A device that this machine, or its torch, does not have."""


class LimitExceeded(LmError):
    """Work that needs more memory or time than it was allowed."""
