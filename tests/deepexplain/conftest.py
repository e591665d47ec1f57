"""What the tests of `saliency.deepexplain` share."""

from __future__ import annotations

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # that it uses the machine's vector instructions is not our news
