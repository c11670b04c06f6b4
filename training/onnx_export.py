"""A LightGBM binary classifier as one ONNX TreeEnsembleClassifier node: float32 [N, F] in, float32 [N, 2] out.

Written out rather than converted by a library, for two reasons: a threshold is rounded down to float32, so that every
float32 input takes the branch that it takes in LightGBM (rounding to nearest can send a value across); and there is
one plain tensor out, no label output and no ZipMap.
"""

from typing import Any

import lightgbm as lgb
import numpy as np
import onnx
from onnx import TensorProto, helper

INPUT = "features"
OUTPUT = "probability"


def to_onnx(booster: lgb.Booster, feature_count: int, name: str) -> onnx.ModelProto:
    nodes: dict[str, list[Any]] = {
        f"nodes_{field}": []
        for field in (
            "treeids", "nodeids", "featureids", "modes", "values", "truenodeids", "falsenodeids",
            "missing_value_tracks_true",
        )
    }  # fmt: skip
    leaves: dict[str, list[Any]] = {"class_treeids": [], "class_nodeids": [], "class_ids": [], "class_weights": []}
    for tree in booster.dump_model()["tree_info"]:
        _add(tree["tree_structure"], tree["tree_index"], nodes, leaves)

    ensemble = helper.make_node(
        "TreeEnsembleClassifier",
        [INPUT],
        ["label", OUTPUT],
        domain="ai.onnx.ml",
        classlabels_int64s=[0, 1],
        post_transform="LOGISTIC",
        **nodes,
        **leaves,
    )
    graph = helper.make_graph(
        [ensemble],
        name,
        [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, ["N", feature_count])],
        [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["N", 2])],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8, producer_name="weir-training")
    onnx.checker.check_model(model)
    return model


def _add(node: dict[str, Any], tree: int, nodes: dict[str, list[Any]], leaves: dict[str, list[Any]]) -> int:
    """Appends a node and all below it. Returns the node's number within its tree, in pre-order."""
    number = 0 if not nodes["nodes_treeids"] or nodes["nodes_treeids"][-1] != tree else nodes["nodes_nodeids"][-1] + 1
    at = len(nodes["nodes_treeids"])
    is_leaf = "split_feature" not in node
    for field, value in {
        "treeids": tree,
        "nodeids": number,
        "featureids": 0 if is_leaf else node["split_feature"],
        "modes": "LEAF" if is_leaf else "BRANCH_LEQ",
        "values": 0.0 if is_leaf else _float32_at_most(node["threshold"]),
        "truenodeids": 0,
        "falsenodeids": 0,
        "missing_value_tracks_true": 0 if is_leaf else int(node["default_left"]),
    }.items():
        nodes[f"nodes_{field}"].append(value)
    if is_leaf:
        for field, value in (("treeids", tree), ("nodeids", number), ("ids", 0), ("weights", node["leaf_value"])):
            leaves[f"class_{field}"].append(value)
        return number
    # With another missing type LightGBM reads NaN as 0, which this node type cannot say.
    if node["decision_type"] != "<=" or node["missing_type"] != "NaN":
        raise ValueError(f"unsupported split {node['decision_type']} with missing {node['missing_type']}")
    nodes["nodes_truenodeids"][at] = _add(node["left_child"], tree, nodes, leaves)
    nodes["nodes_falsenodeids"][at] = _add(node["right_child"], tree, nodes, leaves)
    return number


def _float32_at_most(threshold: float) -> float:
    """The greatest float32 that is not above: x <= threshold and x <= this agree for every float32 x."""
    # A split of present from missing has a threshold beyond float32: it becomes the greatest float32.
    with np.errstate(over="ignore"):
        nearest = np.float32(threshold)
    return float(np.nextafter(nearest, np.float32(-np.inf)) if float(nearest) > threshold else nearest)
