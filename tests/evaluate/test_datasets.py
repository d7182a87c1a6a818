"""Data sets found by their layouts, and everything that can be wrong with a pair."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from dataset_files import disc, write_dataset, write_pair
from PIL import Image

from u2forge.errors import InputError
from u2forge.evaluate.check_pairs import PROBLEMS_SHOWN, CheckedPairs, check_pairs
from u2forge.evaluate.chosen_pairs import every_kth, files_digest, pairs_digest
from u2forge.evaluate.dataset_layouts import LAYOUTS
from u2forge.evaluate.datasets import find_dataset

# As the archives are laid out when they are unpacked: photo, mask.
ARCHIVES = {
    "MSRA-B": ("{}.jpg", "{}.png"),
    "MSRA10K": ("Imgs/{}.jpg", "Imgs/{}.png"),
    "plain": ("images/{}.jpg", "masks/{}.png"),
    "ECSSD": ("images/{}.jpg", "ground_truth_mask/{}.png"),
    "DUTS-TE": ("DUTS-TE-Image/{}.jpg", "DUTS-TE-Mask/{}.png"),
    "DUTS-TR": ("DUTS-TR/DUTS-TR-Image/{}.jpg", "DUTS-TR/DUTS-TR-Mask/{}.png"),
    "DUT-OMRON": ("DUT-OMRON-image/{}.jpg", "pixelwiseGT-new-PNG/{}.png"),
    "DUT-OMRON, nested": ("DUT-OMRON-image/DUT-OMRON-image/{}.jpg", "pixelwiseGT-new-PNG/{}.png"),
    "HKU-IS": ("imgs/{}.png", "gt/{}.png"),
    "PASCAL-S": ("datasets/imgs/pascal/{}.jpg", "datasets/masks/pascal/{}.png"),
    "PASCAL-S, flat": ("Imgs/{}.jpg", "Imgs/{}.png"),
    "SOD, Imgs": ("Imgs/{}.jpg", "GT/{}.png"),
    "SOD, Image": ("Image/{}.jpg", "GT/{}.png"),
}


@pytest.mark.parametrize("archive", ARCHIVES)
def test_public_layouts(archive: str, tmp_path: Path) -> None:
    photo, mask = ARCHIVES[archive]
    for name in ("b", "a", "c"):
        write_pair(tmp_path / "set" / photo.format(name), tmp_path / "set" / mask.format(name))
    found = find_dataset(tmp_path / "set")
    assert [Path(pair.name).name for pair in found.pairs] == [Path(photo.format(name)).name for name in "abc"]
    assert [pair.mask.stem for pair in found.pairs] == ["a", "b", "c"]
    assert found.name == "set"
    assert found.problems == ()
    checked = check_pairs(found)
    assert [(pair.width, pair.height) for pair in checked.pairs] == [(48, 36)] * 3


@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
def test_every_layout_in_any_case_and_one_folder_down(layout: object, tmp_path: Path) -> None:
    photos, masks = str(layout).split(" (")[0].split(" + ")
    write_pair(tmp_path / "one" / photos / "a.jpg", tmp_path / "one" / masks / "a.png")
    assert len(find_dataset(tmp_path / "one").pairs) == 1
    write_pair(
        tmp_path / "two" / "below" / photos.upper() / "a.jpg",
        tmp_path / "two" / "below" / masks.title() / "a.png",
    )
    assert len(find_dataset(tmp_path / "two").pairs) == 1


def test_sequences_keep_their_folders(tmp_path: Path) -> None:
    for sequence in ("bear", "camel"):
        for frame in ("00000", "00001"):
            write_pair(
                tmp_path / "JPEGImages" / "480p" / sequence / f"{frame}.jpg",
                tmp_path / "Annotations" / "480p" / sequence / f"{frame}.png",
            )
    names = [pair.name for pair in find_dataset(tmp_path).pairs]
    assert names == ["bear/00000.jpg", "bear/00001.jpg", "camel/00000.jpg", "camel/00001.jpg"]


def test_an_unknown_layout_says_what_was_looked_for_and_found(tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    Image.new("L", (4, 4)).save(tmp_path / "x.jpg")
    with pytest.raises(InputError) as error:
        find_dataset(tmp_path)
    message = str(error.value)
    assert "images/ + masks/" in message
    assert "duts-te-image/ + duts-te-mask/" in message
    assert "found pictures/; 1 .jpg." in message


def test_an_ambiguous_layout_names_the_readings(tmp_path: Path) -> None:
    for name in ("DUTS-TE", "DUTS-TR"):
        write_pair(tmp_path / name / f"{name}-Image" / "a.jpg", tmp_path / name / f"{name}-Mask" / "a.png")
    with pytest.raises(InputError, match=r"2 readings of it.*DUTS-TE-Image.*DUTS-TR-Image.*own folder"):
        find_dataset(tmp_path)
    assert len(find_dataset(tmp_path / "DUTS-TE").pairs) == 1
    write_pair(tmp_path / "two" / "images" / "a.jpg", tmp_path / "two" / "masks" / "a.png")
    write_pair(tmp_path / "two" / "images" / "a.jpg", tmp_path / "two" / "gt" / "a.png")
    with pytest.raises(InputError, match="2 readings"):
        find_dataset(tmp_path / "two")


def test_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        find_dataset(tmp_path / "nothing")


def broken_dataset(folder: Path) -> CheckedPairs:
    """Sound pairs, and one of each problem."""
    photos, masks = folder / "images", folder / "masks"
    write_dataset(folder, 2)
    (masks / "001.png").unlink()
    write_pair(photos / "only.jpg", masks / "only-mask.png")
    write_pair(photos / "size.jpg", masks / "size.png")
    Image.fromarray(disc(36, 47)).save(masks / "size.png")
    write_pair(photos / "colour.jpg", masks / "colour.png")
    Image.new("RGB", (48, 36), (200, 0, 0)).save(masks / "colour.png")
    write_pair(photos / "palette.jpg", masks / "palette.png")
    palette = Image.new("P", (48, 36))
    palette.putpalette([0, 0, 0, 128, 0, 0])
    palette.putpixel((3, 3), 1)
    palette.save(masks / "palette.png")
    write_pair(photos / "alpha.jpg", masks / "alpha.png")
    Image.new("LA", (48, 36), (255, 9)).save(masks / "alpha.png")
    write_pair(photos / "broken.jpg", masks / "broken.png")
    (photos / "broken.jpg").write_bytes(b"\xff\xd8\xff and no more")
    write_pair(photos / "text.jpg", masks / "text.png")
    (masks / "text.png").write_text("no picture")
    write_pair(photos / "twice.jpg", masks / "twice.png")
    Image.new("RGB", (48, 36)).save(photos / "twice.webp")
    return check_pairs(find_dataset(folder))


def test_every_problem_is_listed_at_once(tmp_path: Path) -> None:
    checked = broken_dataset(tmp_path)
    assert [pair.name for pair in checked.pairs] == ["000.jpg"]
    assert [(problem.name, problem.problem) for problem in checked.problems] == [
        ("001.jpg", "no mask"),
        ("alpha.jpg", "mask not grey"),
        ("broken.jpg", "unreadable"),
        ("colour.jpg", "mask not grey"),
        ("only-mask.png", "no photo"),
        ("only.jpg", "no mask"),
        ("palette.jpg", "mask not grey"),
        ("size.jpg", "sizes differ"),
        ("text.jpg", "unreadable"),
        ("twice.jpg", "several of one name"),
    ]
    reasons = {problem.name: problem.reason for problem in checked.problems}
    assert reasons["size.jpg"] == "photo 48 × 36, mask 47 × 36"
    assert "twice.webp" in reasons["twice.jpg"]


def test_grey_masks_of_every_kind_are_taken(tmp_path: Path) -> None:
    truth = Image.fromarray(disc(36, 48))
    kinds = {
        "grey": truth,
        "bits": truth.convert("1"),
        "rgb": truth.convert("RGB"),
        "palette": truth.convert("P"),
        "deep": Image.fromarray(np.asarray(truth, np.uint16) * 257),
    }
    for name, mask in kinds.items():
        write_pair(tmp_path / "images" / f"{name}.jpg", tmp_path / "masks" / f"{name}.png")
        mask.save(tmp_path / "masks" / f"{name}.png")
    checked = check_pairs(find_dataset(tmp_path))
    assert len(checked.pairs) == len(kinds)
    assert checked.problems == ()


def test_photos_that_the_camera_laid_on_the_side_are_turned(tmp_path: Path) -> None:
    write_pair(tmp_path / "images" / "a.jpg", tmp_path / "masks" / "a.png", size=(48, 36))
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (36, 48)).save(tmp_path / "images" / "a.jpg", exif=exif)
    (pair,) = check_pairs(find_dataset(tmp_path)).pairs
    assert (pair.width, pair.height) == (48, 36)


def test_pictures_over_the_limit_are_left_out(tmp_path: Path) -> None:
    write_pair(tmp_path / "a.jpg", tmp_path / "a.png", size=(60, 50))
    write_pair(tmp_path / "b.jpg", tmp_path / "b.png", size=(10, 10))
    checked = check_pairs(find_dataset(tmp_path), max_pixels=2999)
    assert [pair.name for pair in checked.pairs] == ["b.jpg"]
    assert "--max-pixels" in checked.problems[0].reason


def test_no_sound_pair_is_an_error_with_the_first_problems(tmp_path: Path) -> None:
    for index in range(PROBLEMS_SHOWN + 3):
        write_pair(tmp_path / "images" / f"{index:02d}.jpg", tmp_path / "masks" / f"{index:02d}.png")
        (tmp_path / "masks" / f"{index:02d}.png").write_bytes(b"")
    with pytest.raises(InputError, match=r"none; 00\.jpg: unreadable .*19\.jpg.*; and 3 more\. To mend"):
        check_pairs(find_dataset(tmp_path))


def test_a_limit_spreads_evenly(tmp_path: Path) -> None:
    pairs = check_pairs(find_dataset(write_dataset(tmp_path, 10))).pairs
    assert [pair.name for pair in every_kth(pairs, 4)] == ["000.jpg", "002.jpg", "005.jpg", "007.jpg"]
    assert every_kth(pairs, 10) == pairs
    assert every_kth(pairs, None) == pairs
    assert [pair.name for pair in every_kth(pairs, 1)] == ["000.jpg"]


def test_digests_tell_choices_and_changes(tmp_path: Path) -> None:
    pairs = check_pairs(find_dataset(write_dataset(tmp_path, 3))).pairs
    files, shapes = files_digest(pairs), pairs_digest(pairs)
    assert pairs_digest(pairs[:2]) != shapes
    with pairs[0].mask.open("ab") as file:
        file.write(b"\0")
    assert files_digest(pairs) != files
    assert pairs_digest(pairs) == shapes
