"""What a user brings: a function, images, a folder, a diffusers pipeline."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from small_generators import TINY, flat_classes

from gmaug import backend
from gmaug.generators import (
    BankGenerator,
    FunctionGenerator,
    Generator,
    TransitionalCGAN,
)

backend.torchvision()  # before diffusers, which imports it


@pytest.fixture
def data():
    return flat_classes([40, 16, 8])


@pytest.fixture
def folder(tmp_path):
    for k, name in enumerate(("ant", "bee")):
        (tmp_path / name).mkdir()
        for i in range(3):
            Image.new("RGB", (20, 16), (50 * i, 200 * k, 9)).save(tmp_path / name / f"{i}.png")
    return tmp_path


def test_a_folder_is_a_generator(folder):
    bank = BankGenerator.from_folder(folder, classes=["cat", "bee", "ant"], size=8)
    assert isinstance(bank, Generator)
    images = bank.sample([1, 2, 2], seed=0)
    assert images.shape == (3, 8, 8, 3)
    assert images[0, 0, 0, 1] == 200
    assert (images[1:, 0, 0, 1] == 0).all()
    with pytest.raises(ValueError, match="no image of class 0"):
        bank.sample([0], seed=0)
    with pytest.raises(ValueError, match="not among the classes"):
        BankGenerator.from_folder(folder, classes=["ant"], size=8)


def test_protocol(data):
    bank = BankGenerator(*data)
    function = FunctionGenerator(lambda y, rng: rng.integers(0, 256, (len(y), 8, 8, 3), dtype=np.uint8))
    for generator in (TransitionalCGAN(TINY).fit(*data), bank, function):
        assert isinstance(generator, Generator)
        assert np.array_equal(generator.sample([0, 1], seed=3), generator.sample([0, 1], seed=3))


def test_function_is_checked():
    wrong = FunctionGenerator(lambda y, rng: np.zeros((len(y), 8, 8, 3)), name="zeros")
    with pytest.raises(ValueError, match="zeros"):
        wrong.sample([0], seed=0)


def test_bank_gives_each_image_once_while_they_last(data):
    images, labels = data
    bank = BankGenerator(images, labels)
    drawn = bank.sample([2] * 8, seed=0)
    assert {x.tobytes() for x in drawn} == {x.tobytes() for x in images[labels == 2]}
    assert len(bank.sample([2] * 20, seed=0)) == 20
    with pytest.raises(ValueError, match="class 3"):
        bank.sample([3], seed=0)


def test_a_real_diffusers_pipeline_fits():
    """A tiny DiT pipeline of diffusers itself, random weights: classes in, images out."""
    from diffusers import AutoencoderKL, DDIMScheduler, DiTPipeline, DiTTransformer2DModel

    torch.manual_seed(0)
    transformer = DiTTransformer2DModel(
        num_attention_heads=2, attention_head_dim=4, in_channels=4, out_channels=8, num_layers=1,
        sample_size=4, patch_size=2, num_embeds_ada_norm=1000,
    )  # fmt: skip
    vae = AutoencoderKL(
        block_out_channels=(8,), down_block_types=("DownEncoderBlock2D",), norm_num_groups=4,
        up_block_types=("UpDecoderBlock2D",), latent_channels=4, layers_per_block=1, sample_size=4,
    )  # fmt: skip
    pipeline = DiTPipeline(transformer.eval(), vae.eval(), DDIMScheduler())  # as loading leaves them
    pipeline.set_progress_bar_config(disable=True)

    def draw(labels, rng):
        random = torch.Generator().manual_seed(int(rng.integers(2**63)))
        names = [{0: 207, 1: 360}[label] for label in labels]
        images = pipeline(names, generator=random, num_inference_steps=2).images
        return np.stack([np.asarray(image.resize((8, 8))) for image in images])

    generator = FunctionGenerator(draw)
    images = generator.sample([0, 1, 1], seed=0)
    assert images.shape == (3, 8, 8, 3)
    assert np.array_equal(images, generator.sample([0, 1, 1], seed=0))
    assert not np.array_equal(images[1], images[2])


def test_what_was_brought_takes_labels_alone(data):
    for generator in (BankGenerator(*data), FunctionGenerator(lambda y, rng: None, name="mine")):
        with pytest.raises(ValueError, match="labels alone") as caught:
            generator.sample(conditions=np.eye(3), seed=0)
        assert "\n" not in str(caught.value)
