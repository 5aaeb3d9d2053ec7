"""A masked autoencoder: pre-trained on the images themselves, then fine-tuned (section 3.5, Table 4).

He, Chen, Xie, Li, Dollár, Girshick: *Masked autoencoders are scalable vision learners*, CVPR 2022.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import nn

from gmaug import backend
from gmaug.classifiers.settings import PAPER_MAE, MAESettings
from gmaug.classifiers.training import Batches, TorchClassifier, decay_groups, descend
from gmaug.classifiers.views import Views

IMAGENET = ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))  # colours that published weights expect
REPORTS = 20  # entries of the pre-training's history
ALIKE = {
    "patch_size": "patch", "hidden_size": "width", "num_hidden_layers": "depth",
    "num_attention_heads": "heads",
}  # fmt: skip
"""transformers' names of the settings that published weights must have alike."""


class MAE(TorchClassifier):
    """A vision transformer pre-trained as a masked autoencoder (He et al., 2022).

    Pre-training sees the training images alone, without their labels; or published weights are loaded from a
    folder (``settings.weights``).

    Parameters
    ----------
    settings : MAESettings
        The paper's by default; ``gmaug.classifiers.GARDEN_MAE`` suits small images on a CPU.
    device : str
        As :func:`gmaug.backend.device` takes it.

    Attributes
    ----------
    pretraining_ : list of dict
        ``epoch`` (of the report, not of the images), ``step``, ``rate``, ``train_loss``: mean squared error
        of the hidden patches' pixels, each patch normed (1 is no better than its mean). Empty where nothing
        was pre-trained, and of a model from a file.
    """

    pretraining_ = ()

    def __init__(self, settings: MAESettings = PAPER_MAE, *, device: str = "auto") -> None:
        self.settings = settings
        self.device = device

    def _network(self, classes: int) -> nn.Module:
        return vit_classifier(self.settings, side=self._input_side(), classes=classes)

    def _input_side(self) -> int:
        if self.settings.crop_size is None and self.side_[0] != self.side_[1]:
            raise ValueError(f"images are {self.side_} pixels; a masked autoencoder needs square ones")
        return self.settings.crop_size or self.side_[0]

    def _features(self, batch: torch.Tensor) -> torch.Tensor:
        return self.net_.pooled(batch)

    def _optimizer(self, net: nn.Module) -> torch.optim.Optimizer:
        groups, fused = layer_decay_groups(net, self.settings), next(net.parameters()).is_cuda
        return torch.optim.AdamW(groups, lr=self.settings.base_lr, fused=fused)

    def _prepare(self, images: np.ndarray) -> None:
        self.pretraining_ = []
        if self.settings.weights is not None:
            self.mean_, self.std_ = (np.array(v, dtype=np.float32) for v in IMAGENET)
            take_encoder(self.net_, published(self.settings, side=self._input_side()))
        elif self.settings.pretraining_epochs:
            take_encoder(self.net_, self._pretrained(images).vit)

    def _pretrained(self, images: np.ndarray) -> nn.Module:
        s, side = self.settings, self._input_side()
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(self.seed_)
            net = autoencoder(s, side=side).to(self._device)
        random = torch.Generator().manual_seed(self.seed_)
        batch = min(s.pretraining_batch, len(images))
        # the paper of the method finds crops and flips enough: the mask is the augmentation
        views = Views(torch.tensor(images).to(self._device), replace(s, randaugment=None))

        def loss_of(index: torch.Tensor) -> tuple[torch.Tensor, None]:
            noise = torch.rand(len(index), (side // s.patch) ** 2, generator=random).to(self._device)
            with backend.autocast(self._device, s.mixed_precision):
                return net(self._normalised(views.draw(index, random)), noise=noise).loss.float(), None

        groups = decay_groups(net, s.pretraining_weight_decay)
        # 0.95: the method's own; the loss changes less from batch to batch than a classifier's
        about = {"lr": s.pretraining_lr, "fused": self._device.type == "cuda"}
        optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.95), **about)
        total = max(1, -(-s.pretraining_epochs * len(images) // batch))
        self.pretraining_, _ = descend(
            net, optimizer, Batches(len(images), batch, random=random), loss_of, steps=total,
            parts=min(REPORTS, total), rate=s.pretraining_rate, desc="pre-training",
        )  # fmt: skip
        return net


class PooledViT(nn.Module):
    """transformers' ViT classifier that reads the mean of the patches, not the class token.

    As the recipe of He et al. has it, the mean is normed and the norm before it is left out.
    """

    def __init__(self, model: nn.Module, *, drop_path: float) -> None:
        super().__init__()
        self.norm, model.vit.layernorm = model.vit.layernorm, nn.Identity()
        self.model = model
        if drop_path:
            from torchvision.ops import StochasticDepth

            layers = model.vit.layers
            for depth, layer in enumerate(layers):
                # both branches of a layer end in this module, which is empty otherwise
                layer.dropout = StochasticDepth(drop_path * depth / max(len(layers) - 1, 1), mode="row")

    def pooled(self, pixels: torch.Tensor) -> torch.Tensor:
        """Input of the last layer, float, shape (b, width)."""
        tokens = self.model.vit(pixels).last_hidden_state
        return self.norm(tokens[:, 1:].mean(dim=1))

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Logits, float, shape (b, C)."""
        return self.model.classifier(self.pooled(pixels))


def vit_classifier(settings: MAESettings, *, side: int, classes: int) -> PooledViT:
    """A new network for square images of `side` pixels, a multiple of the patch."""
    library = transformers()
    config = library.ViTConfig(**_encoder(settings, side), num_labels=classes)
    net = PooledViT(library.ViTForImageClassification(config), drop_path=settings.drop_path)
    # almost nothing to unlearn: with layer decay the last layer learns by far the fastest
    nn.init.trunc_normal_(net.model.classifier.weight, std=2e-5)
    nn.init.zeros_(net.model.classifier.bias)
    return net


def autoencoder(settings: MAESettings, *, side: int) -> nn.Module:
    """transformers' new ViTMAEForPreTraining, whose loss is that of the hidden patches' normed pixels."""
    library = transformers()
    config = library.ViTMAEConfig(
        **_encoder(settings, side),
        mask_ratio=settings.mask,
        norm_pix_loss=True,
        decoder_hidden_size=settings.decoder_width,
        decoder_num_hidden_layers=settings.decoder_depth,
        decoder_num_attention_heads=settings.decoder_heads,
        decoder_intermediate_size=4 * settings.decoder_width,
    )
    return library.ViTMAEForPreTraining(config)


def take_encoder(net: PooledViT, encoder: nn.Module) -> None:
    """Give the classifier the weights of a pre-trained encoder (a ViTMAEModel), its last norm apart."""
    state = {k: v for k, v in encoder.state_dict().items() if not k.startswith("layernorm.")}
    net.model.vit.load_state_dict(state)


def published(settings: MAESettings, *, side: int) -> nn.Module:
    """The encoder of ``settings.weights``, a folder that transformers' ``save_pretrained`` wrote;
    ``ValueError`` if it is missing, is no masked autoencoder, is damaged, or has other sizes."""
    folder = Path(str(settings.weights))
    try:
        about = dict(json.loads((folder / "config.json").read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        found = f"weights={folder}: its config.json cannot be read ({_line(error)})"
        raise ValueError(f"{found}; give a folder made by save_pretrained") from None
    wanted = {key: getattr(settings, name) for key, name in ALIKE.items()}
    for key, value in {"model_type": "vit_mae", **wanted, "image_size": side}.items():
        if about.get(key) != value:
            found = f"{ALIKE.get(key, key)} is {about.get(key)} there, {value} here"
            raise ValueError(f"weights={folder}: {found}; change either")
    options = {"local_files_only": True, "use_safetensors": True, "dtype": torch.float32}
    try:
        model = transformers().ViTMAEModel
        encoder, loaded = model.from_pretrained(folder, output_loading_info=True, **options)
    except Exception as error:  # damaged files raise errors of several libraries
        raise ValueError(f"weights={folder}: cannot be loaded ({_line(error)}); fetch it again") from None
    if missing := [*sorted(loaded["missing_keys"]), *loaded["mismatched_keys"]]:
        found = f"{len(missing)} tensors are missing or of another shape, {missing[0]} first"
        raise ValueError(f"weights={folder}: {found}; fetch it again")
    return encoder


def layer_decay_groups(net: PooledViT, settings: MAESettings) -> list[dict[str, Any]]:
    """The optimiser's groups: the rate falls by `layer_decay` a layer downwards from the last one; biases,
    norms, the class token and the positions are not decayed towards 0."""
    top = settings.depth + 1
    found: dict[tuple[int, bool], dict[str, Any]] = {}
    for name, weight in net.named_parameters():
        if not weight.requires_grad:
            continue
        layer = top  # the norm of the mean, and the last layer
        if name.startswith("model.vit.embeddings."):
            layer = 0
        elif name.startswith("model.vit.layers."):
            layer = int(name.split(".")[3]) + 1
        decayed = weight.ndim > 1 and not name.endswith(("cls_token", "position_embeddings"))
        group = found.setdefault((layer, decayed), {
            "params": [],
            "lr_scale": settings.layer_decay ** (top - layer),
            "weight_decay": settings.weight_decay if decayed else 0.0,
        })  # fmt: skip
        group["params"].append(weight)
    return list(found.values())


def transformers() -> ModuleType:
    """The library, imported after the torchvision that it needs."""
    backend.torchvision()
    import transformers as library

    return library


def _encoder(settings: MAESettings, side: int) -> dict[str, Any]:
    if side % settings.patch:
        raise ValueError(f"patch={settings.patch} does not divide the images' side {side}; change either")
    sizes = {key: getattr(settings, name) for key, name in ALIKE.items()}
    return sizes | {"image_size": side, "intermediate_size": 4 * settings.width}


def _line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
