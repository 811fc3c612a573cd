"""Draws llm-ladder-off-policy: plot.py DIR reads DIR/llm-ladder-off-policy.csv and writes the SVG and the PNG."""
import math
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import style  # noqa: E402  (sets matplotlib up, so it comes first)
from matplotlib.lines import Line2D  # noqa: E402
from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter  # noqa: E402

ID = "llm-ladder-off-policy"
HEIGHT = 5.55
DASH, DOT = (0, (4, 1.6)), (0, (1.2, 1.2))
LOOK = {
    "no correction": (style.GREY, "-"), "token": (style.SKY, "-"), "cumulative": (style.ORANGE, "-"),
    "geometric mean": (style.GREEN, "-"), "whole answer": (style.BLUE, "-"),
    "whole, truncated at 2": (style.BLUE, DASH), "whole, masked above 2": (style.BLUE, DOT),
    "whole, constant b = J": (style.PURPLE, "-"),
    "GRPO, clip .2": (style.VERMILLION, "-"), "Dr. GRPO, clip .2": (style.VERMILLION, DASH),
    "DAPO, clip .2/.28": (style.BLUE, "-"), "DAPO, dynamic": (style.BLUE, DASH), "CISPO, cut at 1.28": (style.SKY, "-"),
    "GSPO, clip of the paper": (style.GREEN, "-"), "GSPO, no clip": (style.GREEN, DASH), "TOPR": (style.ORANGE, "-"),
}
QUANTITIES = [("relative_bias", "Bias", "relative", lambda x: x),
              ("cosine", "Direction", r"angle to $\nabla J$", lambda x: math.degrees(math.acos(min(1, x)))),
              ("nsr", "Noise to signal", "", lambda x: x)]
LIMIT = (1.55, 36, None)


def draw_panel(ax, of, column, of_value, top):
    ax.axvline(2, color="#B0B0B0", linewidth=0.6, zorder=0)
    for label, rows in of.items():
        c, dash = LOOK[label]
        x, y = [style.number(row, "kappa") for row in rows], [of_value(style.number(row, column)) for row in rows]
        ax.plot(x, y, color=c, linestyle=dash, linewidth=1.3, zorder=4 if dash == "-" else 5)
    ax.set_xlim(0, 3)
    ax.xaxis.set_major_locator(FixedLocator([0, 1, 2, 3]))
    ax.xaxis.set_major_formatter(FuncFormatter(style.plain))
    ax.grid(axis="y", color=style.PALE, linewidth=0.6)
    if column == "nsr":
        ax.set_yscale("log")
        ax.set_ylim(0.6, 30)
        ax.yaxis.set_major_locator(FixedLocator([1, 3, 10, 30]))
        ax.yaxis.set_minor_formatter(NullFormatter())
        ax.yaxis.set_major_formatter(FuncFormatter(style.plain))
    else:
        ax.set_ylim(0, top)
        if column == "cosine":
            ax.yaxis.set_major_locator(FixedLocator([0, 10, 20, 30, 40, 50]))
            ax.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:.0f}°"))
        else:
            ax.yaxis.set_major_locator(FixedLocator([0, 0.5, 1, 1.5]))
            ax.yaxis.set_major_formatter(FuncFormatter(style.plain))


def write_table(fig, left, top, of):
    """The lines' looks, their names and their numbers at kappa = 2; the first line `top` inches from the upper edge."""
    columns = [("bias", 1.74), ("cosine", 2.1), ("nsr", 2.44)]
    at = {label: next(row for row in rows if row["kappa"] == "2") for label, rows in of.items()}
    for (column, x), head in zip(columns, ("bias", "cosine", "noise")):
        fig.text((left + x) / style.WIDTH, 1 - (top - 0.2) / HEIGHT, head, fontsize=6.8, color=style.GREY, ha="right",
                 va="baseline")
    for i, (label, row) in enumerate(at.items()):
        y = 1 - (top + 0.2 * i) / HEIGHT
        c, dash = LOOK[label]
        fig.add_artist(Line2D([left / style.WIDTH, (left + 0.2) / style.WIDTH], [y + 0.03 / HEIGHT] * 2, color=c,
                              linestyle=dash, linewidth=1.5))
        fig.text((left + 0.26) / style.WIDTH, y, label, fontsize=style.SMALL, color=style.INK, va="baseline")
        for (column, x), form in zip(columns, ("{:.2f}", "{:.3f}", "{:.2f}")):
            value = style.number(row, "relative_bias" if column == "bias" else column)
            text = form.format(value if abs(value) > 1e-9 else 0) if abs(value) > 1e-9 else "0"
            fig.text((left + x) / style.WIDTH, y, "1" if text == "1.000" else text, fontsize=style.SMALL,
                     color=style.INK, ha="right", va="baseline")


def draw(rows):
    fig = style.page(HEIGHT, "With older answers, the group's own mean triples the noise of unbiased weights",
                     r"Groups of four answers by a policy $\mu$ that has since moved on by $\kappa$; "
                     r"$\mathrm{E}\,g$ against $\nabla J$ where it is. Exact.")
    families = (("weights", "Importance weights, on RLOO"), ("methods", "As they are published"))
    for r, (family, title) in enumerate(families):
        of = {}
        for row in rows:
            if row["part"] == "moments" and row["policy"] == "tied" and row["family"] == family:
                of.setdefault(row["label"], []).append(row)
        for each in of.values():
            each.sort(key=lambda row: style.number(row, "kappa"))
        top = 1.12 + 2.32 * r
        for k, (column, name, note, of_value) in enumerate(QUANTITIES):
            ax = style.panel(fig, 0.4 + 1.78 * k, top, 1.42, 1.6)
            draw_panel(ax, of, column, of_value, LIMIT[k])
            style.write(ax, 0, 0.1, name, fontsize=8, weight="bold", va="baseline")
            if note:
                style.remark(ax, name, 8, note)
            if r == 1:
                ax.set_xlabel(r"age of the answers, $\kappa$")
        fig.text(style.MARGIN / style.WIDTH, 1 - (top - 0.36) / HEIGHT, title, fontsize=9.5, weight="bold",
                 va="baseline")
        write_table(fig, 5.5, top + 0.16, of)
        fig.text(7.94 / style.WIDTH, 1 - (top - 0.22) / HEIGHT, r"at $\kappa=2$", fontsize=style.SMALL,
                 color=style.GREY, va="baseline", ha="right")
    return fig


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: plot.py DIR")
    style.save(draw(style.read_csv(pathlib.Path(sys.argv[1]) / f"{ID}.csv")), sys.argv[1], ID)
