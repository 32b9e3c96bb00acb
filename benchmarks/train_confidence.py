"""Fits the models behind the builder's confidences to simulated events; writes toolkit/assets/confidence.json.

    python benchmarks/train_confidence.py WORK          # under five minutes where WORK holds the embedded crops

Events of seeds 70 to 79, sports and dance, are rendered and embedded once (some 30 s each on one core) and kept in
WORK. Of each many events are made (`confidence_events.py`), linked as the builder links, and compared with the truth.
Four logistic regressions and the isotonic curves on top of them (scikit-learn) are all that is kept. The same seeds
give the same file.
"""

import argparse
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
from confidence_events import KINDS, Linked, made_events
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from reidkit.datasets.files import write_json
from reidkit.toolkit.linking.confidence import ASSET, Model, Models, Term, astray
from reidkit.toolkit.linking.evidence import identity_evidence, pair_evidence, unit_evidence

SEEDS = range(70, 80)
EACH = 8  # events that are made of one set of crops for each strength of embedder
REGULARISED = 0.1  # inverse strength of the penalty
BINS = 40  # of equally many examples each, whose shares the isotonic curve is drawn through
SUREST = 0.995


def fit(tables: list[dict[str, np.ndarray]], right: list[np.ndarray]) -> Model:
    """A model of what was right, by evidence; an entry an event."""
    names = list(tables[0])
    table, truth = np.concatenate([np.stack([t[n] for n in names], 1) for t in tables]), np.concatenate(right)
    scaler = StandardScaler().fit(table)
    regression = LogisticRegression(C=REGULARISED, max_iter=5_000, tol=1e-8).fit(scaler.transform(table), truth)
    odds = regression.decision_function(scaler.transform(table))
    parts = np.array_split(np.argsort(odds, kind="stable"), BINS)
    middles = np.array([odds[rows].mean() for rows in parts])
    shares = np.array([truth[rows].mean() for rows in parts])
    curve = IsotonicRegression(y_min=1 - SUREST, y_max=SUREST).fit(middles, shares, [len(rows) for rows in parts])
    return Model(
        {
            name: Term(round(float(mean), 5), round(float(max(std, 1e-6)), 5), round(float(weight), 5))
            for name, mean, std, weight in zip(names, scaler.mean_, scaler.scale_, regression.coef_[0], strict=True)
        },
        round(float(regression.intercept_[0]), 5),
        tuple((round(float(m), 4), round(float(p), 4)) for m, p in zip(middles, curve.predict(middles), strict=True)),
    )


def fit_all(events: list[Linked]) -> Models:
    """The four models, each given what those before it say."""
    groups = [one.found.grouping for one in events]
    units = [unit_evidence(one.found.grouping, one.found.crowd) for one in events]
    inside = [g.label >= 0 for g in groups]
    unit = fit(
        [{k: v[rows] for k, v in table.items()} for (table, _), rows in zip(units, inside, strict=True)],
        [one.right for one in events],
    )
    pairs = [pair_evidence(g) for g in groups]
    pair = fit(
        [table for _, _, table in pairs],
        [one.person[i] == one.person[j] for one, (i, j, _) in zip(events, pairs, strict=True)],
    )
    identities = [
        identity_evidence(g, astray(g, unit.probability(table)), target, (i, j, pair.probability(t)), one.found.crowd)
        for g, one, (table, target), (i, j, t) in zip(groups, events, units, pairs, strict=True)
    ]
    pure = fit([table for table, _ in identities], [one.pure for one in events])
    whole = fit([table for _, table in identities], [one.whole for one in events])
    return Models(unit, pair, pure, whole)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path, help="folder that keeps the embedded crops")
    parser.add_argument("--each", type=int, default=EACH)
    parser.add_argument("-o", "--output", type=Path, default=ASSET)
    options = parser.parse_args()
    events = []
    for seed in SEEDS:
        for kind in KINDS:
            events += made_events(kind, seed, options.work, options.each)
            print(f"{kind} {seed}: {len(events)} events", file=sys.stderr)
    models = fit_all(events)
    write_json(options.output, asdict(models))
    for name in Models.__dataclass_fields__:
        model = getattr(models, name)
        print(
            name, f"intercept {model.intercept:.2f},", ", ".join(f"{k} {t.weight:+.2f}" for k, t in model.terms.items())
        )


if __name__ == "__main__":
    main()
