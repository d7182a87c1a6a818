"""System and Device: which devices there are, and the one that a program works on."""

from __future__ import annotations

from types import TracebackType

from u2forge.errors import InputError
from u2forge.magicmind.devices import LocalDevice, activate, active_device, local_devices
from u2forge.magicmind.status import PreconditionError, Status, or_none, status_of
from u2forge.magicmind.task_queue import Queue


class System:
    """The machine's devices, within a `with` statement or without."""

    def device_count(self) -> int:
        """How many devices there are: at least 1, the processor."""
        return len(local_devices())

    def initialize(self) -> Status:
        """Nothing to do here."""
        return Status.OK()

    def destroy(self) -> Status:
        """Nothing to do here."""
        return Status.OK()

    def __enter__(self) -> System:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        pass


class Device:
    """id: which one, 0 at first."""

    def __init__(self) -> None:
        self.id = 0
        self._activated: LocalDevice | None = None

    def active(self) -> Status:
        """Makes it the device that engines, queues and calibration work on from here on."""
        return status_of(self._activate)

    def create_queue(self) -> Queue | None:
        """A queue on the device; None, with the reason in the log, where it is not active."""
        return or_none(self._queue)

    def _queue(self) -> Queue:
        if self._activated is None or active_device() != self._activated:
            raise PreconditionError(
                where=f"Device {self.id}, create_queue",
                expected="an active device",
                found="one that is not",
                fix="call device.active() before, and look at the Status that it returns",
            )
        return Queue(self._activated)

    def _activate(self) -> None:
        devices = local_devices()
        if type(self.id) is not int or self.id < 0:
            raise InputError(
                where="Device, id",
                expected="a number of 0 or more",
                found=repr(self.id),
                fix="write device.id = 0",
            )
        if self.id >= len(devices):
            listed = ", ".join(f"{number}: {device}" for number, device in enumerate(devices))
            raise InputError(
                where=f"Device {self.id}",
                expected=f"one of {len(devices)} devices ({listed})",
                found="no such number on this machine",
                fix="write device.id = 0, or see `u2forge engines`",
            )
        self._activated = devices[self.id]
        activate(self._activated)
