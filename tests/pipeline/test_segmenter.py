"""Segmenter: batches, padding, embedded preprocessing, each picture as if it were alone."""

from __future__ import annotations

import numpy as np
import pytest
from fake_engine import SIZE, FakeEngine, fake_manifest, fake_segmenter

from u2forge.errors import EngineError, InputError
from u2forge.pipeline.picture import Picture
from u2forge.pipeline.postprocess import postprocess
from u2forge.pipeline.preprocess import preprocess
from u2forge.pipeline.segmenter import Segmenter


def picture(seed: int, *, height: int = 30, width: int = 40) -> Picture:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Picture(pixels, alpha=None, icc_profile=None, exif=None, source=str(seed))


def test_one_picture_gives_the_engines_map_and_its_mask() -> None:
    photo = picture(1)
    result = fake_segmenter().segment(photo)
    sent = preprocess(photo.rgb, height=SIZE, width=SIZE, profile="official")
    expected = np.clip(sent[0] * 0.229 + 0.485, 0, 1)
    np.testing.assert_allclose(result.probability, expected, atol=1e-6)
    mask = postprocess(result.probability, height=30, width=40, post="stretch", pre="official")
    np.testing.assert_array_equal(result.mask, mask)
    assert list(result.stage_ms) == ["preprocess", "inference", "postprocess"]
    assert min(result.stage_ms.values()) >= 0


@pytest.mark.parametrize("batch_size", [1, 2, 4, None])
@pytest.mark.parametrize("count", [0, 1, 3, 9])
def test_a_batch_gives_what_each_picture_gives_alone(batch_size: int | None, count: int) -> None:
    photos = [picture(seed, height=20 + seed, width=50 - seed) for seed in range(count)]
    alone = fake_segmenter()
    engine = FakeEngine(batch_size=batch_size)
    results = fake_segmenter(engine).segment_batch(photos)
    assert len(results) == count
    for photo, result in zip(photos, results, strict=True):
        np.testing.assert_array_equal(result.mask, alone.segment(photo).mask)
    if batch_size is not None:
        assert {len(batch) for batch in engine.batches} <= {batch_size}


def test_the_last_batch_is_filled_with_its_last_picture() -> None:
    engine = FakeEngine(batch_size=4)
    fake_segmenter(engine).segment_batch([picture(1), picture(2)])
    (batch,) = engine.batches
    np.testing.assert_array_equal(batch[2], batch[1])
    np.testing.assert_array_equal(batch[3], batch[1])


def test_embedded_preprocessing_sends_8_bit_rows_of_rgb() -> None:
    engine = FakeEngine(embedded=True)
    fake_segmenter(engine).segment(picture(1))
    assert engine.batches[0].dtype == np.uint8
    assert engine.batches[0].shape == (1, SIZE, SIZE, 3)


def test_profiles_come_from_the_manifest_unless_given() -> None:
    engine = FakeEngine()
    assert Segmenter(engine, fake_manifest(engine)).post == "stretch"
    given = Segmenter(engine, fake_manifest(engine), pre="rembg", post="threshold")
    assert (given.pre, given.post) == ("rembg", "threshold")
    assert set(np.unique(given.segment(picture(1)).mask)) <= {0, 255}


def test_an_unknown_profile_is_refused_with_the_valid_ones() -> None:
    engine = FakeEngine()
    with pytest.raises(InputError, match=r"'pre'.*official, antialias, rembg; found 'fast'"):
        Segmenter(engine, fake_manifest(engine), pre="fast")  # type: ignore[arg-type]


def test_an_answer_of_another_shape_is_an_engine_error() -> None:
    with pytest.raises(EngineError, match=r"output 'd0'.*at least 2, 1, h, w.*found float32 \(1, 1, 4, 4\)"):
        fake_segmenter().maps({"d0": np.zeros((1, 1, 4, 4), np.float32)}, count=2)


def test_leaving_the_with_statement_closes_the_engine() -> None:
    engine = FakeEngine()
    with fake_segmenter(engine):
        assert not engine.closed
    assert engine.closed
