"""Draws ilyas-gradients: plot.py DIR reads DIR/ilyas-gradients.csv and writes the SVG and the PNG."""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import style  # noqa: E402  (sets matplotlib up, so it comes first)
from matplotlib.ticker import NullFormatter, NullLocator  # noqa: E402

ID = "ilyas-gradients"
CURVES = [("V*", "cosine", style.PURPLE, "a critic fitted to many returns"),
          ("V", "cosine", style.VERMILLION, "PPO's critic"),
          ("none", "cosine", style.ORANGE, "none"),
          ("V", "cosine_truth", style.BLUE, "PPO's critic, cosine to the truth")]
USED = 2048  # pairs of an update


def draw(rows):
    worlds = list(dict.fromkeys(row["world"] for row in rows))
    fig = style.page(1.42 + 1.98 * len(worlds), "How concentrated the gradients of PPO are",
                     "Cosines of two gradients against their number of state-action pairs, by baseline. Lines: predicted "
                     "from noise to signal.")
    style.key(fig, [(colour, label) for _, _, colour, label in CURVES])
    for line, world in enumerate(worlds):
        updates = sorted({int(row["update"]) for row in rows if row["world"] == world})
        for column, update in enumerate(updates):
            ax = style.panel(fig, 0.62 + 2.46 * column, 1.1 + 1.98 * line, 2.22, 1.5)
            ax.axvline(USED, color=style.GREY, linewidth=0.7, linestyle=(0, (3, 2)), zorder=1)
            for baseline, quantity, colour, _ in CURVES:
                of = [row for row in rows if row["world"] == world and int(row["update"]) == update
                      and row["baseline"] == baseline and row["quantity"] == quantity]
                of.sort(key=lambda row: float(row["pairs"]))
                x = style.column(of, "pairs")
                ax.plot(x, style.column(of, "predicted"), color=colour, linewidth=1, zorder=3)
                style.draw_points(ax, x, style.column(of, "value"), style.column(of, "se"), colour)
            ax.set_xscale("log", base=4)
            ax.set_ylim(-0.25, 1.02)
            ax.set_xlim(x[0] / 1.5, x[-1] * 1.5)
            ax.xaxis.set_major_formatter(lambda x, _: f"{x:,.0f}")
            ax.xaxis.set_minor_locator(NullLocator())
            ax.xaxis.set_minor_formatter(NullFormatter())
            ax.grid(axis="y", color=style.PALE, linewidth=0.6)
            style.name_panel(ax, world if column == 0 else "", right=f"before update {update}")
            if column == 0:
                ax.set_ylabel("cosine")
            else:
                ax.set_yticklabels([])
            if line == len(worlds) - 1:
                ax.set_xlabel("state-action pairs")
    return fig


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: plot.py DIR")
    style.save(draw(style.read_csv(pathlib.Path(sys.argv[1]) / f"{ID}.csv")), sys.argv[1], ID)
