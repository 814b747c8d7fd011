"""River's objects as bytes and back: equal, shared and circular as before; what isn't allowed is refused by name, in both directions."""

import collections
import functools
import json
import random
from typing import Any

import numpy as np
import pytest
from river import anomaly, drift, feature_extraction, preprocessing, stats

from detectors.river_graph import BYTES_MAX, NODES_MAX, decode, encode, seeded
from detectors.river_names import RIVER_VERSION, GraphRefusedError

ADWIN: Any = drift.ADWIN  # untyped
ESTIMATORS: dict[str, Any] = {
    "trees": lambda: anomaly.HalfSpaceTrees(n_trees=3, height=4, window_size=20, seed=3),
    "machine": anomaly.OneClassSVM,
    "projections": lambda: anomaly.LODA(n_random_cuts=5),
    "neighbours": anomaly.LocalOutlierFactor,
    "scaled": lambda: preprocessing.StandardScaler() | anomaly.OneClassSVM(),
    "features": lambda: feature_extraction.RBFSampler(seed=1) | anomaly.OneClassSVM(),
    "filtered": lambda: anomaly.QuantileFilter(anomaly.HalfSpaceTrees(n_trees=3, window_size=20, seed=3), q=0.9),
}


def taught(make: Any, n: int = 120) -> Any:
    estimator = seeded(make())
    chance = random.Random(2)
    for _ in range(n):
        estimator.learn_one({name: chance.random() for name in "abc"})
    return estimator


@pytest.mark.parametrize("make", ESTIMATORS.values(), ids=ESTIMATORS)
def test_an_estimator_comes_back_and_goes_on_the_same(make: Any) -> None:
    live = taught(make)
    heir = decode(encode(live))
    assert encode(heir) == encode(live)
    chance = random.Random(4)
    for _ in range(80):
        row = {name: chance.random() for name in "abc"}
        assert heir.score_one(row) == live.score_one(row)
        for each in (heir, live):
            each.learn_one(row)
    assert encode(heir) == encode(live)


@pytest.mark.parametrize("statistic", [stats.Quantile(0.9), stats.EWMean(), stats.EWVar(), stats.IQR(), stats.RollingQuantile(0.5, 9), ADWIN()])
def test_the_compiled_parts_come_back(statistic: Any) -> None:
    chance = random.Random(5)
    for _ in range(50):
        statistic.update(chance.random())
    heir = decode(encode(statistic))
    for _ in range(50):
        number = chance.random()
        statistic.update(number)
        heir.update(number)
    assert encode(heir) == encode(statistic)


def test_containers_numbers_and_references_are_what_they_were() -> None:
    holder = stats.Mean()
    shared: list[Any] = [1.5, float("inf"), -0.0, 1 << 70]
    table: Any = collections.defaultdict(functools.partial(tuple, (0.0, 1.0)), {"a": (1, "x")})
    holder.extra = {  # type: ignore[attr-defined]
        "shared": shared, "again": shared, "table": table, "queue": collections.deque([1, 2], maxlen=3), "set": {3, 1, 2}, "bytes": b"\x00\xff",
        "array": np.arange(6, dtype=np.float32).reshape(2, 3), "number": np.float64(0.1), "kind": stats.Var, "method": holder.get, 7: None,
        "counts": collections.Counter("aab"), "order": collections.OrderedDict(b=1, a=2),
    }  # fmt: skip
    shared.append(holder)
    heir: Any = decode(encode(holder))
    extra = heir.extra
    assert extra["shared"] is extra["again"] and extra["shared"][-1] is heir
    assert repr(extra["shared"][:4]) == repr(shared[:4])
    assert extra["table"]["new"] == (0.0, 1.0) and extra["table"]["a"] == (1, "x")
    assert extra["queue"].maxlen == 3 and list(extra["queue"]) == [1, 2]
    assert extra["set"] == {1, 2, 3} and extra["bytes"] == b"\x00\xff" and extra["kind"] is stats.Var
    assert extra["array"].dtype == np.float32 and extra["array"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert type(extra["number"]) is np.float64 and extra["method"].__self__ is heir
    assert list(extra["order"]) == ["b", "a"] and extra["counts"] == {"a": 2, "b": 1} and list(extra)[-3:] == [7, "counts", "order"]


def test_generators_without_a_seed_get_one_and_others_keep_theirs() -> None:
    one, other = (seeded(anomaly.HalfSpaceTrees()) for _ in range(2))
    assert encode(one) == encode(other) != encode(anomaly.HalfSpaceTrees())
    own = anomaly.HalfSpaceTrees(seed=5)
    assert encode(seeded(own)) == encode(anomaly.HalfSpaceTrees(seed=5))


class Stranger:
    pass


@pytest.mark.parametrize(
    ("thing", "said"),
    [
        (Stranger(), "Stranger: its state can't be reached"),
        (lambda: None, "<lambda> is not a class or function of river"),
        (open, "open is not a class or function of river"),
        ({Stranger(): 1}, "has keys of .*Stranger"),
        (np.array([None]), "an array of object"),
        (np.random.RandomState(1), "RandomState"),
        ((number for number in (1, 2)), "generator"),
        ([].append, "append is not a class or function"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_not_allowed_is_refused_by_name(thing: Any, said: str) -> None:
    holder = stats.Mean()
    holder.extra = thing  # type: ignore[attr-defined]
    with pytest.raises(GraphRefusedError, match=said):
        encode(holder)


def test_a_state_beyond_its_limits_is_refused() -> None:
    holder = stats.Mean()
    holder.extra = [[] for _ in range(NODES_MAX)]  # type: ignore[attr-defined]
    with pytest.raises(GraphRefusedError, match="more than"):
        encode(holder)
    holder.extra = "x" * BYTES_MAX  # type: ignore[attr-defined]
    with pytest.raises(GraphRefusedError, match="larger than"):
        encode(holder)


def changed(**parts: Any) -> bytes:
    return json.dumps(json.loads(encode(stats.Mean())) | parts).encode()


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (changed(river="0.0.1"), f"state of river 0.0.1, this is {RIVER_VERSION}"),
        (changed(format=99), "state in format 99"),
        (changed(layouts=[["os.system"]], nodes=[["object", 0]]), "os.system is not a class"),
        (changed(layouts=[["builtins.object"]], nodes=[["object", 0]]), "builtins.object is not"),
        (changed(layouts=[["dict"]], nodes=[["object", 0]]), "dict is not a class of river"),
        (changed(root=["name", "river.utils.math.os.system"]), "is not a class or function of river"),
        (changed(root=["name", "subprocess.Popen"]), "subprocess.Popen is not"),
        (changed(nodes=[["rust", "river.stats.mean.Mean", "made", None]]), "is not a class of river's compiled part"),
        (changed(nodes=[["method", ["name", "dict"], "clear"]]), "clear is not a method"),
        (changed(nodes=[["partial", 5, ["tuple"]]]), "can't be called"),
        (changed(nodes=[["array", "|O", [1], "AAAAAAAAAAA="]]), "numbers of type"),
        (changed(nodes=[["pickle", "x"]]), "unknown kind pickle"),
        (changed(root=["node", 99]), "can't be read"),
        (changed(root=["eval", "1"]), "unknown kind eval"),
        (b"no json", "can't be read"),
        (b"[]", "can't be read"),
        (encode(stats.Mean())[:-9], "can't be read"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_state_that_asks_for_anything_else_is_refused(data: bytes, said: str) -> None:
    with pytest.raises(GraphRefusedError, match=said):
        decode(data)
