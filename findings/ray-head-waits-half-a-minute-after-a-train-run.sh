#!/bin/sh
# Package: ray 2.60.0 (PyPI) with its extra `train`, Ray Train V2.
# Expected: a run of Ray Train that has ended, and whose driver has gone, leaves nothing in the cluster: a head that is
#   asked to end (SIGTERM to `ray start --head --block`) does so in seconds, as it does when nothing ever ran there.
# What happens: Ray Train starts a detached actor, `AutoscalingCoordinator`, which outlives the run and its driver. The
#   head counts it as work that goes on, drains for its whole limit of 30 seconds, and then ends it by force. Whoever
#   starts a cluster per job pays half a minute at the end of each; a grace of 30 seconds in Kubernetes is used up.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'ray[train]==2.60.0'
cat > "$work/try.py" <<'PYTHON'
import socket
import subprocess
import sys
import tempfile
import time

TRAIN = """
import sys
import ray
from ray.train import ScalingConfig
from ray.train.v2.api.data_parallel_trainer import DataParallelTrainer

ray.init(address=sys.argv[1])
if sys.argv[2] == "train":
    one = ScalingConfig(num_workers=1)
    DataParallelTrainer(lambda config: None, train_loop_config={}, scaling_config=one).fit()
else:
    ray.get(ray.remote(lambda: None).remote())
"""


def seconds_to_end(work):
    """Return how long a head takes to end, once it was asked, after a driver has done its work and gone."""
    with socket.socket() as probe:
        # Ray gives ports from 10002 on to workers, and lets none of them be a head's.
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="ray") as folder:
        command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", f"--port={port}"]
        command += ["--node-ip-address=127.0.0.1", "--num-cpus=2", "--include-dashboard=false"]
        command += [f"--temp-dir={folder}", "--object-store-memory=100000000", "--disable-usage-stats"]
        head = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while True:
            with socket.socket() as probe:
                if not probe.connect_ex(("127.0.0.1", port)):
                    break
            time.sleep(0.2)
        driver = [sys.executable, "-c", TRAIN, f"127.0.0.1:{port}", work]
        subprocess.run(driver, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        begin = time.monotonic()
        head.terminate()
        head.wait()
        return time.monotonic() - begin


task, train = seconds_to_end("task"), seconds_to_end("train")
print(f"seconds until a head has ended: {task:.0f} after a task, {train:.0f} after a run of Ray Train")
sys.exit(not (task < 15 < 29 < train))
PYTHON
cd "$work"
HOME="$work" "$work/venv/bin/python" "$work/try.py"
