"""``winnow score --model dark`` and the others, beside one another and a network."""

import numpy as np

from transforms.lib import registry
from transforms.outputs.store import Store


def test_quality_is_scored_beside_a_network_and_selected_by(winnow, small_pool, tiny_network, tmp_path):
    out = tmp_path / "out"
    models = [flag for name in registry.SCORERS for flag in ("--model", name)]
    code, _, stderr = winnow(
        "score", "--input", f"{small_pool}/*.tar", "--output", out, "--model", f"net={tiny_network}", *models
    )
    assert code == 0, stderr
    assert winnow("annotate", "--output", out, "--columns", "odd_aspect_ratio")[0] == 0
    store = Store(str(out))
    for name in (*registry.SCORERS, "odd_aspect_ratio"):
        scores = store.read(name, "00000")["score"].to_numpy()
        good = store.valid("00000")
        assert ((scores >= 0) & (scores <= 1))[good].all()
        assert np.isnan(scores[~good]).all()
    assert set(store.read("odd_aspect_ratio", "00000")["score"].to_numpy()[good].tolist()) == {np.float32(0.8)}
    recipe = tmp_path / "clear.yaml"
    recipe.write_text("name: clear\nsource: ''\nsteps:\n  - threshold: {column: blurry.score, at_least: 0.29}\n")
    code, _, stderr = winnow("select", "--output", out, "--recipe", recipe, "--max_reject_fraction", "1")
    assert code == 0, stderr
