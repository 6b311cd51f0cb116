"""What the demo shows while it runs, and tables at its end."""

import sys
import time


class Timeline:
    """One line an event, with the time since the start; the last line may be redrawn in place
    when the output is a terminal."""

    def __init__(self, out=sys.stdout, started=None):
        self._out, self._started = out, started or time.time()
        self._open_line = False

    def event(self, text):
        self._close_line()
        print(f"[{time.time() - self._started:6.1f} s] {text}", file=self._out, flush=True)

    def redraw(self, text):
        if not self._out.isatty():
            return
        print(f"\r\033[K[{time.time() - self._started:6.1f} s] {text}", end="", file=self._out,
              flush=True)
        self._open_line = True

    def _close_line(self):
        if self._open_line:
            print("\r\033[K", end="", file=self._out)
            self._open_line = False


def bar(fraction, width=30):
    full = round(max(0.0, min(1.0, fraction)) * width)
    return "#" * full + "." * (width - full)


def table(head, rows):
    """Plain text, columns as wide as their widest cell; numbers to the right."""
    cells = [head] + [[_text(value) for value in row] for row in rows]
    widths = [max(len(row[i]) for row in cells) for i in range(len(head))]
    numeric = [all(_is_number(row[i]) for row in rows) for i in range(len(head))]
    lines = []
    for number, row in enumerate(cells):
        parts = [value.rjust(width) if right else value.ljust(width)
                 for value, width, right in zip(row, widths, numeric)]
        lines.append("  ".join(parts).rstrip())
        if number == 0:
            lines.append("  ".join("-" * width for width in widths))
    return "\n".join(lines)


def _is_number(value):
    return value is None or isinstance(value, (int, float)) and not isinstance(value, bool)


def _text(value):
    if value is None:
        return "-"
    if value is True or value is False:
        return "yes" if value else "NO"
    return f"{value:.1f}" if isinstance(value, float) else str(value)
