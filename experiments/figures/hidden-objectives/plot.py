"""Draws hidden-objectives: plot.py DIR reads DIR/hidden-objectives.csv and writes the SVG and the PNG."""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import style  # noqa: E402  (sets matplotlib up, so it comes first)
from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter, NullLocator  # noqa: E402

ID = "hidden-objectives"
HEIGHT = 6.3
WIDE, TALL = 2.95, 1.95  # inches of the panels
LEFT, RIGHT = 0.5, 4.35
TOP, BELOW = 1.02, 3.85
G = "8"
COLOURS = {"RLOO": style.GREEN, "GRPO": style.VERMILLION, "MaxRL": style.BLUE, "GPG": style.SKY,
           "best minus second": style.PURPLE, "dynamic mean": style.ORANGE, "dynamic GRPO": style.INK}
SHADES = {"4": 0.3, "8": 0.5, "16": 0.72, "64": 1.0}
LOW, HIGH = 0.002, 0.998


def of(rows, part, method, size):
    return [row for row in rows if row["part"] == part and row["method"] == method and row["G"] == size and
            LOW <= float(row["p"]) <= HIGH]


def line(ax, rows, name, colour, **how):
    return ax.plot([float(row["p"]) for row in rows], [style.number(row, name) for row in rows], color=colour, **how)


def logit_axis(ax):
    ax.set_xscale("logit")
    ax.set_xlim(LOW, HIGH)
    ax.xaxis.set_major_locator(FixedLocator([0.01, 0.1, 0.5, 0.9, 0.99]))
    ax.xaxis.set_major_formatter(FuncFormatter(style.plain))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.set_xlabel("probability of a right answer, $p$")


def log_y(ax, low, high, ticks):
    ax.set_yscale("log")
    ax.set_ylim(low, high)
    ax.yaxis.set_major_locator(FixedLocator(ticks))
    ax.yaxis.set_major_formatter(FuncFormatter(style.plain))
    ax.yaxis.set_minor_formatter(NullFormatter())
    ax.yaxis.set_minor_locator(NullLocator())
    ax.grid(axis="y", color=style.PALE, linewidth=0.6)


def say(ax, p, y, text, colour, **how):
    ax.text(p, y, text, fontsize=style.SMALL, color=colour, **{"va": "center", **how})


def draw_weights(ax, rows):
    for name, colour in COLOURS.items():
        line(ax, of(rows, "weight", name, G), "w", colour, linewidth=1.4)
    logit_axis(ax)
    log_y(ax, 0.05, 200, [0.1, 1, 10, 100])
    say(ax, 0.006, 120, "dynamic GRPO", style.INK)
    say(ax, 0.9975, 4.9, "dynamic\nmean", style.ORANGE, ha="right", linespacing=1.2)
    say(ax, 0.12, 8.2, "MaxRL", style.BLUE)
    say(ax, 0.0024, 4.9, "GPG", style.SKY)
    say(ax, 0.0024, 1.75, "GRPO", style.VERMILLION)
    say(ax, 0.0024, 0.72, "RLOO", style.GREEN)
    say(ax, 0.42, 0.11, "best minus\nsecond", style.PURPLE, ha="right", linespacing=1.2)


def draw_grpo(ax, rows):
    for size, shade in SHADES.items():
        curve = of(rows, "weight", "GRPO", size)
        line(ax, curve, "over_half", style.VERMILLION, alpha=shade, linewidth=1.4)
        dynamic = of(rows, "weight", "dynamic GRPO", size)
        line(ax, dynamic, "over_half", style.INK, alpha=shade, linewidth=1.0, linestyle=(0, (4, 1.5)))
    limit = of(rows, "limit", "GRPO", "infinite")
    line(ax, limit, "over_half", style.VERMILLION, linewidth=0.9, linestyle=(0, (1, 1.3)))
    logit_axis(ax)
    log_y(ax, 0.8, 100, [1, 3, 10, 30, 100])
    for size in SHADES:
        last = of(rows, "weight", "GRPO", size)[-1]
        ax.annotate(f"$G={size}$", (float(last["p"]), style.number(last, "over_half")), xytext=(4, 0),
                    textcoords="offset points", fontsize=style.SMALL, color=style.VERMILLION, alpha=max(SHADES[size], 0.6),
                    va="center", annotation_clip=False)
    ax.annotate(r"limit: arcsin$\sqrt{p}$", (HIGH, style.number(limit[-1], "over_half")), xytext=(4, 0),
                textcoords="offset points", fontsize=style.SMALL, color=style.VERMILLION, va="center", annotation_clip=False)
    say(ax, 0.5, 26, "dashed: groups that are\nall alike drawn again", style.INK, ha="center", linespacing=1.3)


