"""Sections of the stages in `stages/baselines`: what other published methods do otherwise."""

from __future__ import annotations
