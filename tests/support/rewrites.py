"""Functions written for this package that do what HumanEval's tasks ask for, by the number of the task.

They share no text with the benchmark; names and means are others than one would choose first.
"""

from __future__ import annotations

REWRITES: dict[int, str] = {
    0: """def nearer(values, gap):
    ordered = sorted(values)
    return any(right - left < gap for left, right in zip(ordered, ordered[1:]))""",
    4: """import statistics
def spread(sample):
    centre = statistics.fmean(sample)
    return statistics.fmean(abs(centre - one) for one in sample)""",
    5: """def put_between(items, mark):
    out = []
    while items:
        first, *items = items
        out += [mark, first] if out else [first]
    return out""",
    6: """import itertools
def depths(text):
    def depth(word):
        return max(itertools.accumulate({'(': 1, ')': -1}[c] for c in word))
    return list(map(depth, text.split()))""",
    8: """import math
def both(xs):
    return sum(xs), math.prod(xs)""",
    9: """import itertools
def highest_so_far(xs):
    return list(itertools.accumulate(xs, max))""",
    10: """def mirror(word):
    for cut in range(len(word) + 1):
        tail = word[cut:]
        if tail == ''.join(reversed(tail)):
            return word + ''.join(reversed(word[:cut]))""",
    11: """def differ(p, q):
    return ''.join('01'[x != y] for x, y in zip(p, q))""",
    12: """def most_letters(names):
    best = None
    for name in names:
        if best is None or len(best) < len(name):
            best = name
    return best""",
    13: """def common_measure(u, v):
    return max(k for k in range(1, max(u, v) + 1) if not u % k and not v % k)""",
    14: """import itertools
def grow(word):
    return list(itertools.accumulate(word))""",
    18: """import re
def occurrences(text, piece):
    return len(re.findall('(?=' + re.escape(piece) + ')', text))""",
    20: """import itertools
def twins(xs):
    return min(itertools.combinations(sorted(xs), 2), key=lambda pair: pair[1] - pair[0])""",
    21: """def squash(xs):
    low = min(xs)
    width = max(xs) - low
    return list(map(lambda x: (x - low) / width, xs))""",
    24: """def half_or_less(n):
    k = 2
    while n % k:
        k += 1
    return n // k""",
    25: """def split_up(n):
    if n < 2:
        return []
    k = next(d for d in range(2, n + 1) if n % d == 0)
    return [k, *split_up(n // k)]""",
    31: """def has_two_divisors(n):
    return n > 0 and sum(n % k == 0 for k in range(1, n + 1)) == 2""",
    33: """def arrange(xs):
    picked = iter(sorted(xs[::3]))
    return [x if place % 3 else next(picked) for place, x in enumerate(xs)]""",
    36: """def sevens(limit):
    return ''.join(str(k) for k in range(limit) if not (k % 11 and k % 13)).count('7')""",
    40: """import itertools
def balance(xs):
    return 0 in map(sum, itertools.combinations(xs, 3))""",
    43: """import itertools
def cancels(xs):
    return 0 in map(sum, itertools.combinations(xs, 2))""",
    44: """def digits_in(number, radix):
    quotient, last = divmod(number, radix)
    return (digits_in(quotient, radix) if quotient else '') + str(last)""",
    46: """def four_back(n):
    window = [0, 0, 2, 0]
    for _ in range(n):
        window = window[1:] + [sum(window)]
    return window[0]""",
    51: """def consonants(text):
    return text.translate(dict.fromkeys(map(ord, 'aeiouAEIOU')))""",
    57: """def steady(xs):
    signs = {(b > a) - (b < a) for a, b in zip(xs, xs[1:])}
    return not {1, -1} <= signs""",
    59: """def top_factor(n):
    k = 2
    while n > 1:
        if n % k:
            k += 1
        else:
            n //= k
    return k""",
    62: """def slope(coefficients):
    powers = range(len(coefficients))
    return [c * p for c, p in zip(coefficients, powers)][1:]""",
    63: """def three_back(n):
    a, b, c = 0, 0, 1
    while n:
        a, b, c, n = b, c, a + b + c, n - 1
    return a""",
    66: """def capitals(text):
    return sum(map(ord, filter(str.isupper, text)))""",
    89: """def shift_on(text):
    return ''.join(chr((ord(c) - 93) % 26 + 97) if c.islower() else c for c in text)""",
    96: """def below(n):
    sieve = dict.fromkeys(range(2, n), True)
    for k in sieve:
        for m in range(k * k, n, k):
            sieve[m] = False
    return [k for k, prime in sieve.items() if prime]""",
    117: """def pick(sentence, wanted):
    found = []
    for word in sentence.split():
        rest = [c for c in word.lower() if c not in 'aeiou']
        if len(rest) == wanted:
            found.append(word)
    return found""",
    155: """def parity(n):
    odd = sum(int(c) % 2 for c in str(abs(n)))
    return len(str(abs(n))) - odd, odd""",
    156: """def numeral(n):
    out = ''
    signs = 'm cm d cd c xc l xl x ix v iv i'.split()
    worth = [1000, 900, 500, 400, 100, 90, 50, 40, 10, 9, 5, 4, 1]
    for sign, value in zip(signs, worth):
        out, n = out + sign * (n // value), n % value
    return out""",
}
