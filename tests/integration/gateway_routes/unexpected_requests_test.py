"""A few hundred drawn requests to every service, as part of all tests; `make fuzz` sends a million.

What they leave behind is no ground for other tests: this file is the last of its folder.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.fuzz.rpc import SERVICES, fuzz_rpcs
from tests.fuzz.tally import Tally
from tests.integration.system_process import SystemProcess

NUM_REQUESTS = 200


@pytest.mark.timeout(300)
def test_no_drawn_request_meets_an_error_of_the_program(system: SystemProcess, tmp_path: Path) -> None:
    tally = Tally(tmp_path)
    asyncio.run(fuzz_rpcs(system, NUM_REQUESTS, 7, tally))
    assert tally.faults == {}
    for service in SERVICES:
        assert tally.outcomes[service].total() == NUM_REQUESTS and len(tally.outcomes[service]) > 1
