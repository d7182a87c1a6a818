"""A folder of photos onto a white background, with a word on each one that failed.

python examples/02_folder.py photos web
"""

import sys

import u2forge


def main(photos: str, results: str, model: str = "u2net") -> None:
    summary = u2forge.infer(
        photos,
        out=results,
        model=model,
        output="composite",
        background="white",
        format="jpeg",
        quality=85,
        existing="resume",
        on_report=lambda report: report.status == "failed" and print(f"{report.input}: {report.reason}"),
    )
    print(summary)


if __name__ == "__main__":
    main(*sys.argv[1:])
