"""The contract: each request belongs to an access pattern and matches the pattern's declaration.

Each violation is one sentence that begins with the pattern's id.
"""

import re
from collections.abc import Iterator, Sequence

from models.access_patterns.declare import AccessPattern, Call, Request, template
from models.measure.exchange import ADMINISTRATION, Exchange
from models.measure.shapes import KeyCondition, entity_of, key_condition, parts
from models.table.indexes import INDEXES
from models.table.keys import KeyTemplate

_FIELD = re.compile(r"\{\w+\}")
_READS = ("GetItem", "BatchGetItem")


def broken_by(exchange: Exchange) -> list[str]:
    """Return the violations of a request; empty if it matches its pattern's declaration."""
    if exchange.operation in ADMINISTRATION:
        return []
    pattern = exchange.pattern
    if pattern is None:
        return [f"no access pattern: {exchange.operation} was sent outside of any declared access pattern"]
    name = f"{pattern.id} {pattern.title}"
    if exchange.operation == "Scan":
        return [f"{name}: it sends a Scan, which no access pattern may"]
    if "FilterExpression" in exchange.body:
        return [f"{name}: it filters after the limit: {exchange.body['FilterExpression']}"]
    rivals = [request for request in pattern.requests if request.operation == exchange.operation]
    if not rivals:
        declared = ", ".join(dict.fromkeys(request.operation for request in pattern.requests))
        return [f"{name}: it sends {exchange.operation}, which it does not declare (it declares {declared})"]
    differences = min((list(_differences(request, exchange)) for request in rivals), key=len)
    return [f"{name}: {exchange.operation} {difference}" for difference in differences]


def over_count(call: Call, exchanges: Sequence[Exchange]) -> list[str]:
    """Return the violation of a successful call that sent more requests than its budget allows.

    Calls with a failed or retried request are not checked, and further pages of a Query are not counted.
    """
    pattern = call.pattern
    if pattern.budget.grows or call.error or any(exchange.error for exchange in exchanges):
        return []
    counted = [
        exchange
        for exchange in exchanges
        if "ExclusiveStartKey" not in exchange.body or not _follows(exchange, exchanges)
    ]
    budget = pattern.budget.requests + pattern.budget.in_a_branch
    if len(counted) <= budget:
        return []
    sent = ", ".join(exchange.operation for exchange in counted)
    return [f"{pattern.id} {pattern.title}: it sent {len(counted)} requests, its budget is {budget} ({sent})"]


def beside_alone(call: Call, exchanges: Sequence[Exchange]) -> list[str]:
    """Return the violation of a call that sent other requests along with one that is declared as `alone`."""
    pattern = call.pattern
    sent = [_fitting(pattern, exchange) for exchange in exchanges if not _in_a_branch(pattern, exchange)]
    alone = [request for request in sent if request is not None and request.alone]
    if not alone or all(request is alone[0] for request in sent):
        return []
    operations = ", ".join(exchange.operation for exchange in exchanges)
    return [
        f"{pattern.id} {pattern.title}: it sends a request that it declares as alone along with others ({operations})"
    ]


def _in_a_branch(pattern: AccessPattern, exchange: Exchange) -> bool:
    """Whether a request may be one that is only sent for a branch, in addition to others."""
    fitting = [each for each in pattern.requests if each.operation == exchange.operation and each.in_a_branch]
    return any(not list(_differences(request, exchange)) for request in fitting)


def _fitting(pattern: AccessPattern, exchange: Exchange) -> Request | None:
    return next(
        (
            request
            for request in pattern.requests
            if request.operation == exchange.operation and not list(_differences(request, exchange))
        ),
        None,
    )


def _follows(exchange: Exchange, others: Sequence[Exchange]) -> bool:
    return any(exchange.body["ExclusiveStartKey"] == other.answer.get("LastEvaluatedKey") for other in others)


def _differences(request: Request, exchange: Exchange) -> Iterator[str]:
    """Yield, in words, how a request differs from a declared one."""
    consistent = exchange.body.get("ConsistentRead", False)
    if exchange.operation == "BatchGetItem":
        consistent = any(each.get("ConsistentRead", False) for each in exchange.body["RequestItems"].values())
    if exchange.operation in (*_READS, "Query") and request.consistent not in ("either", consistent):
        yield f"reads {'strongly' if consistent else 'eventually'} consistently, which is not declared"
    if exchange.operation == "Query":
        yield from _query_differences(request, exchange)
    else:
        yield from _key_differences(request, exchange)


