"""Draws training-on-sequences: plot.py DIR reads DIR/training-on-sequences.csv and writes the SVG and the PNG."""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import style  # noqa: E402  (sets matplotlib up, so it comes first)
from matplotlib.ticker import FixedLocator, FuncFormatter  # noqa: E402

ID = "training-on-sequences"
HEIGHT = 3.75
TOP, TALL = 1.0, 2.2  # inches of the panels
METHODS = [("rloo:8", style.BLUE, "RLOO"), ("grpo:8+seq-mean", style.VERMILLION, "GRPO"),
           ("mean:8+const", style.GREEN, "Dr. GRPO")]


def of(rows, part, method=None):
    return [row for row in rows if row["part"] == part and method in (None, row["method"])]


def axes_of_value(ax):
    ax.set_ylim(0, 1.02)
    ax.yaxis.set_major_locator(FixedLocator([0, 0.25, 0.5, 0.75, 1]))
    ax.yaxis.set_major_formatter(FuncFormatter(style.plain))
    ax.set_xlabel("updates of 64 answers")
    ax.grid(color=style.PALE, linewidth=0.6)


def draw_runs(ax, rows):
    for method, colour, label in METHODS:
        runs = of(rows, "seq-31", method)
        x = style.column(runs, "update")
        ax.fill_between(x, style.column(runs, "low"), style.column(runs, "high"), color=colour, alpha=0.2, linewidth=0)
        ax.plot(x, style.column(runs, "J"), color=colour, linewidth=1.5)
        ax.plot(x, style.column(runs, "flow"), color=colour, linewidth=0.9, linestyle=(0, (2, 1.5)))
    axes_of_value(ax)
    ax.set_xlim(0, 40)
    for k, (_, colour, label) in enumerate(METHODS):
        ax.text(0.97, 0.3 - 0.085 * k, label, transform=ax.transAxes, color=colour, ha="right", fontsize=style.SMALL)


def draw_reader(ax, rows):
    runs = of(rows, "brackets")
    ax.plot(style.column(runs, "update"), style.column(runs, "J"), color=style.BLUE, linewidth=1.5)
    ax.axhline(0.95, color=style.GREY, linewidth=0.7, linestyle=(0, (1, 1.5)))
    ax.text(60, 0.93, "0.95 of the best", ha="right", va="top", fontsize=style.SMALL, color=style.GREY)
    axes_of_value(ax)
    ax.set_xlim(0, 60)


def write_gradients(fig, left, rows):
    """The exact gradient's table."""
    def put(x, y, text, **how):
        fig.text((left + x) / style.WIDTH, 1 - (TOP + y) / HEIGHT, text, fontsize=style.SMALL, va="baseline", **how)

    put(0, -0.09, "gradient of", color=style.GREY)
    put(1.12, -0.09, "RLOO", color=style.BLUE, ha="right")
    put(1.64, -0.09, "GRPO", color=style.VERMILLION, ha="right")
    y = 0.16
    for part in ("at the start", "half way", "at the end"):
        first = of(rows, part)[0]
        put(0, y, f"{part}, J = {style.number(first, 'J'):.3f}", weight="bold")
        y += 0.17
        for name, text in (("cosine", "cosine"), ("bias", "bias / |∇J|"), ("nsr", "noise to signal")):
            put(0, y, text, color=style.GREY)
            for k, (method, colour) in enumerate((("rloo:8", style.BLUE), ("grpo:8+seq-mean", style.VERMILLION))):
                value = style.number(of(rows, part, method)[0], name)
                put(1.12 + 0.52 * k, y, "0" if abs(value) < 1e-9 else f"{value:.3g}", color=colour, ha="right")
            y += 0.16
        y += 0.1


def main(directory):
    rows = style.read_csv(f"{directory}/{ID}.csv")
    fig = style.page(HEIGHT, "The value of the policy, exactly, while it trains",
                     "Runs of plain policy ascent on worlds where every answer is enumerated.")
    runs = style.panel(fig, 0.45, TOP, 2.75, TALL)
    draw_runs(runs, rows)
    style.name_panel(runs, "A table of nine logits", "J on 31 answers, 95 % of the seeds; dashed: exact flow")
    reader = style.panel(fig, 3.75, TOP, 2.1, TALL)
    draw_reader(reader, rows)
    style.name_panel(reader, "A recurrent policy", "J on brackets, RLOO, one seed")
    write_gradients(fig, 6.15, rows)
    style.save(fig, directory, ID)


if __name__ == "__main__":
    main(sys.argv[1])
