"""The printed tables: whole, typed, and consistent with one another where the paper is."""

import numpy as np
import pytest

from gmaug import published


@pytest.mark.parametrize(
    ("name", "shape"),
    [("table1", (8, 3)), ("table2", (8, 3)), ("table3", (8, 8)), ("table4", (4, 2)),
     ("table5", (8, 5)), ("table6", (2, 3)), ("table7", (1, 5))],
)  # fmt: skip
def test_tables_are_whole(name, shape):
    frame = published.load(name)
    assert frame.shape == shape
    if name in ("table1", "table2", "table3", "table5"):
        assert tuple(frame["dataset"]) == published.DATASETS
    numbers = frame.select_dtypes("number")
    assert len(numbers.columns) >= shape[1] - 2
    assert (numbers.isna() | (numbers >= 0)).all(axis=None)


def test_dtypes_and_missing_cells():
    assert published.load("table5")["cgan_augcls_works"].dtype == bool
    assert published.load("table1")["sub_classes"].dtype == np.int64
    gd = published.load("table3").set_index("dataset")["gd_augcls_resnet18"]
    assert set(gd.dropna().index) == {"Birds", "scene", "Fungi"}


def test_printed_digits_are_kept():
    assert published.load("table3", printed=True).loc[5, "original_resnet18"] == "50.00"


def test_a_copy_is_given():
    frame = published.load("table5")
    frame.loc[:, "ssim_merge_cls"] = 0.0
    assert published.load("table5")["ssim_merge_cls"].min() > 0


def test_unknown_table_names_the_known():
    with pytest.raises(ValueError, match="table7"):
        published.load("table8")


def test_table5_improvements_follow_from_table3():
    """100 (new - old) / old gives Table 5 to its two printed digits, all eight."""
    three, five = published.load("table3"), published.load("table5")
    old, new = three["original_resnet18"], three["cgan_augcls_resnet18"]
    ours = 100 * (new - old) / old
    assert (ours.round(2) == five["cgan_augcls_improvement"]).all()


def test_thresholds_are_the_largest_of_the_working_sets():
    five = published.load("table5")
    works = five[five["cgan_augcls_works"]]
    for column, threshold in published.THRESHOLDS.items():
        assert works[column].max() == threshold
        assert five.loc[~five["cgan_augcls_works"], column].min() > threshold


def test_eq4_is_an_exponential_with_two_constants():
    eq4, x = published.EQ4, np.linspace(0, 0.5, 11)
    assert np.allclose(eq4(x), eq4.amplitude * np.exp(-eq4.rate * x), rtol=1e-12)
    assert eq4.amplitude == pytest.approx(140.5, abs=0.05)
    assert eq4.rate == pytest.approx(12.54, abs=0.005)


def test_class_counts_agree_with_the_other_files():
    images = published.load("inat2019_class_counts").groupby("category")["images"]
    counts = images.agg(["size", "sum", "min", "max"])
    one = published.load("table1").set_index("dataset")["sub_classes"]
    sets = published.training_sets().set_index("dataset")
    for name in ("Insects", "Birds", "Amphibians", "Fungi", "Reptiles"):
        assert counts.loc[name, "size"] == one[name] == sets.loc[name, "classes"]
        assert counts.loc[name, "sum"] == sets.loc[name, "images"]
        assert counts.loc[name, "min"] == sets.loc[name, "smallest_class"]
        assert counts.loc[name, "max"] == sets.loc[name, "largest_class"]
        assert sets.loc[name, "validation_images"] == 3 * one[name]
    assert len(counts) == 6
    assert round(counts["sum"].sum(), -3) == 265_000  # "around 265K"


def test_enlargements():
    sets = published.training_sets().set_index("dataset")["enlargement"].round(1)
    expected = {"scene": 1.2, "UTKFace": 2.3, "Birds": 3.0, "Insects": 3.4, "flowers": 3.6,
                "Amphibians": 7.1, "Reptiles": 7.5, "Fungi": 14.8}  # fmt: skip
    assert sets.to_dict() == expected
