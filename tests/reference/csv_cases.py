#!/usr/bin/env python3
"""Writes tests/reference/csv_cases.def: texts and the cells that Python's csv module finds in them.

    tests/reference/csv_cases.py > tests/reference/csv_cases.def"""
import csv
import io
import random


def quoted(s):
    return '"' + "".join(f"\\{ord(c):03o}" if not 32 <= ord(c) < 127 or c in '"\\?' else c for c in s) + '"'


def main():
    r = random.Random(4)
    print("/* Written by csv_cases.py: CSV(delimiter, text, rows, columns, cells...). */")
    for _ in range(60):
        columns, rows, delimiter = r.randint(1, 4), r.randint(1, 4), r.choice(",,;\t|")
        end = r.choice(["\n", "\r\n", "\r"])
        text = ""
        for i in range(rows):
            cells = []
            for _ in range(columns):
                c = "".join(r.choice(["a", "b", " ", '"', ",", ";", "\n", "\r\n", "x1", "\u00e9", "-", "'"]) for _ in range(r.randint(1, 5)))
                if r.random() < 0.5 or any(k in c for k in '"\n\r' + delimiter):
                    cells.append('"' + c.replace('"', '""') + '"')
                else:
                    cells.append(c)
            text += delimiter.join(cells) + (end if i < rows - 1 or r.random() < 0.7 else "") + (end if r.random() < 0.2 else "")
        found = [row for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter) if row]
        assert all(len(row) == columns for row in found)
        utf8 = lambda s: s.encode().decode("latin-1")  # noqa: E731
        cells = ", ".join(quoted(utf8(c)) for row in found for c in row)
        print(f"CSV({ord(delimiter)}, {quoted(utf8(text))}, {len(found)}, {columns}, {cells})")


if __name__ == "__main__":
    main()
