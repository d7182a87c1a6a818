"""What the user names, as a list of pictures: folders, globs, lists, mistakes."""

from __future__ import annotations

import io
import os
from pathlib import Path, PurePath

import pytest

from u2forge.errors import InputError
from u2forge.pipeline.inputs import collect_inputs
from u2forge.pipeline.walk_folder import RECORD_NAME


def touch(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def relatives(*specs: str | Path) -> list[str]:
    return [item.relative.as_posix() for item in collect_inputs(specs)]


def test_a_folder_is_walked_in_order_with_its_structure(tmp_path: Path) -> None:
    touch(
        tmp_path, "b.JPG", "a.png", "sub/c.webp", "sub/deep/d.tiff", "another/e.heic", "notes.md", "list.txt"
    )
    assert relatives(tmp_path) == ["a.png", "b.JPG", "another/e.heic", "sub/c.webp", "sub/deep/d.tiff"]
    assert {item.folder for item in collect_inputs([tmp_path])} == {tmp_path}


def test_hidden_files_our_own_leftovers_and_result_folders_are_left_out(tmp_path: Path) -> None:
    touch(
        tmp_path,
        "a.png",
        ".b.png",
        ".git/c.png",
        ".a.png.1-ff.u2forge-part",
        "out/a.png",
        f"out/{RECORD_NAME}",
    )
    assert relatives(tmp_path) == ["a.png"]


def test_a_result_folder_that_is_named_is_read(tmp_path: Path) -> None:
    touch(tmp_path, "a.png", RECORD_NAME)
    assert relatives(tmp_path) == ["a.png"]


def test_a_file_is_taken_whatever_its_suffix(tmp_path: Path) -> None:
    touch(tmp_path, "photo", "a[1].jpg")
    assert relatives(tmp_path / "photo", tmp_path / "a[1].jpg") == ["photo", "a[1].jpg"]


def test_globs_are_expanded_below_their_fixed_part(tmp_path: Path) -> None:
    touch(tmp_path, "day1/a.jpg", "day2/b.jpg", "day2/more/c.jpg", "day2/notes.md", "other/d.jpg")
    assert relatives(tmp_path / "day*" / "*.jpg") == ["day1/a.jpg", "day2/b.jpg"]
    assert relatives(tmp_path / "day2" / "**" / "*.jpg") == ["b.jpg", "more/c.jpg"]
    assert relatives(tmp_path / "day*") == ["day1/a.jpg", "day2/b.jpg", "day2/more/c.jpg"]


def test_a_list_file_is_read_relative_to_itself(tmp_path: Path) -> None:
    touch(tmp_path, "photos/a.jpg", "photos/sub/b.jpg", "elsewhere/c.jpg")
    names = tmp_path / "photos" / "list.txt"
    names.write_text(
        f"# photos\n\na.jpg\n sub/b.jpg \r\n../elsewhere/c.jpg\n{tmp_path}/photos/sub\n", encoding="utf-8"
    )
    assert relatives(names) == ["a.jpg", "sub/b.jpg", "c.jpg"]


def test_a_minus_reads_the_list_from_standard_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "a.jpg", "sub/b.jpg")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.stdin", io.StringIO("sub/b.jpg\na.jpg\n"))
    assert relatives("-") == ["sub/b.jpg", "a.jpg"]


def test_the_same_picture_is_taken_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "a.png", "sub/b.png")
    (tmp_path / "z.png").symlink_to(tmp_path / "a.png")
    monkeypatch.chdir(tmp_path)
    assert relatives(tmp_path, "a.png", tmp_path / "sub" / ".." / "a.png", "sub") == ["a.png", "sub/b.png"]


def test_links_that_run_in_circles_end(tmp_path: Path) -> None:
    touch(tmp_path, "sub/a.png")
    (tmp_path / "sub" / "up").symlink_to(tmp_path)
    (tmp_path / "sub" / "self").symlink_to(tmp_path / "sub")
    assert relatives(tmp_path) == ["sub/a.png"]


def test_a_linked_folder_is_walked(tmp_path: Path) -> None:
    touch(tmp_path, "real/a.png", "photos/b.png")
    (tmp_path / "photos" / "link").symlink_to(tmp_path / "real")
    assert relatives(tmp_path / "photos") == ["b.png", "link/a.png"]


def test_a_missing_path_names_the_near_ones(tmp_path: Path) -> None:
    touch(tmp_path, "photo.jpg")
    with pytest.raises(InputError, match=r"phoot\.jpg.*no such file or folder.*did you mean .*photo\.jpg"):
        collect_inputs([tmp_path / "phoot.jpg"])
    with pytest.raises(InputError, match="not even the folder"):
        collect_inputs([tmp_path / "none" / "a.jpg"])


def test_an_empty_folder_and_a_glob_without_match_are_refused(tmp_path: Path) -> None:
    touch(tmp_path, "notes.md")
    with pytest.raises(InputError, match="a folder with pictures; found none"):
        collect_inputs([tmp_path])
    with pytest.raises(InputError, match=r"\*\.jpg.*a pattern that matches pictures; found no match"):
        collect_inputs([tmp_path / "*.jpg"])


def test_a_missing_picture_of_a_list_is_left_to_be_reported(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("# only this\nbelow/missing.jpg\n", encoding="utf-8")
    (found,) = collect_inputs([tmp_path / "list.txt"])
    assert (found.path, found.relative) == (tmp_path / "below" / "missing.jpg", PurePath("below/missing.jpg"))


def test_a_list_names_the_line_of_a_pattern_without_match(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("# only this\nmissing*.jpg\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"list\.txt, line 2: 'missing\*\.jpg'"):
        collect_inputs([tmp_path / "list.txt"])


@pytest.mark.skipif(os.name != "posix", reason="such names exist on POSIX only")
def test_names_that_are_no_text_are_taken(tmp_path: Path) -> None:
    path = os.fsencode(tmp_path) + b"/\xff.png"
    try:
        with open(path, "wb"):  # noqa: PTH123 (a name in bytes)
            pass
    except OSError:
        pytest.skip("this file system takes no such names")
    assert [os.fsencode(item.path) for item in collect_inputs([tmp_path])] == [path]


def test_links_that_lead_in_circles_end(tmp_path: Path) -> None:
    folder = tmp_path / "d"
    folder.mkdir()
    (folder / "a.jpg").write_bytes(b"")
    (folder / "self").symlink_to(".")
    (folder / "up").symlink_to("../d")
    (folder / "l1.jpg").symlink_to("l2.jpg")
    (folder / "l2.jpg").symlink_to("l1.jpg")
    for spec in (folder, folder / "**" / "*.jpg"):
        found = [picture.path.name for picture in collect_inputs([spec])]
        assert "a.jpg" in found
        assert len(found) == len(set(found))


def test_a_pattern_leaves_hidden_names_out(tmp_path: Path) -> None:
    for name in ("a.jpg", ".hidden/b.jpg", "sub/c.jpg", "sub/.d.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    for pattern in ("**/*.jpg", "**"):
        found = {str(picture.relative) for picture in collect_inputs([tmp_path / pattern])}
        assert found == {"a.jpg", "sub/c.jpg"}
