"""Calibration drives a program's data as the original does, and refuses what is no data."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from programs import Noise, config, parsed

import u2forge.magicmind as mm

INT8 = "qint8_mixed_float32"


def refused(network: mm.Network, *data: mm.CalibDataInterface, precision: str = INT8, **keys: object) -> str:
    status = mm.Calibrator(list(data)).calibrate(network, config(keys, precision=precision))
    assert status.code is mm.Code.INVALID_ARGUMENT
    assert network.calibration is None
    return status.message


def test_the_data_is_reset_and_taken_to_its_end(classifier: Path) -> None:
    data = Noise((2, 3, 16, 16), count=2)
    network = parsed(classifier, (2, 3, 16, 16))
    assert mm.Calibrator([data]).calibrate(network, config(precision=INT8)).ok()
    assert data.calls == [
        "get_shape",
        "get_data_type",
        "reset",
        "next",
        "get_sample",
        "next",
        "get_sample",
        "next",
    ]
    assert network.calibration is not None
    record = network.calibration.found.record
    assert (record.source, record.count, network.calibration.bits) == ("tensors", 2, 8)


def test_what_is_seen_are_the_samples(classifier: Path) -> None:
    network = parsed(classifier, (2, 3, 16, 16))
    data = Noise((2, 3, 16, 16), count=3)
    assert mm.Calibrator([data]).calibrate(network, config(precision=INT8)).ok()
    assert network.calibration is not None
    seen = network.calibration.found.found.activations["picture"]
    arrays = np.stack([np.random.default_rng(seed).standard_normal((2, 3, 16, 16)) for seed in (1, 2, 3)])
    np.testing.assert_allclose(seen.low, arrays.min((0, 1, 3, 4)), rtol=1e-5)
    np.testing.assert_allclose(seen.mean, arrays.mean((0, 1, 3, 4)), atol=1e-6)
    assert seen.samples.shape == (3 * 2 * 64, 3)


@pytest.mark.parametrize("name", ["LINEAR_ALGORITHM", "EQNM_ALGORITHM", "EQM_ALGORITHM"])
def test_algorithms_and_the_older_spelling(name: str) -> None:
    assert mm.Calibrator([]).set_quantization_algorithm(mm.QuantizationAlgorithm[name]).ok()


def test_another_algorithm_is_refused() -> None:
    status = mm.Calibrator([]).set_quantization_algorithm("EQNM")  # type: ignore[arg-type]
    assert "QuantizationAlgorithm.LINEAR_ALGORITHM" in status.message


def test_a_remote_has_no_effect_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    assert mm.Calibrator([]).set_remote(mm.RemoteConfig()).ok()
    assert "calibration runs on this machine" in caplog.text


def test_what_does_not_calibrate_says_why(classifier: Path, detector: Path) -> None:
    network = parsed(classifier, (2, 3, 16, 16))
    assert "found data whose next() says OUT_OF_RANGE at once" in refused(
        network, Noise((2, 3, 16, 16), count=0)
    )
    assert "expected 1 CalibDataInterface" in refused(network)
    assert "(2, 3, 16, 16) NCHW; found float32 (2, 3, 17, 16)" in refused(network, Noise((2, 3, 17, 16)))
    bytes_ = Noise((2, 3, 16, 16), data_type=mm.DataType.UINT8)
    assert "calibration data, tensor 'picture': expected float32" in refused(network, bytes_)
    assert "leave the calibration out" in refused(network, Noise((2, 3, 16, 16)), precision="force_float16")
    means = {"0": {"mean": [1], "var": [1]}}
    assert "for each of its 3 channels" in refused(
        network, Noise((2, 3, 16, 16)), insert_bn_before_firstnode=means
    )
    two = parsed(detector)
    shapes = (1, 3, 12, 8), (1, 1, 12, 8)
    uneven = [Noise(shape, count=count) for shape, count in zip(shapes, (3, 2), strict=True)]
    assert "input 'depth', next: expected as many samples for each input" in refused(two, *uneven)


def test_data_that_answers_wrongly_is_named(classifier: Path) -> None:
    class Lying(Noise):
        def get_sample(self) -> np.ndarray:
            return super().get_sample()[:1]

    class Failing(Noise):
        def next(self) -> mm.Status:
            return mm.Status(mm.Code.INTERNAL, "no disk")

    class Silent(Noise):
        def next(self) -> mm.Status:
            return None  # type: ignore[return-value]

    network = parsed(classifier, (2, 3, 16, 16))
    shape = (2, 3, 16, 16)
    assert "get_sample: expected float32 (2, 3, 16, 16), as get_shape" in refused(network, Lying(shape))
    assert "OUT_OF_RANGE at the end; found INTERNAL: no disk" in refused(network, Failing(shape))
    assert "next: expected a Status; found None" in refused(network, Silent(shape))


def test_a_network_that_was_not_parsed(classifier: Path) -> None:
    status = mm.Calibrator([Noise((1, 3, 16, 16))]).calibrate(mm.Network(), config(precision=INT8))
    assert status.code is mm.Code.FAILED_PRECONDITION
    assert "call parser.parse(network, file) first" in status.message
