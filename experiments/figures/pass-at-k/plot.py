"""Draws pass-at-k: plot.py DIR reads DIR/pass-at-k.csv and writes the SVG and the PNG."""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import style  # noqa: E402  (sets matplotlib up, so it comes first)
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator  # noqa: E402

ID = "pass-at-k"
HEIGHT = 3.5
COLOURS = {"basic": style.VERMILLION, "loo": style.BLUE, "loo1": style.GREEN}


def write(ax, x, y, text, colour, ha="left"):
    ax.text(x, y, text, fontsize=style.SMALL, color=colour, ha=ha, va="center", linespacing=1.3)


def draw(rows):
    fig = style.page(HEIGHT, "Gradients of pass@k: all without bias, far apart in noise",
                     "PKPO's three forms on SEQ-31 (a right answer has probability 0.28): noise to signal of the "
                     "estimate from $n$ answers.")
    for i, k in enumerate(("1", "2", "4", "8")):
        ax = style.panel(fig, 0.55 + 1.86 * i, 0.82, 1.66, 2.15)
        ax.set_xscale("log")
        ax.set_yscale("log")
        ax.set_xlim(1.8, 72)
        ax.set_ylim(0.05, 700)
        ax.xaxis.set_major_locator(FixedLocator([2, 4, 8, 16, 32, 64]))
        ax.yaxis.set_major_locator(FixedLocator([0.1, 1, 10, 100]))
        for axis in ax.xaxis, ax.yaxis:
            axis.set_major_formatter(FuncFormatter(style.plain))
            axis.set_minor_locator(NullLocator())
        if i:
            ax.tick_params(labelleft=False)
        ax.grid(axis="y", color=style.PALE, linewidth=0.6)
        ax.set_xlabel("answers $n$")
        for form, colour in COLOURS.items():
            if k == "1" and form == "basic":
                continue
            of = [r for r in rows if r["k"] == k and r["form"] == form]
            n, nsr = ([style.number(r, c) for r in of] for c in ("n", "nsr"))
            ax.plot(n, nsr, color=colour, linewidth=1.4, zorder=3)
            ax.plot(n[:1], nsr[:1], color=colour, linestyle="none", zorder=4, **style.POINT)
        style.name_panel(ax, f"k = {k}")
        if k == "1":
            write(ax, 3.1, 9, "minus the others'\nestimate: RLOO", COLOURS["loo"])
            write(ax, 2.1, 0.4, "no baseline", COLOURS["loo1"])
        if k == "4":
            write(ax, 64, 60, "right: 1, wrong:\nwhat the others lack", COLOURS["basic"], "right")
            write(ax, 2, 0.09, "right answers alone", COLOURS["loo1"])
        if k == "8":
            write(ax, 10.5, 9, "minus the others'\nestimate", COLOURS["loo"])
            by = {r["form"]: style.number(r, "nsr") for r in rows if r["k"] == "8" and r["n"] == "8"}
            ax.plot([8, 8], [by["loo1"] * 1.25, by["basic"] / 1.2], color=style.GREY, linewidth=0.6, zorder=1)
            write(ax, 7.2, (by["loo1"] * by["basic"]) ** 0.5, f"× {by['basic'] / by['loo1']:.0f}", style.GREY, "right")
    return fig


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: plot.py DIR")
    style.save(draw(style.read_csv(pathlib.Path(sys.argv[1]) / f"{ID}.csv")), sys.argv[1], ID)
