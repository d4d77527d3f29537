"""Image options of runs and feeds: they are those of imaging, and equal options have one text."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagelake.imaging import Options
from imagelake.run.image_option_models import MAX_PIXELS, ImageOptionChanges, ImageOptions
from tests.support.image_options import SOME, VALUES


def test_options_are_those_of_imaging_except_its_safety_limit_and_formats() -> None:
    names = [field.name for field in fields(Options) if field.name not in ("max_pixels", "formats")]
    assert (
        sorted(ImageOptions.model_fields) == sorted(ImageOptionChanges.model_fields) == sorted(names) == sorted(VALUES)
    )


def test_defaults_are_those_of_imaging() -> None:
    assert Options(**ImageOptions().imaging_arguments) == Options()
    assert Options().max_pixels == MAX_PIXELS


@given(SOME)
def test_imaging_accepts_every_option_and_gets_its_value(some: dict[str, Any]) -> None:
    options = Options(**ImageOptions(**some).imaging_arguments)
    assert {name: getattr(options, name) for name, value in some.items() if value is not None} == {
        name: value for name, value in some.items() if value is not None
    }


@given(SOME, st.randoms())
def test_equal_options_have_one_text_which_reads_back(some: dict[str, Any], shuffled: Any) -> None:
    options = ImageOptions(**some)
    again = list(some.items())
    shuffled.shuffle(again)
    text = options.image_options_json
    assert ImageOptions(**dict(again)).image_options_json == text
    assert ImageOptions.model_validate_json(text) == options
    assert list(json.loads(text)) == sorted(VALUES)


def test_whole_ratio_has_the_text_of_the_same_number_with_a_point() -> None:
    assert ImageOptions(max_aspect_ratio=3).image_options_json == ImageOptions(max_aspect_ratio=3.0).image_options_json


def test_text_of_the_defaults() -> None:
    """The text of a column has to stay as it is: readers group by it."""
    assert ImageOptions().image_options_json == (
        '{"encode_quality":85,"image_size":512,"max_aspect_ratio":20.0,"max_image_area":null,"min_image_size":8,'
        '"preset":"balanced","resize_mode":"keep_ratio_largest","resize_only_if_bigger":true,"tensor":null}'
    )


@given(SOME, SOME)
def test_option_of_a_feed_replaces_that_of_the_run_unless_it_is_null(run: dict[str, Any], feed: dict[str, Any]) -> None:
    chosen = ImageOptions(**run).changed_by(ImageOptionChanges(**feed))
    stated = {name: value for name, value in feed.items() if value is not None}
    assert chosen == ImageOptions(**{**run, **stated})


@pytest.mark.parametrize("value", [True, False])
def test_false_of_a_feed_is_no_null(value: bool) -> None:
    changes = ImageOptionChanges(resize_only_if_bigger=value)
    assert ImageOptions(resize_only_if_bigger=not value).changed_by(changes).resize_only_if_bigger is value


@given(SOME, st.sampled_from(["uint8", "float32", None]))
def test_tensor_can_be_taken_away(some: dict[str, Any], tensor: Any) -> None:
    """A feed of a run with tensors, or a rebuild of rows with tensors."""
    options = ImageOptions(**some | {"tensor": tensor})
    assert options.changed_by(ImageOptionChanges(tensor="none")) == ImageOptions(**some | {"tensor": None})
    assert options.changed_by(ImageOptionChanges()) == options


@pytest.mark.parametrize("model", [ImageOptions, Options])
def test_only_a_change_has_the_word_for_no_tensor(model: Any) -> None:
    with pytest.raises(ValueError, match="tensor"):
        model(tensor="none")
