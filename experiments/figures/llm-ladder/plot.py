"""Draws llm-ladder: plot.py DIR reads DIR/llm-ladder.csv and writes the SVG and the PNG."""
import math
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import style  # noqa: E402  (sets matplotlib up, so it comes first)
from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter  # noqa: E402

ID = "llm-ladder"
HEIGHT = 6.1
UNBIASED, SCALED, TURNED = style.BLUE, style.SKY, style.VERMILLION
RIGHT, WRONG = style.GREEN, style.PURPLE
LOW, BREAK = 0.975, 2.0  # of the axis of noise to signal; beyond the break its scale is another one

# Names below the line of the gradient's direction: level, side of the text.
BELOW = {"REINFORCE": (1, 1), "constant b = J": (2, 1), "MaxRL": (3, 1), "group mean, dynamic": (4, 1),
         "constant b*": (5, 1), "OPO, leave one out": (2, -1), "GRPO without 1/length": (3, -1), "RLOO": (5, -1),
         "GPG": (1, 1), "best minus second": (3, 1), "ReMax": (1, 0)}
# And beside the points above it, in points: x, y, alignment.
BESIDE = {"GRPO": (-7, 0, "right"), "GRPO without sd": (7, 0, "left"), "token mean": (4, 8.5, "right"),
          "token mean without sd": (-3, 8.5, "left"), "OPO": (6, 0, "left"),
          "REINFORCE++": (0, 8, "center"), "DAPO, dynamic": (-3, 8.5, "left")}
TEXT = {"RLOO": "RLOO = group mean = Dr. GRPO", "GRPO without sd": "without the standard deviation",
        "group mean, dynamic": "group mean, dynamic", "DAPO, dynamic": "DAPO, dynamic sampling",
        "token mean": "token mean", "token mean without sd": "without sd"}
SAME = ("group mean", "Dr. GRPO")  # where RLOO is


def colour(row):
    if style.number(row, "cosine") < 1 - 1e-9:
        return TURNED
    return UNBIASED if abs(style.number(row, "scale") - 1) < 1e-9 else SCALED


def angle(row):
    return math.degrees(math.acos(min(1.0, style.number(row, "cosine"))))


def draw_directions(near, far, rows):
    for ax in near, far:
        ax.set_ylim(-7.2, 15.2)
        ax.spines["left"].set_visible(False)
        ax.axhline(0, color=style.INK, linewidth=0.8, zorder=1)
        for y in 5, 10, 15:
            ax.axhline(y, color=style.PALE, linewidth=0.6, zorder=0)
    near.set_xlim(LOW, BREAK)
    near.xaxis.set_major_locator(FixedLocator([1, 1.2, 1.4, 1.6, 1.8]))
    near.xaxis.set_major_formatter(FuncFormatter(style.plain))
    near.yaxis.set_major_locator(FixedLocator([0, 5, 10, 15]))
    near.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:.0f}°"))
    near.tick_params(axis="y", length=0)
    far.patch.set_visible(False)
    far.set_xscale("log")
    far.set_xlim(2.35, 9.2)
    far.xaxis.set_major_locator(FixedLocator([3, 5, 8]))
    far.xaxis.set_major_formatter(FuncFormatter(style.plain))
    far.xaxis.set_minor_formatter(NullFormatter())
    far.xaxis.set_minor_locator(FixedLocator([]))
    far.yaxis.set_visible(False)
    for y in 0, 5, 10, 15:
        far.text(1, y + 0.25, f"cos {math.cos(math.radians(y)):.3f}" if y else "cos 1",
                 transform=far.get_yaxis_transform(), fontsize=6.5, color=style.GREY, ha="right", va="bottom")
    for ax, x in (near, 1), (far, 0):  # the break
        ax.plot([x], [0], transform=ax.transAxes, marker=[(-0.5, -1), (0.5, 1)], markersize=7, color="#888888",
                markeredgewidth=0.8, clip_on=False, zorder=9)

    near.annotate("each answer over its own length", (1.4, 13.35), xytext=(0, -9), textcoords="offset points",
                  fontsize=style.SMALL, color=style.GREY, ha="center", va="center")
    for row in rows:
        x, y, name, c = style.number(row, "nsr"), angle(row), row["label"], colour(row)
        ax = near if x < BREAK else far
        if name in SAME:
            continue
        if name in BELOW:
            level, side = BELOW[name]
            foot = -0.15 - 1.22 * level
            ax.plot([x, x], [0, foot], color=c, linewidth=0.6, zorder=2)
            ax.annotate(TEXT.get(name, name), (x, foot), xytext=(3 * side, 0 if side else -2),
                        textcoords="offset points", fontsize=style.SMALL, color=c,
                        ha={1: "left", -1: "right", 0: "center"}[side],
                        va="center" if side else "top")
        else:
            dx, dy, ha = BESIDE[name]
            ax.annotate(TEXT.get(name, name), (x, y), xytext=(dx, dy), textcoords="offset points",
                        fontsize=style.SMALL, color=c, ha=ha, va="center",
                        weight="bold" if name == "GRPO" else "normal")
        ax.plot(x, y, "o", markersize=5.6, color=c, markeredgecolor="white", markeredgewidth=0.7, zorder=5,
                clip_on=False)


