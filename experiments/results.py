#!/usr/bin/env python3
"""Trains everything that docs/results.md reports, and writes that page: experiments/results.py [--seeds 0..9] [--only TEXT]

Needs build/release/lowvar. Runs that results/training already holds, of the same seeds and configuration, are kept."""
import argparse
import json
import pathlib
import subprocess

TOP = pathlib.Path(__file__).resolve().parent.parent
BINARY = TOP / "build" / "release" / "lowvar"
RUNS = TOP / "results" / "training"

# Name, algorithm, world, steps, more flags; what is counted (a key of summary.json's seeds), the bar, how many of ten.
CONFIG = "experiments/configs/"
PLAN = [
    ("reinforce-cartpole-v0", "reinforce", "CartPole-v0", 1000000, [], "best_100", 195, 9),
    ("ppo-cartpole-cleanrl", "ppo", "CartPole-v1", 500000, ["--config", CONFIG + "ppo_cartpole_cleanrl.toml"], "eval_return", 475, 9),
    ("ppo-cartpole-fast", "ppo", "CartPole-v1", 500000, ["--config", CONFIG + "ppo_cartpole_fast.toml"], "eval_return", None, None),
    ("ppo-kl-cartpole", "ppo-kl", "CartPole-v1", 500000, [], "eval_return", 475, 8),
    ("trpo-cartpole", "trpo", "CartPole-v1", 500000, [], "eval_return", 475, 8),
    ("a2c-cartpole", "a2c", "CartPole-v1", 500000, [], "eval_return", 475, 8),
    ("reinforce-baseline-cartpole", "reinforce-baseline", "CartPole-v1", 500000, [], "eval_return", 400, 8),
    ("q-actor-critic-cartpole", "q-actor-critic", "CartPole-v1", 500000, [], "eval_return", 400, 8),
    ("a3c-cartpole", "a3c", "CartPole-v1", 500000, [], "eval_return", 400, 8),
    ("npg-cartpole", "npg", "CartPole-v1", 500000, [], "eval_return", 400, 8),
    ("ppo-acrobot", "ppo", "Acrobot-v1", 500000, [], "eval_return", -90, 9),
    ("ddpg-pendulum", "ddpg", "Pendulum-v1", 20000, [], "eval_return", -200, 8),
    ("ppo-pendulum", "ppo", "Pendulum-v1", 300000, [], "eval_return", -250, 8),
    ("ppo-pendulum-rltools", "ppo", "Pendulum-v1", 300000, ["--config", CONFIG + "ppo_pendulum_rltools.toml"], "eval_return", None, None),
    ("ppo-lunar-lander", "ppo", "LunarLander-v3", 1000000, [], "eval_return", 200, 8),
    ("ddpg-mountain-car", "ddpg", "MountainCarContinuous-v0", 300000, [], "eval_return", 90, 7),
    ("ppo-frozen-lake", "ppo", "FrozenLake-v1", 500000, [], "exact_value", 0.5220, 9),
    ("trpo-frozen-lake", "trpo", "FrozenLake-v1", 500000, [], "exact_value", 0.5220, 9),
    ("q-actor-critic-bombs", "q-actor-critic", "bombs-and-bitcoin", 1000000, [], "exact_value", 0.98 * 0.95, 9),
    ("a2c-bombs", "a2c", "bombs-and-bitcoin", 1000000, [], "exact_value", 0.98 * 0.95, 9),
    ("apg-double-integrator", "apg", "double-integrator", 1000000, ["--horizon", "100"], "exact_value", "riccati", 9),
    ("apg-pendulum", "apg", "Pendulum-v1", 60000, [], "eval_return", -200, 8),
    ("ppo-pendulum-60k", "ppo", "Pendulum-v1", 60000, [], "eval_return", None, None),
    ("apg-balance", "apg", "CartPoleBalance-v0", 20000, [], "eval_return", 475, 8),
    ("ppo-balance", "ppo", "CartPoleBalance-v0", 100000, [], "eval_return", 475, 8),
    ("ppo-balance-20k", "ppo", "CartPoleBalance-v0", 20000, [], "eval_return", None, None),
    ("npg-single-integrator", "npg", "single-integrator", 1000000, [], "exact_value", "riccati", 9),
    ("npg-double-integrator", "npg", "double-integrator", 1000000, [], "exact_value", "riccati", 9),
]


def run(name, algorithm, world, steps, flags, seeds):
    out = RUNS / name
    command = [str(BINARY), "train", algorithm, "--env", world, "--steps", str(steps), "--seeds", seeds, *flags]
    stamp = out / "command.txt"
    text = " ".join(["lowvar", *command[1:]])
    if not (stamp.exists() and stamp.read_text() == text):
        print(text, flush=True)
        subprocess.run([*command, "--out", str(out), "--overwrite"], check=True, cwd=TOP, stdout=subprocess.DEVNULL)
        stamp.write_text(text)
    return text, json.loads((out / "summary.json").read_text()), json.loads((out / "machine.json").read_text())


def number(x):
    return f"{x:.4g}" if abs(x) < 10 else f"{x:.1f}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", default="0..9")
    parser.add_argument("--only", default="", help="runs whose name holds this text")
    arguments = parser.parse_args()
    lines = ["# Results", "",
             "Written by `experiments/results.py`: every line is ten seeds of one command (0 to 9; what was tuned was tuned on others, but for",
             "the lander's three changes to the zoo's settings, which were chosen on these).",
             "`eval_return` is the mean of 100 greedy episodes after training, `best_100` the best mean of 100 training episodes in",
             "a row, `exact_value` the value of the learnt stochastic policy by dynamic programming (for linear-quadratic worlds: of",
             "its mean). IQM is the interquartile mean over seeds, in a 95 % bootstrap interval. Steps a second are of one seed, two",
             "of which ran side by side.", "",
             "| run | what | IQM [95 %] | smallest, largest | bar | seeds above it | steps/s |", "|---|---|---|---|---|---|---|"]
    commands = ["", "## Commands", "", "```sh"]
    for name, algorithm, world, steps, flags, key, bar, wanted in PLAN:
        if arguments.only not in name:
            continue
        text, summary, machine = run(name, algorithm, world, steps, flags, arguments.seeds)
        scores = [seed[key] for seed in summary["seeds"]]
        limit = [1.01 * seed["riccati_value"] for seed in summary["seeds"]] if bar == "riccati" else [bar] * len(scores)
        if bar is None:
            met, shown = "", ""
        else:
            count = sum(s >= b for s, b in zip(scores, limit))
            met = f"{count} of {len(scores)} (wanted: {wanted})"
            shown = f"Riccati's {number(limit[0] / 1.01)} less 1 %" if bar == "riccati" else number(bar)
        if key == "eval_return":
            iqm, (low, high) = summary["iqm"], summary["ci95"]
            middle = f"{number(iqm)} [{number(low)}, {number(high)}]"
        else:
            middle = number(sorted(scores)[len(scores) // 2]) + " (median)"
        speed = sorted(seed["steps_per_second"] for seed in machine["seeds"])
        lines.append(f"| {name} | `{key}` | {middle} | {number(min(scores))}, {number(max(scores))} | {shown} | {met} | "
                     f"{speed[len(speed) // 2]:,.0f} |".replace(",", " ", 0))
        commands.append(f"{text} --out results/training/{name}")
    commands += ["```", ""]
    if not arguments.only:
        (TOP / "docs" / "results.md").write_text("\n".join(lines + commands), encoding="utf-8")
    print("\n".join(lines[9:]))


if __name__ == "__main__":
    main()
