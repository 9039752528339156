import pytest
import torch

from transforms.lib.flyt import meta_gradient, reference_model
from transforms.lib.models import tinyclip


def rows(n, dim, seed=0):
    drawn = torch.randn(n, dim, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return torch.nn.functional.normalize(drawn, dim=1)


def test_projections_start_as_the_model_behind_the_embeddings():
    reference = reference_model.Projections(8, 9.0)
    params = {name: value.double() for name, value in reference.start().items()}
    embeddings = rows(5, 8)
    torch.testing.assert_close(meta_gradient.features(reference.image(embeddings), params), embeddings)
    torch.testing.assert_close(meta_gradient.features(reference.text(embeddings), params), embeddings)
    assert float(params["logit_scale"]) == pytest.approx(4.60517)


@pytest.fixture
def network(tiny_network):
    import open_clip

    found, _ = open_clip.create_model_from_pretrained(f"local-dir:{tiny_network}")
    return found.eval()


def inputs(side):
    generator = torch.Generator().manual_seed(3)
    if side == "image":
        return torch.randn(5, 3, 32, 32, generator=generator, dtype=torch.float64)
    return torch.randint(1, 49000, (5, 16), generator=generator)


@pytest.mark.parametrize("side", ["image", "text"])
def test_the_directional_derivative_of_towers_is_a_finite_difference(network, side):
    network = network.double()
    reference = reference_model.Towers(network, 2)
    params = reference.start()
    generator = torch.Generator().manual_seed(4)
    along = {n: torch.randn(v.shape, generator=generator, dtype=v.dtype) / 50 for n, v in params.items()}
    with reference_model.plain_attention():
        parts = getattr(reference, side)(inputs(side))
        assert len(parts) == 3
        found = meta_gradient.push_forward(parts, params, along)
        step = 1e-5
        ends = [
            meta_gradient.features(parts, {n: v + sign * step * along[n] for n, v in params.items()})
            for sign in (1, -1)
        ]
    torch.testing.assert_close(found, (ends[0] - ends[1]) / (2 * step), rtol=1e-5, atol=1e-7)
    assert found.abs().max() > 1e-3


def test_towers_embed_as_their_network_does_and_leave_it_alone(network):
    reference = reference_model.Towers(network, 3)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    pixels = inputs("image").float()
    with torch.no_grad():
        expected = network.encode_image(pixels, normalize=True)
    with reference_model.plain_attention():
        parts = reference.image(pixels)
        torch.testing.assert_close(meta_gradient.features(parts, reference.start()), expected, rtol=1e-4, atol=1e-5)
        grads = meta_gradient.pull_back(parts, reference.start(), torch.ones(5, 16))
    assert grads["visual.proj"].abs().sum() > 0
    assert (grads["token_embedding.weight"] == 0).all()
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


@pytest.mark.slow
def test_the_towers_of_tinyclip_have_the_derivatives():
    reference = reference_model.Towers(tinyclip.build(), 4)
    params = reference.start()
    along = {name: 1e-3 * torch.randn_like(value) for name, value in params.items()}
    tokens = tinyclip.tokenizer()(["a dog", "a red house with a roof"])
    with reference_model.plain_attention():
        for parts in (reference.image(torch.randn(2, 3, 224, 224)), reference.text(tokens)):
            tangent = meta_gradient.push_forward(parts, params, along)
            grads = meta_gradient.pull_back(parts, params, torch.ones(2, 256))
            product = sum((grads[name] * along[name]).sum() for name in params)
            torch.testing.assert_close(tangent.sum(), product, rtol=1e-2, atol=1e-4)
