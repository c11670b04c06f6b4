"""Trains the bundled model on generated transactions and exports it: see README.md.

Deterministic: one thread, fixed seeds, LightGBM's deterministic mode. The same CSV and package versions give the same
bytes of ONNX, JSON and card, so nothing of the run's time or place is written into them.
"""

import argparse
import hashlib
import json
import re
from pathlib import Path
from typing import Any

import lightgbm as lgb
import numpy as np
import numpy.typing as npt
import onnxruntime as ort
import pandas as pd
from card import write_card
from features import DAY_S, DELAY_S, FEATURES, compute_features, read_transactions
from onnx_export import OUTPUT, to_onnx
from sklearn.metrics import average_precision_score, log_loss, roc_auc_score

MODEL_ID = "handbook-gbdt"
VERSION = "1"
SEED = 1
TEST_DAYS = 20
MISSING_SHARE = 0.02
TOP_CARDS = 100
THRESHOLDS = (0.5, 0.9)
CALIBRATION_EDGES = (0.0, 0.01, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0)
SCENARIOS = {1: "amount above 220", 2: "compromised terminal", 3: "compromised card"}
PARAMETERS: dict[str, Any] = {
    # Log loss without class weights: scores are probabilities, which fixed thresholds rest on.
    "objective": "binary",
    "num_iterations": 100,
    "max_depth": 6,
    "num_leaves": 40,
    "learning_rate": 0.1,
    "min_data_in_leaf": 60,
    "lambda_l2": 5.0,
    # Large amounts are a few in a thousand: with the usual 255 bins no boundary lies near 220.
    "max_bin": 4095,
    "num_threads": 1,
    "deterministic": True,
    "force_row_wise": True,
    "seed": SEED,
    "verbosity": -1,
}

Floats = npt.NDArray[np.float32] | npt.NDArray[np.float64]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="Handbook CSV from training/make-data.mjs")
    parser.add_argument("--data-seed", type=int, default=20240101, help="its seed, for the card")
    parser.add_argument("--out", type=Path, default=Path("fraud/models"))
    arguments = parser.parse_args()

    tx = read_transactions(arguments.data)
    tx["scenario"] = pd.read_csv(arguments.data, usecols=["tx_fraud_scenario"])["tx_fraud_scenario"]
    features = compute_features(tx)
    day = (tx["time_s"].to_numpy() - tx["time_s"].min()) // DAY_S
    fraud = tx["fraud"].to_numpy()
    gap_days = DELAY_S // DAY_S
    test_first = int(day.max()) + 1 - TEST_DAYS
    train, test = day < test_first - gap_days, day >= test_first

    data = lgb.Dataset(with_missing(features[train]), fraud[train], feature_name=FEATURES)
    booster = lgb.train(PARAMETERS, data)
    onnx_bytes = to_onnx(booster, len(FEATURES), MODEL_ID).SerializeToString(deterministic=True)
    scores = score_and_check(booster, onnx_bytes, features[test])

    metrics = evaluate(tx[test], scores, day[test])
    # The middle of what is normal: an explanation asks what the score would be without the unusual value.
    reference = np.median(features[train & (fraud == 0)], axis=0)
    training = {
        "data": "simulated by weir generate",
        "data_sha256": hashlib.sha256(arguments.data.read_bytes()).hexdigest(),
        "data_seed": arguments.data_seed,
        "rows": int(train.sum()),
        "train_last_day": test_first - gap_days - 1,
        "test_first_day": test_first,
        "missing_share": MISSING_SHARE,
        "parameters": PARAMETERS,
        "lightgbm": lgb.__version__,
    }
    contract = {
        "model_id": MODEL_ID,
        "version": VERSION,
        "features": FEATURES,
        "missing": "nan",
        "output": OUTPUT,
        "sha256": hashlib.sha256(onnx_bytes).hexdigest(),
        "reference": {name: round(float(value), 4) for name, value in zip(FEATURES, reference, strict=True)},
        "metrics": metrics,
        "training": training,
    }
    facts = metrics | {
        "version": VERSION,
        "trees": PARAMETERS["num_iterations"],
        "depth": PARAMETERS["max_depth"],
        "missing_share": MISSING_SHARE,
        "rows": len(tx),
        "days": int(day.max()) + 1,
        "seed": arguments.data_seed,
        "fraud_share": float(fraud.mean()),
        "gap": gap_days,
        "train_last": test_first - gap_days - 1,
        "test_first": test_first,
        "test_last": int(day.max()),
    }
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / f"{MODEL_ID}.onnx").write_bytes(onnx_bytes)
    (arguments.out / f"{MODEL_ID}.json").write_text(plain_json(contract))
    (arguments.out / "CARD.md").write_text(write_card(facts))
    print(json.dumps({"onnx_bytes": len(onnx_bytes)} | metrics, indent=2))


