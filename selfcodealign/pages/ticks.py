"""Round numbers for the axes of charts, and how they are written."""

from __future__ import annotations

import math


def find_ticks(low: float, high: float, most: int, *, whole: bool = False) -> list[float]:
    """Return at most `most` round numbers at equal distances of 1, 2 or 5 times a power of ten, within low..high.

    >>> find_ticks(1, 12, 6, whole=True)
    [2, 4, 6, 8, 10, 12]
    >>> find_ticks(0, 1e-5, 6)
    [0.0, 2e-06, 4e-06, 6e-06, 8e-06, 1e-05]
    """
    if high <= low:
        return [low]
    exponent = math.floor(math.log10((high - low) / most)) - 1
    sizes = (base * 10.0**power for power in range(exponent, exponent + 4) for base in (1, 2, 5))
    size = next(size for size in sizes if not (whole and size < 1) and len(_multiples(low, high, size)) <= most)
    # Rounded to the digits of the size, because 3 * 0.1 is not 0.3.
    digits = max(0, 1 - math.floor(math.log10(size)))
    found = [round(number * size, digits) for number in _multiples(low, high, size)]
    return [round(value) for value in found] if whole else found


def _multiples(low: float, high: float, size: float) -> range:
    """The whole numbers whose multiples of `size` lie between `low` and `high`."""
    return range(math.ceil(low / size - 1e-9), math.floor(high / size + 1e-9) + 1)


def label(value: float) -> str:
    """Write a number for an axis: 0.25, 12,000 or 1e-5.

    >>> [label(value) for value in (0.0, 0.25, 2, 12000.0, 1e-05, 2.5e-06)]
    ['0', '0.25', '2', '12,000', '1e-5', '2.5e-6']
    """
    if value and abs(value) < 1e-3:
        mantissa, _, exponent = f"{value:e}".partition("e")
        return f"{float(mantissa):g}e{int(exponent)}"
    return f"{value:,.6g}" if abs(value) < 1e6 else f"{value:,.0f}"
