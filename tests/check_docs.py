"""check_docs.py PAGE SOURCE...: what stands between two marks `// [name]` of a SOURCE stands in PAGE, letter for
letter. With --all every C++ block of PAGE is such a piece."""
import pathlib
import re
import sys
import textwrap

every = "--all" in sys.argv
page, *sources = [pathlib.Path(a) for a in sys.argv[1:] if a != "--all"]
text, pieces = page.read_text(), []
for source in sources:
    lines, open_at = source.read_text().splitlines(), {}
    for i, line in enumerate(lines):
        mark = re.fullmatch(r"\s*// (\[.+\])", line)
        if not mark:
            continue
        if mark[1] in open_at:
            pieces.append(textwrap.dedent("\n".join(lines[open_at.pop(mark[1]) + 1 : i])))
            if pieces[-1] not in text:
                sys.exit(f"{page} does not show {mark[1]} of {source}:\n{pieces[-1]}")
        else:
            open_at[mark[1]] = i
    if open_at:
        sys.exit(f"{source}: {', '.join(open_at)} is opened and not closed")
if not pieces:
    sys.exit(f"no marks in {', '.join(map(str, sources))}")
for block in re.findall(r"^```cpp\n(.*?)\n```$", text, re.M | re.S) if every else []:
    if block not in pieces:
        sys.exit(f"{page}: this block is compiled nowhere:\n{block}")
