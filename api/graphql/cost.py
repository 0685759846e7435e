"""What a query may ask at most: cost, depth, aliases and directives, weighed in one pass.

Each selection is weighed once and remembered, so that fragments which spread one another cost no
more than their text, however often they are spread. Fields that share a response key are merged as
execution merges them: `...f ...f` costs what `...f` costs, `a: x {...f} b: x {...f}` twice that.
A field's own cost and the size of a list without `first` stand beside the field, in its metadata.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLField,
    GraphQLInterfaceType,
    GraphQLNamedType,
    GraphQLObjectType,
    GraphQLSchema,
    IntValueNode,
    ListValueNode,
    OperationDefinitionNode,
    OperationType,
    SchemaMetaFieldDef,
    SelectionSetNode,
    TypeMetaFieldDef,
    TypeNameMetaFieldDef,
    ValueNode,
    VariableNode,
    get_named_type,
)

from twin.errors import RefusedError

MAX_FIRST = 500
INTROSPECTION_LISTS = frozenset({"fields", "interfaces", "possibleTypes", "inputFields"})


@dataclass(frozen=True, slots=True)
class Limits:
    """What one operation may ask at most.

    Attributes:
        cost: Sum over fields of their own cost times the sizes of the lists around them.
        depth: Fields below one another.
        aliases: Aliases after fragments are spread.
        directives: Directives in the document.
        introspection_lists: Lists of the introspection schema within one another.
        steps: Fields that weighing may look at, so that weighing itself is bounded.
    """

    cost: int = 20_000
    depth: int = 25
    aliases: int = 60
    directives: int = 40
    introspection_lists: int = 3
    steps: int = 20_000


@dataclass(frozen=True, slots=True)
class Weight:
    """What one operation asks. The names are those of `Limits`."""

    cost: int = 0
    depth: int = 0
    aliases: int = 0
    directives: int = 0
    introspection_lists: int = 0


class QueryTooLargeError(RefusedError):
    """An operation asks for more than one operation may."""

    code: ClassVar[str] = "QUERY_TOO_LARGE"

    def __init__(self, what: str, limit: int) -> None:
        super().__init__(what, limit)
        self.what = what
        self.limit = limit

    def __str__(self) -> str:
        return (
            f"the query's {self.what} is above the limit of {self.limit}; "
            "ask for less at once, or page with `first` and `after`"
        )


def weigh(
    schema: GraphQLSchema,
    document: DocumentNode,
    variables: Mapping[str, Any] | None = None,
    limits: Limits = Limits(),
) -> dict[str | None, Weight]:
    """Return the weight of each operation of a document, by its name.

    Args:
        schema: Where fields, their costs and their list sizes are looked up.
        document: Parsed, not necessarily valid: what the schema lacks costs 1 a field.
        variables: As the client sent them; one that is missing counts as the largest `first`.
        limits: What is too much.

    Raises:
        QueryTooLargeError: An operation is above a limit.
    """
    scale = _Scale(schema, document, variables or {}, limits)
    return {
        operation.name.value if operation.name else None: scale.weigh(operation)
        for operation in document.definitions
        if isinstance(operation, OperationDefinitionNode)
    }


@dataclass(frozen=True, slots=True)
class _Placed:
    """A field where it was selected: the type it belongs to, None where the schema has none."""

    parent: GraphQLNamedType | None
    node: FieldNode


@dataclass(slots=True)
class _Tally:
    cost: int = 0
    once: int = 0  # what is worked out once, however long the list around it
    depth: int = 0
    aliases: int = 0
    lists: int = 0


class _Scale:
    def __init__(
        self,
        schema: GraphQLSchema,
        document: DocumentNode,
        variables: Mapping[str, Any],
        limits: Limits,
    ) -> None:
        self._schema = schema
        self._variables = variables
        self._limits = limits
        self._fragments = {
            node.name.value: node
            for node in document.definitions
            if isinstance(node, FragmentDefinitionNode)
        }
        self._weighed: dict[tuple[str | None, frozenset[int]], _Tally] = {}
        self._directives: set[int] = set()
        self._defaults: dict[str, ValueNode | None] = {}
        self._steps = 0

    def weigh(self, operation: OperationDefinitionNode) -> Weight:
        self._defaults = {
            definition.variable.name.value: definition.default_value
            for definition in operation.variable_definitions or ()
        }
        self._weighed.clear()  # a default of another operation must not count here
        self._note_directives(operation)
        root = self._schema.get_root_type(OperationType(operation.operation))
        tally = self._selections(root, (operation.selection_set,), 0)
        self._within("number of directives", len(self._directives), self._limits.directives)
        return Weight(
            tally.cost + tally.once, tally.depth, tally.aliases, len(self._directives), tally.lists
        )

    def _selections(
        self, parent: GraphQLNamedType | None, sets: Sequence[SelectionSetNode], depth: int
    ) -> _Tally:
        self._within("depth", depth, self._limits.depth)
        key = (parent.name if parent else None, frozenset(map(id, sets)))
        known = self._weighed.get(key)
        if known is None:
            known = self._weighed[key] = self._sum(parent, sets, depth)
        self._within("depth", depth + known.depth, self._limits.depth)
        return known

    def _sum(
        self, parent: GraphQLNamedType | None, sets: Sequence[SelectionSetNode], depth: int
    ) -> _Tally:
        total = _Tally()
        for fields in self._merged(parent, sets):
            one = self._field(fields, depth)
            total.cost += one.cost
            total.once += one.once
            total.aliases += one.aliases
            total.depth = max(total.depth, one.depth)
            total.lists = max(total.lists, one.lists)
        self._within("cost", total.cost + total.once, self._limits.cost)
        self._within("number of aliases", total.aliases, self._limits.aliases)
        self._within(
            "nesting of introspection lists", total.lists, self._limits.introspection_lists
        )
        return total

    def _merged(
        self, parent: GraphQLNamedType | None, sets: Sequence[SelectionSetNode]
    ) -> list[list[_Placed]]:
        """Return the fields by response key and type, as execution would merge them."""
        groups: dict[tuple[str, str | None], list[_Placed]] = {}
        seen: set[str] = set()
        for selection_set in sets:
            for placed in self._flat(parent, selection_set, seen):
                node = placed.node
                name = (node.alias or node.name).value
                owner = placed.parent.name if placed.parent else None
                groups.setdefault((name, owner), []).append(placed)
        return list(groups.values())

    def _flat(
        self, parent: GraphQLNamedType | None, selection_set: SelectionSetNode, seen: set[str]
    ) -> Iterator[_Placed]:
        """Yield the fields of a selection, with each fragment spread once."""
        waiting = [(parent, selection_set)]
        while waiting:
            owner, current = waiting.pop()
            for node in current.selections:
                self._step()
                self._note_directives(node)
                if isinstance(node, FieldNode):
                    yield _Placed(owner, node)
                    continue
                inner: Any = node
                if isinstance(node, FragmentSpreadNode):
                    name = node.name.value
                    inner = self._fragments.get(name)
                    if name in seen or inner is None:
                        continue
                    seen.add(name)
                    self._note_directives(inner)
                condition = inner.type_condition
                narrowed = self._schema.get_type(condition.name.value) if condition else owner
                waiting.append((narrowed, inner.selection_set))

    def _field(self, fields: Sequence[_Placed], depth: int) -> _Tally:
        first = fields[0]
        definition = self._definition(first)
        own_cost = _metadata(definition).get("cost", 1)
        sets = [placed.node.selection_set for placed in fields if placed.node.selection_set]
        inner = _Tally()
        if sets:
            named = get_named_type(definition.type) if definition else None
            inner = self._selections(named, sets, depth + 1)
        size = self._size(first.node, definition) if sets else 1
        is_list = first.node.name.value in INTROSPECTION_LISTS and _is_introspection(first.parent)
        cost = own_cost + size * inner.cost + inner.once
        is_once = bool(_metadata(definition).get("once"))
        return _Tally(
            cost=0 if is_once else cost,
            once=cost if is_once else 0,
            depth=1 + inner.depth,
            aliases=inner.aliases + (first.node.alias is not None),
            lists=inner.lists + is_list,
        )

    def _definition(self, placed: _Placed) -> GraphQLField | None:
        name = placed.node.name.value
        if name == "__typename":
            return TypeNameMetaFieldDef
        if placed.parent is self._schema.query_type:
            meta = {"__schema": SchemaMetaFieldDef, "__type": TypeMetaFieldDef}.get(name)
            if meta is not None:
                return meta
        if isinstance(placed.parent, GraphQLObjectType | GraphQLInterfaceType):
            fields: Mapping[str, GraphQLField] = placed.parent.fields
            return fields.get(name)
        return None

    def _size(self, node: FieldNode, definition: GraphQLField | None) -> int:
        """Return how many times what is below a field is worked out, at most."""
        if definition is None:
            return 1
        metadata = _metadata(definition)
        arguments = {argument.name.value: argument.value for argument in node.arguments or ()}
        if "first" in definition.args:
            return self._whole_number(arguments.get("first"))
        if "size_of" in metadata:
            return self._length(arguments.get(metadata["size_of"]))
        return int(metadata.get("size", 1))

    def _given(self, value: ValueNode | None) -> Any:  # noqa: ANN401 - JSON, or a node
        if isinstance(value, VariableNode):
            name = value.name.value
            return self._variables[name] if name in self._variables else self._defaults.get(name)
        return value

    def _whole_number(self, value: ValueNode | None) -> int:
        given = self._given(value)
        if isinstance(given, IntValueNode):
            given = int(given.value) if len(given.value) <= len(str(MAX_FIRST)) + 1 else MAX_FIRST
        usable = isinstance(given, int) and not isinstance(given, bool)
        return min(max(given, 1), MAX_FIRST) if usable else MAX_FIRST

    def _length(self, value: ValueNode | None) -> int:
        given = self._given(value)
        if isinstance(given, ListValueNode):
            return len(given.values)
        return len(given) if isinstance(given, list | tuple) else 1

    def _note_directives(self, node: Any) -> None:  # noqa: ANN401 - any node that can carry them
        for directive in node.directives or ():
            self._directives.add(id(directive))

    def _step(self) -> None:
        self._steps += 1
        self._within("number of selections", self._steps, self._limits.steps)

    def _within(self, what: str, value: int, limit: int) -> None:
        if value > limit:
            raise QueryTooLargeError(what, limit)


def _metadata(definition: GraphQLField | None) -> Mapping[str, Any]:
    """Return what a field's author wrote beside it: `cost`, `size`, `size_of`, `once`."""
    if definition is None:
        return {}
    field = definition.extensions.get("strawberry-definition")
    return getattr(field, "metadata", None) or {}


def _is_introspection(parent: GraphQLNamedType | None) -> bool:
    return parent is not None and parent.name.startswith("__")
