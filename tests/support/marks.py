"""Marks that several files of tests share."""

from __future__ import annotations

import pytest

libraries_may_warn = pytest.mark.filterwarnings("ignore", "error:::diffanim", "error::diffanim.DiffanimWarning")
"""What libraries say of each other, and of pipelines as small as the tests', is let by; what we say is not."""
