"""Walks the steps of an ECMAScript expression over a text.

What a state (step, place) leads to is found out once, so that an expression without references takes time in
proportion to steps times units. References need registers, which make the states many; there the number is limited.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterable
from typing import Final

from services.protocols.javascript.program import Op, Program, start_of
from services.protocols.javascript.unit_sets import WORD, folded

MAX_STATES: Final = 500_000
_UNSET: Final = -1
_WORD_CHARS: Final = frozenset(chr(unit) for first, last in WORD for unit in range(first, last + 1))

_Registers = tuple[int, ...]
_State = tuple[int, int, _Registers]
_Arguments = tuple[int, ...]


class TooManyStates(Exception):
    """A search was given up."""


class Search:
    """One search of a program in a text whose characters are UTF-16 units."""

    def __init__(self, program: Program, units: str, *, any_case: bool) -> None:
        self.program = program
        self.units = units
        self.any_case = any_case
        self._num_states = 0
        self._dead_ends: set[_State] = set()
        self._ways_through: set[_State] = set()
        self._looks: dict[_State, _Registers | None] = {}
        self._by_op: dict[Op, Callable[[int, int, _Registers, _Arguments], Iterable[_State]]] = {
            Op.UNIT: self._unit,
            Op.FORK: self._fork,
            Op.JUMP: self._jump,
            Op.ASSERT: self._assert,
            Op.LOOK: self._look,
            Op.REFERENCE: self._reference,
            Op.MARK: self._mark,
            Op.MOVED: self._moved,
            Op.CLOSE: self._close,
            Op.FORGET: self._forget,
        }

    def matches_anywhere(self) -> bool:
        """Return whether the expression matches at some place.

        Raises:
            TooManyStates: more than MAX_STATES would have to be tried.
        """
        registers = (_UNSET,) * self.program.num_registers
        return any(self._walk((0, place, registers)) is not None for place in range(len(self.units) + 1))

    def _walk(self, first: _State) -> _Registers | None:
        waiting: list[tuple[_State, _State | None]] = [(first, None)]
        came_from: dict[_State, _State | None] = {}
        while waiting:
            state, before = waiting.pop()
            if state in came_from or state in self._dead_ends:
                continue
            came_from[state] = before
            op, arguments = self.program.steps[state[0]]
            if op is Op.MATCH or state in self._ways_through:
                self._remember_way(state, came_from)
                return state[2]
            waiting.extend((behind, state) for behind in self._by_op[op](*state, arguments))
            self._count()
        self._dead_ends.update(came_from)
        return None

    def _count(self) -> None:
        self._num_states += 1
        if self._num_states > MAX_STATES:
            raise TooManyStates

    def _remember_way(self, state: _State | None, came_from: dict[_State, _State | None]) -> None:
        # With registers, what a way leads to depends on more than the place where it was joined.
        while state is not None and not self.program.num_registers:
            self._ways_through.add(state)
            state = came_from[state]

    def _unit(self, step: int, place: int, registers: _Registers, arguments: _Arguments) -> Iterable[_State]:
        direction = arguments[0]
        at = place if direction > 0 else place - 1
        # Behind the direction stand where runs begin and end: behind an odd number of them one is open.
        if 0 <= at < len(self.units) and bisect_right(arguments, ord(self.units[at]), 1) % 2 == 0:
            yield step + 1, place + direction, registers

    def _fork(self, step: int, place: int, registers: _Registers, arguments: _Arguments) -> Iterable[_State]:
        first, second = arguments
        return (second, place, registers), (first, place, registers)

    def _jump(self, step: int, place: int, registers: _Registers, arguments: _Arguments) -> Iterable[_State]:
        return ((arguments[0], place, registers),)

    def _assert(self, step: int, place: int, registers: _Registers, arguments: _Arguments) -> Iterable[_State]:
        if arguments[0] < 2:
            holds = place == (0, len(self.units))[arguments[0]]
        else:
            holds = (self._is_word(place - 1) != self._is_word(place)) == (arguments[0] == 2)
        return ((step + 1, place, registers),) if holds else ()

    def _is_word(self, at: int) -> bool:
        return 0 <= at < len(self.units) and self.units[at] in _WORD_CHARS

    def _look(self, step: int, place: int, registers: _Registers, arguments: _Arguments) -> Iterable[_State]:
        behind, is_negative = arguments
        state = (step + 1, place, registers)
        if state not in self._looks:
            self._looks[state] = self._walk(state)
        kept = self._looks[state]
        if is_negative:
            return ((behind, place, registers),) if kept is None else ()
        return ((behind, place, kept),) if kept is not None else ()

    def _reference(self, step: int, place: int, registers: _Registers, arguments: _Arguments) -> Iterable[_State]:
        direction, group = arguments
        start, end = registers[start_of(group) : start_of(group) + 2]
        length = 0 if start == _UNSET else end - start
        first = place if direction > 0 else place - length
        if 0 <= first <= len(self.units) - length and self._are_alike(
            self.units[start : start + length], self.units[first : first + length]
        ):
            yield step + 1, place + direction * length, registers

    def _are_alike(self, one: str, other: str) -> bool:
        if one == other or not self.any_case:
            return one == other
        return all(folded(ord(left)) == folded(ord(right)) for left, right in zip(one, other, strict=True))

    def _mark(self, step: int, place: int, registers: _Registers, arguments: _Arguments) -> Iterable[_State]:
        return ((step + 1, place, _with(registers, arguments[0], place)),)

    def _moved(self, step: int, place: int, registers: _Registers, arguments: _Arguments) -> Iterable[_State]:
        return ((step + 1, place, registers),) if registers[arguments[0]] != place else ()

    def _close(self, step: int, place: int, registers: _Registers, arguments: _Arguments) -> Iterable[_State]:
        direction, group = arguments
        start = start_of(group)
        opened = registers[start - 1]
        return ((step + 1, place, _with(registers, start, *((opened, place)[::direction]))),)

    def _forget(self, step: int, place: int, registers: _Registers, arguments: _Arguments) -> Iterable[_State]:
        first, last = start_of(arguments[0]) - 1, start_of(arguments[1]) - 1
        return ((step + 1, place, _with(registers, first, *(_UNSET,) * (last - first))),)


def _with(registers: _Registers, first: int, *values: int) -> _Registers:
    return (*registers[:first], *values, *registers[first + len(values) :])
