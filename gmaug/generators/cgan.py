"""The StyleGAN2 conditional GAN with transitional training (section 3.5).

Training starts unconditional and lets the class in gradually: on few images per class a conditional
GAN collapses to one picture a class when it is conditional from the start. Shahbazi, Danelljan,
Paudel and Van Gool, *Collapse by Conditioning* (ICLR 2022).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from gmaug.generators.cgan_training import CGANTraining, make_generator
from gmaug.generators.settings import TransitionalCGANSettings
from gmaug.generators.stylegan2 import Generator
from gmaug.generators.trained import TrainedGenerator


class TransitionalCGAN(TrainedGenerator):
    """Generator of images of a wanted class.

    Parameters
    ----------
    settings : TransitionalCGANSettings, optional

    Attributes
    ----------
    history_ : list of dict
        Rows as every trained generator has them, with ``lambda``, ``loss_g``, ``loss_d``, ``r1``
        and the means of the four logits.
    n_classes_, kimg_
        As in :class:`gmaug.generators.trained.TrainedGenerator`.
    """

    FORMAT: ClassVar[str] = "gmaug transitional cgan 2"
    ADVICE: ClassVar[str] = "lower lr or raise r1_gamma"
    settings_class: ClassVar[type] = TransitionalCGANSettings
    training_class: ClassVar[type] = CGANTraining
    settings: TransitionalCGANSettings

    @property
    def generator_(self) -> Generator:
        """The averaged generator (EMA), from which samples are drawn."""
        return self.nets_["generator"]

    def sample(self, labels: Sequence[int] | np.ndarray, *, seed: int, psi: float = 1.0) -> np.ndarray:
        """Images of the wanted classes.

        Parameters
        ----------
        labels : sequence of int, shape (n,)
        seed : int
            Image i depends on the seed, on i and on ``labels[i]``.
        psi : float
            Truncation: below 1, w is drawn towards the mean w of its class (0: the mean itself).

        Returns
        -------
        ndarray of uint8, shape (n, resolution, resolution, 3), range 0-255

        Raises
        ------
        ValueError
            If the generator is not fitted or does not know a class.
        """
        return super().sample(labels, seed=seed, psi=psi)

    @torch.inference_mode()
    def _draw(self, wanted: Tensor, random: torch.Generator, *, psi: float = 1.0) -> Tensor:
        net, weight = self.generator_, self.settings.lambda_at(self.kimg_)
        z = torch.randn(len(wanted), self.settings.z_dim, generator=random, device=wanted.device)
        w = net.mapping(z, wanted, weight)
        if psi != 1:
            w = torch.lerp(self._centres(weight)[wanted], w, psi)
        return net.synthesis(w, random)

    def _centres(self, weight: float) -> Tensor:
        """Mean w of each class over 1,000 fixed draws of z."""
        net = self.generator_
        random = torch.Generator().manual_seed(0)
        z = torch.randn(1000, self.settings.z_dim, generator=random).to(net.constant)
        classes = torch.arange(self.n_classes_, device=z.device)
        return torch.stack([net.mapping(z, k.expand(len(z)), weight).mean(dim=0) for k in classes])

    def _networks(self) -> dict[str, nn.Module]:
        return {"generator": make_generator(self.settings, self.n_classes_)}
