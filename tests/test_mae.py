"""The masked autoencoder: its network, its two trainings, published weights from a folder."""

import json
from dataclasses import replace

import pytest
import torch
from blobs import blobs
from scipy.special import softmax

from gmaug.classifiers import GARDEN_MAE, MAE, PAPER_MAE, mae

TRAIN = blobs([60, 30, 10], seed=0)
HELD = blobs([15, 15, 15], seed=1)
TEST = blobs([20, 20, 20], seed=2)
TINY = replace(
    GARDEN_MAE, width=32, depth=2, heads=2, decoder_width=16, decoder_heads=2, batch=16, epochs=12,
    pretraining_epochs=10, pretraining_batch=32, padding=2,
)  # fmt: skip
QUICK = replace(TINY, width=16, epochs=2, pretraining_epochs=2)


@pytest.fixture(scope="module")
def trained():
    return MAE(TINY, device="cpu").fit(*TRAIN, validation=HELD, seed=0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """What save_pretrained leaves, of other weights."""
    path = tmp_path_factory.mktemp("published")
    torch.manual_seed(5)
    mae.autoencoder(QUICK, side=16).save_pretrained(path)
    return path


def test_learns(trained):
    # chance is one third
    assert (trained.predict(TEST[0]) == TEST[1]).mean() > 0.7
    assert trained.history_[-1]["train_loss"] < trained.history_[0]["train_loss"]


def test_pretraining_learns_to_fill_in(trained):
    losses = [row["train_loss"] for row in trained.pretraining_]
    assert losses[-1] < losses[0]
    assert losses[-1] < 1, "no better than each patch's mean"
    assert trained.pretraining_[-1]["step"] == -(-TINY.pretraining_epochs * 100 // 32)


def test_scores_fit_together(trained):
    logits, chances, features = (
        f(TEST[0]) for f in (trained.logits, trained.predict_proba, trained.features)
    )
    assert logits.shape == chances.shape == (60, 3)
    assert features.shape == (60, 32)
    last = trained.net_.model.classifier
    again = features @ last.weight.detach().numpy().T + last.bias.detach().numpy()
    assert again == pytest.approx(logits, abs=1e-4)
    assert chances == pytest.approx(softmax(logits, axis=1))


def test_save_and_load(trained, tmp_path):
    trained.save(tmp_path / "net.safetensors")
    back = MAE.load(tmp_path / "net.safetensors", device="cpu")
    assert back.logits(TEST[0]).tobytes() == trained.logits(TEST[0]).tobytes()
    assert back.settings == TINY
    assert not back.pretraining_


def test_same_seed_same_bytes():
    settings, found = replace(QUICK, drop_path=0.5, mixup=0.8, cutmix=1.0, erasing=0.25), []
    for start in (1, 2):
        torch.manual_seed(start)
        state = torch.get_rng_state()
        found.append(MAE(settings, device="cpu").fit(*TRAIN, seed=7).logits(TEST[0]).tobytes())
        assert torch.equal(torch.get_rng_state(), state), "the caller's random state was moved"
    assert found[0] == found[1]
    assert MAE(settings, device="cpu").fit(*TRAIN, seed=8).logits(TEST[0]).tobytes() != found[0]


def test_drop_path_skips_branches_in_training_alone():
    net = mae.vit_classifier(replace(QUICK, drop_path=0.99, depth=3), side=16, classes=3)
    assert [getattr(layer.dropout, "p", None) for layer in net.model.vit.layers] == [0, 0.495, 0.99]
    pixels = torch.randn(8, 3, 16, 16)
    nn_out = [net.eval().pooled(pixels) for _ in range(2)]
    assert torch.equal(*nn_out)
    assert not torch.equal(net.train().pooled(pixels), net.pooled(pixels))


def test_the_mean_of_the_patches_is_read_not_the_class_token():
    net = mae.vit_classifier(replace(QUICK, depth=1), side=16, classes=3).eval()
    pixels = torch.randn(4, 3, 16, 16)
    with torch.no_grad():
        tokens = net.model.vit(pixels).last_hidden_state
        mean = torch.nn.functional.layer_norm(tokens[:, 1:].mean(1), (16,), eps=1e-12)
        assert net.pooled(pixels).numpy() == pytest.approx(mean.numpy(), abs=1e-5)
    assert tokens.shape == (4, 1 + 16, 16)


def test_rates_fall_with_the_layers():
    settings = replace(QUICK, depth=3, layer_decay=0.5, weight_decay=0.1)
    net = mae.vit_classifier(settings, side=16, classes=3)
    groups = mae.layer_decay_groups(net, settings)
    scale = {id(w): g["lr_scale"] for g in groups for w in g["params"]}
    decay = {id(w): g["weight_decay"] for g in groups for w in g["params"]}
    named = dict(net.named_parameters())
    assert len(scale) == len(named) == sum(len(g["params"]) for g in groups)

    def of(start):
        return {scale[id(w)] for name, w in named.items() if name.startswith(start)}

    assert of("model.classifier.") == of("norm.") == {1.0}
    assert [of(f"model.vit.layers.{k}.") for k in (2, 1, 0)] == [{0.5}, {0.25}, {0.125}]
    assert of("model.vit.embeddings.") == {0.0625}
    for name, w in named.items():
        kept = w.ndim == 1 or name.endswith(("cls_token", "position_embeddings"))
        assert decay[id(w)] == (0.0 if kept else 0.1), name


def test_the_scaled_rates_reach_the_optimiser(monkeypatch):
    seen = []
    step = torch.optim.AdamW.step
    monkeypatch.setattr(
        torch.optim.AdamW, "step",
        lambda self, *a: seen.append([(g["lr"], g["lr_scale"]) for g in self.param_groups]) or step(self, *a),
    )  # fmt: skip
    settings = replace(QUICK, pretraining_epochs=0)
    model = MAE(settings, device="cpu").fit(*TRAIN, steps=8)
    assert model.pretraining_ == []
    assert len(seen) == 8
    for k, groups in enumerate(seen):
        assert [lr for lr, _ in groups] == pytest.approx(
            [settings.rate(k / 8) * scale for _, scale in groups]
        )


def test_the_schedule():
    settings = replace(TINY, warmup=0.1, base_lr=1e-3, batch=64)
    full = 1e-3 * 64 / 256
    assert [settings.rate(p) for p in (0, 0.05, 0.1, 0.55)] == pytest.approx([0, full / 2, full, full / 2])
    assert settings.rate(0.999) < 1e-5 * full
    assert replace(settings, warmup=0.0).rate(0) == full


def test_fine_tuning_starts_from_the_pretrained_encoder(monkeypatch):
    taken = {}
    original = mae.take_encoder

    def take(net, encoder):
        before = {k: v.clone() for k, v in net.state_dict().items()}
        original(net, encoder)
        taken.update(before=before, net={k: v.clone() for k, v in net.state_dict().items()})
        taken["encoder"] = {k: v.clone() for k, v in encoder.state_dict().items()}

    monkeypatch.setattr(mae, "take_encoder", take)
    MAE(QUICK, device="cpu").fit(*TRAIN, steps=1)
    for name, value in taken["encoder"].items():
        if not name.startswith("layernorm."):
            assert torch.equal(taken["net"][f"model.vit.{name}"], value), name
    for name in ("norm.weight", "model.classifier.weight"):
        assert torch.equal(taken["net"][name], taken["before"][name]), name
    assert not torch.equal(*(taken[k]["model.vit.layers.0.mlp.fc1.weight"] for k in ("before", "net")))


def test_pretraining_sees_no_label():
    def pretrained(labels):
        return MAE(QUICK, device="cpu").fit(TRAIN[0], labels, steps=1).pretraining_

    assert pretrained(TRAIN[1]) == pretrained(TRAIN[1][::-1].copy())


def test_published_weights(folder):
    settings = replace(QUICK, weights=str(folder))
    encoder = mae.published(settings, side=16)
    torch.manual_seed(5)
    for name, value in mae.autoencoder(QUICK, side=16).vit.state_dict().items():
        assert torch.equal(encoder.state_dict()[name], value), name
    model = MAE(settings, device="cpu").fit(*TRAIN, steps=2)
    assert model.pretraining_ == []
    assert model.mean_[0] == pytest.approx(123.675)


def test_published_weights_that_do_not_fit(folder, tmp_path):
    def refused(says, **settings):
        with pytest.raises(ValueError, match=says) as error:
            MAE(replace(QUICK, **settings), device="cpu").fit(*TRAIN, steps=1)
        assert "\n" not in str(error.value)

    refused("width is 16 there, 32 here", weights=str(folder), width=32)
    refused("patch is 4 there, 2 here", weights=str(folder), patch=2)
    refused("image_size is 16 there, 8 here", weights=str(folder), crop="resized", crop_size=8)
    refused("cannot be read", weights=str(tmp_path / "nowhere"))
    (tmp_path / "config.json").write_text("{")
    refused("cannot be read", weights=str(tmp_path))
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "vit"}))
    refused("model_type is vit there", weights=str(tmp_path))
    (tmp_path / "config.json").write_bytes((folder / "config.json").read_bytes())
    refused("cannot be loaded", weights=str(tmp_path))
    weights = (folder / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").write_bytes(weights[: len(weights) // 2])
    refused("cannot be loaded", weights=str(tmp_path))


def test_published_weights_in_a_pickle_are_refused(folder, tmp_path):
    (tmp_path / "config.json").write_bytes((folder / "config.json").read_bytes())
    torch.save(mae.autoencoder(QUICK, side=16).state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(ValueError, match="cannot be loaded"):
        mae.published(replace(QUICK, weights=str(tmp_path)), side=16)


def test_published_weights_with_tensors_missing(folder, tmp_path):
    from safetensors.torch import load_file, save_file

    (tmp_path / "config.json").write_bytes((folder / "config.json").read_bytes())
    tensors = load_file(folder / "model.safetensors")
    left = {k: v for k, v in tensors.items() if "layer.1." not in k and "layers.1." not in k}
    assert len(left) < len(tensors)
    save_file(left, str(tmp_path / "model.safetensors"), metadata={"format": "pt"})
    with pytest.raises(ValueError, match="missing or of another shape"):
        mae.published(replace(QUICK, weights=str(tmp_path)), side=16)


def test_the_papers_network_has_its_size():
    with torch.device("meta"):
        net = mae.vit_classifier(PAPER_MAE, side=224, classes=5)
    # patches 3 * 14 * 14 + 1, positions 257, class token, 32 layers, two norms less one, last layer
    w = 1280
    layer = 4 * (w * w + w) + 2 * 4 * w * w + 5 * w + 4 * w
    assert sum(p.numel() for p in net.parameters()) == (589 + 257 + 1 + 2) * w + 32 * layer + 5 * (w + 1)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"width": 30}, "width=30"),
        ({"decoder_width": 10}, "decoder_width=10"),
        ({"mask": 1.0}, "mask=1.0"),
        ({"layer_decay": 0.0}, "layer_decay"),
        ({"drop_path": 1.0}, "drop_path"),
        ({"warmup": -0.1}, "warmup"),
        ({"crop": "padded", "crop_size": 8}, "crop_size=8"),
        ({"pretraining_epochs": -1}, "pretraining_epochs"),
        ({"depth": 0}, "depth=0"),
        ({"mixup": -1.0}, "mixup"),
    ],
)
def test_settings_refuse(wrong, says):
    with pytest.raises(ValueError, match=says):
        replace(TINY, **wrong)


def test_images_that_do_not_fit():
    with pytest.raises(ValueError, match="patch=5"):
        MAE(replace(QUICK, patch=5), device="cpu").fit(*TRAIN)
    with pytest.raises(ValueError, match="square"):
        MAE(QUICK, device="cpu").fit(TRAIN[0][:, :12], TRAIN[1])
