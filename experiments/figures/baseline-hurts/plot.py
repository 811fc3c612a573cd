"""Draws baseline-hurts: plot.py DIR reads DIR/baseline-hurts.csv and writes the SVG and the PNG."""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import style  # noqa: E402  (sets matplotlib up, so it comes first)
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator  # noqa: E402

ID = "baseline-hurts"
HEIGHT = 4.05
TOP, TALL = 1.0, 2.5
SHADES = {"2": 0.3, "4": 0.45, "8": 0.65, "16": 0.8, "64": 1.0}
LABELS = {"2": (0.055, 17.2), "4": (0.055, 3.79), "8": (0.055, 1.79), "16": (0.055, 1.09), "64": (0.055, 0.63)}
ESTIMATORS = [("none", style.INK, "-"), ("best", style.GREEN, (0, (3, 2))), ("mean", style.SKY, "-"),
              ("rloo:8", style.BLUE, "-"), ("rloo:64", style.BLUE, (0, (4, 1.5))), ("advantage", style.VERMILLION, "-")]


def log_axis(axis, ticks):
    axis.set_major_locator(FixedLocator(ticks))
    axis.set_major_formatter(FuncFormatter(style.plain))
    axis.set_minor_locator(NullLocator())


def label(ax, x, y, text, colour=style.INK, **how):
    ax.text(x, y, text, fontsize=style.SMALL, color=colour, **{"ha": "left", "va": "center", "linespacing": 1.3,
                                                               "zorder": 8, **how})


def draw_phase(ax, rows):
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xlim(0.03, 1)
    ax.set_ylim(3e-4, 30)
    log_axis(ax.xaxis, [0.05, 0.1, 0.2, 0.5, 1])
    log_axis(ax.yaxis, [0.001, 0.01, 0.1, 1, 10])
    for G, shade in SHADES.items():
        p, needed = style.columns([r for r in rows if r["part"] == "needed" and r["G"] == G], "p", "ratio_needed")
        ax.plot(p, needed, color=style.BLUE, alpha=shade, linewidth=1.3, zorder=3)
        label(ax, *LABELS[G], "$G$ = 2" if G == "2" else G, style.BLUE, ha="center", bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.6})
        if G == "64":
            ax.fill_between(p, 1e-5, needed, color=style.VERMILLION, alpha=0.07, linewidth=0, zorder=0)
    worlds = {r["world"]: r for r in rows if r["part"] == "world"}
    for J in "0.1", "0.3", "0.7":
        of = [worlds[f"STEPS {L} {J}"] for L in (2, 4, 8, 16, 32, 64, 128, 256)]
        x, y = style.columns(of, "p", "ratio")
        ax.plot(x, y, color=style.GREEN, linewidth=0.7, zorder=4)
        ax.plot(x, y, color=style.GREEN, linestyle="none", clip_on=False, zorder=5, **{**style.POINT, "markersize": 3.4})
        for L, xi, yi in zip((2, 4, 8, 16, 32, 64, 128, 256), x, y):
            if J != "0.3" and L in (2, 256) or J == "0.3" and L in (16, 64, 256):
                label(ax, xi * 0.93, yi, f"$L$ = {L}", style.GREEN, ha="right")
    for name, row in worlds.items():
        if "arms" in name:
            ax.plot(style.number(row, "p"), style.number(row, "ratio"), color=style.ORANGE, zorder=6,
                    **{**style.POINT, "marker": "s"})
    for name in "SEQ-31", "SEQ-31 by prefix":
        ax.plot(style.number(worlds[name], "p"), style.number(worlds[name], "ratio"), color=style.PURPLE, zorder=7,
                **{**style.POINT, "marker": "D", "markersize": 4.4})
    ax.set_xlabel("probability of a right answer $p$")
    ax.set_ylabel(r"$\varrho=\mathrm{E}[|S|^2|$right$]\,/\,\mathrm{E}[|S|^2|$wrong$]$", labelpad=1)


