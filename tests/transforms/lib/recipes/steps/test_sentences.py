"""What each step says of itself, as the report and ``winnow recipes`` show it."""

import pytest

from transforms.lib.recipes.steps.caption_length import CaptionLength
from transforms.lib.recipes.steps.density_prune import DensityPrune
from transforms.lib.recipes.steps.drop_duplicates import DropDuplicates
from transforms.lib.recipes.steps.image_based import ImageBased
from transforms.lib.recipes.steps.metaclip import MetaClip
from transforms.lib.recipes.steps.mix import Mix
from transforms.lib.recipes.steps.sample import HardCapSample, SoftCapSample
from transforms.lib.recipes.steps.subset import Subset
from transforms.lib.recipes.steps.text_match import TextMatch
from transforms.lib.recipes.steps.top_fraction import TopFraction


@pytest.mark.parametrize(
    ("step", "sentence"),
    [
        (CaptionLength("s"), "Keep samples whose caption has more than 2 words and more than 5 characters."),
        (
            DensityPrune("s", clusters="c"),
            "Keep 25 % of the samples that are left, chosen by density: more from the complex clusters of c (tau 0.1, "
            "20 neighbours), and from each cluster the samples least similar to the centroid, seed 0.",
        ),
        (DropDuplicates("s"), "Drop the copies of other samples, as listed in dedup_exact."),
        (
            DropDuplicates("s", above=0.9),
            "Drop the copies of other samples whose similarity to the original is above 0.9, as listed in dedup_exact.",
        ),
        (
            ImageBased("s", clusters="c"),
            "Keep samples whose image has the same nearest centroid as a target image, by the clusters of c.",
        ),
        (
            ImageBased("s", centroids="k.npy", targets="t.npy"),
            "Keep samples whose image has the same nearest centroid as an image of t.npy, by inner product, among "
            "k.npy.",
        ),
        (
            MetaClip("s", metadata="m.json"),
            "Balance over the entries of m.json: an entry passes about 20000 of the captions that name it, or all if "
            "there are fewer; captions that name no entry are dropped; seed 0.",
        ),
        (
            Mix("s", weights={"a": 0.5, "b": 2.0}),
            "Make the column mixed_score = 0.5 a + 2 b, each standardised to mean 0 and variance 1.",
        ),
        (
            SoftCapSample("s", total=9),
            "Draw 9 copies with odds exp(score); each copy lowers the score of its sample by 0.15; seed 0.",
        ),
        (HardCapSample("s"), "Draw as many copies as samples with odds exp(score), at most 15 per sample, seed 0."),
        (Subset("s", file="f.npy"), "Keep the samples that f.npy lists, with as many copies as it lists."),
        (
            TextMatch("s", wordnet="w.zip", synsets="i.txt"),
            "Keep samples whose caption has a word whose first synset in w.zip is listed in i.txt.",
        ),
        (
            TopFraction("s", fraction=0.3, rule="datacomp"),
            "Keep the top 30 % of all samples by score, plus one sample and all ties (DataComp's rule).",
        ),
    ],
)
def test_a_step_says_what_it_does(step, sentence):
    assert step.sentence() == sentence
