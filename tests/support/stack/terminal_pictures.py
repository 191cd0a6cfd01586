"""What a terminal shows, drawn as SVG: a picture, or a recording that plays."""

import io
import re
from html import escape

from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

from tests.support.stack.terminals import COLUMNS

_PARTS = re.compile(r"(\x1b\[[0-9;?]*[A-Za-z]|\r|\n)")
_BETWEEN = "<!-- -->"
_SPINNER = re.compile("[\u2800-\u28ff]")
# rich's own sizes of a character, which its export does not take.
_HEIGHT, _WIDTH, _MARGIN = 24.4, 12.2, 16
_SECONDS, _LAST_SECONDS = 1, 5
"""How long a recording shows each frame, and the last one."""
# Readable on pages of either colour: the picture has its own background.
_THEME = TerminalTheme(
    (13, 17, 23),
    (230, 237, 243),
    [
        (110, 118, 129),
        (255, 123, 114),
        (63, 185, 80),
        (210, 153, 34),
        (88, 166, 255),
        (188, 140, 255),
        (57, 197, 207),
        (230, 237, 243),
    ],
)
# No font is fetched.
_FONTS = "ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace"

type Frame = list[str]
"""The lines of a terminal, with the codes of their colours."""


def frames(output: str) -> list[Frame]:
    """Return what a terminal showed, one frame each time that it showed something else.

    The command changes lines where they stand by going up and erasing whole lines, no otherwise.
    """
    lines, row, found, is_written = [""], 0, list[Frame](), False
    for part in filter(None, _PARTS.split(output)):
        match part:
            case "\x1b[2K":
                if is_written:
                    found.append(_without_end(lines))
                lines[row], is_written = "", False
            case "\x1b[1A":
                row -= 1
            case "\n":
                row += 1
                lines += [""] * (row + 1 - len(lines))
            case "\r" | "\x1b[?25l" | "\x1b[?25h":  # The cursor's column, and whether it shows.
                pass
            case _:
                assert part[0] != "\x1b" or part[-1] == "m", part
                lines[row] += part
                is_written = True
    return _different([*found, _without_end(lines)])


def _without_end(lines: Frame) -> Frame:
    last = max((number for number, line in enumerate(lines) if line), default=-1)
    return lines[: last + 1]


def _different(found: list[Frame]) -> list[Frame]:
    """Leave out a frame in which nothing but the spinner has turned."""
    seen = [_SPINNER.sub("", "\n".join(one)) for one in found]
    return [
        one for one, now, before in zip(found, seen, [None, *seen], strict=False) if now != before
    ]


def draw(command: str, shown: list[Frame]) -> str:
    """Draw a command and the frames that followed it, as a film of which one frame is seen."""
    screens = [
        [f"$ {command}", *(part for line in one for part in _wrapped(line))] for one in shown
    ]
    rows = max(map(len, screens))
    console = Console(width=COLUMNS, record=True, file=io.StringIO(), color_system="truecolor")
    for screen in screens:
        for line in [*screen, *[""] * (rows - len(screen))]:
            console.print(Text.from_ansi(line), no_wrap=True)
    exported = console.export_svg(
        theme=_THEME, unique_id="t", code_format=f"{{styles}}{_BETWEEN}{{backgrounds}}{{matrix}}"
    )
    return _svg(command, exported, rows, len(screens))


def _wrapped(line: str) -> list[str]:
    """Break a line where a terminal does, which knows no words."""
    text = Text.from_ansi(line)
    if len(text) <= COLUMNS:
        return [line]
    console = Console(
        width=COLUMNS, file=io.StringIO(), color_system="standard", force_terminal=True
    )
    with console.capture() as capture:
        for part in text.divide(range(COLUMNS, len(text), COLUMNS)):
            console.print(part, no_wrap=True)
    return capture.get().splitlines()


def _svg(command: str, exported: str, rows: int, count: int) -> str:
    # Each text would be cut at its line, which it fills at most; an end of a line is a text, too.
    exported = re.sub(r' clip-path="[^"]*"|<text[^>]*>\n</text>', "", exported)
    styles, _, film = exported.replace("&#160;", "\u00a0").partition(_BETWEEN)
    film = film.replace("</text>", "</text>\n")
    width, height = COLUMNS * _WIDTH, rows * _HEIGHT
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" '
        f'viewBox="0 0 {width + 2 * _MARGIN:g} {height + 2 * _MARGIN:g}">\n'
        f"<title>{escape(command)}</title>\n<style>\n"
        f"text {{ font: 20px {_FONTS} }}\n{styles}\n{_played(height, count)}</style>\n"
        f'<rect width="100%" height="100%" rx="8" fill="{_THEME.background_color.hex}"/>\n'
        f'<svg x="{_MARGIN}" y="{_MARGIN}" width="{width:g}" height="{height:g}">\n'
        f'<g class="film">\n{film}</g>\n</svg>\n</svg>\n'
    )


def _played(height: float, count: int) -> str:
    """Return the rules that pull the film up, frame by frame; who wants no motion sees the last."""
    if count == 1:
        return ""
    seconds = (count - 1) * _SECONDS + _LAST_SECONDS
    steps = "\n".join(
        f"{number * _SECONDS / seconds:.2%} {{ transform: translateY({-number * height:g}px) }}"
        for number in range(count)
    )
    return (
        f".film {{ transform: translateY({-(count - 1) * height:g}px); "
        f"animation: film {seconds}s step-end infinite }}\n"
        f"@keyframes film {{\n{steps}\n}}\n"
        "@media (prefers-reduced-motion: reduce) { .film { animation: none } }\n"
    )


def texts(svg: str) -> list[str]:
    """List what a picture says."""
    return re.findall(r">([^<]*)</text>", svg)
