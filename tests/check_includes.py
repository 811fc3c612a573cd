"""Fails where a file includes from a floor above its own: check_includes.py SOURCE_DIRECTORY"""

import re
import sys
from pathlib import Path

# What a folder's files may include from, beside the folder itself. The longest folder that a path lies in decides.
ALLOWED = {
    "core": [],
    "autograd": ["core"],
    "nn": ["core", "autograd"],
    "envs": ["core"],
    "algorithms": ["core", "autograd", "nn", "envs"],
    "experiments": ["core", "autograd", "nn", "envs", "algorithms"],
    "bench": ["core", "autograd", "nn", "envs", "algorithms", "experiments"],
    "tests": ["core", "autograd", "nn", "envs", "algorithms", "experiments", "bench"],
}
# Oracles share no code with what they judge, but for the grammar of names, which includes nothing of either.
GRAMMAR = "algorithms/estimators/names"
JUDGED = ["algorithms/estimators", "algorithms/measure", "algorithms/data"]
APART = [("algorithms/exact", judged) for judged in JUDGED] + [(judged, "algorithms/exact") for judged in JUDGED]

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*"([^"]+)"', re.MULTILINE)


def within(path, folder):
    return path.startswith(folder + "/")


def complaint(file, target):
    """Why `file` may not include `target` (paths from the top), or None."""
    floor, other = file.split("/")[0], target.split("/")[0]
    if floor != other and other not in ALLOWED[floor]:
        return f"{floor}/ may include from {', '.join([floor] + ALLOWED[floor])} only"
    if file in {GRAMMAR + ".h", GRAMMAR + ".cpp"} and other != "core" and target != GRAMMAR + ".h":
        return f"{GRAMMAR}.h is shared with the oracles and includes core/ only"
    if target == GRAMMAR + ".h":
        return None
    for one, two in APART:
        if within(file, one) and within(target, two):
            return f"{one}/ and {two}/ share no code"
    return None


def main(top):
    top = Path(top).resolve()
    problems, edges = [], 0
    for floor in ALLOWED:
        for path in sorted((top / floor).rglob("*")):
            if path.suffix not in {".h", ".cpp"}:
                continue
            file = path.relative_to(top).as_posix()
            text = path.read_text(encoding="utf-8")
            for match in INCLUDE.finditer(text):
                line = text.count("\n", 0, match.start()) + 1
                found = [c for c in (path.parent / match[1], top / match[1]) if c.is_file()]
                if not found:
                    problems.append(f'{file}:{line}: "{match[1]}" is no file of the project')
                    continue
                edges += 1
                target = found[0].resolve().relative_to(top).as_posix()
                reason = complaint(file, target)
                if reason:
                    problems.append(f'{file}:{line}: "{match[1]}": {reason}')
    print("\n".join(problems + [f"{edges} includes, {len(problems)} against the floors"]))
    return 1 if problems or edges == 0 else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
