"""What nvpmodel prints, and which modes a night may choose."""
from __future__ import annotations

import pytest

from edge_sleep.device.power import modes
from edge_sleep.device.power.actuator import PowerError, UnknownName
from edge_sleep.device.power.modes import Mode
from edge_sleep.errors import DeviceError

VERBOSE = """NVPM VERB: Config file: /etc/nvpmodel.conf
NVPM VERB: parsing done for /etc/nvpmodel.conf
NVPM VERB: PM_CONFIG: DEFAULT=15W(0)
NVPM VERB: POWER_MODEL: ID=0 NAME=15W
NVPM VERB: CPU_ONLINE CORE_0 1
NVPM VERB: TPC_POWER_GATING TPC_PG_MASK 240
NVPM VERB: GPU MAX_FREQ 612000000
NVPM VERB: POWER_MODEL: ID=2 NAME=MAXN_SUPER
NVPM VERB: TPC_POWER_GATING TPC_PG_MASK 0xf0
NVPM VERB: POWER_MODEL: ID=3 NAME=7W
NVPM VERB: TPC_POWER_GATING TPC_PG_MASK 252
NVPM VERB: POWER_MODEL: ID=4 NAME=PLAIN
"""
MODES = [Mode(0, "15W", 240), Mode(2, "MAXN_SUPER", 240), Mode(3, "7W", 252), Mode(4, "PLAIN", None)]


def test_modes_are_read_with_their_masks():
    assert modes.parse(VERBOSE) == MODES
    assert modes.parse("nvpmodel: command not found\n") == []


@pytest.mark.parametrize(("said", "name"), [
    ("NV Power Mode: 25W\n1\n", "25W"), ("NV Fan Mode:quiet\nNV Power Mode:MODE_30W\n2\n", "MODE_30W"),
    ("NVPM ERROR: Error opening /etc/nvpmodel.conf: 2\n", None), ("", None)])
def test_the_present_mode(said, name):
    assert modes.parse_now(said) == name


@pytest.mark.parametrize(("now", "asked"), [("15W", "MAXN_SUPER"), ("MAXN_SUPER", "15W"), ("7W", "7W"), ("odd", "odd-not")])
def test_equal_masks_only(now, asked):
    if asked == "odd-not":
        with pytest.raises(PowerError, match="odd, which its own list has not"):
            modes.check(MODES, now, "15W")
    else:
        modes.check(MODES, now, asked)


@pytest.mark.parametrize(("now", "asked", "said"), [
    ("15W", "7W", "240 and 252.*offers 15W, MAXN_SUPER\n"), ("7W", "15W", "252 and 240.*offers 7W\n"),
    ("15W", "PLAIN", "240 and none"), ("PLAIN", "15W", "none and 240")])
def test_another_mask_needs_a_reboot(now, asked, said):
    with pytest.raises(PowerError, match=said) as caught:
        modes.check(MODES, now, asked)
    assert not isinstance(caught.value, UnknownName) and int(caught.value.exit_code) == 22


@pytest.mark.parametrize("asked", ["9W", "15w", "0", "2", "MAXN"])
def test_a_name_the_board_has_not_lists_what_it_has(asked):
    """Ids are no names: they differ between releases."""
    with pytest.raises(UnknownName, match="it offers 15W, MAXN_SUPER, 7W, PLAIN") as caught:
        modes.check(MODES, "15W", asked)
    assert int(caught.value.exit_code) == 2 and isinstance(caught.value, DeviceError)
