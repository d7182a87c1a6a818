"""Where results go: structure kept, never two in one file, never outside, never onto an input."""

from __future__ import annotations

import unicodedata
from pathlib import Path, PurePath, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from u2forge.errors import InputError, OutputError
from u2forge.pipeline.inputs import InputPicture, collect_inputs
from u2forge.pipeline.naming import plan_outputs


def plan(*names: str, output: str = "/results", root: str = "/photos") -> list[str]:
    inputs = [InputPicture(Path(root, name), PurePath(name), Path(root)) for name in names]
    return [path.relative_to(output).as_posix() for path in plan_outputs(inputs, Path(output), suffix=".png")]


def test_structure_is_kept() -> None:
    assert plan("a.jpg", "sub/b.webp", "sub/deep/c.x.png") == ["a.png", "sub/b.png", "sub/deep/c.x.png"]


def test_the_same_stem_keeps_both_suffixes() -> None:
    assert plan("a.jpg", "a.png", "b.jpg") == ["a.jpg.png", "a.png.png", "b.png"]


def test_names_that_differ_by_case_or_accents_form_only_are_told_apart() -> None:
    assert plan("A.jpg", "a.png") == ["A.jpg.png", "a.png.png"]
    composed, decomposed = (unicodedata.normalize(form, "é.jpg") for form in ("NFC", "NFD"))
    assert len({unicodedata.normalize("NFC", name).lower() for name in plan(composed, decomposed)}) == 2


def test_a_longer_name_that_is_taken_itself_is_told_apart() -> None:
    names = plan("a.jpg", "a.png", "a.jpg.gif")
    assert len(set(names)) == 3


def test_a_result_named_like_a_folder_is_told_apart() -> None:
    names = plan("a.jpg", "a.png/b.jpg")
    assert names == ["a.jpg.png", "a.png/b.png"]


def test_folders_with_the_same_names_give_their_own() -> None:
    inputs = [InputPicture(Path(root, "x.jpg"), PurePath("x.jpg"), Path(root)) for root in ("/one", "/two")]
    planned = plan_outputs(inputs, Path("/results"), suffix=".png")
    assert [str(path) for path in planned] == ["/results/one/x.png", "/results/two/x.png"]


def test_folders_of_the_same_name_give_digests_that_stay() -> None:
    inputs = [
        InputPicture(Path(root, "x.jpg"), PurePath("x.jpg"), Path(root)) for root in ("/1/day", "/2/day")
    ]
    planned = plan_outputs(inputs, Path("/results"), suffix=".png")
    assert len(set(planned)) == 2
    assert all("~" in path.name for path in planned)
    assert plan_outputs(inputs[::-1], Path("/results"), suffix=".png") == planned[::-1]


def test_no_name_leads_outside() -> None:
    inputs = [
        InputPicture(Path("/etc/a.jpg"), PurePosixPath("../../etc/a.jpg")),
        InputPicture(Path("/etc/b.jpg"), PurePosixPath("/etc/b.jpg")),
        InputPicture(Path("/etc/c.jpg"), PurePosixPath("..")),
    ]
    planned = plan_outputs(inputs, Path("/results"), suffix=".png")
    assert [str(path) for path in planned] == [
        "/results/etc/a.png",
        "/results/etc/b.png",
        "/results/picture.png",
    ]


def test_a_list_that_climbs_stays_inside(tmp_path: Path) -> None:
    (tmp_path / "lists").mkdir()
    (tmp_path / "a.jpg").touch()
    (tmp_path / "lists" / "list.txt").write_text("../a.jpg\n", encoding="utf-8")
    inputs = collect_inputs([tmp_path / "lists" / "list.txt"])
    assert plan_outputs(inputs, tmp_path / "out", suffix=".png") == [tmp_path / "out" / "a.png"]


def test_a_very_long_name_is_cut() -> None:
    (name,) = plan("é" * 120 + ".jpg")
    assert len(name.encode()) <= 240
    assert name.endswith(".png")


def test_one_picture_and_a_file_name(tmp_path: Path) -> None:
    inputs = [InputPicture(Path("a.jpg"), PurePath("a.jpg"))]
    assert plan_outputs(inputs, tmp_path / "mask.png", suffix=".png") == [tmp_path / "mask.png"]
    assert plan_outputs(inputs, tmp_path / "mask.JPEG", suffix=".jpg") == [tmp_path / "mask.JPEG"]
    assert plan_outputs(inputs, tmp_path / "masks", suffix=".png") == [tmp_path / "masks" / "a.png"]
    with pytest.raises(InputError, match=r"ends in \.png.*found \.webp.*mask\.png"):
        plan_outputs(inputs, tmp_path / "mask.webp", suffix=".png")


def test_several_pictures_and_a_file_name_are_refused(tmp_path: Path) -> None:
    inputs = [InputPicture(Path(name), PurePath(name)) for name in ("a.jpg", "b.jpg")]
    with pytest.raises(InputError, match="a folder for 2 pictures; found the name of one picture"):
        plan_outputs(inputs, tmp_path / "mask.png", suffix=".png")
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="found a file"):
        plan_outputs(inputs, tmp_path / "file", suffix=".png")


def test_an_input_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "a.png").touch()
    (tmp_path / "here").symlink_to(tmp_path)
    (tmp_path / "link.jpg").symlink_to(tmp_path / "a.png")
    for spec, output in (("a.png", tmp_path), ("a.png", tmp_path / "here"), ("a.png", tmp_path / "a.png")):
        with pytest.raises(InputError, match="the input picture itself"):
            plan_outputs(collect_inputs([tmp_path / spec]), output, suffix=".png")
    with pytest.raises(InputError, match="the picture that this input links to"):
        plan_outputs(collect_inputs([tmp_path / "link.jpg"]), tmp_path / "a.png", suffix=".png")


def test_results_do_not_go_among_the_photos_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").touch()
    with pytest.raises(InputError, match="a folder of its own"):
        plan_outputs(collect_inputs([tmp_path]), tmp_path, suffix=".png")


part = st.text(alphabet="aAbéE.1~", min_size=1, max_size=3).filter(lambda text: text.strip("."))
names = st.builds(
    lambda folders, stem, suffix: "/".join([*folders, f"{stem}{suffix}"]),
    st.lists(part | st.sampled_from(["a.png", "a.jpg.png", "p"]), max_size=2),
    part,
    st.sampled_from([".jpg", ".png", ".JPG", ".jpg.png", ""]),
)


@given(
    st.lists(st.tuples(st.sampled_from(["/p", "/q", "/r/p"]), names), unique=True, min_size=2, max_size=12)
)
def test_no_two_results_meet(pictures: list[tuple[str, str]]) -> None:
    inputs = [InputPicture(Path(root, name), PurePath(name), Path(root)) for root, name in pictures]
    planned = plan_outputs(inputs, Path("/results"), suffix=".png")
    keys = [unicodedata.normalize("NFC", str(path)).casefold() for path in planned]
    assert len(set(keys)) == len(keys)
    folders = {str(parent) for key in keys for parent in PurePosixPath(key).parents}
    assert not folders & set(keys)
    assert all(
        path.is_relative_to("/results") and path.suffix == ".png" and ".." not in path.parts
        for path in planned
    )
    backward = plan_outputs(inputs[::-1], Path("/results"), suffix=".png")
    assert backward == planned[::-1]
