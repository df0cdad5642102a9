"""A few hundred drawn requests to every service, as part of all tests; `make fuzz` sends a million.

What they leave behind is no ground for other tests: this file is the last of its folder.
"""

from __future__ import annotations

import pytest

from tests.fuzz.rpc import KEPT, SERVICES, fuzz_rpcs
from tests.integration.system_process import SystemProcess

NUM_REQUESTS = 200


@pytest.mark.timeout(300)
def test_no_drawn_request_meets_an_error_of_the_program(system: SystemProcess) -> None:
    faults: list[str] = []
    codes = fuzz_rpcs(system, NUM_REQUESTS, 7, lambda sentence, _: faults.append(sentence))
    assert faults == []
    assert codes.total() == NUM_REQUESTS * len(SERVICES) + len(KEPT) and len(codes) > 3
