"""Draws pixels-ladder: plot.py DIR reads DIR/pixels-ladder.csv and writes the SVG and the PNG."""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import style  # noqa: E402  (sets matplotlib up, so it comes first)

ID = "pixels-ladder"
RUNGS = [("togo+undiscounted", "togo"), ("togo-value+undiscounted", "togo-value"), ("gae:0.95+undiscounted", "gae:0.95"),
         ("gae:0.5+undiscounted", "gae:0.5"), ("td+undiscounted", "td")]
COLOURS = [style.ORANGE, style.VERMILLION, style.BLUE]


def draw(rows):
    worlds = list(dict.fromkeys(row["world"] for row in rows))
    fig = style.page(1.3 + 2.3 * len(worlds), "The ladder of estimators, seen from pixels",
                     "Gradients of one batch of PPO, drawn again and again before some of its updates. Left: variance. Right: "
                     "cosine of two of them.")
    for line, world in enumerate(worlds):
        updates = sorted({int(row["update"]) for row in rows if row["world"] == world})
        if line == 0:
            style.key(fig, [(colour, f"{name} moment of the run")
                            for colour, name in zip(COLOURS, ["first", "second", "third"][:len(updates)])])
        for column, (quantity, label) in enumerate([("trace_cov", r"$\mathrm{tr\,Cov}(g)$"), ("cosine", "cosine")]):
            ax = style.panel(fig, 0.75 + 3.45 * column, 1.1 + 2.3 * line, 2.75, 1.7)
            for colour, update in zip(COLOURS, updates):
                of = {row["estimator"]: row for row in rows if row["world"] == world and int(row["update"]) == update
                      and row["quantity"] == quantity}
                shown = [of[name] for name, _ in RUNGS]
                x = list(range(len(RUNGS)))
                ax.plot(x, style.column(shown, "value"), color=colour, linewidth=1, zorder=3)
                style.draw_points(ax, x, style.column(shown, "value"), style.column(shown, "se"), colour)
            if quantity == "trace_cov":
                ax.set_yscale("log")
            ax.set_xticks(range(len(RUNGS)), [name for _, name in RUNGS], rotation=20, ha="right")
            ax.set_ylabel(label)
            ax.grid(axis="y", color=style.PALE, linewidth=0.6)
            style.name_panel(ax, world if column == 0 else "",
                             right="before updates " + ", ".join(map(str, updates)) if column == 1 else "")
    return fig


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: plot.py DIR")
    style.save(draw(style.read_csv(pathlib.Path(sys.argv[1]) / f"{ID}.csv")), sys.argv[1], ID)
