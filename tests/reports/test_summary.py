import json

from reports.example import SOURCES, baseline, evaluation

from medwsss.reports.summary import conclusion, left_out_sentence, summary_json, summary_sentences, verdicts


def test_a_result_below_a_baseline_is_told_so_plainly() -> None:
    (verdict,) = verdicts(evaluation(baseline("disc 30 mm", 0.3, 0.1), baseline("motion", 0.6, -0.2, tags=True)))
    assert not verdict.beats_all
    assert "does not beat: motion, true slice tags (60.0 %)" in verdict.sentence
    assert "It has learned nothing useful beyond this mask" in verdict.sentence
    assert "disc" not in verdict.sentence


def test_a_tie_is_not_a_win() -> None:
    (verdict,) = verdicts(evaluation(baseline("disc 30 mm", 0.4, 0.0)))
    assert not verdict.beats_all


def test_a_result_above_all_baselines_names_the_best_of_them() -> None:
    (verdict,) = verdicts(evaluation(baseline("disc 30 mm", 0.3, 0.1), baseline("motion", 0.35, 0.05)))
    assert verdict.beats_all
    assert "the best of them, motion, no tags, reaches 35.0 % (difference +5.0 points, interval +4.0 to +6.0)" in (
        verdict.sentence
    )


def test_a_win_that_chance_could_explain_is_called_so() -> None:
    (verdict,) = verdicts(evaluation(baseline("motion", 0.35, 0.05, width=0.1)))
    assert "includes zero" in verdict.sentence


def test_the_conclusion_covers_all_structures_or_admits_that_nothing_was_compared() -> None:
    assert conclusion(evaluation(baseline("disc", 0.6, -0.2))) == (
        "The predictions do not beat every training-free baseline for heart."
    )
    assert conclusion(evaluation(baseline("disc", 0.3, 0.1))) == (
        "The predictions beat every training-free baseline (heart)."
    )
    assert "No training-free baseline" in conclusion(evaluation())


def test_three_sentences_say_what_how_well_and_whether_it_is_worth_anything() -> None:
    what, how, worth = summary_sentences(evaluation(baseline("disc", 0.6, -0.2)))
    assert what.startswith("2 volumes of 1 patients (20 slices)")
    assert "40.0 % (30.0 to 50.0) per case, 40.0 % pooled, 40.0 % per slice" in how
    assert "do not beat" in worth


def test_left_out_values_are_counted() -> None:
    assert left_out_sentence(evaluation()).startswith("1 of 14 values per case are undefined and 1 infinite")


def test_json_is_strict_and_complete() -> None:
    summary = summary_json(evaluation(baseline("disc", 0.6, -0.2)), SOURCES, {"method": "unia"})
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary
    assert summary["per_case"]["heart"]["dice"] == {
        "estimate": 0.4,
        "low": 0.30000000000000004,
        "high": 0.5,
        "n": 2,
        "undefined": 0,
        "infinite": 0,
    }
    assert summary["unmatched"] == {"predictions": ["stranger"], "references": ["patient009_frame01"]}
    assert summary["counts"] == {"cases": 2, "patients": 1, "slices": 20}
    assert summary["baselines"][0]["beaten"] is False
    assert summary["notes"] == {"method": "unia"}
    assert {"pooled", "per_slice", "by_phase", "by_group", "codes", "tags", "versions"} <= set(summary)
