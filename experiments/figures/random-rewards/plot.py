"""Draws random-rewards: plot.py DIR reads DIR/random-rewards.csv and writes the SVG and the PNG."""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import style  # noqa: E402  (sets matplotlib up, so it comes first)
from matplotlib.ticker import FixedLocator, FuncFormatter  # noqa: E402

ID = "random-rewards"
HEIGHT = 3.75
TOP, TALL = 1.05, 2.2  # inches of the panels
CLIPS = [("none", "no clip", style.INK), ("low only", "low only", style.GREEN), ("0.2 and 0.28", "0.2 / 0.28", style.SKY),
         ("both", "both, 0.2", style.ORANGE), ("high only", "high only", style.VERMILLION)]
STEP = "0.5"


def changes(rows, clip):
    return [row for row in rows if row["part"] == "change" and row["clip"] == clip]


def at(rows, clip, eta):
    return next(row for row in changes(rows, clip) if row["eta"] == eta)


def minus(x, digits):
    return f"{x:.{digits}f}".replace("-", "−")


def draw_bars(ax, rows):
    """What the first minibatch does, what the second would without a clip, and what the clip adds, each on from where
    the one before it ends."""
    none = at(rows, "none", STEP)
    first, all_of = 1e3 * style.number(none, "H1"), 1e3 * style.number(none, "H2")
    for y, (clip, label, colour) in enumerate(CLIPS):
        end = 1e3 * style.number(at(rows, clip, STEP), "H2")
        ax.barh(y, first, height=0.58, color="#9A9A9A", linewidth=0)
        ax.barh(y, all_of - first, left=first, height=0.58, color="#C9C9C9", linewidth=0)
        if clip != "none":
            ax.barh(y, end - all_of, left=all_of, height=0.32, color=colour, linewidth=0, zorder=4)
        ax.text(min(end, all_of) - 0.08, y, minus(end, 2), fontsize=style.SMALL, ha="right", va="center_baseline")
        ax.text(0.12, y, label, fontsize=8, ha="left", va="center_baseline", color=colour)
    ax.axvline(all_of, color=style.INK, linewidth=0.7, linestyle=(0, (3, 2)), zorder=5)
    ax.text(first / 2, -0.62, "first step", fontsize=style.SMALL, ha="center", va="center", color=style.GREY)
    ax.text((first + all_of) / 2, -0.62, "second, no clip", fontsize=style.SMALL, ha="center", va="center", color=style.GREY)
    ax.set_xlim(-5.3, 0)
    ax.set_ylim(len(CLIPS) - 0.5, -0.95)
    ax.yaxis.set_major_locator(FixedLocator([]))
    ax.xaxis.set_major_locator(FixedLocator([-4, -3, -2, -1, 0]))
    ax.xaxis.set_major_formatter(FuncFormatter(style.plain))
    ax.spines["left"].set_visible(False)
    ax.spines["right"].set_visible(True)
    ax.set_xlabel(r"change of entropy, $10^{-3}$ nat")


def draw_lines(ax, rows, column, labels, relative=False):
    for clip, label, colour in CLIPS:
        if relative and clip == "none":
            continue
        of = changes(rows, clip)
        x = [float(row["eta"]) for row in of]
        y = [style.number(row, column) for row in of]
        if relative:
            y = [100 * a / abs(style.number(row, "H2")) for a, row in zip(y, changes(rows, "none"))]
        ax.plot(x, y, color=colour, linewidth=1.4)
        if clip in labels:
            px, py = labels[clip]
            ax.text(px, py, label, fontsize=style.SMALL, color=colour, va="center")
    ax.set_xlim(0, 2)
    ax.xaxis.set_major_locator(FixedLocator([0, 0.5, 1, 1.5, 2]))
    ax.xaxis.set_major_formatter(FuncFormatter(style.plain))
    ax.yaxis.set_major_formatter(FuncFormatter(style.plain))
    ax.axhline(0, color=style.INK, linewidth=0.7, linestyle=(0, (3, 2)), zorder=1)
    ax.grid(axis="y", color=style.PALE, linewidth=0.6)
    ax.set_xlabel(r"step size $\eta$")


def draw(rows):
    fig = style.page(HEIGHT, "Random rewards: most of the entropy is lost without any clip",
                     "A softmax over five arms, rewards are fair coins, two minibatches of GRPO's update from one policy, "
                     "groups of 4. Exact.")
    bars = style.panel(fig, 0.12, TOP, 2.25, TALL)
    effect = style.panel(fig, 3.7, TOP, 1.75, TALL)
    top = style.panel(fig, 6.1, TOP, 1.75, TALL)
    draw_bars(bars, rows)
    draw_lines(effect, rows, "of_clip", {"low only": (0.78, 31), "high only": (1.0, -22), "both": (1.2, 36)}, relative=True)
    draw_lines(top, rows, "top2", {"none": (1.22, -0.017), "low only": (0.5, -0.0105)})
    style.name_panel(bars, rf"Where it goes, $\eta={STEP}$", "expected entropy, first and second step")
    style.name_panel(effect, "What the clip adds", "% of the loss without clip; up is more entropy")
    style.name_panel(top, "The likeliest arm", "change of its expected probability")
    return fig


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: plot.py DIR")
    style.save(draw(style.read_csv(pathlib.Path(sys.argv[1]) / f"{ID}.csv")), sys.argv[1], ID)
