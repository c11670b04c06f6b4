"""The model card, written from the facts of the run so that it cannot disagree with the artefact."""

from typing import Any

TEMPLATE = """# Model card: handbook-gbdt, version {version}

Written by `training/train.py`; `training/README.md` has the commands that make the same bytes again.

## What it is
A gradient-boosted tree ensemble ({trees} trees, depth at most {depth}; LightGBM, log loss) over the fifteen features of
the default feature set. Output: the probability that a card transaction is fraud. Missing values are NaN; the model was
trained with {missing_share:.0%} of all values withheld at random, so that a missing feature costs accuracy only.

## Data
Simulated by `weir generate` after the idea of the Fraud-Detection-Handbook's simulator: {rows:,} transactions of
{days} days (seed {seed}), {fraud_share:.2%} fraud. No real and no published data. Trained on days 0 to {train_last};
the {gap} days after it are left out, as their labels would not have been known yet; tested on days {test_first} to
{test_last}. The first weeks, with short histories, are trained on too: a new deployment starts with
short histories.

## Measured on the test days
| | |
|---|---|
| transactions, frauds | {test_rows:,}, {test_frauds:,} |
| area under the ROC curve | {auc:.4f} |
| average precision | {average_precision:.4f} |
| card precision at 100 a day | {card_precision_100:.4f} (at most {card_precision_100_limit:.4f}: so few cards are defrauded a day) |
| mean score, share of fraud | {mean_score:.5f}, {test_fraud_share:.5f} |
| log loss | {log_loss:.5f} |

| score at least | precision | recall | legitimate transactions hit |
|---|---|---|---|
{thresholds}

| score | transactions | mean score | share of fraud |
|---|---|---|---|
{calibration}

| scenario | frauds | share scored 0.5 or more |
|---|---|---|
{scenarios}

Classes are not re-weighted: the scores are probabilities as they stand, and the policy's thresholds (0.5 and 0.9) mean
what they say. Reasons are given by withholding: a feature's impact is the score less the score with that feature at its
reference, the median of legitimate training transactions (`reference` in handbook-gbdt.json).

## Limits
- A simulation's regularities, not a bank's: good for trying the system out, for tests and for benchmarks. Train your
  own model on your own transactions before a decision costs anybody money.
- Fraud at a terminal shows only once labels are there, a week later: the first week of each compromise is missed.
- A stolen card shows only by amounts unusual for its customer; a fifth of the mean spent five-fold looks normal.
- Amounts are in the major unit of one currency; other currencies need conversion before they are scored.
- One single feature, the amount above 220, decides a scenario: that is the simulator's rule, not the world's.
"""


def write_card(facts: dict[str, Any]) -> str:
    def table(rows: list[list[str]]) -> str:
        return "\n".join("| " + " | ".join(row) + " |" for row in rows)

    return TEMPLATE.format(
        **{key: value for key, value in facts.items() if not isinstance(value, list)},
        thresholds=table(
            [
                [
                    f"{t['threshold']:.1f}",
                    f"{t['precision']:.3f}",
                    f"{t['recall']:.3f}",
                    f"{t['false_positive_rate']:.5%}",
                ]
                for t in facts["thresholds"]
            ]
        ),
        calibration=table(
            [
                [
                    f"{b['from']:.2f} to {b['to']:.2f}",
                    f"{b['rows']:,}",
                    f"{b['mean_score']:.4f}",
                    f"{b['fraud_share']:.4f}",
                ]
                for b in facts["calibration"]
            ]
        ),
        scenarios=table([[s["name"], f"{s['frauds']:,}", f"{s['recall']:.3f}"] for s in facts["scenarios"]]),
    )
