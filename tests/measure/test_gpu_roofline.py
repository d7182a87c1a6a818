"""The GPU's roofline: what is counted, and what is said without a GPU, on a processor with a clock of its own."""

from __future__ import annotations

from collections.abc import Callable

import pytest

torch = pytest.importorskip("torch", reason="needs PyTorch")

from u2forge.measure.gpu_roofline import measured_roofline, roofline_of_gpu  # noqa: E402


def test_products_and_bytes_are_counted_by_the_devices_clock() -> None:
    allowed = []

    def clock(call: Callable[[], object]) -> float:
        assert call() is not None
        allowed.append(torch.backends.cuda.matmul.allow_tf32)
        return 2.0

    found = measured_roofline(
        ["float32", "tensorfloat32", "float16"], torch.device("cpu"), clock=clock, side=64, copied_bytes=4000
    )
    # 64³ multiply-accumulates, and 4000 bytes read and written, in 2 ms.
    assert found.peaks_gmac_per_s == dict.fromkeys(("float32", "tensorfloat32", "float16"), 64**3 / 2000000.0)
    assert found.bandwidth_gb_per_s == 8000 / 2e6
    assert found.notes == ()
    assert allowed[:3] == [False, True, False]
    assert torch.backends.cuda.matmul.allow_tf32 is False


def test_what_is_not_measured_is_said() -> None:
    found = measured_roofline(["int8"], torch.device("cpu"), clock=lambda call: 1.0, side=8, copied_bytes=8)
    assert found.peaks_gmac_per_s == {}
    assert found.notes == ("the peak in int8 is not measured of GPUs",)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_the_reason_is_a_note() -> None:
    found = roofline_of_gpu(["float16"], device="cuda:0")
    assert found.bandwidth_gb_per_s is None
    assert len(found.notes) == 1
    assert found.notes[0].startswith("nothing was measured of the GPU: ")
