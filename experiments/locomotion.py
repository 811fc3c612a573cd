#!/usr/bin/env python3
"""Trains on MuJoCo what docs/locomotion.md reports, and writes its tables: experiments/locomotion.py [--seeds 0..4] [--only TEXT]

Needs build/release/lowvar with MuJoCo. Runs that results/training already holds, of the same seeds and settings, are kept."""
import argparse
import math
import re
import statistics

import results

PAGE = results.TOP / "docs" / "locomotion.md"
CLEANRL = "CleanRL, 3 seeds"
BASELINES = "Baselines, 6 seeds"
TIANSHOU = "Tianshou, 10 seeds, best test"

# Algorithm, world; what was published: mean, standard deviation over seeds where it is known, by whom. Tianshou's are of test
# episodes, and stand beside our greedy ones.
PLAN = [
    ("ppo", "Hopper-v4", 2382.86, 271.74, CLEANRL),
    ("ppo", "Walker2d-v4", 2287.95, 571.78, CLEANRL),
    ("ppo", "HalfCheetah-v5", 1442.64, 46.03, CLEANRL),
    ("ppo", "InvertedPendulum-v4", 963.09, 22.20, CLEANRL),
    ("ppo", "Swimmer-v5", 111.19, None, BASELINES),
    ("ppo", "Reacher-v4", -6.71, None, BASELINES),
    ("ppo", "InvertedDoublePendulum-v4", 7102.91, None, BASELINES),
    ("trpo", "Hopper-v4", 1912.9, None, BASELINES),
    ("trpo", "InvertedPendulum-v4", 905.1, None, BASELINES),
    ("a2c", "Hopper-v4", 1253.2, 458.0, TIANSHOU),
    ("a2c", "InvertedPendulum-v4", 1000.0, 0.0, TIANSHOU),
]
STEPS = 1000000
SETTINGS = {"ppo": "ppo_mujoco_cleanrl", "trpo": "trpo_mujoco", "a2c": "a2c_mujoco"}
T95 = {1: 12.71, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 6: 2.447, 7: 2.365, 8: 2.306, 9: 2.262}  # Student's, two-sided


def half_width(x):
    return T95[len(x) - 1] * statistics.stdev(x) / math.sqrt(len(x))


def with_error(x):
    return f"{statistics.mean(x):.1f} ± {half_width(x):.1f}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", default="0..4")
    parser.add_argument("--only", default="", help="runs whose name holds this text")
    arguments = parser.parse_args()
    rows = ["| algorithm | world | training return | greedy | published | by | ours is | steps/s |",
            "|---|---|---|---|---|---|---|---|"]
    commands = []
    for algorithm, world, mean, spread, source in PLAN:
        name = f"{algorithm}-{world}"
        if arguments.only not in name:
            continue
        config = results.CONFIG + SETTINGS[algorithm] + ".toml"
        text, summary, machine = results.run(name, algorithm, world, STEPS, ["--config", config], arguments.seeds)
        returns, greedy = ([seed[key] for seed in summary["seeds"]] for key in ("final_return", "eval_return"))
        compared = greedy if source == TIANSHOU else returns
        ours, error = statistics.mean(compared), half_width(compared)
        low, high = mean - (spread or 0), mean + (spread or 0)
        place = "below" if ours + error < low else "above" if ours - error > high else "within"
        published = f"{mean:.1f}" + (f" ± {spread:.1f}" if spread is not None else "")
        speed = statistics.median(seed["steps_per_second"] for seed in machine["seeds"])
        rows.append(f"| {algorithm} | {world} | {with_error(returns)} | {with_error(greedy)} | {published} | {source} | {place} | "
                    f"{round(speed, -2):.0f} |")
        commands.append(f"{text} --out results/training/{name}")
    print("\n".join(rows))
    if not arguments.only:
        page = PAGE.read_text(encoding="utf-8")
        tables = "\n".join(rows + ["", "```sh", *commands, "```"])
        page = re.sub(r"(<!-- returns -->\n).*?(<!-- end -->)", lambda m: m[1] + tables + "\n" + m[2], page, flags=re.S)
        PAGE.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
