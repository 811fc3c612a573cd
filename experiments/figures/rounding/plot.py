"""Draws rounding: plot.py DIR reads DIR/rounding.csv and writes the SVG and the PNG."""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import style  # noqa: E402  (sets matplotlib up, so it comes first)
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullFormatter, NullLocator  # noqa: E402

ID = "rounding"
HEIGHT = 3.75
TOP, TALL = 1.05, 2.2  # inches of the panels
VOCABULARIES = [("8", style.SKY), ("64", style.BLUE), ("1024", style.INK)]


def of(rows, part, **where):
    return [row for row in rows if row["part"] == part and all(row[key] == value for key, value in where.items())]


def draw_digits(ax, rows, column, ratio):
    ax.set_yscale("log")
    for name, colour in VOCABULARIES:
        curve = sorted(of(rows, "format", vocabulary=name, format=""), key=lambda row: int(row["digits"]))
        ax.plot([int(row["digits"]) for row in curve], [style.number(row, column) for row in curve], color=colour,
                linewidth=1.2)
        ax.annotate(name, (14, style.number(curve[-1], column)), xytext=(4, 0), textcoords="offset points",
                    fontsize=style.SMALL, color=colour, va="center", annotation_clip=False)
        for row in of(rows, "format", vocabulary=name):
            if row["format"]:
                ax.plot(int(row["digits"]), style.number(row, column), "o", color=colour, markersize=4.2,
                        markeredgecolor="white", markeredgewidth=0.5, zorder=5)
    for digits, name in ((8, "BF16"), (11, "FP16")):
        ax.axvline(digits, color=style.GREY, linewidth=0.6, linestyle=(0, (3, 2)), zorder=1)
        ax.text(digits - 0.12, 0.03, name, transform=ax.get_xaxis_transform(), fontsize=style.SMALL, ha="right",
                color=style.GREY)
    (row,) = of(rows, "ratio", vocabulary="1024")
    times = style.number(row, ratio)
    (low,), (high,) = (of(rows, "format", vocabulary="1024", format=name) for name in ("FP16", "BF16"))
    y0, y1 = style.number(low, column), style.number(high, column)
    ax.annotate("", (11, y0 * 1.25), xytext=(11, y1), arrowprops={"arrowstyle": "<->", "color": style.VERMILLION,
                                                                  "linewidth": 0.8, "shrinkA": 0, "shrinkB": 0})
    ax.plot([8, 11], [y1, y1], color=style.VERMILLION, linewidth=0.6, linestyle=(0, (1, 1.5)))
    ax.text(11.3, (y0 * y1) ** 0.5 * 1.5, f"÷ {times:.0f}", fontsize=9, color=style.VERMILLION, va="center", weight="bold")
    ax.set_xlim(4.8, 14.2)
    ax.xaxis.set_major_locator(FixedLocator([5, 8, 11, 14]))
    ax.yaxis.set_major_locator(LogLocator(numticks=7))
    ax.yaxis.set_minor_formatter(NullFormatter())
    ax.yaxis.set_minor_locator(NullLocator())
    ax.set_xlabel("binary digits of a logit")
    ax.grid(axis="y", color=style.PALE, linewidth=0.6)


def draw_long(ax, rows):
    curve = of(rows, "long")
    L = [int(row["L"]) for row in curve]
    ax.set_xscale("log", base=2)
    ax.plot(L, [100 * style.number(row, "bias_limit") for row in curve], color=style.GREY, linewidth=1.2)
    ax.plot(L, [100 * style.number(row, "bias") for row in curve], color=style.ORANGE, linestyle="none", **style.POINT)
    ax.set_xlim(12, 90_000)
    ax.set_ylim(-105, 5)
    ax.xaxis.set_major_locator(FixedLocator([16, 256, 4096, 65536]))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.0f}".replace(",", " ")))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:.0f} %".replace("-", "−")))
    ax.axhline(0, color=style.INK, linewidth=0.7, linestyle=(0, (3, 2)))
    ax.set_xlabel("tokens of an answer, $L$")
    ax.grid(axis="y", color=style.PALE, linewidth=0.6)
    ax.text(20, -93, "if all of it pointed\nalong the reward;\nrounding does not", fontsize=style.SMALL, color=style.GREY,
            va="bottom", linespacing=1.3)


def draw(rows):
    fig = style.page(HEIGHT, "Three more digits: about 64 times less divergence from rounding logits",
                     r"$\mu$ is the softmax of logits rounded to so many digits, $\pi$ that of the logits themselves, "
                     r"$\mathcal{N}(0,s^2)$ in float32. Means over draws.")
    KL = style.panel(fig, 0.62, TOP, 1.95, TALL)
    TV = style.panel(fig, 3.32, TOP, 1.95, TALL)
    long = style.panel(fig, 6.05, TOP, 1.75, TALL)
    draw_digits(KL, rows, "KL", "KL_ratio")
    draw_digits(TV, rows, "TV", "TV_ratio")
    draw_long(long, rows)
    style.name_panel(KL, r"KL$(\mu\,\Vert\,\pi)$ of a token (nat)", "vocabularies of 8, 64 and 1024 tokens")
    style.name_panel(TV, "Total variation", "of a token")
    style.name_panel(long, "For scale", "bias in LONG-L with BF16's KL")
    return fig


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: plot.py DIR")
    style.save(draw(style.read_csv(pathlib.Path(sys.argv[1]) / f"{ID}.csv")), sys.argv[1], ID)
