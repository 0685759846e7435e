"""The factor of a network's conductances: its laws, and what it refuses."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hydraulics.leaks.ldl import Factor, SingularError, analyse, factorize
from hydraulics.network import FloatArray, IndexArray


@dataclass
class Net:
    """Edges between unknowns; -1 is a known head."""

    n: int
    start: IndexArray
    end: IndexArray
    conductance: FloatArray
    ground: FloatArray

    @property
    def matrix(self) -> FloatArray:
        full = np.diag(np.append(self.ground, 0.0))
        for a, b, y in zip(self.start, self.end, self.conductance, strict=True):
            if a != b:
                full[a, a] += y
                full[b, b] += y
                full[a, b] -= y
                full[b, a] -= y
        return full[: self.n, : self.n]  # the last row is that of the known heads

    def factor(self) -> Factor:
        return factorize(analyse(self.n, self.start, self.end), self.conductance, self.ground)


@pytest.fixture(scope="module", autouse=True)
def compiled() -> None:
    """Compile the loops before hypothesis looks at the clock."""
    factor = Net(1, np.array([-1]), np.array([0]), np.ones(1), np.zeros(1)).factor()
    factor.solve(np.ones(1))
    factor.columns(np.array([0]))


@st.composite
def nets(draw: st.DrawFn) -> Net:
    """Connected networks with meshes, parallel edges and loops on one node."""
    n = draw(st.integers(1, 12))
    tree = [(draw(st.integers(-1, i - 1)), i) for i in range(n)]
    ends = st.tuples(st.integers(-1, n - 1), st.integers(-1, n - 1))
    edges = tree + draw(st.lists(ends, max_size=12))
    sizes = st.floats(-6.0, 6.0).map(lambda power: 10.0**power)
    conductance = [draw(sizes) for _ in edges]
    ground = [draw(st.one_of(st.just(0.0), sizes)) for _ in range(n)]
    start, end = np.array(edges, dtype=np.int64).T
    return Net(n, start, end, np.array(conductance), np.array(ground))


def lower(factor: Factor) -> FloatArray:
    symbolic = factor.symbolic
    full = np.eye(symbolic.n_unknowns)
    for j in range(symbolic.n_unknowns):
        span = slice(symbolic.column_at[j], symbolic.column_at[j + 1])
        full[symbolic.row[span], j] = -factor.lower[span]
    return full


@given(nets())
def test_l_d_lt_is_the_matrix(net: Net) -> None:
    net.ground[0] += 1.0
    factor = net.factor()
    order, one = factor.symbolic.order, lower(factor)
    product = one @ np.diag(factor.pivot) @ one.T
    wanted = net.matrix[np.ix_(order, order)]
    scale = np.sqrt(np.outer(wanted.diagonal(), wanted.diagonal()))
    assert np.abs(product - wanted).max() <= 1e-13 * scale.max()
    assert (np.abs(product - wanted) <= 1e-12 * scale).all()


@given(nets(), st.integers(0, 2**32 - 1))
def test_a_solution_leaves_no_residual(net: Net, seed: int) -> None:
    net.ground += 1e-3
    right = np.random.default_rng(seed).normal(size=(net.n, 3))
    found = net.factor().solve(right)
    size = np.abs(net.matrix) @ np.abs(found) + np.abs(right)
    assert (np.abs(net.matrix @ found - right) <= 1e-12 * size).all()


@given(nets(), st.randoms(use_true_random=False))
def test_the_order_of_unknowns_and_edges_changes_nothing(net: Net, draw: object) -> None:
    net.ground += 1e-3
    generator = np.random.default_rng(draw.getrandbits(32))  # type: ignore[attr-defined]
    name, edge = generator.permutation(net.n), generator.permutation(len(net.start))
    to = np.append(name, -1)
    ground = np.empty(net.n)
    ground[name] = net.ground
    other = Net(
        net.n, to[net.start][edge], to[net.end][edge], net.conductance[edge], ground
    ).factor()
    right = generator.normal(size=net.n)
    moved = np.empty(net.n)
    moved[name] = right
    found = net.factor().solve(right)
    assert other.solve(moved)[name] == pytest.approx(
        found, rel=1e-9, abs=1e-12 * np.abs(found).max()
    )


@given(nets())
def test_columns_are_those_of_the_inverse(net: Net) -> None:
    net.ground += 1e-3
    factor = net.factor()
    wanted = np.append(np.arange(net.n), -1)
    found = factor.columns(wanted)[factor.symbolic.place]
    assert found[:, :-1] == pytest.approx(factor.solve(np.eye(net.n)), rel=1e-12)
    assert not found[:, -1].any()


def test_conductances_twenty_orders_apart_keep_their_digits() -> None:
    net = Net(
        3,
        np.array([-1, 0, 1]),
        np.array([0, 1, 2]),
        np.array([1e-10, 1e10, 1e10]),
        np.zeros(3),
    )
    exact = np.array([1e10, 1e10 + 1e-10, 1e10 + 2e-10])
    assert net.factor().solve(np.array([0.0, 0.0, 1.0])) == pytest.approx(exact, rel=1e-15)


@pytest.mark.parametrize("lost", [(1, 2), (4,)])
def test_a_part_without_a_source_is_refused_by_name(lost: tuple[int, ...]) -> None:
    edges = {(1, 2): [(-1, 0), (1, 2), (0, 3), (3, 4)], (4,): [(-1, 0), (0, 1), (1, 2), (2, 3)]}
    start, end = np.array(edges[lost]).T
    net = Net(5, start, end, np.ones(4), np.zeros(5))
    with pytest.raises(SingularError) as refused:
        net.factor()
    assert refused.value.unknown in lost
    assert f"unknown {refused.value.unknown}" in str(refused.value)


def test_a_link_that_closes_makes_its_end_refused_and_a_mask_lets_it_pass() -> None:
    symbolic = analyse(2, np.array([-1, 0]), np.array([0, 1]))
    closed, ground = np.array([2.0, 0.0]), np.zeros(2)
    with pytest.raises(SingularError):
        factorize(symbolic, closed, ground)
    masked = factorize(symbolic, closed, np.array([0.0, 1.0]))
    assert masked.solve(np.array([1.0, 0.0])) == pytest.approx([0.5, 0.0])


def test_two_snapshots_do_not_share_numbers() -> None:
    symbolic = analyse(2, np.array([-1, 0]), np.array([0, 1]))
    conductance, ground = np.array([2.0, 3.0]), np.zeros(2)
    first = factorize(symbolic, conductance, ground)
    before = first.solve(np.ones(2))
    conductance *= 7.0
    second = factorize(symbolic, conductance, ground)
    assert np.array_equal(first.solve(np.ones(2)), before)
    assert second.solve(np.ones(2)) == pytest.approx(before / 7.0)


def test_a_chain_of_any_length_fills_in_nothing() -> None:
    n = 3_000
    symbolic = analyse(n, np.arange(-1, n - 1), np.arange(n))
    assert symbolic.n_entries == n - 1
