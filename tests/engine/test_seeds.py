import pytest

from medwsss.data.image_labels import ImageLabels
from medwsss.data.sample import SliceKey
from medwsss.engine.seeds import present_codes
from medwsss.labels import ACDC_TASKS

KEY = SliceKey("patient001", "ED", 0)


@pytest.mark.parametrize(
    ("task", "tags", "expected"),
    [
        ("multi", (0, 1, 0), [False, True, False]),
        ("heart", (0,), [False, False, False]),
        ("heart", (1,), [True, True, True]),
        ("lv", (0,), [True, True, False]),  # RV and MYO are background of this task
    ],
)
def test_tags_of_a_task_say_which_parts_of_the_heart_may_be_there(
    task: str, tags: tuple[int, ...], expected: list[bool]
) -> None:
    labels = ImageLabels(ACDC_TASKS[task].labels.names, {KEY: tags})
    assert present_codes([KEY], labels, ACDC_TASKS[task]).tolist() == [expected]


def test_a_slice_without_tags_may_show_everything() -> None:
    labels, task = ImageLabels(("RV", "MYO", "LV"), {}), ACDC_TASKS["multi"]
    assert present_codes([KEY], labels, task).all()
    assert present_codes([KEY], None, task).all()
