"""The trace of inferences: complete events in microseconds, the parts one behind the other."""

from u2forge.engine.protocol import Phases
from u2forge.report.chrome_trace import TracedInference, chrome_trace


def test_parts_stand_one_behind_the_other_below_their_inference() -> None:
    phases = Phases(host_to_device_ms=0.5, enqueue_ms=0.25, compute_ms=2.0, device_to_host_ms=0.25)
    trace = chrome_trace([TracedInference(10.0, 3.0, phases)], about={"model": "u2netp"})
    assert trace["otherData"] == {"model": "u2netp"}
    events = [(one["name"], one["ts"], one["dur"]) for one in trace["traceEvents"] if one["ph"] == "X"]
    assert events == [
        ("inference 0", 10_000.0, 3000.0),
        ("host to device", 10_000.0, 500.0),
        ("enqueue", 10_500.0, 250.0),
        ("compute", 10_750.0, 2000.0),
        ("device to host", 12_750.0, 250.0),
    ]


def test_parts_that_an_engine_cannot_tell_are_left_out() -> None:
    trace = chrome_trace([TracedInference(0.0, 3.0, Phases(compute_ms=2.0))], about={})
    assert [one["name"] for one in trace["traceEvents"] if one["ph"] == "X"] == ["inference 0", "compute"]
