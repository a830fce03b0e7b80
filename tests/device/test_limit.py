"""The limit is felt: an allocation past it fails in a way that is recognised, and nothing is left of it afterwards."""
from __future__ import annotations

import json
import resource
import subprocess
import sys

import pytest

from edge_sleep.device.limit import felt

# In a process of its own: the limit and what is resident belong to a whole process.
TRY = """
import json, sys, torch
from edge_sleep.device import memory
from edge_sleep.device.limit import MARGIN_BYTES, felt
from edge_sleep.device.shortage import out_of_memory

def fits(mebibytes):
    try:
        torch.ones(mebibytes << 20, dtype=torch.uint8)
        return True
    except (RuntimeError, MemoryError) as error:
        assert out_of_memory(error), error
        return False

budget = memory.anonymous_bytes() + memory.shared_bytes() + MARGIN_BYTES + (200 << 20)
found = {}
with felt("cpu", budget) as limit:
    found["150"], found["260"] = fits(150), fits(260)
    ballast = torch.ones(120 << 20, dtype=torch.uint8)
    limit.refresh()
    found["150 beside 120"] = fits(150)
    del ballast
    limit.refresh()
    found["150 again"] = fits(150)
found["260 afterwards"] = fits(260)
print(json.dumps(found))
"""


def test_past_the_budget_an_allocation_fails_and_below_it_does_not():
    done = subprocess.run([sys.executable, "-c", TRY], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"150": True, "260": False, "150 beside 120": False, "150 again": True,
                                       "260 afterwards": True}


def test_a_gpu_says_it_itself():
    before = resource.getrlimit(resource.RLIMIT_DATA)
    with felt("gpu", 1) as limit:
        assert limit is None and resource.getrlimit(resource.RLIMIT_DATA) == before


def test_the_limit_is_put_back_whatever_happens():
    before = resource.getrlimit(resource.RLIMIT_DATA)
    with pytest.raises(ZeroDivisionError), felt("cpu", 0):
        assert resource.getrlimit(resource.RLIMIT_DATA)[0] != before[0]
        raise ZeroDivisionError
    assert resource.getrlimit(resource.RLIMIT_DATA) == before
