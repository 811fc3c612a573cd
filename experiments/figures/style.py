"""What the figures share: the look, reading the data, and files that are the same bytes on every run."""
import csv
import math
import os

import matplotlib
import matplotlib.figure
from matplotlib.textpath import TextPath

matplotlib.use("Agg")
matplotlib.rcdefaults()  # a matplotlibrc on this machine shall not change a figure
matplotlib.rcParams.update({
    "font.family": "DejaVu Sans",
    "font.size": 8,
    "axes.labelsize": 8,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 8,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "axes.linewidth": 0.6,
    "axes.edgecolor": "#888888",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "xtick.color": "#888888",
    "ytick.color": "#888888",
    "xtick.labelcolor": "#444444",
    "ytick.labelcolor": "#222222",
    "xtick.major.width": 0.6,
    "xtick.minor.width": 0.4,
    "xtick.major.size": 3,
    "xtick.minor.size": 1.5,
    "text.color": "#222222",
    "lines.linewidth": 1.2,
    "lines.markersize": 4,
    "svg.fonttype": "path",
    "svg.hashsalt": "lowvar",
})

# Okabe and Ito's eight colours, told apart by colour-blind readers too.
BLACK, ORANGE, SKY, GREEN, YELLOW, BLUE, VERMILLION, PURPLE = (
    "#000000", "#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7")
INK, GREY, PALE = "#222222", "#777777", "#E6E6E6"

# Sampled values are dots with 95 % intervals, exact ones lines or open diamonds.
POINT = {"marker": "o", "markersize": 3.8, "markeredgewidth": 0}
INTERVAL = {"linewidth": 1.4, "solid_capstyle": "butt"}
EXACT = {"marker": "D", "markersize": 5.8, "markerfacecolor": "none", "markeredgecolor": INK,
         "markeredgewidth": 0.75, "linestyle": "none"}
SMALL = 7.2  # points

# Inches.
WIDTH = 8.0
MARGIN = 0.12


def page(height, title, subtitle):
    """A figure of so many inches, with its title and a line below it."""
    fig = matplotlib.figure.Figure(figsize=(WIDTH, height), facecolor="white")
    fig.text(MARGIN / WIDTH, 1 - 0.24 / height, title, fontsize=12, weight="bold", va="baseline")
    fig.text(MARGIN / WIDTH, 1 - 0.44 / height, subtitle, color=GREY, va="baseline")
    return fig


def panel(fig, left, top, width, height, **how):
    """Axes, in inches from the upper left corner of the page."""
    page_width, page_height = fig.get_size_inches()
    return fig.add_axes([left / page_width, 1 - (top + height) / page_height, width / page_width,
                         height / page_height], **how)


def write(ax, x, up, text, **how):
    """Text, x inches from the left edge of the axes and up inches above their upper edge."""
    box = ax.get_position()
    page_width, page_height = ax.figure.get_size_inches()
    return ax.figure.text(box.x0 + x / page_width, box.y1 + up / page_height, text, **how)


def name_panel(ax, name, note="", right="", up=0.09):
    """The name of a panel, a note below it and a remark at its right, the lowest `up` inches above the axes."""
    if note:
        write(ax, 0, up, note, fontsize=SMALL, color=GREY, va="baseline")
        up += 0.17
    write(ax, 0, up, name, fontsize=9.5, weight="bold", va="baseline")
    if right:
        width = ax.get_position().width * WIDTH
        write(ax, width, up, right, fontsize=SMALL, color=GREY, va="baseline", ha="right")


def key(fig, entries, down=0.68):
    """What the colours mean, in a line so many inches below the upper edge."""
    height, x = fig.get_size_inches()[1], MARGIN
    for colour, text in entries:
        fig.text(x / WIDTH, 1 - down / height, "●", color=colour, va="baseline")
        fig.text((x + 0.14) / WIDTH, 1 - down / height, text, color=colour, va="baseline")
        x += 0.44 + text_width(text, 8)


def remark(ax, name, size, text):
    """A remark behind the name of a panel."""
    write(ax, text_width(name, size) * 1.04 + 0.14, 0.09, text, fontsize=SMALL, color=GREY, va="baseline")


def draw_points(ax, x, y, se, colour, floor=-math.inf, zorder=5, **how):
    """Sampled values with 95 % intervals, cut off at floor."""
    for xi, yi, si in zip(x, y, se):
        ax.plot([xi, xi], [max(yi - 1.96 * si, floor), max(yi + 1.96 * si, floor)], color=colour, zorder=zorder,
                **INTERVAL)
        if yi > floor:
            ax.plot(xi, yi, color=colour, linestyle="none", zorder=zorder + 1, clip_on=False, **{**POINT, **how})


def plain(x, _=None):
    """A number of a tick: as people write it, powers of ten where it is large or small."""
    if x == 0 or 1e-4 < abs(x) < 1e4:
        return f"{x:.10g}".replace("-", "−")
    mantissa, exponent = f"{x:.0e}".split("e")
    return ("$10^{%d}$" if mantissa == "1" else "$" + mantissa + r"\cdot 10^{%d}$") % int(exponent)


def read_csv(path):
    """The rows as dictionaries of strings; lines in front of the header that start with # are comments."""
    with open(path, newline="", encoding="utf-8") as file:
        lines = file.readlines()
    while lines and lines[0].startswith("#"):
        lines.pop(0)
    return list(csv.DictReader(lines))


def number(row, column):
    """The number in a column, None where the field is missing, empty or not finite."""
    value = float(row.get(column) or "nan")
    return value if math.isfinite(value) else None


def column(rows, name):
    """The numbers of a column."""
    return [number(row, name) for row in rows]


def columns(rows, *names):
    """The numbers of several columns."""
    return tuple(column(rows, name) for name in names)


def plain_name(name):
    """A name from outside as characters that have a shape: others, and bytes that are not UTF-8, by their codes."""
    text = os.fsencode(name).decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def text_width(text, size):
    """Inches, at a font size in points."""
    return TextPath((0, 0), text, size=size).get_extents().width / 72 if text.strip() else 0.0


def wrap(text, size, width):
    """The text with line breaks, so that no line is wider than so many inches."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and text_width(longer, size) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return "\n".join(lines)


def save(fig, directory, stem):
    """Writes directory/stem.svg and directory/stem.png (200 dots per inch), without dates or versions in them. Each
    is whole or absent, and stays, though a process whose parent was killed may be drawing the same."""
    svg, png = {"metadata": {"Date": None, "Creator": None}}, {"dpi": 200, "metadata": {"Software": None}}
    for kind, options in (("svg", svg), ("png", png)):
        path = os.path.join(directory, f"{stem}.{kind}")
        partial = f"{path}.{os.getpid()}.partial"
        with open(partial, "wb") as file:
            try:
                fig.savefig(file, format=kind, **options)
                file.flush()
                os.fsync(file.fileno())
            except OSError:
                os.unlink(partial)
                raise
        os.replace(partial, path)
