"""What the second phases of published methods add: views, shifted batch norm, smoothed labels.

    python benchmarks/cifar_lt_second_phase.py --data DATA --output STUDY

takes the options of ``cifar_lt.py``, and the networks that it trained with them and with the same
``--output``. In the folder ``second_phase`` of the study it keeps embeddings of several augmented
views of each image, and of batch norm that was estimated again on balanced classes. Methods refit
heads on these, with labels smoothed or not. They choose settings as in the study. With ``--resume``
it continues where it was interrupted. At its end it prints the tables.
"""

import sys
import time
from dataclasses import asdict, dataclass
from functools import partial
from itertools import product

from _cifar_images import load_images, normalize, split_images
from _embeddings import digest_of, name_of, read_embedded, training_command, write_embedded
from _heads import Network, refit
from _networks import TrainedBefore, fit, pack
from _recipes import Budget, Case
from _results import Results
from _study_methods import METHODS, SEARCHES, TAUS, Method
from cifar_lt import begin, folds_of, parse_options, run_method
from cifar_lt_pages import fill_table
from joblib import Parallel, delayed
from sklearn.frozen import FrozenEstimator
from tqdm import tqdm

from imblearn_eos import Embedder
from imblearn_eos.training import shift_batch_norm

# A part of the grids of the study: several views make as many times the rows.
ALPHAS = (0.001, 0.01, 0.1, 1.0)
NEIGHBORS = (10, 100, 300, 1000)
# Methods that only change the network's own head.
OWN_HEADS = "network", "logit adjustment", "tau-normalization"
# The default is that of MiSLAS for CIFAR-10 with ratio 100.
SMOOTHINGS = (0.3, 0.1)


@dataclass(frozen=True)
class Phase:
    """How the second phase is done."""

    n_views: int = 1
    is_shifted: bool = False
    is_smoothed: bool = False

    @property
    def methods(self):
        """Return the methods whose heads this changes, by name."""
        found = {}
        if self.is_shifted or self == Phase():
            found = {name: METHODS[name] for name in OWN_HEADS}
        if not self.is_smoothed or self.is_shifted:
            found["LWS"] = METHODS["LWS"]
        return found | {
            "plain refit": self._refits("none"),
            "class weights": self._refits("none", class_weight=("balanced",)),
            "plain refit + logit adjustment": self._refits("none", {"tau": 1.0}, tau=TAUS),
            "SMOTE": self._refits("SMOTE", k_neighbors=(5, 10)),
            "EOS": self._refits("EOS", enemy_search=SEARCHES, n_neighbors=NEIGHBORS),
        }

    def _refits(self, sampler, default=None, **grid):
        grid |= {"alpha": ALPHAS}
        if self.is_smoothed:
            grid |= {"smoothing": SMOOTHINGS}
        first = {name: values[0] for name, values in grid.items()} | {"alpha": 0.01}
        return Method(partial(refit, sampler=sampler), grid, (first | (default or {}),))


PHASES = {
    "as before": Phase(),
    "4 views": Phase(n_views=4),
    "shifted batch norm": Phase(is_shifted=True),
    "smoothed labels": Phase(is_smoothed=True),
    "all three": Phase(n_views=4, is_shifted=True, is_smoothed=True),
}


def embed(images, case, fold, phase, budget, options):
    """Return a network's embeddings for a phase, from a file if they are there."""
    kind = f"{phase.n_views}views" + "_shifted" * phase.is_shifted
    name = f"{name_of(case, budget, fold, options.folds)}_{digest_of(images, case):08x}"
    file = options.output / "second_phase" / "embeddings" / f"{name}_{kind}.npz"
    if not file.exists():
        X, y, X_new, y_new = split_images(images, case, fold, options.folds)
        try:
            trained = fit(X, y, case, budget, options.output, name, TrainedBefore)
        except FileNotFoundError as error:
            sys.exit(f"{error} This makes it: {training_command(case, budget, options.folds)}")
        X, X_new, net, start = normalize(X), normalize(X_new), trained.net_, time.perf_counter()
        if phase.is_shifted:
            net = shift_batch_norm(net, X, y, random_state=case.seed)
        embedder = Embedder(FrozenEstimator(net), n_views=phase.n_views, random_state=case.seed)
        rows = embedder.fit(X, y).transform_views(X, y)
        seconds = {"embedding": time.perf_counter() - start}
        rows = *rows, embedder.transform(X_new), y_new
        write_embedded(file, pack(trained, rows, seconds=seconds))
    return read_embedded(file)


def run_case(images, case, budget, options, results):
    """Run all methods of all phases that have no results yet on the networks of a case."""
    described = asdict(case)
    for title, phase in PHASES.items():
        missing = [
            name
            for name in phase.methods
            if name in options.methods
            and not results.has(record="second phase", case=described, phase=title, method=name)
        ]
        if not missing:
            continue
        networks = []
        for fold in folds_of(case, options):
            embedded = embed(images, case, fold, phase, budget, options)
            networks.append(Network(embedded, case.seed, phase.n_views))
            if fold is None:
                seconds = embedded.seconds["embedding"]
        *folds, network = networks
        if options.hold_out:
            *folds, network = network.halves()
        for name in tqdm(missing, desc=f"{case.name}, {title}", disable=options.jobs > 1):
            results.add(
                record="second phase",
                case=described,
                phase=title,
                method=name,
                embedding_seconds=seconds,
                precision=embedded.precision,
                **run_method(phase.methods[name], folds, network),
            )


def main():
    options = parse_options(description=__doc__)
    folder = options.output / "second_phase" / "results"
    results = Results(folder)
    if not options.data:
        sys.exit("--data is needed: views are made of the images.")
    images = load_images(options.data)
    budget = Budget(
        options.epochs, options.batch_size, options.schedule, options.device, options.compile
    )
    grid = product(options.kinds, options.ratios, options.recipes, options.subsets, options.seeds)
    cases = [Case(recipe, *rest, subset, seed) for *rest, recipe, subset, seed in grid]
    begin(results, options)
    parallel = Parallel(options.jobs, return_as="generator", batch_size=1)
    done = parallel(delayed(run_case)(images, case, budget, options, results) for case in cases)
    for _ in tqdm(done, total=len(cases), unit="case"):
        pass
    for table in ("second_phases", "second_phase_gains", "second_phase_leads"):
        print(f"\n{fill_table(table, {'runs': [folder.resolve()]})}")


if __name__ == "__main__":
    main()
