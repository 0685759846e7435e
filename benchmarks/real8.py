"""Localize the eight real leaks of BattLeDIM 2018, whose place and size the method does not know.

Usage: benchmarks/real8 --data DIR [--mode given|nothing] [--json]

DIR holds `pressures_areaA_29sensors_m.csv`, `node_demands_Lh_and_net_inflow_m3h.csv` and, in its
parent or here, `L-TOWN.inp`. With `nothing` the method is told of no other leak; with `given` the
others that ran at the time are in its model, at the middle of their pipes: `leak_truth.csv` in the
parent says which, and `surrogate-2018/leakages.parquet` beside it how much each took then. Both
modes are run unless one is named. The score of a leak is BattLeDIM's distance: the shortest path
along pipes between the nearest ends of the found and the true pipe, plus half of both lengths, and
0 where they are one pipe.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from hydraulics.epanet.reading import read_network
from hydraulics.leaks.localize import localize
from hydraulics.leaks.measurements import KnownLeak, Localization, Measurements, zone
from hydraulics.network import NetworkModel
from hydraulics.paths import distance_between_pipes_m

PRESSURES = "pressures_areaA_29sensors_m.csv"
NEAR_M = 300.0
LEAST_M3S = 1e-5
MODES = ("given", "nothing")
SAID = {
    "given": "other leaks of the time given in the model",
    "nothing": "nothing given",
}
DEMANDS = "node_demands_Lh_and_net_inflow_m3h.csv"
MONDAY = pd.Timestamp("2018-01-01")
"""Model time zero: L-Town's patterns begin on a Monday at midnight."""


