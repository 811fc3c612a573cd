"""Draws cosine-against-batch: plot.py DIR reads DIR/cosine-against-batch.csv and writes the .svg and .png there."""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import style  # noqa: E402  (sets matplotlib up, so it comes first)
from matplotlib.lines import Line2D  # noqa: E402
from matplotlib.ticker import FixedLocator, NullFormatter, NullLocator  # noqa: E402

ID = "cosine-against-batch"
QUANTITIES = {"cosine_truth": (style.BLUE, "to the true gradient"), "cosine": (style.VERMILLION, "of two estimates")}
USED = {"CartPole-v1": 1024, "FrozenLake-v1": 4096}  # steps in the batch of the run itself
TRUTH = {"CartPole-v1": "truth: the mean of independent batches", "FrozenLake-v1": "truth: exact"}

# Inches.
LEFT, GAP, RIGHT = 0.62, 0.24, 0.2
PANEL = 1.75
TOP, DOWN = 1.1, 2.55  # of the first row of panels, and from one to the next
HEIGHT = TOP + DOWN + PANEL + 0.5


def draw_panel(ax, rows, used):
    for quantity, (colour, _) in QUANTITIES.items():
        of = sorted((row for row in rows if row["quantity"] == quantity), key=lambda row: int(row["steps"]))
        ax.plot([int(row["steps"]) for row in of], [style.number(row, "predicted") for row in of], color=colour,
                linewidth=1, zorder=3)
        measured = [row for row in of if style.number(row, "value") is not None]
        style.draw_points(ax, [int(row["steps"]) for row in measured],
                          [style.number(row, "value") for row in measured],
                          [style.number(row, "se") for row in measured], colour)
    ax.axvline(used, color=style.GREY, linewidth=0.7, linestyle=(0, (3, 2)), zorder=1)
    ax.set_xscale("log", base=2)
    ax.set_xlim(100, 170_000)
    ax.set_ylim(-0.25, 1)
    ax.xaxis.set_major_locator(FixedLocator([128, 1024, 8192, 65536]))
    ax.xaxis.set_major_formatter(lambda x, _: f"{x:,.0f}")
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.grid(axis="y", color=style.PALE, linewidth=0.6)


def draw(rows):
    fig = style.page(HEIGHT, "How far PPO's gradient points the right way",
                     "Points: cosines of the gradient of a batch, 95 % intervals. Lines: predicted from ν, the noise to signal of "
                     "a step; no fit.")
    width = (style.WIDTH - LEFT - RIGHT - 2 * GAP) / 3
    for i, world in enumerate(dict.fromkeys(row["world"] for row in rows)):
        of_world = [row for row in rows if row["world"] == world]
        for j, update in enumerate(dict.fromkeys(row["update"] for row in of_world)):
            of = [row for row in of_world if row["update"] == update]
            ax = style.panel(fig, LEFT + j * (width + GAP), TOP + i * DOWN, width, PANEL)
            draw_panel(ax, of, USED[world])
            nsr = next(style.number(row, "value") for row in of if row["quantity"] == "noise_to_signal")
            style.name_panel(ax, world if j == 0 else "", f"before update {update};  ν = {nsr:,.0f}",
                             TRUTH[world] if j == 2 else "")
            if j:
                ax.tick_params(labelleft=False)
            else:
                ax.set_ylabel("cosine")
            if j == 0:
                ax.text(USED[world] * 1.15, -0.22, "the run's batch", fontsize=6.6, color=style.GREY, va="bottom")
            if i == 1:
                ax.set_xlabel("steps in the batch")
    handles = [Line2D([], [], color=colour, linewidth=1, **style.POINT) for colour, _ in QUANTITIES.values()]
    fig.legend(handles, [name for _, name in QUANTITIES.values()], loc="upper right", ncol=2,
               bbox_to_anchor=(1 - style.MARGIN / style.WIDTH, 1 - 0.1 / HEIGHT), borderpad=0, borderaxespad=0,
               columnspacing=1.6, handletextpad=0.7, handlelength=2.4)
    return fig


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: plot.py DIR")
    style.save(draw(style.read_csv(pathlib.Path(sys.argv[1]) / f"{ID}.csv")), sys.argv[1], ID)
