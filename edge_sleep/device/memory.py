"""How much memory a night may take: what the kernel says is available, bounded by the cgroup.

On a Jetson the GPU shares this memory and `torch.cuda.mem_get_info` counts page cache as used, so
MemAvailable is the honest number there too.
"""
from __future__ import annotations

import resource
from pathlib import Path

from edge_sleep.errors import DeviceError

MEMINFO = Path("/proc/meminfo")
CGROUP = Path("/proc/self/cgroup")
STATUS = Path("/proc/self/status")
CGROUP_MOUNT = Path("/sys/fs/cgroup")
_KIB = 1024


def _meminfo(field: str, meminfo: Path) -> int:
    try:
        for line in meminfo.read_text().splitlines():
            name, _, rest = line.partition(":")
            if name == field:
                return int(rest.split()[0]) * _KIB
    except (OSError, ValueError, IndexError) as error:
        raise DeviceError(f"{meminfo} cannot be read: {error}", "mount /proc; edge_sleep runs on Linux") from error
    raise DeviceError(f"{meminfo} has no {field}", "edge_sleep needs Linux 3.14 or newer")


def total_bytes(meminfo: Path = MEMINFO) -> int:
    """Memory of the machine, as Linux sees it."""
    return _meminfo("MemTotal", meminfo)


def available_bytes(meminfo: Path = MEMINFO, cgroup: Path = CGROUP, mount: Path = CGROUP_MOUNT) -> int:
    """Bytes a new allocation can have: MemAvailable, or less where a cgroup limits this process."""
    available = _meminfo("MemAvailable", meminfo)
    room = cgroup_room_bytes(cgroup, mount)
    return available if room is None else min(available, room)


def cgroup_room_bytes(cgroup: Path = CGROUP, mount: Path = CGROUP_MOUNT) -> int | None:
    """Bytes left under the tightest memory limit above this process; None without a limit.

    Limits nest, so every ancestor counts. In a container the mount shows the container's own root
    while /proc names the path on the host; the walk up reaches the mount in either case.
    """
    rooms = []
    for folder, stop, limit, usage in _memory_folders(cgroup, mount):
        while True:
            room = _room(folder, limit, usage)
            if room is not None:
                rooms.append(room)
            if folder == stop or stop not in folder.parents:
                break
            folder = folder.parent
    return min(rooms, default=None)


def _memory_folders(cgroup: Path, mount: Path) -> list[tuple[Path, Path, str, str]]:
    try:
        lines = cgroup.read_text().splitlines()
    except OSError:
        return []
    found = []
    for line in lines:
        _, controllers, path = (line.split(":", 2) + ["", ""])[:3]
        below = path.strip().lstrip("/")
        if not controllers:
            found.append((mount / below, mount, "memory.max", "memory.current"))
        elif "memory" in controllers.split(","):
            v1 = mount / "memory"
            found.append((v1 / below, v1, "memory.limit_in_bytes", "memory.usage_in_bytes"))
    return found


def _room(folder: Path, limit: str, usage: str) -> int | None:
    try:
        ceiling = int((folder / limit).read_text())
        used = int((folder / usage).read_text())
    except (OSError, ValueError):  # the root has no such file; v2 writes "max" for no limit
        return None
    # Page cache is charged to the group and given back under pressure: it is not in use.
    return max(0, ceiling - used + _reclaimable(folder))


def _reclaimable(folder: Path) -> int:
    try:
        fields = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
        prefix = "total_" if "total_inactive_file" in fields else ""
        return int(fields[prefix + "inactive_file"]) + int(fields[prefix + "active_file"])
    except (OSError, ValueError, KeyError):
        return 0


def rss_peak_bytes(status: Path = STATUS) -> int:
    """Largest resident set this process has had. getrusage alone would tell what its parent held as it was started."""
    try:
        return _meminfo("VmHWM", status)
    except DeviceError:                      # a kernel that keeps no high-water mark
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _KIB


def anonymous_bytes(status: Path = STATUS) -> int:
    """Resident memory of this process that no file stands behind: all of it counts, none can be given back."""
    return _meminfo("RssAnon", status)


def shared_bytes(status: Path = STATUS) -> int:
    """Resident pages of this process that lie in files, such as libraries."""
    return _meminfo("RssFile", status)


def data_bytes(status: Path = STATUS) -> int:
    """Writable private memory of this process, touched or not: what RLIMIT_DATA bounds."""
    return _meminfo("VmData", status)


def for_this_process_bytes() -> int:
    """What the whole process may grow to: what is available, and what it holds already."""
    return available_bytes() + anonymous_bytes()


def kills_by_limit(cgroup: Path = CGROUP, mount: Path = CGROUP_MOUNT) -> int | None:
    """How often the kernel has killed a process at a memory limit of this process's own groups; None where it does not say."""
    counts = []
    for folder, _, limit, _ in _memory_folders(cgroup, mount):
        try:
            lines = (folder / ("memory.events" if limit == "memory.max" else "memory.oom_control")).read_text().splitlines()
            counts += [int(line.split()[1]) for line in lines if line.startswith("oom_kill ")]
        except (OSError, ValueError, IndexError):     # no such group here, or a kernel that does not count
            continue
    return sum(counts) if counts else None
