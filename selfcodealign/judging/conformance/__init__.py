"""The conformance suite: programs with the status that each must get, for this sandbox and for other judges.

`programs/*.md` hold the programs, one file per kind, `suite` reads them. `own` runs them through the sandbox of this
machine, `other` asks another judge about them, `report` prints where either gives another answer than it must.
"""
