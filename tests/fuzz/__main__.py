"""Drawn requests and files: `python -m tests.fuzz [TARGET…] --inputs 1000000 --seed 1`; 1 when anything broke.

Targets: rpc, safetensors, gguf, suites, foreign_suites, datasets, foreign_datasets, feedback; all when none is named.
How far it is stands in `build/fuzz/report.json` every 15 s; beside it, an input a file, what broke something.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

from tests.fuzz.files import TARGETS, fuzz_file
from tests.fuzz.rpc import SERVICES, fuzz_rpcs
from tests.fuzz.tally import Tally
from tests.integration.system_process import running_system

# Half of all inputs go to the RPCs, an equal part to each service.
_RPC_SHARE = 0.5


def main() -> int:
    """Fuzz what is named, and tell what broke."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("targets", nargs="*", metavar="TARGET")
    parser.add_argument("--inputs", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path, default=Path("build/fuzz"))
    arguments = parser.parse_args()
    targets = arguments.targets or ["rpc", *TARGETS]
    tally = Tally(arguments.folder)
    with tally.telling(arguments.folder / "report.json"):
        for target in targets:
            share = 1.0 if len(targets) == 1 else _RPC_SHARE if target == "rpc" else (1 - _RPC_SHARE) / len(TARGETS)
            num_inputs = round(share * arguments.inputs)
            if target == "rpc":
                _fuzz_system(num_inputs // len(SERVICES), arguments.seed, tally)
            else:
                fuzz_file(target, num_inputs, arguments.seed, tally)
    for sentence, count in tally.faults.items():
        print(f"BROKEN {count:6} × {sentence}")
    return 1 if tally.faults else 0


def _fuzz_system(num_inputs: int, seed: int, tally: Tally) -> None:
    with tempfile.TemporaryDirectory(prefix="drillyard-fuzz-") as folder, running_system(Path(folder)) as system:
        # What would never end only takes the processor.
        system.model.holds = False
        asyncio.run(fuzz_rpcs(system, num_inputs, seed, tally))


if __name__ == "__main__":
    sys.exit(main())
