"""Doxygen's input filter: prints a header with its plain comments as documentation comments, texts kept as written."""
import re
import sys

with open(sys.argv[1], encoding="utf-8") as f:
    text = f.read()


def shown(body):
    return body.replace("@", "\\@").replace("\\n", "\\\\n").replace("<", "&lt;").replace(">", "&gt;").replace("#", "\\#") \
        .replace("%", "%%").replace('"', "&quot;").replace("::", "\\::")


def before(m):
    """A comment at a line's start: of the declaration after it, unless it is a section's heading."""
    body = m.group(1)
    if body.startswith(" ----"):
        return m.group(0)
    lines = [re.sub(r"^\s*\* ?", "", line) for line in body.strip().split("\n")]
    lead = "@file\n" if m.start() == 0 else ""
    return "/** " + lead + "\\verbatim\n" + "\n".join(lines).strip() + "\n\\endverbatim */"


def behind(m):
    if m.group(2).lstrip().startswith("----"):
        return m.group(0)
    return f"{m.group(1)}/**< {shown(re.sub(chr(10) + r'[ ]*[*]?', ' ', m.group(2)).strip())} */"


text = re.sub(r"^/\*(?!\*)(.*?)\*/", before, text, flags=re.S | re.M)
text = re.sub(r"([;,{] +)/\*(?!\*)(.*?)\*/", behind, text, flags=re.S)
sys.stdout.write(text)
