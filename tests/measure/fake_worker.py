"""A worker that only sleeps: `python fake_worker.py MILLISECONDS [WHAT-GOES-WRONG]`."""

from __future__ import annotations

import json
import os
import signal
import sys
import time


def main() -> None:
    seconds = float(sys.argv[1]) / 1000
    wrong = sys.argv[2] if len(sys.argv) > 2 else ""
    turns = 0
    for line in sys.stdin:
        request = json.loads(line)
        if "close" in request:
            return
        if "turn" in request:
            turns += 1
            if wrong == "dies" and turns == 2:
                print("last words", file=sys.stderr, flush=True)
                os.kill(os.getpid(), signal.SIGKILL)
            if wrong == "ends" and turns == 2:
                sys.exit(3)
            if wrong == "fails" and turns == 2:
                parts = {"where": "there", "expected": "more", "found": "less", "fix": "add some"}
                print(json.dumps({"error": {"kind": "EngineError", **parts}}), flush=True)
                return
            print(json.dumps({"turn": run(seconds, **request["turn"])}), flush=True)
        else:
            print(json.dumps({"echo": request, "pid": os.getpid()}), flush=True)


def run(
    pause: float, *, seconds: float, iterations: int, most_seconds: float, lead_in: int
) -> dict[str, object]:
    time.sleep(pause * lead_in)
    start = time.perf_counter()
    latencies: list[float] = []

    def passed() -> float:
        return time.perf_counter() - start

    while not latencies or (passed() < most_seconds and (len(latencies) < iterations or passed() < seconds)):
        before = time.perf_counter()
        time.sleep(pause)
        latencies.append((time.perf_counter() - before) * 1000)
    return {"wall_s": time.perf_counter() - start, "cpu_s": 0.0, "samples": {"latency": latencies}}


if __name__ == "__main__":
    main()
