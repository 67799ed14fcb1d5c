"""From real bytes to hostile ones: one function per way of breaking a record, all drawn from one generator."""

import json
import random
from collections.abc import Sequence

BOM = b"\xef\xbb\xbf"
DEPTHS = (3, 100, 990, 1_000, 1_023, 1_024, 100_000)
NUMBERS = (
    *(b"0", b"-1", b"-0", b"1e5", b"1.5", b"1e308", b"-1e308", b"1e999", b"1e-400", b"NaN", b"Infinity", b"-Infinity"),
    *(b"2147483648", b"9223372036854775807", b"-9223372036854775808", b"9223372036854775808", b"18446744073709551616"),
    *(
        b"281474976710655",
        b"281474976710656",
        b"9" * 400,
        b"1" * 5_000,
        b"0x10",
        b"1_000",
        b"+1",
        b".5",
        b"3.4028235e38",
    ),
)
LITERALS = (
    *(b"null", b"true", b"false", b"[]", b"{}", b'""', b'"x"', b'"\\u0000"', b'"\\ud800"', b'"\\udc00\\ud800"'),
    *(
        b'"\xff"',
        '"☃😀"'.encode(),
        b'"' + b"x" * 513 + b'"',
        b'"' + b"\\u0001" * 512 + b'"',
        b'{"a": [1, {"b": null}]}',
    ),
    *(b'["i1", "i1", "i2"]', b'["' + b'","'.join(b"i%d" % n for n in range(1_001)) + b'"]'),
)


def nested(rng: random.Random) -> bytes:
    """Lists or objects in each other, closed or not."""
    depth = rng.choice(DEPTHS)
    opened, closed = rng.choice(((b"[", b"]"), (b'{"a":', b"}")))
    return opened * depth + rng.choice((b"1", b"")) + closed * rng.choice((depth, depth, 0))


def token(rng: random.Random) -> bytes:
    """Something that stands where a JSON value belongs."""
    dice = rng.random()
    return rng.choice(NUMBERS) if dice < 0.45 else rng.choice(LITERALS) if dice < 0.95 else nested(rng)


def flip_bits(rng: random.Random, value: bytes) -> bytes:
    changed = bytearray(value)
    for _ in range(rng.choice((1, 1, 2, 8))):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def truncate(rng: random.Random, value: bytes) -> bytes:
    return value[: rng.randrange(len(value))]


def repeat_part(rng: random.Random, value: bytes) -> bytes:
    start = rng.randrange(len(value))
    part = value[start : start + rng.randrange(1, 40)]
    return value[:start] + part * rng.choice((2, 3, 200)) + value[start:]


def insert_bytes(rng: random.Random, value: bytes) -> bytes:
    at = rng.randrange(len(value) + 1)
    return value[:at] + rng.randbytes(rng.choice((1, 2, 16))) + value[at:]


def replace_field(rng: random.Random, value: bytes) -> bytes:
    """Another value for one field of an object, or for a field that it did not have."""
    fields = _fields(value)
    if not fields:
        return value
    name = rng.choice([*fields, "schema_version", "value", "position", "strategy", "exclude", "items", "vectors"])
    fields[name] = token(rng)
    return _object(list(fields.items()))


def drop_field(rng: random.Random, value: bytes) -> bytes:
    fields = _fields(value)
    if fields:
        del fields[rng.choice(list(fields))]
    return _object(list(fields.items()))


def duplicate_key(rng: random.Random, value: bytes) -> bytes:
    fields = list(_fields(value).items())
    if not fields:
        return value
    fields.insert(rng.randrange(len(fields) + 1), (rng.choice(fields)[0], token(rng)))
    return _object(fields)


def wrap(rng: random.Random, value: bytes) -> bytes:
    return rng.choice(
        (BOM + value, b"[" + value + b"]", value + b"\n", value + value, b'"' + value + b'"', b" " + value)
    )


def enlarge(rng: random.Random, value: bytes) -> bytes:
    """Longer than any record may be, by white space or by a field that nobody reads."""
    return rng.choice((value + b" " * 70_000, value[:-1] + b', "context": "' + b"x" * 70_000 + b'"}'))


def replace_wholly(rng: random.Random, _: bytes) -> bytes:
    return rng.choice((b"", b"\0", BOM, rng.randbytes(rng.randrange(200)), token(rng), nested(rng)))


WAYS = (
    *(flip_bits, truncate, repeat_part, insert_bytes, wrap, drop_field),
    *(replace_field, replace_field, replace_field, duplicate_key, replace_wholly),
)
ENLARGED = 0.002


def mutated(rng: random.Random, records: Sequence[bytes]) -> bytes | None:
    """A record of the corpus as it is (one in six), null, spliced with another, or broken one to three times."""
    value = rng.choice(records)
    dice = rng.random()
    if dice < 1 / 6:
        return value
    if dice < 0.18:
        return None
    if dice < 0.25:
        other = rng.choice(records)
        return value[: rng.randrange(len(value) + 1)] + other[rng.randrange(len(other) + 1) :]
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        if value:
            value = rng.choice(WAYS)(rng, value)
    return enlarge(rng, value) if rng.random() < ENLARGED else value


def _fields(value: bytes) -> dict[str, bytes]:
    """The members of an object, each as JSON; none of what is no object."""
    try:
        record = json.loads(value)
        return {name: json.dumps(field).encode() for name, field in record.items()}
    except (ValueError, RecursionError, AttributeError):
        return {}


def _object(members: list[tuple[str, bytes]]) -> bytes:
    return b"{" + b", ".join(json.dumps(name).encode() + b": " + field for name, field in members) + b"}"
