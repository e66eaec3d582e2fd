from dataclasses import replace

from reports.example import baseline, evaluation, pixels

from medwsss.reports.figures import COLOURS, baseline_figure, class_colours, dice_figure, volume_figure


def test_every_figure_is_a_wide_picture_with_something_on_it() -> None:
    found = evaluation(baseline("disc", 0.3, 0.1), baseline("motion", 0.6, -0.2))
    for png in (dice_figure(found), volume_figure(found), baseline_figure(found)):
        picture = pixels(png)
        assert picture.shape[1] > picture.shape[0] > 100
        assert picture.std() > 0.02


def test_volumes_without_phase_and_group_have_one_panel() -> None:
    found = evaluation()
    bare = replace(found, per_case=found.per_case.assign(phase="", group=""))
    assert pixels(dice_figure(bare)).shape == pixels(dice_figure(found)).shape


def test_equal_evaluations_give_equal_pictures() -> None:
    assert dice_figure(evaluation()) == dice_figure(evaluation())


def test_parts_of_the_heart_keep_their_colours_and_other_classes_have_one_each() -> None:
    assert class_colours(("RV", "MYO", "LV")) == {name: COLOURS[name] for name in ("RV", "MYO", "LV")}
    assert len(set(class_colours(("LV", *(f"organ {number}" for number in range(7)))).values())) == 8
