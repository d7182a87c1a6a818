"""The control groups (Linux) that this process is in → their files, for what a container's limits do to it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

_OWN = Path("/proc/self/cgroup")
_MOUNTED = Path("/sys/fs/cgroup")


def control_group_files(name: str, *, controller: str) -> Iterator[Path]:
    """That file of each group that holds this process, from its own one to the root, where the group has it.

    controller: `cpu` or `memory`; in version 1 each has a tree of its own, in version 2 all share one. A container sees
    its own group as the root, or under its name outside: both are looked for.
    """
    for root, group in _groups(controller):
        folder = root / group
        while True:
            path = folder / name
            if path.is_file():
                yield path
            if folder == root:
                break
            folder = folder.parent


def _groups(controller: str) -> Iterator[tuple[Path, str]]:
    """Where the tree is mounted, and the place of this process in it."""
    try:
        lines = _OWN.read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, group = line.split(":", 2)
        # A group outside of what a container sees is shown as /../name.
        place = "" if ".." in group else group.strip("/")
        if controllers == "":
            yield _MOUNTED, place
        elif controller in controllers.split(","):
            yield _MOUNTED / controller, place
