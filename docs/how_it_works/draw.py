"""Draws the diagrams of these pages: `python docs/how_it_works/draw.py` writes an .svg file for each beside itself.

Boxes bring their own ground, and arrows and labels are of a grey that shows on white and on black, so that a diagram
can be read in light and in dark colours.
"""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from pathlib import Path

STEP, DECISION, KEPT = "#3949ab", "#00796b", "#8d6e63"
GREY = "#808791"


def box(x: float, y: float, lines: str, colour: str = STEP, *, width: float = 150, height: float = 56) -> str:
    """A box with its centre at a point; each line of text on a line of its own."""
    texts = lines.split("\n")
    shape = f'<rect x="{x - width / 2:g}" y="{y - height / 2:g}" width="{width:g}" height="{height:g}" rx="7"'
    rows = [
        f'<text x="{x:g}" y="{y + 5 + 17 * (row - (len(texts) - 1) / 2):g}" fill="#fff">{escape(text)}</text>'
        for row, text in enumerate(texts)
    ]
    return f'{shape} fill="{colour}"/>' + "".join(rows)


def arrow(*points: tuple[float, float], said: str = "", at: tuple[float, float] | None = None) -> str:
    """An arrow along points, with a label at a place, or else above its middle."""
    path = " ".join(f"{x:g},{y:g}" for x, y in points)
    line = f'<polyline points="{path}" fill="none" stroke="{GREY}" stroke-width="2" marker-end="url(#head)"/>'
    (ax, ay), (bx, by) = points[0], points[1]
    x, y = at or ((ax + bx) / 2, (ay + by) / 2 - 8)
    return line + label(x, y, said) if said else line


def label(x: float, y: float, said: str) -> str:
    """Text on the page itself."""
    return "".join(
        f'<text x="{x:g}" y="{y + 16 * row:g}" fill="{GREY}">{escape(text)}</text>'
        for row, text in enumerate(said.split("\n"))
    )


def dot(x: float, y: float, colour: str) -> str:
    """Where the training of a student ends."""
    return f'<circle cx="{x:g}" cy="{y:g}" r="7" fill="{colour}"/>'


def line(start: tuple[float, float], end: tuple[float, float]) -> str:
    """A straight line."""
    ends = f'x1="{start[0]:g}" y1="{start[1]:g}" x2="{end[0]:g}" y2="{end[1]:g}"'
    return f'<line {ends} stroke="{GREY}" stroke-width="2"/>'


def picture(width: int, height: int, title: str, parts: Iterable[str]) -> str:
    """An SVG file with a title for those who cannot see it."""
    head = (
        f'<marker id="head" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7" orient="auto">'
        f'<path d="M0 0 L10 5 L0 10 z" fill="{GREY}"/></marker>'
    )
    style = 'font-family="system-ui, sans-serif" font-size="14" text-anchor="middle"'
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" {style}>\n'
        f"<title>{escape(title)}</title>\n<defs>{head}</defs>\n{body}\n</svg>\n"
    )


def search() -> str:
    """How the next student is chosen."""
    return picture(
        760,
        300,
        "How the next student is chosen",
        [
            box(95, 60, "About 900\ncandidates"),
            arrow((170, 60), (215, 60)),
            box(300, 60, "Costs are known\nor predicted", width=168),
            arrow((384, 60), (430, 60)),
            box(515, 60, "A model predicts\nwhat training gives", width=168),
            arrow((599, 60), (632, 60)),
            box(695, 60, "Expected\ngain", width=122),
            arrow((695, 88), (695, 150), (694, 202)),
            box(680, 232, "The best one\nis trained", DECISION, width=136),
            arrow((612, 232), (565, 232)),
            box(475, 232, "The scheduler\nstops it, or not", DECISION, width=176),
            arrow((387, 232), (345, 232)),
            box(270, 232, "Record of all\nstudents", KEPT),
            arrow(
                (195, 232),
                (95, 232),
                (95, 90),
                said="The study's own\nsuggestions, and changes\nto the best so far",
                at=(95, 262),
            ),
            arrow((300, 203), (500, 90), said="The model learns\nfrom the record", at=(322, 126)),
        ],
    )


