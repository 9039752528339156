"""SigLIP's score is what open_clip's loss makes of a pair."""

import numpy as np
import torch
from open_clip.loss import SigLipLoss

from transforms.lib.annotators import siglip


def test_the_score_is_the_logit_of_open_clips_loss():
    torch.manual_seed(0)
    image, text = (torch.nn.functional.normalize(torch.randn(9, 5), dim=1) for _ in range(2))
    scale, bias = torch.tensor(117.33), torch.tensor(-12.93)
    logits = SigLipLoss().get_logits(image, text, scale, bias).diag()
    cosine = (image * text).sum(1).numpy()
    found = siglip.log_odds(cosine, scale.item(), bias.item())
    np.testing.assert_allclose(found, logits.numpy(), rtol=1e-5, atol=1e-4)
