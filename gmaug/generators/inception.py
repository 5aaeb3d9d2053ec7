"""The extractor of FID proper: Inception-V3 of ``torch-fidelity``, when its weights are at hand.

With these features, and with them alone, the Fréchet distance is the FID. Nothing is downloaded.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from gmaug import backend
from gmaug.progress import track

AT_ONCE = 64


class Inception:
    """Images to Inception-V3 features, 2048 a piece.

    Parameters
    ----------
    weights : path
        ``weights-inception-2015-12-05-6726825d.pth``, as ``torch-fidelity`` publishes it.
    device : str
        As :func:`gmaug.backend.device` takes it.

    Raises
    ------
    FileNotFoundError
        If there are no weights at `weights`.
    ImportError
        If ``torch-fidelity`` is not installed.
    """

    name = "Inception-V3 (FID)"

    def __init__(self, weights: str | Path, *, device: str = "auto") -> None:
        if not Path(weights).is_file():
            raise FileNotFoundError(f"{weights}: no Inception weights there; FID needs torch-fidelity's file")
        backend.torchvision()
        try:
            from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
        except ImportError:
            raise ImportError("FID needs torch-fidelity: pip install torch-fidelity") from None
        self.device = backend.device(device)
        net = FeatureExtractorInceptionV3("inception", ["2048"], feature_extractor_weights_path=str(weights))
        self.net = net.to(self.device).eval()

    @torch.inference_mode()
    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Features, float32 (n, 2048), of uint8 images (n, h, w, 3); the net resizes them to 299 px."""
        found = []
        for start in track(range(0, len(images), AT_ONCE), desc="Inception"):
            batch = torch.from_numpy(images[start : start + AT_ONCE]).permute(0, 3, 1, 2).to(self.device)
            found.append(self.net(batch)[0].cpu().numpy())
        return np.concatenate(found)