def early_stopping() -> str:
    """Who trains on at the rungs."""
    columns = {"3 epochs": 130, "9 epochs": 360, "27 epochs": 590}
    parts = [label(x, 28, name) for name, x in columns.items()]
    parts += [line((x, 38), (x, 48)) for x in columns.values()]
    for y, reached in ((62, 2), (92, 0), (122, 1), (152, 0), (182, 2), (212, 0), (242, 0)):
        end = list(columns.values())[reached]
        parts.append(line((30, y), (end, y)))
        parts.append(dot(end, y, DECISION if reached == 2 else KEPT))
    parts.append(label(670, 67, "trained in full"))
    parts.append(label(670, 187, "trained in full"))
    parts.append(label(465, 127, "stopped at the second rung"))
    parts.append(label(236, 157, "stopped at the first rung"))
    return picture(760, 280, "Most students are stopped at the first rung, and few are trained in full", parts)


def latency() -> str:
    """A round of timing."""
    parts = [label(58, 45, "one round")]
    for turn in range(3):
        x = 150 + 196 * turn
        parts.append(box(x, 40, "cal", KEPT, width=44, height=40))
        parts.append(box(x + 50, 40, "A", width=40, height=40))
        parts.append(box(x + 96, 40, "B", width=40, height=40))
        parts.append(box(x + 142, 40, "C", width=40, height=40))
    parts += [
        arrow((380, 66), (380, 104)),
        box(380, 132, "The fastest call of each is kept,\nand divided by that of the calibration network", width=360),
        arrow((380, 160), (380, 198), said="several rounds", at=(450, 184)),
        box(
            380,
            226,
            "The median over the rounds, times what the\ncalibration network takes on the idle machine",
            DECISION,
            width=360,
        ),
    ]
    return picture(760, 270, "Students and a calibration network are timed by turns", parts)


def honesty() -> str:
    """Which rows decide what."""
    return picture(
        760,
        290,
        "Which rows decide what",
        [
            box(110, 50, "Training rows\nand unlabelled rows", KEPT, width=180),
            box(110, 140, "Validation rows", KEPT, width=180),
            box(110, 240, "Test rows", KEPT, width=180),
            arrow((200, 50), (290, 50)),
            box(375, 50, "Students are\ntrained", width=170),
            arrow((375, 78), (375, 112)),
            arrow((200, 140), (290, 140)),
            box(375, 140, "The search proposes,\nstops and compares", width=170),
            arrow((460, 140), (520, 140)),
            box(
                635, 140, "Fresh seeds for all\nnear the front;\nthe front of the means", DECISION, width=226, height=70
            ),
            arrow((635, 175), (635, 208)),
            box(635, 240, "The final front,\nwith its spread", DECISION, width=226),
            arrow((200, 240), (522, 240), said="read once at the end,\nand the reading is counted", at=(361, 262)),
        ],
    )


def record() -> str:
    """Who writes what."""
    return picture(
        760,
        290,
        "One driver writes the record; workers write their results into the run folder",
        [
            box(110, 60, "Driver", DECISION, width=160),
            box(110, 230, "record.db\n(an Optuna study)", KEPT, width=160),
            arrow((110, 88), (110, 202), said="alone writes:\nproposal, rung,\nverdict", at=(180, 130)),
            box(600, 60, "Worker", width=140),
            box(600, 150, "Worker", width=140),
            arrow((190, 46), (530, 46), said="architecture, recipe, seed, epochs: plain data", at=(360, 36)),
            arrow((190, 66), (370, 66), (370, 150), (530, 150)),
            arrow((670, 60), (725, 60), (725, 226), (690, 226)),
            arrow((600, 178), (600, 200)),
            box(600, 230, "trials/17/attempt-…/epoch-9/\nweights, optimizer, result.json", KEPT, width=236, height=60),
            arrow(
                (482, 240),
                (330, 240),
                (330, 90),
                (192, 76),
                said="a finished result is adopted,\nalso by a new driver",
                at=(330, 266),
            ),
        ],
    )


DIAGRAMS = {each.__name__: each for each in (search, early_stopping, latency, honesty, record)}

if __name__ == "__main__":
    for name, draw in DIAGRAMS.items():
        Path(__file__).with_name(f"{name}.svg").write_text(draw(), encoding="utf-8")
