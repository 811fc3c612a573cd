"""Draws tucker-lqg: plot.py DIR reads DIR/tucker-lqg.csv and writes the SVG and the PNG."""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import style  # noqa: E402  (sets matplotlib up, so it comes first)

ID = "tucker-lqg"
TERMS = [("a, no baseline", style.ORANGE, r"$\Sigma_a$, no baseline"),
         ("tau", style.BLACK, r"$\Sigma_\tau$"),
         ("tau, GAE(0.99)", style.BLUE, r"$\Sigma_\tau$, GAE(0.99)"),
         ("tau, GAE(0)", style.SKY, r"$\Sigma_\tau$, GAE(0)"),
         ("a, V(s)", style.VERMILLION, r"$\Sigma_a$, $V(s)$"),
         ("s", style.GREEN, r"$\Sigma_s$")]
CODED = ["tau", "a, V(s)"]


def draw(rows):
    fig = style.page(5.75, "What an action-dependent baseline could still remove: Σₐ with V(s)",
                     "A point mass under an open-loop policy, at four moments of training. Lines: exact; dots: sampled; dashed: "
                     "what the paper's code measures.")
    style.key(fig, [(colour, label) for _, colour, label in TERMS])
    returns = {row["update"]: float(row["value"]) for row in rows if row["part"] == "return"}
    curve = [row for row in rows if row["part"] == "curve"]
    for k, (update, value) in enumerate(returns.items()):
        ax = style.panel(fig, 0.68 + 3.72 * (k % 2), 1.1 + 2.3 * (k // 2), 3.45, 1.9)
        ax.set_yscale("log")
        for term, colour, _ in TERMS:
            of = [row for row in curve if row["update"] == update and row["term"] == term]
            t = [int(row["t"]) for row in of]
            ax.plot(t, style.column(of, "value"), color=colour)
            if term in CODED:
                ax.plot(t, [2.718281828459045 ** x for x in style.column(of, "log_coded")], color=colour, linewidth=0.8,
                        linestyle=(0, (3, 2)))
            drawn = [row for row in of if style.number(row, "sampled")]
            x, y, se = ([float(row[name]) for row in drawn] for name in ("t", "sampled", "sampled_se"))
            style.draw_points(ax, x, y, se, colour, floor=1e-6)
        ax.set_ylim(1e-6, 1e12)
        ax.set_xlim(0, 100)
        ax.set_yticks([10.0**e for e in range(-6, 13, 3)])
        ax.grid(axis="y", color=style.PALE, linewidth=0.6)
        ax.minorticks_off()
        style.name_panel(ax, f"Update {update}", right=f"return {value:.0f}".replace("-", "−"))
        if k % 2 == 0:
            ax.set_ylabel("variance, trace")
        else:
            ax.set_yticklabels([])
        if k // 2:
            ax.set_xlabel("step $t$, of which the gradient is")
        else:
            ax.set_xticklabels([])
    return fig


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: plot.py DIR")
    style.save(draw(style.read_csv(pathlib.Path(sys.argv[1]) / f"{ID}.csv")), sys.argv[1], ID)
