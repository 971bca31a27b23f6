"""The chance that an answer passes, estimated while a run goes on.

Instructions differ: most answers to an easy one pass, hardly any to a hard one. So the chance is taken to be drawn from
a Beta distribution for each instruction, and what its own answers have done sharpens the estimate. The distribution is
fitted to all verdicts so far (maximum likelihood on a grid). How an instruction's sampling was stopped does not matter
to the fit: the likelihood of its passes and failures is the same under any rule.
"""

from __future__ import annotations

from collections import Counter
from math import exp, lgamma

#: Before anything is known, one instruction counts as passed and another as failed.
_BEFOREHAND = {(1, 0): 1, (0, 1): 1}
#: The grid: means, evenly in log-odds, and weights (passes and failures that the distribution is worth).
_MEANS = tuple(1 / (1 + exp(-one / 4)) for one in range(-20, 15))
_WEIGHTS = tuple(2.0**one for one in range(-2, 6))
#: The first fit, and by how much the verdicts grow from one fit to the next.
_FIRST_FIT, _GROWTH = 16, 1.25


class Odds:
    """A Beta distribution of the chance to pass, fitted to the passes and failures of each instruction."""

    def __init__(self) -> None:
        #: How many instructions have so many passes and failures.
        self._seen = Counter(_BEFOREHAND)
        self._verdicts, self._next_fit = 0, _FIRST_FIT
        #: The distribution, as passes and failures that are known before an instruction's first answer.
        self.passes, self.failures = 1.0, 1.0

    def note(self, passes: int, failures: int, passed: bool) -> None:
        """An instruction that had so many passes and failures has another verdict."""
        if passes or failures:
            self._seen[passes, failures] -= 1
        self._seen[passes + passed, failures + (not passed)] += 1
        self._verdicts += 1
        if self._verdicts >= self._next_fit:
            self._fit()
            self._next_fit = int(_GROWTH * self._verdicts) + 1

    def chance_of_fewer(self, wanted: int, draws: int, passes: int, failures: int) -> float:
        """The chance that fewer than `wanted` of `draws` answers pass, for an instruction with so many passes and
        failures: the distribution function of the beta-binomial.

        >>> round(Odds().chance_of_fewer(1, 2, 0, 0), 6)  # the mean of (1 - p)² over all p
        0.333333
        """
        if wanted > draws:
            return 1.0
        a, b = self.passes + passes, self.failures + failures
        one = 1.0  # the chance that none passes
        for number in range(draws):
            one *= (b + number) / (a + b + number)
        total = one
        for number in range(wanted - 1):
            one *= (draws - number) / (number + 1) * (a + number) / (b + draws - 1 - number)
            total += one
        return min(1.0, total)

    def _fit(self) -> None:
        seen = [(*cell, number) for cell, number in self._seen.items() if number]
        pairs = ((mean * weight, (1 - mean) * weight) for mean in _MEANS for weight in _WEIGHTS)
        self.passes, self.failures = max(pairs, key=lambda pair: _log_likelihood(*pair, seen))


def _log_likelihood(a: float, b: float, seen: list[tuple[int, int, int]]) -> float:
    none = _log_beta(a, b)
    return sum(number * (_log_beta(a + passes, b + failures) - none) for passes, failures, number in seen)


def _log_beta(a: float, b: float) -> float:
    return lgamma(a) + lgamma(b) - lgamma(a + b)
