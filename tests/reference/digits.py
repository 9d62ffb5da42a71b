"""Makes io/digits_data.inc from the data set's CSV (64 intensities 0 to 16 and the label in a row; other rows are skipped).

    python3 tests/reference/digits.py digits.csv > io/digits_data.inc
"""
import sys

print('''/* UCI "Optical Recognition of Handwritten Digits", test part: 1,797 images of 8 x 8 with their labels. E. Alpaydin and C. Kaynak,
 * 1998, https://doi.org/10.24432/C50P49, licensed CC BY 4.0 (https://creativecommons.org/licenses/by/4.0/). Only the form was
 * changed, by tests/reference/digits.py: a row of 64 letters, a to q for intensities 0 to 16, and the label's digit. */''')
for line in open(sys.argv[1]):
    cells = line.strip().split(",")
    try:
        values = [int(float(c)) for c in cells]
    except ValueError:
        continue
    if len(values) != 65:
        continue
    assert all(0 <= v <= 16 for v in values[:64]) and 0 <= values[64] <= 9, line
    print('    "%s%d",' % ("".join(chr(ord("a") + v) for v in values[:64]), values[64]))
