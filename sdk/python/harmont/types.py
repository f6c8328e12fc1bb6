"""Types for annotations in pipelines."""

from __future__ import annotations

from typing import Union

from harmont._step import Step

EnvVars = dict[str, str]
"""Environment variables of a step or a pipeline."""

Pipeline = Union[Step, tuple[Step, ...]]
"""What a function under `@hm.pipeline` returns."""