def main() -> None:
    """Print a line for each leak, and the mean."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, metavar="DIR")
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output")
    parser.add_argument("--mode", choices=MODES, help="only this one")
    parser.add_argument("--leaks", help="only these, by comma")
    options = parser.parse_args()
    inp = next(
        (
            p
            for p in (options.data / "L-TOWN.inp", options.data.parent / "L-TOWN.inp")
            if p.exists()
        ),
        None,
    )
    if inp is None or not (options.data / PRESSURES).exists():
        parser.error(f"{options.data}: holds no {PRESSURES}, or L-TOWN.inp is not beside it")
    model = read_network(inp)
    pressures = pd.read_csv(options.data / PRESSURES, parse_dates=["Timestamp"])
    demands = pd.read_csv(options.data / DEMANDS, parse_dates=["Timestamp"])
    wanted = options.leaks.split(",") if options.leaks else list(dict.fromkeys(pressures["leak"]))
    results = {}
    for mode in MODES:
        if options.mode not in {None, mode}:
            continue
        flows = None
        if mode == "given":
            flows = read_flows(options.data.parent)
            if flows is None:
                print(f"{options.data.parent}: no flows of other leaks: `given` is left out")
                continue
        if not options.json:
            print(SAID[mode])
        lines = []
        for leak in wanted:
            seen, when = measurements(model, pressures, demands, leak)
            known = [] if flows is None else others(model, flows, seen, when, leak)
            begun = time.perf_counter()
            found = localize(inp, model, seen, known, seed=1)
            names = [model.node_id[node] for node in seen.pressure_node]
            lines.append(scored(model, found, names, leak, time.perf_counter() - begun))
            lines[-1]["known"] = [model.link_id[one.link] for one in known]
            if not options.json:
                print(sentence(lines[-1]), flush=True)
        results[mode] = report(lines, as_json=options.json)
    if options.json:
        print(json.dumps(results))


def read_flows(folder: Path) -> pd.DataFrame | None:
    """Return the flow of each leak of the year [m³/s] by time, or None where it is not there."""
    path = folder / "surrogate-2018" / "leakages.parquet"
    truth = folder / "leak_truth.csv"
    if not path.exists() or not truth.exists():
        return None
    flows = pd.read_parquet(path) / 3600.0
    return flows[[name for name in pd.read_csv(truth)["link"] if name in flows.columns]]


def others(
    model: NetworkModel,
    flows: pd.DataFrame,
    seen: Measurements,
    when: pd.DatetimeIndex,
    leak: str,
) -> list[KnownLeak]:
    """Return the leaks that ran beside one, as a book of found leaks would have them."""
    known = []
    for name in flows.columns:
        took = flows[name].reindex(when, method="nearest").to_numpy(dtype=np.float64)
        now, then = float(took[~seen.is_reference].mean()), float(took[seen.is_reference].mean())
        if name != leak and now > LEAST_M3S:
            link = model.link_id.index(name)
            known.append(KnownLeak(link, 0.5, now, is_in_reference=then > LEAST_M3S))
    return known


def measurements(
    model: NetworkModel, pressures: pd.DataFrame, demands: pd.DataFrame, leak: str
) -> tuple[Measurements, pd.DatetimeIndex]:
    """Return one leak's rows in the file's order, while the pump rests, and their times."""
    is_row = (pressures["leak"] == leak) & (pressures["pump_off"] == 1)
    rows, flows = pressures[is_row], demands[is_row]
    sensors = [name for name in pressures.columns if name.startswith("n")]
    node = {name: i for i, name in enumerate(model.node_id)}
    link = {name: i for i, name in enumerate(model.link_id)}
    inflow = flows[["inflow_R1_m3h", "inflow_R2_m3h"]].to_numpy(dtype=np.float64) / 3600.0
    seconds = (rows["Timestamp"] - MONDAY).dt.total_seconds().to_numpy(dtype=np.float64)
    reference = (rows["kind"] == "nominal").to_numpy()
    order = np.argsort(~reference, kind="stable")  # the leak-free window first, each in file order
    when = pd.DatetimeIndex(rows["Timestamp"].to_numpy()[order])
    seen = Measurements(
        model_time_s=seconds[order],
        is_reference=reference[order],
        pressure_node=np.array([node[name] for name in sensors]),
        pressure_m=rows[sensors].to_numpy(dtype=np.float64)[order],
        tank_node=np.empty(0, dtype=np.int64),
        tank_level_m=np.empty((len(rows), 0)),
        flow_link=np.array([link["PUMP_1"]]),
        flow_m3s=np.zeros((len(rows), 1)),
        demand_node=np.array([node["R1"], node["R2"]]),
        demand_m3s=-inflow[order],
    )
    return seen, when


def scored(
    model: NetworkModel, found: Localization, sensors: list[str], leak: str, seconds: float
) -> dict[str, object]:
    """Return the figures of one leak."""
    true = model.link_id.index(leak)
    best = int(found.link[0])
    rank = int(np.flatnonzero(found.link == true)[0]) + 1 if true in found.link else None
    zone90 = zone(found, 0.9)
    return {
        "leak": leak,
        "found": model.link_id[best],
        "probability": float(found.probability[0]),
        "flow_m3h": float(found.flow_m3s[0] * 3600.0),
        "distance_m": distance_between_pipes_m(model, best, true),
        "rank": rank,
        "zone90_holds_truth": bool(true in zone90),
        "zone90_length_m": float(model.length_m[zone90].sum()),
        "left_out": [f"{sensors[one.sensor]}: {one.reason}" for one in found.left_out],
        "seconds": seconds,
    }


def sentence(line: dict[str, object]) -> str:
    """Return a leak's figures on one line."""
    return (
        f"{line['leak']:>5} -> {line['found']:>5}  {line['distance_m']:6.0f} m  "
        f"p {line['probability']:.2f}  {line['flow_m3h']:5.1f} m3/h  rank {line['rank']}  "
        f"90 % zone {line['zone90_length_m']:6.0f} m "
        f"{'holds' if line['zone90_holds_truth'] else 'misses'}  {line['seconds']:.1f} s"
    )


def report(lines: list[dict[str, object]], *, as_json: bool) -> dict[str, object]:
    """Print the sum of it, and return it with the lines."""
    distances = np.array([line["distance_m"] for line in lines], dtype=np.float64)
    summary = {
        "n": len(lines),
        "within_300_m": int((distances <= NEAR_M).sum()),
        "mean_distance_m": float(distances.mean()),
        "zone90_holds": sum(bool(line["zone90_holds_truth"]) for line in lines),
    }
    result = {"leaks": lines, "summary": summary}
    if as_json:
        return result
    print(
        f"{summary['within_300_m']} of {summary['n']} within 300 m, mean "
        f"{summary['mean_distance_m']:.0f} m; {summary['zone90_holds']} of {summary['n']} "
        "90 % zones hold the true pipe"
    )
    return result


if __name__ == "__main__":
    main()
