"""Draws staleness: plot.py DIR reads DIR/staleness.csv and writes the SVG and the PNG."""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import style  # noqa: E402  (sets matplotlib up, so it comes first)
from matplotlib.colors import ListedColormap, to_rgb  # noqa: E402
from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter, NullLocator  # noqa: E402

ID = "staleness"
HEIGHT = 3.95
COLOURS = {"none": style.INK, "token": style.SKY, "cumulative": style.GREEN, "sequence": style.BLUE,
           "truncated": style.ORANGE, "masked": style.VERMILLION}
MARKERS = {"0.005": "o", "0.01": "s", "0.02": "^", "0.04": "D"}
KAPPA, KAPPA_MAP = (1.6e-3, 3.3), (6e-3, 3.3)
REGIONS = [(0.32, 1e5, "ratio of the\nwhole answer"), (0.03, 27, "no correction"), (0.82, 230, "all tokens\nso far"),
           (0.0155, 8000, "truncated"), (0.0155, 2200, "masked")]


def pale(colour, share=0.42):
    return tuple(1 - share * (1 - x) for x in to_rgb(colour))


def axes(fig, left, width):
    ax = style.panel(fig, left, 1.0, width, 2.35)
    ax.set_xscale("log")
    ax.set_xlim(*KAPPA)
    ax.xaxis.set_major_locator(FixedLocator([0.01, 0.1, 1]))
    ax.xaxis.set_major_formatter(FuncFormatter(style.plain))
    ax.set_xlabel(r"$\kappa=L\cdot\mathrm{KL}$ of a token, nats")
    return ax


