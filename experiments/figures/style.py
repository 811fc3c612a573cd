"""What the figures share: the look, reading the data, and files that are the same bytes on every run."""
import csv
import math
import os

import matplotlib
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
    """Writes directory/stem.svg and directory/stem.png (200 dots per inch), without dates or versions in them."""
    fig.savefig(os.path.join(directory, stem + ".svg"), metadata={"Date": None, "Creator": None})
    fig.savefig(os.path.join(directory, stem + ".png"), dpi=200, metadata={"Software": None})
