"""The lines between the [readme] marks of docs/example.cpp stand in README.md, letter for letter."""
import pathlib
import sys
import textwrap

root = pathlib.Path(sys.argv[1])
lines = (root / "docs" / "example.cpp").read_text().splitlines()
begin, end = [i for i, line in enumerate(lines) if "// [readme]" in line]
block = textwrap.dedent("\n".join(lines[begin + 1 : end]))
if block not in (root / "README.md").read_text():
    sys.exit("README.md does not show the marked lines of docs/example.cpp:\n" + block)
