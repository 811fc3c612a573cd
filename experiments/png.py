"""Draws a Picture (experiments/render.h), read as JSON from standard input, into a PNG file: png.py FILE"""
import json
import os
import sys

os.environ["SOURCE_DATE_EPOCH"] = "0"
import matplotlib  # noqa: E402

matplotlib.use("Agg")
matplotlib.rcdefaults()
from matplotlib import pyplot  # noqa: E402
from matplotlib.patches import Circle, PathPatch, Polygon  # noqa: E402
from matplotlib.path import Path  # noqa: E402

POINT = 0.72  # of a pixel, at 100 pixels an inch


def main(path):
    picture = json.load(sys.stdin)
    figure = pyplot.figure(figsize=(picture["width"] / 100, picture["height"] / 100))
    axes = figure.add_axes([0, 0, 1, 1])
    axes.set_axis_off()
    axes.set_xlim(0, picture["width"])
    axes.set_ylim(picture["height"], 0)
    for order, shape in enumerate(picture["shapes"]):
        points, fill = shape["points"], shape["fill"] or "none"
        paint = {"facecolor": fill, "edgecolor": shape["stroke"] or "none", "linewidth": shape["width"] * POINT,
                 "joinstyle": "round", "capstyle": "round", "zorder": order}
        if shape["words"]:
            axes.text(*points[0], shape["words"], size=shape["size"] * POINT, color=fill, zorder=order, parse_math=False,
                      ha="center" if shape["middle"] else "left", va="baseline")
        elif len(points) == 1:
            axes.add_patch(Circle(points[0], shape["size"], **paint))
        elif shape["fill"]:
            axes.add_patch(Polygon(points, closed=True, **paint))
        else:
            axes.add_patch(PathPatch(Path(points), **paint))
    figure.savefig(path, dpi=200, format="png", metadata={"Software": None})


if __name__ == "__main__":
    main(sys.argv[1])
