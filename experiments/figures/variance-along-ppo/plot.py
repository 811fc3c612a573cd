"""Draws variance-along-ppo: plot.py DIR reads DIR/variance-along-ppo.csv and writes the SVG and the PNG."""
import math
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import style  # noqa: E402  (sets matplotlib up, so it comes first)

ID = "variance-along-ppo"
RUNGS = [("reinforce", style.BLACK), ("togo", style.ORANGE), ("togo-value", style.GREEN), ("nstep:5", style.SKY),
         ("gae:0.95", style.BLUE), ("ppo-clip:0.2", style.PURPLE), ("td", style.VERMILLION)]


def draw(rows):
    fig = style.page(5.4, "Variance along a run of PPO",
                     "CartPole-v1. Above: the mean return of the last 100 training episodes. Below: the variance of each "
                     "estimator at the policy of that moment.")
    run = [row for row in rows if row["part"] == "run"]
    seeds = sorted({row["seed"] for row in run}, key=int)
    top = style.panel(fig, 0.75, 0.75, 5.6, 1.25)
    low = style.panel(fig, 0.75, 2.35, 5.6, 2.55, sharex=top)
    for seed in seeds:
        of = [row for row in run if row["seed"] == seed and row["estimator"] == "reinforce"]
        known = [(int(row["step"]), style.number(row, "return")) for row in of]
        known = [(x, y) for x, y in known if y is not None]
        top.plot([x for x, _ in known], [y for _, y in known], color=style.INK, alpha=0.35 + 0.65 / len(seeds))
    low.set_yscale("log")
    ends = []
    for name, colour in RUNGS:
        by_step = {}
        for row in run:
            if row["estimator"] == name:
                by_step.setdefault(int(row["step"]), []).append(math.log(style.number(row, "trace_cov")))
        steps = sorted(by_step)
        middle = [math.exp(sum(by_step[s]) / len(by_step[s])) for s in steps]
        dashed = {"linestyle": (0, (4, 2))} if name.startswith("ppo") else {}
        low.plot(steps, middle, color=colour, **dashed)
        for s in steps:
            if len(by_step[s]) > 1:
                low.plot([s] * len(by_step[s]), [math.exp(v) for v in by_step[s]], ".", color=colour, markersize=2.2,
                         markeredgewidth=0)
        ends.append((middle[-1], name, colour))
    # Labels at the right, pushed apart.
    bottom, ceiling = (math.log(v) for v in low.get_ylim())
    at = None
    for value, name, colour in sorted(ends):
        place = (math.log(value) - bottom) / (ceiling - bottom)
        at = place if at is None else max(place, at + 0.062)
        low.text(1.015, at, name, color=colour, transform=low.transAxes, fontsize=style.SMALL, va="center")
    top.set_ylabel("return")
    top.tick_params(labelbottom=False)
    low.set_ylabel(r"$\mathrm{tr\,Cov}(g)$ of one trajectory")
    low.set_xlabel("environment steps")
    low.grid(axis="y", color=style.PALE, linewidth=0.6)
    top.margins(x=0)
    return fig


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: plot.py DIR")
    style.save(draw(style.read_csv(pathlib.Path(sys.argv[1]) / f"{ID}.csv")), sys.argv[1], ID)
