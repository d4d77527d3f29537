"""Image options for property tests: all values that are allowed."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from imagelake.run.image_option_models import MAX_PIXELS

VALUES: dict[str, st.SearchStrategy[Any]] = {
    "image_size": st.integers(16, 2048),
    "resize_mode": st.sampled_from(["no", "border", "keep_ratio", "keep_ratio_largest", "center_crop"]),
    "resize_only_if_bigger": st.booleans(),
    "encode_quality": st.integers(1, 95),
    "preset": st.sampled_from(["fast", "balanced", "quality"]),
    "tensor": st.sampled_from([None, "uint8", "float32"]),
    "min_image_size": st.integers(1, 6000),
    "max_image_area": st.none() | st.integers(1, MAX_PIXELS),
    "max_aspect_ratio": st.integers(1, 1000) | st.floats(1, 1000),
}
SOME = st.fixed_dictionaries({}, optional=VALUES)