def draw_noise(ax, rows):
    rows = sorted(rows, key=lambda row: style.number(row, "nsr"))
    ax.set_xscale("log")
    ax.set_xlim(0.0012, 0.6)
    ax.set_ylim(len(rows) - 0.4, -0.6)
    ax.set_yticks(range(len(rows)), [row["label"] for row in rows], fontsize=style.SMALL)
    ax.tick_params(axis="y", length=0, pad=4)
    ax.spines["left"].set_visible(False)
    ax.xaxis.set_major_locator(FixedLocator([0.001, 0.01, 0.1]))
    ax.xaxis.set_major_formatter(FuncFormatter(style.plain))
    ax.xaxis.set_minor_formatter(NullFormatter())
    for i, row in enumerate(rows):
        c, signal, noise = colour(row), style.number(row, "signal"), style.number(row, "trace_cov")
        ax.axhline(i, color=style.PALE, linewidth=0.5, zorder=0)
        ax.plot([signal, noise], [i, i], color=c, linewidth=2.6, alpha=0.35, solid_capstyle="butt", zorder=2)
        ax.plot(signal, i, "o", markersize=4.2, markerfacecolor="white", markeredgecolor=c, markeredgewidth=0.9,
                zorder=3)
        ax.plot(noise, i, "o", markersize=4.6, color=c, markeredgewidth=0, zorder=4)
        ax.text(1.02, i, f"{style.number(row, 'nsr'):.2f}", transform=ax.get_yaxis_transform(), fontsize=style.SMALL,
                color=style.INK, va="center")
        ax.get_yticklabels()[i].set_color(c)
    first = rows[0]
    for column, text, ha, dx in (("signal", "signal", "right", -3), ("trace_cov", "noise", "left", 3)):
        ax.annotate(text, (style.number(first, column), 0), xytext=(dx, 5.5), textcoords="offset points",
                    fontsize=6.8, color=style.GREY, ha=ha, va="center")


def draw_lengths(ax, rows):
    rows = {row["estimator"]: row for row in rows}
    names = [("grpo:G+seq-mean", "own length", "GRPO"),
             ("grpo:G+token-mean", "the group's tokens", "DAPO"),
             ("grpo:G+const", "a constant", "Dr. GRPO")]
    ax.set_xlim(-0.34, 0.19)
    ax.set_ylim(2.6, -0.6)
    ax.set_yticks(range(3), [f"over {what} ({who})" for _, what, who in names], fontsize=style.SMALL)
    ax.tick_params(axis="y", length=0, pad=4)
    ax.spines["left"].set_visible(False)
    ax.axvline(0, color=style.INK, linewidth=0.8, zorder=1)
    ax.xaxis.set_major_locator(FixedLocator([-0.2, -0.1, 0, 0.1]))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:+g}".replace("-", "−") if x else "0"))
    ax.grid(axis="x", color=style.PALE, linewidth=0.6)
    for i, (name, _, _) in enumerate(names):
        for column, c, up in (("right", RIGHT, -0.17), ("wrong", WRONG, 0.17)):
            x = style.number(rows[name], column)
            ax.plot([0, x], [i + up, i + up], color=c, linewidth=2.6, alpha=0.35, solid_capstyle="butt", zorder=2)
            ax.plot(x, i + up, "o", markersize=4.6, color=c, markeredgewidth=0, zorder=4)
            left = x < 0
            words = f"{x:+.3f}".replace("-", "−")
            ax.annotate(words, (x, i + up), xytext=(-5 if left else 5, 0), textcoords="offset points",
                        fontsize=style.SMALL, color=c, ha="right" if left else "left", va="center")
            if i == 0:
                ax.annotate(f"{column} answers", (0 if left else x, i + up), xytext=(5 if left else 38, 0),
                            textcoords="offset points", fontsize=style.SMALL, color=c, va="center")


def draw(rows):
    of = [row for row in rows if row["policy"] == "tied" and row["G"] == "4"]
    moments = [row for row in of if row["part"] == "moments"]
    fig = style.page(HEIGHT, "Dividing by length turns the update; dividing by the standard deviation does not",
                     "Twenty estimators that language models are trained with, on groups of four answers to one prompt. "
                     "Exact, on a world of 31 answers.")
    style.key(fig, [(UNBIASED, "unbiased"), (SCALED, "the gradient's direction, rescaled"),
                    (TURNED, "another direction")])

    left, top = 0.42, 1.15
    near, far = style.panel(fig, left, top, 3.12, 2.62), style.panel(fig, left + 3.2, top, 0.98, 2.62)
    draw_directions(near, far, moments)
    style.name_panel(near, "Direction", note=r"angle between $\mathrm{E}\,g$ and $\nabla J$")
    near.set_xlabel(r"noise to signal  $\mathrm{tr\,Cov}(g)\,/\,\Vert\mathrm{E}\,g\Vert^2$", x=0.66)
    noise = style.panel(fig, 5.98, top, 1.6, 4.5)
    draw_noise(noise, moments)
    style.name_panel(noise, "Noise", note=r"from $\Vert\mathrm{E}\,g\Vert^2$ to $\mathrm{tr\,Cov}(g)$")
    style.write(noise, 1.6 + 0.36, 0.09, "ratio", fontsize=style.SMALL, color=style.GREY, va="baseline", ha="right")
    length = style.panel(fig, 1.78, 4.62, 2.86, 1.03)
    draw_lengths(length, [row for row in of if row["part"] == "lengths"])
    style.write(length, -1.66, 0.26, "Length", fontsize=9.5, weight="bold", va="baseline")
    style.write(length, -1.66, 0.09, r"change of the expected length of answers, per unit step along $\mathrm{E}\,g$",
                fontsize=style.SMALL, color=style.GREY, va="baseline")
    length.set_xlabel("tokens")
    return fig


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: plot.py DIR")
    style.save(draw(style.read_csv(pathlib.Path(sys.argv[1]) / f"{ID}.csv")), sys.argv[1], ID)