def draw(rows):
    fig = style.page(HEIGHT, "One curve for all staleness",
                     r"Importance weights on answers of $L$ independent tokens from an older policy. As $L$ grows, only "
                     r"$\kappa$ matters.")
    bias, noise, best = axes(fig, 0.58, 2.3), axes(fig, 3.4, 1.75), axes(fig, 5.75, 2.05)
    best.set_xlim(KAPPA_MAP)
    counted = [row for row in rows if row["part"] == "counted" and row["baseline"] == "yes"]
    limits = [row for row in rows if row["part"] == "limit"]

    def limit(weight, column, baseline="yes"):
        return style.columns([r for r in limits if r["weight"] == weight and r["baseline"] == baseline], "kappa", column)

    for ax, column, shown in ((bias, "bias", ("sequence", "cumulative", "none", "truncated", "masked")),
                              (noise, "nsr", ("sequence", "token", "none", "truncated", "masked", "cumulative"))):
        for weight in shown:
            x, y = limit(weight, column + "_limit")
            if weight in ("truncated", "masked"):
                ax.plot(x, y, color=COLOURS[weight], linewidth=1.1, linestyle=(0, (4, 1.5)), zorder=2)
            elif y[0] is not None:
                ax.plot(x, y, color=COLOURS[weight], linewidth=1.4, zorder=3)
        for weight in ("none", "token", "cumulative", "sequence"):
            if weight not in shown:
                continue
            for delta, marker in MARKERS.items():
                of = [r for r in counted if r["weight"] == weight and r["delta"] == delta and float(r["L"]) >= 64]
                x, y = style.columns(of, "kappa", column)
                ax.plot(x, y, color=COLOURS[weight], marker=marker, markersize=3, markeredgewidth=0.5,
                        markeredgecolor="white", linestyle="none", zorder=5)
        ax.grid(axis="y", color=style.PALE, linewidth=0.6)
    x, y = style.columns([r for r in rows if r["part"] == "error" and r["weight"] == "cumulative"], "kappa", "nsr")
    noise.plot(x, y, color=COLOURS["cumulative"], linewidth=1.4, zorder=3)
    x, y = limit("none", "bias_limit", "no")
    bias.plot(x, y, color=style.INK, linewidth=0.9, linestyle=(0, (1, 1.6)), zorder=3)

    bias.set_ylim(-1.02, 0.06)
    bias.yaxis.set_major_locator(FixedLocator([0, -0.25, -0.5, -0.75, -1]))
    bias.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{100 * y:.0f} %".replace("-", "−")))

    def label(ax, x, y, text, colour, **how):
        ax.text(x, y, text, fontsize=style.SMALL, color=colour, **{"ha": "left", "va": "center", "linespacing": 1.3,
                                                                   "zorder": 6, **how})

    label(bias, 0.0018, 0.035, "ratio of the whole answer", COLOURS["sequence"])
    label(bias, 0.0018, -0.56, "no correction,\neach token's ratio,\ngeometric mean", COLOURS["none"])
    bias.plot([0.011, 0.058], [-0.465, -0.215], color=style.INK, linewidth=0.5, zorder=1)
    label(bias, 0.0018, -0.83, "no correction and\nno baseline (dotted)", style.GREY)
    bias.plot([0.062, 0.2], [-0.81, -0.64], color=style.GREY, linewidth=0.5, zorder=1)
    label(bias, 3.2, -0.31, "all tokens\nso far", COLOURS["cumulative"], ha="right")
    label(bias, 0.5, -0.12, "whole, trun-\ncated at 3", COLOURS["truncated"])
    label(bias, 0.33, -0.95, "whole, masked at 3", COLOURS["masked"], ha="right")

    noise.set_yscale("log")
    noise.set_ylim(0.1, 1000)
    noise.yaxis.set_major_locator(FixedLocator([0.1, 1, 10, 100, 1000]))
    noise.yaxis.set_major_formatter(FuncFormatter(style.plain))
    noise.yaxis.set_minor_formatter(NullFormatter())
    noise.yaxis.set_minor_locator(NullLocator())
    label(noise, 0.55, 90, "whole answer", COLOURS["sequence"], ha="right")
    label(noise, 3.1, 4.4, "tokens\nso far", COLOURS["cumulative"], ha="right", va="bottom")
    label(noise, 0.0018, 0.78, "no correction,\ngeometric mean", COLOURS["none"], va="top")
    label(noise, 0.0018, 3.2, "each token", COLOURS["token"])
    noise.plot([0.016, 0.05], [3.0, 1.85], color=COLOURS["token"], linewidth=0.5, zorder=1)
    label(noise, 0.1, 9, "truncated", COLOURS["truncated"], ha="right")
    label(noise, 0.48, 0.2, "masked", COLOURS["masked"], ha="right")

    best.set_yscale("log")
    cells = [row for row in rows if row["part"] == "best"]
    names = list(COLOURS) + ["geometric"]
    colour_of = {**COLOURS, "geometric": style.INK}
    x, y = sorted({float(r["kappa"]) for r in cells}), sorted({float(r["N"]) for r in cells})
    at_x, at_y = {v: i for i, v in enumerate(x)}, {v: i for i, v in enumerate(y)}
    grid = [[0] * len(x) for _ in y]
    for row in cells:
        grid[at_y[float(row["N"])]][at_x[float(row["kappa"])]] = names.index(row["weight"])
    best.pcolormesh(edges(x), edges(y), grid, cmap=ListedColormap([pale(colour_of[n]) for n in names]), vmin=-0.5,
                    vmax=len(names) - 0.5, rasterized=True, linewidth=0)
    best.axhline(1000, color=style.INK, linewidth=0.7, linestyle=(0, (3, 2)))
    best.set_ylim(10, 1e6)
    best.yaxis.set_major_locator(FixedLocator([10, 100, 1e3, 1e4, 1e5, 1e6]))
    best.yaxis.set_major_formatter(FuncFormatter(style.plain))
    best.yaxis.set_minor_locator(NullLocator())

    best.set_ylabel("answers $N$", labelpad=1)
    for y in 8000, 2200:
        best.plot([0.03, 0.041], [y, y], color=style.INK, linewidth=0.5)
    for x, y, text in REGIONS:
        label(best, x, y, text, style.INK, ha="center")

    style.name_panel(bias, "bias / gradient", "lines: the limit of long answers; points: exact")
    style.name_panel(noise, "noise to signal", "variance of one answer / gradient²")
    style.name_panel(best, "best weight for $N$ answers", "least squared error, $L$ = 1,024")
    return fig


def edges(x):
    inner = [(a * b) ** 0.5 for a, b in zip(x, x[1:])]
    return [x[0] ** 2 / inner[0], *inner, x[-1] ** 2 / inner[-1]]


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: plot.py DIR")
    style.save(draw(style.read_csv(pathlib.Path(sys.argv[1]) / f"{ID}.csv")), sys.argv[1], ID)
