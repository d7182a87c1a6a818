"""EngineEntry: one row of the table of engines: where its parts are, what it needs, how to get that."""

from __future__ import annotations

import re
from typing import NamedTuple

from u2forge.engine.find_module import find_module
from u2forge.errors import install_command
from u2forge.native.built import BUILD_COMMAND, not_built_reason
from u2forge.target import Target

# The kinds of device that are NVIDIA's GPUs.
NVIDIA_KINDS = ("cuda", "tensorrt")


class EngineEntry(NamedTuple):
    """module: what must be there; opener, devices, profiler, suits, check_graph: "module:function"; extra: what brings
    it, None of what u2forge has by itself, and of what is on no package index: bring then says how to get it.

    profiler: None of an engine that does not time layers. target: which models it runs; note: what to know of it.
    suits: whether `auto` takes it for a model with that manifest; any where there is none. auto_devices: the kinds of
    device (cuda of cuda:1, gpu of GPU.0) for which `auto` asks it at all, "auto" where none is named; None: any kind.
    check_graph: raises the UnsupportedGraphError that the opener would, without preparing the model; None of what
    raises none.
    keep_out: modules that the module imports where it can, and does without where it cannot. nvidia_install: how to get
    it with NVIDIA's GPUs, None of what has none.
    """

    module: str
    opener: str
    devices: str
    find_device: str
    profiler: str | None
    extra: str | None
    suits: str | None = None
    check_graph: str | None = None
    keep_out: tuple[str, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()
    bring: str | None = None
    target: Target = "portable"
    note: str | None = None
    auto_devices: tuple[str, ...] | None = None
    nvidia_install: str | None = None

    def may_have(self, device: str) -> bool:
        """Whether `auto` asks it for a device of that name; that is known without importing it."""
        return self.auto_devices is None or device_kind(device) in self.auto_devices

    @property
    def installed(self) -> bool:
        """Whether it is there; it is not imported."""
        return find_module(self.module) is not None

    @property
    def install(self) -> str:
        """The command that brings it, or what to do where there is no command."""
        if self.bring is not None:
            return self.bring
        if self.extra is None:
            return BUILD_COMMAND
        return install_command(self.module, extra=self.extra)

    @property
    def missing(self) -> str:
        """What is missing where it is not there."""
        if self.extra is None and self.bring is None:
            return not_built_reason()
        return f"the package {self.module} is not installed"

    @property
    def mend(self) -> str:
        """How to bring it, for the `fix` of an error."""
        return self.install if self.bring is not None else f"run {self.install}"


def device_kind(device: str) -> str:
    """What stands before the number in the name of a device, in small letters."""
    return re.split("[:./]", device.lower(), maxsplit=1)[0]
