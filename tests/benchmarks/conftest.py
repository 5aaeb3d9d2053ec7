"""The option of the benchmarks."""


def pytest_addoption(parser):
    parser.addoption("--record", action="store_true", help="keep the ratios in notebooks/recorded/bench")