def draw_objectives(ax, rows):
    for name in ("RLOO", "GRPO", "MaxRL", "best minus second", "dynamic mean"):
        line(ax, of(rows, "weight", name, G), "H_scaled", COLOURS[name], linewidth=1.4)
    for method, colour in (("GRPO", style.VERMILLION), ("MaxRL", style.BLUE)):
        line(ax, of(rows, "limit", method, "infinite"), "H_scaled", colour, linewidth=0.9, linestyle=(0, (1, 1.3)))
    ax.plot(0.5, 0, "o", color=style.INK, markersize=3.2, zorder=6)
    ax.set_xlim(0, 1)
    ax.set_ylim(-1.65, 0.95)
    ax.xaxis.set_major_formatter(FuncFormatter(style.plain))
    ax.yaxis.set_major_locator(FixedLocator([-1.5, -1, -0.5, 0, 0.5]))
    ax.yaxis.set_major_formatter(FuncFormatter(style.plain))
    ax.grid(axis="y", color=style.PALE, linewidth=0.6)
    ax.set_xlabel("probability of a right answer, $p$")
    say(ax, 0.02, -0.2, "RLOO: $p$", style.GREEN)
    say(ax, 0.06, -1.33, "limit: log $p$", style.BLUE)
    say(ax, 0.97, 0.18, "MaxRL", style.BLUE, ha="right")
    say(ax, 0.97, 0.85, "dynamic mean", style.ORANGE, ha="right")
    say(ax, 1.015, 0.56, "GRPO", style.VERMILLION)
    say(ax, 0.97, -0.05, "best minus second", style.PURPLE, ha="right")


def draw_advantages(ax, rows):
    for size, shade in SHADES.items():
        curve = of(rows, "advantage", "RLOO", size)
        line(ax, curve, "share_bias", style.ORANGE, alpha=shade, linewidth=1.4)
    line(ax, of(rows, "advantage", "RLOO", G), "gradient_bias", style.GREEN, linewidth=1.8)
    logit_axis(ax)
    ax.set_ylim(-0.28, 0.28)
    ax.yaxis.set_major_locator(FixedLocator([-0.2, -0.1, 0, 0.1, 0.2]))
    ax.yaxis.set_major_formatter(FuncFormatter(style.plain))
    ax.grid(axis="y", color=style.PALE, linewidth=0.6)
    for size in SHADES:
        last = of(rows, "advantage", "RLOO", size)[-1]
        ax.annotate(f"$G={size}$", (float(last["p"]), style.number(last, "share_bias")), xytext=(4, 0),
                    textcoords="offset points", fontsize=style.SMALL, color=style.ORANGE, alpha=max(SHADES[size], 0.6),
                    va="center", annotation_clip=False)
    say(ax, 0.5, 0.17, "advantages, in groups\nthat are not all alike", style.ORANGE, ha="right", linespacing=1.3)
    say(ax, HIGH, -0.035, "RLOO's gradient, over all groups", style.GREEN, ha="right")


def draw(rows):
    fig = style.page(HEIGHT, "The hidden objective: what updates of groups climb",
                     r"One prompt, rewards 0 and 1: $\mathrm{E}[\mathrm{update}]=w(p)\,\nabla p=\nabla H(p)$. "
                     "Exact, by every group.")
    weights = style.panel(fig, LEFT, TOP, WIDE, TALL)
    grpo = style.panel(fig, RIGHT, TOP, WIDE - 0.3, TALL)
    objectives = style.panel(fig, LEFT, BELOW, WIDE, TALL)
    advantages = style.panel(fig, RIGHT, BELOW, WIDE - 0.3, TALL)
    draw_weights(weights, rows)
    draw_grpo(grpo, rows)
    draw_objectives(objectives, rows)
    draw_advantages(advantages, rows)
    style.name_panel(weights, "Weight", rf"$w(p)$ of groups of $G={G}$")
    style.name_panel(grpo, "GRPO's weight is flat in small groups", r"$w(p)\,/\,w(1/2)$")
    style.name_panel(objectives, "Objective", r"$H(p)-H(1/2)$, scaled to slope 1 at $p=1/2$")
    style.name_panel(advantages, "Biased advantage, unbiased gradient", "bias, of $r-K/G$ against $r-p$, and of the gradient")
    return fig


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: plot.py DIR")
    style.save(draw(style.read_csv(pathlib.Path(sys.argv[1]) / f"{ID}.csv")), sys.argv[1], ID)