def draw_groups(ax, rows):
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xlim(2, 64)
    ax.set_ylim(0.26, 40)
    log_axis(ax.xaxis, [2, 4, 8, 16, 64])
    log_axis(ax.yaxis, [0.3, 1, 3, 10, 30])
    ax.axhline(1, color=style.GREY, linewidth=0.7)
    for name, colour in (("STEPS 64 0.3", style.GREEN), ("SEQ-31", style.PURPLE), ("10 arms, 1 right", style.ORANGE),
                         ("10 arms, 2 right", style.ORANGE), ("10 arms, 5 right", style.ORANGE)):
        G, ratio = style.columns([r for r in rows if r["part"] == "group" and r["world"] == name], "G", "to_none")
        ax.plot(G, ratio, color=colour, linewidth=1.3, zorder=3)
    ax.set_xlabel("answers in a group $G$")


def draw_steps(ax, rows):
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xlim(2, 256)
    ax.set_ylim(1.5e-3, 0.8)
    log_axis(ax.xaxis, [2, 4, 16, 64, 256])
    log_axis(ax.yaxis, [0.003, 0.01, 0.03, 0.1, 0.3])
    for name, colour, line in ESTIMATORS:
        of = [r for r in rows if r["part"] == "steps" and r["J"] == "0.3" and r["estimator"] == name]
        L, variance = style.columns(of, "L", "variance")
        ax.plot(L, variance, color=colour, linestyle=line, linewidth=1.4, zorder=5 if name == "best" else 3)
    ax.set_xlabel("steps of an answer $L$")


def draw(rows):
    fig = style.page(HEIGHT, "When a baseline hurts",
                     "Rewards 0 and 1, variance summed over logits. The mean of a group can be a worse baseline than none, "
                     "and exact advantages too.")
    phase = style.panel(fig, 0.62, TOP, 2.45, TALL)
    groups = style.panel(fig, 3.5, TOP, 1.6, TALL)
    steps = style.panel(fig, 5.62, TOP, 1.62, TALL)
    draw_phase(phase, rows)
    draw_groups(groups, rows)
    draw_steps(steps, rows)

    label(phase, 0.95, 9, "the group's\nmean helps", style.BLUE, ha="right")
    label(phase, 0.033, 0.0007, "the group's mean hurts,\nup to $G$ = 64", style.VERMILLION)
    label(phase, 0.55, 1.35, "bandits", style.ORANGE, va="bottom")
    label(phase, 0.258, 0.31, "SEQ-31", style.PURPLE, ha="right")
    label(phase, 0.1, 0.0105, "chains of $L$\nright steps", style.GREEN, ha="center", va="top")

    label(groups, 60, 27, "64 right steps,\n$p$ = .3", style.GREEN, ha="right")
    label(groups, 4.2, 1.95, "SEQ-31, $p$ = .28", style.PURPLE)
    label(groups, 60, 0.36, "bandits, 1, 2 and 5\nof 10 arms right", style.ORANGE, ha="right")

    label(steps, 290, 0.41, "exact\nadvantages", style.VERMILLION)
    label(steps, 290, 0.2, "RLOO-8", style.BLUE)
    label(steps, 290, 0.105, "RLOO-64\n(dashed),\n$b=J$", style.BLUE, va="center")
    label(steps, 30, 0.0085, "none", style.INK, ha="right")
    label(steps, 30, 0.0058, "best $b$ (dashed)", style.GREEN, ha="right")
    style.name_panel(phase, "from where on a group helps", "above its line, a group of $G$ beats no baseline")
    style.name_panel(groups, "RLOO / none", "variance, against $G$")
    style.name_panel(steps, "chains of right steps", "variance of one answer, $p$ = .3")
    return fig


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: plot.py DIR")
    style.save(draw(style.read_csv(pathlib.Path(sys.argv[1]) / f"{ID}.csv")), sys.argv[1], ID)