def _key_differences(request: Request, exchange: Exchange) -> Iterator[str]:
    declared = {(write.part, write.entity) for write in request.writes}
    for part in parts(exchange.operation, exchange.body):
        entity = entity_of(part.keys)
        if entity is None:
            yield f"names an item whose keys match no key template: {part.key[0]} / {part.key[1]}"
        elif request.writes and (part.kind, entity) not in declared:
            yield f"does a {part.kind} of {entity.ENTITY}, which is not declared"
        elif not request.writes and entity not in request.entities:
            yield f"names {entity.ENTITY} ({part.key[0]} / {part.key[1]}), which is not declared"
        elif part.kind in ("Put", "Update", "ConditionCheck") and not part.conditional:
            yield f"does a {part.kind} of {entity.ENTITY} without a condition"


def _query_differences(request: Request, exchange: Exchange) -> Iterator[str]:
    body = exchange.body
    if body.get("IndexName") != request.index:
        yield f"reads the index {body.get('IndexName')}, declared is {request.index}"
        return
    order = "ascending" if body.get("ScanIndexForward", True) else "descending"
    if request.order not in (order, "either", None):
        yield f"reads in {order} order, declared is {request.order}"
    if "Limit" not in body:
        yield "has no limit"
    condition = key_condition(body)
    if condition is None:
        yield f"has a key condition in an unknown form: {body.get('KeyConditionExpression')}"
        return
    yield from _condition_differences(request, condition)
    for item in exchange.items:
        entity = entity_of(item)
        if entity is not None and entity not in request.entities:
            yield f"returns {entity.ENTITY}, which is not declared"
            return


def _condition_differences(request: Request, condition: KeyCondition) -> Iterator[str]:
    index = next((index for index in INDEXES if index.name == request.index), None)
    partition, sort = (index.partition_key, index.sort_key) if index else ("PK", "SK")
    templates = {template(entity, partition) for entity in request.entities}
    if condition.partition_name != partition:
        yield f"has its partition key in {condition.partition_name}, declared is {partition}"
    elif not any(KeyTemplate(text).parse(condition.partition) is not None for text in templates):
        yield f"reads the partition {condition.partition!r}, declared is {' or '.join(sorted(templates))}"
    if condition.sort_name not in (None, sort):
        yield f"has its sort key in {condition.sort_name}, declared is {sort}"
    elif not _sort_fits(request.sort_key, condition):
        said = f"{condition.operator} {' and '.join(map(repr, condition.operands))}" if condition.operator else "none"
        yield f"has the sort key condition {said}, declared is {request.sort_key or 'none'}"


def _sort_fits(declared: str | None, condition: KeyCondition) -> bool:
    if declared is None or condition.operator is None:
        return declared is None and condition.operator is None
    operator, _, rest = declared.removeprefix("SK ").partition(" ")
    if operator != condition.operator:
        return False
    wanted = [rest.split(" and ")] if operator == "between" else [[each] for each in rest.split(" or ")]
    return any(all(map(_operand_fits, texts, condition.operands)) for texts in wanted)


def _operand_fits(text: str, operand: str) -> bool:
    """Whether a value of a condition matches a template; the end of a range may have only part of a field."""
    pattern = "[^#]*".join(re.escape(constant) for constant in _FIELD.split(text))
    return re.fullmatch(pattern, operand) is not None


def unseen(pattern: AccessPattern, exchanges: Sequence[Exchange]) -> list[str]:
    """Return the declared requests and writes of a pattern that none of these requests made."""
    missing = []
    for request in pattern.requests:
        fitting = [
            exchange
            for exchange in exchanges
            if exchange.operation == request.operation and not list(_differences(request, exchange))
        ]
        done = {(part.kind, entity_of(part.keys)) for each in fitting for part in parts(each.operation, each.body)}
        if not fitting:
            missing.append(f"{pattern.id} {pattern.title}: it declares {_name(request)}, and never sends it")
        else:
            missing += [
                f"{pattern.id} {pattern.title}: it declares a {write.part} of {write.entity.ENTITY}, and never does it"
                for write in request.writes
                if (write.part, write.entity) not in done
            ]
    return missing


def _name(request: Request) -> str:
    what = ", ".join(entity.ENTITY for entity in request.entities)
    return " ".join(
        filter(None, (request.operation, f"of {what}" if what else "", f"on {request.index}" if request.index else ""))
    )
