"""
The changes: one mistake that a programmer might make.
"""

from collections.abc import Iterator
from typing import Any

from cosmic_ray.operators.operator import Example, Operator
from cosmic_ray.plugins import get_operator
from parso.python.tree import ExprStmt, Name

#: The operators of cosmic-ray that are typical slips. Its others change only messages,
#: or are noticed by any test.
_NAMES = (
    "AddNot",
    "NumberReplacer",
    "ReplaceAndWithOr",
    "ReplaceBinaryOperator_Add_Sub",
    "ReplaceBinaryOperator_BitAnd_BitOr",
    "ReplaceBinaryOperator_BitOr_BitAnd",
    "ReplaceBinaryOperator_LShift_RShift",
    "ReplaceBinaryOperator_Mul_Add",
    "ReplaceBinaryOperator_RShift_LShift",
    "ReplaceBinaryOperator_Sub_Add",
    "ReplaceBreakWithContinue",
    "ReplaceComparisonOperator_Eq_NotEq",
    "ReplaceComparisonOperator_Gt_GtE",
    "ReplaceComparisonOperator_GtE_Gt",
    "ReplaceComparisonOperator_Is_IsNot",
    "ReplaceComparisonOperator_IsNot_Is",
    "ReplaceComparisonOperator_Lt_LtE",
    "ReplaceComparisonOperator_LtE_Lt",
    "ReplaceComparisonOperator_NotEq_Eq",
    "ReplaceFalseWithTrue",
    "ReplaceOrWithAnd",
    "ReplaceTrueWithFalse",
    "ReplaceUnaryOperator_Delete_Not",
    "ReplaceUnaryOperator_USub_UAdd",
    "ZeroIterationForLoop",
)


class ForgetAssignment(Operator):  # type: ignore[misc]
    """
    An attribute keeps its value: C{self.x = y} does nothing.
    """

    def mutation_positions(self, node: Any) -> Iterator[Any]:
        """
        @return: the places that can be changed.
        """
        if (
            isinstance(node, ExprStmt)
            and node.children[0].type in ("power", "atom_expr")
            and node.children[1].type in ("operator", "augassign")
            # A declaration must stay.
            and not _isInit(node)
        ):
            yield node.start_pos, node.end_pos

    def mutate(self, node: Any, index: int) -> Any:
        """
        @return: the replacement.
        """
        prefix = node.get_first_leaf().prefix
        return Name("pass", node.start_pos, prefix=prefix)

    @classmethod
    def examples(cls) -> tuple[Any, ...]:
        """
        @return: examples for the tests of cosmic-ray.
        """
        return (Example("def f():\n    a.b = 1\n", "def f():\n    pass\n"),)


class ForgetRow(Operator):  # type: ignore[misc]
    """
    A row of a table is missing: C{{a: b, c: d}} has no C{c}.
    """

    def mutation_positions(self, node: Any) -> list[Any]:
        """
        @return: the places that can be changed, all at once because the node changes
            meanwhile.
        """
        if node.type != "dictorsetmaker":
            return []
        return [(key.start_pos, key.end_pos) for key, _last in _rows(node)]

    def mutate(self, node: Any, index: int) -> Any:
        """
        @return: the changed node.
        """
        rows = list(_rows(node))
        first, after = rows[index]
        begin = node.children.index(first)
        end = node.children.index(after) + 1 if after is not None else None
        del node.children[begin:end]
        return node

    @classmethod
    def examples(cls) -> tuple[Any, ...]:
        """
        @return: examples for the tests of cosmic-ray.
        """
        return (Example("x = {1: 2, 3: 4}", "x = { 3: 4}"),)


def _rows(node: Any) -> Iterator[tuple[Any, Any]]:
    """
    @return: the first and the last leaf of each row of a dictionary.
    """
    children = node.children
    if len(children) > 3 and children[1] == ":" and children[3] == ",":
        for start in range(0, len(children), 4):
            comma = start + 3
            yield children[start], children[comma] if comma < len(children) else None


def _isInit(node: Any) -> bool:
    function = node.search_ancestor("funcdef")
    return function is not None and function.name.value == "__init__"


#: All operators, by name.
OPERATORS: dict[str, Operator] = {
    **{name: get_operator(f"core/{name}")() for name in _NAMES},
    "ForgetAssignment": ForgetAssignment(),
    "ForgetRow": ForgetRow(),
}
