"""Student's t distribution with any number of degrees of freedom, whole or not."""

from __future__ import annotations

import math
from statistics import NormalDist


def two_sided_p(t: float, freedom: float) -> float:
    """Return the probability that |T| is at least |t|; `freedom` may be fractional, and infinite for the normal.

    P(|T| ≥ t) = I_x(f/2, 1/2) with x = f / (f + t²) (Abramowitz & Stegun 26.7.1 and 26.5.27).

    >>> round(two_sided_p(2.776445, 4), 4), round(two_sided_p(1.959964, math.inf), 4)
    (0.05, 0.05)
    """
    if not math.isfinite(freedom):
        return math.erfc(abs(t) / math.sqrt(2))
    whole = freedom + t * t
    return _incomplete_beta(freedom / 2, 0.5, freedom / whole, t * t / whole)


def quantile(freedom: float, level: float = 0.95) -> float:
    """Return the t that |T| exceeds with the probability 1 − level.

    >>> round(quantile(4), 3), round(quantile(math.inf), 3)
    (2.776, 1.96)
    """
    found = NormalDist().inv_cdf((1 + level) / 2)
    if not math.isfinite(freedom):
        return found
    # The tail is convex and the normal quantile is below it, so Newton's method approaches from one side.
    scale = math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2) - math.log(freedom * math.pi) / 2
    while True:
        density = math.exp(scale - (freedom + 1) / 2 * math.log1p(found * found / freedom))
        step = (two_sided_p(found, freedom) - (1 - level)) / (2 * density)
        found += step
        if abs(step) < 1e-10 * found:
            return found


def _incomplete_beta(a: float, b: float, x: float, rest: float) -> float:
    """The regularised incomplete beta function I_x(a, b); `rest` is 1 − x, exact also where x rounds to 1."""
    if x <= 0 or rest <= 0:
        return float(rest <= 0)
    front = math.exp(math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log(rest))
    # The continued fraction converges fast on this side of the mean; the other side is its complement.
    if x < (a + 1) / (a + b + 2):
        return front * _fraction(a, b, x) / a
    return 1 - front * _fraction(b, a, rest) / b


def _fraction(a: float, b: float, x: float) -> float:
    """Abramowitz & Stegun 26.5.8, evaluated by Lentz's method."""
    tiny = 1e-300
    c, d = 1.0, 1 / (1 - (a + b) * x / (a + 1) or tiny)
    found = d
    for m in range(1, 10_000):
        for term in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1 / (1 + term * d or tiny)
            c = 1 + term / c or tiny
            found *= c * d
        if abs(c * d - 1) < 1e-14:
            break
    return found
