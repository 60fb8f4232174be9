"""The shapes of each device: those at which kernels are known to go wrong are among them."""

from __future__ import annotations

from xf2sdpa.verify import inputs


def test_the_awkward_shapes_are_among_those_of_each_device():
    for table in (inputs.CPU_SHAPES, inputs.GPU_SHAPES):
        assert {257, 77} <= {length for shape in table for length in (shape.queries, shape.keys)}
        assert {40, 160} <= {shape.width for shape in table}
        assert any(shape.low and shape.keys % 128 == 64 for shape in table)
        assert any(shape.queries > shape.keys for shape in table)
        assert {shape.storage for shape in table} == {"BMHK", "BHMK", "packed"}
    assert sum(shape.timed for shape in inputs.GPU_SHAPES) >= 4
