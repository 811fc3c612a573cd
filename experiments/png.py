"""Draws Pictures (experiments/render.h), read as JSON from standard input, into a PNG or GIF file, several of them as a
moving picture: png.py FILE"""
import base64
import io
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
FRAME = 50  # milliseconds


def draw(picture, figure):
    figure.clear()
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
        elif shape["png"]:
            (left, top), (right, bottom) = points
            axes.imshow(pyplot.imread(io.BytesIO(base64.b64decode(shape["png"])), format="png"), aspect="auto",
                        extent=(left, right, bottom, top), zorder=order)
        elif len(points) == 1:
            axes.add_patch(Circle(points[0], shape["size"], **paint))
        elif shape["fill"]:
            axes.add_patch(Polygon(points, closed=True, **paint))
        else:
            axes.add_patch(PathPatch(Path(points), **paint))


def main(path):
    given = json.load(sys.stdin)
    pictures = given["pictures"]
    figure = pyplot.figure(figsize=(pictures[0]["width"] / 100, pictures[0]["height"] / 100))
    if len(pictures) == 1 and given["format"] == "png":
        draw(pictures[0], figure)
        figure.savefig(path, dpi=200, format="png", metadata={"Software": None})
        return
    from PIL import Image
    frames = []
    for picture in pictures:
        draw(picture, figure)
        buffer = io.BytesIO()
        figure.savefig(buffer, dpi=100, format="png", metadata={"Software": None})
        frame = Image.open(buffer).convert("RGB")
        frames.append(frame.quantize(64, dither=Image.Dither.NONE) if given["format"] == "gif" else frame)
    frames[0].save(path, format=given["format"].upper(), save_all=True, append_images=frames[1:], duration=FRAME, loop=0)


if __name__ == "__main__":
    main(sys.argv[1])
