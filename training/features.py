"""The default feature set ("Features of the default set"), recomputed without the engine.

Independent of the engine on purpose: it shares no code with it, works on whole columns, and so is a check as well as
the source of training data. It needs a file in event-time order, which is arrival order there; the engine needs none.
"""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

DAY_S = 86_400
WINDOW_DAYS = (1, 7, 30)
#: A label arrives with its transaction and is available this much later; terminals are looked at this far back.
DELAY_S = 7 * DAY_S

FEATURES: list[str] = [
    "tx_amount",
    "tx_during_weekend",
    "tx_during_night",
    *(f"customer_id_{what}_{w}day_window" for w in WINDOW_DAYS for what in ("nb_tx", "avg_amount")),
    *(f"terminal_id_{what}_{w}day_window" for w in WINDOW_DAYS for what in ("nb_tx", "risk")),
]


def read_transactions(path: Path) -> pd.DataFrame:
    """Columns time_s, customer, terminal (codes), minor (cents) and fraud (0, 1) of a Handbook CSV in time order."""
    columns = ["tx_datetime", "customer_id", "terminal_id", "tx_amount", "tx_fraud"]
    raw = pd.read_csv(path, usecols=columns, dtype={"customer_id": str, "terminal_id": str, "tx_amount": str})
    time = pd.to_datetime(raw["tx_datetime"], format="ISO8601", utc=True)
    time_s = time.dt.tz_localize(None).to_numpy("datetime64[s]").astype(np.int64)
    if (np.diff(time_s) < 0).any():
        raise SystemExit(f"{path} is not in event-time order")
    return pd.DataFrame(
        {
            "time_s": time_s,
            "customer": pd.factorize(raw["customer_id"])[0].astype(np.int64),
            "terminal": pd.factorize(raw["terminal_id"])[0].astype(np.int64),
            "minor": np.rint(raw["tx_amount"].astype(float).to_numpy() * 100).astype(np.int64),
            "fraud": raw["tx_fraud"].to_numpy(np.int64),
        }
    )


def compute_features(tx: pd.DataFrame) -> npt.NDArray[np.float32]:
    """One row a transaction, one column a feature in the order of FEATURES, as float32: what the model is given."""
    time_s = tx["time_s"].to_numpy()
    day = time_s // DAY_S
    hour = time_s % DAY_S // 3_600
    columns: dict[str, npt.NDArray[np.float64]] = {
        "tx_amount": tx["minor"].to_numpy() / 100,
        # Day 0, 1 January 1970, was a Thursday; 5 and 6 are Saturday and Sunday.
        "tx_during_weekend": ((day + 3) % 7 >= 5).astype(np.float64),
        "tx_during_night": (hour <= 6).astype(np.float64),
    }
    customer = KeyedHistory(tx["customer"].to_numpy(), time_s, tx["minor"].to_numpy())
    terminal = KeyedHistory(tx["terminal"].to_numpy(), time_s, tx["fraud"].to_numpy())
    for w in WINDOW_DAYS:
        count, minor = customer.up_to_current(w * DAY_S)
        columns[f"customer_id_nb_tx_{w}day_window"] = count.astype(np.float64)
        columns[f"customer_id_avg_amount_{w}day_window"] = minor / count / 100
        count, frauds = terminal.before(DELAY_S + w * DAY_S, DELAY_S)
        columns[f"terminal_id_nb_tx_{w}day_window"] = count.astype(np.float64)
        columns[f"terminal_id_risk_{w}day_window"] = np.where(count > 0, frauds / np.maximum(count, 1), 0.0)
    return np.column_stack([columns[name] for name in FEATURES]).astype(np.float32)


class KeyedHistory:
    """Counts and exact integer sums over each key's past, for all transactions at once.

    Sorted by (key, time, arrival), a window of one key is a run of entries: two binary searches over key * span + time
    find its ends, and a running sum gives its total.
    """

    def __init__(self, key: npt.NDArray[np.int64], time_s: npt.NDArray[np.int64], value: npt.NDArray[np.int64]) -> None:
        self._order = np.lexsort((np.arange(len(key)), time_s, key))
        # Wider than any time and look-back together, so that no search leaves its key.
        span = 2 * int(time_s.max() - time_s.min()) + 100 * DAY_S
        self._composite = (key * span + (time_s - time_s.min()) + 50 * DAY_S)[self._order]
        self._running = np.concatenate(([0], np.cumsum(value[self._order])))

    def up_to_current(self, window_s: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """(t - window, t], the current one and those that arrived before it."""
        start = np.searchsorted(self._composite, self._composite - window_s, side="right")
        return self._between(start, np.arange(len(self._composite)) + 1)

    def before(self, from_s: int, to_s: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """(t - from, t - to], with to above 0: all of it has arrived."""
        start = np.searchsorted(self._composite, self._composite - from_s, side="right")
        end = np.searchsorted(self._composite, self._composite - to_s, side="right")
        return self._between(start, end)

    def _between(
        self, start: npt.NDArray[np.int64], end: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        count = np.empty(len(self._order), np.int64)
        total = np.empty(len(self._order), np.int64)
        count[self._order] = end - start
        total[self._order] = self._running[end] - self._running[start]
        return count, total
