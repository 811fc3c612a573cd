"""Draws tucker-decomposition: plot.py DIR reads DIR/tucker-decomposition.csv and writes the SVG and the PNG."""
import math
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import style  # noqa: E402  (sets matplotlib up, so it comes first)

ID = "tucker-decomposition"
TERMS = [("a_none", style.ORANGE, r"$\Sigma_a$, no baseline"),
         ("a_value", style.VERMILLION, r"$\Sigma_a$, PPO's critic"),
         ("a_exact", style.PURPLE, r"$\Sigma_a$, the exact value"),
         ("tau", style.BLACK, r"$\Sigma_\tau$"),
         ("s", style.GREEN, r"$\Sigma_s$")]
LAMBDAS = [("1", "discounted return"), ("0.95", "GAE(0.95)")]


def draw(rows):
    run = [row for row in rows if row["part"] == "run"]
    worlds = list(dict.fromkeys(row["world"] for row in run))
    fig = style.page(5.3, "A step's variance, taken apart along runs of PPO",
                     "By restored states. Purple is all that a baseline of state and action could remove beyond a state's "
                     "value.")
    style.key(fig, [(colour, label) for _, colour, label in TERMS])
    width = min(3.4, (style.WIDTH - 0.95) / len(worlds) - 0.42)
    for column, world in enumerate(worlds):
        for line, (value, name) in enumerate(LAMBDAS):
            ax = style.panel(fig, 0.72 + column * (width + 0.5), 1.12 + 2.08 * line, width, 1.65)
            ax.set_yscale("log")
            ax.set_xscale("log")
            every = []
            for term, colour, _ in TERMS:
                of = [row for row in run if row["world"] == world and row["lambda"] == value and row["term"] == term]
                x, y, se = ([float(row[key]) for row in of] for key in ("steps", "value", "se"))
                every += [v for v in y if v > 0]
                shown = [(a, b) for a, b in zip(x, y) if b > 0]
                ax.plot([a for a, _ in shown], [b for _, b in shown], color=colour, linewidth=0.8)
                style.draw_points(ax, x, y, se, colour, floor=min(every) / 30)
            low, high = math.floor(math.log10(min(every)) - 0.3), math.ceil(math.log10(max(every)))
            ax.set_ylim(10.0**low, 10.0**high)
            ax.set_yticks([10.0**e for e in range(low, high + 1, 1 + (high - low) // 6)])
            ax.minorticks_off()
            steps = sorted({int(row["steps"]) for row in run if row["world"] == world})
            ax.set_xticks(steps, [style.plain(round(s / 1000)) for s in steps])
            ax.grid(axis="y", color=style.PALE, linewidth=0.6)
            style.name_panel(ax, world if line == 0 else "", right=name)
            if column == 0:
                ax.set_ylabel("variance, trace")
            if line:
                ax.set_xlabel("thousands of steps")
            else:
                ax.set_xticklabels([])
    return fig


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: plot.py DIR")
    style.save(draw(style.read_csv(pathlib.Path(sys.argv[1]) / f"{ID}.csv")), sys.argv[1], ID)
