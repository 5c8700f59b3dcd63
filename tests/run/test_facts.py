"""What a run's record tells people."""

from sbn_lightning.run.facts import ModuleFacts


def test_label_has_the_settings_by_which_heads_are_compared() -> None:
    assert (
        ModuleFacts("ArcFaceHead", {"scale": 30.0, "margin": 0.5, "eps": 1e-5}).label == "ArcFace, scale 30, margin 0.5"
    )


def test_label_takes_settings_of_any_type() -> None:
    assert ModuleFacts("OwnHead", {"scale": None, "margin": "wide"}).label == "Own, scale None, margin wide"
