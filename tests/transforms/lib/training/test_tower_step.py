"""One step of the towers: a batch in parts has the gradient of the whole batch."""

import numpy as np
import pytest
import torch

from transforms.lib.training import network_folder, open_clip_recipe, projections
from transforms.lib.training.tower_step import Batch, StepSettings, Towers
from transforms.lib.training.world import World


@pytest.fixture
def model(tiny_network):
    return network_folder.open_network(str(tiny_network)).model


def batch_for(model, rows=12):
    random = np.random.default_rng(0)
    size = model.network.visual.image_size[0]
    pixels = torch.from_numpy(random.integers(0, 256, (rows, size, size, 3), dtype=np.uint8))
    return Batch(pixels, model.tokenize([f"thing {n % 9}" for n in range(rows)]), torch.arange(rows) % 9)


def gradients(model, batch, share=1.0, **settings):
    model.network.zero_grad(set_to_none=True)
    towers = Towers(model.network, model.normalise, "cpu", StepSettings(**settings), World())
    loss = towers.accumulate(batch, share)
    return loss, {name: p.grad.clone() for name, p in model.network.named_parameters() if p.grad is not None}


def test_the_gradient_is_that_of_clips_loss_on_the_whole_batch(model):
    batch = batch_for(model)
    loss, found = gradients(model, batch)
    model.network.zero_grad(set_to_none=True)
    image = model.network.encode_image(model.normalise(batch.pixels), normalize=True)
    text = model.network.encode_text(batch.tokens, normalize=True)
    plain = projections.contrastive_loss(image, text, batch.group, model.network.logit_scale)
    plain.backward()
    assert loss == pytest.approx(plain.item())
    for name, parameter in model.network.named_parameters():
        torch.testing.assert_close(found[name], parameter.grad, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("part_size", [1, 5, 12])
def test_a_batch_in_parts_has_the_gradient_of_the_whole(model, part_size):
    batch = batch_for(model)
    loss, whole = gradients(model, batch)
    other, parts = gradients(model, batch, part_size=part_size)
    assert loss == pytest.approx(other)
    for name, value in whole.items():
        torch.testing.assert_close(parts[name], value, rtol=1e-3, atol=1e-6)


def test_a_share_scales_the_gradient(model):
    batch = batch_for(model)
    whole, half = (gradients(model, batch, share)[1] for share in (1.0, 0.5))
    for name, value in whole.items():
        torch.testing.assert_close(2 * half[name], value)


def test_dropout_is_the_same_when_a_part_is_embedded_again(model):
    dropout = torch.nn.Dropout(0.5)
    inner = model.network.encode_text
    seen = []

    def with_dropout(tokens, normalize):
        found = dropout(inner(tokens, normalize=False))
        seen.append(found.detach().clone())
        return torch.nn.functional.normalize(found, dim=-1)

    model.network.encode_text = with_dropout
    gradients(model, batch_for(model), part_size=6)
    assert len(seen) == 4
    for first, second in zip(seen[:2], seen[2:], strict=True):
        torch.testing.assert_close(first == 0, second == 0)


def test_bfloat16_is_near_the_gradient_and_is_no_copy_of_it(model):
    batch = batch_for(model)
    loss, whole = gradients(model, batch)
    other, narrow = gradients(model, batch, precision="bf16")
    assert other == pytest.approx(loss, rel=0.02)
    assert other != loss
    for name in ("visual.proj", "text_projection"):
        cosine = torch.nn.functional.cosine_similarity(whole[name].flatten(), narrow[name].flatten(), dim=0)
        assert cosine > 0.95


def test_gains_biases_and_the_scale_do_not_decay(model):
    optimizer = open_clip_recipe.adamw(model.network, weight_decay=0.2)
    plain, decayed = optimizer.param_groups
    assert (plain["weight_decay"], decayed["weight_decay"], plain["betas"], plain["eps"]) == (0, 0.2, (0.9, 0.98), 1e-6)
    assert any(p is model.network.logit_scale for p in plain["params"])
    assert all(p.ndim >= 2 for p in decayed["params"])


def test_the_scale_is_held_at_a_hundred_and_long_gradients_are_cut(model):
    optimizer = open_clip_recipe.adamw(model.network, weight_decay=0.0)
    for group in optimizer.param_groups:
        group["lr"] = 1e-6
    towers = Towers(model.network, model.normalise, "cpu", StepSettings(clip_norm=1e-3), World())
    with torch.no_grad():
        model.network.logit_scale.fill_(7.0)
    towers.accumulate(batch_for(model), 1.0)
    norms = []
    step = optimizer.step
    optimizer.step = lambda: norms.append(
        torch.stack([p.grad.norm() for p in model.network.parameters() if p.grad is not None]).norm().item()
    )
    towers.finish(optimizer)
    assert norms[0] <= 1.01e-3
    assert model.network.logit_scale.item() == pytest.approx(np.log(100))
    assert step is not optimizer.step
