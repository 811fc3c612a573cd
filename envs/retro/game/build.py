"""Builds the game: a ROM by cc65, and beside it the files that say what its numbers mean (docs/pixels.md).

build.py FOLDER: writes rom.nes, rom.sha, data.json, scenario.json and metadata.json there, the same bytes each time."""
import hashlib
import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
COLOURS = ".-+#"

# What is read from RAM, by its name in the C program, and as what.
NUMBERS = {"score": ">n4", "power": "|u1", "boss": "|u1", "lives": "|u1"}
# A rock is 1 or 2, a capsule 5, a hit on the guardian 1 and its end 20, a lost life -5.
SCENARIO = {
    "reward": {"variables": {"score": {"reward": 1}, "power": {"reward": 5}, "boss": {"penalty": -1},
                             "lives": {"penalty": 5}}},
    "done": {"variables": {"lives": {"op": "equal", "reference": 0}}},
    "actions": [[[], ["UP"], ["DOWN"]], [[], ["LEFT"], ["RIGHT"]], [[], ["A"]]],
}


def tiles_of(text):
    """The tiles' bytes, and where each picture's begin."""
    tiles, first = b"", {}
    for block in re.split(r"\n\s*\n", "\n".join(line for line in text.splitlines() if not line.startswith("# "))):
        name, *rows = block.split()
        first[name] = len(tiles) // 16
        for top in range(0, len(rows), 8):
            for left in range(0, len(rows[0]), 8):
                dots = [[COLOURS.index(c) for c in row[left:left + 8]] for row in rows[top:top + 8]]
                for plane in (0, 1):  # the low bits of eight rows, then the high ones
                    tiles += bytes(sum((dot >> plane & 1) << (7 - k) for k, dot in enumerate(row)) for row in dots)
    return tiles.ljust(0x2000, b"\0"), first


def build(folder):
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as work:
        work = pathlib.Path(work)

        def run(*command):
            done = subprocess.run(command, cwd=work, capture_output=True, text=True)
            if done.returncode or done.stderr:
                sys.exit(f"{' '.join(command)}: {done.stderr}")

        for name in ("rockbelt.c", "machine.s", "nes.cfg"):
            shutil.copy(HERE / name, work)
        tiles, first = tiles_of((HERE / "tiles.txt").read_text())
        (work / "tiles.chr").write_bytes(tiles)
        (work / "tiles.h").write_text("".join(f"#define TILE_{name} {at}\n" for name, at in first.items()))
        run("cc65", "-Oirs", "-t", "none", "rockbelt.c")
        run("ca65", "rockbelt.s")
        run("ca65", "machine.s")
        run("ld65", "-C", "nes.cfg", "-Ln", "labels", "-o", "rom.nes", "machine.o", "rockbelt.o", "none.lib")
        address = {name: int(at, 16) for at, name in re.findall(r"al (\w+) \._(\w+)", (work / "labels").read_text())}
        rom = (work / "rom.nes").read_bytes()
    (folder / "rom.nes").write_bytes(rom)
    # Retro's hashes of cartridges leave out their header.
    (folder / "rom.sha").write_text(hashlib.sha1(rom[16:]).hexdigest() + "\n")
    data = {"info": {name: {"address": address[name], "type": kind} for name, kind in NUMBERS.items()}}
    for name, content in (("data", data), ("scenario", SCENARIO), ("metadata", {"original_rom_name": "rockbelt.nes"})):
        (folder / f"{name}.json").write_text(json.dumps(content, indent=2) + "\n")


if __name__ == "__main__":
    build(pathlib.Path(sys.argv[1]))