def with_missing(features: Floats) -> Floats:
    """A copy with values withheld at random, so that every split learns which way a missing value goes."""
    hidden = np.random.default_rng(SEED).random(features.shape) < MISSING_SHARE
    return np.where(hidden, np.float32(np.nan), features)


def score_and_check(booster: lgb.Booster, onnx_bytes: bytes, features: Floats) -> Floats:
    """Scores of the exported model, which must be LightGBM's to float32 accuracy, with and without missing values."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(onnx_bytes, options, providers=["CPUExecutionProvider"])
    for rows in (with_missing(features), features):
        scores = session.run([OUTPUT], {session.get_inputs()[0].name: rows})[0][:, 1]
        worst = np.abs(scores - booster.predict(rows, num_threads=1)).max()
        if worst > 1e-5:
            raise SystemExit(f"the exported model differs from LightGBM by {worst}")
    return scores


def evaluate(tx: pd.DataFrame, scores: Floats, day: npt.NDArray[np.int64]) -> dict[str, Any]:
    fraud = tx["fraud"].to_numpy()
    card_precision, card_limit = card_precision_top_k(tx["customer"].to_numpy(), fraud, scores, day)
    bins = np.digitize(scores, CALIBRATION_EDGES[1:-1])
    metrics: dict[str, Any] = {
        "test_rows": len(tx),
        "test_frauds": int(fraud.sum()),
        "test_fraud_share": fraud.mean(),
        "auc": roc_auc_score(fraud, scores),
        "average_precision": average_precision_score(fraud, scores),
        f"card_precision_{TOP_CARDS}": card_precision,
        f"card_precision_{TOP_CARDS}_limit": card_limit,
        "mean_score": scores.mean(),
        "log_loss": log_loss(fraud, scores.astype(np.float64)),
        "thresholds": [
            {
                "threshold": t,
                "precision": fraud[scores >= t].mean(),
                "recall": (scores[fraud == 1] >= t).mean(),
                "false_positive_rate": (scores[fraud == 0] >= t).mean(),
            }
            for t in THRESHOLDS
        ],
        "calibration": [
            {
                "from": CALIBRATION_EDGES[b],
                "to": CALIBRATION_EDGES[b + 1],
                "rows": int((bins == b).sum()),
                "mean_score": scores[bins == b].mean(),
                "fraud_share": fraud[bins == b].mean(),
            }
            for b in range(len(CALIBRATION_EDGES) - 1)
        ],
        "scenarios": [
            {"name": name, "frauds": int(of.sum()), "recall": (scores[of] >= THRESHOLDS[0]).mean()}
            for of, name in ((tx["scenario"].to_numpy() == number, name) for number, name in SCENARIOS.items())
        ],
    }
    return rounded(metrics)


def card_precision_top_k(
    customer: npt.NDArray[np.int64], fraud: npt.NDArray[np.int64], scores: Floats, day: npt.NDArray[np.int64]
) -> tuple[float, float]:
    """The Handbook's card precision: each day, the share of defrauded cards among the TOP_CARDS by greatest score; a
    card once found is not looked at again. Also the greatest value that a perfect score would reach."""
    found: set[int] = set()
    precision, limit = [], []
    for d in np.unique(day):
        today = pd.DataFrame({"customer": customer[day == d], "fraud": fraud[day == d], "score": scores[day == d]})
        cards = today[~today["customer"].isin(found)].groupby("customer").max()
        top = cards.sort_values("score", ascending=False, kind="stable").head(TOP_CARDS)
        found.update(top.index[top["fraud"] == 1])
        precision.append(top["fraud"].sum() / TOP_CARDS)
        limit.append(min(TOP_CARDS, cards["fraud"].sum()) / TOP_CARDS)
    return float(np.mean(precision)), float(np.mean(limit))


def plain_json(value: Any) -> str:
    """Indented, with exponents as JavaScript writes them (5e-5, not 5e-05): the repository's formatter insists."""
    return re.sub(r"(\de-)0+", r"\1", json.dumps(value, indent=2)) + "\n"


def rounded(value: Any) -> Any:
    """Plain JSON with six decimals."""
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [rounded(item) for item in value]
    return round(float(value), 6) if isinstance(value, float | np.floating) else value


if __name__ == "__main__":
    main()
