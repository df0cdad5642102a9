#!/bin/sh
# Package: ray 2.60.0 (PyPI) with its extra `train`, Ray Train V2.
# Expected: `ray[train]` has what Ray Train needs, and a run that goes well says nothing of faults; the dashboard is an
#   extra of its own (`default`).
# What happens: for as long as a run trains, its placement group's cleaner asks the State API, which the dashboard
#   serves, each second, and each second a warning says that it "may be temporarily unavailable": 86,400 lines a day.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'ray[train]==2.60.0'
cat > "$work/try.py" <<'PYTHON'
import time

import ray
from ray.train import ScalingConfig
from ray.train.v2.api.data_parallel_trainer import DataParallelTrainer

ray.init(num_cpus=2)
one = ScalingConfig(num_workers=1)
DataParallelTrainer(lambda config: time.sleep(12), train_loop_config={}, scaling_config=one).fit()
# What workers print comes a little later.
time.sleep(2)
PYTHON
HOME="$work" "$work/venv/bin/python" "$work/try.py" > "$work/log" 2>&1
count=$(grep -c 'State API may be temporarily unavailable' "$work/log")
echo "warnings in a run of twelve seconds: $count"
[ "$count" -ge 5 ]
