"""Decontamination: find rows that hold a task of a benchmark, by its text, its code, its tree or its signature.

    text, code            the description or the code stands in the row in one piece (`phrases`)
    near text, near code  most of its n-grams do
    syntax tree           a function of the row is a function of the task under other names (`syntax`)
    signature             a function of the row has the task's name and arguments, which are hardly chosen twice

What of a task is evidence is measured in bits (`words`): a text or a function that tells less is generic, and
`Decontaminator.describe` names the tasks that a rule cannot find for that reason.
"""

from __future__ import annotations

from selfcodealign.curation.contamination.decontaminator import RULES, Decontaminator, Hit

__all__ = ["RULES", "Decontaminator", "Hit"]
