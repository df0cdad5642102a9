"""Language-model compute: loading, chat to token ids, training and generation behind a shared prefix, conversion."""

import os

# Read by OpenMP when torch is first imported. By default its threads spin while they wait for each other, which on a
# machine that other processes use as well makes small products up to twenty times slower (measured).
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
